#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/disk_impl.h"
#include "store/lmdb_check.h"

#define MAX_READERS 512
#define READ_ATTEMPTS 5

bool pm_disk_is_damage(int rc) {
    return rc == MDB_CORRUPTED || rc == MDB_PAGE_NOTFOUND || rc == MDB_INVALID || rc == MDB_VERSION_MISMATCH ||
           rc == MDB_INCOMPATIBLE || rc == MDB_PANIC;
}

pm_status pm_disk_fail(const pm_disk *disk, int rc, const char *doing, pm_error *err) {
    pm_status code = rc == ENOMEM ? PM_EOSERR : PM_EIO;
    const char *advice = "name another folder with --cache-dir, or use --no-cache";
    if (rc == MDB_MAP_FULL) {
        advice = "its pages are too scattered for a value of this size: raise --cache-limit, or clear the cache";
    } else if (rc == MDB_READERS_FULL) {
        advice = "too many processes read it at once";
    } else if (rc == ENOSPC) {
        advice = "free space on the disk, or clear the cache";
    }
    return pm_fail(err, code, "trace cache %s: %s: %s; %s", disk->dir, doing, mdb_strerror(rc), advice);
}

int pm_disk_begin(pm_disk *disk, unsigned flags, MDB_txn **txn) {
    int rc = mdb_txn_begin(disk->env, NULL, flags, txn);
    if (rc == MDB_MAP_RESIZED) {
        MDB_envinfo info;
        rc = mdb_env_info(disk->env, &info);
        /* LMDB itself raises the size to what is in use */
        if (rc == MDB_SUCCESS) {
            rc =
                mdb_env_set_mapsize(disk->env, info.me_mapsize <= SIZE_MAX / 4 ? 2 * info.me_mapsize : info.me_mapsize);
        }
        if (rc == MDB_SUCCESS) {
            rc = mdb_txn_begin(disk->env, NULL, flags, txn);
        }
    } else if (rc == MDB_READERS_FULL) {
        int dead;
        rc = mdb_reader_check(disk->env, &dead);
        if (rc == MDB_SUCCESS) {
            rc = mdb_txn_begin(disk->env, NULL, flags, txn);
        }
    }
    return rc;
}

/* ---- opening ---- */

/* A snapshot of the file, *fd open for reading; a new or empty file is no damage: *exists is false. Another process may
 * be writing a meta page just now, so that what looks damaged is read again. */
static pm_status read_snapshot(const pm_disk *disk, int *fd, bool *exists, pm_lmdb_snapshot *snapshot, pm_error *err) {
    *exists = false;
    char *path = pm_disk_path(disk->dir, "data.mdb");
    if (path == NULL) {
        return pm_fail_memory(err, "the name of a cache file", strlen(disk->dir));
    }
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    int code = errno;
    free(path);
    if (*fd < 0) {
        return code == ENOENT ? PM_OK
                              : pm_fail(err, PM_ECANTCREAT, "trace cache %s: data.mdb cannot be read: %s", disk->dir,
                                        strerror(code));
    }
    struct stat info;
    if (fstat(*fd, &info) == 0 && info.st_size == 0) {
        return PM_OK;
    }
    *exists = true;
    pm_status st = PM_EDATA;
    for (int attempt = 0; attempt < READ_ATTEMPTS && st == PM_EDATA; attempt++) {
        if (attempt > 0) {
            nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
        }
        st = pm_lmdb_snapshot_read(*fd, snapshot, err);
    }
    return st;
}

/* Room for pages that are half used and for values that do not fit each other's gaps. */
static size_t map_size(const pm_disk *disk) {
    return 4 * disk->limit + ((size_t)8 << 20);
}

