#include "base/clock.h"
#include "support/console.h"
#include "support/json_writer.h"
#include "support/result.h"

static void write_array(cli_json *j, const char *key, const double *values, size_t n_dims, size_t d0, size_t d1,
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
        write_array(j, "moments", v->moments, 3, b, f, q->n_moments);
    } else {
        write_array(j, "moments", v->moments, 2, b, q->n_moments, 0);
    }
    write_array(j, "covariance", v->covariance, 3, b, f, f);
    if (t > 0 || cli_result_has_atom(r)) {
        write_array(j, "atom", v->atom, 1, b, 0, 0);
    }
    write_array(j, "absorption", v->absorption, 1, b, 0, 0);
    if (t > 0) {
        write_array(j, "times", q->times, q->times_per_theta ? 2 : 1, q->times_per_theta ? b : t, t, 0);
    }
    write_array(j, "pdf", v->pdf, 2, b, t, 0);
    write_array(j, "cdf", v->cdf, 2, b, t, 0);
    write_array(j, "survival", v->survival, 2, b, t, 0);
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
    write_array(j, "pdf", v->pdf_gradient, 3, b, t, p);
    write_array(j, "cdf", v->cdf_gradient, 3, b, t, p);
    write_array(j, "survival", v->survival_gradient, 3, b, t, p);
    cli_json_close(j, '}');
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
    write_method(&j, r);
    write_sccs(&j, &r->model);
    write_seconds(&j, r, write_start);
    cli_json_close(&j, '}');
    cli_out_text(out, "\n");
}
