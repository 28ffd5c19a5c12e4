/* A graph analysed: what traces, models and jobs are made of. */
#ifndef PM_SCC_ANALYSIS_H
#define PM_SCC_ANALYSIS_H

#include "scc/classes.h"

/* All-zero is empty. */
typedef struct pm_analysis {
    pm_graph *graph; /* held, see pmi_graph_hold */
    pm_effort effort;
    bool is_defective; /* a reachable state cannot be absorbed */
    pm_split split;
    pm_classes classes; /* empty until they are found */
    double seconds;     /* that splitting, and pmi_analysis_classify, took */
} pm_analysis;

/* Holds the graph and splits it. Errors: PM_EDATA when a state cannot be absorbed, unless `defective` allows it. Free
 * with pmi_analysis_free, also after a failure. */
pm_status pmi_analysis_split(pm_graph *graph, pm_effort effort, bool defective, const pm_log *log, pm_analysis *out,
                             pm_error *err);

/* Finds the classes, as pmi_classes_find does, unless they are there. */
pm_status pmi_analysis_classify(pm_analysis *analysis, unsigned threads, const pm_log *log, pm_error *err);

void pmi_analysis_free(pm_analysis *analysis);

#endif
