#include "worker/kinds.h"

#include <math.h>

pm_unit_work pm_unit_work_of(pm_span kind) {
    static const struct {
        const pm_unit_kind *kind;
        pm_unit_work work;
    } works[] = {
        {&pm_record_units, pm_work_record}, {&pm_evaluate_units, pm_work_evaluate}, {&pm_probe_units, pm_work_probe}};
    for (size_t i = 0; i < sizeof works / sizeof works[0]; i++) {
        if (pm_span_is(kind, works[i].kind->name)) {
            return works[i].work;
        }
    }
    return NULL;
}

static bool give_sign(void *ctx) {
    pm_progress_page_sign(ctx);
    return false;
}

pm_retry pm_child_patience(pm_child_context *bench) {
    return pm_retry_begin("Redis", INFINITY, give_sign, bench->page, NULL);
}
