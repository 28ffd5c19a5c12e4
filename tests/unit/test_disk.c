#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

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

static size_t count_entries(pm_disk *disk) {
    pm_disk_stat stat;
    pm_error err;
    cr_assert_eq(pmi_disk_stat_of(disk, &stat, &err), PM_OK, "%s", err.text);
    return stat.entries;
}

Test(disk, default_folder) {
    char *dir;
    pm_error err;
    cr_assert_eq(pmi_disk_default_dir("/x/cache", "/home/a", &dir, &err), PM_OK);
    cr_assert_str_eq(dir, "/x/cache/phasemill");
    free(dir);
    cr_assert_eq(pmi_disk_default_dir(NULL, "/home/a", &dir, &err), PM_OK);
    cr_assert_str_eq(dir, "/home/a/.cache/phasemill");
    free(dir);
    cr_assert_eq(pmi_disk_default_dir("relative", "/home/a", &dir, &err), PM_OK);
    cr_assert_str_eq(dir, "/home/a/.cache/phasemill");
    free(dir);
    cr_assert_eq(pmi_disk_default_dir(NULL, NULL, &dir, &err), PM_EUNAVAILABLE);
    cr_assert(strstr(err.text, "--cache-dir") != NULL);
    cr_assert_null(dir);
}

Test(disk, values_of_all_sizes_survive_closing) {
    static const size_t sizes[] = {0, 1, 31, 32, 100, 1900, 1960, 2000, 2100, 4064, 4096, 5000, 70000, 3000000};
    size_t n = sizeof sizes / sizeof sizes[0];
    disk_fixture f;
    disk_fixture_make(&f);
    pm_disk *disk = open_disk(&f, 8 * MB);
    for (size_t i = 0; i < n; i++) {
        cr_assert_not(fixture_has(disk, i));
        put(disk, i, sizes[i]);
        cr_assert(fixture_has(disk, i));
    }
    pmi_disk_close(disk);
    disk = open_disk(&f, 8 * MB);
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++) {
        cr_assert(fixture_has(disk, i), "size %zu", sizes[i]);
        bytes += sizes[i];
    }
    pm_disk_stat stat;
    cr_assert_eq(pmi_disk_stat_of(disk, &stat, NULL), PM_OK);
    cr_assert_eq(stat.entries, n);
    cr_assert_eq(stat.value_bytes, bytes);
    cr_assert_eq(stat.limit, 8 * MB);
    cr_assert_gt(stat.file_bytes, bytes);
    pmi_disk_close(disk);
    cr_assert_eq(f.errors + f.warnings, 0, "%s", f.last_error);
    disk_fixture_remove(&f);
}

Test(disk, get_appends) {
    disk_fixture f;
    disk_fixture_make(&f);
    pm_disk *disk = open_disk(&f, MB);
    put(disk, 1, 10);
    uint8_t key[PM_DIGEST_BYTES];
    fixture_key(1, key);
    pm_buffer value = {0};
    pm_cache_found found;
    cr_assert_eq(pmi_buffer_add(&value, "ab", 2, NULL), PM_OK);
    cr_assert_eq(pmi_disk_get(disk, PM_CACHE_TRACE, key, &value, &found, NULL), PM_OK);
    cr_assert_eq(found, PM_CACHE_FOUND);
    cr_assert_eq(value.size, 12);
    cr_assert(fixture_is_value(key, value.bytes + 2, 10));
    fixture_key(2, key);
    cr_assert_eq(pmi_disk_get(disk, PM_CACHE_TRACE, key, &value, &found, NULL), PM_OK);
    cr_assert_eq(found, PM_CACHE_MISSING);
    cr_assert_eq(value.size, 12);
    pmi_buffer_free(&value);
    pmi_disk_close(disk);
    disk_fixture_remove(&f);
}

