/* The folder of the cache, and the database in it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "cache/disk_impl.h"

char *pmi_disk_path(const char *dir, const char *name) {
    size_t n = strlen(dir) + strlen(name) + 2;
    char *path = pmi_malloc(n, 1);
    if (path != NULL) {
        (void)snprintf(path, n, "%s/%s", dir, name); /* fits: n counts it */
    }
    return path;
}

pm_status pmi_disk_default_dir(const char *xdg_cache_home, const char *home, char **out, pm_error *err) {
    *out = NULL;
    bool has_xdg =
        xdg_cache_home != NULL && xdg_cache_home[0] == '/'; /* the XDG specification ignores relative paths */
    if (!has_xdg && (home == NULL || home[0] == '\0')) {
        return pmi_fail(
            err, PM_EUNAVAILABLE,
            "no folder for the trace cache: neither XDG_CACHE_HOME (an absolute path) nor HOME is set; name "
            "one with --cache-dir, or use --no-cache");
    }
    *out = has_xdg ? pmi_disk_path(xdg_cache_home, "phasemill") : pmi_disk_path(home, ".cache/phasemill");
    return *out != NULL ? PM_OK : pmi_fail_memory(err, "the name of the cache folder", 4096);
}

/* ---- the folder ---- */

/* Makes path[0..n), which becomes zero-terminated there and is restored. What is there already may be another's to make
 * (a read-only file system says EROFS, not EEXIST). */
static pm_status make_one(const char *dir, char *path, size_t n, pm_error *err) {
    struct stat info;
    char kept = path[n];
    pm_status st = PM_OK;
    path[n] = '\0';
    if (mkdir(path, 0700) != 0) {
        int code = errno;
        bool is_there = stat(path, &info) == 0;
        if (!is_there || !S_ISDIR(info.st_mode)) {
            st =
                pmi_fail(err, PM_ECANTCREAT,
                         "the cache folder %s cannot be made: %s: %s; name another with --cache-dir, or use --no-cache",
                         dir, path, strerror(is_there ? ENOTDIR : code));
        }
    }
    path[n] = kept;
    return st;
}

pm_status pmi_disk_make_dir(const char *dir, pm_error *err) {
    size_t n = strlen(dir);
    if (n == 0) {
        return pmi_fail(err, PM_EUSAGE, "the name of the cache folder is empty");
    }
    char *path = strdup(dir);
    if (path == NULL) {
        return pmi_fail_memory(err, "the name of the cache folder", n + 1);
    }
    pm_status st = PM_OK;
    for (size_t i = 1; i <= n && st == PM_OK; i++) {
        if (path[i] == '\0' || (path[i] == '/' && path[i - 1] != '/')) {
            st = make_one(dir, path, i, err);
        }
    }
    free(path);
    return st;
}

/* Whether this process may write the database and beside it. */
static bool may_write(const pm_disk *disk) {
    return access(disk->path, W_OK) == 0 && access(disk->dir, W_OK | X_OK) == 0;
}

/* ---- its files ---- */

#define ASIDE ".damaged"

/* The database, and what SQLite puts beside it. */
static const char *const names[] = {PM_DISK_FILE, PM_DISK_FILE "-journal", PM_DISK_FILE "-wal", PM_DISK_FILE "-shm"};
#define N_NAMES (sizeof names / sizeof *names)

/* Name i with an ending, in a buffer of the caller. */
static const char *name_of(size_t i, const char *ending, char text[64]) {
    (void)snprintf(text, 64, "%s%s", names[i], ending);
    return text;
}

uint64_t pmi_disk_file_bytes(const char *dir) {
    static const char *const endings[] = {"", ASIDE};
    uint64_t bytes = 0;
    for (size_t i = 0; i < 2 * N_NAMES; i++) {
        struct stat info;
        char name[64];
        char *path = pmi_disk_path(dir, name_of(i / 2, endings[i % 2], name));
        if (path != NULL && lstat(path, &info) == 0) {
            bytes += (uint64_t)info.st_blocks * 512;
        }
        free(path);
    }
    return bytes;
}

/* In place of what was set aside before. */
static bool move_aside(const char *path, const char *aside) {
    return rename(path, aside) == 0 || (remove(aside) == 0 && rename(path, aside) == 0);
}

