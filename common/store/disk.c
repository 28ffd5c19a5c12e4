#include "store/disk.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/disk_impl.h"

#define MAX_LIMIT ((size_t)8 << 40)
#define MAX_VALUE ((size_t)UINT32_MAX - PM_DIGEST_BYTES) /* of LMDB */
#define MAX_USES_IN_MEMORY 16384

/* ---- opening and closing ---- */

static pm_status open_files(pm_disk *disk, pm_error *err) {
    pm_status st = pm_disk_make_dir(disk->dir, err);
    if (st == PM_OK) {
        st = pm_disk_open_file(disk->dir, "open.lock", &disk->open_lock, err);
    }
    if (st == PM_OK) {
        st = pm_disk_open_file(disk->dir, "alive.lock", &disk->alive_lock, err);
    }
    if (st == PM_OK) {
        st = pm_disk_flock(disk->open_lock, LOCK_EX, disk->dir, err);
    }
    if (st == PM_OK) {
        st = pm_disk_flock(disk->alive_lock, LOCK_SH, disk->dir, err);
    }
    if (st == PM_OK) {
        st = pm_disk_start(disk, err);
    }
    if (st == PM_OK) {
        st = pm_disk_flock(disk->open_lock, LOCK_UN, disk->dir, err);
    }
    return st;
}

pm_status pm_disk_open(const char *dir, size_t limit, const pm_log *log, pm_disk **out, pm_error *err) {
    *out = NULL;
    if (limit == 0 || limit > MAX_LIMIT) {
        return pm_fail(err, PM_EUSAGE, "the cache's limit: expected from 1 to %zu bytes, found %zu", MAX_LIMIT, limit);
    }
    pm_disk *disk = pm_calloc(1, sizeof *disk);
    char *name = strdup(dir);
    if (disk == NULL || name == NULL) {
        free(disk);
        free(name);
        return pm_fail_memory(err, "the trace cache", sizeof *disk);
    }
    *disk = (pm_disk){.dir = name, .limit = limit, .log = log, .open_lock = -1, .alive_lock = -1};
    pm_status st = open_files(disk, err);
    if (st != PM_OK) {
        pm_disk_close(disk);
        return st;
    }
    *out = disk;
    return PM_OK;
}

/* Writes the uses noted since the last write. Uses of entries that are gone are dropped. */
static int write_uses(pm_disk *disk, MDB_txn *txn) {
    int rc = MDB_SUCCESS;
    for (size_t i = 0; i < disk->n_used && rc == MDB_SUCCESS; i++) {
        uint8_t name[PM_DISK_KEY_BYTES];
        pm_disk_key(name, PM_DISK_VALUE, disk->used[i].key);
        MDB_val key = {sizeof name, name}, value;
        rc = mdb_get(txn, disk->dbi, &key, &value);
        if (rc == MDB_SUCCESS) {
            rc = pm_disk_put_stamp(txn, disk->dbi, disk->used[i].key, disk->used[i].stamp);
        } else if (rc == MDB_NOTFOUND) {
            rc = MDB_SUCCESS;
        }
    }
    return rc;
}

/* A failure costs only the order of eviction. */
static void flush_uses(pm_disk *disk) {
    MDB_txn *txn;
    if (disk->n_used == 0 || disk->env == NULL) {
        return;
    }
    int rc = pm_disk_begin(disk, 0, &txn);
    if (rc == MDB_SUCCESS) {
        rc = write_uses(disk, txn);
        if (rc == MDB_SUCCESS) {
            rc = mdb_txn_commit(txn);
        } else {
            mdb_txn_abort(txn);
        }
    }
    if (rc != MDB_SUCCESS) {
        pm_logf(disk->log, PM_LOG_WARNING, "trace cache %s: the times of %zu uses could not be written: %s", disk->dir,
                disk->n_used, mdb_strerror(rc));
    }
    disk->total_txnid = 0;
    disk->n_used = 0;
}

bool pm_disk_was_damaged(const pm_disk *disk) {
    return disk->was_damaged;
}

void pm_disk_close(pm_disk *disk) {
    if (disk == NULL) {
        return;
    }
    flush_uses(disk);
    pm_disk_stop(disk);
    if (disk->open_lock >= 0) {
        close(disk->open_lock);
    }
    if (disk->alive_lock >= 0) {
        close(disk->alive_lock);
    }
    free(disk->used);
    free(disk->dir);
    free(disk);
}

