/* Putting, and the limit. */
#include <string.h>

#include "base/mem.h"
#include "cache/disk_impl.h"

typedef struct damaged_rows {
    pm_disk_row *rows;
    size_t n, capacity;
} damaged_rows;

/* Reads all rows in order: the good ones are summed up, the others listed. */
static int read_rows(pm_disk *disk, pm_disk_total *sum, damaged_rows *damaged) {
    int rc;
    sqlite3_stmt *s = pmi_disk_statement(disk, PM_SQL_ALL, &rc);
    pm_disk_row row, before = {0};
    bool is_first = true;
    if (s == NULL) {
        return rc;
    }
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        bool has_key, right = pmi_disk_row_read(s, &row, &has_key);
        if (!has_key || (!is_first && pmi_disk_row_order(&before, &row) >= 0)) {
            rc = SQLITE_CORRUPT;
            break;
        }
        before = row;
        is_first = false;
        if (right) {
            sum->entries++;
            sum->bytes += row.size;
        } else if (pmi_reserve((void **)&damaged->rows, &damaged->capacity, damaged->n + 1, sizeof row)) {
            damaged->rows[damaged->n++] = row;
        } else {
            rc = SQLITE_NOMEM;
            break;
        }
    }
    sqlite3_reset(s);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int check_rows(pm_disk *disk) {
    pm_disk_total total, sum = {0};
    damaged_rows damaged = {0};
    int rc = disk->is_checked ? SQLITE_OK : pmi_disk_total_read(disk, &total);
    if (rc != SQLITE_OK || disk->is_checked) {
        return rc;
    }
    rc = read_rows(disk, &sum, &damaged);
    if (rc == SQLITE_OK && damaged.n == 0 && (sum.entries != total.entries || sum.bytes != total.bytes)) {
        rc = SQLITE_CORRUPT; /* rows are lost */
    }
    for (size_t i = 0; i < damaged.n && rc == SQLITE_OK; i++) {
        rc = pmi_disk_drop_damaged(disk, &damaged.rows[i]);
    }
    free(damaged.rows);
    disk->is_checked = rc == SQLITE_OK;
    return rc;
}

#define CHECKED_PAGES 16384 /* 64 MiB */

/* The one number that a statement gives; -1 when it fails. */
static int64_t number_of(pm_disk *disk, pm_disk_sql which) {
    int rc;
    sqlite3_stmt *s = pmi_disk_statement(disk, which, &rc);
    int64_t number = s != NULL && sqlite3_step(s) == SQLITE_ROW ? sqlite3_column_int64(s, 0) : -1;
    sqlite3_reset(s);
    return number;
}

static bool is_sound(pm_disk *disk) {
    int rc;
    if (number_of(disk, PM_SQL_PAGES) > CHECKED_PAGES) {
        return true;
    }
    sqlite3_stmt *s = pmi_disk_statement(disk, PM_SQL_CHECK, &rc);
    bool is_sound = s != NULL && sqlite3_step(s) == SQLITE_ROW && sqlite3_column_text(s, 0) != NULL &&
                    strcmp((const char *)sqlite3_column_text(s, 0), "ok") == 0;
    sqlite3_reset(s);
    return is_sound;
}

#define FEW_PAGES 64

static int shrink(pm_disk *disk) {
    int64_t free_pages = number_of(disk, PM_SQL_FREE_PAGES), pages = number_of(disk, PM_SQL_PAGES);
    if (free_pages <= FEW_PAGES && free_pages < pages / 2) {
        return SQLITE_OK;
    }
    return free_pages > pages / 8 ? pmi_disk_step(disk, PM_SQL_SHRINK) : SQLITE_OK;
}

#define MAX_VALUE ((size_t)1000000000 - 4096) /* of SQLite, with the row around it */

/* What the limit allows the file to take beyond the values: entries of few bytes take more than their bytes. */
#define ENTRY_BYTES 128
#define FILE_FACTOR 4
#define FILE_EXTRA ((int64_t)8 << 20)

typedef enum pm_disk_part { LEFT_OUT, WANTED, KNOWN } part;

/* What a put is about to do. */
typedef struct plan {
    const pm_disk_entry *entries;
    uint8_t (*digests)[PM_DIGEST_BYTES];
    part *parts; /* KNOWN is found out anew in each transaction */
    size_t n;
    size_t new_bytes; /* of those wanted */
} plan;

static void log_left_out(const pm_disk *disk, const pm_disk_entry *entry, size_t bytes) {
    char hex[PM_DIGEST_HEX];
    pmi_hex(entry->key, hex);
    pmi_logf(disk->log, PM_LOG_WARNING,
             "trace cache %s: entry %s of %zu bytes is left out: with %zu bytes put at once, the limit is %zu (and %zu "
             "for one entry); raise --cache-limit",
             disk->dir, hex, entry->size, bytes, disk->limit, MAX_VALUE);
}

