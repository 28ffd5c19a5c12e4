#include <string.h>

#include "base/table_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    pm_table table = {0};
    pm_error err;
    pm_table_parse_csv(bytes, n, &table, &err);
    pm_table_free(&table);
    /* The same bytes as an argument; short, so that a range cannot ask for gigabytes. */
    char text[64];
    if (n < sizeof text && (n == 0 || memchr(bytes, ':', n) == NULL)) {
        memcpy(text, bytes, n);
        text[n] = '\0';
        pm_table_parse_inline(text, &table, &err);
        pm_table_free(&table);
    }
    return 0;
}
