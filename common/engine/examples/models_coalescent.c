/* Coalescent models of population genetics. Every pair of lineages that can meet coalesces at the same rate, so that
 * the weight of an event is the number of pairs (or of lineages) it can happen to. */
#include "base/mem.h"
#include "examples/models.h"
#include "examples/models_explore.h"

/* Pairs of one lineage of type i and one of type j. */
static double count_pairs(const int32_t *state, uint32_t i, uint32_t j) {
    double a = state[i], b = state[j];
    return i == j ? a * (a - 1) / 2 : a * b;
}

/* True when one lineage is left. */
static bool is_one_lineage(const pm_explorer *x) {
    return x->n_support == 1 && x->state[x->support[0]] == 1;
}

/* Coalescence among the types support[first..last-1]: two lineages at positions i and j of the state merge to one at
 * i + j + shift. */
static pm_status coalesce(pm_explorer *x, size_t first, size_t last, int64_t shift, uint32_t param, pm_error *err) {
    for (size_t a = first; a < last; a++) {
        for (size_t b = a; b < last; b++) {
            uint32_t i = x->support[a], j = x->support[b];
            double pairs = count_pairs(x->state, i, j);
            if (pairs == 0) {
                continue;
            }
            pmi_explorer_change(x, i, -1);
            pmi_explorer_change(x, j, -1);
            pmi_explorer_change(x, (uint32_t)(i + j + shift), 1);
            PM_TRY(pmi_explorer_edge(x, param, pairs, err));
        }
    }
    return PM_OK;
}

/* Kingman 1982, Stochastic Processes and their Applications 13:235. State: lineages. */
static pm_status expand_kingman(const void *model, pm_explorer *x, pm_error *err) {
    (void)model;
    if (is_one_lineage(x)) {
        return PM_OK;
    }
    double pairs = count_pairs(x->state, 0, 0);
    pmi_explorer_change(x, 0, -1);
    return pmi_explorer_edge(x, 0, pairs, err);
}

pm_status pmi_model_kingman(const int64_t *args, pm_graph **out, pm_error *err) {
    PM_TRY(pmi_model_check("kingman", args, err));
    int32_t initial = (int32_t)args[0];
    return pmi_explore(1, 1, &initial, expand_kingman, NULL, out, err);
}

/* Block counting process: Hobolth, Siri-Jégousse and Bladt 2019, Theoretical Population Biology 127:16. State: value
 * i - 1 is the number of lineages with i descendants. */
static pm_status expand_block_coalescent(const void *model, pm_explorer *x, pm_error *err) {
    (void)model;
    return coalesce(x, 0, x->n_support, 1, 0, err);
}

pm_status pmi_model_block_coalescent(const int64_t *args, pm_graph **out, pm_error *err) {
    PM_TRY(pmi_model_check("block-coalescent", args, err));
    uint32_t n = (uint32_t)args[0];
    int32_t *initial;
    PM_TRY(PM_ZEROS(&initial, n, "the initial state", err));
    initial[0] = (int32_t)n;
    pm_status status = pmi_explore(n, 1, initial, expand_block_coalescent, NULL, out, err);
    free(initial);
    return status;
}

/* Two loci with recombination: Hudson 1983, Theoretical Population Biology 23:183. A lineage of type (i, j) is
 * ancestral to i of the samples at locus 1 and to j at locus 2; state value i(n+1) + j is the number of those.
 * Recombination splits one into (i, 0) and (0, j). phasic's example has each type of lineage recombine at the rate of
 * one lineage, however many there are; `count` has each lineage recombine. */
typedef struct pm_two_loci {
    uint32_t n;
    bool count;
} pm_two_loci;

static pm_status expand_two_loci(const void *model, pm_explorer *x, pm_error *err) {
    const pm_two_loci *m = model;
    if (is_one_lineage(x)) {
        return PM_OK;
    }
    pm_status status = coalesce(x, 0, x->n_support, 0, 0, err);
    for (size_t a = 0; a < x->n_support && status == PM_OK; a++) {
        uint32_t type = x->support[a], right = type % (m->n + 1), left = type - right;
        if (left == 0 || right == 0) {
            continue;
        }
        pmi_explorer_change(x, type, -1);
        pmi_explorer_change(x, left, 1);
        pmi_explorer_change(x, right, 1);
        status = pmi_explorer_edge(x, 1, m->count ? x->state[type] : 1, err);
    }
    return status;
}

