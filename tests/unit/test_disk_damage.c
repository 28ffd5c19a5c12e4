/* Damage to the files of the cache: no crash, no hang, no wrong value, and never in silence. Each trial runs in a child
 * process, so that a crash of LMDB would be seen. PM_TEST_FULL=1 in the environment tries every byte. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "disk_fixture.h"
#include "store/lmdb_check.h"

#define ENTRIES 60
#define LIMIT ((size_t)8 << 20)
#define PAGE 4096

/* Most values have overflow pages, so that few pages of nodes hold all entries; some are inside of the nodes. */
static size_t size_of(uint64_t i) {
    return i % 4 == 0 ? 5 * i : 2100 + 30 * i;
}

/* What a cache looks like that has been in use: freed pages, a tree of some depth. */
static pm_buffer used_cache(fixture *f) {
    pm_disk *disk;
    pm_error err;
    char path[512];
    cr_assert_eq(pm_disk_open(f->dir, LIMIT, &f->log, &disk, &err), PM_OK, "%s", err.text);
    for (uint64_t i = 0; i < ENTRIES + 20; i++) {
        cr_assert_eq(fixture_put(disk, i, size_of(i), &err), PM_OK, "%s", err.text);
    }
    for (uint64_t i = ENTRIES; i < ENTRIES + 20; i++) {
        uint8_t key[PM_DIGEST_BYTES];
        bool removed;
        fixture_key(i, key);
        cr_assert_eq(pm_disk_remove(disk, key, &removed, &err), PM_OK, "%s", err.text);
    }
    pm_disk_close(disk);
    fixture_path(f, "data.mdb", path);
    FILE *file = fopen(path, "rb");
    pm_buffer bytes = {0};
    uint8_t chunk[PAGE];
    size_t n;
    while ((n = fread(chunk, 1, sizeof chunk, file)) > 0) {
        cr_assert_eq(pm_buffer_add(&bytes, chunk, n, NULL), PM_OK);
    }
    fclose(file);
    return bytes;
}

