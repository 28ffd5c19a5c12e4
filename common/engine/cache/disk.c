#include <errno.h>
#include <string.h>

#include "cache/disk.h"
#include "cache/disk_impl.h"

#define MAX_LIMIT ((size_t)8 << 40)
#define MAX_USES_IN_MEMORY ((size_t)1 << 17) /* 8 MiB */

/* ---- opening and closing ---- */

static pm_status open_in(pm_disk *disk, const char *dir, pm_error *err) {
    PM_TRY(pmi_disk_make_dir(dir, err));
    disk->dir = realpath(dir, NULL);
    disk->path = disk->dir == NULL ? NULL : pmi_disk_path(disk->dir, PM_DISK_FILE);
    if (disk->path == NULL) {
        return errno == ENOMEM
                   ? pmi_fail_memory(err, "the name of the cache folder", strlen(dir))
                   : pmi_fail(err, PM_EUNAVAILABLE, "the cache folder %s cannot be used: %s", dir, strerror(errno));
    }
    int rc = pmi_disk_connect(disk);
    if (rc == SQLITE_OK) {
        return PM_OK;
    }
    pm_error why;
    pm_status st = pmi_disk_fail(disk, rc, "opening", &why);
    return pmi_fail(err, st == PM_EIO ? PM_EUNAVAILABLE : st, "%s; name another with --cache-dir, or use --no-cache",
                    why.text);
}

pm_status pmi_disk_open(const char *dir, size_t limit, const pm_log *log, pm_disk **out, pm_error *err) {
    *out = NULL;
    if (limit == 0 || limit > MAX_LIMIT) {
        return pmi_fail(err, PM_EUSAGE, "the cache's limit: expected from 1 to %zu bytes, found %zu", MAX_LIMIT, limit);
    }
    pm_disk *disk;
    PM_TRY(PM_ZEROS(&disk, 1, "the trace cache", err));
    disk->limit = limit;
    disk->log = log;
    disk->patience = PM_DISK_PATIENCE_SECONDS;
    disk->most_patience = PM_DISK_MOST_SECONDS;
    pm_status st = open_in(disk, dir, err);
    if (st != PM_OK) {
        pmi_disk_close(disk);
        return st;
    }
    *out = disk;
    return PM_OK;
}

pm_status pmi_disk_open_if_usable(const char *dir, const char *xdg_cache_home, const char *home, size_t limit,
                                  const pm_log *log, pm_disk **out, pm_error *err) {
    char *standard = NULL;
    pm_error why = {0};
    *out = NULL;
    pm_status st = dir != NULL ? PM_OK : pmi_disk_default_dir(xdg_cache_home, home, &standard, &why);
    PM_THEN(st, pmi_disk_open(dir != NULL ? dir : standard, limit, log, out, &why));
    free(standard);
    if (st == PM_OK) {
        return st;
    }
    if (st == PM_EUSAGE || (st == PM_ECANTCREAT && dir != NULL)) {
        return pmi_fail(err, st, "%s", why.text);
    }
    pmi_logf(log, PM_LOG_WARNING, "%s; going on without a trace cache", why.text);
    return PM_OK;
}

static int write_uses(pm_disk *disk, void *ctx) {
    (void)ctx;
    for (size_t i = 0; i < disk->n_used; i++) {
        PM_TRY(pmi_disk_use(disk, &disk->used[i]));
    }
    return SQLITE_OK;
}

/* A failure costs only the order of eviction. */
static void flush_uses(pm_disk *disk) {
    pm_error why;
    if (disk->n_used > 0 && pmi_disk_write(disk, write_uses, NULL, "writing times of use", &why) != PM_OK) {
        pmi_disk_warn_once(disk, &why);
    }
    disk->n_used = 0;
}

bool pmi_disk_was_damaged(const pm_disk *disk) {
    return disk->was_damaged;
}

void pmi_disk_close(pm_disk *disk) {
    if (disk == NULL) {
        return;
    }
    flush_uses(disk);
    pmi_disk_disconnect(disk);
    free(disk->used);
    free(disk->path);
    free(disk->dir);
    free(disk);
}