static pm_status check_open(const pm_disk *disk, pm_error *err) {
    if (disk->visiting) {
        return pm_fail(err, PM_EUSAGE, "trace cache %s: used from inside pm_disk_each", disk->dir);
    }
    if (disk->env == NULL) {
        return pm_fail(err, PM_EIO, "trace cache %s: closed after damage that could not be repaired", disk->dir);
    }
    return PM_OK;
}

/* ---- reading ---- */

static void note_use(pm_disk *disk, const uint8_t key[PM_DIGEST_BYTES]) {
    if (disk->n_used >= MAX_USES_IN_MEMORY) {
        flush_uses(disk);
    }
    if (!pm_reserve((void **)&disk->used, &disk->used_capacity, disk->n_used + 1, sizeof *disk->used)) {
        pm_logf(disk->log, PM_LOG_WARNING, "trace cache %s: out of memory: the time of a use is not kept", disk->dir);
        return;
    }
    pm_disk_use *use = &disk->used[disk->n_used++];
    memcpy(use->key, key, sizeof use->key);
    use->stamp = pm_disk_now(disk);
}

static pm_status copy_value(const uint8_t key[PM_DIGEST_BYTES], const MDB_val *record, pm_buffer *value,
                            pm_disk_found *found, pm_error *err) {
    bool right;
    pm_status st = pm_disk_verify(key, record, &right, err);
    if (st == PM_OK && !right) {
        *found = PM_DISK_DAMAGED;
    } else if (st == PM_OK) {
        st = pm_buffer_add(value, (const uint8_t *)record->mv_data + PM_DIGEST_BYTES, pm_disk_value_size(record), err);
        *found = st == PM_OK ? PM_DISK_FOUND : PM_DISK_MISSING;
    }
    return st;
}

/* *rc is LMDB's code where that is why it failed. */
static pm_status read_value(pm_disk *disk, const uint8_t key[PM_DIGEST_BYTES], pm_buffer *value, pm_disk_found *found,
                            int *rc, pm_error *err) {
    MDB_txn *txn;
    uint8_t name[PM_DISK_KEY_BYTES];
    pm_disk_key(name, PM_DISK_VALUE, key);
    MDB_val k = {sizeof name, name}, record;
    *rc = pm_disk_begin(disk, MDB_RDONLY, &txn);
    if (*rc != MDB_SUCCESS) {
        return pm_disk_fail(disk, *rc, "beginning to read", err);
    }
    pm_status st = PM_OK;
    *rc = mdb_get(txn, disk->dbi, &k, &record);
    if (*rc == MDB_SUCCESS) {
        st = copy_value(key, &record, value, found, err);
    } else if (*rc != MDB_NOTFOUND) {
        st = pm_disk_fail(disk, *rc, "reading an entry", err);
    }
    mdb_txn_abort(txn);
    return st;
}

static void remove_damaged(pm_disk *disk, const uint8_t key[PM_DIGEST_BYTES]) {
    char hex[PM_DIGEST_HEX];
    pm_hex(key, hex);
    pm_logf(disk->log, PM_LOG_ERROR,
            "trace cache %s: entry %s is damaged (its SHA-256 does not match); it is removed and recorded again",
            disk->dir, hex);
    bool removed;
    pm_error err = {0};
    if (pm_disk_remove(disk, key, &removed, &err) != PM_OK) {
        pm_logf(disk->log, PM_LOG_WARNING, "the damaged entry could not be removed: %s", err.text);
    }
}

pm_status pm_disk_get(pm_disk *disk, const uint8_t key[PM_DIGEST_BYTES], pm_buffer *value, pm_disk_found *found,
                      pm_error *err) {
    *found = PM_DISK_MISSING;
    pm_status st = check_open(disk, err);
    if (st != PM_OK) {
        return st;
    }
    int rc;
    st = read_value(disk, key, value, found, &rc, err);
    if (st != PM_OK && pm_disk_is_damage(rc)) {
        *found = rc == MDB_PANIC ? PM_DISK_MISSING : PM_DISK_DAMAGED;
        return pm_disk_restart(disk, rc, err);
    }
    if (st == PM_OK && *found == PM_DISK_FOUND) {
        note_use(disk, key);
    } else if (st == PM_OK && *found == PM_DISK_DAMAGED) {
        remove_damaged(disk, key);
    }
    return st;
}

