/* What the cache owes to other users, to locks and to full disks; kinds of entries. */
#include <criterion/criterion.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "cache/disk_impl.h"
#include "disk_fixture.h"

#define MB ((size_t)1 << 20)

static pm_disk *open_disk(disk_fixture *f, size_t limit) {
    pm_disk *disk;
    pm_error err;
    cr_assert_eq(pmi_disk_open(f->dir, limit, &f->log, &disk, &err), PM_OK, "%s", err.text);
    return disk;
}

static void put(pm_disk *disk, uint64_t i, size_t size) {
    pm_error err;
    cr_assert_eq(fixture_put(disk, i, size, &err), PM_OK, "%s", err.text);
}

static pm_status put_kind(pm_disk *disk, pm_cache_kind kind, uint64_t i, const void *bytes, size_t size) {
    pm_cache_entry entry = {.kind = kind, .bytes = bytes, .size = size};
    fixture_key(i, entry.key);
    return pmi_disk_put(disk, &entry, 1, NULL);
}

static bool holds(pm_disk *disk, pm_cache_kind kind, uint64_t i, const void *bytes, size_t size) {
    uint8_t key[PM_DIGEST_BYTES];
    pm_buffer value = {0};
    pm_cache_found found;
    fixture_key(i, key);
    cr_assert_eq(pmi_disk_get(disk, kind, key, &value, &found, NULL), PM_OK);
    bool right = found == PM_CACHE_FOUND && value.size == size && memcmp(value.bytes, bytes, size) == 0;
    pmi_buffer_free(&value);
    return right;
}

static pm_status count_kinds(void *ctx, const pm_disk_item *item, pm_error *err) {
    (void)err;
    ((size_t *)ctx)[item->kind]++;
    return PM_OK;
}

/* One key in two kinds is two entries; a value that was removed may be followed by another. */
Test(disk, kinds_are_apart_and_values_can_be_replaced) {
    disk_fixture f;
    disk_fixture_make(&f);
    pm_disk *disk = open_disk(&f, MB);
    uint8_t key[PM_DIGEST_BYTES];
    bool removed;
    size_t seen[PM_CACHE_KINDS] = {0};
    fixture_key(1, key);
    cr_assert_eq(put_kind(disk, PM_CACHE_TRACE, 1, "trace", 5), PM_OK);
    cr_assert_eq(put_kind(disk, PM_CACHE_CLASSES, 1, "classes", 7), PM_OK);
    cr_assert(holds(disk, PM_CACHE_TRACE, 1, "trace", 5));
    cr_assert(holds(disk, PM_CACHE_CLASSES, 1, "classes", 7));
    cr_assert_eq(pmi_disk_each(disk, count_kinds, seen, NULL), PM_OK);
    cr_assert(seen[PM_CACHE_TRACE] == 1 && seen[PM_CACHE_CLASSES] == 1);
    pm_disk_stat stat;
    cr_assert_eq(pmi_disk_stat_of(disk, &stat, NULL), PM_OK);
    cr_assert(stat.entries == 2 && stat.of_kind[PM_CACHE_TRACE] == 1 && stat.of_kind[PM_CACHE_CLASSES] == 1);
    cr_assert_eq(pmi_disk_remove(disk, PM_CACHE_TRACE, key, &removed, NULL), PM_OK);
    cr_assert(removed);
    cr_assert_eq(put_kind(disk, PM_CACHE_TRACE, 1, "another", 7), PM_OK);
    pmi_disk_close(disk);
    disk = open_disk(&f, MB);
    cr_assert(holds(disk, PM_CACHE_TRACE, 1, "another", 7));
    cr_assert(holds(disk, PM_CACHE_CLASSES, 1, "classes", 7));
    pmi_disk_close(disk);
    cr_assert_eq(f.errors + f.warnings, 0);
    disk_fixture_remove(&f);
}

