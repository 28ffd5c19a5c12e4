/* The structure of an LMDB 0.9 data file (MDB_DATA_VERSION 1), checked page by page with pread.
 *
 * LMDB trusts its pages: page numbers, node offsets and the list of free pages are followed without a look, so that a
 * damaged byte can make it read or write anywhere. A file that passes here cannot: every page that can be reached from
 * the newest meta page, in the main tree and in the tree of free pages, has sound numbers, lies inside the file and is
 * reached once only, and no page is both free and in use. What values hold is not looked at.
 *
 * The format is that of 64-bit little-endian machines, which is all that phasemill runs on. */
#ifndef PM_STORE_LMDB_CHECK_H
#define PM_STORE_LMDB_CHECK_H

#include "base/error.h"

typedef struct pm_lmdb_tree {
    uint16_t depth; /* 0: empty */
    uint64_t branch_pages, leaf_pages, overflow_pages, entries;
    uint64_t root;
} pm_lmdb_tree;

/* What the newest meta page says. */
typedef struct pm_lmdb_snapshot {
    uint64_t file_bytes;
    uint64_t last_page; /* the highest page number ever given out */
    uint64_t txnid;     /* of the commit that wrote it */
    uint32_t page_size;
    pm_lmdb_tree free, main;
} pm_lmdb_snapshot;

/* Reads and checks both meta pages: enough for mdb_env_open to be safe. Errors: PM_EDATA for damage, PM_EIO. */
pm_status pm_lmdb_snapshot_read(int fd, pm_lmdb_snapshot *out, pm_error *err);

/* Walks both trees of the snapshot; all keys of the main tree must have `key_size` (at most 511) bytes. Nobody may
 * commit meanwhile. Time and memory are proportional to the pages of the file. Errors: PM_EDATA for damage, PM_EIO,
 * PM_EOSERR. */
pm_status pm_lmdb_check(int fd, const pm_lmdb_snapshot *snapshot, size_t key_size, pm_error *err);

#endif
