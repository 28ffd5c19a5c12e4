#include "disk_fixture.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void count_line(void *ctx, pm_log_level level, const char *text) {
    disk_fixture *f = ctx;
    if (level == PM_LOG_WARNING) {
        f->warnings++;
        (void)snprintf(f->last_warning, sizeof f->last_warning, "%s", text);
    }
    if (level == PM_LOG_ERROR) {
        f->errors++;
        (void)snprintf(f->last_error, sizeof f->last_error, "%s", text);
    }
}

void disk_fixture_attach(disk_fixture *f, const char *dir) {
    *f = (disk_fixture){0};
    (void)snprintf(f->dir, sizeof f->dir, "%s", dir);
    f->log = (pm_log){.ctx = f, .line = count_line};
}

void disk_fixture_make(disk_fixture *f) {
    const char *base = getenv("PM_MEMORY"); /* of ./test, which removes it also when it is interrupted */
    char dir[256];
    if (base == NULL) {
        base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : getenv("TMPDIR");
    }
    (void)snprintf(dir, sizeof dir, "%s/phasemill-test-XXXXXX", base != NULL ? base : "/tmp");
    if (mkdtemp(dir) == NULL) {
        perror(dir);
        abort();
    }
    disk_fixture_attach(f, dir);
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where) {
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

void disk_fixture_remove(disk_fixture *f) {
    nftw(f->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void disk_fixture_path(const disk_fixture *f, const char *name, char *path) {
    (void)snprintf(path, 512, "%s/%s", f->dir, name);
}

void fixture_key(uint64_t i, uint8_t key[PM_DIGEST_BYTES]) {
    (void)pmi_digest(PM_SHA256, &i, sizeof i, key, NULL);
}

void fixture_value(const uint8_t key[PM_DIGEST_BYTES], uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)(key[i % PM_DIGEST_BYTES] + i / PM_DIGEST_BYTES);
    }
}

bool fixture_is_value(const uint8_t key[PM_DIGEST_BYTES], const uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != (uint8_t)(key[i % PM_DIGEST_BYTES] + i / PM_DIGEST_BYTES)) {
            return false;
        }
    }
    return true;
}

pm_status fixture_put(pm_disk *disk, uint64_t i, size_t size, pm_error *err) {
    pm_cache_entry entry = {.size = size};
    uint8_t *bytes = malloc(size + 1);
    if (bytes == NULL) {
        abort();
    }
    fixture_key(i, entry.key);
    fixture_value(entry.key, bytes, size);
    entry.bytes = bytes;
    pm_status st = pmi_disk_put(disk, &entry, 1, err);
    free(bytes);
    return st;
}

bool fixture_has(pm_disk *disk, uint64_t i) {
    uint8_t key[PM_DIGEST_BYTES];
    pm_buffer value = {0};
    pm_cache_found found;
    fixture_key(i, key);
    pm_status st = pmi_disk_get(disk, PM_CACHE_TRACE, key, &value, &found, NULL);
    bool right = st == PM_OK && found == PM_CACHE_FOUND && fixture_is_value(key, value.bytes, value.size);
    pmi_buffer_free(&value);
    return right;
}
