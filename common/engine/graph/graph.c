#include "graph/graph.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "graph/build.h"

void pm_graph_free(pm_graph *graph) {
    if (graph == NULL || __atomic_fetch_sub(&graph->holders, 1, __ATOMIC_ACQ_REL) > 0) {
        return;
    }
    free(graph->states);
    free(graph->from);
    free(graph->to);
    free(graph->weight);
    free(graph->start_to);
    free(graph->start_weight);
    free(graph->weights);
    free(graph->sum_first);
    free(graph->times);
    free(graph);
}

void pmi_graph_hold(pm_graph *graph) {
    __atomic_fetch_add(&graph->holders, 1, __ATOMIC_RELAXED);
}

size_t pm_graph_n_vertices(const pm_graph *graph) {
    return graph->n_vertices;
}

size_t pm_graph_n_params(const pm_graph *graph) {
    return graph->n_params;
}

bool pm_graph_is_discrete(const pm_graph *graph) {
    return graph->is_discrete;
}

bool pmi_graph_weight_is_zero(const pm_graph *g, uint32_t w) {
    if (g->takes_values) {
        return false;
    }
    size_t width = 1 + (size_t)g->n_params;
    const double *row = g->weights + w * width;
    for (size_t k = 0; k < width; k++) {
        if (row[k] != 0.0) {
            return false;
        }
    }
    return true;
}

void pmi_graph_describe(const pm_graph *g, uint32_t vertex, char *text, size_t n) {
    static const char cut[] = ", ...])";
    char number[16];
    if (n == 0) {
        return;
    }
    int head = snprintf(text, n, "row %u (state [", vertex);
    size_t used = head < 0 ? n : (size_t)head;
    const int32_t *state = g->states + (size_t)vertex * g->state_length;
    for (size_t i = 0; i < g->state_length && used < n; i++) {
        int width = snprintf(number, sizeof number, i == 0 ? "%d" : ", %d", state[i]);
        /* the end must still fit behind what is written here */
        if (width < 0 || used + (size_t)width + sizeof cut > n) {
            snprintf(text + used, n - used, "%s", i == 0 ? "...])" : cut);
            return;
        }
        memcpy(text + used, number, (size_t)width + 1);
        used += (size_t)width;
    }
    if (used < n) {
        snprintf(text + used, n - used, "])");
    }
}

/* ---- from arrays in memory ----------------------------------------------------------------------------- */

static pm_status check_arrays(const pm_graph_arrays *a, pm_error *err) {
    if (a->n_vertices >= PM_NONE || a->state_length > UINT32_MAX || a->n_params > PM_MAX_PARAMS) {
        return pmi_fail(err, PM_EDATA, "%zu states of length %zu with %zu parameters; expected less than %u, %u and %d",
                        a->n_vertices, a->state_length, a->n_params, PM_NONE, UINT32_MAX, PM_MAX_PARAMS + 1);
    }
    const struct {
        const char *name;
        size_t rows;
        bool is_missing;
    } arrays[] = {
        {"states", a->n_vertices * a->state_length, a->states == NULL},
        {"edges", a->n_edges, a->edge_from == NULL || a->edge_to == NULL || a->edge_weight == NULL},
        {"param_edges", a->n_param_edges,
         a->param_from == NULL || a->param_to == NULL || (a->param_coef == NULL && a->n_params > 0)},
        {"start_edges", a->n_starts, a->start_to == NULL || a->start_weight == NULL},
    };
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++) {
        if (arrays[i].rows > 0 && arrays[i].is_missing) {
            return pmi_fail(err, PM_EUSAGE, "%s: %zu rows are announced, but an array is NULL", arrays[i].name,
                            arrays[i].rows);
        }
    }
    return PM_OK;
}

