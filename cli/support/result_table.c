/* Tables that a person reads: titles, units, aligned columns of nine significant digits. */
#include <math.h>
#include <stdio.h>

#include "support/result.h"

#define WIDTH 17
#define SHOWN_PARAMS 6 /* columns of theta that fit a terminal; more are left to the other formats */

static void number(cli_out *out, double value) {
    cli_out_format(out, " %*.9g", WIDTH - 1, value);
}

static void title(cli_out *out, const char *text) {
    cli_out_format(out, " %*s", WIDTH - 1, text);
}

static void titlef(cli_out *out, const char *format, ...) PM_PRINTF(2, 3);

static void titlef(cli_out *out, const char *format, ...) {
    char text[48];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    title(out, n < 0 ? "?" : text);
}

static size_t shown_params(const cli_result *r) {
    return r->graph->n_params < SHOWN_PARAMS ? r->graph->n_params : SHOWN_PARAMS;
}

static void theta_titles(const cli_result *r, cli_out *out) {
    cli_out_text(out, "theta row");
    for (size_t k = 0; k < shown_params(r); k++) {
        titlef(out, "theta[%zu]", k);
    }
}

static void theta_cells(const cli_result *r, cli_out *out, size_t b) {
    cli_out_format(out, "%9zu", b);
    for (size_t k = 0; k < shown_params(r); k++) {
        number(out, r->request->theta[b * r->graph->n_params + k]);
    }
}

static void moment_titles(const cli_result *r, cli_out *out) {
    const pm_request *q = r->request;
    theta_titles(r, out);
    if (q->n_rewards > 0) {
        title(out, "reward");
    }
    title(out, "mean");
    if (q->n_moments >= 2) {
        title(out, "variance");
        title(out, "sd");
    }
    for (size_t k = 2; k <= q->n_moments; k++) {
        titlef(out, "%s%zu%s", q->factorial ? "factorial " : "E[Y^", k, q->factorial ? "" : "]");
    }
    cli_out_text(out, "\n");
}

static void moment_table(const cli_result *r, cli_out *out) {
    const pm_request *q = r->request;
    size_t n_rewards = cli_result_rewards(q);
    cli_out_format(out, "\n%s of the %s\n\n", q->factorial ? "Factorial moments" : "Moments",
                   q->n_rewards > 0        ? "accumulated rewards"
                   : r->graph->is_discrete ? "number of steps"
                                           : "time");
    moment_titles(r, out);
    for (size_t i = 0; i < q->n_theta * n_rewards; i++) {
        const double *m = r->values.moments + i * q->n_moments;
        theta_cells(r, out, i / n_rewards);
        if (q->n_rewards > 0) {
            cli_out_format(out, "%*zu", WIDTH, i % n_rewards);
        }
        number(out, m[0]);
        if (q->n_moments >= 2) {
            size_t f = i % n_rewards;
            double variance = r->values.covariance[(i / n_rewards * n_rewards + f) * n_rewards + f];
            number(out, variance);
            number(out, sqrt(variance));
        }
        for (size_t k = 1; k < q->n_moments; k++) {
            number(out, m[k]);
        }
        cli_out_text(out, "\n");
    }
}

static void covariance_table(const cli_result *r, cli_out *out) {
    size_t n = cli_result_rewards(r->request);
    cli_out_format(out, "\n%s\n\n", r->request->n_rewards > 0 ? "Covariance of the rewards" : "Variance of the time");
    theta_titles(r, out);
    title(out, "reward");
    for (size_t f = 0; f < n; f++) {
        titlef(out, "with %zu", f);
    }
    cli_out_text(out, "\n");
    for (size_t i = 0; i < r->request->n_theta * n; i++) {
        theta_cells(r, out, i / n);
        cli_out_format(out, "%*zu", WIDTH, i % n);
        for (size_t f = 0; f < n; f++) {
            number(out, r->values.covariance[i * n + f]);
        }
        cli_out_text(out, "\n");
    }
}

static void gradient_titles(const cli_result *r, cli_out *out) {
    for (size_t p = 0; p < shown_params(r); p++) {
        titlef(out, "d theta[%zu]", p);
    }
    cli_out_text(out, "\n");
}

static void gradient_cells(const cli_result *r, cli_out *out, const double *values) {
    for (size_t p = 0; p < shown_params(r); p++) {
        number(out, values[p]);
    }
    cli_out_text(out, "\n");
}

static void moments_gradient_table(const cli_result *r, cli_out *out) {
    const pm_request *q = r->request;
    size_t n_rewards = cli_result_rewards(q);
    cli_out_format(out, "\nDerivatives of the %smoments\n\n", q->factorial ? "factorial " : "");
    cli_out_text(out, "theta row");
    title(out, "reward");
    title(out, "order");
    gradient_titles(r, out);
    for (size_t i = 0; i < q->n_theta * n_rewards * q->n_moments; i++) {
        cli_out_format(out, "%9zu%*zu%*zu", i / (n_rewards * q->n_moments), WIDTH, i / q->n_moments % n_rewards, WIDTH,
                       i % q->n_moments + 1);
        gradient_cells(r, out, r->values.moments_gradient + i * r->graph->n_params);
    }
}

static void gradient_over_times_table(const cli_result *r, const char *name, const double *values, cli_out *out) {
    const pm_request *q = r->request;
    cli_out_format(out, "\nDerivatives of the %s\n\ntheta row", name);
    title(out, r->graph->is_discrete ? "steps" : "time");
    gradient_titles(r, out);
    for (size_t i = 0; i < q->n_theta * q->n_times; i++) {
        cli_out_format(out, "%9zu", i / q->n_times);
        number(out, cli_result_times(q, i / q->n_times)[i % q->n_times]);
        gradient_cells(r, out, values + i * r->graph->n_params);
    }
}

