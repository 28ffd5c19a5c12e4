#include "trace/record.h"

#include <string.h>

#include "base/mem.h"
#include "base/random.h"
#include "trace/order.h"
#include "trace/symbolic.h"

/* Where each kind of order pays. In a small SCC a Markowitz order is as good as the best of the
 * others, and found in a fraction of the time. */
#define MARKOWITZ_ALONE_STATES 64
#define MARKOWITZ_STATES 2000
#define MARKOWITZ_STATES_BEST 4000
#define DISSECTION_STATES 2000
#define DISSECTION_STATES_BEST 200

typedef struct search {
    const pm_topology *topology;
    size_t max_fill;
    uint32_t *pivot, *names;
    pm_trace best; /* empty until an order fits */
    double smallest_bound;
    pm_random random;
} search;

static size_t fill_of(const pm_trace *t) {
    return t->l_row[t->n] + t->u_row[t->n];
}

/* Without fill-in no order does better. */
static bool is_perfect(const search *s) {
    return s->best.n > 0 && fill_of(&s->best) == s->best.n_edges;
}

static pm_status try_order(search *s, pm_error *err) {
    pm_trace trace;
    bool fits;
    pm_status st = pmi_symbolic(s->topology, s->pivot, s->max_fill, &trace, &fits, err);
    if (st != PM_OK || !fits) {
        return st;
    }
    if (s->best.n == 0 || trace.flops < s->best.flops) {
        pmi_trace_free(&s->best);
        s->best = trace;
    } else {
        pmi_trace_free(&trace);
    }
    return PM_OK;
}

static pm_status try_amd(search *s, const uint32_t *names, pm_error *err) {
    double bound;
    pm_status st = pmi_order_amd(s->topology, names, s->pivot, &bound, err);
    if (st != PM_OK) {
        return st;
    }
    s->smallest_bound = bound < s->smallest_bound ? bound : s->smallest_bound;
    return bound > 4.0 * (double)s->max_fill ? PM_OK : try_order(s, err);
}

static void shuffle(search *s) {
    for (uint32_t i = s->topology->n; i-- > 1;) {
        uint32_t other = (uint32_t)(pmi_random_next(&s->random) % (i + 1));
        uint32_t name = s->names[i];
        s->names[i] = s->names[other];
        s->names[other] = name;
    }
}

static void reverse(search *s) {
    for (uint32_t i = 0; i < s->topology->n; i++) {
        s->names[i] = s->topology->n - 1 - i;
    }
}

static pm_status try_markowitz(search *s, const uint32_t *names, pm_error *err) {
    PM_TRY(pmi_order_markowitz(s->topology, names, s->pivot, err));
    return try_order(s, err);
}

static pm_status try_dissection(search *s, int seed, pm_error *err) {
    PM_TRY(pmi_order_dissection(s->topology, seed, s->pivot, err));
    return try_order(s, err);
}

static pm_status try_balanced(search *s, pm_error *err) {
    uint32_t n = s->topology->n;
    pm_status st = PM_OK;
    if (n <= MARKOWITZ_ALONE_STATES) {
        st = try_markowitz(s, NULL, err);
        /* where it does not fit, AMD has one more try, and the bound that the refusal names */
        return st == PM_OK && s->best.n == 0 ? try_amd(s, NULL, err) : st;
    }
    PM_TRY(try_amd(s, NULL, err));
    if (!is_perfect(s)) {
        reverse(s);
        PM_TRY(try_amd(s, s->names, err));
    }
    if (n <= MARKOWITZ_STATES && !is_perfect(s)) {
        PM_TRY(try_markowitz(s, NULL, err));
    }
    if (n >= DISSECTION_STATES && !is_perfect(s)) {
        PM_TRY(try_dissection(s, 1, err));
    }
    return PM_OK;
}

static pm_status try_best(search *s, pm_error *err) {
    uint32_t n = s->topology->n;
    pm_status st = PM_OK;
    if (n <= MARKOWITZ_ALONE_STATES) {
        st = try_amd(s, NULL, err);
    } else if (n <= MARKOWITZ_STATES_BEST && n > MARKOWITZ_STATES) {
        st = try_markowitz(s, NULL, err);
    }
    for (int turn = 0; turn < 8 && st == PM_OK; turn++) {
        shuffle(s);
        st = try_amd(s, s->names, err);
        if (st == PM_OK && n <= MARKOWITZ_STATES_BEST && turn < 2) {
            st = try_markowitz(s, s->names, err);
        }
        if (st == PM_OK && n >= DISSECTION_STATES_BEST && turn < 4) {
            st = try_dissection(s, turn + 2, err);
        }
    }
    return st;
}

/* One lane of a replay: both factors, and five values for each state. */
static double replay_bytes(double fill, uint32_t n) {
    return 8 * fill + 40.0 * n;
}

static pm_status does_not_fit(const search *s, size_t memory, pm_error *err) {
    uint32_t n = s->topology->n;
    double fill = s->smallest_bound;
    return pmi_fail(err, PM_EOSERR,
                    "an SCC of %u states and %zu inner edges does not fit the %zu bytes that --memory leaves to a "
                    "recording thread: its "
                    "elimination is predicted to fill in to %.3g entries, %.3g bytes of trace and %.3g bytes of replay "
                    "for each lane; give more memory, "
                    "or a model whose SCCs are smaller",
                    n, s->topology->row[n], memory, fill, 4 * fill, replay_bytes(fill, n));
}

pm_status pmi_record(const pm_canon *canon, const pm_record_options *options, pm_plan *out, pm_error *err) {
    const pm_topology *t = &canon->topology;
    *out = (pm_plan){0};
    search s = {.topology = t,
                .max_fill = options->memory / 12, /* 4 bytes of pattern and 8 of values for each entry */
                .pivot = pmi_malloc(t->n, sizeof *s.pivot),
                .names = pmi_malloc(t->n, sizeof *s.names),
                .smallest_bound = 1e300};
    pmi_random_seed(&s.random, canon->digest);
    pm_status st = PM_OK;
    if (s.pivot == NULL || s.names == NULL) {
        st = pmi_fail_memory(err, "the search for pivot orders", t->n * 8);
        goto out;
    }
    for (uint32_t i = 0; i < t->n; i++) {
        s.names[i] = i;
    }
    st = options->effort == PM_EFFORT_FAST ? try_amd(&s, NULL, err) : try_balanced(&s, err);
    if (st == PM_OK && options->effort == PM_EFFORT_BEST && !is_perfect(&s)) {
        st = try_best(&s, err);
    }
    if (st == PM_OK && s.best.n == 0) {
        st = does_not_fit(&s, options->memory, err);
    }
    if (st == PM_OK) {
        memcpy(s.best.digest, canon->digest, PM_DIGEST_BYTES);
        st = pmi_plan_new(&s.best, t, out, err);
    }
    PM_THEN(st, pmi_plan_check(out, t, options->isa, err));
out:
    free(s.pivot);
    free(s.names);
    pmi_trace_free(&s.best);
    if (st != PM_OK) {
        pmi_plan_free(out);
    }
    return st;
}
