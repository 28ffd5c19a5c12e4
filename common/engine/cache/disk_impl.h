/* What the parts of the disk cache share. docs/cache.md describes files and tables. Functions that return int return
 * SQLite's (extended) result codes; PM_THEN takes their steps, too, as success is 0 for both. */
#ifndef PM_CACHE_DISK_IMPL_H
#define PM_CACHE_DISK_IMPL_H

#include <sqlite3.h>
#include <time.h>

#include "cache/disk.h"

_Static_assert(SQLITE_OK == PM_OK, "PM_THEN takes steps of both");

#define PM_DISK_FILE "traces.sqlite"
#define PM_DISK_PATIENCE_SECONDS 1.0
#define PM_DISK_MOST_SECONDS 10.0

/* A row of the table `entry`, without its mark. */
typedef struct pm_disk_row {
    pm_cache_kind kind;
    uint8_t key[PM_DIGEST_BYTES];
    int64_t id; /* of its row of the table `value` */
    int64_t size;
    int64_t used; /* nanoseconds since 1970 */
} pm_disk_row;

typedef struct pm_disk_total {
    int64_t entries, bytes;
    int64_t made; /* when the database was made: tells it from the one that takes its place */
} pm_disk_total;

#define PM_DISK_ROW "kind, key, id, size, used, mark"
#define PM_DISK_ROW_AND_VALUE                                                                                          \
    "SELECT e.kind, e.key, e.id, e.size, e.used, e.mark, v.digest, v.bytes FROM entry e LEFT JOIN value v ON v.id = "  \
    "e.id "

/* Each statement, and its text. */
#define PM_DISK_STATEMENTS(X)                                                                                          \
    X(BEGIN_READ, "BEGIN")                                                                                             \
    X(BEGIN_WRITE, "BEGIN IMMEDIATE")                                                                                  \
    X(COMMIT, "COMMIT")                                                                                                \
    X(ROLLBACK, "ROLLBACK")                                                                                            \
    X(FIND, "SELECT " PM_DISK_ROW " FROM entry WHERE kind = ?1 AND key = ?2")                                          \
    X(GET, PM_DISK_ROW_AND_VALUE "WHERE e.kind = ?1 AND e.key = ?2")                                                   \
    X(NEXT, PM_DISK_ROW_AND_VALUE "WHERE (e.kind, e.key) > (?1, ?2) ORDER BY e.kind, e.key LIMIT 1")                   \
    X(PUT_ENTRY, "INSERT INTO entry(" PM_DISK_ROW ") VALUES(?1, ?2, ?3, ?4, ?5, ?6)")                                  \
    X(PUT_VALUE, "INSERT INTO value(digest, bytes) VALUES(?1, ?2)")                                                    \
    X(USE, "UPDATE entry SET used = ?4, mark = ?5 WHERE kind = ?1 AND key = ?2 AND id = ?3")                           \
    X(REMOVE_ENTRY, "DELETE FROM entry WHERE kind = ?1 AND key = ?2")                                                  \
    X(REMOVE_VALUE, "DELETE FROM value WHERE id = ?1")                                                                 \
    X(OLDEST, "SELECT " PM_DISK_ROW " FROM entry ORDER BY used LIMIT 256")                                             \
    X(ALL, "SELECT " PM_DISK_ROW " FROM entry ORDER BY kind, key")                                                     \
    X(TOTAL, "SELECT entries, bytes, made FROM total")                                                                 \
    X(SET_TOTAL, "UPDATE total SET entries = ?1, bytes = ?2")                                                          \
    X(SUM_UP,                                                                                                          \
      "UPDATE total SET entries = (SELECT count(*) FROM entry), bytes = (SELECT coalesce(sum(size), 0) FROM entry)")   \
    X(SUM, "SELECT kind, count(*), sum(size) FROM entry GROUP BY kind")                                                \
    X(REMOVE_ORPHANS, "DELETE FROM value WHERE id NOT IN (SELECT id FROM entry)")                                      \
    X(CLEAR_ENTRIES, "DELETE FROM entry")                                                                              \
    X(CLEAR_VALUES, "DELETE FROM value")                                                                               \
    X(FREE_PAGES, "PRAGMA freelist_count")                                                                             \
    X(PAGES, "PRAGMA page_count")                                                                                      \
    X(SHRINK, "PRAGMA incremental_vacuum")                                                                             \
    X(CHECK, "PRAGMA quick_check(1)")

#define PM_DISK_NUMBER(name, text) PM_SQL_##name,
typedef enum pm_disk_sql { PM_DISK_STATEMENTS(PM_DISK_NUMBER) PM_SQL_COUNT } pm_disk_sql;

/* Calls of one sort that have failed fail at once until then. */
typedef struct pm_disk_pause {
    double until; /* pmi_seconds() */
    pm_error why;
} pm_disk_pause;

struct pm_disk {
    char *dir, *path; /* the database in it: without symbolic links */
    size_t limit;
    const pm_log *log;
    sqlite3 *db; /* NULL: to be opened by the next call */
    sqlite3_stmt *sql[PM_SQL_COUNT];
    int64_t made;          /* of the database as it was opened */
    double patience;       /* seconds left to wait for locks while nobody writes */
    double most_patience;  /* and in all */
    struct timespec wrote; /* when somebody did, as last seen */
    int system_error;      /* errno of the last failure, 0: none */
    pm_disk_pause reading, writing;