pm_status pmi_model_two_locus_arg(const int64_t *args, pm_graph **out, pm_error *err) {
    PM_TRY(pmi_model_check("two-locus-arg", args, err));
    pm_two_loci model = {.n = (uint32_t)args[0], .count = args[1] != 0};
    uint32_t width = model.n + 1, length = width * width;
    int32_t *initial;
    PM_TRY(PM_ZEROS(&initial, length, "the initial state", err));
    initial[width + 1] = (int32_t)model.n;
    pm_status status = pmi_explore(length, 2, initial, expand_two_loci, &model, out, err);
    free(initial);
    return status;
}

/* Two populations, in which lineages of `n_types` types move and coalesce: state value p * n_types + t is the number of
 * lineages of type t in population p; types s and t merge to s + t. Params: */
typedef struct pm_two_islands {
    uint32_t n_types;
    uint32_t coalescence[2]; /* in each population */
    uint32_t migration[2];   /* out of each population */
} pm_two_islands;

static pm_status expand_two_islands(const void *model, pm_explorer *x, pm_error *err) {
    const pm_two_islands *m = model;
    if (is_one_lineage(x)) {
        return PM_OK;
    }
    size_t in_first = 0;
    pm_status status = PM_OK;
    for (size_t a = 0; a < x->n_support && status == PM_OK; a++) {
        uint32_t i = x->support[a];
        bool first = i < m->n_types;
        in_first += first;
        pmi_explorer_change(x, i, -1);
        pmi_explorer_change(x, first ? i + m->n_types : i - m->n_types, 1);
        status = pmi_explorer_edge(x, m->migration[first ? 0 : 1], x->state[i], err);
    }
    PM_THEN(status, coalesce(x, 0, in_first, 0, m->coalescence[0], err));
    PM_THEN(status, coalesce(x, in_first, x->n_support, -(int64_t)m->n_types, m->coalescence[1], err));
    return status;
}

/* Types (i, j): i descendants in the sample of population 1 and j in that of population 2, at i * width + j with width
 * = max(n1, n2) + 1. */
static pm_status explore_two_samples(const int64_t *args, uint32_t n_params, pm_two_islands *model, pm_graph **out,
                                     pm_error *err) {
    uint32_t width = (uint32_t)(args[0] > args[1] ? args[0] : args[1]) + 1;
    model->n_types = width * width;
    uint32_t length = 2 * model->n_types;
    int32_t *initial;
    PM_TRY(PM_ZEROS(&initial, length, "the initial state", err));
    initial[width] = (int32_t)args[0];
    initial[model->n_types + 1] = (int32_t)args[1];
    pm_status status = pmi_explore(length, n_params, initial, expand_two_islands, model, out, err);
    free(initial);
    return status;
}

/* Isolation with migration before the populations split: Kern and Hey 2017, Genetics 207:241; the parameters and their
 * order are those of phasic's example. */
pm_status pmi_model_isolation_migration(const int64_t *args, pm_graph **out, pm_error *err) {
    pm_two_islands model = {.coalescence = {0, 0}, .migration = {2, 1}};
    pm_status status = pmi_model_check("isolation-migration", args, err);
    return status == PM_OK ? explore_two_samples(args, 3, &model, out, err) : status;
}

/* The same states, with a coalescence rate for each island. */
pm_status pmi_model_jsfs(const int64_t *args, pm_graph **out, pm_error *err) {
    pm_two_islands model = {.coalescence = {0, 1}, .migration = {2, 3}};
    pm_status status = pmi_model_check("jsfs", args, err);
    return status == PM_OK ? explore_two_samples(args, 4, &model, out, err) : status;
}

/* Structured coalescent: Notohara 1990, Journal of Mathematical Biology 29:59. One type of lineage, so that two merge
 * to one where they are. State: lineages on island 1, lineages on island 2. */
pm_status pmi_model_islands(const int64_t *args, pm_graph **out, pm_error *err) {
    pm_two_islands model = {.n_types = 1, .coalescence = {0, 1}, .migration = {2, 3}};
    PM_TRY(pmi_model_check("islands", args, err));
    if (args[1] > args[0]) {
        return pmi_fail(err, PM_EUSAGE, "model islands: second is %lld of n = %lld lineages: expected 0 to %lld",
                        (long long)args[1], (long long)args[0], (long long)args[0]);
    }
    const int32_t initial[2] = {(int32_t)(args[0] - args[1]), (int32_t)args[1]};
    return pmi_explore(2, 4, initial, expand_two_islands, &model, out, err);
}
