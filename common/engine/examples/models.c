#include "examples/models.h"

#include <string.h>

#include "base/mem.h"
#include "base/random.h"
#include "examples/models_explore.h"

/* ---- chains and queues ---- */

/* Røikjer, Hobolth and Munch 2022, Statistics and Computing 32:103: rabbits jump between two islands at rate 1 (here:
 * once for all rabbits of an island, or for each); floods empty the left and the right island at rates of their own.
 * State: rabbits on the left, rabbits on the right. A jump and a flood that lead to the same state stay two edges. */
enum { JUMP, FLOOD_LEFT, FLOOD_RIGHT };

static pm_status expand_rabbits(const void *model, pm_explorer *x, pm_error *err) {
    bool count = *(const bool *)model;
    for (uint32_t side = 0; side < 2; side++) {
        int32_t here = x->state[side];
        if (here == 0) {
            continue;
        }
        pmi_explorer_change(x, side, -1);
        pmi_explorer_change(x, 1 - side, 1);
        PM_TRY(pmi_explorer_edge(x, JUMP, count ? here : 1, err));
        pmi_explorer_change(x, side, -here);
        PM_TRY(pmi_explorer_edge(x, FLOOD_LEFT + side, 1, err));
    }
    return PM_OK;
}

static pm_status make_rabbits(const int64_t *args, pm_graph **out, pm_error *err) {
    const int32_t initial[2] = {(int32_t)args[0], 0};
    bool count = args[1] != 0;
    return pmi_explore(2, 3, initial, expand_rabbits, &count, out, err);
}

/* Two queues in a row. A customer comes in (arrival), moves on to queue 2 (service_1) and goes home (service_2). When
 * queue 1 is full, or queue 2 is full while queue 1 has a customer to hand on, a customer may find no room and end the
 * process: at rate exit each. State: lengths of the queues; (k1, k2), which no queue reaches, is the absorbing state.
 */
enum { ARRIVAL, SERVICE_1, SERVICE_2, EXIT };

static pm_status expand_tandem(const void *model, pm_explorer *x, pm_error *err) {
    const int32_t *k = model;
    int32_t first = x->state[0], second = x->state[1];
    if (first == k[0]) {
        return PM_OK;
    }
    bool full_1 = first == k[0] - 1, full_2 = second == k[1] - 1;
    if (!full_1) {
        pmi_explorer_change(x, 0, 1);
        PM_TRY(pmi_explorer_edge(x, ARRIVAL, 1, err));
    }
    if (first > 0 && !full_2) {
        pmi_explorer_change(x, 0, -1);
        pmi_explorer_change(x, 1, 1);
        PM_TRY(pmi_explorer_edge(x, SERVICE_1, 1, err));
    }
    if (second > 0) {
        pmi_explorer_change(x, 1, -1);
        PM_TRY(pmi_explorer_edge(x, SERVICE_2, 1, err));
    }
    int blocked = (int)full_1 + (int)(full_2 && first > 0);
    if (blocked == 0) {
        return PM_OK;
    }
    pmi_explorer_change(x, 0, k[0] - first);
    pmi_explorer_change(x, 1, k[1] - second);
    return pmi_explorer_edge(x, EXIT, blocked, err);
}

static pm_status make_tandem(const int64_t *args, pm_graph **out, pm_error *err) {
    const int32_t k[2] = {(int32_t)args[0], (int32_t)args[1]}, initial[2] = {0, 0};
    return pmi_explore(2, 4, initial, expand_tandem, k, out, err);
}

/* State: stages left. */
static pm_status expand_erlang(const void *model, pm_explorer *x, pm_error *err) {
    (void)model;
    if (x->state[0] == 0) {
        return PM_OK;
    }
    pmi_explorer_change(x, 0, -1);
    return pmi_explorer_edge(x, 0, 1, err);
}

static pm_status make_erlang(const int64_t *args, pm_graph **out, pm_error *err) {
    int32_t initial = (int32_t)args[0];
    return pmi_explore(1, 1, &initial, expand_erlang, NULL, out, err);
}