/* Leaves out what the limit has no room for even in an empty cache. */
static pm_status make_plan(pm_disk *disk, const pm_disk_entry *entries, size_t n, plan *p, pm_error *err) {
    size_t bytes = 0;
    *p = (plan){.entries = entries, .n = n};
    p->digests = pmi_malloc(n, sizeof *p->digests);
    p->parts = pmi_calloc(n, sizeof *p->parts);
    if (p->digests == NULL || p->parts == NULL) {
        return pmi_fail_memory(err, "writing to the trace cache", n * (sizeof *p->digests + sizeof *p->parts));
    }
    for (size_t i = 0; i < n; i++) {
        const pm_disk_entry *e = &entries[i];
        if (e->size > disk->limit - bytes || e->size > MAX_VALUE) {
            log_left_out(disk, e, bytes);
            continue;
        }
        if (pmi_disk_digest(e->kind, e->key, e->bytes, e->size, p->digests[i]) != SQLITE_OK) {
            return pmi_fail_memory(err, "a SHA-256", e->size);
        }
        p->parts[i] = WANTED;
        bytes += e->size;
    }
    return PM_OK;
}

static void free_plan(plan *p) {
    free(p->digests);
    free(p->parts);
}

/* What is there already keeps its value and is dated now, so that the eviction to come spares it. */
static int find_known(pm_disk *disk, plan *p) {
    p->new_bytes = 0;
    for (size_t i = 0; i < p->n; i++) {
        const pm_disk_entry *e = &p->entries[i];
        pm_disk_row row;
        if (p->parts[i] == LEFT_OUT) {
            continue;
        }
        int rc = pmi_disk_find(disk, e->kind, e->key, &row);
        p->parts[i] = rc == SQLITE_ROW ? KNOWN : WANTED;
        if (rc == SQLITE_ROW) {
            row.used = pmi_disk_now(disk);
            rc = pmi_disk_use(disk, &row);
        } else if (rc == SQLITE_DONE) {
            p->new_bytes += e->size;
            rc = SQLITE_OK;
        }
        if (rc != SQLITE_OK) {
            return rc;
        }
    }
    return SQLITE_OK;
}

static int put_wanted(pm_disk *disk, const plan *p, pm_disk_total *total) {
    for (size_t i = 0; i < p->n; i++) {
        const pm_disk_entry *e = &p->entries[i];
        pm_disk_row row;
        if (p->parts[i] != WANTED) {
            continue;
        }
        int rc = pmi_disk_find(disk, e->kind, e->key, &row);
        if (rc == SQLITE_ROW) { /* twice in one put */
            continue;
        }
        if (rc == SQLITE_DONE) {
            rc = pmi_disk_insert(disk, e, p->digests[i]);
        }
        if (rc != SQLITE_OK) {
            return rc;
        }
        total->entries++;
        total->bytes += (int64_t)e->size;
    }
    return SQLITE_OK;
}

/* ---- eviction ---- */

#define OLDEST 256 /* as many as the statement gives */

static int list_oldest(pm_disk *disk, pm_disk_row rows[OLDEST], size_t *n) {
    int rc;
    sqlite3_stmt *s = pmi_disk_statement(disk, PM_SQL_OLDEST, &rc);
    if (s == NULL) {
        return rc;
    }
    *n = 0;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW && *n < OLDEST) {
        bool has_key;
        if (!pmi_disk_row_read(s, &rows[*n], &has_key)) {
            rc = SQLITE_CORRUPT;
            break;
        }
        (*n)++;
    }
    sqlite3_reset(s);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

/* Whether `bytes` more would go over the limit. */
static bool is_over(const pm_disk *disk, const pm_disk_total *total, const plan *p) {
    int64_t limit = (int64_t)disk->limit, bytes = total->bytes + (int64_t)p->new_bytes;
    int64_t entries = total->entries + (int64_t)p->n;
    return bytes > limit || entries > (limit / ENTRY_BYTES) * FILE_FACTOR + FILE_EXTRA / ENTRY_BYTES;
}

/* The least recently used go, until what is wanted has room. */
static int evict(pm_disk *disk, const plan *p, pm_disk_total *total) {
    pm_disk_row *rows = NULL;
    int rc = SQLITE_OK;
    while (rc == SQLITE_OK && is_over(disk, total, p) && total->entries > 0) {
        size_t n = 0;
        rows = rows == NULL ? pmi_malloc(OLDEST, sizeof *rows) : rows;
        rc = rows == NULL ? SQLITE_NOMEM : list_oldest(disk, rows, &n);
        if (rc == SQLITE_OK && n == 0) {
            rc = SQLITE_CORRUPT; /* entries are counted that are not there */
        }
        for (size_t i = 0; i < n && rc == SQLITE_OK && is_over(disk, total, p); i++) {
            rc = pmi_disk_delete(disk, &rows[i]);
            total->entries--;
            total->bytes -= rows[i].size;
        }
    }
    free(rows);
    return rc;
}

