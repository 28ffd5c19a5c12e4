/* Damage to the files of the cache: no crash, no hang, no wrong value, and never in silence. Each trial runs in a child
 * process, so that a crash would be seen. PM_TEST_FULL=1 in the environment tries every byte, PM_SHORT_TESTS=1 a fifth
 * of the sample. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "cache/disk_impl.h"
#include "disk_fixture.h"

#define ENTRIES 60
#define LIMIT ((size_t)8 << 20)
#define PAGE 4096

/* Some values lie in the leaves of their table, some have overflow pages. */
static size_t size_of(uint64_t i) {
    return i % 4 == 0 ? 5 * i : 1100 + 90 * i;
}

static pm_buffer read_file(const disk_fixture *f, const char *name) {
    char path[512];
    pm_buffer bytes = {0};
    disk_fixture_path(f, name, path);
    cr_assert_eq(pmi_file_read(path, &bytes, NULL), PM_OK);
    return bytes;
}

/* What a cache looks like that has been in use: freed pages, trees of some depth. */
static pm_buffer used_cache(disk_fixture *f) {
    pm_disk *disk;
    pm_error err;
    cr_assert_eq(pmi_disk_open(f->dir, LIMIT, &f->log, &disk, &err), PM_OK, "%s", err.text);
    for (uint64_t i = 0; i < ENTRIES + 20; i++) {
        cr_assert_eq(fixture_put(disk, i, size_of(i), &err), PM_OK, "%s", err.text);
    }
    for (uint64_t i = ENTRIES; i < ENTRIES + 20; i++) {
        uint8_t key[PM_DIGEST_BYTES];
        bool removed;
        fixture_key(i, key);
        cr_assert_eq(pmi_disk_remove(disk, PM_CACHE_TRACE, key, &removed, &err), PM_OK, "%s", err.text);
    }
    pmi_disk_close(disk);
    pm_buffer bytes = read_file(f, PM_DISK_FILE);
    return bytes;
}

static void write_file(const disk_fixture *f, const char *name, const uint8_t *bytes, size_t n) {
    char path[512];
    disk_fixture_path(f, name, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (fd < 0 || write(fd, bytes, n) != (ssize_t)n) {
        abort();
    }
    close(fd);
}

/* What became of a damaged cache. */
typedef struct outcome {
    size_t found;         /* of the entries, at first */
    bool is_noticed_late; /* not by then: in what was done afterwards */
} outcome;

/* Reads all entries. Returns how many are there, or SIZE_MAX for a wrong value or an error. */
static size_t read_all(pm_disk *disk) {
    size_t n = 0;
    for (uint64_t i = 0; i < ENTRIES; i++) {
        uint8_t key[PM_DIGEST_BYTES];
        pm_buffer value = {0};
        pm_cache_found what;
        fixture_key(i, key);
        bool is_right = pmi_disk_get(disk, PM_CACHE_TRACE, key, &value, &what, NULL) == PM_OK;
        if (what == PM_CACHE_FOUND) {
            is_right = is_right && value.size == size_of(i) && fixture_is_value(key, value.bytes, value.size);
            n++;
        }
        pmi_buffer_free(&value);
        if (!is_right) {
            return SIZE_MAX;
        }
    }
    return n;
}

/* Puts six entries; returns how many of them are there then, or SIZE_MAX for an error. */
static size_t put_six(pm_disk *disk) {
    size_t n = 0;
    for (uint64_t i = 1000; i < 1006; i++) {
        if (fixture_put(disk, i, 900 * (i - 1000), NULL) != PM_OK) {
            return SIZE_MAX;
        }
    }
    for (uint64_t i = 1000; i < 1006; i++) {
        n += fixture_has(disk, i);
    }
    return n;
}

/* Opens what is there, reads all, puts new entries, four times: nothing is lost in silence, and in the end the cache is
 * sound. Returns 0 or the number of the step that failed. */
static int use_damaged(disk_fixture *f, outcome *out) {
    size_t before = ENTRIES, put = 0;
    int errors = 0, errors_before = 0;
    *out = (outcome){0};
    for (int turn = 0; turn < 4; turn++) {
        pm_disk *disk;
        errors_before = errors;
        errors = f->errors;
        if (pmi_disk_open(f->dir, LIMIT, &f->log, &disk, NULL) != PM_OK) {
            return 1;
        }
        size_t found = read_all(disk);
        put = put_six(disk);
        pmi_disk_close(disk);
        if (found == SIZE_MAX || put == SIZE_MAX) {
            return 2;
        }
        if ((found != before || put < 6) && f->errors == errors_before) {
            return 3; /* lost in silence */
        }
        out->found = turn == 0 ? found : out->found;
        out->is_noticed_late |= turn > 0 && f->errors > errors;
        before = found;
    }
    return put == 6 && f->errors == errors ? 0 : 4;
}

/* Leaves in *found how many of the entries survived, and returns 0, the number of the step that failed, or 100 +
 * signal. An alarm ends a child that hangs. */
static int in_child(const disk_fixture *f, size_t *found) {
    int pipes[2];
    if (pipe(pipes) != 0) {
        abort();
    }
    pid_t child = fork();
    if (child == 0) {
        disk_fixture mine;
        outcome out;
        disk_fixture_attach(&mine, f->dir);
        alarm(120); /* far more than it takes, also on a busy machine */
        int step = use_damaged(&mine, &out);
        if (step != 0) {
            fprintf(stderr, "step %d: %s\n", step, mine.last_error);
        }
        _exit(write(pipes[1], &out.found, sizeof out.found) == sizeof out.found ? step : 9);
    }
    close(pipes[1]);
    *found = 0;
    bool told = read(pipes[0], found, sizeof *found) == sizeof *found;
    close(pipes[0]);
    int status;
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status)) {
        return 100 + WTERMSIG(status);
    }
    return told || WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : 9;
}

