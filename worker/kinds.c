#include "worker/child.h"

#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define PROBE_SECONDS 86400.0

static double cpu_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void spin(double seconds) {
    double end = cpu_seconds() + seconds;
    while (cpu_seconds() < end) {
    }
}

/* Memory counts once it is written to. */
static pm_status fill(size_t bytes, size_t limit, uint8_t **memory, pm_error *err) {
    *memory = pmi_malloc(bytes, 1);
    if (*memory == NULL) {
        return pmi_fail(err, PM_EOSERR, "a probe of %zu bytes does not fit the unit's memory limit of %zu bytes", bytes,
                        limit);
    }
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (size_t at = 0; at < bytes; at += page) {
        ((volatile uint8_t *)*memory)[at] = 1;
    }
    return PM_OK;
}

pm_status pmi_work_probe(pm_child_context *context, const pm_unit_message *unit, pm_unit_result *result,
                         pm_error *err) {
    pm_probe_body body;
    pm_message_memory borrowed = {0};
    pm_status st = pmi_message_decode(&pmi_probe_type, unit->body.bytes, unit->body.size, &body, &borrowed, err);
    PM_TRY(st);
    uint8_t *memory = NULL;
    result->items = 1;
    pmi_progress_page_phase(context->page, PM_PHASE_COMPUTE);
    if (!(body.seconds >= 0 && body.seconds <= PROBE_SECONDS)) {
        st = pmi_fail(err, PM_EDATA, "a probe's seconds: expected 0 to %g, found %g", PROBE_SECONDS, body.seconds);
    } else {
        st = fill(body.bytes, context->memory, &memory, err);
    }
    if (st == PM_OK) {
        spin(body.seconds);
        result->recorded = 1;
    }
    if (st == PM_OK && body.crash) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}); /* asked for: nothing to look at afterwards */
        abort();
    }
    free(memory);
    pmi_message_memory_free(&borrowed);
    return st;
}

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

pm_retry pmi_child_patience(pm_child_context *context) {
    return pmi_retry_begin("Redis", INFINITY, give_sign, context->page, NULL);
}