    pm_disk_row *used; /* uses noted since the last write */
    size_t n_used, used_capacity;
    int64_t last_stamp;

    bool is_checked; /* its rows were, by this handle */
    bool was_damaged, has_warned;
    bool visiting; /* inside pmi_disk_each */
    bool holds;
    double held_since; /* while a transaction is held open: when it began, else 0 */
    size_t n_rebuilt;  /* how often this handle met damage of the whole */
    struct pm_disk_shelf {
        pm_disk *disk;
        pm_cache_kind kind;
    } shelves[PM_CACHE_KINDS]; /* what pmi_disk_cache gives away */
};

/* ---- disk_db.c: the folder, and the database in it ---- */

/* dir + "/" + name; free with free(). NULL when memory is out. */
char *pmi_disk_path(const char *dir, const char *name);
/* Makes the folder and its parents. Errors: PM_ECANTCREAT, PM_EOSERR. */
pm_status pmi_disk_make_dir(const char *dir, pm_error *err);
/* Bytes that the files of the cache take on disk. */
uint64_t pmi_disk_file_bytes(const char *dir);
/* Removes what was set aside as *.damaged. */
void pmi_disk_remove_set_aside(const pm_disk *disk);

/* Opens and checks; makes the database where there is none; rebuilds one that is damaged. */
int pmi_disk_connect(pm_disk *disk);
void pmi_disk_disconnect(pm_disk *disk);
/* Makes the database empty, whatever is in the file, unless another process did so since this one opened it. */
int pmi_disk_rebuild(pm_disk *disk, int why);
/* The code says that the database is damaged. */
bool pmi_disk_is_damage(const pm_disk *disk, int rc);

/* The statement, prepared where it is not yet. */
int pmi_disk_statement(pm_disk *disk, pm_disk_sql which, sqlite3_stmt **out);

/* ---- disk_rows.c: transactions, and rows ---- */

/* Runs to its end a statement that has no rows, or whose rows nobody needs. */
int pmi_disk_step(pm_disk *disk, pm_disk_sql which);

typedef int (*pm_disk_work)(pm_disk *disk, void *ctx);
/* Does `work` in one transaction; after damage the database is rebuilt and the work done again, after a failure the
 * transaction is rolled back. Errors: PM_EIO, PM_EOSERR, with what was `doing`. */
pm_status pmi_disk_read(pm_disk *disk, pm_disk_work work, void *ctx, const char *doing, pm_error *err);
pm_status pmi_disk_write(pm_disk *disk, pm_disk_work work, void *ctx, const char *doing, pm_error *err);
/* The error of SQLite's code `rc` while `doing`. */
pm_status pmi_disk_fail(const pm_disk *disk, int rc, const char *doing, pm_error *err);

int64_t pmi_disk_now(pm_disk *disk); /* later than every stamp this handle has given out */
/* Reads columns 0 to 5 of a row: false when they are not what was written. With a key that can be read *out has kind
 * and key all the same, and *has_key is true. */
bool pmi_disk_row_read(sqlite3_stmt *s, pm_disk_row *out, bool *has_key);
int pmi_disk_row_order(const pm_disk_row *a, const pm_disk_row *b); /* as memcmp, by kind and key */
/* SQLite trusts the order of rows when it looks for one: damaged order gives another than was asked for. */
bool pmi_disk_row_is(const pm_disk_row *row, pm_cache_kind kind, const uint8_t key[PM_DIGEST_BYTES]);
/* SHA-256 of kind, key and bytes. */
int pmi_disk_digest(pm_cache_kind kind, const uint8_t key[PM_DIGEST_BYTES], const uint8_t *bytes, size_t n,
                    uint8_t digest[PM_DIGEST_BYTES]);
/* Whether columns 6 and 7 hold digest and bytes of the row's value; *bytes are valid until the statement goes on. */
int pmi_disk_value_read(sqlite3_stmt *s, const pm_disk_row *row, const uint8_t **bytes, bool *right);

/* SQLITE_ROW with the row, SQLITE_DONE when there is none. A damaged row is deleted with an error line, and gone. */
int pmi_disk_find(pm_disk *disk, pm_cache_kind kind, const uint8_t key[PM_DIGEST_BYTES], pm_disk_row *out);
/* Deletes a row whose mark is wrong, with an error line. */
int pmi_disk_drop_damaged(pm_disk *disk, const pm_disk_row *row);
int pmi_disk_insert(pm_disk *disk, const pm_cache_entry *entry, const uint8_t digest[PM_DIGEST_BYTES]);
int pmi_disk_use(pm_disk *disk, const pm_disk_row *row);
int pmi_disk_delete(pm_disk *disk, const pm_disk_row *row);
int pmi_disk_total_read(pm_disk *disk, pm_disk_total *out);
int pmi_disk_total_write(pm_disk *disk, const pm_disk_total *total);

#endif
