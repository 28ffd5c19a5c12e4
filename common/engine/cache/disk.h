/* The trace cache on local disk: an SQLite database in one folder, shared by processes running at once.
 *
 * Each value is stored with its own SHA-256, checked on every read; putting evicts the least recently used to keep
 * their total size under a limit. A kill at any moment loses at most the entries being put.
 *
 * Damage is no error: a damaged entry is removed, a damaged database rebuilt empty, each with an error line. A cache
 * that cannot be used (another's lock, a full disk, no right to write) is an error of the call. Between two calls that
 * work, a handle waits for locks for a second in which nobody writes, ten at most; after a failure the same calls
 * (reading, or writing) fail at once for a minute, so that a caller may go on calling. */
#ifndef PM_CACHE_DISK_H
#define PM_CACHE_DISK_H

#include "trace/library.h"

typedef struct pm_disk pm_disk;

#define PM_DISK_DEFAULT_LIMIT ((size_t)1 << 30)

/* $XDG_CACHE_HOME/phasemill or $HOME/.cache/phasemill, from the two values (either may be NULL). Errors:
 * PM_EUNAVAILABLE when neither is set, naming --cache-dir. Free *out with free(). */
pm_status pmi_disk_default_dir(const char *xdg_cache_home, const char *home, char **out, pm_error *err);

/* Opens, making the folder (and its parents, for their owner alone) where missing. Errors: PM_ECANTCREAT for a folder
 * that cannot be made, PM_EUNAVAILABLE for a cache that cannot be used in it. `log` may be NULL and must outlive the
 * store. Close with pmi_disk_close. One handle may be used by one thread at a time, and by the process that opened it.
 * `limit` is from 1 byte to 8 TiB (else PM_EUSAGE). */
pm_status pmi_disk_open(const char *dir, size_t limit, const pm_log *log, pm_disk **out, pm_error *err);
void pmi_disk_close(pm_disk *disk);

/* The same for those who can do without: `dir`, or the default folder when it is NULL. A cache that cannot be used is a
 * warning, and *out NULL. Errors: a limit out of range; a folder named in `dir` that cannot be made. */
pm_status pmi_disk_open_if_usable(const char *dir, const char *xdg_cache_home, const char *home, size_t limit,
                                  const pm_log *log, pm_disk **out, pm_error *err);

/* Whether opening found a damaged database and rebuilt it. */
bool pmi_disk_was_damaged(const pm_disk *disk);

/* Warns of a failed call of this handle, the first time only: for those who go on without. */
void pmi_disk_warn_once(pm_disk *disk, const pm_error *why);

/* Appends the value to `value` when found. PM_CACHE_DAMAGED: the entry failed its SHA-256 and was removed (or the
 * database was rebuilt); an error line says so. Use is noted for eviction when the store is closed or put to. */
pm_status pmi_disk_get(pm_disk *disk, pm_cache_kind kind, const uint8_t key[PM_DIGEST_BYTES], pm_buffer *value,
                       pm_cache_found *found, pm_error *err);

/* From hold to release, gets that find what they look for share one view of the cache, which makes many in a row
 * faster; others cannot write for up to a tenth of a second. The first that does not find ends the hold. */
void pmi_disk_hold(pm_disk *disk);
void pmi_disk_release(pm_disk *disk);

/* Puts all entries in one transaction; evicts first where the limit asks for it. An entry larger than what those in
 * front of it leave of the limit, or than 10^9 bytes, is left out with a warning line. A key that is there keeps its
 * value. */
pm_status pmi_disk_put(pm_disk *disk, const pm_cache_entry *entries, size_t n, pm_error *err);

/* *removed says whether it was there. */
pm_status pmi_disk_remove(pm_disk *disk, pm_cache_kind kind, const uint8_t key[PM_DIGEST_BYTES], bool *removed,
                          pm_error *err);
pm_status pmi_disk_clear(pm_disk *disk, size_t *removed, pm_error *err);

typedef struct pm_disk_stat {
    size_t entries; /* of all kinds */
    size_t of_kind[PM_CACHE_KINDS];
    uint64_t value_bytes; /* of all values */
    uint64_t file_bytes;  /* that the files of the cache take on disk */
    size_t limit;
} pm_disk_stat;
pm_status pmi_disk_stat_of(pm_disk *disk, pm_disk_stat *out, pm_error *err);

/* Visits all entries in the order of kinds and keys, until `visit` does not return PM_OK; `bytes` is valid during the
 * call only. `visit` must not use the store (PM_EUSAGE). `last_used`: seconds since 1970. */
typedef struct pm_disk_item {
    pm_cache_kind kind;
    uint8_t key[PM_DIGEST_BYTES];
    const uint8_t *bytes;
    size_t size;
    int64_t last_used;
    bool damaged;
} pm_disk_item;
typedef pm_status (*pm_disk_visit)(void *ctx, const pm_disk_item *item, pm_error *err);
pm_status pmi_disk_each(pm_disk *disk, pm_disk_visit visit, void *ctx, pm_error *err);

/* The entries of one kind as the library of traces sees them: a cache that fails is one warning, and then as good as
 * empty. */
pm_trace_cache pmi_disk_cache(pm_disk *disk, pm_cache_kind kind);

#endif
