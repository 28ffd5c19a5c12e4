#include <string.h>

#include "base/matrix.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    pm_matrix matrix = {0};
    pm_error err;
    pmi_matrix_parse_csv(bytes, n, &matrix, &err);
    pmi_matrix_free(&matrix);
    /* The same bytes as an argument; short, so that a range cannot ask for gigabytes. */
    char text[64];
    if (n < sizeof text && (n == 0 || memchr(bytes, ':', n) == NULL)) {
        memcpy(text, bytes, n);
        text[n] = '\0';
        pmi_matrix_parse_inline(text, &matrix, &err);
        pmi_matrix_free(&matrix);
    }
    return 0;
}
