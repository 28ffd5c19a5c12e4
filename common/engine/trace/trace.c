#include "trace/trace.h"

#include "base/mem.h"

void pmi_trace_free(pm_trace *trace) {
    if (trace == NULL) {
        return;
    }
    free(trace->pivot);
    free(trace->l_row);
    free(trace->u_row);
    free(trace->l);
    free(trace->u);
    *trace = (pm_trace){0};
}

size_t pmi_trace_bytes(uint32_t n, size_t fill) {
    /* two row arrays of n + 1 offsets, the pivots, the entries */
    size_t per_state = 2 * sizeof(size_t) + sizeof(uint32_t);
    size_t fixed = sizeof(pm_trace) + 2 * sizeof(size_t);
    size_t rows, entries, total;
    bool fits = pmi_mul(n, per_state, &rows) && pmi_mul(fill, sizeof(uint32_t), &entries) &&
                pmi_add(rows, entries, &total) && pmi_add(total, fixed, &total);
    return fits ? total : SIZE_MAX;
}
