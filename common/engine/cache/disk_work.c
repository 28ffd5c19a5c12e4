/* Work on the database: statements, transactions, and what is done when they fail. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "cache/disk_impl.h"

#define PAUSE_SECONDS 60.0
#define HOLD_SECONDS 0.1
#define MOST_TRIES 3

/* ---- statements ---- */

int pmi_disk_step(pm_disk *disk, pm_disk_sql which) {
    int rc;
    sqlite3_stmt *s = pmi_disk_statement(disk, which, &rc);
    if (s == NULL) {
        return rc;
    }
    do {
        rc = sqlite3_step(s);
    } while (rc == SQLITE_ROW);
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

void pmi_disk_end_hold(pm_disk *disk) {
    if (disk->held_since > 0) {
        abandon(disk);
    }
}

void pmi_disk_hold(pm_disk *disk) {
    disk->holds = true;
}

void pmi_disk_release(pm_disk *disk) {
    pmi_disk_end_hold(disk);
    disk->holds = false;
}

static int begin_hold(pm_disk *disk) {
    double now = pmi_seconds();
    if (!disk->holds || (disk->held_since > 0 && now - disk->held_since < HOLD_SECONDS)) {
        return SQLITE_OK;
    }
    pmi_disk_end_hold(disk);
    int rc = pmi_disk_step(disk, PM_SQL_BEGIN_READ);
    disk->held_since = rc == SQLITE_OK ? now : 0;
    return rc;
}

static int read_once(pm_disk *disk, pm_disk_work work, void *ctx) {
    int rc = disk->db == NULL ? pmi_disk_connect(disk) : SQLITE_OK;
    PM_THEN(rc, begin_hold(disk));
    return rc == SQLITE_OK ? work(disk, ctx) : rc;
}

static int write_once(pm_disk *disk, pm_disk_work work, void *ctx) {
    int rc = disk->db == NULL ? pmi_disk_connect(disk) : SQLITE_OK;
    pmi_disk_end_hold(disk);
    PM_THEN(rc, pmi_disk_step(disk, PM_SQL_BEGIN_WRITE));
    PM_THEN(rc, work(disk, ctx));
    return rc == SQLITE_OK ? pmi_disk_step(disk, PM_SQL_COMMIT) : rc;
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
