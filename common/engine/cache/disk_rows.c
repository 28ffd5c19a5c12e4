#include <string.h>
#include <time.h>

#include "cache/disk_impl.h"

int64_t pmi_disk_now(pm_disk *disk) {
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    int64_t now = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    disk->last_stamp = now > disk->last_stamp ? now : disk->last_stamp + 1;
    return disk->last_stamp;
}

/* ---- marks: a damaged row is told from a good one without its value ---- */

static uint64_t mix(uint64_t h, uint64_t word) {
    h = (h ^ word) * 0x9E3779B97F4A7C15u;
    return h ^ h >> 29;
}

static int64_t mark_of(const pm_disk_row *row) {
    uint64_t h = mix(0x6D61726Bu, (uint64_t)row->kind);
    for (size_t i = 0; i < PM_DIGEST_BYTES; i += 8) {
        uint64_t word = 0;
        for (size_t k = 0; k < 8; k++) {
            word |= (uint64_t)row->key[i + k] << 8 * k;
        }
        h = mix(h, word);
    }
    h = mix(mix(mix(h, (uint64_t)row->id), (uint64_t)row->size), (uint64_t)row->used);
    return (int64_t)(h >> 1);
}

/* ---- reading ---- */

static bool is_integer(sqlite3_stmt *s, int column) {
    return sqlite3_column_type(s, column) == SQLITE_INTEGER;
}

bool pmi_disk_row_read(sqlite3_stmt *s, pm_disk_row *out, bool *has_key) {
    *out = (pm_disk_row){0};
    int64_t kind = is_integer(s, 0) ? sqlite3_column_int64(s, 0) : -1;
    const void *key = sqlite3_column_type(s, 1) == SQLITE_BLOB ? sqlite3_column_blob(s, 1) : NULL;
    *has_key = kind >= 0 && kind < PM_DISK_KINDS && key != NULL && sqlite3_column_bytes(s, 1) == PM_DIGEST_BYTES;
    if (!*has_key) {
        return false;
    }
    out->kind = (pm_disk_kind)kind;
    memcpy(out->key, key, PM_DIGEST_BYTES);
    for (int i = 2; i <= 5; i++) {
        if (!is_integer(s, i)) {
            return false;
        }
    }
    out->id = sqlite3_column_int64(s, 2);
    out->size = sqlite3_column_int64(s, 3);
    out->used = sqlite3_column_int64(s, 4);
    return out->size >= 0 && sqlite3_column_int64(s, 5) == mark_of(out);
}

int pmi_disk_row_order(const pm_disk_row *a, const pm_disk_row *b) {
    return a->kind != b->kind ? (a->kind > b->kind) - (a->kind < b->kind) : memcmp(a->key, b->key, PM_DIGEST_BYTES);
}

bool pmi_disk_row_is(const pm_disk_row *row, pm_disk_kind kind, const uint8_t key[PM_DIGEST_BYTES]) {
    return row->kind == kind && memcmp(row->key, key, PM_DIGEST_BYTES) == 0;
}

int pmi_disk_digest(pm_disk_kind kind, const uint8_t key[PM_DIGEST_BYTES], const uint8_t *bytes, size_t n,
                    uint8_t digest[PM_DIGEST_BYTES]) {
    pm_hasher *h = NULL;
    uint8_t letter = (uint8_t)kind;
    pm_status st = pmi_hasher_new(PM_SHA256, &h, NULL);
    PM_THEN(st, pmi_hasher_add(h, &letter, 1, NULL));
    PM_THEN(st, pmi_hasher_add(h, key, PM_DIGEST_BYTES, NULL));
    PM_THEN(st, pmi_hasher_add(h, bytes, n, NULL));
    PM_THEN(st, pmi_hasher_finish(h, digest, NULL));
    pmi_hasher_free(h);
    return st == PM_OK ? SQLITE_OK : SQLITE_NOMEM;
}

int pmi_disk_value_read(sqlite3_stmt *s, const pm_disk_row *row, const uint8_t **bytes, bool *right) {
    uint8_t digest[PM_DIGEST_BYTES];
    *right = false;
    const void *kept = sqlite3_column_blob(s, 6);
    bool has_digest = kept != NULL && sqlite3_column_bytes(s, 6) == PM_DIGEST_BYTES;
    *bytes = sqlite3_column_blob(s, 7); /* NULL for a value of no bytes, and where memory is out */
    int64_t n = sqlite3_column_bytes(s, 7);
    if (sqlite3_errcode(sqlite3_db_handle(s)) == SQLITE_NOMEM) {
        return SQLITE_NOMEM;
    }
    if (!has_digest || sqlite3_column_type(s, 7) != SQLITE_BLOB || n != row->size) {
        return SQLITE_OK;
    }
    int rc = pmi_disk_digest(row->kind, row->key, *bytes, (size_t)n, digest);
    *right = rc == SQLITE_OK && memcmp(digest, kept, PM_DIGEST_BYTES) == 0;
    return rc;
}

/* ---- one row ---- */

static void bind_key(sqlite3_stmt *s, int at, pm_disk_kind kind, const uint8_t key[PM_DIGEST_BYTES]) {
    sqlite3_bind_int(s, at, (int)kind);
    sqlite3_bind_blob(s, at + 1, key, PM_DIGEST_BYTES, SQLITE_STATIC);
}