static void write_file(const fixture *f, const char *name, const uint8_t *bytes, size_t n) {
    char path[512];
    fixture_path(f, name, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (fd < 0 || write(fd, bytes, n) != (ssize_t)n) {
        abort();
    }
    close(fd);
}

/* Opens what is there, reads all, puts new entries, and opens again. Returns 0 or the number of the step that failed.
 */
static int use_damaged(fixture *f, size_t *found) {
    pm_disk *disk;
    size_t before = 0;
    if (pm_disk_open(f->dir, LIMIT, &f->log, &disk, NULL) != PM_OK) {
        return 1;
    }
    for (uint64_t i = 0; i < ENTRIES; i++) {
        uint8_t key[PM_DIGEST_BYTES];
        pm_buffer value = {0};
        pm_disk_found what;
        fixture_key(i, key);
        if (pm_disk_get(disk, key, &value, &what, NULL) != PM_OK) {
            return 2;
        }
        if (what == PM_DISK_FOUND && (value.size != size_of(i) || !fixture_is_value(key, value.bytes, value.size))) {
            return 3;
        }
        before += what == PM_DISK_FOUND;
        pm_buffer_free(&value);
    }
    *found = before;
    for (uint64_t i = 1000; i < 1006; i++) {
        if (fixture_put(disk, i, 900 * (i - 1000), NULL) != PM_OK || !fixture_has(disk, i)) {
            return 4;
        }
    }
    pm_disk_close(disk);
    if (before < ENTRIES && f->errors == 0) {
        return 5; /* lost in silence */
    }
    int errors = f->errors;
    if (pm_disk_open(f->dir, LIMIT, &f->log, &disk, NULL) != PM_OK) {
        return 6;
    }
    for (uint64_t i = 1000; i < 1006; i++) {
        if (!fixture_has(disk, i)) {
            return 7;
        }
    }
    size_t after = 0;
    for (uint64_t i = 0; i < ENTRIES; i++) {
        after += fixture_has(disk, i);
    }
    pm_disk_close(disk);
    return after == before && f->errors == errors ? 0 : 8;
}

/* Leaves in *found how many of the entries survived, and returns 0, the number of the step that failed, or 100 +
 * signal. An alarm ends a child that hangs. */
static int in_child(const fixture *f, size_t *found) {
    int pipes[2];
    if (pipe(pipes) != 0) {
        abort();
    }
    pid_t child = fork();
    if (child == 0) {
        fixture mine;
        size_t mine_found = 0;
        fixture_attach(&mine, f->dir);
        alarm(120); /* far more than it takes, also on a busy machine */
        int step = use_damaged(&mine, &mine_found);
        if (step != 0) {
            fprintf(stderr, "step %d: %s\n", step, mine.last_error);
        }
        _exit(write(pipes[1], &mine_found, sizeof mine_found) == sizeof mine_found ? step : 9);
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

/* How far to go to the next byte to damage. Meta pages and heads of pages are tried byte by byte, pages of nodes too in
 * the full run; values have digests of their own, so that some of their bytes will do. */
static size_t step_of(const uint8_t *page, size_t at, bool full) {
    uint16_t flags, lower, upper;
    memcpy(&flags, page + 10, 2);
    memcpy(&lower, page + 12, 2);
    memcpy(&upper, page + 14, 2);
    if (flags == 8) {
        return at < 16 + 136 ? 1 : 509;
    }
    if ((flags == 1 || flags == 2) && upper <= PAGE && lower <= upper) {
        bool unused = at >= lower && at < upper;
        return unused ? 251 : full || at < 16 ? 1 : 17;
    }
    return at < 16 ? (full ? 1 : 3) : full ? 61 : 1021;
}

#define BATCH 100

/* Where the damage of a batch is, and what came of it. */
typedef struct batch {
    size_t at[BATCH];
    size_t n, lost;
    size_t tried; /* trials begun */
    int step;     /* of the trial that failed, 0: none */
} batch;

static void try_batch(const fixture *f, pm_buffer *good, unsigned turn, batch *b) {
    static const uint8_t flips[] = {0x01, 0x80, 0xff, 0x08};
    for (b->tried = 0; b->tried < b->n && b->step == 0; b->tried++) {
        size_t at = b->at[b->tried], found = 0;
        fixture mine;
        fixture_attach(&mine, f->dir);
        good->bytes[at] ^= flips[(at + turn) % 4];
        write_file(f, "data.mdb", good->bytes, good->size);
        good->bytes[at] ^= flips[(at + turn) % 4];
        alarm(120); /* far more than it takes, also on a busy machine */
        b->step = use_damaged(&mine, &found);
        b->lost += found < ENTRIES;
    }
}

/* In a child process, with which the batch is shared. */
static void run_batch(const fixture *f, pm_buffer *good, unsigned turn, batch *b) {
    b->lost = b->tried = 0;
    b->step = 0;
    pid_t child = fork();
    if (child == 0) {
        try_batch(f, good, turn, b);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    cr_assert(WIFEXITED(status) && b->step == 0, "byte %zu, turn %u: step %d, signal %d",
              b->at[b->tried > 0 && b->step != 0 ? b->tried - 1 : b->tried], turn, b->step, WTERMSIG(status));
}

static void damage_file(pm_buffer *good, const fixture *f, unsigned turn, size_t *trials, size_t *lost) {
    bool full = getenv("PM_TEST_FULL") != NULL;
    batch *b = mmap(NULL, sizeof *b, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(b, MAP_FAILED);
    for (size_t at = 0; at < good->size;) {
        for (b->n = 0; b->n < BATCH && at < good->size; b->n++) {
            b->at[b->n] = at;
            at += step_of(good->bytes + at / PAGE * PAGE, at % PAGE, full);
        }
        run_batch(f, good, turn, b);
        *trials += b->n;
        *lost += b->lost;
    }
    munmap(b, sizeof *b);
}

Test(disk_damage, any_byte, .timeout = 3000) {
    fixture f;
    fixture_make(&f);
    pm_buffer good = used_cache(&f);
    size_t trials = 0, lost = 0;
    for (unsigned turn = 0; turn < (getenv("PM_TEST_FULL") != NULL ? 4 : 1); turn++) {
        damage_file(&good, &f, turn, &trials, &lost);
    }
    fprintf(stderr, "%zu of %zu damaged files lost entries\n", lost, trials);
    cr_assert_gt(trials, 1500);
    cr_assert_gt(lost, 500); /* the damage is not where nobody looks */
    cr_assert_eq(f.errors, 0, "%s", f.last_error);
    pm_buffer_free(&good);
    fixture_remove(&f);
}

/* The file cut short: at every page, and next to it. */
Test(disk_damage, cut_files, .timeout = 600) {
    fixture f;
    fixture_make(&f);
    pm_buffer good = used_cache(&f);
    for (size_t page = 0; page * PAGE < good.size; page++) {
        for (size_t more = 0; more < 2; more++) {
            size_t found, n = page * PAGE + (more == 0 ? 0 : page * 37 % PAGE + 1);
            write_file(&f, "data.mdb", good.bytes, n);
            int step = in_child(&f, &found);
            cr_assert(step == 0 || (n == 0 && step == 5), "cut to %zu: step %d", n, step);
        }
    }
    pm_buffer_free(&good);
    fixture_remove(&f);
}

Test(disk_damage, garbage_files, .timeout = 120) {
    fixture f;
    fixture_make(&f);
    pm_buffer good = used_cache(&f);
    uint8_t *garbage = pm_calloc(1, good.size);
    size_t found;
    write_file(&f, "data.mdb", garbage, good.size);
    cr_assert_eq(in_child(&f, &found), 0);
    memset(garbage, 0xff, good.size);
    write_file(&f, "data.mdb", garbage, good.size);
    cr_assert_eq(in_child(&f, &found), 0);
    fixture_value((const uint8_t *)"thirty-two bytes of a false key.", garbage, good.size);
    write_file(&f, "data.mdb", garbage, good.size);
    cr_assert_eq(in_child(&f, &found), 0);
    cr_assert_eq(found, 0);
    /* a sound file and a lock file of garbage, of several lengths: nobody else uses it */
    static const size_t lengths[] = {0, 1, 63, 64, 4096, 8192, 65536};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        write_file(&f, "data.mdb", good.bytes, good.size);
        write_file(&f, "lock.mdb", garbage, lengths[i]);
        cr_assert_eq(in_child(&f, &found), 0, "lock file of %zu bytes", lengths[i]);
        cr_assert_eq(found, ENTRIES);
    }
    /* two pages exchanged: each is sound in itself */
    for (size_t page = 2; (page + 2) * PAGE <= good.size; page += 3) {
        memcpy(garbage, good.bytes, good.size);
        memcpy(garbage + page * PAGE, good.bytes + (page + 1) * PAGE, PAGE);
        memcpy(garbage + (page + 1) * PAGE, good.bytes + page * PAGE, PAGE);
        write_file(&f, "data.mdb", garbage, good.size);
        cr_assert_eq(in_child(&f, &found), 0, "page %zu exchanged with the next", page);
    }
    free(garbage);
    pm_buffer_free(&good);
    fixture_remove(&f);
}

/* A process that has the environment open keeps its own files when another sets the damaged ones aside. */
Test(disk_damage, others_keep_their_files) {
    fixture f;
    fixture_make(&f);
    pm_buffer good = used_cache(&f);
    pm_disk *disk;
    size_t found;
    cr_assert_eq(pm_disk_open(f.dir, LIMIT, &f.log, &disk, NULL), PM_OK);
    cr_assert(fixture_has(disk, 1));
    /* damage both meta pages in a copy that takes the place of the file */
    char path[512], copy[512];
    fixture_path(&f, "data.mdb", path);
    fixture_path(&f, "copy", copy);
    good.bytes[16] ^= 1;
    write_file(&f, "copy", good.bytes, good.size);
    cr_assert_eq(rename(copy, path), 0);
    cr_assert_eq(in_child(&f, &found), 0);
    cr_assert_eq(found, 0);
    cr_assert(fixture_has(disk, 2));
    cr_assert_eq(fixture_put(disk, 2000, 5000, NULL), PM_OK);
    cr_assert(fixture_has(disk, 2000));
    pm_disk_close(disk);
    /* what counts is the new file */
    cr_assert_eq(pm_disk_open(f.dir, LIMIT, &f.log, &disk, NULL), PM_OK);
    cr_assert(fixture_has(disk, 1000));
    cr_assert_not(fixture_has(disk, 2000));
    pm_disk_close(disk);
    pm_buffer_free(&good);
    fixture_remove(&f);
}

static pm_status count_damaged(void *ctx, const pm_disk_item *item, pm_error *err) {
    (void)err;
    *(size_t *)ctx += item->damaged;
    return PM_OK;
}

/* A byte of a large value: seen by each, reported by get, which removes it. */
Test(disk_damage, a_damaged_value_is_removed) {
    fixture f;
    fixture_make(&f);
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
    write_file(&f, "data.mdb", good.bytes, good.size);
    pm_disk *disk;
    cr_assert_eq(pm_disk_open(f.dir, LIMIT, &f.log, &disk, NULL), PM_OK);
    size_t damaged = 0;
    cr_assert_eq(pm_disk_each(disk, count_damaged, &damaged, NULL), PM_OK);
    cr_assert_eq(damaged, 1);
    cr_assert_eq(f.errors, 0);
    pm_buffer out = {0};
    pm_disk_found found;
    cr_assert_eq(pm_disk_get(disk, key, &out, &found, NULL), PM_OK);
    cr_assert_eq(found, PM_DISK_DAMAGED);
    cr_assert_eq(out.size, 0);
    cr_assert_eq(f.errors, 1);
    cr_assert(strstr(f.last_error, "SHA-256") != NULL, "%s", f.last_error);
    cr_assert_eq(pm_disk_get(disk, key, &out, &found, NULL), PM_OK);
    cr_assert_eq(found, PM_DISK_MISSING);
    cr_assert_eq(fixture_put(disk, 59, 100, NULL), PM_OK);
    cr_assert(fixture_has(disk, 59));
    pm_disk_close(disk);
    pm_buffer_free(&good);
    fixture_remove(&f);
}

/* What LMDB itself writes, through many commits of all kinds, always passes the check. */
Test(disk_damage, sound_files_pass, .timeout = 300) {
    fixture f;
    fixture_make(&f);
    uint64_t state = 1;
    for (size_t round = 0; round < 80; round++) {
        pm_disk *disk;
        pm_error err;
        size_t limit = round % 3 == 0 ? 400000 : 1500000;
        cr_assert_eq(pm_disk_open(f.dir, limit, &f.log, &disk, &err), PM_OK, "%s", err.text);
        cr_assert_eq(f.errors, 0, "round %zu: %s", round, f.last_error);
        for (size_t i = 0; i < 40; i++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            uint64_t number = state >> 33;
            size_t size = number % 5 == 0 ? number % 60000 : number % 700;
            if (number % 7 == 0) {
                uint8_t key[PM_DIGEST_BYTES];
                bool removed;
                fixture_key(number % 3000, key);
                cr_assert_eq(pm_disk_remove(disk, key, &removed, &err), PM_OK, "%s", err.text);
            } else {
                cr_assert_eq(fixture_put(disk, number % 3000, size, &err), PM_OK, "%s", err.text);
            }
            (void)fixture_has(disk, (number >> 7) % 3000);
        }
        pm_disk_close(disk);
    }
    cr_assert_eq(f.errors + f.warnings, 0, "%s", f.last_error);
    fixture_remove(&f);
}
