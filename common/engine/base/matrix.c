#include "base/matrix.h"

#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/mem.h"

void pmi_matrix_free(pm_matrix *matrix) {
    free(matrix->data);
    *matrix = (pm_matrix){0};
}

static bool ends_with(const char *text, const char *ending) {
    size_t n = strlen(text);
    size_t k = strlen(ending);
    return n > k && strcasecmp(text + n - k, ending) == 0;
}

bool pmi_matrix_is_path(const char *text) {
    return ends_with(text, ".csv") || ends_with(text, ".npy");
}

pm_status pmi_matrix_read(const char *text, pm_matrix *out, pm_error *err) {
    if (!pmi_matrix_is_path(text)) {
        return pmi_matrix_parse_inline(text, out, err);
    }
    pm_buffer bytes = {0};
    pm_status st = pmi_file_read(text, &bytes, err);
    if (st == PM_OK) {
        st = ends_with(text, ".npy") ? pmi_matrix_parse_npy(bytes.bytes, bytes.size, out, err)
                                     : pmi_matrix_parse_csv(bytes.bytes, bytes.size, out, err);
        st = st == PM_OK ? PM_OK : pmi_fail_prefix(err, "file \"%s\"", text);
    }
    pmi_buffer_free(&bytes);
    return st;
}
