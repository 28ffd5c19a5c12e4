#include "support/result.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "model/model.h"
#include "support/json_writer.h"

size_t cli_result_rewards(const pm_request *request) {
    return request->n_rewards == 0 ? 1 : request->n_rewards;
}

bool cli_result_shows_spread(cli_format format, size_t n_moments) {
    return format == CLI_FORMAT_TABLE && n_moments >= 2;
}

const double *cli_result_times(const pm_request *request, size_t b) {
    return request->times_per_theta ? request->times + b * request->n_times : request->times;
}

bool cli_result_sought_keys(const pm_model_report *model) {
    return model->sccs_distinct > 0 || model->sccs_nontrivial == 0;
}

bool cli_result_has_atom(const cli_result *r) {
    for (size_t b = 0; b < r->request->n_theta; b++) {
        if (r->values.atom[b] > 0) {
            return true;
        }
    }
    return false;
}

static pm_status check_array(const pm_row_array *array, const pm_status *status, size_t rows, pm_error *err) {
    const double *values = *array->values;
    for (size_t i = 0; values != NULL && i < rows * array->width; i++) {
        if (!isfinite(values[i]) && (status == NULL || status[i / array->width] == PM_OK)) {
            return pmi_fail(err, PM_ESOFTWARE,
                            "internal error: %s of theta row %zu holds %g, which is not a number to give out; please "
                            "report it with the graph and theta",
                            array->name, i / array->width, values[i]);
        }
    }
    return PM_OK;
}

pm_status cli_result_check(const cli_result *r, pm_error *err) {
    pm_result values = r->values;
    pm_row_array arrays[PM_RESULT_ARRAYS];
    pmi_result_arrays(r->graph, r->request, &values, arrays);
    for (size_t i = 0; i < PM_RESULT_ARRAYS; i++) {
        PM_TRY(check_array(&arrays[i], values.status, r->request->n_theta, err));
    }
    return PM_OK;
}

/* ---- JSON ---- */

static void put_array(cli_json *j, const char *key, const double *values, size_t n_dims, size_t d0, size_t d1,
                      size_t d2) {
    if (values != NULL) {
        const size_t dims[3] = {d0, d1, d2};
        cli_json_array(cli_json_key(j, key), values, n_dims, dims);
    }
}

static void write_values(cli_json *j, const cli_result *r) {
    const pm_request *q = r->request;
    const pm_result *v = &r->values;
    size_t b = q->n_theta, f = cli_result_rewards(q), t = q->n_times;
    /* without reward vectors there is no dimension for them */
    if (q->n_rewards > 0) {
        put_array(j, "moments", v->moments, 3, b, f, q->n_moments);
    } else {
        put_array(j, "moments", v->moments, 2, b, q->n_moments, 0);
    }
    put_array(j, "covariance", v->covariance, 3, b, f, f);
    if (t > 0 || cli_result_has_atom(r)) {
        put_array(j, "atom", v->atom, 1, b, 0, 0);
    }
    put_array(j, "absorption", v->absorption, 1, b, 0, 0);
    if (t > 0) {
        put_array(j, "times", q->times, q->times_per_theta ? 2 : 1, q->times_per_theta ? b : t, t, 0);
    }
    put_array(j, "pdf", v->pdf, 2, b, t, 0);
    put_array(j, "cdf", v->cdf, 2, b, t, 0);
    put_array(j, "survival", v->survival, 2, b, t, 0);
}

/* Derivatives have one more dimension than what they are of: the parameters. */
static void write_gradient(cli_json *j, const cli_result *r) {
    const pm_request *q = r->request;
    const pm_result *v = &r->values;
    size_t b = q->n_theta, t = q->n_times, p = r->graph->n_params;
    const size_t with_rewards[4] = {b, q->n_rewards, q->n_moments, p}, without[3] = {b, q->n_moments, p};
    cli_json_open(cli_json_key(j, "gradient"), '{');
    if (v->moments_gradient != NULL) {
        cli_json_array(cli_json_key(j, "moments"), v->moments_gradient, q->n_rewards > 0 ? 4 : 3,
                       q->n_rewards > 0 ? with_rewards : without);
    }
    put_array(j, "pdf", v->pdf_gradient, 3, b, t, p);
    put_array(j, "cdf", v->cdf_gradient, 3, b, t, p);
    put_array(j, "survival", v->survival_gradient, 3, b, t, p);
    cli_json_close(j, '}');
}

