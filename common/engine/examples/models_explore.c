#include "examples/models_explore.h"

#include <string.h>

#include "base/mem.h"
#include "base/random.h"

/* The rows found so far, and an open-addressed table from state to row. A slot keeps half of the state's hash, so that
 * the states themselves are compared about once a look-up. */
typedef struct pm_slot {
    uint32_t row; /* PM_NONE: empty */
    uint32_t tag;
} pm_slot;

enum { MAX_CHANGED = 8 };

struct pm_explored {
    uint32_t length, n_params;
    pm_builder *builder;
    uint32_t from;           /* row being expanded */
    int32_t *state, *target; /* length: of the row being expanded, of the edge being made */
    uint64_t state_sum, target_sum;
    uint32_t changed[MAX_CHANGED]; /* positions in which target may differ from state */
    size_t n_changed;              /* beyond MAX_CHANGED: anywhere */
    uint32_t n_rows;               /* row 0, the start vertex, is in `states` but never in the table */
    int32_t *states;               /* n_rows x length */
    size_t capacity;               /* in values */
    uint64_t *multiplier;          /* length: of the hash */
    pm_slot *slots;
    size_t n_slots;    /* a power of two, at most half of them taken */
    double *coef;      /* 1 + n_params: zero but while an edge is added */
    uint32_t *support; /* length: positions of the values of `state` that are not zero */
    pm_pool pool;      /* of the arrays of one state */
};

/* Multilinear hashing (Lemire and Kaser 2014, "Strongly universal string hashing is fast"): the sum changes with a
 * value without looking at the others. One mixing step makes the low bits, which choose the slot, depend on all of it.
 */
static uint64_t sum_state(const struct pm_explored *e, const int32_t *state) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < e->length; i++) {
        sum += e->multiplier[i] * (uint64_t)(int64_t)state[i];
    }
    return sum;
}

static uint64_t finish_hash(uint64_t sum) {
    pm_random r = {.state = sum};
    return pmi_random_next(&r);
}

static void put(pm_slot *slots, size_t n_slots, uint64_t hash, uint32_t row) {
    size_t at = (size_t)hash & (n_slots - 1);
    while (slots[at].row != PM_NONE) {
        at = (at + 1) & (n_slots - 1);
    }
    slots[at] = (pm_slot){.row = row, .tag = (uint32_t)(hash >> 32)};
}

static pm_status grow_table(struct pm_explored *e, size_t n_slots, pm_error *err) {
    pm_slot *slots;
    PM_TRY(PM_NEW(&slots, n_slots, "the table of states", err));
    memset(slots, 0xff, n_slots * sizeof *slots); /* every row PM_NONE */
    for (uint32_t row = 1; row < e->n_rows; row++) {
        put(slots, n_slots, finish_hash(sum_state(e, e->states + (size_t)row * e->length)), row);
    }
    free(e->slots);
    e->slots = slots;
    e->n_slots = n_slots;
    return PM_OK;
}

static pm_status add_row(struct pm_explored *e, const int32_t *state, pm_error *err) {
    if (e->n_rows >= PM_NONE - 1) {
        return pmi_fail(
            err, PM_EUSAGE,
            "the model has more than %u states, which is as many as a graph can have; use smaller arguments",
            PM_NONE - 1);
    }
    size_t used = (size_t)e->n_rows * e->length;
    PM_TRY(PM_GROW(&e->states, &e->capacity, used + e->length, "the states of the model", err));
    memcpy(e->states + used, state, e->length * sizeof *state);
    e->n_rows++;
    return pmi_builder_state(e->builder, state, NULL, err);
}

/* The row of `target`, whose hash is `target_sum`. */
static pm_status find_or_add(struct pm_explored *e, uint32_t *row, pm_error *err) {
    uint64_t hash = finish_hash(e->target_sum);
    size_t at = (size_t)hash & (e->n_slots - 1);
    size_t bytes = e->length * sizeof *e->target;
    for (; e->slots[at].row != PM_NONE; at = (at + 1) & (e->n_slots - 1)) {
        const pm_slot *slot = &e->slots[at];
        if (slot->tag == (uint32_t)(hash >> 32) &&
            memcmp(e->states + (size_t)slot->row * e->length, e->target, bytes) == 0) {
            *row = slot->row;
            return PM_OK;
        }
    }
    *row = e->n_rows;
    PM_TRY(add_row(e, e->target, err));
    e->slots[at] = (pm_slot){.row = *row, .tag = (uint32_t)(hash >> 32)};
    return e->n_rows > e->n_slots / 2 ? grow_table(e, e->n_slots * 2, err) : PM_OK;
}

