#include "graph/build.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "graph/weights.h"

/* ---- a table of distinct rows of doubles, told apart bit by bit (0.0 and -0.0 are two), numbered as they came ---- */

/* A place of the hash table: the row's number (EMPTY: none) beside the half of its hash that says whether a look
 * at the row is worth it. */
typedef struct table_slot {
    uint32_t id, tag;
} table_slot;

typedef struct table {
    size_t width;      /* doubles in a row, at least 1 */
    size_t n;          /* rows */
    double *rows;      /* n x width */
    size_t capacity;   /* rows that fit `rows` */
    table_slot *slots; /* open addressing, at most half full */
    size_t n_slots;    /* a power of two */
} table;

#define EMPTY UINT32_MAX

/* Multiply and fold the 128-bit product: every bit of the input reaches the low bits that choose the slot. */
static uint64_t mix(uint64_t a, uint64_t b) {
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hash_row(const double *row, size_t width) {
    uint64_t h = 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < width; i++) {
        uint64_t bits;
        memcpy(&bits, &row[i], sizeof bits);
        h = mix(h ^ bits, 0xd6e8feb86659fd93u);
        h += 0xa0761d6478bd642fu;
    }
    return mix(h, 0xe7037ed1a0b428dbu);
}

static bool is_equal(const double *a, const double *b, size_t width) {
    uint64_t difference = 0;
    for (size_t i = 0; i < width; i++) {
        uint64_t x, y;
        memcpy(&x, &a[i], sizeof x);
        memcpy(&y, &b[i], sizeof y);
        difference |= x ^ y;
    }
    return difference == 0;
}

/* The slot that holds `row`, or the empty one where it belongs. */
static size_t find_slot(const table *t, const double *row, uint64_t hash) {
    size_t mask = t->n_slots - 1;
    size_t at = (size_t)hash & mask;
    uint32_t tag = (uint32_t)(hash >> 32);
    for (;; at = (at + 1) & mask) {
        table_slot slot = t->slots[at];
        if (slot.id == EMPTY || (slot.tag == tag && is_equal(t->rows + slot.id * t->width, row, t->width))) {
            return at;
        }
    }
}

static pm_status grow_slots(table *t, pm_error *err) {
    size_t n_slots = 64;
    if (t->n_slots != 0 && !pmi_mul(t->n_slots, 2, &n_slots)) {
        return pmi_fail_memory(err, "the table of weights", SIZE_MAX);
    }
    table_slot *slots;
    PM_TRY(PM_NEW(&slots, n_slots, "the table of weights", err));
    memset(slots, 0xff, n_slots * sizeof *slots);
    for (size_t i = 0; i < t->n; i++) {
        uint64_t hash = hash_row(t->rows + i * t->width, t->width);
        size_t at = (size_t)hash & (n_slots - 1);
        while (slots[at].id != EMPTY) {
            at = (at + 1) & (n_slots - 1);
        }
        slots[at] = (table_slot){.id = (uint32_t)i, .tag = (uint32_t)(hash >> 32)};
    }
    free(t->slots);
    t->slots = slots;
    t->n_slots = n_slots;
    return PM_OK;
}

/* The number of the row equal to `row` (width doubles), added if it is new. */
static pm_status intern(table *t, const double *row, uint32_t *id, pm_error *err) {
    if (t->n >= t->n_slots / 2) {
        PM_TRY(grow_slots(t, err));
    }
    uint64_t hash = hash_row(row, t->width);
    size_t at = find_slot(t, row, hash);
    if (t->slots[at].id == EMPTY) {
        if (t->n >= EMPTY - 1) {
            return pmi_fail(err, PM_EDATA, "more than %u distinct weights", EMPTY - 1);
        }
        PM_TRY(pmi_grow(&t->rows, &t->capacity, t->n + 1, t->width * sizeof *row, "the table of weights", err));
        memcpy(t->rows + t->n * t->width, row, t->width * sizeof *row);
        t->slots[at] = (table_slot){.id = (uint32_t)t->n++, .tag = (uint32_t)(hash >> 32)};
    }
    *id = t->slots[at].id;
    return PM_OK;
}

