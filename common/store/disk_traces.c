#include "store/disk_traces.h"

#include <string.h>

#include "base/mem.h"

static pm_status get(void *ctx, const uint8_t key[PM_DIGEST_BYTES], pm_buffer *value, pm_cache_found *found,
                     pm_error *err) {
    pm_disk_found disk_found;
    pm_status st = pm_disk_get(ctx, key, value, &disk_found, err);
    *found = disk_found == PM_DISK_FOUND     ? PM_CACHE_FOUND
             : disk_found == PM_DISK_DAMAGED ? PM_CACHE_DAMAGED
                                             : PM_CACHE_MISSING;
    return st;
}

static pm_status put(void *ctx, const pm_cache_entry *entries, size_t n, pm_error *err) {
    pm_disk_entry *copies = pm_malloc(n, sizeof *copies);
    if (copies == NULL) {
        return pm_fail_memory(err, "the entries of the trace cache", n * sizeof *copies);
    }
    for (size_t i = 0; i < n; i++) {
        memcpy(copies[i].key, entries[i].key, PM_DIGEST_BYTES);
        copies[i].bytes = entries[i].bytes;
        copies[i].size = entries[i].size;
    }
    pm_status st = pm_disk_put(ctx, copies, n, err);
    free(copies);
    return st;
}

static pm_status remove_entry(void *ctx, const uint8_t key[PM_DIGEST_BYTES], pm_error *err) {
    bool removed;
    return pm_disk_remove(ctx, key, &removed, err);
}

pm_trace_cache pm_disk_traces(pm_disk *disk) {
    return (pm_trace_cache){.ctx = disk, .get = get, .put = put, .remove = remove_entry};
}