/* Nobody else can open the files, and so nobody else can lock them. */
Test(disk, files_are_their_owners) {
    disk_fixture f, deep;
    struct stat info;
    char path[512];
    disk_fixture_make(&f);
    disk_fixture_path(&f, "a/b", path);
    disk_fixture_attach(&deep, path);
    mode_t mask = umask(0);
    pm_disk *disk = open_disk(&deep, MB);
    put(disk, 1, 5000);
    pmi_disk_close(disk);
    umask(mask);
    cr_assert_eq(stat(path, &info), 0);
    cr_assert_eq(info.st_mode & 0777, 0700);
    disk_fixture_path(&deep, PM_DISK_FILE, path);
    cr_assert_eq(stat(path, &info), 0);
    cr_assert_eq(info.st_mode & 0777, 0600);
    disk_fixture_remove(&f);
}

/* Evicting and clearing give space back, also while another has the cache open. */
Test(disk, the_file_shrinks) {
    disk_fixture f;
    disk_fixture_make(&f);
    pm_disk *disk = open_disk(&f, 8 * MB), *other = open_disk(&f, MB / 2);
    for (uint64_t i = 0; i < 70; i++) {
        put(disk, i, 100000);
    }
    pm_disk_stat full, evicted, cleared;
    size_t removed;
    cr_assert_eq(pmi_disk_stat_of(disk, &full, NULL), PM_OK);
    put(other, 100, 1000);
    cr_assert_eq(pmi_disk_stat_of(disk, &evicted, NULL), PM_OK);
    cr_assert_lt(evicted.file_bytes, full.file_bytes / 5);
    cr_assert_eq(pmi_disk_clear(disk, &removed, NULL), PM_OK);
    cr_assert_gt(removed, 1);
    cr_assert_eq(pmi_disk_stat_of(disk, &cleared, NULL), PM_OK);
    cr_assert_leq(cleared.file_bytes, 65536);
    pmi_disk_close(other);
    pmi_disk_close(disk);
    cr_assert_eq(f.errors + f.warnings, 0, "%s", f.last_error);
    disk_fixture_remove(&f);
}

