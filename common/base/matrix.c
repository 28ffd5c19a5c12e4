#include "base/matrix.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/buffer.h"
#include "base/mem.h"

void pm_matrix_free(pm_matrix *matrix) {
    free(matrix->data);
    *matrix = (pm_matrix){0};
}

static bool ends_with(const char *text, const char *ending) {
    size_t n = strlen(text);
    size_t k = strlen(ending);
    return n > k && strcasecmp(text + n - k, ending) == 0;
}

bool pm_matrix_is_path(const char *text) {
    return ends_with(text, ".csv") || ends_with(text, ".npy");
}

static pm_status read_open_file(FILE *file, pm_buffer *out, pm_error *err) {
    uint8_t block[16384];
    pm_status st = PM_OK;
    size_t got = 0;
    while (st == PM_OK && (got = fread(block, 1, sizeof block, file)) > 0) {
        st = pm_buffer_add(out, block, got, err);
    }
    if (st == PM_OK && ferror(file)) {
        st = pm_fail(err, PM_EIO, "reading failed after %zu bytes: %s", out->size, strerror(errno));
    }
    return st;
}

static pm_status load_file(const char *path, pm_matrix *out, pm_error *err) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return pm_fail(err, PM_ENOINPUT, "cannot be opened: %s", strerror(errno));
    }
    pm_buffer bytes = {0};
    pm_status st = read_open_file(file, &bytes, err);
    if (st == PM_OK) {
        st = ends_with(path, ".npy") ? pm_matrix_parse_npy(bytes.bytes, bytes.size, out, err)
                                     : pm_matrix_parse_csv(bytes.bytes, bytes.size, out, err);
    }
    pm_buffer_free(&bytes);
    fclose(file);
    return st;
}

pm_status pm_matrix_read(const char *text, pm_matrix *out, pm_error *err) {
    if (!pm_matrix_is_path(text)) {
        return pm_matrix_parse_inline(text, out, err);
    }
    pm_status st = load_file(text, out, err);
    return st == PM_OK ? PM_OK : pm_fail_prefix(err, "file \"%s\"", text);
}
