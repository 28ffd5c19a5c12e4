/* State spaces by exploration: from one initial state, a model's rule says where each state leads; equal states are
 * merged, and rows are numbered breadth first, in the order in which states are first met. */
#ifndef PM_EXAMPLES_MODELS_EXPLORE_H
#define PM_EXAMPLES_MODELS_EXPLORE_H

#include "graph/build.h"

/* What a rule sees of the exploration: the state being expanded. The explorer owns it; it is valid during one call of
 * the rule. */
typedef struct pm_explorer {
    const int32_t *state;    /* L values */
    const uint32_t *support; /* positions of the non-zero values of `state`, ascending */
    size_t n_support;
    struct pm_explored *explored; /* what was found so far; not for rules */
} pm_explorer;

/* A model's rule: adds every edge that leaves x->state; a state without edges is absorbing. `model` is the caller's. */
typedef pm_status (*pm_expand)(const void *model, pm_explorer *x, pm_error *err);

/* The target of the next edge: x->state, but with `delta` added to the value at `position`. Changes add up until the
 * edge is added. */
void pmi_explorer_change(pm_explorer *x, uint32_t position, int32_t delta);

/* Adds an edge from x->state to the target that the changes since the last edge make of it, with weight coef *
 * theta[param]. Parallel edges are kept. Errors: PM_EUSAGE when the rows run out of 32-bit numbers, PM_EOSERR. */
pm_status pmi_explorer_edge(pm_explorer *x, uint32_t param, double coef, pm_error *err);

/* Explores a continuous-time model. Row 0 is the start vertex (all zero), row 1 the `initial` state, reached by one
 * start edge of weight 1. The caller frees *out with pm_graph_free. Errors: the rule's, and those of building the
 * graph. */
pm_status pmi_explore(uint32_t state_length, uint32_t n_params, const int32_t *initial, pm_expand expand,
                      const void *model, pm_graph **out, pm_error *err);

#endif
