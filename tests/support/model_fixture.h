/* A model put together from its parts, without the trace cache, for tests that choose the instruction set. */
#ifndef MODEL_FIXTURE_H
#define MODEL_FIXTURE_H

#include "model/model.h"

/* Takes the graph over. Aborts on an error. pm_evaluate may be called with &fixture.model. */
typedef struct model_fixture {
    struct pm_model model;
} model_fixture;

/* A graph analysed, without classes. Takes the graph over; aborts on an error. */
pm_analysis analysis_of(pm_graph *graph, pm_effort effort);

model_fixture model_fixture_of(pm_graph *graph, pm_isa isa);
void model_fixture_free(model_fixture *r);

pm_isa model_fixture_isa(void);
/* Whether this processor has it. */
bool model_fixture_has_isa(pm_isa isa);

#endif
