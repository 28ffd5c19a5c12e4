/* The cache on disk alone: what opening, getting and putting cost.
 *
 * Usage: bench_cache [--rounds N] [ENTRIES]...
 * Wall milliseconds, best of the rounds, in a folder in $TMPDIR or /tmp that is removed afterwards: `put` is an empty
 * cache that gets all entries in one call, `open` opening a full one and closing it, `get` all entries out of it,
 * `close` writes their times of use, `one` opening a full one, putting one entry, and closing it. Values have 100 to
 * 1,100 bytes, as most traces do, and every hundredth 60 times as many. */
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "cache/disk.h"

#define MAX_ROUNDS 101
#define MAX_ENTRIES 10000000
#define LIMIT ((size_t)1 << 36)

typedef struct figures {
    double put, open, get, close, one; /* seconds */
    uint64_t file_bytes;
} figures;

static size_t size_of(size_t i) {
    return (100 + i * 7919 % 1000) * (i % 100 == 0 ? 60 : 1);
}

static pm_cache_entry *make_entries(size_t n) {
    pm_cache_entry *entries = calloc(n, sizeof *entries);
    uint8_t *bytes = malloc(size_of(0) * 12);
    if (entries == NULL || bytes == NULL) {
        exit(PM_EOSERR);
    }
    for (size_t i = 0; i < size_of(0) * 12; i++) {
        bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    for (size_t i = 0; i < n; i++) {
        pm_error err;
        bench_check(pmi_digest(PM_SHA256, &i, sizeof i, entries[i].key, &err), &err);
        entries[i].bytes = bytes;
        entries[i].size = size_of(i);
    }
    return entries;
}

static pm_disk *open_disk(const char *folder) {
    pm_disk *disk;
    pm_error err;
    bench_check(pmi_disk_open(folder, LIMIT, NULL, &disk, &err), &err);
    return disk;
}

static void get_all(pm_disk *disk, const pm_cache_entry *entries, size_t n) {
    pm_buffer value = {0};
    pm_error err;
    pmi_disk_hold(disk);
    for (size_t i = 0; i < n; i++) {
        pm_cache_found found;
        value.size = 0;
        bench_check(pmi_disk_get(disk, PM_CACHE_TRACE, entries[i].key, &value, &found, &err), &err);
        if (found != PM_CACHE_FOUND || value.size != entries[i].size) {
            fprintf(stderr, "bench_cache: entry %zu is not there\n", i);
            exit(PM_ESOFTWARE);
        }
    }
    pmi_disk_release(disk);
    pmi_buffer_free(&value);
}

static void measure(const char *folder, pm_cache_entry *entries, size_t n, figures *f) {
    pm_error err;
    size_t removed;
    pm_disk *disk = open_disk(folder);
    bench_check(pmi_disk_clear(disk, &removed, &err), &err);
    double t[8];
    t[0] = pmi_seconds();
    bench_check(pmi_disk_put(disk, entries, n - 1, &err), &err);
    pmi_disk_close(disk);
    t[1] = pmi_seconds();
    pmi_disk_close(open_disk(folder));
    t[2] = pmi_seconds();
    disk = open_disk(folder);
    t[3] = pmi_seconds();
    get_all(disk, entries, n - 1);
    t[4] = pmi_seconds();
    pmi_disk_close(disk);
    t[5] = pmi_seconds();
    disk = open_disk(folder);
    bench_check(pmi_disk_put(disk, entries + n - 1, 1, &err), &err);
    pmi_disk_close(disk);
    t[6] = pmi_seconds();
    f->put = fmin(f->put, t[1] - t[0]);
    f->open = fmin(f->open, t[2] - t[1]);
    f->get = fmin(f->get, t[4] - t[3]);
    f->close = fmin(f->close, t[5] - t[4]);
    f->one = fmin(f->one, t[6] - t[5]);
    pm_disk_stat stat;
    disk = open_disk(folder);
    bench_check(pmi_disk_stat_of(disk, &stat, &err), &err);
    f->file_bytes = stat.file_bytes;
    pmi_disk_close(disk);
}

static void run(size_t n, size_t rounds) {
    char folder[BENCH_PATH];
    bench_make_folder(folder);
    pm_cache_entry *entries = make_entries(n);
    figures f = {.put = 1e300, .open = 1e300, .get = 1e300, .close = 1e300, .one = 1e300};
    for (size_t i = 0; i < rounds; i++) {
        measure(folder, entries, n, &f);
    }
    printf("%9zu %9.2f %9.2f %9.2f %9.2f %9.2f %9.2f\n", n, 1e3 * f.put, 1e3 * f.open, 1e3 * f.get, 1e3 * f.close,
           1e3 * f.one, 1e-6 * (double)f.file_bytes);
    free((void *)entries[0].bytes);
    free(entries);
    bench_remove_folder(folder);
}

int main(int argc, char **argv) {
    size_t rounds = 3;
    int next = 1;
    if (argc > 2 && strcmp(argv[1], "--rounds") == 0) {
        rounds = (size_t)bench_integer(argv[1], argv[2], 1, MAX_ROUNDS);
        next = 3;
    }
    bench_print_machine();
    printf("%9s %9s %9s %9s %9s %9s %9s\n", "entries", "put ms", "open", "get", "close", "one", "file MB");
    if (next == argc) {
        run(100, rounds);
        run(2000, rounds);
        run(100000, rounds);
    }
    for (; next < argc; next++) {
        run((size_t)bench_integer("ENTRIES", argv[next], 2, MAX_ENTRIES), rounds);
    }
    return 0;
}
