/* The disk cache over a damaged file: the input patches a sound file (4 bytes for each patch: offset in three, then
 * what the byte there is xored with). No crash, no wrong value, and what is put afterwards is found again. */
#include <fcntl.h>
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/disk.h"

#define ENTRIES 24
#define LIMIT ((size_t)1 << 20)
#define MAX_PATCHES 64

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static char dir[256], data[288];
static uint8_t *base, *patched;
static size_t base_size;

static void must(bool condition) {
    if (!condition) {
        abort();
    }
}

/* Entry i: a key that follows from i, a value whose bytes are its key's, again and again. */
static void make_entry(uint64_t i, pm_disk_entry *entry, uint8_t *value) {
    must(pm_digest(PM_SHA256, &i, sizeof i, entry->key, NULL) == PM_OK);
    entry->size = i % 3 == 0 ? 3000 + 200 * i : 7 * i;
    for (size_t at = 0; at < entry->size; at++) {
        value[at] = entry->key[at % PM_DIGEST_BYTES];
    }
    entry->bytes = value;
}

static void put(pm_disk *disk, uint64_t i) {
    static uint8_t value[1 << 16];
    pm_disk_entry entry;
    make_entry(i, &entry, value);
    must(pm_disk_put(disk, &entry, 1, NULL) == PM_OK);
}

static bool has(pm_disk *disk, uint64_t i) {
    static uint8_t value[1 << 16];
    pm_disk_entry entry;
    pm_buffer got = {0};
    pm_disk_found found;
    make_entry(i, &entry, value);
    must(pm_disk_get(disk, PM_DISK_TRACE, entry.key, &got, &found, NULL) == PM_OK);
    must(found != PM_DISK_FOUND || (got.size == entry.size && memcmp(got.bytes, value, got.size) == 0));
    pm_buffer_free(&got);
    return found == PM_DISK_FOUND;
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
    (void)snprintf(data, sizeof data, "%s/data.mdb", dir);
    must(pm_disk_open(dir, LIMIT, NULL, &disk, NULL) == PM_OK);
    for (uint64_t i = 0; i < ENTRIES + 8; i++) {
        put(disk, i);
    }
    for (uint64_t i = ENTRIES; i < ENTRIES + 8; i++) {
        pm_disk_entry entry;
        static uint8_t value[1 << 16];
        bool removed;
        make_entry(i, &entry, value);
        must(pm_disk_remove(disk, PM_DISK_TRACE, entry.key, &removed, NULL) == PM_OK);
    }
    pm_disk_close(disk);
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

static void use(void) {
    pm_disk *disk;
    must(pm_disk_open(dir, LIMIT, NULL, &disk, NULL) == PM_OK);
    for (uint64_t i = 0; i < ENTRIES; i++) {
        (void)has(disk, i);
    }
    for (uint64_t i = 100; i < 103; i++) {
        put(disk, i);
        must(has(disk, i));
    }
    pm_disk_close(disk);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    memcpy(patched, base, base_size);
    for (size_t at = 0; at + 4 <= n && at < 4 * MAX_PATCHES; at += 4) {
        size_t offset = bytes[at] | (size_t)bytes[at + 1] << 8 | (size_t)bytes[at + 2] << 16;
        patched[offset % base_size] ^= bytes[at + 3];
    }
    int fd = open(data, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    must(fd >= 0 && write(fd, patched, base_size) == (ssize_t)base_size);
    close(fd);
    use();
    return 0;
}
