#include "trace/span.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

/* Of weights that are all alike, and of different ones by the square root of their number. */
#define LIMIT 500.0
#define MIXED_LIMIT 50.0
/* Roundings that a term of a sum adds: of an edge, and of an entry of the trace, where elimination makes terms of all
 * sizes. Measured: a star of 10^4 leaves of equal rates 0.4 and a complete graph of 1,000 states 0.03 for each term. */
#define TERM 0.4
#define FILL_TERM 0.05
/* An SCC of so many states with so few edges inside for each of them is a ring, a walk or a tree: what passes through
 * it is a product of as many factors, whatever the order of elimination. Measured: rings of 1,913 states err
 * by 1.3e-13. */
#define THIN_STATES 500
#define THIN_EDGES 2.0

/* Roundings from position `at` on; those of larger positions of its SCC and of smaller SCCs are known. A state by
 * itself takes its longest way, as the others may have no weight at some theta. What goes on in an SCC takes each way
 * alike, but for those that absorb, for the same reason. */
static double roundings(const pm_program *p, const pm_component *c, uint32_t at, const double *span) {
    size_t ways = p->exit_row[at + 1] - p->exit_row[at];
    double sum = 0, most = 0, terms = TERM * (double)(ways + p->absorb_row[at + 1] - p->absorb_row[at]);
    for (size_t e = p->exit_row[at]; e < p->exit_row[at + 1]; e++) {
        sum += span[p->exit_to[e]];
        most = fmax(most, span[p->exit_to[e]]);
    }
    if (c->plan == NULL) {
        return 1 + terms + most;
    }
    const pm_trace *t = &c->plan->trace;
    uint32_t j = at - c->first;
    size_t inside = t->u_row[j + 1] - t->u_row[j];
    for (size_t i = t->u_row[j]; i < t->u_row[j + 1]; i++) {
        sum += span[c->first + t->u[i]];
    }
    ways += inside;
    terms += TERM * (double)(p->inner_row[at + 1] - p->inner_row[at]);
    terms += FILL_TERM * (double)(inside + t->l_row[j + 1] - t->l_row[j]);
    return 1 + terms + (ways == 0 ? 0 : sum / (double)ways);
}

static double longest(const pm_program *p, double *span) {
    double most = 0;
    for (uint32_t i = 0; i < p->n_components; i++) {
        const pm_component *c = &p->components[i];
        for (uint32_t at = c->first + c->n; at-- > c->first;) {
            span[at] = roundings(p, c, at, span);
            most = span[at] > most ? span[at] : most;
        }
    }
    return most;
}

static bool has_thin_scc(const pm_program *p) {
    for (uint32_t i = 0; i < p->n_components; i++) {
        const pm_component *c = &p->components[i];
        double edges = (double)(p->inner_row[c->first + c->n] - p->inner_row[c->first]);
        if (c->n >= THIN_STATES && edges <= THIN_EDGES * c->n) {
            return true;
        }
    }
    return false;
}

typedef struct weight_row {
    const double *coef;
    size_t n;
    int exponent;
} weight_row;

static int compare(const void *a, const void *b) {
    const weight_row *x = a, *y = b;
    for (size_t i = 0; i < x->n; i++) {
        double u = ldexp(x->coef[i], -x->exponent), v = ldexp(y->coef[i], -y->exponent);
        if (u != v) {
            return u < v ? -1 : 1;
        }
    }
    return 0;
}

/* Weights of edges of states that are reached, less those that are a power of two times another. */
static size_t count_weights(const pm_graph *g, const pm_program *p, weight_row *row, bool *used) {
    size_t width = 1 + (size_t)g->n_params, n = 0, count = 1;
    for (size_t e = 0; e < g->n_edges; e++) {
        used[g->weight[e]] = used[g->weight[e]] || p->position[g->from[e]] != PM_NONE;
    }
    for (size_t w = 0; w < g->n_weights; w++) {
        if (!used[w]) {
            continue;
        }
        row[n] = (weight_row){.coef = g->weights + w * width, .n = width};
        for (size_t i = width; i-- > 0;) {
            if (row[n].coef[i] != 0) {
                frexp(row[n].coef[i], &row[n].exponent);
            }
        }
        n++;
    }
    qsort(row, n, sizeof *row, compare);
    for (size_t i = 1; i < n; i++) {
        count += compare(&row[i - 1], &row[i]) != 0;
    }
    return count;
}

pm_status pmi_program_judge(const pm_graph *graph, pm_program *program, pm_error *err) {
    double *span = pmi_malloc(program->n, sizeof *span);
    weight_row *row = pmi_malloc(graph->n_weights, sizeof *row);
    bool *used = pmi_calloc(graph->n_weights, sizeof *used);
    pm_status st = PM_OK;
    if (span == NULL || row == NULL || used == NULL) {
        st = pmi_fail_memory(err, "the judgement of a program", program->n * sizeof *span);
    } else {
        double most = longest(program, span);
        program->is_long =
            has_thin_scc(program) ||
            (most > LIMIT && most > MIXED_LIMIT * sqrt((double)count_weights(graph, program, row, used)));
    }
    free(span);
    free(row);
    free(used);
    return st;
}