/* ---- putting ---- */

int pmi_disk_write_uses(pm_disk *disk) {
    int rc = SQLITE_OK;
    for (size_t i = 0; i < disk->n_used && rc == SQLITE_OK; i++) {
        rc = pmi_disk_use(disk, &disk->used[i]);
    }
    return rc;
}

static int put(pm_disk *disk, void *ctx) {
    plan *p = ctx;
    pm_disk_total total = {0};
    int rc = check_rows(disk);
    PM_THEN(rc, pmi_disk_write_uses(disk));
    PM_THEN(rc, find_known(disk, p));
    PM_THEN(rc, pmi_disk_total_read(disk, &total));
    PM_THEN(rc, evict(disk, p, &total));
    PM_THEN(rc, put_wanted(disk, p, &total));
    PM_THEN(rc, pmi_disk_total_write(disk, &total));
    return rc == SQLITE_OK ? shrink(disk) : rc;
}

pm_status pmi_disk_put(pm_disk *disk, const pm_disk_entry *entries, size_t n, pm_error *err) {
    plan p;
    if (n == 0) {
        return PM_OK;
    }
    pmi_disk_release(disk);
    pm_status st = make_plan(disk, entries, n, &p, err);
    PM_THEN(st, pmi_disk_write(disk, put, &p, "writing", err));
    if (st == PM_OK) {
        disk->n_used = 0;
    }
    free_plan(&p);
    return st;
}

/* ---- removing ---- */

typedef struct removal {
    pm_disk_kind kind;
    const uint8_t *key;
    bool checks; /* the structure first: a damaged value is to be deleted */
    bool removed;
} removal;

static int remove_one(pm_disk *disk, void *ctx) {
    removal *r = ctx;
    pm_disk_row row;
    pm_disk_total total = {0};
    r->removed = false;
    if (r->checks && !is_sound(disk)) {
        return SQLITE_CORRUPT;
    }
    int rc = pmi_disk_find(disk, r->kind, r->key, &row);
    if (rc != SQLITE_ROW) {
        return rc == SQLITE_DONE ? SQLITE_OK : rc;
    }
    rc = pmi_disk_delete(disk, &row);
    PM_THEN(rc, pmi_disk_total_read(disk, &total));
    total.entries--;
    total.bytes -= row.size;
    PM_THEN(rc, total.entries < 0 || total.bytes < 0 ? SQLITE_CORRUPT : pmi_disk_total_write(disk, &total));
    r->removed = true;
    return rc == SQLITE_OK ? shrink(disk) : rc;
}

pm_status pmi_disk_remove(pm_disk *disk, pm_disk_kind kind, const uint8_t key[PM_DIGEST_BYTES], bool *removed,
                          pm_error *err) {
    removal r = {.kind = kind, .key = key};
    pm_status st = pmi_disk_write(disk, remove_one, &r, "removing an entry", err);
    *removed = st == PM_OK && r.removed;
    return st;
}

pm_status pmi_disk_remove_damaged(pm_disk *disk, pm_disk_kind kind, const uint8_t key[PM_DIGEST_BYTES], pm_error *err) {
    removal r = {.kind = kind, .key = key, .checks = true};
    return pmi_disk_write(disk, remove_one, &r, "removing a damaged entry", err);
}

static int clear(pm_disk *disk, void *ctx) {
    size_t *removed = ctx;
    pm_disk_total total = {0};
    int rc = check_rows(disk);
    PM_THEN(rc, pmi_disk_total_read(disk, &total));
    PM_THEN(rc, pmi_disk_step(disk, PM_SQL_CLEAR_ENTRIES));
    PM_THEN(rc, pmi_disk_step(disk, PM_SQL_CLEAR_VALUES));
    *removed = (size_t)total.entries;
    total.entries = total.bytes = 0;
    PM_THEN(rc, pmi_disk_total_write(disk, &total));
    return rc == SQLITE_OK ? pmi_disk_step(disk, PM_SQL_SHRINK) : rc;
}

pm_status pmi_disk_clear(pm_disk *disk, size_t *removed, pm_error *err) {
    disk->n_used = 0;
    pm_status st = pmi_disk_write(disk, clear, removed, "clearing", err);
    if (st == PM_OK) {
        pmi_disk_remove_set_aside(disk);
    } else {
        *removed = 0;
    }
    return st;
}