static pm_status open_env(pm_disk *disk, pm_error *err) {
    pm_status st = pm_disk_reserve_lock_file(disk->dir, err);
    if (st != PM_OK) {
        return st;
    }
    int rc = mdb_env_create(&disk->env);
    if (rc == MDB_SUCCESS) {
        rc = mdb_env_set_mapsize(disk->env, map_size(disk));
    }
    if (rc == MDB_SUCCESS) {
        rc = mdb_env_set_maxreaders(disk->env, MAX_READERS);
    }
    if (rc == MDB_SUCCESS) {
        rc = mdb_env_open(disk->env, disk->dir, MDB_NOTLS | MDB_NOMETASYNC, 0666);
    }
    if (rc == EACCES || rc == EROFS || rc == EPERM) {
        return pm_fail(err, PM_ECANTCREAT,
                       "the trace cache %s cannot be written: %s; name another folder with --cache-dir, or use "
                       "--no-cache",
                       disk->dir, strerror(rc));
    }
    if (pm_disk_is_damage(rc)) {
        return pm_fail(err, PM_EDATA, "%s", mdb_strerror(rc));
    }
    return rc == MDB_SUCCESS ? PM_OK : pm_disk_fail(disk, rc, "opening", err);
}

/* Inside a write transaction, so that nobody commits meanwhile. */
static pm_status check_env(pm_disk *disk, int fd, MDB_txn *txn, pm_error *err) {
    pm_lmdb_snapshot snapshot;
    struct stat info;
    pm_status st = pm_lmdb_snapshot_read(fd, &snapshot, err);
    if (st == PM_OK && snapshot.txnid + 1 != mdb_txn_id(txn)) {
        st = pm_fail(err, PM_EDATA, "its lock file belongs to another data file");
    }
    if (st == PM_OK) {
        st = pm_lmdb_check(fd, &snapshot, PM_DISK_KEY_BYTES, err);
    }
    if (st != PM_OK) {
        return st;
    }
    if (fstat(fd, &info) != 0) {
        return pm_disk_fail(disk, errno, "fstat of data.mdb", err);
    }
    disk->device = info.st_dev;
    disk->inode = info.st_ino;
    int rc = mdb_dbi_open(txn, NULL, 0, &disk->dbi);
    return rc == MDB_SUCCESS ? pm_disk_repair(disk, txn, err) : pm_disk_fail(disk, rc, "opening", err);
}

static pm_status check_in_transaction(pm_disk *disk, int fd, pm_error *err) {
    MDB_txn *txn;
    int dead;
    int rc = mdb_reader_check(disk->env, &dead);
    if (rc == MDB_SUCCESS) {
        rc = pm_disk_begin(disk, 0, &txn);
    }
    if (rc != MDB_SUCCESS) {
        return pm_disk_is_damage(rc) ? pm_fail(err, PM_EDATA, "%s", mdb_strerror(rc))
                                     : pm_disk_fail(disk, rc, "beginning a transaction", err);
    }
    pm_status st = check_env(disk, fd, txn, err);
    if (st != PM_OK) {
        mdb_txn_abort(txn);
        return st;
    }
    rc = mdb_txn_commit(txn);
    return rc == MDB_SUCCESS ? PM_OK : pm_disk_fail(disk, rc, "writing", err);
}

/* PM_EDATA: the environment is damaged; err says how. */
static pm_status start_once(pm_disk *disk, pm_error *err) {
    pm_lmdb_snapshot snapshot;
    int fd = -1;
    bool exists;
    pm_status st = read_snapshot(disk, &fd, &exists, &snapshot, err);
    if (st == PM_OK) {
        st = open_env(disk, err);
    }
    if (st == PM_OK && fd < 0) {
        st = read_snapshot(disk, &fd, &exists, &snapshot, err); /* the file is there now */
    }
    if (st == PM_OK) {
        st = check_in_transaction(disk, fd, err);
    }
    if (fd >= 0) {
        close(fd);
    }
    if (st != PM_OK) {
        pm_disk_stop(disk);
    }
    return st;
}

void pm_disk_stop(pm_disk *disk) {
    if (disk->env != NULL) {
        mdb_env_close(disk->env);
        disk->env = NULL;
    }
    disk->total_txnid = 0;
}

/* ---- setting aside ---- */

