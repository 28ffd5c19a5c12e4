#include "base/table_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    pm_table table = {0};
    pm_error err;
    pm_table_parse_npy(bytes, n, &table, &err);
    pm_table_free(&table);
    return 0;
}