Test(disk, a_key_keeps_its_first_value) {
    disk_fixture f;
    disk_fixture_make(&f);
    pm_disk *disk = open_disk(&f, MB);
    put(disk, 1, 100);
    uint8_t other[200] = {7};
    pm_cache_entry again[2] = {{.bytes = other, .size = sizeof other}, {.bytes = other, .size = sizeof other}};
    fixture_key(1, again[0].key);
    fixture_key(1, again[1].key);
    cr_assert_eq(pmi_disk_put(disk, again, 2, NULL), PM_OK);
    cr_assert(fixture_has(disk, 1));
    /* a new key twice in one put: the first */
    fixture_key(2, again[0].key);
    fixture_key(2, again[1].key);
    again[1].size = 1;
    cr_assert_eq(pmi_disk_put(disk, again, 2, NULL), PM_OK);
    pm_buffer value = {0};
    pm_cache_found found;
    cr_assert_eq(pmi_disk_get(disk, PM_CACHE_TRACE, again[0].key, &value, &found, NULL), PM_OK);
    cr_assert_eq(value.size, sizeof other);
    pm_disk_stat stat;
    cr_assert_eq(pmi_disk_stat_of(disk, &stat, NULL), PM_OK);
    cr_assert_eq(stat.value_bytes, 300);
    pmi_buffer_free(&value);
    pmi_disk_close(disk);
    disk_fixture_remove(&f);
}

Test(disk, least_recently_used_leave_first) {
    disk_fixture f;
    disk_fixture_make(&f);
    pm_disk *disk = open_disk(&f, 10000);
    for (uint64_t i = 0; i < 10; i++) {
        put(disk, i, 1000);
    }
    for (uint64_t i = 0; i < 5; i++) {
        cr_assert(fixture_has(disk, i));
    }
    pmi_disk_close(disk); /* the uses are written here */
    disk = open_disk(&f, 10000);
    put(disk, 10, 1000);
    put(disk, 11, 1000);
    put(disk, 12, 500); /* 7 must go for it */
    static const bool there[13] = {1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1};
    for (uint64_t i = 0; i < 13; i++) {
        cr_assert_eq(fixture_has(disk, i), there[i], "entry %d", (int)i);
    }
    put(disk, 13, 500); /* fits what 7 left */
    cr_assert_eq(count_entries(disk), 11);
    /* the uses above, in the order of their numbers, were written by that put: 0 is the oldest now */
    put(disk, 14, 1);
    cr_assert_not(fixture_has(disk, 0));
    cr_assert(fixture_has(disk, 8));
    pmi_disk_close(disk);
    cr_assert_eq(f.errors + f.warnings, 0);
    disk_fixture_remove(&f);
}

