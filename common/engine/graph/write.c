#include "graph/write.h"

#include <locale.h>

#include "base/mem.h"
#include "graph/write_doc.h"

/* Rows of one array of the graph, edges or starts: file rows `first` to `end`. */
typedef struct span {
    const pm_graph *g;
    const uint32_t *from; /* NULL: starts */
    const uint32_t *to, *weight;
    size_t first, end;
} span;

static span edges_of(const pm_graph *g, size_t first, size_t end) {
    return (span){g, g->from, g->to, g->weight, first, end};
}

static span starts_of(const pm_graph *g, size_t first, size_t end) {
    return (span){g, NULL, g->start_to, g->start_weight, first, end};
}

static const double *coef_of(const span *s, size_t row) {
    return s->g->weights + (size_t)s->weight[row] * (1 + (size_t)s->g->n_params);
}

static bool has_coefficients(const span *s, size_t row) {
    const double *coef = coef_of(s, row);
    for (size_t k = 1; k <= s->g->n_params; k++) {
        if (coef[k] != 0.0) {
            return true;
        }
    }
    return false;
}

/* Param rows with a constant are split: which of them leave a constant, and which something for the param array. */
static bool leaves_constant(const span *s, size_t row) {
    return coef_of(s, row)[0] != 0.0;
}

static bool leaves_params(const span *s, size_t row) {
    return !leaves_constant(s, row) || has_coefficients(s, row);
}

static size_t count(const span *s, bool (*test)(const span *, size_t)) {
    size_t n = 0;
    for (size_t i = s->first; i < s->end; i++) {
        n += test(s, i);
    }
    return n;
}

/* Apart, each of the two edges must be as good as their sum: both weights may not be negative at any theta. */
static pm_status check_split(const span *s, const char *name, pm_error *err) {
    for (size_t i = s->first; i < s->end; i++) {
        const double *coef = coef_of(s, i);
        bool is_negative = coef[0] < 0.0;
        for (size_t k = 1; k <= s->g->n_params; k++) {
            is_negative = is_negative || coef[k] < 0.0;
        }
        if (leaves_constant(s, i) && has_coefficients(s, i) && is_negative) {
            return pmi_fail(
                err, PM_EDATA,
                "%s row %zu: has the base weight %.17g beside coefficients, one of them negative; this layout "
                "would need two parallel edges, whose weights may not be negative by themselves",
                name, i - s->first, coef[0]);
        }
    }
    return PM_OK;
}

/* ---- arrays -------------------------------------------------------------------------------------------- */

static void write_ends(pm_doc *d, const span *s, size_t row, size_t n_numbers) {
    pmi_doc_open_array(d, (s->from == NULL ? 1 : 2) + n_numbers);
    if (s->from != NULL) {
        pmi_doc_integer(d, s->from[row]);
    }
    pmi_doc_integer(d, s->to[row]);
}

static void write_constant_rows(pm_doc *d, const span *s, bool is_split) {
    for (size_t i = s->first; d->st == PM_OK && i < s->end; i++) {
        if (is_split && !leaves_constant(s, i)) {
            continue;
        }
        write_ends(d, s, i, 1);
        pmi_doc_real(d, coef_of(s, i)[0]);
        pmi_doc_close_array(d);
    }
}

static void write_param_rows(pm_doc *d, const span *s) {
    for (size_t i = s->first; d->st == PM_OK && i < s->end; i++) {
        if (!leaves_params(s, i)) {
            continue;
        }
        const double *coef = coef_of(s, i);
        write_ends(d, s, i, s->g->n_params);
        for (size_t k = 1; k <= s->g->n_params; k++) {
            pmi_doc_real(d, coef[k]);
        }
        pmi_doc_close_array(d);
    }
}

/* Constant rows, and behind them what the param rows leave. */
static void write_constants(pm_doc *d, const char *key, const span *plain, const span *params) {
    pmi_doc_key(d, key);
    pmi_doc_open_array(d, plain->end - plain->first + count(params, leaves_constant));
    write_constant_rows(d, plain, false);
    write_constant_rows(d, params, true);
    pmi_doc_close_array(d);
}

