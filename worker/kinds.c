#include "worker/kinds.h"

#include <math.h>

pm_unit_work pmi_unit_work_of(pm_span kind) {
    static const struct {
        const pm_unit_kind *kind;
        pm_unit_work work;
    } works[] = {{&pmi_record_units, pmi_work_record},
                 {&pmi_evaluate_units, pmi_work_evaluate},
                 {&pmi_probe_units, pmi_work_probe}};
    for (size_t i = 0; i < sizeof works / sizeof works[0]; i++) {
        if (pmi_span_is(kind, works[i].kind->name)) {
            return works[i].work;
        }
    }
    return NULL;
}

static bool give_sign(void *ctx) {
    pmi_progress_page_sign(ctx);
    return false;
}

pm_retry pmi_child_patience(pm_child_context *bench) {
    return pmi_retry_begin("Redis", INFINITY, give_sign, bench->page, NULL);
}