/* A file that is no regular file cannot be in use: SQLite would have refused it, or waited for it. */
static bool set_one_aside(pm_disk *disk, size_t i) {
    struct stat info;
    char name[64];
    char *path = pmi_disk_path(disk->dir, names[i]);
    char *aside = pmi_disk_path(disk->dir, name_of(i, ASIDE, name));
    bool has_memory = path != NULL && aside != NULL;
    if (has_memory && lstat(path, &info) == 0 && !S_ISREG(info.st_mode)) {
        if (move_aside(path, aside)) {
            pmi_logf(disk->log, PM_LOG_ERROR, "trace cache: %s was no regular file; it is set aside as %s", path, name);
            disk->was_damaged = true;
        } else {
            pmi_logf(disk->log, PM_LOG_ERROR, "trace cache: %s is no regular file, and cannot be set aside as %s: %s",
                     path, name, strerror(errno));
        }
    }
    free(path);
    free(aside);
    return has_memory;
}

/* Sets aside, as *.damaged and with an error line, what is no regular file under the names of the database and of what
 * SQLite puts beside it. False when memory is out. */
static bool set_aside(pm_disk *disk) {
    bool has_memory = true;
    for (size_t i = 0; i < N_NAMES && has_memory; i++) {
        has_memory = set_one_aside(disk, i);
    }
    return has_memory;
}

void pmi_disk_remove_set_aside(const pm_disk *disk) {
    for (size_t i = 0; i < N_NAMES; i++) {
        char name[64];
        char *aside = pmi_disk_path(disk->dir, name_of(i, ASIDE, name));
        if (aside != NULL && remove(aside) != 0 && errno != ENOENT) {
            pmi_logf(disk->log, PM_LOG_WARNING, "trace cache: %s cannot be removed: %s", aside, strerror(errno));
        }
        free(aside);
    }
}

#define APPLICATION_ID 0x70686D63 /* "phmc" */
#define VERSION 1                 /* of the tables */
#define TEXT_OF(number) TEXT_OF_TOKEN(number)
#define TEXT_OF_TOKEN(token) #token

#define CREATE_ENTRY                                                                                                   \
    "CREATE TABLE entry(kind INTEGER NOT NULL, key BLOB NOT NULL, id INTEGER NOT NULL, size INTEGER NOT NULL, used "   \
    "INTEGER NOT NULL, mark INTEGER NOT NULL, PRIMARY KEY(kind, key)) WITHOUT ROWID"

/* As SQLite keeps them in its schema. */
static const char *const tables[] = {
    CREATE_ENTRY, "CREATE TABLE value(id INTEGER PRIMARY KEY, digest BLOB NOT NULL, bytes BLOB NOT NULL)",
    "CREATE TABLE total(entries INTEGER NOT NULL, bytes INTEGER NOT NULL, made INTEGER NOT NULL)"};
#define N_TABLES (sizeof tables / sizeof *tables)

#define TEXT(name, text) text,
static const char *const texts[] = {PM_DISK_STATEMENTS(TEXT)};

/* ---- waiting ---- */

/* Whether the database was written since the last look. */
static bool is_written(pm_disk *disk) {
    struct stat info;
    if (lstat(disk->path, &info) != 0 ||
        (info.st_mtim.tv_sec == disk->wrote.tv_sec && info.st_mtim.tv_nsec == disk->wrote.tv_nsec)) {
        return false;
    }
    disk->wrote = info.st_mtim;
    return true;
}

/* SQLite's busy handler: waits while patience lasts. Where others write, the lock is not stuck and our turn will come.
 * Short sleeps, so that many that wait get theirs. */
static int wait_for_lock(void *ctx, int times) {
    pm_disk *disk = ctx;
    bool moves = is_written(disk) && times > 0;
    if (moves && disk->most_patience > 0) {
        disk->patience = PM_DISK_PATIENCE_SECONDS;
    }
    if (disk->patience <= 0) {
        return 0;
    }
    double begin = pmi_seconds();
    nanosleep(&(struct timespec){.tv_nsec = times < 10 ? 500000 : 2000000}, NULL);
    double slept = pmi_seconds() - begin;
    disk->patience -= slept;
    disk->most_patience -= slept;
    return 1;
}