static void gradient_tables(const cli_result *r, cli_out *out) {
    const pm_result *v = &r->values;
    if (v->moments_gradient != NULL) {
        moments_gradient_table(r, out);
    }
    if (v->pdf_gradient != NULL) {
        gradient_over_times_table(r, r->graph->is_discrete ? "probability" : "density", v->pdf_gradient, out);
    }
    if (v->cdf_gradient != NULL) {
        gradient_over_times_table(r, "distribution function", v->cdf_gradient, out);
    }
    if (v->survival_gradient != NULL) {
        gradient_over_times_table(r, "survival function", v->survival_gradient, out);
    }
}

static void density_rows(const cli_result *r, cli_out *out, size_t b) {
    const pm_request *q = r->request;
    const double *columns[3] = {r->values.pdf, r->values.cdf, r->values.survival};
    const double *times = cli_result_times(q, b);
    for (size_t t = 0; t < q->n_times; t++) {
        cli_out_format(out, "%9zu", b);
        number(out, times[t]);
        for (size_t c = 0; c < 3; c++) {
            if (columns[c] != NULL) {
                number(out, columns[c][b * q->n_times + t]);
            }
        }
        cli_out_text(out, "\n");
    }
}

static void density_table(const cli_result *r, cli_out *out) {
    bool is_discrete = r->graph->is_discrete;
    cli_out_format(out, "\nDistribution of the %s\n\ntheta row", is_discrete ? "number of steps" : "time");
    title(out, is_discrete ? "steps" : "time");
    if (r->values.pdf != NULL) {
        title(out, is_discrete ? "probability" : "density");
    }
    if (r->values.cdf != NULL) {
        title(out, "cdf");
    }
    if (r->values.survival != NULL) {
        title(out, "1 - cdf");
    }
    cli_out_text(out, "\n");
    for (size_t b = 0; b < r->request->n_theta; b++) {
        density_rows(r, out, b);
    }
    cli_out_format(out, "\n%s, %llu steps, error at most %.2g\n", is_discrete ? "Stepping" : "Uniformization",
                   (unsigned long long)r->values.steps, r->values.error_bound);
}

static void probability_table(const cli_result *r, const char *heading, const char *column, const double *values,
                              cli_out *out) {
    cli_out_format(out, "\n%s\n\n", heading);
    theta_titles(r, out);
    title(out, column);
    cli_out_text(out, "\n");
    for (size_t b = 0; b < r->request->n_theta; b++) {
        theta_cells(r, out, b);
        number(out, values[b]);
        cli_out_text(out, "\n");
    }
}

static void heading(const cli_result *r, cli_out *out) {
    const pm_model_report *m = &r->model;
    char job[PM_DIGEST_HEX];
    pmi_hex(r->graph->digest, job);
    cli_out_format(out, "%s phase-type distribution: %u states, %zu edges, %u parameters (job %.12s)\n",
                   r->graph->is_discrete ? "Discrete" : "Continuous", (unsigned)r->graph->n_vertices, r->graph->n_edges,
                   (unsigned)r->graph->n_params, job);
    cli_out_format(out, "%zu SCCs: %zu with at least 2 states", m->sccs_total, m->sccs_nontrivial);
    if (cli_result_sought_keys(m)) {
        cli_out_format(out, ", %zu distinct; %zu recorded, %zu from the cache\n", m->sccs_distinct, m->sccs_recorded,
                       m->sccs_cached);
    } else {
        cli_out_text(out, "; densities need no traces of them\n");
    }
    if (!r->graph->is_discrete) {
        cli_out_text(out, "Unit of time: one over the unit of the rates\n");
    }
    if (r->graph->n_params > SHOWN_PARAMS) {
        cli_out_format(out, "Of the parameters the first %d are shown\n", SHOWN_PARAMS);
    }
}

static void invalid_table(const cli_result *r, cli_out *out) {
    cli_out_text(out, "\nRows that could not be evaluated\n\n");
    for (size_t i = 0; i < r->n_invalid; i++) {
        cli_out_format(out, "%s\n", r->invalid[i].error.text);
    }
}

void cli_result_table(const cli_result *r, cli_out *out) {
    double total = r->seconds_read + r->model.seconds_split + r->model.seconds_record + r->model.seconds_stitch +
                   r->seconds_evaluate;
    heading(r, out);
    if (r->values.moments != NULL) {
        moment_table(r, out);
    }
    if (r->covariance) {
        covariance_table(r, out);
    }
    if (cli_result_has_atom(r)) {
        probability_table(r, "Probability of being absorbed at time zero", "atom", r->values.atom, out);
    }
    if (r->values.absorption != NULL) {
        probability_table(r, "Probability of ever being absorbed (moments are given absorption)", "absorption",
                          r->values.absorption, out);
    }
    if (r->request->n_times > 0) {
        density_table(r, out);
    }
    gradient_tables(r, out);
    if (r->n_invalid > 0) {
        invalid_table(r, out);
    }
    cli_out_format(out, "\n%.3g s (read %.2g, record %.2g, evaluate %.2g) on %u %s, kernels for %s\n", total,
                   r->seconds_read, r->model.seconds_record, r->seconds_evaluate, r->threads,
                   r->threads == 1 ? "thread" : "threads", r->isa);
}