static bool is_full(void) {
    return getenv("PM_TEST_FULL") != NULL;
}

static bool is_short(void) {
    return getenv("PM_SHORT_TESTS") != NULL;
}

/* How far to go to the next byte to damage: the header byte by byte, pages of trees closely, values here and there. */
static size_t step_of(const uint8_t *page, size_t number, size_t at) {
    uint8_t kind = page[number == 0 ? 100 : 0];
    bool is_tree = kind == 2 || kind == 5 || kind == 10 || kind == 13;
    if (is_full() || (number == 0 && at < 128)) {
        return 1;
    }
    size_t step = at < 16 ? 3 : is_tree && at < 200 ? 11 : 131;
    return is_short() ? 5 * step : step;
}

#define BATCH 100

/* Where the damage of a batch is, and what came of it. */
typedef struct batch {
    size_t at[BATCH];
    size_t n, lost, late;
    size_t tried; /* trials begun */
    int step;     /* of the trial that failed, 0: none */
} batch;

static void try_batch(const disk_fixture *f, pm_buffer *good, batch *b) {
    static const uint8_t flips[] = {0x01, 0x80, 0xff, 0x08};
    for (b->tried = 0; b->tried < b->n && b->step == 0; b->tried++) {
        size_t at = b->at[b->tried];
        outcome out;
        disk_fixture mine;
        disk_fixture_attach(&mine, f->dir);
        good->bytes[at] ^= flips[at % 4];
        write_file(f, PM_DISK_FILE, good->bytes, good->size);
        good->bytes[at] ^= flips[at % 4];
        alarm(120); /* far more than it takes, also on a busy machine */
        b->step = use_damaged(&mine, &out);
        b->lost += out.found < ENTRIES;
        b->late += out.is_noticed_late;
    }
}