/* Runs to its end a statement of a row's kind and key (NULL: without), then n numbers. */
static int run(pm_disk *disk, pm_disk_sql which, const pm_disk_row *row, int n, const int64_t numbers[]) {
    int rc, first = row == NULL ? 1 : 3;
    sqlite3_stmt *s = pmi_disk_statement(disk, which, &rc);
    if (s == NULL) {
        return rc;
    }
    if (row != NULL) {
        bind_key(s, 1, row->kind, row->key);
    }
    for (int i = 0; i < n; i++) {
        sqlite3_bind_int64(s, first + i, numbers[i]);
    }
    return pmi_disk_step(disk, which);
}

/* Its size is not known, nor which value is its own: what no entry has is deleted, and the sum made anew. */
int pmi_disk_drop_damaged(pm_disk *disk, const pm_disk_row *row) {
    char hex[PM_DIGEST_HEX];
    pmi_hex(row->key, hex);
    pmi_logf(disk->log, PM_LOG_ERROR, "trace cache %s: the row of entry %s is damaged; it is removed", disk->dir, hex);
    int rc = run(disk, PM_SQL_REMOVE_ENTRY, row, 0, NULL);
    PM_THEN(rc, pmi_disk_step(disk, PM_SQL_REMOVE_ORPHANS));
    return rc == SQLITE_OK ? pmi_disk_step(disk, PM_SQL_SUM_UP) : rc;
}

int pmi_disk_find(pm_disk *disk, pm_disk_kind kind, const uint8_t key[PM_DIGEST_BYTES], pm_disk_row *out) {
    int rc;
    sqlite3_stmt *s = pmi_disk_statement(disk, PM_SQL_FIND, &rc);
    if (s == NULL) {
        return rc;
    }
    bool has_key, right = true;
    bind_key(s, 1, kind, key);
    rc = sqlite3_step(s);
    if (rc == SQLITE_ROW) {
        right = pmi_disk_row_read(s, out, &has_key);
    }
    sqlite3_reset(s);
    if (rc == SQLITE_ROW && !pmi_disk_row_is(out, kind, key)) {
        return SQLITE_CORRUPT;
    }
    if (!right) {
        rc = pmi_disk_drop_damaged(disk, out);
        return rc == SQLITE_OK ? SQLITE_DONE : rc;
    }
    return rc;
}

int pmi_disk_insert(pm_disk *disk, const pm_disk_entry *entry, const uint8_t digest[PM_DIGEST_BYTES]) {
    int rc;
    sqlite3_stmt *value = pmi_disk_statement(disk, PM_SQL_PUT_VALUE, &rc);
    if (value == NULL) {
        return rc;
    }
    sqlite3_bind_blob(value, 1, digest, PM_DIGEST_BYTES, SQLITE_STATIC);
    /* a pointer, also for no bytes: NULL would be SQL's */
    sqlite3_bind_blob64(value, 2, entry->size > 0 ? (const void *)entry->bytes : "", entry->size, SQLITE_STATIC);
    rc = pmi_disk_step(disk, PM_SQL_PUT_VALUE);
    if (rc != SQLITE_OK) {
        return rc;
    }
    pm_disk_row row = {.kind = entry->kind,
                       .id = sqlite3_last_insert_rowid(disk->db),
                       .size = (int64_t)entry->size,
                       .used = pmi_disk_now(disk)};
    memcpy(row.key, entry->key, PM_DIGEST_BYTES);
    return run(disk, PM_SQL_PUT_ENTRY, &row, 4, (int64_t[]){row.id, row.size, row.used, mark_of(&row)});
}

int pmi_disk_use(pm_disk *disk, const pm_disk_row *row) {
    return run(disk, PM_SQL_USE, row, 3, (int64_t[]){row->id, row->used, mark_of(row)});
}

int pmi_disk_delete(pm_disk *disk, const pm_disk_row *row) {
    int rc = run(disk, PM_SQL_REMOVE_VALUE, NULL, 1, &row->id);
    return rc == SQLITE_OK ? run(disk, PM_SQL_REMOVE_ENTRY, row, 0, NULL) : rc;
}

/* ---- the sum ---- */

int pmi_disk_total_read(pm_disk *disk, pm_disk_total *out) {
    int rc;
    sqlite3_stmt *s = pmi_disk_statement(disk, PM_SQL_TOTAL, &rc);
    if (s == NULL) {
        return rc;
    }
    rc = sqlite3_step(s);
    if (rc == SQLITE_ROW) {
        bool right = is_integer(s, 0) && is_integer(s, 1) && is_integer(s, 2);
        *out = (pm_disk_total){.entries = sqlite3_column_int64(s, 0),
                               .bytes = sqlite3_column_int64(s, 1),
                               .made = sqlite3_column_int64(s, 2)};
        rc = right && out->entries >= 0 && out->bytes >= 0 ? SQLITE_OK : SQLITE_CORRUPT;
    } else if (rc == SQLITE_DONE) {
        rc = SQLITE_CORRUPT;
    }
    sqlite3_reset(s);
    return rc;
}

int pmi_disk_total_write(pm_disk *disk, const pm_disk_total *total) {
    return run(disk, PM_SQL_SET_TOTAL, NULL, 2, (int64_t[]){total->entries, total->bytes});
}