/* ---- the whole ---- */

typedef struct damaged_rows {
    pm_disk_row *rows;
    size_t n, capacity;
} damaged_rows;

/* Reads all rows in order: the good ones are summed up, the others listed. */
static int read_rows(pm_disk *disk, pm_disk_total *sum, damaged_rows *damaged) {
    int rc;
    sqlite3_stmt *s;
    pm_disk_row row, before = {0};
    bool is_first = true;
    PM_TRY(pmi_disk_statement(disk, PM_SQL_ALL, &s));
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
    if (disk->is_checked) {
        return SQLITE_OK;
    }
    PM_TRY(pmi_disk_total_read(disk, &total));
    int rc = read_rows(disk, &sum, &damaged);
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
    sqlite3_stmt *s;
    int64_t number = pmi_disk_statement(disk, which, &s) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW
                         ? sqlite3_column_int64(s, 0)
                         : -1;
    sqlite3_reset(s);
    return number;
}

static bool is_sound(pm_disk *disk) {
    sqlite3_stmt *s;
    if (number_of(disk, PM_SQL_PAGES) > CHECKED_PAGES) {
        return true;
    }
    bool is_sound = pmi_disk_statement(disk, PM_SQL_CHECK, &s) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW &&
                    sqlite3_column_text(s, 0) != NULL && strcmp((const char *)sqlite3_column_text(s, 0), "ok") == 0;
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

/* ---- removing ---- */

typedef struct removal {
    pm_cache_kind kind;
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
    PM_TRY(pmi_disk_delete(disk, &row));
    PM_TRY(pmi_disk_total_read(disk, &total));
    total.entries--;
    total.bytes -= row.size;
    PM_TRY(total.entries < 0 || total.bytes < 0 ? SQLITE_CORRUPT : pmi_disk_total_write(disk, &total));
    r->removed = true;
    return shrink(disk);
}

pm_status pmi_disk_remove(pm_disk *disk, pm_cache_kind kind, const uint8_t key[PM_DIGEST_BYTES], bool *removed,
                          pm_error *err) {
    removal r = {.kind = kind, .key = key};
    pm_status st = pmi_disk_write(disk, remove_one, &r, "removing an entry", err);
    *removed = st == PM_OK && r.removed;
    return st;
}

static int clear(pm_disk *disk, void *ctx) {
    pm_disk_total total = {0};
    PM_TRY(check_rows(disk));
    PM_TRY(pmi_disk_total_read(disk, &total));
    PM_TRY(pmi_disk_step(disk, PM_SQL_CLEAR_ENTRIES));
    PM_TRY(pmi_disk_step(disk, PM_SQL_CLEAR_VALUES));
    *(size_t *)ctx = (size_t)total.entries;
    total.entries = total.bytes = 0;
    PM_TRY(pmi_disk_total_write(disk, &total));
    return pmi_disk_step(disk, PM_SQL_SHRINK);
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

/* ---- reading ---- */

static void note_use(pm_disk *disk, const pm_disk_row *row) {
    if (disk->n_used >= MAX_USES_IN_MEMORY) {
        flush_uses(disk);
    }
    if (!pmi_reserve((void **)&disk->used, &disk->used_capacity, disk->n_used + 1, sizeof *disk->used)) {
        pmi_logf(disk->log, PM_LOG_WARNING, "trace cache %s: out of memory: the time of a use is not kept", disk->dir);
        return;
    }
    disk->used[disk->n_used] = *row;
    disk->used[disk->n_used++].used = pmi_disk_now(disk);
}

typedef struct lookup {
    pm_cache_kind kind;
    const uint8_t *key;
    pm_buffer *value;
    size_t before; /* bytes in `value` */
    pm_cache_found found;
    pm_disk_row row;
} lookup;

/* Adds the row's value, where it is *right. */
static int add_value(sqlite3_stmt *s, const pm_disk_row *row, pm_buffer *value, bool *right) {
    const uint8_t *bytes;
    int rc = pmi_disk_value_read(s, row, &bytes, right);
    bool fits = rc != SQLITE_OK || !*right || pmi_buffer_add(value, bytes, (size_t)row->size, NULL) == PM_OK;
    return fits ? rc : SQLITE_NOMEM;
}

static int take_value(sqlite3_stmt *s, lookup *l) {
    bool has_key, right = false;
    bool is_whole = pmi_disk_row_read(s, &l->row, &has_key);
    int rc = pmi_disk_row_is(&l->row, l->kind, l->key) ? SQLITE_OK : SQLITE_CORRUPT;
    PM_THEN(rc, is_whole ? add_value(s, &l->row, l->value, &right) : SQLITE_OK);
    l->found = right ? PM_CACHE_FOUND : PM_CACHE_DAMAGED;
    return rc;
}

static int look_up(pm_disk *disk, void *ctx) {
    lookup *l = ctx;
    sqlite3_stmt *s;
    l->value->size = l->before;
    l->found = PM_CACHE_MISSING;
    PM_TRY(pmi_disk_statement(disk, PM_SQL_GET, &s));
    sqlite3_bind_int(s, 1, (int)l->kind);
    sqlite3_bind_blob(s, 2, l->key, PM_DIGEST_BYTES, SQLITE_STATIC);
    int rc = sqlite3_step(s);
    if (rc == SQLITE_ROW) {
        rc = take_value(s, l);
    }
    if (rc == SQLITE_OK || rc == SQLITE_DONE) {
        sqlite3_reset(s);
        return SQLITE_OK;
    }
    return rc;
}

static void remove_damaged(pm_disk *disk, const lookup *l) {
    char hex[PM_DIGEST_HEX];
    pmi_hex(l->key, hex);
    pmi_logf(disk->log, PM_LOG_ERROR,
             "trace cache %s: entry %s is damaged (its SHA-256 does not match); it is removed and recorded again",
             disk->dir, hex);
    pm_error why;
    removal r = {.kind = l->kind, .key = l->key, .checks = true};
    if (pmi_disk_write(disk, remove_one, &r, "removing a damaged entry", &why) != PM_OK) {
        pmi_disk_warn_once(disk, &why);
    }
}

pm_status pmi_disk_get(pm_disk *disk, pm_cache_kind kind, const uint8_t key[PM_DIGEST_BYTES], pm_buffer *value,
                       pm_cache_found *found, pm_error *err) {
    lookup l = {.kind = kind, .key = key, .value = value, .before = value->size};
    size_t rebuilt = disk->n_rebuilt;
    pm_status st = pmi_disk_read(disk, look_up, &l, "reading an entry", err);
    *found = st == PM_OK ? l.found : PM_CACHE_MISSING;
    if (st != PM_OK) {
        value->size = l.before;
        return st;
    }
    if (l.found == PM_CACHE_FOUND) {
        note_use(disk, &l.row);
        return st;
    }
    pmi_disk_release(disk);
    if (disk->n_rebuilt != rebuilt) {
        *found = PM_CACHE_DAMAGED;
    } else if (l.found == PM_CACHE_DAMAGED) {
        remove_damaged(disk, &l);
    }
    return st;
}

/* ---- looking ---- */

static int sum_up(pm_disk *disk, void *ctx) {
    pm_disk_stat *out = ctx;
    int rc;
    sqlite3_stmt *s;
    *out = (pm_disk_stat){.limit = disk->limit};
    PM_TRY(pmi_disk_statement(disk, PM_SQL_SUM, &s));
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        int64_t kind = sqlite3_column_int64(s, 0), n = sqlite3_column_int64(s, 1), bytes = sqlite3_column_int64(s, 2);
        if (kind < 0 || kind >= PM_CACHE_KINDS || n < 0 || bytes < 0) {
            return SQLITE_CORRUPT;
        }
        out->of_kind[kind] = (size_t)n;
        out->entries += (size_t)n;
        out->value_bytes += (uint64_t)bytes;
    }
    sqlite3_reset(s);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

pm_status pmi_disk_stat_of(pm_disk *disk, pm_disk_stat *out, pm_error *err) {
    pm_status st = pmi_disk_read(disk, sum_up, out, "reading sizes", err);
    out->file_bytes = pmi_disk_file_bytes(disk->dir);
    return st;
}

typedef struct walk {
    pm_disk_row row; /* the last that was seen */
    int64_t kind;    /* of it, -1 in front of the first */
    pm_buffer value;
    bool is_done, is_damaged;
} walk;

/* The next row, and its value in a buffer of its own, so that others can write while it is visited. */
static int next(pm_disk *disk, void *ctx) {
    walk *w = ctx;
    sqlite3_stmt *s;
    w->value.size = 0;
    PM_TRY(pmi_disk_statement(disk, PM_SQL_NEXT, &s));
    sqlite3_bind_int64(s, 1, w->kind);
    sqlite3_bind_blob(s, 2, w->row.key, PM_DIGEST_BYTES, SQLITE_STATIC);
    int rc = sqlite3_step(s);
    w->is_done = rc == SQLITE_DONE;
    if (rc == SQLITE_ROW) {
        pm_disk_row row;
        bool has_key, is_whole = pmi_disk_row_read(s, &row, &has_key), right = false;
        if (!has_key || (w->kind >= 0 && pmi_disk_row_order(&w->row, &row) >= 0)) {
            return SQLITE_CORRUPT;
        }
        PM_TRY(is_whole ? add_value(s, &row, &w->value, &right) : SQLITE_OK);
        w->is_damaged = !right;
        w->kind = row.kind;
        w->row = row;
    }
    sqlite3_reset(s);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

pm_status pmi_disk_each(pm_disk *disk, pm_disk_visit visit, void *ctx, pm_error *err) {
    walk w = {.kind = -1};
    pm_status st = pmi_disk_read(disk, next, &w, "reading entries", err);
    while (st == PM_OK && !w.is_done) {
        pm_disk_item item = {.kind = w.row.kind,
                             .bytes = w.value.bytes,
                             .size = w.is_damaged ? (size_t)w.row.size : w.value.size,
                             .last_used = w.row.used / 1000000000,
                             .damaged = w.is_damaged};
        memcpy(item.key, w.row.key, sizeof item.key);
        disk->visiting = true;
        st = visit(ctx, &item, err);
        disk->visiting = false;
        PM_THEN(st, pmi_disk_read(disk, next, &w, "reading entries", err));
    }
    pmi_buffer_free(&w.value);
    return st;
}

/* ---- putting, and the limit ---- */

#define MAX_VALUE ((size_t)1000000000 - 4096) /* of SQLite, with the row around it */

/* What the limit allows the file to take beyond the values: entries of few bytes take more than their bytes. */
#define ENTRY_BYTES 128
#define FILE_FACTOR 4
#define FILE_EXTRA ((int64_t)8 << 20)

typedef enum pm_disk_part { LEFT_OUT, WANTED, KNOWN } part;

/* What a put is about to do. */
typedef struct plan {
    const pm_cache_entry *entries;
    uint8_t (*digests)[PM_DIGEST_BYTES];
    part *parts; /* KNOWN is found out anew in each transaction */
    size_t n;
    size_t new_bytes; /* of those wanted */
} plan;

static void log_left_out(const pm_disk *disk, const pm_cache_entry *entry, size_t bytes) {
    char hex[PM_DIGEST_HEX];
    pmi_hex(entry->key, hex);
    pmi_logf(disk->log, PM_LOG_WARNING,
             "trace cache %s: entry %s of %zu bytes is left out: with %zu bytes put at once, the limit is %zu (and %zu "
             "for one entry); raise --cache-limit",
             disk->dir, hex, entry->size, bytes, disk->limit, MAX_VALUE);
}

/* Leaves out what the limit has no room for even in an empty cache. */
static pm_status make_plan(pm_disk *disk, const pm_cache_entry *entries, size_t n, plan *p, pm_error *err) {
    size_t bytes = 0;
    *p = (plan){.entries = entries, .n = n};
    p->digests = pmi_malloc(n, sizeof *p->digests);
    p->parts = pmi_calloc(n, sizeof *p->parts);
    if (p->digests == NULL || p->parts == NULL) {
        return pmi_fail_memory(err, "writing to the trace cache", n * (sizeof *p->digests + sizeof *p->parts));
    }
    for (size_t i = 0; i < n; i++) {
        const pm_cache_entry *e = &entries[i];
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
        const pm_cache_entry *e = &p->entries[i];
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
        PM_TRY(rc);
    }
    return SQLITE_OK;
}

static int put_wanted(pm_disk *disk, const plan *p, pm_disk_total *total) {
    for (size_t i = 0; i < p->n; i++) {
        const pm_cache_entry *e = &p->entries[i];
        pm_disk_row row;
        if (p->parts[i] != WANTED) {
            continue;
        }
        int rc = pmi_disk_find(disk, e->kind, e->key, &row);
        if (rc == SQLITE_ROW) { /* twice in one put */
            continue;
        }
        PM_TRY(rc == SQLITE_DONE ? pmi_disk_insert(disk, e, p->digests[i]) : rc);
        total->entries++;
        total->bytes += (int64_t)e->size;
    }
    return SQLITE_OK;
}

/* ---- eviction ---- */

#define OLDEST 256 /* as many as the statement gives */

static int list_oldest(pm_disk *disk, pm_disk_row rows[OLDEST], size_t *n) {
    int rc;
    sqlite3_stmt *s;
    PM_TRY(pmi_disk_statement(disk, PM_SQL_OLDEST, &s));
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

static int put(pm_disk *disk, void *ctx) {
    plan *p = ctx;
    pm_disk_total total = {0};
    PM_TRY(check_rows(disk));
    PM_TRY(write_uses(disk, NULL));
    PM_TRY(find_known(disk, p));
    PM_TRY(pmi_disk_total_read(disk, &total));
    PM_TRY(evict(disk, p, &total));
    PM_TRY(put_wanted(disk, p, &total));
    PM_TRY(pmi_disk_total_write(disk, &total));
    return shrink(disk);
}

pm_status pmi_disk_put(pm_disk *disk, const pm_cache_entry *entries, size_t n, pm_error *err) {
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

/* ---- as the library of traces sees it ---- */

typedef struct pm_disk_shelf shelf;

static pm_status get_or_warn(void *ctx, const uint8_t key[PM_DIGEST_BYTES], pm_buffer *value, pm_cache_found *found,
                             pm_error *err) {
    (void)err;
    const shelf *s = ctx;
    pm_error why;
    if (pmi_disk_get(s->disk, s->kind, key, value, found, &why) != PM_OK) {
        pmi_disk_warn_once(s->disk, &why);
    }
    return PM_OK;
}

static pm_status put_or_warn(void *ctx, const pm_cache_entry *entries, size_t n, pm_error *err) {
    (void)err;
    const shelf *s = ctx;
    pm_error why;
    if (pmi_disk_put(s->disk, entries, n, &why) != PM_OK) {
        pmi_disk_warn_once(s->disk, &why);
    }
    return PM_OK;
}

static pm_status remove_or_warn(void *ctx, const uint8_t key[PM_DIGEST_BYTES], pm_error *err) {
    (void)err;
    const shelf *s = ctx;
    bool removed;
    pm_error why;
    if (pmi_disk_remove(s->disk, s->kind, key, &removed, &why) != PM_OK) {
        pmi_disk_warn_once(s->disk, &why);
    }
    return PM_OK;
}

pm_trace_cache pmi_disk_cache(pm_disk *disk, pm_cache_kind kind) {
    shelf *s = &disk->shelves[kind];
    *s = (shelf){disk, kind};
    return (pm_trace_cache){
        .ctx = s, .get = get_or_warn, .put = put_or_warn, .remove = remove_or_warn, .is_checked = true};
}
