#include "eval/stay.h"

#include "base/mem.h"
#include "graph/exact.h"

pm_status pmi_stay_room_new(const pm_chain *c, pm_stay_room *room, pm_error *err) {
    size_t terms = 0;
    bool fits = pmi_mul(c->most_out, 1 + c->graph->n_params, &terms) && terms < SIZE_MAX;
    room->coef = fits ? pmi_malloc(terms + 1, sizeof *room->coef) : NULL;
    room->x = fits ? pmi_malloc(terms, sizeof *room->x) : NULL;
    if (room->coef == NULL || room->x == NULL) {
        return pmi_fail_memory(err, "the edges of a state", terms * 2 * sizeof(double));
    }
    return PM_OK;
}

void pmi_stay_room_free(pm_stay_room *room) {
    free(room->coef);
    free(room->x);
}

pm_pair pmi_exact_stay(const pm_chain *c, const double *theta, uint32_t state, pm_stay_room *room) {
    const pm_graph *g = c->graph;
    const pm_split *split = c->split;
    uint32_t row = c->row_of[state];
    size_t n = 0;
    pm_pair stay;
    room->coef[0] = 1.0;
    for (size_t e = split->row[row]; e < split->row[row + 1]; e++) {
        uint32_t w = split->weight[e];
        const double *own = g->takes_values ? NULL : g->weights + (size_t)w * (1 + g->n_params);
        for (size_t k = 0; k <= g->n_params; k++) {
            double coef = own != NULL ? own[k] : k == 1 + (size_t)w ? 1.0 : 0.0;
            if (coef != 0.0) {
                room->x[n++] = k == 0 ? 1.0 : theta[k - 1];
                room->coef[n] = -coef;
            }
        }
    }
    pmi_exact_dot(room->coef, n, room->x, &stay.high, &stay.low);
    return stay;
}