/* In a child process, with which the batch is shared. */
static void run_batch(const disk_fixture *f, pm_buffer *good, batch *b) {
    b->lost = b->late = b->tried = 0;
    b->step = 0;
    pid_t child = fork();
    if (child == 0) {
        try_batch(f, good, b);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    cr_assert(WIFEXITED(status) && b->step == 0, "byte %zu: step %d, signal %d",
              b->at[b->tried > 0 && b->step != 0 ? b->tried - 1 : b->tried], b->step, WTERMSIG(status));
}

static void damage_file(pm_buffer *good, const disk_fixture *f, size_t from, size_t to, batch *sum) {
    batch *b = mmap(NULL, sizeof *b, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(b, MAP_FAILED);
    for (size_t at = from; at < to;) {
        for (b->n = 0; b->n < BATCH && at < to; b->n++) {
            b->at[b->n] = at;
            at += step_of(good->bytes + at / PAGE * PAGE, at / PAGE, at % PAGE);
        }
        run_batch(f, good, b);
        sum->n += b->n;
        sum->lost += b->lost;
        sum->late += b->late;
    }
    munmap(b, sizeof *b);
}

static void damage_half(size_t number) {
    disk_fixture f;
    disk_fixture_make(&f);
    pm_buffer good = used_cache(&f);
    batch sum = {0};
    size_t half = good.size / 2;
    damage_file(&good, &f, number * half, number == 0 ? half : good.size, &sum);
    fprintf(stderr, "%zu of %zu damaged files lost entries; %zu showed damage in later uses\n", sum.lost, sum.n,
            sum.late);
    cr_assert_gt(sum.n, is_short() ? 250 : 1500);
    cr_assert_gt(sum.lost, is_short() ? 50 : 250); /* the damage is not where nobody looks */
    cr_assert_eq(f.errors, 0, "%s", f.last_error);
    pmi_buffer_free(&good);
    disk_fixture_remove(&f);
}

/* Two tests, which run side by side. */
Test(disk_damage, any_byte_of_the_first_half, .timeout = 3000) {
    damage_half(0);
}

Test(disk_damage, any_byte_of_the_second_half, .timeout = 3000) {
    damage_half(1);
}

/* The file cut short: at every page, and next to it. */
Test(disk_damage, cut_files, .timeout = 600) {
    disk_fixture f;
    disk_fixture_make(&f);
    pm_buffer good = used_cache(&f);
    for (size_t page = 0; page * PAGE < good.size; page++) {
        for (size_t more = 0; more < 2; more++) {
            size_t found, n = page * PAGE + (more == 0 ? 0 : page * 37 % PAGE + 1);
            write_file(&f, PM_DISK_FILE, good.bytes, n);
            int step = in_child(&f, &found);
            cr_assert_eq(step, 0, "cut to %zu: step %d", n, step);
        }
    }
    pmi_buffer_free(&good);
    disk_fixture_remove(&f);
}

Test(disk_damage, garbage_files, .timeout = 120) {
    disk_fixture f;
    disk_fixture_make(&f);
    pm_buffer good = used_cache(&f);
    uint8_t *garbage = pmi_calloc(1, good.size);
    size_t found;
    write_file(&f, PM_DISK_FILE, garbage, good.size);
    cr_assert_eq(in_child(&f, &found), 0);
    memset(garbage, 0xff, good.size);
    write_file(&f, PM_DISK_FILE, garbage, good.size);
    cr_assert_eq(in_child(&f, &found), 0);
    fixture_value((const uint8_t *)"thirty-two bytes of a false key.", garbage, good.size);
    write_file(&f, PM_DISK_FILE, garbage, good.size);
    cr_assert_eq(in_child(&f, &found), 0);
    cr_assert_eq(found, 0);
    /* two pages exchanged: each is sound in itself */
    for (size_t page = 1; (page + 2) * PAGE <= good.size; page += 3) {
        memcpy(garbage, good.bytes, good.size);
        memcpy(garbage + page * PAGE, good.bytes + (page + 1) * PAGE, PAGE);
        memcpy(garbage + (page + 1) * PAGE, good.bytes + page * PAGE, PAGE);
        write_file(&f, PM_DISK_FILE, garbage, good.size);
        cr_assert_eq(in_child(&f, &found), 0, "page %zu exchanged with the next", page);
    }
    free(garbage);
    pmi_buffer_free(&good);
    disk_fixture_remove(&f);
}

/* A sound database, and beside it what SQLite would take for its own. */
Test(disk_damage, garbage_beside, .timeout = 120) {
    static const char *const names[] = {PM_DISK_FILE "-journal", PM_DISK_FILE "-wal", PM_DISK_FILE "-shm"};
    static const size_t lengths[] = {0, 1, 31, 512, 4096, 65536};
    disk_fixture f;
    disk_fixture_make(&f);
    pm_buffer good = used_cache(&f);
    uint8_t garbage[65536];
    fixture_value((const uint8_t *)"thirty-two bytes of a false key.", garbage, sizeof garbage);
    for (size_t i = 0; i < 3 * 6; i++) {
        size_t found;
        write_file(&f, PM_DISK_FILE, good.bytes, good.size);
        write_file(&f, names[i / 6], garbage, lengths[i % 6]);
        cr_assert_eq(in_child(&f, &found), 0, "%s of %zu bytes", names[i / 6], lengths[i % 6]);
        cr_assert_eq(found, ENTRIES, "%s of %zu bytes", names[i / 6], lengths[i % 6]);
    }
    pmi_buffer_free(&good);
    disk_fixture_remove(&f);
}

/* What is no regular file, under each of the names: a folder, a pipe (which would be waited for), a link. */
Test(disk_damage, no_regular_files, .timeout = 120) {
    static const char *const names[] = {PM_DISK_FILE, PM_DISK_FILE "-journal", PM_DISK_FILE "-wal",
                                        PM_DISK_FILE "-shm"};
    disk_fixture f;
    disk_fixture_make(&f);
    for (int i = 0; i < 4 * 3; i++) {
        char path[512];
        pm_disk *disk;
        int before = f.errors;
        disk_fixture_path(&f, names[i / 3], path);
        (void)remove(path);
        int rc = i % 3 == 0 ? mkdir(path, 0700) : i % 3 == 1 ? mkfifo(path, 0600) : symlink("/etc/passwd", path);
        cr_assert_eq(rc, 0, "%s: %s", path, strerror(errno));
        cr_assert_eq(pmi_disk_open(f.dir, LIMIT, &f.log, &disk, NULL), PM_OK, "%s, %d", path, i % 3);
        cr_assert_eq(f.errors, before + 1);
        cr_assert(pmi_disk_was_damaged(disk));
        cr_assert_eq(fixture_put(disk, 1, 5000, NULL), PM_OK);
        cr_assert(fixture_has(disk, 1));
        pmi_disk_close(disk);
    }
    disk_fixture_remove(&f);
}

static void overwrite(const char *path, const char *sql) {
    sqlite3 *db;
    cr_assert_eq(sqlite3_open(path, &db), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK, "%s: %s", sql, sqlite3_errmsg(db));
    sqlite3_close(db);
}

/* A database of SQLite's that is not ours, or no longer. */
Test(disk_damage, other_databases) {
    static const char *const changes[] = {"PRAGMA user_version = 2",
                                          "PRAGMA application_id = 1",
                                          "CREATE TABLE more(x)",
                                          "CREATE INDEX i ON entry(used)",
                                          "CREATE TRIGGER t AFTER INSERT ON value BEGIN DELETE FROM entry; END",
                                          "CREATE VIEW v AS SELECT 1",
                                          "DROP TABLE value",
                                          "ALTER TABLE total ADD COLUMN more INTEGER",
                                          "DELETE FROM total"};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        disk_fixture f;
        char path[512];
        size_t found;
        disk_fixture_make(&f);
        pm_buffer good = used_cache(&f);
        disk_fixture_path(&f, PM_DISK_FILE, path);
        overwrite(path, changes[i]);
        cr_assert_eq(in_child(&f, &found), 0, "%s", changes[i]);
        cr_assert_eq(found, 0, "%s", changes[i]);
        pmi_buffer_free(&good);
        disk_fixture_remove(&f);
    }
}

/* The file is changed under a process that has it open: overwritten, replaced by another, deleted with its folder. */
Test(disk_damage, while_it_is_open) {
    disk_fixture f;
    disk_fixture_make(&f);
    pm_buffer good = used_cache(&f);
    pm_disk *disk;
    char path[512], copy[512];
    disk_fixture_path(&f, PM_DISK_FILE, path);
    disk_fixture_path(&f, "copy", copy);
    cr_assert_eq(pmi_disk_open(f.dir, LIMIT, &f.log, &disk, NULL), PM_OK);
    cr_assert(fixture_has(disk, 1));
    uint8_t *garbage = pmi_calloc(1, good.size);
    write_file(&f, PM_DISK_FILE, garbage, good.size);
    cr_assert_eq(fixture_put(disk, 2000, 5000, NULL), PM_OK);
    cr_assert(fixture_has(disk, 2000));
    cr_assert_eq(f.errors, 1, "%s", f.last_error);
    write_file(&f, "copy", good.bytes, good.size);
    cr_assert_eq(rename(copy, path), 0);
    cr_assert_eq(fixture_put(disk, 2001, 5000, NULL), PM_OK);
    cr_assert(fixture_has(disk, 2001) && fixture_has(disk, 2));
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(rmdir(f.dir), 0);
    cr_assert_eq(fixture_put(disk, 2002, 5000, NULL), PM_OK);
    cr_assert(fixture_has(disk, 2002));
    pmi_disk_close(disk);
    cr_assert_eq(pmi_disk_open(f.dir, LIMIT, &f.log, &disk, NULL), PM_OK);
    cr_assert(fixture_has(disk, 2002));
    pmi_disk_close(disk);
    cr_assert_eq(f.errors, 1, "%s", f.last_error);
    free(garbage);
    pmi_buffer_free(&good);
    disk_fixture_remove(&f);
}

/* What a writer leaves that was killed in the middle of a commit: a database half written, and its journal. */
static pm_buffer half_written(const disk_fixture *f, pm_buffer *journal) {
    char path[512];
    sqlite3 *db;
    disk_fixture_path(f, PM_DISK_FILE, path);
    cr_assert_eq(sqlite3_open(path, &db), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(db,
                              "PRAGMA cache_size = 2; BEGIN IMMEDIATE; UPDATE entry SET used = 0; DELETE FROM value; "
                              "UPDATE total SET bytes = 1",
                              NULL, NULL, NULL),
                 SQLITE_OK, "%s", sqlite3_errmsg(db));
    pm_buffer half = read_file(f, PM_DISK_FILE);
    *journal = read_file(f, PM_DISK_FILE "-journal");
    sqlite3_close(db);
    return half;
}

/* A sound journal gives everything back; a damaged one is damage like any other. */
Test(disk_damage, journals, .timeout = 600) {
    disk_fixture f;
    size_t found;
    pm_buffer journal;
    disk_fixture_make(&f);
    pm_buffer good = used_cache(&f), half = half_written(&f, &journal);
    cr_assert_gt(journal.size, 4096);
    cr_assert_neq(memcmp(good.bytes, half.bytes, good.size), 0);
    write_file(&f, PM_DISK_FILE, half.bytes, half.size);
    write_file(&f, PM_DISK_FILE "-journal", journal.bytes, journal.size);
    cr_assert_eq(in_child(&f, &found), 0);
    cr_assert_eq(found, ENTRIES);
    size_t step = is_full() ? 7 : is_short() ? 5 * 509 : 509;
    for (size_t at = 0; at < journal.size; at += at < 32 ? 1 : step) {
        journal.bytes[at] ^= 0x55;
        write_file(&f, PM_DISK_FILE, half.bytes, half.size);
        write_file(&f, PM_DISK_FILE "-journal", journal.bytes, journal.size);
        journal.bytes[at] ^= 0x55;
        cr_assert_eq(in_child(&f, &found), 0, "byte %zu of the journal", at);
    }
    pmi_buffer_free(&journal);
    pmi_buffer_free(&half);
    pmi_buffer_free(&good);
    disk_fixture_remove(&f);
}

static pm_status count_damaged(void *ctx, const pm_disk_item *item, pm_error *err) {
    (void)err;
    *(size_t *)ctx += item->damaged;
    return PM_OK;
}

/* A byte of a large value: seen by each, reported by get, which removes it. */
Test(disk_damage, a_damaged_value_is_removed) {
    disk_fixture f;
    disk_fixture_make(&f);
    pm_buffer good = used_cache(&f);
    uint8_t key[PM_DIGEST_BYTES], value[96];
    fixture_key(59, key);
    fixture_value(key, value, sizeof value);
    size_t at = 0;
    while (at + sizeof value < good.size && memcmp(good.bytes + at, value + 40, 50) != 0) {
        at++;
    }
    cr_assert_lt(at + sizeof value, good.size);
    good.bytes[at + 3] ^= 0x40;
    write_file(&f, PM_DISK_FILE, good.bytes, good.size);
    pm_disk *disk;
    cr_assert_eq(pmi_disk_open(f.dir, LIMIT, &f.log, &disk, NULL), PM_OK);
    size_t damaged = 0;
    cr_assert_eq(pmi_disk_each(disk, count_damaged, &damaged, NULL), PM_OK);
    cr_assert_eq(damaged, 1);
    cr_assert_eq(f.errors, 0);
    pm_buffer out = {0};
    pm_cache_found found;
    cr_assert_eq(pmi_disk_get(disk, PM_CACHE_TRACE, key, &out, &found, NULL), PM_OK);
    cr_assert_eq(found, PM_CACHE_DAMAGED);
    cr_assert_eq(out.size, 0);
    cr_assert_eq(f.errors, 1);
    cr_assert(strstr(f.last_error, "SHA-256") != NULL, "%s", f.last_error);
    cr_assert_eq(pmi_disk_get(disk, PM_CACHE_TRACE, key, &out, &found, NULL), PM_OK);
    cr_assert_eq(found, PM_CACHE_MISSING);
    cr_assert_eq(fixture_put(disk, 59, 100, NULL), PM_OK);
    cr_assert(fixture_has(disk, 59));
    pmi_disk_close(disk);
    pmi_buffer_free(&good);
    disk_fixture_remove(&f);
}

/* What many commits of all kinds leave is never taken for damage. */
Test(disk_damage, sound_files_pass, .timeout = 300) {
    disk_fixture f;
    disk_fixture_make(&f);
    uint64_t state = 1;
    for (size_t round = 0; round < 80; round++) {
        pm_disk *disk;
        pm_error err;
        size_t limit = round % 3 == 0 ? 400000 : 1500000;
        cr_assert_eq(pmi_disk_open(f.dir, limit, &f.log, &disk, &err), PM_OK, "%s", err.text);
        cr_assert_eq(f.errors, 0, "round %zu: %s", round, f.last_error);
        for (size_t i = 0; i < 40; i++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            uint64_t number = state >> 33;
            size_t size = number % 5 == 0 ? number % 60000 : number % 700;
            if (number % 7 == 0) {
                uint8_t key[PM_DIGEST_BYTES];
                bool removed;
                fixture_key(number % 3000, key);
                cr_assert_eq(pmi_disk_remove(disk, PM_CACHE_TRACE, key, &removed, &err), PM_OK, "%s", err.text);
            } else {
                cr_assert_eq(fixture_put(disk, number % 3000, size, &err), PM_OK, "%s", err.text);
            }
            (void)fixture_has(disk, (number >> 7) % 3000);
        }
        pmi_disk_close(disk);
    }
    cr_assert_eq(f.errors + f.warnings, 0, "%s", f.last_error);
    disk_fixture_remove(&f);
}