/* ---- writing ---- */

typedef enum pm_disk_part { LEFT_OUT, WANTED, KNOWN } part;

/* What a put is about to do. */
typedef struct plan {
    const pm_disk_entry *entries;
    uint8_t (*digests)[PM_DIGEST_BYTES];
    part *parts; /* KNOWN is found out anew in each transaction */
    size_t n;
    size_t new_bytes; /* of those wanted */
} plan;

/* Leaves out what the limit has no room for even in an empty cache. */
static pm_status make_plan(pm_disk *disk, const pm_disk_entry *entries, size_t n, plan *p, pm_error *err) {
    size_t bytes = 0;
    *p = (plan){.entries = entries, .n = n};
    p->digests = pm_malloc(n, sizeof *p->digests);
    p->parts = pm_calloc(n, sizeof *p->parts);
    if (p->digests == NULL || p->parts == NULL) {
        return pm_fail_memory(err, "writing to the trace cache", n * (sizeof *p->digests + sizeof *p->parts));
    }
    for (size_t i = 0; i < n; i++) {
        if (entries[i].size > disk->limit - bytes || entries[i].size > MAX_VALUE) {
            char hex[PM_DIGEST_HEX];
            pm_hex(entries[i].key, hex);
            pm_logf(disk->log, PM_LOG_WARNING,
                    "trace cache %s: entry %s of %zu bytes is left out: with %zu bytes put at once, the limit is %zu "
                    "(and %zu for one entry); raise --cache-limit",
                    disk->dir, hex, entries[i].size, bytes, disk->limit, MAX_VALUE);
            continue;
        }
        pm_status st = pm_disk_entry_digest(&entries[i], p->digests[i], err);
        if (st != PM_OK) {
            return st;
        }
        p->parts[i] = WANTED;
        bytes += entries[i].size;
    }
    return PM_OK;
}

static void free_plan(plan *p) {
    free(p->digests);
    free(p->parts);
}

/* What is there already keeps its value and is dated now, so that the eviction to come spares it. */
static int find_known(pm_disk *disk, MDB_txn *txn, plan *p) {
    p->new_bytes = 0;
    for (size_t i = 0; i < p->n; i++) {
        if (p->parts[i] == LEFT_OUT) {
            continue;
        }
        uint8_t name[PM_DISK_KEY_BYTES];
        pm_disk_key(name, PM_DISK_VALUE, p->entries[i].key);
        MDB_val key = {sizeof name, name}, value;
        int rc = mdb_get(txn, disk->dbi, &key, &value);
        p->parts[i] = rc == MDB_SUCCESS ? KNOWN : WANTED;
        if (rc == MDB_SUCCESS) {
            rc = pm_disk_put_stamp(txn, disk->dbi, p->entries[i].key, pm_disk_now(disk));
        } else if (rc == MDB_NOTFOUND) {
            p->new_bytes += p->entries[i].size;
            rc = MDB_SUCCESS;
        }
        if (rc != MDB_SUCCESS) {
            return rc;
        }
    }
    return MDB_SUCCESS;
}

static int put_wanted(pm_disk *disk, MDB_txn *txn, const plan *p, size_t *total) {
    for (size_t i = 0; i < p->n; i++) {
        if (p->parts[i] != WANTED) {
            continue;
        }
        int rc = pm_disk_put_value(txn, disk->dbi, &p->entries[i], p->digests[i]);
        if (rc == MDB_KEYEXIST) { /* twice in one put */
            continue;
        }
        if (rc == MDB_SUCCESS) {
            *total += p->entries[i].size;
            rc = pm_disk_put_stamp(txn, disk->dbi, p->entries[i].key, pm_disk_now(disk));
        }
        if (rc != MDB_SUCCESS) {
            return rc;
        }
    }
    return MDB_SUCCESS;
}

