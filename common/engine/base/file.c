#include "base/file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

pm_status pmi_file_read(const char *path, pm_buffer *out, pm_error *err) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return pmi_fail(err, PM_ENOINPUT, "file \"%s\" cannot be opened: %s", path, strerror(errno));
    }
    uint8_t block[16384];
    pm_status st = PM_OK;
    size_t got = 0;
    while (st == PM_OK && (got = fread(block, 1, sizeof block, file)) > 0) {
        st = pmi_buffer_add(out, block, got, err);
    }
    if (st == PM_OK && ferror(file)) {
        st = pmi_fail(err, PM_EIO, "file \"%s\" cannot be read: %s", path, strerror(errno));
    }
    fclose(file);
    return st;
}
