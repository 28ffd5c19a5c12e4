#include "scc/analysis.h"

#include "base/clock.h"

pm_status pmi_analysis_split(pm_graph *graph, pm_effort effort, bool defective, const pm_log *log, pm_analysis *out,
                             pm_error *err) {
    double begin = pmi_seconds();
    *out = (pm_analysis){.graph = graph, .effort = effort};
    pmi_graph_hold(graph);
    PM_TRY(defective ? pmi_split_defective(graph, log, &out->split, &out->is_defective, err)
                     : pmi_split_graph(graph, log, &out->split, err));
    out->seconds = pmi_seconds() - begin;
    return PM_OK;
}

pm_status pmi_analysis_classify(pm_analysis *analysis, unsigned threads, const pm_log *log, pm_error *err) {
    if (analysis->classes.class_of != NULL) {
        return PM_OK;
    }
    double begin = pmi_seconds();
    PM_TRY(
        pmi_classes_find(analysis->graph, &analysis->split, analysis->effort, threads, log, &analysis->classes, err));
    analysis->seconds += pmi_seconds() - begin;
    return PM_OK;
}

void pmi_analysis_free(pm_analysis *analysis) {
    pmi_classes_free(&analysis->classes);
    pmi_split_free(&analysis->split);
    pm_graph_free(analysis->graph);
    *analysis = (pm_analysis){0};
}