Test(disk, another_process_is_counted_too) {
    disk_fixture f;
    disk_fixture_make(&f);
    pm_disk *disk = open_disk(&f, 10000);
    put(disk, 0, 4000);
    pid_t child = fork();
    if (child == 0) {
        disk_fixture mine;
        pm_disk *theirs;
        disk_fixture_attach(&mine, f.dir);
        pm_status st = pmi_disk_open(mine.dir, 10000, &mine.log, &theirs, NULL);
        st = st == PM_OK ? fixture_put(theirs, 1, 4000, NULL) : st;
        if (st == PM_OK) {
            pmi_disk_close(theirs);
        }
        _exit(st == PM_OK && mine.errors == 0 ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    cr_assert_eq(status, 0);
    put(disk, 2, 4000);
    cr_assert_not(fixture_has(disk, 0));
    cr_assert(fixture_has(disk, 1));
    cr_assert(fixture_has(disk, 2));
    pmi_disk_close(disk);
    disk_fixture_remove(&f);
}

Test(disk, what_is_larger_than_the_limit_is_left_out) {
    disk_fixture f;
    disk_fixture_make(&f);
    pm_disk *disk = open_disk(&f, 10000);
    put(disk, 0, 9000);
    put(disk, 1, 10001);
    cr_assert_eq(f.warnings, 1);
    cr_assert(fixture_has(disk, 0));
    cr_assert_not(fixture_has(disk, 1));
    /* together too large: the first of them stay */
    uint8_t bytes[6000];
    pm_cache_entry both[2] = {{.bytes = bytes, .size = 6000}, {.bytes = bytes, .size = 6000}};
    for (size_t i = 0; i < 2; i++) {
        fixture_key(2 + i, both[i].key);
    }
    fixture_value(both[0].key, bytes, 6000);
    cr_assert_eq(pmi_disk_put(disk, both, 2, NULL), PM_OK);
    cr_assert_eq(f.warnings, 2);
    cr_assert(fixture_has(disk, 2));
    cr_assert_eq(count_entries(disk), 1);
    put(disk, 5, 10000);
    cr_assert_eq(count_entries(disk), 1);
    cr_assert(fixture_has(disk, 5));
    pmi_disk_close(disk);
    disk_fixture_remove(&f);
}

Test(disk, what_a_put_names_is_not_evicted_by_it) {
    disk_fixture f;
    disk_fixture_make(&f);
    pm_disk *disk = open_disk(&f, 3000);
    put(disk, 0, 1000);
    put(disk, 1, 1000);
    put(disk, 2, 1000);
    uint8_t bytes[1000];
    pm_cache_entry both[2] = {{.bytes = bytes, .size = 1000}, {.bytes = bytes, .size = 1000}};
    fixture_key(0, both[0].key);
    fixture_key(3, both[1].key);
    fixture_value(both[1].key, bytes, 1000);
    cr_assert_eq(pmi_disk_put(disk, both, 2, NULL), PM_OK);
    cr_assert(fixture_has(disk, 0));
    cr_assert_not(fixture_has(disk, 1));
    cr_assert(fixture_has(disk, 3));
    pmi_disk_close(disk);
    disk_fixture_remove(&f);
}

/* One-byte values take a hundred times their size in pages, so that the file is full long before the limit. */
Test(disk, a_full_map_evicts, .timeout = 120) {
    enum { PER_PUT = 10000, PUTS = 12 };
    disk_fixture f;
    disk_fixture_make(&f);
    pm_disk *disk = open_disk(&f, 150000);
    pm_cache_entry *entries = calloc(PER_PUT, sizeof *entries);
    uint8_t *bytes = calloc(PER_PUT, 1);
    for (size_t p = 0; p < PUTS; p++) {
        for (size_t i = 0; i < PER_PUT; i++) {
            fixture_key(p * PER_PUT + i, entries[i].key);
            fixture_value(entries[i].key, bytes + i, 1);
            entries[i].bytes = bytes + i;
            entries[i].size = 1;
        }
        pm_error err;
        cr_assert_eq(pmi_disk_put(disk, entries, PER_PUT, &err), PM_OK, "put %zu: %s", p, err.text);
        cr_assert(fixture_has(disk, p * PER_PUT));
        cr_assert(fixture_has(disk, p * PER_PUT + PER_PUT - 1));
    }
    pm_disk_stat stat;
    cr_assert_eq(pmi_disk_stat_of(disk, &stat, NULL), PM_OK);
    cr_assert_lt(stat.entries, (size_t)PER_PUT * PUTS);
    cr_assert_gt(stat.entries, (size_t)PER_PUT);
    cr_assert_lt(stat.file_bytes, 16 * MB);
    pmi_disk_close(disk);
    disk = open_disk(&f, 150000);
    cr_assert(fixture_has(disk, (uint64_t)PER_PUT * PUTS - 1));
    pmi_disk_close(disk);
    cr_assert_eq(f.errors, 0, "%s", f.last_error);
    free(entries);
    free(bytes);
    disk_fixture_remove(&f);
}

Test(disk, remove_and_clear) {
    disk_fixture f;
    disk_fixture_make(&f);
    pm_disk *disk = open_disk(&f, MB);
    for (uint64_t i = 0; i < 5; i++) {
        put(disk, i, 50000);
    }
    uint8_t key[PM_DIGEST_BYTES];
    bool removed;
    fixture_key(3, key);
    cr_assert_eq(pmi_disk_remove(disk, PM_CACHE_TRACE, key, &removed, NULL), PM_OK);
    cr_assert(removed);
    cr_assert_eq(pmi_disk_remove(disk, PM_CACHE_TRACE, key, &removed, NULL), PM_OK);
    cr_assert_not(removed);
    cr_assert_not(fixture_has(disk, 3));
    pm_disk_stat before, after;
    cr_assert_eq(pmi_disk_stat_of(disk, &before, NULL), PM_OK);
    cr_assert_eq(before.value_bytes, 200000);
    size_t n;
    cr_assert_eq(pmi_disk_clear(disk, &n, NULL), PM_OK);
    cr_assert_eq(n, 4);
    cr_assert_eq(count_entries(disk), 0);
    cr_assert_eq(pmi_disk_stat_of(disk, &after, NULL), PM_OK);
    cr_assert_lt(after.file_bytes, before.file_bytes); /* nobody else has it open */
    put(disk, 1, 10);
    cr_assert(fixture_has(disk, 1));
    pmi_disk_close(disk);
    cr_assert_eq(f.errors + f.warnings, 0);
    disk_fixture_remove(&f);
}

typedef struct seen {
    size_t n;
    uint8_t last[PM_DIGEST_BYTES];
    pm_disk *disk;
    int64_t since;
    size_t stop_after;
} seen;

static pm_status look(void *ctx, const pm_disk_item *item, pm_error *err) {
    seen *s = ctx;
    cr_assert(s->n == 0 || memcmp(s->last, item->key, PM_DIGEST_BYTES) < 0);
    cr_assert_not(item->damaged);
    cr_assert(fixture_is_value(item->key, item->bytes, item->size));
    cr_assert(item->last_used >= s->since && item->last_used <= time(NULL));
    memcpy(s->last, item->key, PM_DIGEST_BYTES);
    bool removed;
    cr_assert_eq(pmi_disk_remove(s->disk, PM_CACHE_TRACE, item->key, &removed, err), PM_EUSAGE);
    return ++s->n == s->stop_after ? PM_EIO : PM_OK;
}

Test(disk, each_visits_in_key_order) {
    disk_fixture f;
    disk_fixture_make(&f);
    seen s = {.since = time(NULL) - 1};
    s.disk = open_disk(&f, MB);
    for (uint64_t i = 0; i < 40; i++) {
        put(s.disk, i, 100 * i);
    }
    pm_error err;
    cr_assert_eq(pmi_disk_each(s.disk, look, &s, &err), PM_OK, "%s", err.text);
    cr_assert_eq(s.n, 40);
    s.n = 0;
    s.stop_after = 7;
    cr_assert_eq(pmi_disk_each(s.disk, look, &s, &err), PM_EIO);
    cr_assert_eq(s.n, 7);
    cr_assert(fixture_has(s.disk, 3));
    pmi_disk_close(s.disk);
    disk_fixture_remove(&f);
}

Test(disk, folders_that_cannot_be_used) {
    pm_disk *disk;
    pm_error err;
    disk_fixture f;
    disk_fixture_make(&f);
    char path[512];
    cr_assert_eq(pmi_disk_open("/dev/null/x/y", MB, NULL, &disk, &err), PM_ECANTCREAT);
    cr_assert(strstr(err.text, "/dev/null/x") != NULL, "%s", err.text);
    cr_assert_null(disk);
    cr_assert_eq(pmi_disk_open("/proc/phasemill", MB, NULL, &disk, &err), PM_ECANTCREAT, "%s", err.text);
    cr_assert_eq(pmi_disk_open("/proc", MB, NULL, &disk, &err), PM_EUNAVAILABLE, "%s", err.text);
    cr_assert_eq(pmi_disk_open("", MB, NULL, &disk, &err), PM_EUSAGE);
    cr_assert_eq(pmi_disk_open(f.dir, 0, NULL, &disk, &err), PM_EUSAGE);
    cr_assert_eq(pmi_disk_open(f.dir, SIZE_MAX, NULL, &disk, &err), PM_EUSAGE);
    disk_fixture_path(&f, "file", path);
    FILE *file = fopen(path, "w");
    fclose(file);
    cr_assert_eq(pmi_disk_open(path, MB, NULL, &disk, &err), PM_ECANTCREAT);
    pmi_disk_close(NULL);
    disk_fixture_remove(&f);
}

Test(disk, folders_are_made_with_their_parents) {
    disk_fixture f, deep;
    disk_fixture_make(&f);
    char path[512];
    disk_fixture_path(&f, "a//b/c/", path);
    disk_fixture_attach(&deep, path);
    pm_disk *disk = open_disk(&deep, MB);
    put(disk, 1, 10);
    pmi_disk_close(disk);
    disk_fixture_remove(&f);
}

/* ---- several processes ---- */

/* What a writer does until it is killed: puts of several entries, gets, some removals; exits at the first wrong one. */
static void write_until_killed(const char *dir, uint64_t seed) {
    disk_fixture mine;
    pm_disk *disk;
    disk_fixture_attach(&mine, dir);
    if (pmi_disk_open(dir, MB, &mine.log, &disk, NULL) != PM_OK) {
        _exit(2);
    }
    for (uint64_t i = seed;; i += 7) {
        if (fixture_put(disk, i % 1000, (i % 1000) * 37 % 9000, NULL) != PM_OK || mine.errors > 0) {
            _exit(3);
        }
        (void)fixture_has(disk, (i * 31) % 1000);
    }
}

static pm_status must_be_right(void *ctx, const pm_disk_item *item, pm_error *err) {
    *(size_t *)ctx += 1;
    bool right = !item->damaged && fixture_is_value(item->key, item->bytes, item->size);
    return right ? PM_OK : pmi_fail(err, PM_EDATA, "a wrong value of %zu bytes", item->size);
}

Test(disk, writers_killed_at_any_moment, .timeout = 120) {
    disk_fixture f;
    disk_fixture_make(&f);
    size_t most = 0;
    for (uint64_t round = 0; round < 60; round++) {
        pid_t child = fork();
        if (child == 0) {
            write_until_killed(f.dir, round * 101);
        }
        nanosleep(&(struct timespec){.tv_nsec = (long)(1 + round * 7919 % 30) * 1000000}, NULL);
        kill(child, SIGKILL);
        int status;
        waitpid(child, &status, 0);
        cr_assert(WIFSIGNALED(status), "round %d: exit %d", (int)round, WEXITSTATUS(status));
        pm_disk *disk = open_disk(&f, MB);
        size_t n = 0;
        pm_error err;
        cr_assert_eq(pmi_disk_each(disk, must_be_right, &n, &err), PM_OK, "%s", err.text);
        most = n > most ? n : most;
        pmi_disk_close(disk);
        cr_assert_eq(f.errors, 0, "round %d: %s", (int)round, f.last_error);
    }
    cr_assert_gt(most, 10);
    disk_fixture_remove(&f);
}

/* Puts and gets what others put and get; the limit makes everyone evict. */
static int share(const char *dir, uint64_t seed) {
    disk_fixture mine;
    pm_disk *disk;
    disk_fixture_attach(&mine, dir);
    for (uint64_t round = 0; round < 4; round++) {
        if (pmi_disk_open(dir, 300000, &mine.log, &disk, NULL) != PM_OK) {
            return 2;
        }
        for (uint64_t i = 0; i < 60; i++) {
            uint64_t number = (i * 13 + seed * 17 + round) % 100;
            if (fixture_put(disk, number, number * 90, NULL) != PM_OK) {
                return 3;
            }
            uint8_t key[PM_DIGEST_BYTES];
            pm_buffer value = {0};
            pm_cache_found found;
            fixture_key((i * 7) % 100, key);
            if (pmi_disk_get(disk, PM_CACHE_TRACE, key, &value, &found, NULL) != PM_OK || found == PM_CACHE_DAMAGED ||
                !fixture_is_value(key, value.bytes, value.size)) {
                return 4;
            }
            pmi_buffer_free(&value);
        }
        size_t removed;
        if (seed == 3 && round == 1 && pmi_disk_clear(disk, &removed, NULL) != PM_OK) {
            return 5;
        }
        pmi_disk_close(disk);
    }
    return mine.errors == 0 && mine.warnings == 0 ? 0 : 6;
}

Test(disk, processes_share_a_folder, .timeout = 120) {
    enum { PROCESSES = 8 };
    disk_fixture f;
    pid_t child[PROCESSES];
    disk_fixture_make(&f);
    for (uint64_t i = 0; i < PROCESSES; i++) {
        child[i] = fork();
        if (child[i] == 0) {
            _exit(share(f.dir, i));
        }
    }
    for (size_t i = 0; i < PROCESSES; i++) {
        int status;
        waitpid(child[i], &status, 0);
        cr_assert_eq(status, 0, "process %zu: exit %d, signal %d", i, WEXITSTATUS(status), WTERMSIG(status));
    }
    pm_disk *disk = open_disk(&f, 300000);
    size_t n = 0;
    cr_assert_eq(pmi_disk_each(disk, must_be_right, &n, NULL), PM_OK);
    cr_assert_gt(n, 0);
    pm_disk_stat stat;
    cr_assert_eq(pmi_disk_stat_of(disk, &stat, NULL), PM_OK);
    cr_assert_leq(stat.value_bytes, 300000);
    pmi_disk_close(disk);
    cr_assert_eq(f.errors, 0, "%s", f.last_error);
    disk_fixture_remove(&f);
}
