#include "store/disk_traces.h"

#include <string.h>

#include "base/mem.h"

/* A cache that fails is one warning, and then as good as empty. */

static pm_status get(void *ctx, const uint8_t key[PM_DIGEST_BYTES], pm_buffer *value, pm_cache_found *found,
                     pm_error *err) {
    (void)err;
    pm_disk_found disk_found;
    pm_error why;
    if (pm_disk_get(ctx, PM_DISK_TRACE, key, value, &disk_found, &why) != PM_OK) {
        pm_disk_warn_once(ctx, &why);
    }
    *found = disk_found == PM_DISK_FOUND     ? PM_CACHE_FOUND
             : disk_found == PM_DISK_DAMAGED ? PM_CACHE_DAMAGED
                                             : PM_CACHE_MISSING;
    return PM_OK;
}

static pm_status put(void *ctx, const pm_cache_entry *entries, size_t n, pm_error *err) {
    pm_error why;
    pm_disk_entry *copies = pm_malloc(n, sizeof *copies);
    if (copies == NULL) {
        return pm_fail_memory(err, "the entries of the trace cache", n * sizeof *copies);
    }
    for (size_t i = 0; i < n; i++) {
        copies[i] = (pm_disk_entry){.kind = PM_DISK_TRACE, .bytes = entries[i].bytes, .size = entries[i].size};
        memcpy(copies[i].key, entries[i].key, PM_DIGEST_BYTES);
    }
    if (pm_disk_put(ctx, copies, n, &why) != PM_OK) {
        pm_disk_warn_once(ctx, &why);
    }
    free(copies);
    return PM_OK;
}

static pm_status remove_entry(void *ctx, const uint8_t key[PM_DIGEST_BYTES], pm_error *err) {
    (void)err;
    bool removed;
    pm_error why;
    if (pm_disk_remove(ctx, PM_DISK_TRACE, key, &removed, &why) != PM_OK) {
        pm_disk_warn_once(ctx, &why);
    }
    return PM_OK;
}

pm_trace_cache pm_disk_traces(pm_disk *disk) {
    return (pm_trace_cache){.ctx = disk, .get = get, .put = put, .remove = remove_entry};
}
