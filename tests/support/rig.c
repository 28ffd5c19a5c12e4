#include "rig.h"

#include <stdio.h>
#include <stdlib.h>

pm_isa rig_best_isa(void) {
    pm_isa isa;
    if (pmi_isa_choose(NULL, &isa, NULL) != PM_OK) {
        abort();
    }
    return isa;
}

bool rig_has_isa(pm_isa isa) {
    pm_isa found;
    return pmi_isa_choose(pmi_isa_name(isa), &found, NULL) == PM_OK;
}

rig rig_of(pm_graph *graph, pm_isa isa) {
    rig r = {.model = {.graph = graph, .isa = isa, .memory = (size_t)1 << 30}};
    pm_error err;
    pm_library_options options = {.record = {.memory = r.model.memory, .isa = isa}, .threads = 1};
    pm_status st = pmi_split_graph(graph, NULL, &r.model.split, &err);
    if (st == PM_OK) {
        st = pmi_library_make(graph, &r.model.split, &options, &r.model.library, &err);
    }
    if (st == PM_OK) {
        st = pmi_program_stitch(graph, &r.model.split, r.model.library.instances, &r.model.program, &err);
    }
    if (st != PM_OK) {
        fprintf(stderr, "a test's model is refused: %s\n", err.text);
        abort();
    }
    return r;
}

void rig_free(rig *r) {
    pmi_program_free(&r->model.program);
    pmi_library_free(&r->model.library);
    pmi_split_free(&r->model.split);
    pm_graph_free(r->model.graph);
    *r = (rig){0};
}