void pmi_explorer_change(pm_explorer *x, uint32_t position, int32_t delta) {
    struct pm_explored *e = x->explored;
    e->target[position] += delta;
    e->target_sum += e->multiplier[position] * (uint64_t)(int64_t)delta;
    if (e->n_changed < MAX_CHANGED) {
        e->changed[e->n_changed] = position;
    }
    e->n_changed++;
}

/* Makes the target a copy of the state. */
static void undo_changes(struct pm_explored *e) {
    if (e->n_changed > MAX_CHANGED) {
        memcpy(e->target, e->state, e->length * sizeof *e->target);
    } else {
        for (size_t i = 0; i < e->n_changed; i++) {
            e->target[e->changed[i]] = e->state[e->changed[i]];
        }
    }
    e->target_sum = e->state_sum;
    e->n_changed = 0;
}

pm_status pmi_explorer_edge(pm_explorer *x, uint32_t param, double coef, pm_error *err) {
    struct pm_explored *e = x->explored;
    uint32_t to;
    pm_status status = find_or_add(e, &to, err);
    if (status == PM_OK) {
        e->coef[1 + param] = coef;
        status = pmi_builder_edge(e->builder, PM_EDGE_PARAM, e->from, to, e->coef, err);
        e->coef[1 + param] = 0;
    }
    undo_changes(e);
    return status;
}

/* Makes a state the one to expand. */
static void set_state(struct pm_explored *e, const int32_t *state) {
    memcpy(e->state, state, e->length * sizeof *state);
    memcpy(e->target, state, e->length * sizeof *state);
    e->state_sum = e->target_sum = sum_state(e, state);
    e->n_changed = 0;
}

static pm_status allocate(struct pm_explored *e, pm_error *err) {
    enum { FIRST_SLOTS = 1024 };
    e->state = pmi_pool_zeros(&e->pool, e->length, sizeof *e->state);
    e->target = pmi_pool_array(&e->pool, e->length, sizeof *e->target);
    e->support = pmi_pool_array(&e->pool, e->length, sizeof *e->support);
    e->multiplier = pmi_pool_array(&e->pool, e->length, sizeof *e->multiplier);
    e->coef = pmi_pool_zeros(&e->pool, (size_t)e->n_params + 1, sizeof *e->coef);
    PM_TRY(pmi_pool_check(&e->pool, err, "one state of the model", e->length * sizeof *e->multiplier));
    pm_random r = {0};
    for (uint32_t i = 0; i < e->length; i++) {
        e->multiplier[i] = pmi_random_next(&r) | 1;
    }
    PM_TRY(pmi_builder_new(e->length, e->n_params, false, &e->builder, err));
    return grow_table(e, FIRST_SLOTS, err);
}

/* The start vertex, whose state is all zero as allocated, and the initial state. */
static pm_status begin(struct pm_explored *e, const int32_t *initial, pm_error *err) {
    uint32_t first;
    const double one = 1;
    PM_TRY(allocate(e, err));
    PM_TRY(add_row(e, e->state, err));
    set_state(e, initial);
    PM_TRY(find_or_add(e, &first, err));
    return pmi_builder_start(e->builder, false, first, &one, err);
}

/* Rows are appended while this runs: the queue of the breadth-first search is the array of rows itself. */
static pm_status expand_all(struct pm_explored *e, pm_expand expand, const void *model, pm_error *err) {
    for (e->from = 1; e->from < e->n_rows; e->from++) {
        set_state(e, e->states + (size_t)e->from * e->length);
        pm_explorer x = {.state = e->state, .support = e->support, .explored = e};
        for (uint32_t i = 0; i < e->length; i++) {
            if (e->state[i] != 0) {
                e->support[x.n_support++] = i;
            }
        }
        PM_TRY(expand(model, &x, err));
    }
    return PM_OK;
}

pm_status pmi_explore(uint32_t state_length, uint32_t n_params, const int32_t *initial, pm_expand expand,
                      const void *model, pm_graph **out, pm_error *err) {
    struct pm_explored e = {.length = state_length, .n_params = n_params};
    *out = NULL;
    pm_status status = begin(&e, initial, err);
    PM_THEN(status, expand_all(&e, expand, model, err));
    free(e.slots); /* before the graph is finished, which needs memory of its own */
    free(e.states);
    PM_THEN(status, pmi_builder_finish(e.builder, out, err));
    pmi_builder_free(e.builder);
    pmi_pool_free(&e.pool);
    return status;
}
