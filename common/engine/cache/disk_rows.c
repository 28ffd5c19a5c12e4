/* Work on the database: statements, transactions, what is done when they fail; and the rows. */
#include <string.h>

#include "base/clock.h"
#include "cache/disk_impl.h"

#define PAUSE_SECONDS 60.0
#define HOLD_SECONDS 0.1
#define MOST_TRIES 3

int pmi_disk_step(pm_disk *disk, pm_disk_sql which) {
    sqlite3_stmt *s;
    PM_TRY(pmi_disk_statement(disk, which, &s));
    int rc = SQLITE_ROW;
    while (rc == SQLITE_ROW) {
        rc = sqlite3_step(s);
    }
    sqlite3_reset(s);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* ---- transactions ---- */

static void reset_all(pm_disk *disk) {
    for (size_t i = 0; i < PM_SQL_COUNT; i++) {
        if (disk->sql[i] != NULL) {
            sqlite3_reset(disk->sql[i]);
            sqlite3_clear_bindings(disk->sql[i]);
        }
    }
}

static void abandon(pm_disk *disk) {
    reset_all(disk);
    if (disk->db != NULL && sqlite3_get_autocommit(disk->db) == 0) {
        (void)pmi_disk_step(disk, PM_SQL_ROLLBACK);
    }
    disk->held_since = 0;
}

static void end_hold(pm_disk *disk) {
    if (disk->held_since > 0) {
        abandon(disk);
    }
}

void pmi_disk_hold(pm_disk *disk) {
    disk->holds = true;
}

void pmi_disk_release(pm_disk *disk) {
    end_hold(disk);
    disk->holds = false;
}

static int begin_hold(pm_disk *disk) {
    double now = pmi_seconds();
    if (!disk->holds || (disk->held_since > 0 && now - disk->held_since < HOLD_SECONDS)) {
        return SQLITE_OK;
    }
    end_hold(disk);
    int rc = pmi_disk_step(disk, PM_SQL_BEGIN_READ);
    disk->held_since = rc == SQLITE_OK ? now : 0;
    return rc;
}

static int read_once(pm_disk *disk, pm_disk_work work, void *ctx) {
    PM_TRY(disk->db == NULL ? pmi_disk_connect(disk) : SQLITE_OK);
    PM_TRY(begin_hold(disk));
    return work(disk, ctx);
}

static int write_once(pm_disk *disk, pm_disk_work work, void *ctx) {
    int rc = disk->db == NULL ? pmi_disk_connect(disk) : SQLITE_OK;
    end_hold(disk);
    PM_TRY(rc);
    PM_TRY(pmi_disk_step(disk, PM_SQL_BEGIN_WRITE));
    PM_TRY(work(disk, ctx));
    return pmi_disk_step(disk, PM_SQL_COMMIT);
}

/* ---- failures ---- */

pm_status pmi_disk_fail(const pm_disk *disk, int rc, const char *doing, pm_error *err) {
    if ((rc & 0xff) == SQLITE_NOMEM) {
        return pmi_fail(err, PM_EOSERR, "trace cache %s: %s: out of memory", disk->dir, doing);
    }
    bool has_cause = disk->system_error != 0 && (rc & 0xff) != SQLITE_BUSY;
    return pmi_fail(err, PM_EIO, "trace cache %s: %s: %s%s%s", disk->dir, doing, sqlite3_errstr(rc),
                    has_cause ? ": " : "", has_cause ? strerror(disk->system_error) : "");
}

static int try_again(pm_disk *disk, bool writes, pm_disk_work work, void *ctx) {
    int rc = SQLITE_OK;
    for (int tries = 0; tries < MOST_TRIES; tries++) {
        rc = writes ? write_once(disk, work, ctx) : read_once(disk, work, ctx);
        if (rc == SQLITE_OK) {
            return rc;
        }
        disk->system_error = disk->db != NULL ? sqlite3_system_errno(disk->db) : disk->system_error;
        abandon(disk);
        if (disk->db != NULL && pmi_disk_is_damage(disk, rc)) {
            rc = pmi_disk_rebuild(disk, rc);
        } else if (rc == SQLITE_READONLY_DBMOVED) { /* deleted, or another in its place */
            pmi_disk_disconnect(disk);
            rc = SQLITE_OK;
        }
        if (rc != SQLITE_OK) {
            return rc;
        }
    }
    return SQLITE_CORRUPT;
}

static pm_status attempt(pm_disk *disk, bool writes, pm_disk_work work, void *ctx, const char *doing, pm_error *err) {
    pm_disk_pause *pause = writes ? &disk->writing : &disk->reading;
    double now = pmi_seconds();
    if (disk->visiting) {
        return pmi_fail(err, PM_EUSAGE, "trace cache %s: used from inside pmi_disk_each", disk->dir);
    }
    if (now < pause->until) {
        return pmi_fail(err, PM_EIO, "%s", pause->why.text);
    }
    int rc = try_again(disk, writes, work, ctx);
    if (rc == SQLITE_OK) {
        disk->patience = PM_DISK_PATIENCE_SECONDS;
        disk->most_patience = PM_DISK_MOST_SECONDS;
        return PM_OK;
    }
    pm_status st = pmi_disk_fail(disk, rc, doing, &pause->why);
    pause->until = pmi_seconds() + PAUSE_SECONDS;
    return pmi_fail(err, st, "%s", pause->why.text);
}

pm_status pmi_disk_read(pm_disk *disk, pm_disk_work work, void *ctx, const char *doing, pm_error *err) {
    return attempt(disk, false, work, ctx, doing, err);
}

pm_status pmi_disk_write(pm_disk *disk, pm_disk_work work, void *ctx, const char *doing, pm_error *err) {
    return attempt(disk, true, work, ctx, doing, err);
}

void pmi_disk_warn_once(pm_disk *disk, const pm_error *why) {
    if (!disk->has_warned) {
        pmi_logf(disk->log, PM_LOG_WARNING, "%s; going on without it", why->text);
    }
    disk->has_warned = true;
}

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
    *has_key = kind >= 0 && kind < PM_CACHE_KINDS && key != NULL && sqlite3_column_bytes(s, 1) == PM_DIGEST_BYTES;
    if (!*has_key) {
        return false;
    }
    out->kind = (pm_cache_kind)kind;
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

bool pmi_disk_row_is(const pm_disk_row *row, pm_cache_kind kind, const uint8_t key[PM_DIGEST_BYTES]) {
    return row->kind == kind && memcmp(row->key, key, PM_DIGEST_BYTES) == 0;
}

int pmi_disk_digest(pm_cache_kind kind, const uint8_t key[PM_DIGEST_BYTES], const uint8_t *bytes, size_t n,
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

static void bind_key(sqlite3_stmt *s, int at, pm_cache_kind kind, const uint8_t key[PM_DIGEST_BYTES]) {
    sqlite3_bind_int(s, at, (int)kind);
    sqlite3_bind_blob(s, at + 1, key, PM_DIGEST_BYTES, SQLITE_STATIC);
}

/* Runs to its end a statement of a row's kind and key (NULL: without), then n numbers. */
static int run(pm_disk *disk, pm_disk_sql which, const pm_disk_row *row, int n, const int64_t numbers[]) {
    int first = row == NULL ? 1 : 3;
    sqlite3_stmt *s;
    PM_TRY(pmi_disk_statement(disk, which, &s));
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
    PM_TRY(run(disk, PM_SQL_REMOVE_ENTRY, row, 0, NULL));
    PM_TRY(pmi_disk_step(disk, PM_SQL_REMOVE_ORPHANS));
    return pmi_disk_step(disk, PM_SQL_SUM_UP);
}

int pmi_disk_find(pm_disk *disk, pm_cache_kind kind, const uint8_t key[PM_DIGEST_BYTES], pm_disk_row *out) {
    sqlite3_stmt *s;
    PM_TRY(pmi_disk_statement(disk, PM_SQL_FIND, &s));
    bool has_key, right = true;
    bind_key(s, 1, kind, key);
    int rc = sqlite3_step(s);
    if (rc == SQLITE_ROW) {
        right = pmi_disk_row_read(s, out, &has_key);
    }
    sqlite3_reset(s);
    if (rc == SQLITE_ROW && !pmi_disk_row_is(out, kind, key)) {
        return SQLITE_CORRUPT;
    }
    if (!right) {
        PM_TRY(pmi_disk_drop_damaged(disk, out));
        rc = SQLITE_DONE;
    }
    return rc;
}

int pmi_disk_insert(pm_disk *disk, const pm_cache_entry *entry, const uint8_t digest[PM_DIGEST_BYTES]) {
    sqlite3_stmt *value;
    PM_TRY(pmi_disk_statement(disk, PM_SQL_PUT_VALUE, &value));
    sqlite3_bind_blob(value, 1, digest, PM_DIGEST_BYTES, SQLITE_STATIC);
    /* a pointer, also for no bytes: NULL would be SQL's */
    sqlite3_bind_blob64(value, 2, entry->size > 0 ? (const void *)entry->bytes : "", entry->size, SQLITE_STATIC);
    PM_TRY(pmi_disk_step(disk, PM_SQL_PUT_VALUE));
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
    PM_TRY(run(disk, PM_SQL_REMOVE_VALUE, NULL, 1, &row->id));
    return run(disk, PM_SQL_REMOVE_ENTRY, row, 0, NULL);
}

/* ---- the sum ---- */

int pmi_disk_total_read(pm_disk *disk, pm_disk_total *out) {
    sqlite3_stmt *s;
    PM_TRY(pmi_disk_statement(disk, PM_SQL_TOTAL, &s));
    int rc = sqlite3_step(s);
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