/* State: individuals, from 1; each gives birth (below n) and dies; 0 is absorbing. */
static pm_status expand_birth_death(const void *model, pm_explorer *x, pm_error *err) {
    int32_t largest = *(const int32_t *)model, here = x->state[0];
    if (here == 0) {
        return PM_OK;
    }
    if (here < largest) {
        pmi_explorer_change(x, 0, 1);
        PM_TRY(pmi_explorer_edge(x, 0, here, err));
    }
    pmi_explorer_change(x, 0, -1);
    return pmi_explorer_edge(x, 1, here, err);
}

static pm_status make_birth_death(const int64_t *args, pm_graph **out, pm_error *err) {
    int32_t largest = (int32_t)args[0], initial = 1;
    return pmi_explore(1, 2, &initial, expand_birth_death, &largest, out, err);
}

/* State: customers, from 0; k is absorbing. */
static pm_status expand_mm1k(const void *model, pm_explorer *x, pm_error *err) {
    int32_t k = *(const int32_t *)model, here = x->state[0];
    if (here == k) {
        return PM_OK;
    }
    pmi_explorer_change(x, 0, 1);
    PM_TRY(pmi_explorer_edge(x, 0, 1, err));
    if (here == 0) {
        return PM_OK;
    }
    pmi_explorer_change(x, 0, -1);
    return pmi_explorer_edge(x, 1, 1, err);
}

static pm_status make_mm1k(const int64_t *args, pm_graph **out, pm_error *err) {
    int32_t k = (int32_t)args[0], initial = 0;
    return pmi_explore(1, 2, &initial, expand_mm1k, &k, out, err);
}

/* ---- coalescent models of population genetics ---- */

/* Every pair of lineages that can meet coalesces at the same rate, so that the weight of an event is the number of
 * pairs (or of lineages) it can happen to. */

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

static pm_status make_kingman(const int64_t *args, pm_graph **out, pm_error *err) {
    int32_t initial = (int32_t)args[0];
    return pmi_explore(1, 1, &initial, expand_kingman, NULL, out, err);
}

/* Block counting process: Hobolth, Siri-Jégousse and Bladt 2019, Theoretical Population Biology 127:16. State: value
 * i - 1 is the number of lineages with i descendants. */
static pm_status expand_block_coalescent(const void *model, pm_explorer *x, pm_error *err) {
    (void)model;
    return coalesce(x, 0, x->n_support, 1, 0, err);
}

static pm_status make_block_coalescent(const int64_t *args, pm_graph **out, pm_error *err) {
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
    PM_TRY(coalesce(x, 0, x->n_support, 0, 0, err));
    for (size_t a = 0; a < x->n_support; a++) {
        uint32_t type = x->support[a], right = type % (m->n + 1), left = type - right;
        if (left == 0 || right == 0) {
            continue;
        }
        pmi_explorer_change(x, type, -1);
        pmi_explorer_change(x, left, 1);
        pmi_explorer_change(x, right, 1);
        PM_TRY(pmi_explorer_edge(x, 1, m->count ? x->state[type] : 1, err));
    }
    return PM_OK;
}

