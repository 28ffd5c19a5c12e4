#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "store/disk_impl.h"

void pm_disk_key(uint8_t out[PM_DISK_KEY_BYTES], char kind, const uint8_t key[PM_DIGEST_BYTES]) {
    out[0] = (uint8_t)kind;
    memcpy(out + 1, key, PM_DIGEST_BYTES);
}

size_t pm_disk_value_size(const MDB_val *record) {
    return record->mv_size < PM_DIGEST_BYTES ? 0 : record->mv_size - PM_DIGEST_BYTES;
}

/* ---- digests ---- */

static pm_status digest_of(const uint8_t key[PM_DIGEST_BYTES], const uint8_t *bytes, size_t n,
                           uint8_t digest[PM_DIGEST_BYTES], pm_error *err) {
    pm_hasher *h = NULL;
    pm_status st = pm_hasher_new(PM_SHA256, &h, err);
    if (st == PM_OK) {
        st = pm_hasher_add(h, key, PM_DIGEST_BYTES, err);
    }
    if (st == PM_OK) {
        st = pm_hasher_add(h, bytes, n, err);
    }
    if (st == PM_OK) {
        st = pm_hasher_finish(h, digest, err);
    }
    pm_hasher_free(h);
    return st;
}

pm_status pm_disk_entry_digest(const pm_disk_entry *entry, uint8_t digest[PM_DIGEST_BYTES], pm_error *err) {
    return digest_of(entry->key, entry->bytes, entry->size, digest, err);
}

pm_status pm_disk_verify(const uint8_t key[PM_DIGEST_BYTES], const MDB_val *record, bool *right, pm_error *err) {
    const uint8_t *bytes = record->mv_data;
    uint8_t digest[PM_DIGEST_BYTES];
    *right = false;
    if (record->mv_size < PM_DIGEST_BYTES) {
        return PM_OK;
    }
    pm_status st = digest_of(key, bytes + PM_DIGEST_BYTES, pm_disk_value_size(record), digest, err);
    *right = st == PM_OK && memcmp(digest, bytes, PM_DIGEST_BYTES) == 0;
    return st;
}

/* ---- writing ---- */

int pm_disk_put_value(MDB_txn *txn, MDB_dbi dbi, const pm_disk_entry *entry, const uint8_t digest[PM_DIGEST_BYTES]) {
    uint8_t name[PM_DISK_KEY_BYTES];
    pm_disk_key(name, PM_DISK_VALUE, entry->key);
    MDB_val key = {sizeof name, name}, record = {PM_DIGEST_BYTES + entry->size, NULL};
    int rc = mdb_put(txn, dbi, &key, &record, MDB_NOOVERWRITE | MDB_RESERVE);
    if (rc == MDB_SUCCESS) {
        uint8_t *bytes = record.mv_data;
        memcpy(bytes, digest, PM_DIGEST_BYTES);
        if (entry->size > 0) {
            memcpy(bytes + PM_DIGEST_BYTES, entry->bytes, entry->size);
        }
    }
    return rc;
}

int pm_disk_put_stamp(MDB_txn *txn, MDB_dbi dbi, const uint8_t key[PM_DIGEST_BYTES], int64_t stamp) {
    uint8_t name[PM_DISK_KEY_BYTES];
    pm_disk_key(name, PM_DISK_STAMP, key);
    MDB_val k = {sizeof name, name}, v = {sizeof stamp, &stamp};
    return mdb_put(txn, dbi, &k, &v, 0);
}

int pm_disk_delete(MDB_txn *txn, MDB_dbi dbi, const uint8_t key[PM_DIGEST_BYTES]) {
    uint8_t name[PM_DISK_KEY_BYTES];
    MDB_val k = {sizeof name, name};
    pm_disk_key(name, PM_DISK_STAMP, key);
    int rc = mdb_del(txn, dbi, &k, NULL);
    if (rc != MDB_SUCCESS && rc != MDB_NOTFOUND) {
        return rc;
    }
    pm_disk_key(name, PM_DISK_VALUE, key);
    return mdb_del(txn, dbi, &k, NULL);
}

/* ---- reading in pairs ---- */

/* MDB_NOTFOUND once the cursor has left the keys of its kind. */
static int step(MDB_cursor *cursor, MDB_cursor_op op, char kind, MDB_val *key, MDB_val *value) {
    int rc = mdb_cursor_get(cursor, key, value, op);
    if (rc == MDB_SUCCESS && *(const uint8_t *)key->mv_data != (uint8_t)kind) {
        rc = MDB_NOTFOUND;
    }
    return rc;
}

static int first(MDB_cursor *cursor, char kind, MDB_val *key, MDB_val *value) {
    char start[1] = {kind};
    *key = (MDB_val){1, start};
    return step(cursor, MDB_SET_RANGE, kind, key, value);
}

int pm_disk_pairs_open(MDB_txn *txn, MDB_dbi dbi, pm_disk_pairs *pairs) {
    *pairs = (pm_disk_pairs){0};
    int rc = mdb_cursor_open(txn, dbi, &pairs->values);
    if (rc == MDB_SUCCESS) {
        rc = mdb_cursor_open(txn, dbi, &pairs->stamps);
    }
    if (rc != MDB_SUCCESS) {
        pm_disk_pairs_close(pairs);
        return rc;
    }
    pairs->value_rc = first(pairs->values, PM_DISK_VALUE, &pairs->value_key, &pairs->value);
    pairs->stamp_rc = first(pairs->stamps, PM_DISK_STAMP, &pairs->stamp_key, &pairs->stamp);
    return MDB_SUCCESS;
}