static void write_invalid(cli_json *j, const cli_result *r) {
    cli_json_open(cli_json_key(j, "invalid"), '[');
    for (size_t i = 0; i < r->n_invalid; i++) {
        cli_json_open(j, '{');
        cli_json_count(cli_json_key(j, "row"), r->invalid[i].row);
        cli_json_count(cli_json_key(j, "code"), (uint64_t)r->invalid[i].error.code);
        cli_json_string(cli_json_key(j, "error"), r->invalid[i].error.text);
        cli_json_close(j, '}');
    }
    cli_json_close(j, ']');
}

static void write_method(cli_json *j, const cli_result *r) {
    cli_json_open(cli_json_key(j, "method"), '{');
    if (r->values.moments != NULL || r->values.covariance != NULL) {
        cli_json_string(cli_json_key(j, "moments"), "replay");
    }
    if (r->values.moments != NULL) {
        cli_json_string(cli_json_key(j, "moment_kind"), r->request->factorial ? "factorial" : "raw");
    }
    if (r->request->n_times > 0) {
        cli_json_string(cli_json_key(j, "densities"), r->graph->is_discrete ? "stepping" : "uniformization");
        cli_json_count(cli_json_key(j, "steps"), r->values.steps);
        cli_json_number(cli_json_key(j, "error_bound"), r->values.error_bound);
        if (r->values.n_contour > 0) {
            cli_json_count(cli_json_key(j, "nodes"), r->values.nodes);
            cli_json_count(cli_json_key(j, "rows_contour"), r->values.n_contour);
        }
        if (r->values.n_parabola > 0) {
            cli_json_count(cli_json_key(j, "rows_parabola"), r->values.n_parabola);
        }
        if (r->values.n_extended > 0) {
            cli_json_count(cli_json_key(j, "rows_extended"), r->values.n_extended);
        }
        if (r->values.n_squared > 0) {
            cli_json_count(cli_json_key(j, "rows_squared"), r->values.n_squared);
        }
    }
    cli_json_string(cli_json_key(j, "isa"), r->isa);
    cli_json_count(cli_json_key(j, "threads"), r->threads);
    cli_json_close(j, '}');
}

static void write_sccs(cli_json *j, const pm_model_report *m) {
    const bool sought = cli_result_sought_keys(m);
    const struct {
        const char *key;
        size_t count;
        bool is_known;
    } counts[] = {{"total", m->sccs_total, true},
                  {"nontrivial", m->sccs_nontrivial, true},
                  {"distinct", m->sccs_distinct, sought},
                  {"recorded", m->sccs_recorded, true},
                  {"cached", m->sccs_cached, true}};
    cli_json_open(cli_json_key(j, "sccs"), '{');
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        cli_json_key(j, counts[i].key);
        if (counts[i].is_known) {
            cli_json_count(j, counts[i].count);
        } else {
            cli_json_text(j, NULL);
        }
    }
    cli_json_close(j, '}');
}

static void write_seconds(cli_json *j, const cli_result *r, double write_start) {
    const struct {
        const char *key;
        double seconds;
    } parts[] = {{"read", r->seconds_read},           {"split", r->model.seconds_split},
                 {"record", r->model.seconds_record}, {"stitch", r->model.seconds_stitch},
                 {"evaluate", r->seconds_evaluate},   {"write", pmi_seconds() - write_start}};
    cli_json_open(cli_json_key(j, "seconds"), '{');
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        cli_json_number(cli_json_key(j, parts[i].key), parts[i].seconds);
    }
    cli_json_close(j, '}');
}

void cli_result_json(const cli_result *r, cli_out *out) {
    double write_start = pmi_seconds();
    cli_json j = {.out = out};
    char job[PM_DIGEST_HEX];
    pmi_hex(r->graph->digest, job);
    cli_json_open(&j, '{');
    cli_json_string(cli_json_key(&j, "job"), job);
    size_t theta_dims[2] = {r->request->n_theta, r->graph->n_params};
    cli_json_array(cli_json_key(&j, "theta"), r->request->theta, 2, theta_dims);
    write_values(&j, r);
    if (r->request->gradient) {
        write_gradient(&j, r);
    }
    if (r->values.status != NULL) {
        write_invalid(&j, r);
    }
    write_method(&j, r);
    write_sccs(&j, &r->model);
    write_seconds(&j, r, write_start);
    cli_json_close(&j, '}');
    cli_out_text(out, "\n");
}

