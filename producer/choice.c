#include "producer/choice.h"

#include "units/workers.h"

/* What a job costs on the cluster by itself. */
#define JOB_SECONDS 0.5
#define COSTS_PER_SECOND 1e6

double pmi_choice_most_seconds(const pm_analysis *analysis) {
    const pm_split *split = &analysis->split;
    uint64_t cost = 0;
    for (uint32_t scc = 0; scc < split->n_sccs; scc++) {
        size_t n_edges = 0;
        uint32_t first = split->scc_first[scc], n = split->scc_first[scc + 1] - first;
        for (uint32_t i = 0; n > 1 && i < n; i++) {
            uint32_t v = split->member[first + i];
            n_edges += split->row[v + 1] - split->row[v];
        }
        cost += n > 1 ? pmi_record_cost(n, n_edges) : 0;
    }
    return (double)cost / COSTS_PER_SECOND;
}

static pm_status estimate_missing(const pm_producer *p, const pm_classes *classes, const pm_digest *keys, bool *known,
                                  double *seconds, pm_error *err) {
    size_t uploaded;
    uint64_t cost = 0;
    PM_TRY(pmi_traces_known(p->traces, keys, classes->n_classes, known, &uploaded, err));
    for (size_t i = 0; i < classes->n_classes; i++) {
        const pm_topology *t = &classes->canon[i].topology;
        cost += known[i] ? 0 : pmi_record_cost(t->n, t->row[t->n]);
    }
    *seconds = (double)cost / COSTS_PER_SECOND;
    return PM_OK;
}

pm_status pmi_choose(const pm_producer *p, const pm_analysis *analysis, unsigned threads, pm_choice *out,
                     pm_error *err) {
    const pm_classes *classes = &analysis->classes;
    size_t n = classes->n_classes;
    double seconds = 0;
    *out = (pm_choice){.on_cluster = false};
    PM_TRY(pmi_count_workers(p->traces->redis, &out->workers, &out->slots, err));
    if (out->slots == 0) {
        return PM_OK;
    }
    pm_digest *keys;
    PM_TRY(pmi_trace_keys(classes, &keys, err));
    bool *known = pmi_calloc(n, sizeof *known);
    pm_status st = known == NULL ? pmi_fail_memory(err, "the keys of SCCs", n * sizeof *keys)
                                 : estimate_missing(p, classes, (const pm_digest *)keys, known, &seconds, err);
    free(keys);
    free(known);
    out->here = seconds / threads;
    out->there = seconds / (double)out->slots + JOB_SECONDS;
    out->on_cluster = st == PM_OK && out->there < out->here;
    return st;
}
