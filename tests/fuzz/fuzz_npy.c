#include "base/matrix.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    pm_matrix matrix = {0};
    pm_error err;
    pmi_matrix_parse_npy(bytes, n, &matrix, &err);
    pmi_matrix_free(&matrix);
    return 0;
}
