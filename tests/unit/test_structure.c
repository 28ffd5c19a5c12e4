#include "trace/trace.h"

#include <criterion/criterion.h>
#include <string.h>

#include "digraphs.h"

#define MOST_STATES 9

/* A pattern in pivot order, dense, without its diagonal. */
typedef struct pattern {
    uint32_t n;
    bool entry[MOST_STATES][MOST_STATES];
} pattern;

/* As it is defined: where i is substituted into j, j leads to where i leads. */
static bool is_closed(const pattern *p) {
    for (uint32_t j = 0; j < p->n; j++) {
        for (uint32_t i = 0; i < j; i++) {
            for (uint32_t k = i + 1; k < p->n; k++) {
                if (p->entry[j][i] && p->entry[i][k] && k != j && !p->entry[j][k]) {
                    return false;
                }
            }
        }
    }
    return true;
}

static void close_pattern(pattern *p) {
    for (uint32_t i = 0; i < p->n; i++) {
        for (uint32_t j = i + 1; j < p->n; j++) {
            for (uint32_t k = i + 1; k < p->n; k++) {
                p->entry[j][k] |= p->entry[j][i] && p->entry[i][k] && k != j;
            }
        }
    }
}

static pm_status check(const pattern *p, pm_error *err) {
    uint32_t pivot[MOST_STATES], l[MOST_STATES * MOST_STATES], u[MOST_STATES * MOST_STATES];
    size_t l_row[MOST_STATES + 1] = {0}, u_row[MOST_STATES + 1] = {0};
    for (uint32_t j = 0; j < p->n; j++) {
        pivot[j] = j;
        l_row[j + 1] = l_row[j];
        u_row[j + 1] = u_row[j];
        for (uint32_t k = 0; k < p->n; k++) {
            if (p->entry[j][k] && k < j) {
                l[l_row[j + 1]++] = k;
            } else if (p->entry[j][k]) {
                u[u_row[j + 1]++] = k;
            }
        }
    }
    size_t fill = l_row[p->n] + u_row[p->n];
    pm_trace trace = {
        .n = p->n, .n_edges = fill, .flops = fill, .pivot = pivot, .l = l, .l_row = l_row, .u = u, .u_row = u_row};
    return pmi_trace_check_structure(&trace, err);
}

static void expect(const pattern *p, const char *what, unsigned round, size_t *closed, size_t *open) {
    pm_error err = {0};
    pm_status st = check(p, &err);
    if (is_closed(p)) {
        cr_assert_eq(st, PM_OK, "round %u, %s: %s", round, what, err.text);
        (*closed)++;
    } else {
        cr_assert_eq(st, PM_EDATA, "round %u, %s: a pattern that is not closed was accepted", round, what);
        cr_assert(strstr(err.text, "not closed") != NULL, "round %u, %s: %s", round, what, err.text);
        (*open)++;
    }
}

/* Random patterns, the same ones closed, and those with each entry missing in turn. */
Test(structure, closure_is_decided_as_defined) {
    pm_random random = {.state = 7};
    size_t closed = 0, open = 0;
    for (unsigned round = 0; round < 20000; round++) {
        pattern p = {.n = 3 + draw_below(&random, MOST_STATES - 2)};
        uint32_t one_in = 1 + draw_below(&random, 6);
        for (uint32_t j = 0; j < p.n; j++) {
            p.entry[j][(j + 1) % p.n] = true;
            for (uint32_t k = 0; k < p.n; k++) {
                p.entry[j][k] |= j != k && draw_below(&random, one_in) == 0;
            }
        }
        expect(&p, "as drawn", round, &closed, &open);
        close_pattern(&p);
        expect(&p, "closed", round, &closed, &open);
        for (uint32_t at = 0; at < p.n * p.n; at++) {
            bool *entry = &p.entry[at / p.n][at % p.n];
            if (*entry && at % p.n != (at / p.n + 1) % p.n) {
                *entry = false;
                expect(&p, "with one missing", round, &closed, &open);
                *entry = true;
            }
        }
    }
    cr_assert(closed > 20000 && open > 20000, "%zu closed, %zu not", closed, open);
}