/* Bytes of all values: as this handle left them where nobody has committed since, else counted. */
static int find_total(pm_disk *disk, MDB_txn *txn, size_t *total) {
    size_t entries;
    if (disk->total_txnid != 0 && mdb_txn_id(txn) == disk->total_txnid + 1) {
        *total = disk->total;
        return MDB_SUCCESS;
    }
    return pm_disk_sizes(txn, disk->dbi, &entries, total);
}

/* Inside the transaction; *rc is LMDB's code where that is why it failed. */
static pm_status put_all(pm_disk *disk, MDB_txn *txn, plan *p, size_t *total, int *rc, pm_error *err) {
    *rc = write_uses(disk, txn);
    if (*rc == MDB_SUCCESS) {
        *rc = find_known(disk, txn, p);
    }
    if (*rc == MDB_SUCCESS) {
        *rc = find_total(disk, txn, total);
    }
    if (*rc == MDB_SUCCESS && *total > disk->limit - p->new_bytes) {
        *rc = pm_disk_evict(disk, txn, disk->limit - p->new_bytes, total);
    }
    if (*rc == MDB_SUCCESS) {
        *rc = put_wanted(disk, txn, p, total);
    }
    return *rc == MDB_SUCCESS ? PM_OK : pm_disk_fail(disk, *rc, "writing", err);
}

static pm_status put_once(pm_disk *disk, plan *p, int *rc, pm_error *err) {
    MDB_txn *txn;
    size_t total = 0;
    *rc = pm_disk_begin(disk, 0, &txn);
    if (*rc != MDB_SUCCESS) {
        return pm_disk_fail(disk, *rc, "beginning to write", err);
    }
    size_t txnid = mdb_txn_id(txn);
    pm_status st = put_all(disk, txn, p, &total, rc, err);
    if (st != PM_OK) {
        mdb_txn_abort(txn);
        return st;
    }
    *rc = mdb_txn_commit(txn);
    if (*rc != MDB_SUCCESS) {
        return pm_disk_fail(disk, *rc, "committing", err);
    }
    disk->n_used = 0;
    /* a commit without a change has no number of its own */
    disk->total_txnid = p->new_bytes > 0 ? txnid : 0;
    disk->total = total;
    return PM_OK;
}

/* Less and less is kept, until the pages that come free are enough. */
static pm_status put_after_making_room(pm_disk *disk, plan *p, int *rc, pm_error *err) {
    static const unsigned fractions[] = {2, 8, 0};
    pm_status st = PM_EIO;
    for (size_t i = 0; i < sizeof fractions / sizeof fractions[0] && st != PM_OK && *rc == MDB_MAP_FULL; i++) {
        st = pm_disk_make_room(disk, fractions[i], err);
        if (st != PM_OK) {
            return st;
        }
        st = put_once(disk, p, rc, err);
    }
    return st;
}

pm_status pm_disk_put(pm_disk *disk, const pm_disk_entry *entries, size_t n, pm_error *err) {
    plan p;
    int rc = MDB_SUCCESS;
    pm_status st = check_open(disk, err);
    if (st != PM_OK || n == 0) {
        return st;
    }
    st = make_plan(disk, entries, n, &p, err);
    if (st == PM_OK) {
        st = put_once(disk, &p, &rc, err);
        if (st != PM_OK && rc == MDB_MAP_FULL) {
            st = put_after_making_room(disk, &p, &rc, err);
        } else if (st != PM_OK && pm_disk_is_damage(rc)) {
            st = pm_disk_restart(disk, rc, err);
            st = st == PM_OK ? put_once(disk, &p, &rc, err) : st;
        }
    }
    free_plan(&p);
    return st;
}

/* ---- removing ---- */

pm_status pm_disk_remove(pm_disk *disk, const uint8_t key[PM_DIGEST_BYTES], bool *removed, pm_error *err) {
    MDB_txn *txn;
    *removed = false;
    pm_status st = check_open(disk, err);
    if (st != PM_OK) {
        return st;
    }
    disk->total_txnid = 0;
    int rc = pm_disk_begin(disk, 0, &txn);
    if (rc != MDB_SUCCESS) {
        return pm_disk_fail(disk, rc, "beginning to write", err);
    }
    rc = pm_disk_delete(txn, disk->dbi, key);
    bool was_there = rc == MDB_SUCCESS;
    if (rc == MDB_SUCCESS || rc == MDB_NOTFOUND) {
        rc = mdb_txn_commit(txn);
    } else {
        mdb_txn_abort(txn);
    }
    *removed = was_there && rc == MDB_SUCCESS;
    return rc == MDB_SUCCESS ? PM_OK : pm_disk_fail(disk, rc, "removing an entry", err);
}

