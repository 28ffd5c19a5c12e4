#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "codec/events.h"

static pm_status read_memory(void *ctx, uint8_t *bytes, size_t capacity, size_t *got, pm_error *err) {
    (void)err;
    pm_memory_source *m = ctx;
    size_t left = m->size - m->at;
    *got = left < capacity ? left : capacity;
    if (*got > 0) {
        memcpy(bytes, m->bytes + m->at, *got);
    }
    m->at += *got;
    return PM_OK;
}

pm_source pmi_source_memory(pm_memory_source *state) {
    return (pm_source){.ctx = state, .read = read_memory};
}

static pm_status read_fd(void *ctx, uint8_t *bytes, size_t capacity, size_t *got, pm_error *err) {
    const int *fd = ctx;
    ssize_t n;
    do {
        n = read(*fd, bytes, capacity);
    } while (n < 0 && errno == EINTR);
    *got = n < 0 ? 0 : (size_t)n;
    return n < 0 ? pmi_fail(err, PM_EIO, "reading failed: %s", strerror(errno)) : PM_OK;
}

pm_source pmi_source_fd(int *fd) {
    return (pm_source){.ctx = fd, .read = read_fd};
}
