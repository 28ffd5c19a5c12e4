#include "rig.h"

#include <stdio.h>
#include <stdlib.h>

pm_isa rig_best_isa(void) {
    pm_isa isa;
    if (pm_isa_choose(NULL, &isa, NULL) != PM_OK) {
        abort();
    }
    return isa;
}

bool rig_has_isa(pm_isa isa) {
    pm_isa found;
    return pm_isa_choose(pm_isa_name(isa), &found, NULL) == PM_OK;
}

rig rig_of(pm_graph *graph, pm_isa isa) {
    rig r = {.model = {.graph = graph, .isa = isa, .memory = (size_t)1 << 30}};
    pm_error err;
    pm_library_options options = {.record = {.memory = r.model.memory, .isa = isa}, .threads = 1};
    pm_status st = pm_split_graph(graph, NULL, &r.model.split, &err);
    if (st == PM_OK) {
        st = pm_library_make(graph, &r.model.split, &options, &r.model.library, &err);
    }
    if (st == PM_OK) {
        st = pm_program_stitch(graph, &r.model.split, r.model.library.instances, &r.model.program, &err);
    }
    if (st != PM_OK) {
        fprintf(stderr, "a test's model is refused: %s\n", err.text);
        abort();
    }
    return r;
}

void rig_free(rig *r) {
    pm_program_free(&r->model.program);
    pm_library_free(&r->model.library);
    pm_split_free(&r->model.split);
    pm_graph_free(r->model.graph);
    *r = (rig){0};
}
