/* What the parts of the disk cache share. docs/cache.md describes files and records. */
#ifndef PM_STORE_DISK_IMPL_H
#define PM_STORE_DISK_IMPL_H

#include <lmdb.h>
#include <sys/types.h>

#include "store/disk.h"

#define PM_DISK_KEY_BYTES (1 + PM_DIGEST_BYTES) /* a letter, then the key */
#define PM_DISK_VALUE 't'                       /* SHA-256 of key and bytes, then the bytes */
#define PM_DISK_STAMP 'u'                       /* time of last use: int64, nanoseconds since 1970 */

typedef struct pm_disk_use {
    uint8_t key[PM_DIGEST_BYTES];
    int64_t stamp;
} pm_disk_use;

struct pm_disk {
    char *dir;
    size_t limit;
    const pm_log *log;
    int open_lock;  /* file locked while a process opens, replaces or clears the environment */
    int alive_lock; /* file locked (shared) as long as a handle is open */
    MDB_env *env;   /* NULL when it could not be opened again after damage */
    MDB_dbi dbi;
    dev_t device; /* of data.mdb as it was opened */
    ino_t inode;

    pm_disk_use *used; /* uses noted since the last write */
    size_t n_used, used_capacity;
    int64_t last_stamp;

    bool was_damaged; /* a damaged environment was set aside */
    bool visiting;    /* inside pm_disk_each */

    size_t total;       /* bytes of all values as of commit total_txnid, 0: not known */
    size_t total_txnid; /* of a commit of this handle */
};

/* ---- disk_files.c: folder and locks ---- */

/* dir + "/" + name; free with free(). NULL when memory is out. */
char *pm_disk_path(const char *dir, const char *name);
/* Makes the folder and its parents. Errors: PM_ECANTCREAT, PM_EOSERR. */
pm_status pm_disk_make_dir(const char *dir, pm_error *err);
/* Opens (making it where missing) a file to lock. Errors: PM_ECANTCREAT, PM_EOSERR. */
pm_status pm_disk_open_file(const char *dir, const char *name, int *fd, pm_error *err);
/* flock() with `operation` LOCK_EX or LOCK_SH (waits) or LOCK_UN. Errors: PM_EIO. */
pm_status pm_disk_flock(int fd, int operation, const char *dir, pm_error *err);
/* Bytes that the files of the cache take on disk. */
uint64_t pm_disk_file_bytes(const char *dir);
/* Takes the space of the lock file, which is written through a mapping: on a full disk that would be SIGBUS. */
pm_status pm_disk_reserve_lock_file(const char *dir, pm_error *err);

/* ---- disk_env.c: the LMDB environment ---- */

/* Opens the environment and checks it; a damaged one is set aside with an error line, and a new one made. The caller
 * holds open_lock. */
pm_status pm_disk_start(pm_disk *disk, pm_error *err);
void pm_disk_stop(pm_disk *disk);
/* After LMDB itself met damage (code `rc`): sets the file aside unless another process did so already, and starts
 * again; after MDB_PANIC, a commit that failed half way, only starts again. */
pm_status pm_disk_restart(pm_disk *disk, int rc, pm_error *err);
/* Replaces the environment by an empty one where no other handle is open; *done says so. */
pm_status pm_disk_replace_if_alone(pm_disk *disk, bool *done, pm_error *err);

/* mdb_txn_begin, following another process that made the map larger. Returns LMDB's code. */
int pm_disk_begin(pm_disk *disk, unsigned flags, MDB_txn **txn);
/* LMDB's code says that its file is damaged, or its environment no longer usable (MDB_PANIC). */
bool pm_disk_is_damage(int rc);
/* The error of LMDB's code `rc` while `doing`. */
pm_status pm_disk_fail(const pm_disk *disk, int rc, const char *doing, pm_error *err);

/* ---- disk_record.c: records ---- */

typedef struct pm_disk_pair {
    uint8_t key[PM_DIGEST_BYTES];
    MDB_val record; /* of the value; mv_data == NULL: there is a stamp only */
    bool has_stamp;
    int64_t stamp; /* 0 without one: older than all */
} pm_disk_pair;

/* Values and stamps side by side, in key order. Close in front of the transaction's end. */
typedef struct pm_disk_pairs {
    MDB_cursor *values, *stamps;
    MDB_val value_key, value, stamp_key, stamp;
    int value_rc, stamp_rc;
} pm_disk_pairs;

int pm_disk_pairs_open(MDB_txn *txn, MDB_dbi dbi, pm_disk_pairs *pairs);
int pm_disk_pairs_next(pm_disk_pairs *pairs, pm_disk_pair *out); /* MDB_NOTFOUND at the end */
void pm_disk_pairs_close(pm_disk_pairs *pairs);

void pm_disk_key(uint8_t out[PM_DISK_KEY_BYTES], char kind, const uint8_t key[PM_DIGEST_BYTES]);
size_t pm_disk_value_size(const MDB_val *record); /* 0 for a record too short to be one */
pm_status pm_disk_entry_digest(const pm_disk_entry *entry, uint8_t digest[PM_DIGEST_BYTES], pm_error *err);
/* Whether the record's SHA-256 is right. */
pm_status pm_disk_verify(const uint8_t key[PM_DIGEST_BYTES], const MDB_val *record, bool *right, pm_error *err);
int pm_disk_put_value(MDB_txn *txn, MDB_dbi dbi, const pm_disk_entry *entry, const uint8_t digest[PM_DIGEST_BYTES]);
int pm_disk_put_stamp(MDB_txn *txn, MDB_dbi dbi, const uint8_t key[PM_DIGEST_BYTES], int64_t stamp);
int pm_disk_delete(MDB_txn *txn, MDB_dbi dbi, const uint8_t key[PM_DIGEST_BYTES]); /* MDB_NOTFOUND: no value */

/* Values without a stamp and stamps without a value are traces of a damaged key: the values that are damaged, and the
 * stamps, are deleted, with a line in the log. */
pm_status pm_disk_repair(pm_disk *disk, MDB_txn *txn, pm_error *err);

/* ---- disk_evict.c: the limit ---- */

int64_t pm_disk_now(pm_disk *disk); /* later than every stamp this handle has given out */
/* Number of values and their bytes. */
int pm_disk_sizes(MDB_txn *txn, MDB_dbi dbi, size_t *entries, size_t *bytes);
/* Deletes the least recently used values until at most `keep` bytes are left of *total. */
int pm_disk_evict(pm_disk *disk, MDB_txn *txn, size_t keep, size_t *total);
/* After MDB_MAP_FULL: keeps a half, a third ... (1 / fraction) of the bytes, or nothing (0), in commits of its own, so
 * that the pages can be used again. */
pm_status pm_disk_make_room(pm_disk *disk, unsigned fraction, pm_error *err);

#endif