/* EMPTY where there is none. */
static uint32_t find_row(const table *t, const double *row) {
    return t->n == 0 ? EMPTY : t->slots[find_slot(t, row, hash_row(row, t->width))].id;
}

static void free_table(table *t) {
    free(t->rows);
    free(t->slots);
    *t = (table){.width = t->width};
}

/* The arrays of the file, in the order in which the graph keeps them. */
typedef enum list_kind { LIST_PLAIN, LIST_CONSTANT, LIST_PARAM, LIST_START, LIST_START_PARAM, N_LISTS } list_kind;
#define N_EDGE_LISTS 3

static const char *const list_names[N_LISTS] = {"edges", "constant_edges", "param_edges", "start_edges",
                                                "start_param_edges"};

/* A growable array of numbers. */
typedef struct numbers {
    uint32_t *at;
    size_t capacity;
} numbers;

typedef struct list {
    size_t n;
    numbers from, to, weight; /* starts leave `from` empty; weights are rows of the list's table */
} list;

struct pm_builder {
    uint32_t state_length, n_params;
    bool is_discrete, is_kind_given, normalizes_rows;
    uint32_t n_vertices;
    int32_t *states;
    size_t states_capacity;
    list lists[N_LISTS];
    table constants; /* width 1: of edges, constant_edges, start_edges */
    table params;    /* width 1+P: of param_edges, start_param_edges */
};

static bool is_param_list(list_kind kind) {
    return kind == LIST_PARAM || kind == LIST_START_PARAM;
}

/* ---- making and emptying ------------------------------------------------------------------------------- */

pm_status pmi_builder_new(uint32_t state_length, uint32_t n_params, bool is_discrete, pm_builder **out, pm_error *err) {
    *out = NULL;
    pm_builder *b;
    PM_TRY(PM_ZEROS(&b, 1, "a graph builder", err));
    b->state_length = state_length;
    b->is_discrete = is_discrete;
    b->is_kind_given = true;
    b->constants.width = 1;
    pm_status st = pmi_builder_set_params(b, n_params, err);
    if (st != PM_OK) {
        pmi_builder_free(b);
        b = NULL;
    }
    *out = b;
    return st;
}

static void empty_builder(pm_builder *b) {
    free(b->states);
    b->states = NULL;
    b->states_capacity = 0;
    b->n_vertices = 0;
    for (int k = 0; k < N_LISTS; k++) {
        free(b->lists[k].from.at);
        free(b->lists[k].to.at);
        free(b->lists[k].weight.at);
        b->lists[k] = (list){0};
    }
    free_table(&b->constants);
    free_table(&b->params);
}

void pmi_builder_free(pm_builder *b) {
    if (b != NULL) {
        empty_builder(b);
        free(b);
    }
}

pm_status pmi_builder_set_state_length(pm_builder *b, uint32_t state_length, pm_error *err) {
    if (b->n_vertices != 0 && state_length != b->state_length) {
        return pmi_fail(err, PM_ESOFTWARE, "the state length was set to %u after states of length %u", state_length,
                        b->state_length);
    }
    b->state_length = state_length;
    return PM_OK;
}

pm_status pmi_builder_set_params(pm_builder *b, uint32_t n_params, pm_error *err) {
    if (n_params > PM_MAX_PARAMS) {
        return pmi_fail(err, PM_EDATA, "%u parameters; expected at most %d", n_params, PM_MAX_PARAMS);
    }
    if (b->params.n != 0 && n_params != b->n_params) {
        return pmi_fail(err, PM_ESOFTWARE, "the number of parameters was set to %u after rows with %u", n_params,
                        b->n_params);
    }
    b->n_params = n_params;
    b->params.width = 1 + (size_t)n_params;
    return PM_OK;
}

void pmi_builder_set_kind(pm_builder *b, bool is_discrete, bool is_given, bool normalizes_rows) {
    b->is_discrete = is_discrete;
    b->is_kind_given = is_given;
    b->normalizes_rows = normalizes_rows;
}

/* ---- adding rows --------------------------------------------------------------------------------------- */