/* ---- a connection ---- */

/* The file is untrusted: SQLite is told so, and may do no more than it must. */
static int harden(sqlite3 *db) {
    static const struct {
        int option, value;
    } settings[] = {{SQLITE_DBCONFIG_DEFENSIVE, 1},      {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
                    {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0}, {SQLITE_DBCONFIG_ENABLE_VIEW, 0},
                    {SQLITE_DBCONFIG_DQS_DML, 0},        {SQLITE_DBCONFIG_DQS_DDL, 0}};
    static const struct {
        int limit, value;
    } limits[] = {{SQLITE_LIMIT_SQL_LENGTH, 4096}, {SQLITE_LIMIT_COLUMN, 16},       {SQLITE_LIMIT_EXPR_DEPTH, 20},
                  {SQLITE_LIMIT_VDBE_OP, 25000},   {SQLITE_LIMIT_FUNCTION_ARG, 8},  {SQLITE_LIMIT_ATTACHED, 1},
                  {SQLITE_LIMIT_TRIGGER_DEPTH, 1}, {SQLITE_LIMIT_WORKER_THREADS, 0}};
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        int rc = sqlite3_db_config(db, settings[i].option, settings[i].value, NULL);
        if (rc != SQLITE_OK) {
            return rc;
        }
    }
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        (void)sqlite3_limit(db, limits[i].limit, limits[i].value);
    }
    return SQLITE_OK;
}

/* A rollback journal, not a WAL: that needs memory shared by all who read, which network file systems and read-only
 * folders do not have, and which a truncated file turns into SIGBUS. */
static const char settings[] = "PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY; "
                               "PRAGMA journal_mode = DELETE; PRAGMA synchronous = NORMAL; PRAGMA secure_delete = OFF; "
                               "PRAGMA cache_size = -8192";

/* `resets`: whatever is in the file counts as nothing, until the option is taken back. */
static int open_file(pm_disk *disk, const char *path, bool resets, sqlite3 **db) {
    int rc = sqlite3_open_v2(
        path, db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_NOFOLLOW, NULL);
    if (*db == NULL) {
        return SQLITE_NOMEM;
    }
    (void)sqlite3_extended_result_codes(*db, 1);
    PM_THEN(rc, sqlite3_busy_handler(*db, wait_for_lock, disk));
    PM_THEN(rc, harden(*db));
    PM_THEN(rc, resets ? sqlite3_db_config(*db, SQLITE_DBCONFIG_RESET_DATABASE, 1, NULL) : PM_OK);
    return rc == SQLITE_OK ? sqlite3_exec(*db, settings, NULL, NULL, NULL) : rc;
}

static int query_integer(sqlite3 *db, const char *sql, int64_t *out) {
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &s, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(s);
        *out = rc == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
        rc = rc == SQLITE_ROW ? SQLITE_OK : rc == SQLITE_DONE ? SQLITE_CORRUPT : rc;
    }
    sqlite3_finalize(s);
    return rc;
}

/* Exactly our tables. */
static int check_tables(sqlite3 *db) {
    sqlite3_stmt *s = NULL;
    size_t n = 0;
    int rc = sqlite3_prepare_v2(db, "SELECT sql FROM sqlite_master ORDER BY rowid", -1, &s, NULL);
    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        rc = sqlite3_step(s);
        if (rc == SQLITE_ROW) {
            const char *text = (const char *)sqlite3_column_text(s, 0);
            rc = n < N_TABLES && text != NULL && strcmp(text, tables[n]) == 0 ? SQLITE_ROW : SQLITE_CORRUPT;
            n++;
        }
    }
    sqlite3_finalize(s);
    return rc != SQLITE_DONE ? rc : n == N_TABLES ? SQLITE_OK : SQLITE_CORRUPT;
}

