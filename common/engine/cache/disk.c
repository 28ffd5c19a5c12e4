#include "cache/disk.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
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
    return pmi_disk_write_uses(disk);
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
    pm_disk_kind kind;
    const uint8_t *key;
    pm_buffer *value;
    size_t before; /* bytes in `value` */
    pm_disk_found found;
    pm_disk_row row;
} lookup;

static int take_value(sqlite3_stmt *s, lookup *l) {
    const uint8_t *bytes;
    bool has_key, right = false;
    bool is_whole = pmi_disk_row_read(s, &l->row, &has_key);
    int rc = pmi_disk_row_is(&l->row, l->kind, l->key) ? SQLITE_OK : SQLITE_CORRUPT;
    if (rc == SQLITE_OK && is_whole) {
        rc = pmi_disk_value_read(s, &l->row, &bytes, &right);
    }
    if (rc == SQLITE_OK && right && pmi_buffer_add(l->value, bytes, (size_t)l->row.size, NULL) != PM_OK) {
        rc = SQLITE_NOMEM;
    }
    l->found = right ? PM_DISK_FOUND : PM_DISK_DAMAGED;
    return rc;
}

static int look_up(pm_disk *disk, void *ctx) {
    lookup *l = ctx;
    int rc;
    sqlite3_stmt *s = pmi_disk_statement(disk, PM_SQL_GET, &rc);
    l->value->size = l->before;
    l->found = PM_DISK_MISSING;
    if (s == NULL) {
        return rc;
    }
    sqlite3_bind_int(s, 1, (int)l->kind);
    sqlite3_bind_blob(s, 2, l->key, PM_DIGEST_BYTES, SQLITE_STATIC);
    rc = sqlite3_step(s);
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
    if (pmi_disk_remove_damaged(disk, l->kind, l->key, &why) != PM_OK) {
        pmi_disk_warn_once(disk, &why);
    }
}

pm_status pmi_disk_get(pm_disk *disk, pm_disk_kind kind, const uint8_t key[PM_DIGEST_BYTES], pm_buffer *value,
                       pm_disk_found *found, pm_error *err) {
    lookup l = {.kind = kind, .key = key, .value = value, .before = value->size};
    size_t rebuilt = disk->n_rebuilt;
    pm_status st = pmi_disk_read(disk, look_up, &l, "reading an entry", err);
    *found = st == PM_OK ? l.found : PM_DISK_MISSING;
    if (st != PM_OK) {
        value->size = l.before;
        return st;
    }
    if (l.found == PM_DISK_FOUND) {
        note_use(disk, &l.row);
        return st;
    }
    pmi_disk_release(disk);
    if (disk->n_rebuilt != rebuilt) {
        *found = PM_DISK_DAMAGED;
    } else if (l.found == PM_DISK_DAMAGED) {
        remove_damaged(disk, &l);
    }
    return st;
}

/* ---- looking ---- */

static int sum_up(pm_disk *disk, void *ctx) {
    pm_disk_stat *out = ctx;
    int rc;
    sqlite3_stmt *s = pmi_disk_statement(disk, PM_SQL_SUM, &rc);
    *out = (pm_disk_stat){.limit = disk->limit};
    if (s == NULL) {
        return rc;
    }
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        int64_t kind = sqlite3_column_int64(s, 0), n = sqlite3_column_int64(s, 1), bytes = sqlite3_column_int64(s, 2);
        if (kind < 0 || kind >= PM_DISK_KINDS || n < 0 || bytes < 0) {
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
    int rc;
    sqlite3_stmt *s = pmi_disk_statement(disk, PM_SQL_NEXT, &rc);
    w->value.size = 0;
    if (s == NULL) {
        return rc;
    }
    sqlite3_bind_int64(s, 1, w->kind);
    sqlite3_bind_blob(s, 2, w->row.key, PM_DIGEST_BYTES, SQLITE_STATIC);
    rc = sqlite3_step(s);
    w->is_done = rc == SQLITE_DONE;
    if (rc == SQLITE_ROW) {
        pm_disk_row row;
        const uint8_t *bytes;
        bool has_key, is_whole = pmi_disk_row_read(s, &row, &has_key), right = false;
        if (!has_key || (w->kind >= 0 && pmi_disk_row_order(&w->row, &row) >= 0)) {
            return SQLITE_CORRUPT;
        }
        rc = is_whole ? pmi_disk_value_read(s, &row, &bytes, &right) : SQLITE_OK;
        if (rc == SQLITE_OK && right && pmi_buffer_add(&w->value, bytes, (size_t)row.size, NULL) != PM_OK) {
            rc = SQLITE_NOMEM;
        }
        if (rc != SQLITE_OK) {
            return rc;
        }
        w->is_damaged = !right;
        w->kind = row.kind;
        w->row = row;
    }
    sqlite3_reset(s);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
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
