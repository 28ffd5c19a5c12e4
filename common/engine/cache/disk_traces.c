#include "cache/disk.h"

#include <string.h>

#include "base/mem.h"

/* A cache that fails is one warning, and then as good as empty. */

static pm_status get(pm_disk *disk, pm_disk_kind kind, const uint8_t *key, pm_buffer *value, pm_cache_found *found) {
    pm_disk_found disk_found;
    pm_error why;
    if (pmi_disk_get(disk, kind, key, value, &disk_found, &why) != PM_OK) {
        pmi_disk_warn_once(disk, &why);
    }
    *found = disk_found == PM_DISK_FOUND     ? PM_CACHE_FOUND
             : disk_found == PM_DISK_DAMAGED ? PM_CACHE_DAMAGED
                                             : PM_CACHE_MISSING;
    return PM_OK;
}

static pm_status put(pm_disk *disk, pm_disk_kind kind, const pm_cache_entry *entries, size_t n, pm_error *err) {
    pm_error why;
    pm_disk_entry *copies;
    PM_TRY(PM_NEW(&copies, n, "the entries of the trace cache", err));
    for (size_t i = 0; i < n; i++) {
        copies[i] = (pm_disk_entry){.kind = kind, .bytes = entries[i].bytes, .size = entries[i].size};
        memcpy(copies[i].key, entries[i].key, PM_DIGEST_BYTES);
    }
    if (pmi_disk_put(disk, copies, n, &why) != PM_OK) {
        pmi_disk_warn_once(disk, &why);
    }
    free(copies);
    return PM_OK;
}

static pm_status remove_entry(pm_disk *disk, pm_disk_kind kind, const uint8_t *key) {
    bool removed;
    pm_error why;
    if (pmi_disk_remove(disk, kind, key, &removed, &why) != PM_OK) {
        pmi_disk_warn_once(disk, &why);
    }
    return PM_OK;
}

static pm_status get_trace(void *ctx, const uint8_t key[PM_DIGEST_BYTES], pm_buffer *value, pm_cache_found *found,
                           pm_error *err) {
    (void)err;
    return get(ctx, PM_DISK_TRACE, key, value, found);
}

static pm_status put_traces(void *ctx, const pm_cache_entry *entries, size_t n, pm_error *err) {
    return put(ctx, PM_DISK_TRACE, entries, n, err);
}

static pm_status remove_trace(void *ctx, const uint8_t key[PM_DIGEST_BYTES], pm_error *err) {
    (void)err;
    return remove_entry(ctx, PM_DISK_TRACE, key);
}

pm_trace_cache pmi_disk_traces(pm_disk *disk) {
    return (pm_trace_cache){
        .ctx = disk, .get = get_trace, .put = put_traces, .remove = remove_trace, .is_checked = true};
}

static pm_status get_classes(void *ctx, const uint8_t key[PM_DIGEST_BYTES], pm_buffer *value, pm_cache_found *found,
                             pm_error *err) {
    (void)err;
    return get(ctx, PM_DISK_CLASSES, key, value, found);
}

static pm_status put_classes(void *ctx, const pm_cache_entry *entries, size_t n, pm_error *err) {
    return put(ctx, PM_DISK_CLASSES, entries, n, err);
}

static pm_status remove_classes(void *ctx, const uint8_t key[PM_DIGEST_BYTES], pm_error *err) {
    (void)err;
    return remove_entry(ctx, PM_DISK_CLASSES, key);
}

pm_trace_cache pmi_disk_classes(pm_disk *disk) {
    return (pm_trace_cache){
        .ctx = disk, .get = get_classes, .put = put_classes, .remove = remove_classes, .is_checked = true};
}