/* One view of it: another process may be making it anew. */
static int check_schema(sqlite3 *db, int64_t *made) {
    int64_t id = 0, version = 0;
    int rc = sqlite3_exec(db, "BEGIN", NULL, NULL, NULL);
    PM_THEN(rc, query_integer(db, "PRAGMA application_id", &id));
    PM_THEN(rc, query_integer(db, "PRAGMA user_version", &version));
    if (rc == SQLITE_OK && (id != APPLICATION_ID || version != VERSION)) {
        rc = SQLITE_NOTADB;
    }
    PM_THEN(rc, check_tables(db));
    PM_THEN(rc, query_integer(db, "SELECT made FROM total", made));
    if (sqlite3_get_autocommit(db) == 0) {
        (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    }
    return rc;
}

/* ---- making ---- */

#define BEFORE_TABLES "PRAGMA auto_vacuum = INCREMENTAL; "

static int make_tables(pm_disk *disk, sqlite3 *db) {
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_exec(db,
                          "BEGIN IMMEDIATE; PRAGMA application_id = " TEXT_OF(APPLICATION_ID) "; PRAGMA user_version "
                                                                                              "= " TEXT_OF(VERSION),
                          NULL, NULL, NULL);
    for (size_t i = 0; i < N_TABLES && rc == SQLITE_OK; i++) {
        rc = sqlite3_exec(db, tables[i], NULL, NULL, NULL);
    }
    PM_THEN(rc, sqlite3_prepare_v2(db, "INSERT INTO total VALUES(0, 0, ?1)", -1, &s, NULL));
    if (rc == SQLITE_OK) {
        sqlite3_bind_int64(s, 1, pmi_disk_now(disk));
        rc = sqlite3_step(s);
        rc = rc == SQLITE_DONE ? SQLITE_OK : rc;
    }
    sqlite3_finalize(s);
    return rc == SQLITE_OK ? sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) : rc;
}

#define NEW "new-"
#define STALE_SECONDS 3600

