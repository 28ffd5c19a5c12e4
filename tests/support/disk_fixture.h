/* A cache folder for tests, values that follow from their keys, and a count of log lines. */
#ifndef PM_TESTS_DISK_FIXTURE_H
#define PM_TESTS_DISK_FIXTURE_H

#include "cache/disk.h"

typedef struct disk_fixture {
    char dir[256];
    pm_log log;
    int errors, warnings;
    char last_error[PM_ERROR_TEXT], last_warning[PM_ERROR_TEXT];
} disk_fixture;

/* Makes an empty folder, in memory where the system has such a place. */
void disk_fixture_make(disk_fixture *f);
/* A fixture of its own over the same folder: for another process. */
void disk_fixture_attach(disk_fixture *f, const char *dir);
void disk_fixture_remove(disk_fixture *f); /* the folder and all in it */
/* "dir/name"; `path` has 512 bytes. */
void disk_fixture_path(const disk_fixture *f, const char *name, char *path);

/* The key of number i: well spread. */
void fixture_key(uint64_t i, uint8_t key[PM_DIGEST_BYTES]);
/* The value that belongs to a key: `size` bytes that follow from key and position. */
void fixture_value(const uint8_t key[PM_DIGEST_BYTES], uint8_t *bytes, size_t size);
bool fixture_is_value(const uint8_t key[PM_DIGEST_BYTES], const uint8_t *bytes, size_t size);

/* Puts entry i; gets entry i: false unless it is found and right. */
pm_status fixture_put(pm_disk *disk, uint64_t i, size_t size, pm_error *err);
bool fixture_has(pm_disk *disk, uint64_t i);

#endif
