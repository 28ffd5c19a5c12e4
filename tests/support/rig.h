/* A model put together from its parts, without the trace cache, for tests that choose the instruction set. */
#ifndef RIG_H
#define RIG_H

#include "model/model.h"

/* Takes the graph over. Aborts on an error. pm_evaluate may be called with &rig.model. */
typedef struct rig {
    struct pm_model model;
} rig;

/* A graph analysed, without classes. Takes the graph over; aborts on an error. */
pm_analysis analysis_of(pm_graph *graph, pm_effort effort);

rig rig_of(pm_graph *graph, pm_isa isa);
void rig_free(rig *r);

pm_isa rig_best_isa(void);
/* Whether this processor has it. */
bool rig_has_isa(pm_isa isa);

#endif
