/* Random strongly connected components in a chain. */
#include "base/mem.h"
#include "base/random.h"
#include "examples/models.h"
#include "examples/models_explore.h"

/* Component c has states c * size .. c * size + size - 1, visited in a random order by one cycle, so that it is
 * strongly connected. Each state draws `extra` further targets in its component (itself and targets it has already are
 * dropped) and, with probability 1/2, an exit to a state of any later component or to absorption; one state of each
 * component has an exit to the next one, so that all can be reached and left. Coefficients are whole multiples of 1/64,
 * from 1/64 to 4, and so are exact in binary. State: component and position, from 1; (0, 0) is absorbing. */
enum { INSIDE, EXIT, N_PARAMS };

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
    pm_status status = add_edge(m, INSIDE, base + here, base + m->drawn[0], err);
    for (uint32_t k = 0; k < m->extra && status == PM_OK; k++) {
        uint32_t target = draw_below(m, m->size);
        if (target == here || is_drawn(m->drawn, n, target)) {
            continue;
        }
        m->drawn[n++] = target;
        status = add_edge(m, INSIDE, base + here, base + target, err);
    }
    return status;
}

/* Rows: the start vertex, the states component by component, the absorbing state. */
static pm_status add_component(pm_random_model *m, uint32_t scc, pm_error *err) {
    uint32_t base = 1 + scc * m->size, next = base + m->size, absorbing = 1 + m->n_sccs * m->size;
    shuffle(m);
    uint32_t door = draw_below(m, m->size);
    pm_status status = PM_OK;
    for (uint32_t at = 0; at < m->size && status == PM_OK; at++) {
        status = add_inside(m, base, at, err);
        uint32_t here = base + m->order[at];
        if (status == PM_OK && at == door) {
            uint32_t to = next == absorbing ? next : next + draw_below(m, m->size);
            status = add_edge(m, EXIT, here, to, err);
        }
        if (status == PM_OK && draw_below(m, 2) == 1) {
            status = add_edge(m, EXIT, here, next + draw_below(m, absorbing - next + 1), err);
        }
    }
    return status;
}

static pm_status add_rows(pm_random_model *m, pm_error *err) {
    int32_t state[2] = {0, 0};
    pm_status status = pmi_builder_state(m->builder, state, NULL, err);
    for (uint32_t scc = 0; scc < m->n_sccs && status == PM_OK; scc++) {
        for (uint32_t i = 0; i < m->size && status == PM_OK; i++) {
            state[0] = (int32_t)scc + 1;
            state[1] = (int32_t)i + 1;
            status = pmi_builder_state(m->builder, state, NULL, err);
        }
    }
    if (status == PM_OK) {
        state[0] = state[1] = 0;
        status = pmi_builder_state(m->builder, state, NULL, err);
    }
    return status;
}

static pm_status build(pm_random_model *m, pm_graph **out, pm_error *err) {
    const double one[1 + N_PARAMS] = {1};
    pm_status status = pmi_builder_new(2, N_PARAMS, false, &m->builder, err);
    PM_THEN(status, add_rows(m, err));
    PM_THEN(status, pmi_builder_start(m->builder, false, 1, one, err));
    for (uint32_t scc = 0; scc < m->n_sccs && status == PM_OK; scc++) {
        status = add_component(m, scc, err);
    }
    return status == PM_OK ? pmi_builder_finish(m->builder, out, err) : status;
}

pm_status pmi_model_random(const int64_t *args, pm_graph **out, pm_error *err) {
    pm_status status = pmi_model_check("random", args, err);
    if (status != PM_OK) {
        return status;
    }
    if (args[0] * args[1] > PM_NONE - 3) {
        return pmi_fail(err, PM_EUSAGE,
                        "model random: %lld components of %lld states are more than the %u that fit a graph",
                        (long long)args[0], (long long)args[1], PM_NONE - 3);
    }
    pm_random_model m = {.n_sccs = (uint32_t)args[0],
                         .size = (uint32_t)args[1],
                         .extra = (uint32_t)args[2],
                         .random = {.state = (uint64_t)args[3]}};
    m.order = pmi_malloc(m.size, sizeof *m.order);
    m.drawn = pmi_malloc((size_t)m.extra + 1, sizeof *m.drawn);
    if (m.order == NULL || m.drawn == NULL) {
        status = pmi_fail_memory(err, "one component", m.size * sizeof *m.order);
    } else {
        status = build(&m, out, err);
    }
    pmi_builder_free(m.builder);
    free(m.drawn);
    free(m.order);
    return status;
}