pm_status pmi_builder_state(pm_builder *b, const int32_t *state, uint32_t *row, pm_error *err) {
    if (b->n_vertices >= PM_NONE - 1) {
        return pmi_fail(err, PM_EDATA, "states: more than %u rows", PM_NONE - 1);
    }
    size_t length = b->state_length, need;
    if (!pmi_mul((size_t)b->n_vertices + 1, length, &need)) {
        return pmi_fail_memory(err, "states", SIZE_MAX);
    }
    PM_TRY(PM_GROW(&b->states, &b->states_capacity, need, "states", err));
    if (length > 0) {
        memcpy(b->states + b->n_vertices * length, state, length * sizeof *state);
    }
    if (row != NULL) {
        *row = b->n_vertices;
    }
    b->n_vertices++;
    return PM_OK;
}

static pm_status push(numbers *a, size_t n, uint32_t value, const char *what, pm_error *err) {
    if (n == a->capacity) {
        PM_TRY(PM_GROW(&a->at, &a->capacity, n + 1, what, err));
    }
    a->at[n] = value;
    return PM_OK;
}

static pm_status bad_coef(const pm_builder *b, list_kind kind, const double *coef, size_t n_params, pm_error *err) {
    size_t row = b->lists[kind].n;
    for (size_t k = 0; k <= n_params; k++) {
        if (!isfinite(coef[k])) {
            char name[32] = "weight";
            if (n_params > 0) {
                snprintf(name, sizeof name, k == 0 ? "base weight" : "coefficient %zu", k);
            }
            return pmi_fail(err, PM_EDATA, "%s row %zu: the %s is %g; expected a finite number", list_names[kind], row,
                            name, coef[k]);
        }
    }
    return pmi_fail(err, PM_EDATA, "%s row %zu: the weight is %.17g at every theta; expected 0 or more",
                    list_names[kind], row, coef[0]);
}

/* Values of a row that are wrong whatever the rest of the graph is. */
static pm_status check_coef(const pm_builder *b, list_kind kind, const double *coef, pm_error *err) {
    size_t n_params = is_param_list(kind) ? b->n_params : 0;
    bool is_finite = isfinite(coef[0]), is_constant = true;
    for (size_t k = 1; k <= n_params; k++) {
        is_finite = is_finite && isfinite(coef[k]);
        is_constant = is_constant && coef[k] == 0.0;
    }
    return is_finite && !(is_constant && coef[0] < 0.0) ? PM_OK : bad_coef(b, kind, coef, n_params, err);
}

static pm_status add_row(pm_builder *b, list_kind kind, uint32_t from, uint32_t to, const double *coef, pm_error *err) {
    list *l = &b->lists[kind];
    uint32_t weight;
    PM_TRY(check_coef(b, kind, coef, err));
    PM_TRY(intern(is_param_list(kind) ? &b->params : &b->constants, coef, &weight, err));
    if (kind < N_EDGE_LISTS) {
        PM_TRY(push(&l->from, l->n, from, list_names[kind], err));
    }
    PM_TRY(push(&l->to, l->n, to, list_names[kind], err));
    PM_TRY(push(&l->weight, l->n, weight, list_names[kind], err));
    l->n++;
    return PM_OK;
}

pm_status pmi_builder_edge(pm_builder *b, pm_edge_kind kind, uint32_t from, uint32_t to, const double *coef,
                           pm_error *err) {
    static const list_kind lists[] = {
        [PM_EDGE_PLAIN] = LIST_PLAIN, [PM_EDGE_CONSTANT] = LIST_CONSTANT, [PM_EDGE_PARAM] = LIST_PARAM};
    return add_row(b, lists[kind], from, to, coef, err);
}

pm_status pmi_builder_start(pm_builder *b, bool is_param, uint32_t to, const double *coef, pm_error *err) {
    return add_row(b, is_param ? LIST_START_PARAM : LIST_START, PM_NONE, to, coef, err);
}

/* ---- checks of the whole graph ------------------------------------------------------------------------- */