void pm_disk_pairs_close(pm_disk_pairs *pairs) {
    if (pairs->values != NULL) {
        mdb_cursor_close(pairs->values);
    }
    if (pairs->stamps != NULL) {
        mdb_cursor_close(pairs->stamps);
    }
    *pairs = (pm_disk_pairs){0};
}

/* Which comes first: the value (negative), the stamp (positive), or both have one key. One that has ended comes last.
 */
static int compare_heads(const pm_disk_pairs *pairs) {
    if (pairs->value_rc != MDB_SUCCESS) {
        return 1;
    }
    if (pairs->stamp_rc != MDB_SUCCESS) {
        return -1;
    }
    return memcmp((const uint8_t *)pairs->value_key.mv_data + 1, (const uint8_t *)pairs->stamp_key.mv_data + 1,
                  PM_DIGEST_BYTES);
}

int pm_disk_pairs_next(pm_disk_pairs *pairs, pm_disk_pair *out) {
    if (pairs->value_rc != MDB_SUCCESS && (pairs->value_rc != MDB_NOTFOUND || pairs->stamp_rc != MDB_SUCCESS)) {
        return pairs->value_rc;
    }
    if (pairs->stamp_rc != MDB_SUCCESS && pairs->stamp_rc != MDB_NOTFOUND) {
        return pairs->stamp_rc;
    }
    int order = compare_heads(pairs);
    *out = (pm_disk_pair){.has_stamp = order >= 0};
    const MDB_val *key = order <= 0 ? &pairs->value_key : &pairs->stamp_key;
    memcpy(out->key, (const uint8_t *)key->mv_data + 1, PM_DIGEST_BYTES);
    if (order >= 0) {
        if (pairs->stamp.mv_size == sizeof out->stamp) {
            memcpy(&out->stamp, pairs->stamp.mv_data, sizeof out->stamp);
        }
        pairs->stamp_rc = step(pairs->stamps, MDB_NEXT, PM_DISK_STAMP, &pairs->stamp_key, &pairs->stamp);
    }
    if (order <= 0) {
        out->record = pairs->value;
        pairs->value_rc = step(pairs->values, MDB_NEXT, PM_DISK_VALUE, &pairs->value_key, &pairs->value);
    }
    return MDB_SUCCESS;
}

/* ---- repair ---- */

/* Lists the keys that are not a value and a stamp. */
static pm_status find_odd(pm_disk *disk, MDB_txn *txn, pm_disk_pair **odd, size_t *n, pm_error *err) {
    pm_disk_pairs pairs;
    pm_disk_pair pair;
    size_t capacity = 0;
    int rc = pm_disk_pairs_open(txn, disk->dbi, &pairs);
    while (rc == MDB_SUCCESS && (rc = pm_disk_pairs_next(&pairs, &pair)) == MDB_SUCCESS) {
        if (pair.has_stamp && pair.record.mv_data != NULL) {
            continue;
        }
        if (!pm_reserve((void **)odd, &capacity, *n + 1, sizeof pair)) {
            rc = ENOMEM;
            break;
        }
        (*odd)[(*n)++] = pair;
    }
    pm_disk_pairs_close(&pairs);
    return rc == MDB_NOTFOUND ? PM_OK : pm_disk_fail(disk, rc, "looking for damaged keys", err);
}

static pm_status repair_one(pm_disk *disk, MDB_txn *txn, const pm_disk_pair *odd, pm_error *err) {
    char hex[PM_DIGEST_HEX];
    pm_hex(odd->key, hex);
    bool right = false;
    if (odd->record.mv_data != NULL) {
        pm_status st = pm_disk_verify(odd->key, &odd->record, &right, err);
        if (st != PM_OK) {
            return st;
        }
    }
    int rc;
    if (right) {
        pm_logf(disk->log, PM_LOG_WARNING, "trace cache %s: entry %s had no time of use; it is dated now", disk->dir,
                hex);
        rc = pm_disk_put_stamp(txn, disk->dbi, odd->key, pm_disk_now(disk));
    } else {
        pm_logf(disk->log, PM_LOG_ERROR, "trace cache %s: the key of entry %s is damaged; the entry is removed",
                disk->dir, hex);
        rc = pm_disk_delete(txn, disk->dbi, odd->key);
    }
    return rc == MDB_SUCCESS || rc == MDB_NOTFOUND ? PM_OK : pm_disk_fail(disk, rc, "removing a damaged entry", err);
}

pm_status pm_disk_repair(pm_disk *disk, MDB_txn *txn, pm_error *err) {
    pm_disk_pair *odd = NULL;
    size_t n = 0;
    pm_status st = find_odd(disk, txn, &odd, &n, err);
    /* the records point into the map, which stays as it is until the commit */
    for (size_t i = 0; i < n && st == PM_OK; i++) {
        st = repair_one(disk, txn, &odd[i], err);
    }
    free(odd);
    return st;
}