/* What processes left that were killed while they made a database. */
static void remove_stale(const pm_disk *disk) {
    DIR *dir = opendir(disk->dir);
    struct dirent *file;
    while (dir != NULL && (file = readdir(dir)) != NULL) {
        struct stat info;
        bool is_new = strncmp(file->d_name, NEW, sizeof NEW - 1) == 0;
        if (is_new && fstatat(dirfd(dir), file->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(info.st_mode) &&
            time(NULL) - info.st_mtime > STALE_SECONDS) {
            (void)unlinkat(dirfd(dir), file->d_name, 0);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

static bool tell_of_old_cache(const pm_disk *disk) {
    char *old = pmi_disk_path(disk->dir, "data.mdb");
    bool has_memory = old != NULL;
    if (has_memory && access(old, F_OK) == 0) {
        pmi_logf(disk->log, PM_LOG_WARNING,
                 "trace cache %s: the cache of an older phasemill (data.mdb) is not used and left alone; to remove it: "
                 "data.mdb, data.mdb.damaged, lock.mdb, open.lock and alive.lock",
                 disk->dir);
    }
    free(old);
    return has_memory;
}

static int make_file(pm_disk *disk, const char *path) {
    sqlite3 *db = NULL;
    int rc = open_file(disk, path, false, &db);
    PM_THEN(rc, sqlite3_exec(db, BEFORE_TABLES, NULL, NULL, NULL));
    PM_THEN(rc, make_tables(disk, db));
    (void)sqlite3_close(db);
    return rc;
}

/* Under a name of its own first: the database is there whole, or not at all. */
static int make_new(pm_disk *disk) {
    char *path = pmi_disk_path(disk->dir, NEW "XXXXXX");
    if (path == NULL) {
        return SQLITE_NOMEM;
    }
    int fd = mkstemp(path); /* readable by its owner alone, and so will be what SQLite puts beside it */
    if (fd < 0) {
        disk->system_error = errno;
        free(path);
        return SQLITE_CANTOPEN;
    }
    close(fd);
    int rc = make_file(disk, path);
    if (rc == SQLITE_OK && link(path, disk->path) != 0 && errno != EEXIST) { /* another may have been faster */
        disk->system_error = errno;
        rc = SQLITE_CANTOPEN;
    }
    (void)unlink(path);
    free(path);
    return rc;
}

static int make_if_missing(pm_disk *disk) {
    struct stat info;
    if (!set_aside(disk)) {
        return SQLITE_NOMEM;
    }
    if (lstat(disk->path, &info) == 0 || errno != ENOENT) {
        return SQLITE_OK;
    }
    if (pmi_disk_make_dir(disk->dir, NULL) != PM_OK) { /* removed while it was open */
        disk->system_error = ENOENT;
        return SQLITE_CANTOPEN;
    }
    remove_stale(disk);
    return tell_of_old_cache(disk) ? make_new(disk) : SQLITE_NOMEM;
}

/* ---- opening ---- */

int pmi_disk_statement(pm_disk *disk, pm_disk_sql which, sqlite3_stmt **out) {
    int rc = SQLITE_OK;
    if (disk->sql[which] == NULL) {
        rc = sqlite3_prepare_v3(disk->db, texts[which], -1, SQLITE_PREPARE_PERSISTENT, &disk->sql[which], NULL);
    }
    *out = disk->sql[which];
    return rc;
}

void pmi_disk_disconnect(pm_disk *disk) {
    for (size_t i = 0; i < PM_SQL_COUNT; i++) {
        sqlite3_finalize(disk->sql[i]);
        disk->sql[i] = NULL;
    }
    if (disk->db != NULL) {
        disk->system_error = sqlite3_system_errno(disk->db);
        (void)sqlite3_close(disk->db);
    }
    disk->db = NULL;
    disk->is_checked = false;
    disk->held_since = 0;
}

static int open_checked(pm_disk *disk) {
    int rc = open_file(disk, disk->path, false, &disk->db);
    PM_THEN(rc, check_schema(disk->db, &disk->made));
    if (rc == SQLITE_OK && sqlite3_db_readonly(disk->db, "main") == 1) {
        rc = may_write(disk) ? SQLITE_CORRUPT : SQLITE_OK; /* by its header, not by right */
    }
    if (rc != SQLITE_OK) {
        pmi_disk_disconnect(disk);
    }
    return rc;
}

int pmi_disk_connect(pm_disk *disk) {
    int rc = make_if_missing(disk);
    PM_THEN(rc, open_checked(disk));
    return pmi_disk_is_damage(disk, rc) ? pmi_disk_rebuild(disk, rc) : rc;
}

bool pmi_disk_is_damage(const pm_disk *disk, int rc) {
    switch (rc & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR: /* a table or column that is not there, a sum that overflows */
    case SQLITE_SCHEMA:
    case SQLITE_MISMATCH:
    case SQLITE_CONSTRAINT:
    case SQLITE_TOOBIG:
        return true;
    case SQLITE_READONLY: /* by its header, not by right */
        return rc == SQLITE_READONLY && may_write(disk);
    default:
        return rc == SQLITE_IOERR_SHORT_READ;
    }
}

/* ---- making anew ---- */

/* Another process may have been faster. */
static bool is_another(pm_disk *disk) {
    sqlite3 *db = NULL;
    int64_t made;
    int rc = open_file(disk, disk->path, false, &db);
    PM_THEN(rc, check_schema(db, &made));
    (void)sqlite3_close(db);
    return rc == SQLITE_OK && made != disk->made;
}

/* In place and under SQLite's own locks, so that others that have the database open are told. The lock is kept until
 * the tables are there. */
static int reset(pm_disk *disk, sqlite3 *db) {
    int rc = sqlite3_exec(db, "PRAGMA locking_mode = EXCLUSIVE; " BEFORE_TABLES "VACUUM", NULL, NULL, NULL);
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_RESET_DATABASE, 0, NULL);
    return rc == SQLITE_OK ? make_tables(disk, db) : rc;
}

int pmi_disk_rebuild(pm_disk *disk, int why) {
    sqlite3 *db = NULL;
    pmi_disk_disconnect(disk);
    int rc = make_if_missing(disk);
    if (rc == SQLITE_OK && !is_another(disk)) {
        rc = open_file(disk, disk->path, true, &db);
        PM_THEN(rc, reset(disk, db));
        if (rc != SQLITE_OK) {
            disk->system_error = sqlite3_system_errno(db);
        }
        (void)sqlite3_close(db);
        pmi_logf(disk->log, PM_LOG_ERROR, "trace cache %s: the database is damaged (%s); it is %s", disk->dir,
                 sqlite3_errstr(why),
                 rc == SQLITE_OK ? "made anew, and its traces are recorded again"
                                 : "not used, as it cannot be made anew");
        disk->was_damaged = true;
    }
    disk->n_rebuilt++;
    return rc == SQLITE_OK ? open_checked(disk) : rc;
}