static pm_status out_of_range(const pm_builder *b, list_kind kind, size_t row, const char *column, uint32_t found,
                              pm_error *err) {
    return pmi_fail(err, PM_EDATA, "%s row %zu: %s is %u; expected a row of states, 0 to %u", list_names[kind], row,
                    column, found, b->n_vertices - 1);
}

static pm_status check_ranges(const pm_builder *b, list_kind kind, pm_error *err) {
    const list *l = &b->lists[kind];
    for (size_t i = 0; i < l->n; i++) {
        if (kind < N_EDGE_LISTS && l->from.at[i] >= b->n_vertices) {
            return out_of_range(b, kind, i, "from", l->from.at[i], err);
        }
        if (l->to.at[i] >= b->n_vertices) {
            return out_of_range(b, kind, i, "to", l->to.at[i], err);
        }
    }
    return PM_OK;
}

/* Row 0 is the start vertex when its state is all zero and nothing but the start distribution leaves it. */
static bool has_start_vertex(const pm_builder *b) {
    for (size_t i = 0; i < b->state_length; i++) {
        if (b->states[i] != 0) {
            return false;
        }
    }
    for (int k = 0; k < N_EDGE_LISTS; k++) {
        for (size_t i = 0; i < b->lists[k].n; i++) {
            if (b->lists[k].from.at[i] == 0) {
                return false;
            }
        }
    }
    return true;
}

static pm_status check_start_vertex(const pm_builder *b, pm_error *err) {
    for (int k = 0; k < N_LISTS; k++) {
        const list *l = &b->lists[k];
        for (size_t i = 0; i < l->n; i++) {
            if (l->to.at[i] != 0) {
                continue;
            }
            char from[32] = "";
            if (k < N_EDGE_LISTS) {
                snprintf(from, sizeof from, " from row %u", l->from.at[i]);
            }
            return pmi_fail(
                err, PM_EDATA,
                "%s row %zu: leads%s into row 0, which is the start vertex (all-zero state, no edges leaving "
                "it) and must not be entered; if row 0 is a state of the chain, put a start vertex before it "
                "and number the rows anew, else let the edge lead to another row",
                list_names[k], i, from);
        }
    }
    return PM_OK;
}

static pm_status check_self_loops(const pm_builder *b, pm_error *err) {
    for (int k = 0; k < N_EDGE_LISTS; k++) {
        const list *l = &b->lists[k];
        for (size_t i = 0; i < l->n; i++) {
            if (l->from.at[i] == l->to.at[i]) {
                return pmi_fail(err, PM_EDATA,
                                "%s row %zu: leads from row %u to itself; a continuous graph has no self-loops: remove "
                                "the edge, or set is_discrete to true if weights are probabilities of a step",
                                list_names[k], i, l->from.at[i]);
            }
        }
    }
    return PM_OK;
}

static pm_status check_graph(const pm_builder *b, bool *has_start, pm_error *err) {
    if (b->n_vertices == 0) {
        return pmi_fail(err, PM_EDATA, "states: no rows; expected at least one state");
    }
    if (b->normalizes_rows && !b->is_discrete) {
        return pmi_fail(err, PM_EDATA,
                        "was_dph is true and is_discrete false; expected is_discrete true: weights that are divided by "
                        "the sum of their row are probabilities of a step");
    }
    for (int k = 0; k < N_LISTS; k++) {
        PM_TRY(check_ranges(b, (list_kind)k, err));
    }
    if (b->lists[LIST_START].n + b->lists[LIST_START_PARAM].n == 0) {
        return pmi_fail(err, PM_EDATA,
                        "start_edges: no rows, and none in start_param_edges; expected the start distribution, rows of "
                        "[to, probability]");
    }
    *has_start = has_start_vertex(b);
    PM_TRY(*has_start ? check_start_vertex(b, err) : PM_OK);
    return b->is_discrete ? PM_OK : check_self_loops(b, err);
}

/* ---- handing over -------------------------------------------------------------------------------------- */

/* Numbers the weights anew in the order of first use in the file's own order of arrays: the graph and its digest are
 * the same in whatever order the rows came in. */
