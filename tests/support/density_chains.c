#include "density_chains.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

pm_builder *new_chain(uint32_t n, bool is_discrete) {
    pm_builder *b = NULL;
    cr_assert_eq(pmi_builder_new(1, 1, is_discrete, &b, NULL), PM_OK);
    for (int32_t i = 0; i < (int32_t)n + 2; i++) {
        cr_assert_eq(pmi_builder_state(b, &i, NULL, NULL), PM_OK);
    }
    return b;
}

void edge(pm_builder *b, uint32_t from, uint32_t to, double rate) {
    const double coef[2] = {0.0, rate};
    cr_assert_eq(pmi_builder_edge(b, PM_EDGE_PARAM, from, to, coef, NULL), PM_OK);
}

void start_at(pm_builder *b, uint32_t to, double probability) {
    const double coef[2] = {probability, 0.0};
    cr_assert_eq(pmi_builder_start(b, false, to, coef, NULL), PM_OK);
}

chain finish(pm_builder *b, size_t n_theta) {
    chain c = {0};
    pm_error err = {0};
    cr_assert_eq(pmi_builder_finish(b, &c.graph, &err), PM_OK, "%s", err.text);
    pmi_builder_free(b);
    c.split = calloc(1, sizeof *c.split);
    cr_assert_not_null(c.split);
    cr_assert_eq(pmi_split_graph(c.graph, NULL, c.split, &err), PM_OK, "%s", err.text);
    cr_assert_eq(pmi_chain_new(c.graph, c.split, &c.chain, &err), PM_OK, "%s", err.text);
    const double theta = 1.0;
    c.start = malloc((n_theta + 1) * c.graph->n_starts * sizeof *c.start);
    cr_assert_not_null(c.start);
    for (size_t i = 0; i < n_theta * c.graph->n_starts; i++) {
        c.start[i] = pmi_graph_weight(c.graph, c.graph->start_weight[i % c.graph->n_starts], &theta);
    }
    return c;
}

void drop(chain *c) {
    pmi_chain_free(c->chain);
    pmi_split_free(c->split);
    free(c->split);
    pm_graph_free(c->graph);
    free(c->start);
}

chain exponential(size_t n_theta) {
    pm_builder *b = new_chain(1, false);
    edge(b, 1, 2, 2.0);
    start_at(b, 1, 1.0);
    return finish(b, n_theta);
}

static chain line(uint32_t n, const double *rates, size_t n_theta) {
    pm_builder *b = new_chain(n, false);
    for (uint32_t i = 1; i <= n; i++) {
        edge(b, i, i + 1, rates[i - 1]);
    }
    start_at(b, 1, 1.0);
    return finish(b, n_theta);
}

static chain erlang(size_t n_theta) {
    double rates[50];
    for (size_t i = 0; i < 50; i++) {
        rates[i] = 3.0;
    }
    return line(50, rates, n_theta);
}

chain hypoexponential(size_t n_theta) {
    const double rates[] = {1.0, 1.5, 2.0, 100.0};
    return line(4, rates, n_theta);
}

chain hyperexponential(size_t n_theta) {
    pm_builder *b = new_chain(3, false);
    const double rate[] = {64.0, 1.0, 0.125}, p[] = {0.5, 0.25, 0.25};
    for (uint32_t i = 0; i < 3; i++) {
        edge(b, i + 1, 4, rate[i]);
        start_at(b, i + 1, p[i]);
    }
    return finish(b, n_theta);
}

static chain ring(size_t n_theta) {
    pm_builder *b = new_chain(50, false);
    for (uint32_t i = 1; i < 50; i++) {
        edge(b, i, i + 1, 1.0);
    }
    edge(b, 50, 1, 0.75);
    edge(b, 50, 51, 0.25);
    start_at(b, 1, 1.0);
    return finish(b, n_theta);
}

static chain switching(size_t n_theta) {
    pm_builder *b = new_chain(2, false);
    edge(b, 1, 2, 5000.0);
    edge(b, 2, 1, 5000.0);
    edge(b, 2, 3, 1.0);
    start_at(b, 1, 1.0);
    return finish(b, n_theta);
}

const named_chain chains[N_CHAINS] = {
    {"exponential", exponential},           {"erlang", erlang}, {"hypoexponential", hypoexponential},
    {"hyperexponential", hyperexponential}, {"ring", ring},     {"switch", switching}};

chain chain_named(const char *name, size_t n_theta) {
    size_t i = 0;
    while (i < N_CHAINS && strcmp(chains[i].name, name) != 0) {
        i++;
    }
    cr_assert_lt(i, N_CHAINS, "no chain %s", name);
    return chains[i].make(n_theta);
}

pm_isa best_isa(void) {
    pm_isa isa = PM_ISA_COUNT;
    cr_assert_eq(pmi_isa_choose(NULL, &isa, NULL), PM_OK);
    return isa;
}

pm_status evaluate_on(const chain *c, pm_isa isa, pm_request request, values *v, pm_error *err) {
    size_t n = request.n_theta * request.n_times + 1;
    v->pdf = malloc(n * sizeof(double));
    v->cdf = malloc(n * sizeof(double));
    v->survival = malloc(n * sizeof(double));
    request.pdf = request.cdf = true;
    v->result = (pm_result){.pdf = v->pdf, .cdf = v->cdf, .survival = v->survival};
    return pmi_density_evaluate(c->chain, NULL, 0, isa, &request, c->start, &v->result, NULL, err);
}

void evaluate(const chain *c, pm_request request, values *v) {
    pm_error err = {0};
    cr_assert_eq(evaluate_on(c, best_isa(), request, v, &err), PM_OK, "%s", err.text);
}

void free_values(values *v) {
    free(v->pdf);
    free(v->cdf);
    free(v->survival);
}

void check_relative(const char *what, const char *name, double time, double found, double exact) {
    if (exact > 1e-290) {
        cr_expect(fabs(found - exact) <= 1e-10 * exact, "%s: %s(%g) = %.17g, expected %.17g", name, what, time, found,
                  exact);
    } else {
        cr_expect(found >= 0.0 && found < 1e-280, "%s: %s(%g) = %g, expected %g", name, what, time, found, exact);
    }
}
