#include "model/data.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    pm_data *data = NULL;
    pm_error err;
    pmi_data_parse(bytes, n, &data, &err);
    pm_data_free(data);
    return 0;
}