static pm_status add_arrays(const pm_graph_arrays *a, pm_builder *b, double *coef, pm_error *err) {
    for (size_t i = 0; i < a->n_vertices; i++) {
        PM_TRY(pmi_builder_state(b, a->state_length == 0 ? NULL : a->states + i * a->state_length, NULL, err));
    }
    for (size_t i = 0; i < a->n_edges; i++) {
        PM_TRY(pmi_builder_edge(b, PM_EDGE_PLAIN, a->edge_from[i], a->edge_to[i], &a->edge_weight[i], err));
    }
    coef[0] = 0.0;
    for (size_t i = 0; i < a->n_param_edges; i++) {
        if (a->n_params > 0) {
            memcpy(coef + 1, a->param_coef + i * a->n_params, a->n_params * sizeof *coef);
        }
        PM_TRY(pmi_builder_edge(b, PM_EDGE_PARAM, a->param_from[i], a->param_to[i], coef, err));
    }
    for (size_t i = 0; i < a->n_starts; i++) {
        PM_TRY(pmi_builder_start(b, false, a->start_to[i], &a->start_weight[i], err));
    }
    return PM_OK;
}

pm_status pm_graph_from_arrays(const pm_graph_arrays *arrays, pm_graph **out, pm_error *err) {
    *out = NULL;
    PM_TRY(check_arrays(arrays, err));
    pm_builder *b = NULL;
    double *coef;
    PM_TRY(PM_NEW(&coef, 1 + arrays->n_params, "coefficients", err));
    pm_status st =
        pmi_builder_new((uint32_t)arrays->state_length, (uint32_t)arrays->n_params, arrays->is_discrete, &b, err);
    if (st == PM_OK) {
        pmi_builder_set_kind(b, arrays->is_discrete, true, arrays->normalize_rows);
        st = add_arrays(arrays, b, coef, err);
    }
    PM_THEN(st, pmi_builder_finish(b, out, err));
    pmi_builder_free(b);
    free(coef);
    return st;
}

#define SLACK 1e-9 /* as for rows of probabilities */

/* Whether the weights out of every row add up to at most one, and some weight is positive. `value` has a place for each
 * weight, `sum` for each row. */
static bool are_probabilities(const pm_graph *g, const double *theta, double *value, double *sum) {
    bool is_positive = false;
    for (size_t w = 0; w < g->n_weights; w++) {
        value[w] = pmi_graph_weight(g, (uint32_t)w, theta);
    }
    for (size_t v = 0; v < g->n_vertices; v++) {
        sum[v] = 0;
    }
    for (size_t e = 0; e < g->n_edges; e++) {
        double weight = value[g->weight[e]];
        sum[g->from[e]] += weight;
        if (!(weight >= 0 && sum[g->from[e]] <= 1 + SLACK)) {
            return false;
        }
        is_positive = is_positive || weight > 0;
    }
    return is_positive;
}

bool pm_graph_may_be_discrete(const pm_graph *graph, const double *theta, size_t n_theta) {
    size_t n_params = graph->n_params, n_rows = n_params == 0 ? 1 : n_theta;
    if (graph->is_discrete || graph->is_kind_given || n_rows == 0) {
        return false;
    }
    double *value = pmi_malloc(graph->n_weights, sizeof *value);
    double *sum = pmi_malloc(graph->n_vertices, sizeof *sum);
    bool may_be = value != NULL && sum != NULL;
    for (size_t b = 0; may_be && b < n_rows; b++) {
        may_be = are_probabilities(graph, n_params == 0 ? NULL : theta + b * n_params, value, sum);
    }
    free(value);
    free(sum);
    return may_be;
}

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "digests are taken of arrays as they lie in memory, which must be little-endian"
#endif

#define PACKED 4096

/* Bytes that hold every bit of `bits`, the bitwise or of all numbers. */
static unsigned width_of(uint32_t bits) {
    return bits < 1u << 8 ? 1 : bits < 1u << 16 ? 2 : bits < 1u << 24 ? 3 : 4;
}

static inline void pack_width(const uint32_t *numbers, size_t count, unsigned width, uint8_t *out) {
    for (size_t i = 0; i < count; i++) {
        for (unsigned k = 0; k < width; k++) {
            out[i * width + k] = (uint8_t)(numbers[i] >> 8 * k);
        }
    }
}

