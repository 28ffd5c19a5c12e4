/* The disk cache over arbitrary bytes. The first byte chooses: a sound database with patches (4 bytes each: offset in
 * three, then what the byte there is xored with), or the bytes themselves in the place of the database, of its journal
 * or of its WAL. No crash, no wrong value; what is lost is not lost for good. */
#include <fcntl.h>
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache/disk.h"

#define ENTRIES 24
#define LIMIT ((size_t)1 << 20)
#define MAX_PATCHES 64

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static char dir[256], data[288], journal[300], wal[300];
static uint8_t *base, *patched;
static size_t base_size;

static void must(bool condition) {
    if (!condition) {
        abort();
    }
}

/* Entry i: a kind and a key that follow from i, a value whose bytes are its key's, again and again. */
static void make_entry(uint64_t i, pm_cache_entry *entry, uint8_t *value) {
    must(pmi_digest(PM_SHA256, &i, sizeof i, entry->key, NULL) == PM_OK);
    entry->kind = i % 2 == 0 ? PM_CACHE_TRACE : PM_CACHE_CLASSES;
    entry->size = i % 3 == 0 ? 3000 + 200 * i : 7 * i;
    for (size_t at = 0; at < entry->size; at++) {
        value[at] = entry->key[at % PM_DIGEST_BYTES];
    }
    entry->bytes = value;
}

static void put(pm_disk *disk, uint64_t i) {
    static uint8_t value[1 << 16];
    pm_cache_entry entry;
    make_entry(i, &entry, value);
    must(pmi_disk_put(disk, &entry, 1, NULL) == PM_OK);
}

static bool has(pm_disk *disk, uint64_t i) {
    static uint8_t value[1 << 16];
    pm_cache_entry entry;
    pm_buffer got = {0};
    pm_cache_found found;
    make_entry(i, &entry, value);
    must(pmi_disk_get(disk, entry.kind, entry.key, &got, &found, NULL) == PM_OK);
    must(found != PM_CACHE_FOUND || (got.size == entry.size && memcmp(got.bytes, value, got.size) == 0));
    pmi_buffer_free(&got);
    return found == PM_CACHE_FOUND;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where) {
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

static void clean_up(void) {
    nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    pm_disk *disk;
    const char *memory = getenv("PM_MEMORY");
    if (memory == NULL) {
        memory = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    }
    (void)snprintf(dir, sizeof dir, "%s/phasemill-fuzz-XXXXXX", memory);
    must(mkdtemp(dir) != NULL);
    (void)atexit(clean_up);
    (void)snprintf(data, sizeof data, "%s/traces.sqlite", dir);
    (void)snprintf(journal, sizeof journal, "%s-journal", data);
    (void)snprintf(wal, sizeof wal, "%s-wal", data);
    must(pmi_disk_open(dir, LIMIT, NULL, &disk, NULL) == PM_OK);
    for (uint64_t i = 0; i < ENTRIES + 8; i++) {
        put(disk, i);
    }
    for (uint64_t i = ENTRIES; i < ENTRIES + 8; i++) {
        pm_cache_entry entry;
        static uint8_t value[1 << 16];
        bool removed;
        make_entry(i, &entry, value);
        must(pmi_disk_remove(disk, entry.kind, entry.key, &removed, NULL) == PM_OK);
    }
    pmi_disk_close(disk);
    FILE *f = fopen(data, "rb");
    must(f != NULL && fseek(f, 0, SEEK_END) == 0 && ftell(f) > 0);
    base_size = (size_t)ftell(f);
    base = malloc(base_size);
    patched = malloc(base_size);
    rewind(f);
    must(base != NULL && patched != NULL && fread(base, 1, base_size, f) == base_size);
    fclose(f);
    return 0;
}

static pm_status look(void *ctx, const pm_disk_item *item, pm_error *err) {
    (void)ctx;
    (void)err;
    for (size_t at = 0; at < item->size && !item->damaged; at++) {
        must(item->bytes[at] == item->key[at % PM_DIGEST_BYTES]);
    }
    return PM_OK;
}

/* Damage may show while it is used, and then takes what was there: three times at most. */
static void use(bool clears) {
    pm_disk *disk;
    size_t n;
    bool all = false;
    must(pmi_disk_open(dir, LIMIT, NULL, &disk, NULL) == PM_OK);
    for (uint64_t i = 0; i < ENTRIES; i++) {
        (void)has(disk, i);
    }
    must(pmi_disk_each(disk, look, NULL, NULL) == PM_OK);
    for (int turn = 0; turn < 3 && !all; turn++) {
        all = true;
        for (uint64_t i = 100; i < 103; i++) {
            put(disk, i);
        }
        for (uint64_t i = 100; i < 103; i++) {
            all = has(disk, i) && all;
        }
    }
    must(all);
    if (clears) {
        must(pmi_disk_clear(disk, &n, NULL) == PM_OK);
        must(!has(disk, 100));
    }
    pmi_disk_close(disk);
}

static void write_file(const char *path, const uint8_t *bytes, size_t n) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    must(fd >= 0 && write(fd, bytes, n) == (ssize_t)n);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    static const char *const places[] = {data, journal, wal};
    unsigned choice = n > 0 ? bytes[0] : 0;
    (void)unlink(journal);
    (void)unlink(wal);
    memcpy(patched, base, base_size);
    for (size_t at = 1; choice % 4 == 0 && at + 4 <= n && at < 4 * MAX_PATCHES; at += 4) {
        size_t offset = bytes[at] | (size_t)bytes[at + 1] << 8 | (size_t)bytes[at + 2] << 16;
        patched[offset % base_size] ^= bytes[at + 3];
    }
    write_file(data, patched, base_size);
    if (choice % 4 != 0) {
        write_file(places[choice % 4 - 1], bytes + 1, n - 1);
    }
    use(choice % 8 >= 4);
    return 0;
}
