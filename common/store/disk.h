/* The trace cache on local disk: an LMDB environment in one folder, shared by processes running at once.
 *
 * Keys are SCC keys (32 bytes), values are encoded traces (trace/codec.h); what a value means is the caller's
 * business, but each is stored with its own SHA-256, checked on every read. Total size of the values stays under
 * a limit: putting evicts the least recently used. A kill at any moment loses at most the entries being put. A
 * damaged file (any byte) never crashes or hangs the process: a damaged entry is removed and reported; a damaged
 * tree is set aside whole, reported, and started anew. */
#ifndef PM_STORE_DISK_H
#define PM_STORE_DISK_H

#include "base/buffer.h"
#include "base/hash.h"
#include "base/log.h"

typedef struct pm_disk pm_disk;

#define PM_DISK_DEFAULT_LIMIT ((size_t)1 << 30)

/* The folder used when none is given: $XDG_CACHE_HOME/phasemill or $HOME/.cache/phasemill, from the two values
 * (either may be NULL). Errors: PM_EUNAVAILABLE when neither is set, naming --cache-dir. Free *out with free(). */
pm_status pm_disk_default_dir(const char *xdg_cache_home, const char *home, char **out, pm_error *err);

/* Opens, making the folder (and its parents) where missing. Errors: PM_ECANTCREAT for a folder that cannot be made
 * or written, before any work. `log` may be NULL and must outlive the store. Close with pm_disk_close. One handle may
 * be used by one thread at a time; a process opens one folder once. `limit` is from 1 byte to 8 TiB (else PM_EUSAGE). A
 * damaged tree is set aside here, with an error line. */
pm_status pm_disk_open(const char *dir, size_t limit, const pm_log *log, pm_disk **out, pm_error *err);
void pm_disk_close(pm_disk *disk);

/* Whether opening found a damaged tree and set it aside. */
bool pm_disk_was_damaged(const pm_disk *disk);

typedef enum pm_disk_found { PM_DISK_MISSING, PM_DISK_FOUND, PM_DISK_DAMAGED } pm_disk_found;

/* Appends the value to `value` when found. PM_DISK_DAMAGED: the entry failed its SHA-256 and was removed (or its tree
 * was set aside); an error line says so. Use is noted for eviction when the store is closed or put to. */
pm_status pm_disk_get(pm_disk *disk, const uint8_t key[PM_DIGEST_BYTES], pm_buffer *value, pm_disk_found *found,
                      pm_error *err);

typedef struct pm_disk_entry {
    uint8_t key[PM_DIGEST_BYTES];
    const uint8_t *bytes;
    size_t size;
} pm_disk_entry;

/* Puts all entries in one transaction; evicts first where the limit asks for it. An entry larger than the limit (or
 * than what the entries in front of it leave of the limit) is left out with a warning line. A key that is there already
 * keeps its first value. */
pm_status pm_disk_put(pm_disk *disk, const pm_disk_entry *entries, size_t n, pm_error *err);

/* *removed says whether it was there. */
pm_status pm_disk_remove(pm_disk *disk, const uint8_t key[PM_DIGEST_BYTES], bool *removed, pm_error *err);
pm_status pm_disk_clear(pm_disk *disk, size_t *removed, pm_error *err);

typedef struct pm_disk_stat {
    size_t entries;
    uint64_t value_bytes; /* of all values */
    uint64_t file_bytes;  /* that the folder takes on disk */
    size_t limit;
} pm_disk_stat;
pm_status pm_disk_stat_of(pm_disk *disk, pm_disk_stat *out, pm_error *err);

/* Visits all entries in key order; `bytes` is valid during the call only. Stops when `visit` does not return PM_OK. A
 * damaged value is visited with damaged == true. `visit` must not use the store (PM_EUSAGE). `last_used`: seconds since
 * 1970. */
typedef struct pm_disk_item {
    uint8_t key[PM_DIGEST_BYTES];
    const uint8_t *bytes;
    size_t size;
    int64_t last_used;
    bool damaged;
} pm_disk_item;
typedef pm_status (*pm_disk_visit)(void *ctx, const pm_disk_item *item, pm_error *err);
pm_status pm_disk_each(pm_disk *disk, pm_disk_visit visit, void *ctx, pm_error *err);

#endif
