/* The file of settings: any bytes are read or refused, and what is read can be shown. */
#include <string.h>

#include "config/settings.h"

static pm_status see(void *ctx, const char *name, const char *value, const char *origin, pm_error *err) {
    (void)err;
    *(size_t *)ctx += strlen(name) + strlen(origin) + (value == NULL ? 0 : strlen(value));
    return PM_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    pm_error err;
    pm_settings s;
    size_t shown = 0;
    /* what a `-file` names is not the parser's matter, and may be a pipe that nobody writes to */
    if (memmem(bytes, n, "-file", 5) != NULL) {
        return 0;
    }
    if (pmi_settings_init(&s, &err) == PM_OK && pmi_settings_read_bytes(&s, bytes, n, "fuzz.conf", &err) == PM_OK) {
        pmi_settings_each(&s, see, &shown, &err);
    }
    pmi_settings_free(&s);
    return 0;
}
