#include "model_fixture.h"

#include <stdio.h>
#include <stdlib.h>

pm_isa model_fixture_isa(void) {
    pm_isa isa;
    if (pmi_isa_choose(NULL, &isa, NULL) != PM_OK) {
        abort();
    }
    return isa;
}

bool model_fixture_has_isa(pm_isa isa) {
    pm_isa found;
    return pmi_isa_choose(pmi_isa_name(isa), &found, NULL) == PM_OK;
}

static void must(pm_status st, const pm_error *err) {
    if (st != PM_OK) {
        fprintf(stderr, "a test's model is refused: %s\n", err->text);
        abort();
    }
}

pm_analysis analysis_of(pm_graph *graph, pm_effort effort) {
    pm_analysis analysis;
    pm_error err;
    must(pmi_analysis_split(graph, effort, false, NULL, &analysis, &err), &err);
    pm_graph_free(graph);
    return analysis;
}

model_fixture model_fixture_of(pm_graph *graph, pm_isa isa) {
    model_fixture r = {
        .model = {.analysis = analysis_of(graph, PM_EFFORT_FAST), .isa = isa, .memory = (size_t)1 << 30}};
    pm_analysis *a = &r.model.analysis;
    pm_error err;
    pm_library_options options = {.record = {.memory = r.model.memory, .isa = isa}, .threads = 1};
    must(pmi_library_make(a, &options, &r.model.library, &err), &err);
    must(pmi_program_stitch(a->graph, &a->split, r.model.library.instances, &r.model.program, &err), &err);
    return r;
}

void model_fixture_free(model_fixture *r) {
    pmi_out_edges_free(r->model.out_edges);
    pmi_chain_free(r->model.chain);
    pmi_program_free(&r->model.program);
    pmi_library_free(&r->model.library);
    pmi_analysis_free(&r->model.analysis);
    *r = (model_fixture){0};
}