static void lock_exclusively(const disk_fixture *f, sqlite3 **db) {
    char path[512];
    disk_fixture_path(f, PM_DISK_FILE, path);
    cr_assert_eq(sqlite3_open(path, db), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(*db, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
}

/* A lock that is never given back costs a second in all, whatever is asked for. */
Test(disk, a_lock_that_stays, .timeout = 60) {
    disk_fixture f;
    disk_fixture_make(&f);
    pm_disk *disk = open_disk(&f, MB), *late;
    sqlite3 *db;
    pm_error err;
    uint8_t key[PM_DIGEST_BYTES];
    pm_buffer value = {0};
    pm_cache_found found;
    put(disk, 1, 1000);
    cr_assert(fixture_has(disk, 1));
    lock_exclusively(&f, &db);
    double begin = pmi_seconds();
    fixture_key(1, key);
    for (int i = 0; i < 50; i++) {
        cr_assert_eq(pmi_disk_get(disk, PM_CACHE_TRACE, key, &value, &found, &err), PM_EIO);
        cr_assert_eq(found, PM_CACHE_MISSING);
        cr_assert_eq(fixture_put(disk, 2, 10, &err), PM_EIO);
    }
    cr_assert(strstr(err.text, "locked") != NULL, "%s", err.text);
    pmi_disk_close(disk);
    double waited = pmi_seconds() - begin;
    cr_assert(waited > 0.9 && waited < 5, "%g s", waited); /* far above 1.1 only where the machine is busy */
    begin = pmi_seconds();
    cr_assert_eq(pmi_disk_open_if_usable(f.dir, NULL, NULL, MB, &f.log, &late, &err), PM_OK);
    cr_assert_null(late);
    waited = pmi_seconds() - begin;
    cr_assert(waited > 0.9 && waited < 5, "%g s", waited);
    cr_assert_eq(f.warnings, 2); /* the times of use at closing, and this */
    cr_assert_eq(f.errors, 0, "%s", f.last_error);
    sqlite3_close(db);
    disk = open_disk(&f, MB);
    cr_assert(fixture_has(disk, 1));
    pmi_disk_close(disk);
    disk_fixture_remove(&f);
}

/* A full disk: what is there can be read, what is put is an error, nothing is damaged. */
Test(disk, a_full_disk) {
    disk_fixture f;
    pm_error err;
    struct rlimit limit;
    disk_fixture_make(&f);
    pm_disk *disk = open_disk(&f, MB);
    put(disk, 1, 1000);
    (void)signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    rlim_t most = limit.rlim_cur;
    for (rlim_t n = 0; n < 60000; n += 2500) {
        limit.rlim_cur = n;
        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
        cr_assert_eq(fixture_put(disk, 2, 200000, &err), PM_EIO, "%d", (int)n);
        cr_assert(fixture_has(disk, 1), "%d", (int)n);
        pmi_disk_close(disk);
        limit.rlim_cur = most;
        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
        disk = open_disk(&f, MB);
    }
    put(disk, 2, 200000);
    cr_assert(fixture_has(disk, 1) && fixture_has(disk, 2));
    pmi_disk_close(disk);
    cr_assert_eq(f.errors, 0, "%s", f.last_error);
    disk_fixture_remove(&f);
}

/* Who may only read reads; where there is nothing to read, the cache cannot be used. Root may write anywhere: another
 * user tries. */
Test(disk, a_folder_that_is_not_ours) {
    disk_fixture f;
    char path[512];
    disk_fixture_make(&f);
    pm_disk *disk = open_disk(&f, MB);
    put(disk, 1, 1000);
    pmi_disk_close(disk);
    disk_fixture_path(&f, PM_DISK_FILE, path);
    cr_assert_eq(chmod(path, 0444), 0);
    cr_assert_eq(chmod(f.dir, 0555), 0);
    pid_t child = fork();
    if (child == 0) {
        pm_error err;
        if (geteuid() == 0 && setuid(65534) != 0) {
            _exit(1);
        }
        if (pmi_disk_open(f.dir, MB, &f.log, &disk, &err) != PM_OK || !fixture_has(disk, 1)) {
            _exit(2);
        }
        pm_status st = fixture_put(disk, 2, 10, &err);
        pmi_disk_close(disk);
        _exit(st != PM_EIO || f.errors > 0 || f.warnings > 1 ? 3 : 0);
    }
    int status;
    waitpid(child, &status, 0);
    cr_assert_eq(status, 0, "exit %d", WEXITSTATUS(status));
    cr_assert_eq(chmod(f.dir, 0755), 0);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(chmod(f.dir, 0555), 0);
    child = fork();
    if (child == 0) {
        pm_error err;
        if (geteuid() == 0 && setuid(65534) != 0) {
            _exit(1);
        }
        pm_status st = pmi_disk_open(f.dir, MB, &f.log, &disk, &err);
        _exit(st == PM_EUNAVAILABLE && pmi_disk_open_if_usable(f.dir, NULL, NULL, MB, &f.log, &disk, &err) == PM_OK &&
                      disk == NULL && f.warnings == 1
                  ? 0
                  : 2);
    }
    waitpid(child, &status, 0);
    cr_assert_eq(status, 0, "exit %d", WEXITSTATUS(status));
    cr_assert_eq(chmod(f.dir, 0755), 0);
    disk_fixture_remove(&f);
}

/* A cache of LMDB's stays as it is, with a line when the new one is made. */
Test(disk, an_old_cache_is_left_alone) {
    disk_fixture f;
    char path[512];
    struct stat info;
    disk_fixture_make(&f);
    disk_fixture_path(&f, "data.mdb", path);
    FILE *file = fopen(path, "w");
    fputs("old", file);
    fclose(file);
    for (int i = 0; i < 3; i++) {
        pmi_disk_close(open_disk(&f, MB));
        cr_assert_eq(f.warnings, 1);
    }
    cr_assert(stat(path, &info) == 0 && info.st_size == 3);
    disk_fixture_remove(&f);
}
