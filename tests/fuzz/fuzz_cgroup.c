#include <stdlib.h>
#include <string.h>

#include "base/machine.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* Every file holds what is left of the input. */
static bool read_rest(void *ctx, const char *path, char *text, size_t n) {
    if (path[0] == '\0' || strlen(path) > 3 * 4096) {
        abort();
    }
    strncpy(text, ctx, n - 1);
    text[n - 1] = '\0';
    return true;
}

/* The texts of /proc/self/cgroup and of mountinfo, and of all files, one after the other with a zero between. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    char *text = calloc(n + 3, 1);
    if (text == NULL) {
        return 0;
    }
    if (n > 0) {
        memcpy(text, bytes, n);
    }
    char *mounts = text + strlen(text) + 1, *content = text + n + 2;
    if (mounts < text + n) {
        content = mounts + strlen(mounts) + 1;
    }
    const pm_text_files files = {.ctx = content, .read = read_rest};
    pm_cgroup_limits limits = pmi_cgroup_read(text, mounts, &files);
    if (!(limits.processors > 0)) {
        abort();
    }
    free(text);
    return 0;
}