/* The lock file goes first: a process that still has the old files open must not share its locks with the new ones. */
static pm_status move_away(const pm_disk *disk, bool keep, pm_error *err) {
    char *lock = pm_disk_path(disk->dir, "lock.mdb");
    char *data = pm_disk_path(disk->dir, "data.mdb");
    char *aside = pm_disk_path(disk->dir, "data.mdb.damaged");
    pm_status st = PM_OK;
    if (lock == NULL || data == NULL || aside == NULL) {
        st = pm_fail_memory(err, "the names of cache files", 3 * strlen(disk->dir));
    } else if ((unlink(lock) != 0 && errno != ENOENT) ||
               ((keep ? rename(data, aside) : unlink(data)) != 0 && errno != ENOENT) ||
               (!keep && unlink(aside) != 0 && errno != ENOENT)) {
        st = pm_fail(err, PM_EIO, "trace cache %s: its files cannot be replaced: %s", disk->dir, strerror(errno));
    }
    free(lock);
    free(data);
    free(aside);
    return st;
}

pm_status pm_disk_start(pm_disk *disk, pm_error *err) {
    pm_error damage = {0};
    pm_status st = start_once(disk, &damage);
    if (st == PM_EDATA) {
        pm_logf(disk->log, PM_LOG_ERROR,
                "trace cache %s is damaged: %s; it is set aside as data.mdb.damaged, and its traces are recorded again",
                disk->dir, damage.text);
        disk->was_damaged = true;
        st = move_away(disk, true, err);
        if (st != PM_OK) {
            return st;
        }
        st = start_once(disk, &damage);
    }
    if (st == PM_EDATA) {
        return pm_fail(err, PM_EIO, "trace cache %s is damaged again as soon as it was made anew: %s", disk->dir,
                       damage.text);
    }
    if (st != PM_OK && err != NULL) {
        *err = damage;
    }
    return st;
}

/* Whether the folder still holds the file that this handle has open. */
static bool is_still_ours(const pm_disk *disk) {
    struct stat info;
    char *path = pm_disk_path(disk->dir, "data.mdb");
    bool ours = path != NULL && stat(path, &info) == 0 && info.st_dev == disk->device && info.st_ino == disk->inode;
    free(path);
    return ours;
}

pm_status pm_disk_restart(pm_disk *disk, int rc, pm_error *err) {
    bool damaged = rc != MDB_PANIC;
    pm_logf(disk->log, PM_LOG_ERROR, "trace cache %s: %s; %s", disk->dir, mdb_strerror(rc),
            damaged ? "it is set aside as data.mdb.damaged, and its traces are recorded again" : "it is opened again");
    pm_disk_stop(disk);
    pm_status st = pm_disk_flock(disk->open_lock, LOCK_EX, disk->dir, err);
    if (st != PM_OK) {
        return st;
    }
    if (damaged && is_still_ours(disk)) {
        st = move_away(disk, true, err);
    }
    if (st == PM_OK) {
        st = pm_disk_start(disk, err);
    }
    pm_status unlocked = pm_disk_flock(disk->open_lock, LOCK_UN, disk->dir, st == PM_OK ? err : NULL);
    return st == PM_OK ? unlocked : st;
}

pm_status pm_disk_replace_if_alone(pm_disk *disk, bool *done, pm_error *err) {
    *done = false;
    pm_status st = pm_disk_flock(disk->open_lock, LOCK_EX, disk->dir, err);
    if (st != PM_OK) {
        return st;
    }
    if (flock(disk->alive_lock, LOCK_EX | LOCK_NB) == 0) {
        pm_disk_stop(disk);
        st = move_away(disk, false, err);
        pm_status started = pm_disk_start(disk, st == PM_OK ? err : NULL);
        st = st == PM_OK ? started : st;
        *done = st == PM_OK;
    }
    /* a failed upgrade may have dropped the shared lock */
    pm_status locked = pm_disk_flock(disk->alive_lock, LOCK_SH, disk->dir, st == PM_OK ? err : NULL);
    st = st == PM_OK ? locked : st;
    pm_status unlocked = pm_disk_flock(disk->open_lock, LOCK_UN, disk->dir, st == PM_OK ? err : NULL);
    return st == PM_OK ? unlocked : st;
}