static void write_params(pm_doc *d, const char *key, const span *params) {
    pmi_doc_key(d, key);
    pmi_doc_open_array(d, count(params, leaves_params));
    write_param_rows(d, params);
    pmi_doc_close_array(d);
}

static void write_states(pm_doc *d, const pm_graph *g) {
    pmi_doc_key(d, "states");
    pmi_doc_open_array(d, g->n_vertices);
    for (size_t i = 0; d->st == PM_OK && i < g->n_vertices; i++) {
        const int32_t *state = g->states + i * g->state_length;
        pmi_doc_open_array(d, g->state_length);
        for (size_t k = 0; k < g->state_length; k++) {
            pmi_doc_integer(d, state[k]);
        }
        pmi_doc_close_array(d);
    }
    pmi_doc_close_array(d);
    pmi_doc_key(d, "vertex_indices");
    pmi_doc_open_array(d, g->n_vertices);
    for (size_t i = 0; d->st == PM_OK && i < g->n_vertices; i++) {
        pmi_doc_integer(d, (int64_t)i);
    }
    pmi_doc_close_array(d);
}

static void write_edges(pm_doc *d, const pm_graph *g, const span *params, const span *start_params) {
    const span plain = edges_of(g, 0, g->n_plain);
    const span constant = edges_of(g, g->n_plain, g->n_plain + g->n_constant);
    const span starts = starts_of(g, 0, g->n_start_plain);
    const span none = edges_of(g, 0, 0);
    write_constants(d, "edges", &plain, &none);
    write_constants(d, "constant_edges", &constant, params);
    write_constants(d, "start_edges", &starts, start_params);
    write_params(d, "param_edges", params);
    write_params(d, "start_param_edges", start_params);
}

static void write_sizes(pm_doc *d, const pm_graph *g) {
    pmi_doc_key(d, "param_length");
    pmi_doc_integer(d, g->n_params);
    pmi_doc_key(d, "state_length");
    pmi_doc_integer(d, g->state_length);
    pmi_doc_key(d, "n_vertices");
    pmi_doc_integer(d, g->n_vertices);
    pmi_doc_key(d, "weight_mode");
    pmi_doc_text(d, "linear");
    pmi_doc_key(d, "dyn_ordering");
    pmi_doc_boolean(d, false);
    if (g->is_kind_given) {
        pmi_doc_key(d, "is_discrete");
        pmi_doc_boolean(d, g->is_discrete);
    }
    pmi_doc_key(d, "was_dph");
    pmi_doc_boolean(d, g->normalizes_rows);
}

#define N_KEYS 14

static pm_status write_graph(pm_doc *d, const pm_graph *g, pm_error *err) {
    const span params = edges_of(g, g->n_plain + g->n_constant, g->n_edges);
    const span start_params = starts_of(g, g->n_start_plain, g->n_starts);
    pm_status st = check_split(&params, "param_edges", err);
    PM_THEN(st, check_split(&start_params, "start_param_edges", err));
    if (st != PM_OK) {
        return st;
    }
    pmi_doc_open_map(d, g->is_kind_given ? N_KEYS : N_KEYS - 1); /* nobody said is_discrete: nor is it said here */
    write_states(d, g);
    write_edges(d, g, &params, &start_params);
    write_sizes(d, g);
    pmi_doc_close_map(d);
    return pmi_doc_end(d);
}

pm_status pmi_graph_write(const pm_graph *g, pm_graph_encoding encoding, const pm_byte_sink *sink, pm_error *err) {
    pm_doc *d = pmi_calloc(1, sizeof *d);
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    pm_status st = PM_OK;
    if (d == NULL || c_locale == (locale_t)0) {
        st = pmi_fail_memory(err, "a buffer for writing", sizeof *d);
    } else {
        /* numbers are printed with a point in every locale of the program; this changes the calling thread only */
        locale_t before = uselocale(c_locale);
        pmi_doc_begin(d, encoding, sink, err);
        st = write_graph(d, g, err);
        uselocale(before);
    }
    if (c_locale != (locale_t)0) {
        freelocale(c_locale);
    }
    free(d);
    return st;
}
