/* Tidy CSV: one value on each line, with all that says which value it is; a cell that does not apply is empty. */
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

static void write_moments(const csv_row *row) {
    const pm_request *q = row->r->request;
    const char *quantity = q->factorial ? "factorial_moment" : "moment";
    size_t n_rewards = cli_result_rewards(q);
    for (size_t f = 0; f < n_rewards; f++) {
        for (size_t k = 0; k < q->n_moments; k++) {
            double value = row->r->values.moments[(row->b * n_rewards + f) * q->n_moments + k];
            begin_row(row, quantity);
            if (q->n_rewards > 0) {
                cli_out_format(row->out, ",%zu,,%zu,,%.17g\n", f, k + 1, value);
            } else {
                cli_out_format(row->out, ",,,%zu,,%.17g\n", k + 1, value);
            }
        }
    }
}

static void write_covariance(const csv_row *row) {
    size_t n = cli_result_rewards(row->r->request);
    for (size_t i = 0; i < n * n; i++) {
        begin_row(row, "covariance");
        cli_out_format(row->out, ",%zu,%zu,,,%.17g\n", i / n, i % n, row->r->values.covariance[row->b * n * n + i]);
    }
}

static void write_over_times(const csv_row *row, const char *quantity, const double *values) {
    const pm_request *q = row->r->request;
    const double *times = cli_result_times(q, row->b);
    for (size_t t = 0; values != NULL && t < q->n_times; t++) {
        begin_row(row, quantity);
        cli_out_format(row->out, ",,,,%.17g,%.17g\n", times[t], values[row->b * q->n_times + t]);
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
        cli_out_format(row->out, ",,,,,%.17g\n", v->atom[row->b]);
    }
    if (v->absorption != NULL) {
        begin_row(row, "absorption");
        cli_out_format(row->out, ",,,,,%.17g\n", v->absorption[row->b]);
    }
    write_over_times(row, "pdf", v->pdf);
    write_over_times(row, "cdf", v->cdf);
    write_over_times(row, "survival", v->survival);
}

void cli_result_csv(const cli_result *r, cli_out *out) {
    cli_out_text(out, "theta_row");
    for (size_t k = 0; k < r->graph->n_params; k++) {
        cli_out_format(out, ",theta_%zu", k);
    }
    cli_out_text(out, ",quantity,reward,other_reward,order,time,value\n");
    for (size_t b = 0; b < r->request->n_theta; b++) {
        csv_row row = {.r = r, .out = out, .b = b};
        write_theta_row(&row);
    }
}