/* One loop for each width, so that the compiler knows it. */
static void pack(const uint32_t *numbers, size_t count, unsigned width, uint8_t *out) {
    switch (width) {
    case 1:
        pack_width(numbers, count, 1, out);
        break;
    case 2:
        pack_width(numbers, count, 2, out);
        break;
    case 3:
        pack_width(numbers, count, 3, out);
        break;
    default:
        memcpy(out, numbers, count * sizeof *numbers);
    }
}

/* Indices are small and labels smaller: most of their bytes would be zeros, and hashing is what takes the time. */
static pm_status add_packed(pm_hasher *h, const uint32_t *numbers, size_t count, unsigned width, pm_error *err) {
    uint8_t packed[4 * PACKED] = {(uint8_t)width};
    PM_TRY(pmi_hasher_add(h, packed, 1, err));
    for (size_t i = 0; i < count; i += PACKED) {
        size_t n = count - i < PACKED ? count - i : PACKED;
        pack(numbers + i, n, width, packed);
        PM_TRY(pmi_hasher_add(h, packed, n * width, err));
    }
    return PM_OK;
}

static pm_status add_unsigned(pm_hasher *h, const uint32_t *numbers, size_t count, pm_error *err) {
    uint32_t bits = 0;
    for (size_t i = 0; i < count; i++) {
        bits |= numbers[i];
    }
    return add_packed(h, numbers, count, width_of(bits), err);
}

static pm_status add_signed(pm_hasher *h, const int32_t *numbers, size_t count, pm_error *err) {
    uint32_t bits = 0;
    for (size_t i = 0; i < count; i++) {
        /* the magnitude, doubled to make room for the sign */
        bits |= (uint32_t)(numbers[i] ^ (numbers[i] >> 31)) << 1;
    }
    return add_packed(h, (const uint32_t *)numbers, count, width_of(bits), err);
}

static pm_status digest_sizes(pm_hasher *h, const pm_graph *g, pm_error *err) {
    static const char tag[] = "phasemill graph 1\n";
    const uint64_t kind = g->normalizes_rows ? 2 : g->is_discrete ? 1 : 0;
    const uint64_t sizes[] = {g->n_vertices, g->state_length, g->n_params,      kind,        g->n_plain,
                              g->n_constant, g->n_edges,      g->n_start_plain, g->n_starts, g->n_weights};
    PM_TRY(pmi_hasher_add(h, tag, sizeof tag - 1, err));
    return pmi_hasher_add(h, sizes, sizeof sizes, err);
}

static pm_status digest_arrays(pm_hasher *h, const pm_graph *g, pm_error *err) {
    const struct {
        const uint32_t *numbers;
        size_t count;
    } arrays[] = {{g->from, g->n_edges},
                  {g->to, g->n_edges},
                  {g->weight, g->n_edges},
                  {g->start_to, g->n_starts},
                  {g->start_weight, g->n_starts}};
    pm_status st = add_signed(h, g->states, (size_t)g->n_vertices * g->state_length, err);
    for (size_t i = 0; st == PM_OK && i < sizeof arrays / sizeof arrays[0]; i++) {
        st = add_unsigned(h, arrays[i].numbers, arrays[i].count, err);
    }
    size_t n_coefs = g->n_weights * (1 + (size_t)g->n_params);
    PM_TRY(st);
    return pmi_hasher_add(h, g->weights, n_coefs * sizeof *g->weights, err);
}

pm_status pmi_graph_digest(const pm_graph *g, uint8_t digest[PM_DIGEST_BYTES], pm_error *err) {
    pm_hasher *h;
    pm_status st = pmi_hasher_new(PM_SHA256, &h, err);
    PM_THEN(st, digest_sizes(h, g, err));
    PM_THEN(st, digest_arrays(h, g, err));
    PM_THEN(st, pmi_hasher_finish(h, digest, err));
    pmi_hasher_free(h);
    return st;
}