/* ---- tidy CSV: one value on each line, with all that says which it is; a cell that does not apply is empty ---- */

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

/* The value, empty where its row could not be evaluated. */
static void write_value(const csv_row *row, double value) {
    cli_out_text(row->out, ",");
    if (isfinite(value)) {
        cli_out_format(row->out, "%.17g", value);
    }
}

/* With derivatives among the lines there is a column for their parameter. */
static void end_row(const csv_row *row, double value) {
    write_value(row, value);
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
                cli_out_format(row->out, ",%zu,,%zu,", f, k + 1);
                end_row(row, value);
            } else {
                cli_out_format(row->out, ",,,%zu,", k + 1);
                end_row(row, value);
            }
        }
    }
}

static void write_covariance(const csv_row *row) {
    size_t n = cli_result_rewards(row->r->request);
    for (size_t i = 0; i < n * n; i++) {
        begin_row(row, "covariance");
        cli_out_format(row->out, ",%zu,%zu,,", i / n, i % n);
        end_row(row, row->r->values.covariance[row->b * n * n + i]);
    }
}

static void write_over_times(const csv_row *row, const char *quantity, const double *values) {
    const pm_request *q = row->r->request;
    const double *times = cli_result_times(q, row->b);
    for (size_t t = 0; values != NULL && t < q->n_times; t++) {
        begin_row(row, quantity);
        cli_out_format(row->out, ",,,,%.17g", times[t]);
        end_row(row, values[row->b * q->n_times + t]);
    }
}

/* The values of one quantity at one place, followed by its derivatives, a line for each parameter. */
static void write_gradient_of(const csv_row *row, const char *quantity, const char *place, const double *values) {
    for (size_t p = 0; p < row->r->graph->n_params; p++) {
        begin_row(row, quantity);
        cli_out_format(row->out, ",%s", place);
        write_value(row, values[p]);
        cli_out_format(row->out, ",%zu\n", p);
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
        cli_out_text(row->out, ",,,,");
        end_row(row, v->atom[row->b]);
    }
    if (v->absorption != NULL) {
        begin_row(row, "absorption");
        cli_out_text(row->out, ",,,,");
        end_row(row, v->absorption[row->b]);
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

/* ---- NumPy's array file, version 1: float64, C order, values from a multiple of 64 bytes on ---- */

#define PREFIX 10 /* magic, version, length of the header's text */

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the values are written as they are in memory, under '<f8'"
#endif

static void write_array(cli_out *out, const double *values, size_t n_dims, const size_t *dims) {
    char shape[96] = "";
    size_t total = 1;
    for (size_t d = 0, used = 0; d < n_dims; d++) {
        int n = snprintf(shape + used, sizeof shape - used, "%zu, ", dims[d]);
        used += n < 0 ? 0 : (size_t)n;
        total *= dims[d];
    }
    char text[256];
    int n = snprintf(text, sizeof text, "{'descr': '<f8', 'fortran_order': False, 'shape': (%s), }", shape);
    size_t used = n < 0 ? 0 : (size_t)n;
    size_t padded = (PREFIX + used + 1 + 63) / 64 * 64 - PREFIX;
    memset(text + used, ' ', padded - used);
    text[padded - 1] = '\n';
    const uint8_t prefix[PREFIX] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (uint8_t)padded, (uint8_t)(padded >> 8)};
    cli_out_bytes(out, prefix, sizeof prefix);
    cli_out_bytes(out, text, padded);
    cli_out_bytes(out, values, total * sizeof *values);
}

void cli_result_npy(const cli_result *r, cli_out *out) {
    const pm_request *q = r->request;
    size_t f = cli_result_rewards(q);
    if (r->values.moments != NULL) {
        const size_t with_rewards[3] = {q->n_theta, f, q->n_moments};
        const size_t without[2] = {q->n_theta, q->n_moments};
        write_array(out, r->values.moments, q->n_rewards > 0 ? 3 : 2, q->n_rewards > 0 ? with_rewards : without);
    } else if (r->values.covariance != NULL) {
        const size_t dims[3] = {q->n_theta, f, f};
        write_array(out, r->values.covariance, 3, dims);
    } else {
        const size_t dims[2] = {q->n_theta, q->n_times};
        write_array(out, r->values.pdf != NULL ? r->values.pdf : r->values.cdf, 2, dims);
    }
}