typedef struct merge {
    const table *constants, *params;
    uint32_t *constant_ids, *param_ids; /* new numbers of the rows of both tables, PM_NONE where not seen yet */
    double *rows;                       /* n x (1+P) */
    size_t n;
    double *wide; /* 1+P: a constant and zeros */
} merge;

/* A row of zero coefficients and a constant are the same weight if their bits are. */
static bool is_constant_row(const double *row, size_t width) {
    uint64_t bits = 0;
    for (size_t i = 1; i < width; i++) {
        uint64_t b;
        memcpy(&b, &row[i], sizeof b);
        bits |= b;
    }
    return bits == 0;
}

static void number_constant(merge *m, uint32_t id) {
    size_t width = m->params->width;
    m->constant_ids[id] = (uint32_t)m->n;
    m->wide[0] = m->constants->rows[id];
    uint32_t twin = find_row(m->params, m->wide);
    if (twin != PM_NONE) {
        m->param_ids[twin] = (uint32_t)m->n;
    }
    memcpy(m->rows + m->n++ * width, m->wide, width * sizeof *m->wide);
}

static void number_params(merge *m, uint32_t id) {
    size_t width = m->params->width;
    const double *row = m->params->rows + id * width;
    m->param_ids[id] = (uint32_t)m->n;
    uint32_t twin = is_constant_row(row, width) ? find_row(m->constants, row) : PM_NONE;
    if (twin != PM_NONE) {
        m->constant_ids[twin] = (uint32_t)m->n;
    }
    memcpy(m->rows + m->n++ * width, row, width * sizeof *row);
}

static void renumber(merge *m, const list *l, bool is_param) {
    uint32_t *ids = is_param ? m->param_ids : m->constant_ids;
    for (size_t i = 0; i < l->n; i++) {
        uint32_t *w = &l->weight.at[i];
        if (ids[*w] == PM_NONE) {
            (is_param ? number_params : number_constant)(m, *w);
        }
        *w = ids[*w];
    }
}

static pm_status merge_tables(pm_builder *b, pm_graph *g, pm_error *err) {
    merge m = {.constants = &b->constants, .params = &b->params};
    size_t most = b->constants.n + b->params.n;
    pm_status st = PM_OK;
    m.constant_ids = pmi_malloc(most, sizeof *m.constant_ids);
    m.wide = pmi_calloc(b->params.width, sizeof *m.wide);
    m.rows = pmi_malloc(most, b->params.width * sizeof *m.rows);
    if (m.constant_ids == NULL || m.wide == NULL || m.rows == NULL) {
        st = pmi_fail_memory(err, "the table of weights", most * b->params.width * sizeof *m.rows);
    } else if (most >= PM_NONE) {
        st = pmi_fail(err, PM_EDATA, "%zu distinct weights; expected at most %u", most, PM_NONE - 1);
    } else {
        memset(m.constant_ids, 0xff, most * sizeof *m.constant_ids);
        m.param_ids = m.constant_ids + b->constants.n;
        for (int k = 0; k < N_LISTS; k++) {
            renumber(&m, &b->lists[k], is_param_list((list_kind)k));
        }
        g->n_weights = m.n;
        g->weights = m.rows;
        m.rows = NULL;
    }
    free(m.constant_ids);
    free(m.wide);
    free(m.rows);
    return st;
}

/* Puts the numbers of `n_lists` lists one after the other and hands them over; each list's own are freed on the way,
 * so that the copy never needs more than one more list. */
static pm_status join(numbers *parts[], const size_t counts[], int n_lists, uint32_t **out, pm_error *err) {
    numbers all = *parts[0];
    *parts[0] = (numbers){0};
    size_t n = counts[0];
    for (int k = 1; k < n_lists; k++) {
        if (counts[k] == 0) {
            continue;
        }
        if (!pmi_reserve((void **)&all.at, &all.capacity, n + counts[k], sizeof *all.at)) {
            free(all.at);
            return pmi_fail_memory(err, "edges", (n + counts[k]) * sizeof *all.at);
        }
        memcpy(all.at + n, parts[k]->at, counts[k] * sizeof *all.at);
        n += counts[k];
        free(parts[k]->at);
        *parts[k] = (numbers){0};
    }
    *out = all.at;
    return PM_OK;
}

