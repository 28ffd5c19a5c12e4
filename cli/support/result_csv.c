/* Tidy CSV: one value on each line, with all that says which value it is; a cell that does not apply is empty. */
#include <stdio.h>

#include "support/result.h"

typedef struct csv_row {
    const cli_result *r;
    cli_out *out;
    size_t b;
} csv_row;

static void begin_row(const csv_row *row, const char *quantity) {
    size_t p = row->r->graph->n_params;
    cli_out_format(row->out, "%zu", row->b);
    for (size_t k = 0; k < p; k++) {
        cli_out_format(row->out, ",%.17g", row->r->request->theta[row->b * p + k]);
    }
    cli_out_format(row->out, ",%s", quantity);
}

/* After the value: with derivatives among the lines there is a column for their parameter. */
static void end_row(const csv_row *row) {
    cli_out_text(row->out, row->r->request->gradient ? ",\n" : "\n");
}

static void write_moments(const csv_row *row) {
    const pm_request *q = row->r->request;
    const char *quantity = q->factorial ? "factorial_moment" : "moment";
    size_t n_rewards = cli_result_rewards(q);
    for (size_t f = 0; f < n_rewards; f++) {
        for (size_t k = 0; k < q->n_moments; k++) {
            double value = row->r->values.moments[(row->b * n_rewards + f) * q->n_moments + k];
            begin_row(row, quantity);
            if (q->n_rewards > 0) {
                cli_out_format(row->out, ",%zu,,%zu,,%.17g", f, k + 1, value);
                end_row(row);
            } else {
                cli_out_format(row->out, ",,,%zu,,%.17g", k + 1, value);
                end_row(row);
            }
        }
    }
}

static void write_covariance(const csv_row *row) {
    size_t n = cli_result_rewards(row->r->request);
    for (size_t i = 0; i < n * n; i++) {
        begin_row(row, "covariance");
        cli_out_format(row->out, ",%zu,%zu,,,%.17g", i / n, i % n, row->r->values.covariance[row->b * n * n + i]);
        end_row(row);
    }
}

static void write_over_times(const csv_row *row, const char *quantity, const double *values) {
    const pm_request *q = row->r->request;
    const double *times = cli_result_times(q, row->b);
    for (size_t t = 0; values != NULL && t < q->n_times; t++) {
        begin_row(row, quantity);
        cli_out_format(row->out, ",,,,%.17g,%.17g", times[t], values[row->b * q->n_times + t]);
        end_row(row);
    }
}

/* The values of one quantity at one place, followed by its derivatives, a line for each parameter. */
static void write_gradient_of(const csv_row *row, const char *quantity, const char *place, const double *values) {
    for (size_t p = 0; p < row->r->graph->n_params; p++) {
        begin_row(row, quantity);
        cli_out_format(row->out, ",%s,%.17g,%zu\n", place, values[p], p);
    }
}

static void write_moments_gradient(const csv_row *row) {
    const pm_request *q = row->r->request;
    size_t n_rewards = cli_result_rewards(q), p = row->r->graph->n_params;
    for (size_t i = 0; i < n_rewards * q->n_moments; i++) {
        char place[64];
        if (q->n_rewards > 0) {
            (void)snprintf(place, sizeof place, "%zu,,%zu,", i / q->n_moments, i % q->n_moments + 1);
        } else {
            (void)snprintf(place, sizeof place, ",,%zu,", i % q->n_moments + 1);
        }
        write_gradient_of(row, q->factorial ? "factorial_moment_gradient" : "moment_gradient", place,
                          row->r->values.moments_gradient + (row->b * n_rewards * q->n_moments + i) * p);
    }
}

static void write_gradient_over_times(const csv_row *row, const char *quantity, const double *values) {
    const pm_request *q = row->r->request;
    const double *times = cli_result_times(q, row->b);
    for (size_t t = 0; values != NULL && t < q->n_times; t++) {
        char place[64];
        (void)snprintf(place, sizeof place, ",,,%.17g", times[t]);
        write_gradient_of(row, quantity, place, values + (row->b * q->n_times + t) * row->r->graph->n_params);
    }
}

static void write_theta_row(const csv_row *row) {
    const pm_result *v = &row->r->values;
    if (v->moments != NULL) {
        write_moments(row);
    }
    if (v->covariance != NULL) {
        write_covariance(row);
    }
    if (row->r->request->n_times > 0 || v->atom[row->b] > 0) {
        begin_row(row, "atom");
        cli_out_format(row->out, ",,,,,%.17g", v->atom[row->b]);
        end_row(row);
    }
    if (v->absorption != NULL) {
        begin_row(row, "absorption");
        cli_out_format(row->out, ",,,,,%.17g", v->absorption[row->b]);
        end_row(row);
    }
    write_over_times(row, "pdf", v->pdf);
    write_over_times(row, "cdf", v->cdf);
    write_over_times(row, "survival", v->survival);
    if (v->moments_gradient != NULL) {
        write_moments_gradient(row);
    }
    write_gradient_over_times(row, "pdf_gradient", v->pdf_gradient);
    write_gradient_over_times(row, "cdf_gradient", v->cdf_gradient);
    write_gradient_over_times(row, "survival_gradient", v->survival_gradient);
}

void cli_result_csv(const cli_result *r, cli_out *out) {
    cli_out_text(out, "theta_row");
    for (size_t k = 0; k < r->graph->n_params; k++) {
        cli_out_format(out, ",theta_%zu", k);
    }
    cli_out_text(out, ",quantity,reward,other_reward,order,time,value");
    cli_out_text(out, r->request->gradient ? ",parameter\n" : "\n");
    for (size_t b = 0; b < r->request->n_theta; b++) {
        csv_row row = {.r = r, .out = out, .b = b};
        write_theta_row(&row);
    }
}
