#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "store/disk_impl.h"

#define ROOM_TO_DELETE ((size_t)4 << 20)

int64_t pm_disk_now(pm_disk *disk) {
    struct timespec now = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t stamp = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    if (stamp <= disk->last_stamp) {
        stamp = disk->last_stamp + 1;
    }
    disk->last_stamp = stamp;
    return stamp;
}

int pm_disk_sizes(MDB_txn *txn, MDB_dbi dbi, size_t *entries, size_t *bytes) {
    pm_disk_pairs pairs;
    pm_disk_pair pair;
    *entries = *bytes = 0;
    int rc = pm_disk_pairs_open(txn, dbi, &pairs);
    while (rc == MDB_SUCCESS && (rc = pm_disk_pairs_next(&pairs, &pair)) == MDB_SUCCESS) {
        if (pair.record.mv_data != NULL) {
            *entries += 1;
            *bytes += pm_disk_value_size(&pair.record);
        }
    }
    pm_disk_pairs_close(&pairs);
    return rc == MDB_NOTFOUND ? MDB_SUCCESS : rc;
}

/* ---- eviction ---- */

typedef struct candidate {
    int64_t stamp;
    size_t size;
    uint8_t key[PM_DIGEST_BYTES];
} candidate;

static int older_first(const void *a, const void *b) {
    const candidate *x = a, *y = b;
    if (x->stamp != y->stamp) {
        return x->stamp < y->stamp ? -1 : 1;
    }
    return memcmp(x->key, y->key, sizeof x->key);
}

static int collect(MDB_txn *txn, MDB_dbi dbi, candidate **all, size_t *n) {
    pm_disk_pairs pairs;
    pm_disk_pair pair;
    size_t capacity = 0;
    int rc = pm_disk_pairs_open(txn, dbi, &pairs);
    while (rc == MDB_SUCCESS && (rc = pm_disk_pairs_next(&pairs, &pair)) == MDB_SUCCESS) {
        if (pair.record.mv_data == NULL) {
            continue;
        }
        if (!pm_reserve((void **)all, &capacity, *n + 1, sizeof **all)) {
            rc = ENOMEM;
            break;
        }
        candidate *c = &(*all)[(*n)++];
        c->stamp = pair.stamp;
        c->size = pm_disk_value_size(&pair.record);
        memcpy(c->key, pair.key, sizeof c->key);
    }
    pm_disk_pairs_close(&pairs);
    return rc == MDB_NOTFOUND ? MDB_SUCCESS : rc;
}

int pm_disk_evict(pm_disk *disk, MDB_txn *txn, size_t keep, size_t *total) {
    candidate *all = NULL;
    size_t n = 0, at = 0;
    int rc = collect(txn, disk->dbi, &all, &n);
    if (rc == MDB_SUCCESS && n > 0) {
        qsort(all, n, sizeof *all, older_first);
    }
    for (; rc == MDB_SUCCESS && at<n && * total> keep; at++) {
        rc = pm_disk_delete(txn, disk->dbi, all[at].key);
        *total -= all[at].size <= *total ? all[at].size : *total;
    }
    free(all);
    if (rc == MDB_SUCCESS && at > 0) {
        pm_logf(disk->log, PM_LOG_DEBUG, "trace cache %s: %zu least recently used of %zu entries evicted", disk->dir,
                at, n);
    }
    return rc;
}

/* A commit that changes nothing but writes pages: LMDB uses pages again two commits after the one that freed them. */
static int empty_commit(pm_disk *disk) {
    static const uint8_t nobody[PM_DIGEST_BYTES] = {0};
    MDB_txn *txn;
    int rc = pm_disk_begin(disk, 0, &txn);
    if (rc != MDB_SUCCESS) {
        return rc;
    }
    uint8_t name[PM_DISK_KEY_BYTES];
    pm_disk_key(name, 'x', nobody);
    MDB_val key = {sizeof name, name}, value = {0, NULL};
    rc = mdb_put(txn, disk->dbi, &key, &value, 0);
    if (rc == MDB_SUCCESS) {
        rc = mdb_del(txn, disk->dbi, &key, NULL);
    }
    if (rc != MDB_SUCCESS) {
        mdb_txn_abort(txn);
        return rc;
    }
    return mdb_txn_commit(txn);
}

static int evict_and_commit(pm_disk *disk, unsigned fraction) {
    MDB_txn *txn;
    size_t entries, total;
    int rc = pm_disk_begin(disk, 0, &txn);
    if (rc != MDB_SUCCESS) {
        return rc;
    }
    rc = pm_disk_sizes(txn, disk->dbi, &entries, &total);
    if (rc == MDB_SUCCESS) {
        rc = pm_disk_evict(disk, txn, fraction == 0 ? 0 : total / fraction, &total);
    }
    if (rc != MDB_SUCCESS) {
        mdb_txn_abort(txn);
        return rc;
    }
    return mdb_txn_commit(txn);
}

static int enlarge_map(pm_disk *disk) {
    MDB_envinfo info;
    int rc = mdb_env_info(disk->env, &info);
    return rc == MDB_SUCCESS ? mdb_env_set_mapsize(disk->env, info.me_mapsize + ROOM_TO_DELETE) : rc;
}

pm_status pm_disk_make_room(pm_disk *disk, unsigned fraction, pm_error *err) {
    disk->total_txnid = 0;
    int rc = evict_and_commit(disk, fraction);
    if (rc == MDB_MAP_FULL) { /* deleting takes pages too: a copy of each page that changes */
        rc = enlarge_map(disk);
        rc = rc == MDB_SUCCESS ? evict_and_commit(disk, fraction) : rc;
    }
    if (rc == MDB_SUCCESS) {
        rc = empty_commit(disk);
    }
    if (rc == MDB_SUCCESS) {
        rc = empty_commit(disk);
    }
    return rc == MDB_SUCCESS ? PM_OK : pm_disk_fail(disk, rc, "evicting entries", err);
}