typedef enum column { COLUMN_FROM, COLUMN_TO, COLUMN_WEIGHT } column;

static pm_status join_column(pm_builder *b, int first, int n_lists, column which, uint32_t **out, pm_error *err) {
    numbers *parts[N_EDGE_LISTS];
    size_t counts[N_EDGE_LISTS];
    for (int k = 0; k < n_lists; k++) {
        list *l = &b->lists[first + k];
        parts[k] = which == COLUMN_FROM ? &l->from : which == COLUMN_TO ? &l->to : &l->weight;
        counts[k] = l->n;
    }
    return join(parts, counts, n_lists, out, err);
}

/* Gives back the unused half of a doubled array; one that cannot be moved stays as it is. */
static void *trim(void *array, size_t count, size_t size) {
    size_t bytes = count * size;
    void *moved = realloc(array, bytes == 0 ? 1 : bytes);
    return moved == NULL ? array : moved;
}

static void trim_graph(pm_graph *g) {
    g->states = trim(g->states, (size_t)g->n_vertices * g->state_length, sizeof *g->states);
    g->from = trim(g->from, g->n_edges, sizeof *g->from);
    g->to = trim(g->to, g->n_edges, sizeof *g->to);
    g->weight = trim(g->weight, g->n_edges, sizeof *g->weight);
    g->start_to = trim(g->start_to, g->n_starts, sizeof *g->start_to);
    g->start_weight = trim(g->start_weight, g->n_starts, sizeof *g->start_weight);
    g->weights = trim(g->weights, g->n_weights * (1 + (size_t)g->n_params), sizeof *g->weights);
}

static void move_sizes(const pm_builder *b, pm_graph *g) {
    g->n_vertices = b->n_vertices;
    g->state_length = b->state_length;
    g->n_params = b->n_params;
    g->is_discrete = b->is_discrete;
    g->is_kind_given = b->is_kind_given;
    g->normalizes_rows = b->normalizes_rows;
    g->n_plain = b->lists[LIST_PLAIN].n;
    g->n_constant = b->lists[LIST_CONSTANT].n;
    g->n_edges = g->n_plain + g->n_constant + b->lists[LIST_PARAM].n;
    g->n_start_plain = b->lists[LIST_START].n;
    g->n_starts = g->n_start_plain + b->lists[LIST_START_PARAM].n;
}

static pm_status move_arrays(pm_builder *b, pm_graph *g, pm_error *err) {
    uint32_t **edge_columns[] = {&g->from, &g->to, &g->weight};
    PM_TRY(merge_tables(b, g, err));
    for (int c = COLUMN_FROM; c <= COLUMN_WEIGHT; c++) {
        PM_TRY(join_column(b, LIST_PLAIN, N_EDGE_LISTS, (column)c, edge_columns[c], err));
    }
    PM_TRY(join_column(b, LIST_START, 2, COLUMN_TO, &g->start_to, err));
    PM_TRY(join_column(b, LIST_START, 2, COLUMN_WEIGHT, &g->start_weight, err));
    g->states = b->states;
    b->states = NULL;
    trim_graph(g);
    return PM_OK;
}

pm_status pmi_builder_finish(pm_builder *b, pm_graph **out, pm_error *err) {
    *out = NULL;
    bool has_start = false;
    pm_graph *g = NULL;
    pm_status st = check_graph(b, &has_start, err);
    PM_THEN(st, PM_ZEROS(&g, 1, "a graph", err));
    if (st == PM_OK) {
        move_sizes(b, g);
        g->has_start = has_start;
        st = move_arrays(b, g, err);
    }
    PM_THEN(st, g->normalizes_rows ? pmi_normalize_prepare(g, err) : PM_OK);
    PM_THEN(st, pmi_graph_digest(g, g->digest, err));
    empty_builder(b);
    if (st != PM_OK) {
        pm_graph_free(g);
        g = NULL;
    }
    *out = g;
    return st;
}
