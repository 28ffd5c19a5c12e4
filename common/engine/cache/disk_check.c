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

int pmi_disk_check_rows(pm_disk *disk) {
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

bool pmi_disk_is_sound(pm_disk *disk) {
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

int pmi_disk_shrink(pm_disk *disk) {
    int64_t free_pages = number_of(disk, PM_SQL_FREE_PAGES), pages = number_of(disk, PM_SQL_PAGES);
    if (free_pages <= FEW_PAGES && free_pages < pages / 2) {
        return SQLITE_OK;
    }
    return free_pages > pages / 8 ? pmi_disk_step(disk, PM_SQL_SHRINK) : SQLITE_OK;
}