static pm_status drop_all(pm_disk *disk, pm_error *err) {
    MDB_txn *txn;
    int rc = pm_disk_begin(disk, 0, &txn);
    if (rc == MDB_SUCCESS) {
        rc = mdb_drop(txn, disk->dbi, 0);
        if (rc == MDB_SUCCESS) {
            rc = mdb_txn_commit(txn);
        } else {
            mdb_txn_abort(txn);
        }
    }
    return rc == MDB_SUCCESS ? PM_OK : pm_disk_fail(disk, rc, "clearing", err);
}

pm_status pm_disk_clear(pm_disk *disk, size_t *removed, pm_error *err) {
    pm_disk_stat before = {0};
    bool done;
    *removed = 0;
    disk->n_used = 0;
    disk->total_txnid = 0;
    pm_status st = pm_disk_stat_of(disk, &before, err);
    if (st == PM_OK) {
        st = pm_disk_replace_if_alone(disk, &done, err);
    }
    if (st == PM_OK && !done) {
        st = drop_all(disk, err);
    }
    *removed = st == PM_OK ? before.entries : 0;
    return st;
}

/* ---- looking ---- */

pm_status pm_disk_stat_of(pm_disk *disk, pm_disk_stat *out, pm_error *err) {
    MDB_txn *txn;
    size_t entries = 0, bytes = 0;
    pm_status st = check_open(disk, err);
    if (st != PM_OK) {
        return st;
    }
    int rc = pm_disk_begin(disk, MDB_RDONLY, &txn);
    if (rc == MDB_SUCCESS) {
        rc = pm_disk_sizes(txn, disk->dbi, &entries, &bytes);
        mdb_txn_abort(txn);
    }
    if (rc != MDB_SUCCESS) {
        return pm_disk_fail(disk, rc, "reading sizes", err);
    }
    *out = (pm_disk_stat){
        .entries = entries, .value_bytes = bytes, .file_bytes = pm_disk_file_bytes(disk->dir), .limit = disk->limit};
    return PM_OK;
}

static pm_status visit_pair(const pm_disk_pair *pair, pm_disk_visit visit, void *ctx, pm_error *err) {
    bool right;
    pm_status st = pm_disk_verify(pair->key, &pair->record, &right, err);
    if (st != PM_OK) {
        return st;
    }
    pm_disk_item item = {
        .size = pm_disk_value_size(&pair->record), .last_used = pair->stamp / 1000000000, .damaged = !right};
    memcpy(item.key, pair->key, sizeof item.key);
    const uint8_t *record = pair->record.mv_data;
    item.bytes = record + (pair->record.mv_size - item.size);
    return visit(ctx, &item, err);
}

pm_status pm_disk_each(pm_disk *disk, pm_disk_visit visit, void *ctx, pm_error *err) {
    MDB_txn *txn;
    pm_disk_pairs pairs;
    pm_disk_pair pair;
    pm_status st = check_open(disk, err);
    if (st != PM_OK) {
        return st;
    }
    int rc = pm_disk_begin(disk, MDB_RDONLY, &txn);
    if (rc != MDB_SUCCESS) {
        return pm_disk_fail(disk, rc, "beginning to read", err);
    }
    disk->visiting = true;
    rc = pm_disk_pairs_open(txn, disk->dbi, &pairs);
    while (rc == MDB_SUCCESS && st == PM_OK && (rc = pm_disk_pairs_next(&pairs, &pair)) == MDB_SUCCESS) {
        if (pair.record.mv_data != NULL) {
            st = visit_pair(&pair, visit, ctx, err);
        }
    }
    disk->visiting = false;
    pm_disk_pairs_close(&pairs);
    mdb_txn_abort(txn);
    if (st == PM_OK && rc != MDB_SUCCESS && rc != MDB_NOTFOUND) {
        st = pm_disk_fail(disk, rc, "reading entries", err);
    }
    return st;
}
