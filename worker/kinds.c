#include "worker/kinds.h"

#include <math.h>
#include <string.h>

static const pm_kind kinds[] = {
    {"record", pm_work_record},
    {"evaluate", pm_work_evaluate},
    {"probe", pm_work_probe},
};

const pm_kind *pm_kind_find(pm_span name) {
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strlen(kinds[i].name) == name.size && memcmp(kinds[i].name, name.bytes, name.size) == 0) {
            return &kinds[i];
        }
    }
    return NULL;
}

static bool give_sign(void *ctx) {
    pm_page_sign(ctx);
    return false;
}

pm_retry pm_bench_patience(pm_bench *bench) {
    return pm_retry_begin("Redis", INFINITY, give_sign, bench->page, NULL);
}