static pm_status make_two_locus_arg(const int64_t *args, pm_graph **out, pm_error *err) {
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
    for (size_t a = 0; a < x->n_support; a++) {
        uint32_t i = x->support[a];
        bool first = i < m->n_types;
        in_first += first;
        pmi_explorer_change(x, i, -1);
        pmi_explorer_change(x, first ? i + m->n_types : i - m->n_types, 1);
        PM_TRY(pmi_explorer_edge(x, m->migration[first ? 0 : 1], x->state[i], err));
    }
    PM_TRY(coalesce(x, 0, in_first, 0, m->coalescence[0], err));
    return coalesce(x, in_first, x->n_support, -(int64_t)m->n_types, m->coalescence[1], err);
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
static pm_status make_isolation_migration(const int64_t *args, pm_graph **out, pm_error *err) {
    pm_two_islands model = {.coalescence = {0, 0}, .migration = {2, 1}};
    return explore_two_samples(args, 3, &model, out, err);
}

/* The same states, with a coalescence rate for each island. */
static pm_status make_jsfs(const int64_t *args, pm_graph **out, pm_error *err) {
    pm_two_islands model = {.coalescence = {0, 1}, .migration = {2, 3}};
    return explore_two_samples(args, 4, &model, out, err);
}

/* Structured coalescent: Notohara 1990, Journal of Mathematical Biology 29:59. One type of lineage, so that two merge
 * to one where they are. State: lineages on island 1, lineages on island 2. */
static pm_status make_islands(const int64_t *args, pm_graph **out, pm_error *err) {
    pm_two_islands model = {.n_types = 1, .coalescence = {0, 1}, .migration = {2, 3}};
    if (args[1] > args[0]) {
        return pmi_fail(err, PM_EUSAGE, "model islands: second is %lld of n = %lld lineages: expected 0 to %lld",
                        (long long)args[1], (long long)args[0], (long long)args[0]);
    }
    const int32_t initial[2] = {(int32_t)(args[0] - args[1]), (int32_t)args[1]};
    return pmi_explore(2, 4, initial, expand_two_islands, &model, out, err);
}

/* ---- random strongly connected components in a chain ---- */

/* Component c has states c * size .. c * size + size - 1, visited in a random order by one cycle, so that it is
 * strongly connected. Each state draws `extra` further targets in its component (itself and targets it has already are
 * dropped) and, with probability 1/2, an exit to a state of any later component or to absorption; one state of each
 * component has an exit to the next one, so that all can be reached and left. Coefficients are whole multiples of 1/64,
 * from 1/64 to 4, and so are exact in binary. State: component and position, from 1; (0, 0) is absorbing. */
enum { INSIDE, OUTSIDE, N_PARAMS };

typedef struct pm_random_model {
    uint32_t n_sccs, size, extra;
    pm_random random;
    uint32_t *order; /* size: the cycle of the component at hand */
    uint32_t *drawn; /* 1 + extra: targets of the state at hand */
    pm_builder *builder;
} pm_random_model;

/* From 0 to n - 1, n < 2^32; the bias of the multiplication (at most n / 2^64) is far below what could be seen. */
static uint32_t draw_below(pm_random_model *m, uint32_t n) {
    return (uint32_t)(((unsigned __int128)pmi_random_next(&m->random) * n) >> 64);
}

static pm_status add_edge(pm_random_model *m, uint32_t param, uint32_t from, uint32_t to, pm_error *err) {
    double coef[1 + N_PARAMS] = {0};
    coef[1 + param] = (1 + draw_below(m, 256)) / 64.0;
    return pmi_builder_edge(m->builder, PM_EDGE_PARAM, from, to, coef, err);
}

/* Fisher and Yates's shuffle. */
static void shuffle(pm_random_model *m) {
    for (uint32_t i = 0; i < m->size; i++) {
        m->order[i] = i;
    }
    for (uint32_t i = m->size; i > 1; i--) {
        uint32_t j = draw_below(m, i), swap = m->order[i - 1];
        m->order[i - 1] = m->order[j];
        m->order[j] = swap;
    }
}

static bool is_drawn(const uint32_t *drawn, uint32_t n, uint32_t target) {
    for (uint32_t i = 0; i < n; i++) {
        if (drawn[i] == target) {
            return true;
        }
    }
    return false;
}

/* Edges inside the component from its state order[at]; `base` is the row of its state 0. */
static pm_status add_inside(pm_random_model *m, uint32_t base, uint32_t at, pm_error *err) {
    uint32_t here = m->order[at], n = 0;
    if (m->size == 1) {
        return PM_OK;
    }
    m->drawn[n++] = m->order[(at + 1) % m->size];
    PM_TRY(add_edge(m, INSIDE, base + here, base + m->drawn[0], err));
    for (uint32_t k = 0; k < m->extra; k++) {
        uint32_t target = draw_below(m, m->size);
        if (target == here || is_drawn(m->drawn, n, target)) {
            continue;
        }
        m->drawn[n++] = target;
        PM_TRY(add_edge(m, INSIDE, base + here, base + target, err));
    }
    return PM_OK;
}

/* Rows: the start vertex, the states component by component, the absorbing state. */
static pm_status add_component(pm_random_model *m, uint32_t scc, pm_error *err) {
    uint32_t base = 1 + scc * m->size, next = base + m->size, absorbing = 1 + m->n_sccs * m->size;
    shuffle(m);
    uint32_t door = draw_below(m, m->size);
    for (uint32_t at = 0; at < m->size; at++) {
        PM_TRY(add_inside(m, base, at, err));
        uint32_t here = base + m->order[at];
        if (at == door) {
            uint32_t to = next == absorbing ? next : next + draw_below(m, m->size);
            PM_TRY(add_edge(m, OUTSIDE, here, to, err));
        }
        if (draw_below(m, 2) == 1) {
            PM_TRY(add_edge(m, OUTSIDE, here, next + draw_below(m, absorbing - next + 1), err));
        }
    }
    return PM_OK;
}

static pm_status add_rows(pm_random_model *m, pm_error *err) {
    int32_t state[2] = {0, 0};
    PM_TRY(pmi_builder_state(m->builder, state, NULL, err));
    for (uint32_t scc = 0; scc < m->n_sccs; scc++) {
        for (uint32_t i = 0; i < m->size; i++) {
            state[0] = (int32_t)scc + 1;
            state[1] = (int32_t)i + 1;
            PM_TRY(pmi_builder_state(m->builder, state, NULL, err));
        }
    }
    state[0] = state[1] = 0;
    return pmi_builder_state(m->builder, state, NULL, err);
}

static pm_status build(pm_random_model *m, pm_graph **out, pm_error *err) {
    const double one[1 + N_PARAMS] = {1};
    PM_TRY(pmi_builder_new(2, N_PARAMS, false, &m->builder, err));
    PM_TRY(add_rows(m, err));
    PM_TRY(pmi_builder_start(m->builder, false, 1, one, err));
    for (uint32_t scc = 0; scc < m->n_sccs; scc++) {
        PM_TRY(add_component(m, scc, err));
    }
    return pmi_builder_finish(m->builder, out, err);
}

static pm_status make_random(const int64_t *args, pm_graph **out, pm_error *err) {
    if (args[0] * args[1] > PM_NONE - 3) {
        return pmi_fail(err, PM_EUSAGE,
                        "model random: %lld components of %lld states are more than the %u that fit a graph",
                        (long long)args[0], (long long)args[1], PM_NONE - 3);
    }
    pm_random_model m = {.n_sccs = (uint32_t)args[0],
                         .size = (uint32_t)args[1],
                         .extra = (uint32_t)args[2],
                         .random = {.state = (uint64_t)args[3]}};
    pm_status status = PM_NEW(&m.order, m.size, "one component", err);
    PM_THEN(status, PM_NEW(&m.drawn, (size_t)m.extra + 1, "one component", err));
    PM_THEN(status, build(&m, out, err));
    pmi_builder_free(m.builder);
    free(m.drawn);
    free(m.order);
    return status;
}

/* ---- the table ---- */

/* The largest arguments keep the rows below 2^32 - 1 where a formula gives their number; the explorer refuses more. */
static const pm_model_info models[] = {
    {.name = "kingman",
     .help = "Kingman's coalescent, by number of lineages: time to the most recent common ancestor",
     .params = "coalescence",
     .args = {{"n", "sampled lineages", 2, 10000000, 10}},
     .make = make_kingman},
    {.name = "block-coalescent",
     .help = "Kingman's coalescent, lineages counted by their number of descendants: the site frequency spectrum",
     .params = "coalescence",
     .args = {{"n", "sampled lineages", 2, 100, 10}},
     .make = make_block_coalescent},
    {.name = "rabbits",
     .help = "rabbits that jump between two islands until floods have drowned them all",
     .params = "jump flood_left flood_right",
     .args = {{"n", "rabbits, all on the left island", 1, 65535, 10},
              {"count", "jumps from an island happen at the rate of 0: one rabbit, 1: each rabbit", 0, 1, 0}},
     .make = make_rabbits},
    {.name = "two-locus-arg",
     .help = "ancestral recombination graph of two loci: time until one lineage is ancestral to all samples",
     .params = "coalescence recombination",
     .args = {{"n", "sampled lineages", 2, 20, 4},
              {"count", "a type of lineage recombines at the rate of 0: one lineage, as phasic, 1: each lineage", 0, 1,
               0}},
     .make = make_two_locus_arg},
    {.name = "isolation-migration",
     .help = "two populations with migration, lineages counted by their descendants in each sample",
     .params = "coalescence migration_back migration_forth",
     .args = {{"n1", "lineages sampled in population 1", 1, 20, 3},
              {"n2", "lineages sampled in population 2", 1, 20, 3}},
     .make = make_isolation_migration},
    {.name = "islands",
     .help = "structured coalescent of two islands, by number of lineages on each",
     .params = "coalescence_1 coalescence_2 migration_12 migration_21",
     .args = {{"n", "sampled lineages", 2, 65535, 10}, {"second", "how many of them start on island 2", 0, 65535, 0}},
     .make = make_islands},
    {.name = "jsfs",
     .help = "joint site frequency spectrum of two islands: isolation-migration with coalescence rates of their own",
     .params = "coalescence_1 coalescence_2 migration_12 migration_21",
     .args = {{"n1", "lineages sampled on island 1", 1, 20, 3}, {"n2", "lineages sampled on island 2", 1, 20, 3}},
     .make = make_jsfs},
    {.name = "tandem",
     .help = "two queues in a row: time until a customer leaves because the next queue is full",
     .params = "arrival service_1 service_2 exit",
     .args = {{"k1", "lengths of queue 1: 0 to k1 - 1", 2, 65535, 30},
              {"k2", "lengths of queue 2: 0 to k2 - 1", 2, 65535, 30}},
     .make = make_tandem},
    {.name = "random",
     .help = "a chain of random strongly connected components",
     .params = "inside exit",
     .args = {{"sccs", "components", 1, 100000000, 20},
              {"size", "states of each", 1, 100000000, 50},
              {"extra", "random edges inside the component, for each state, beyond a cycle", 0, 1000, 1},
              {"seed", "of the random numbers", 0, INT64_MAX, 1}},
     .make = make_random},
    {.name = "erlang",
     .help = "k exponential stages in a row; k = 1 is the exponential distribution",
     .params = "rate",
     .args = {{"k", "stages", 1, 10000000, 5}},
     .make = make_erlang},
    {.name = "birth-death",
     .help = "linear birth and death process from one individual: time to extinction",
     .params = "birth death",
     .args = {{"n", "the largest population", 1, 10000000, 20}},
     .make = make_birth_death},
    {.name = "mm1k",
     .help = "M/M/1 queue from empty: time until it holds k customers",
     .params = "arrival service",
     .args = {{"k", "customers", 1, 10000000, 30}},
     .make = make_mm1k},
};

const pm_model_info *pmi_models(size_t *n) {
    *n = sizeof models / sizeof models[0];
    return models;
}

const pm_model_info *pmi_model_find(const char *name) {
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        if (strcmp(models[i].name, name) == 0) {
            return &models[i];
        }
    }
    return NULL;
}

pm_status pmi_model_make(const pm_model_info *model, const int64_t *args, pm_graph **out, pm_error *err) {
    for (size_t i = 0; model->args[i].name != NULL; i++) {
        const pm_model_arg *arg = &model->args[i];
        if (args[i] < arg->minimum || args[i] > arg->maximum) {
            return pmi_fail(err, PM_EUSAGE, "model %s: %s (%s) is %lld: expected %lld to %lld", model->name, arg->name,
                            arg->help, (long long)args[i], (long long)arg->minimum, (long long)arg->maximum);
        }
    }
    return model->make(args, out, err);
}
