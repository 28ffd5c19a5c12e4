/* Log-likelihoods: densities at the times of the data, then one vector-Jacobian product for all of them. */
#include <math.h>
#include <string.h>

#include "model/data.h"
#include "model/model.h"

/* What densities, distribution functions and derivatives of one pass over rows of theta may take. */
#define PASS_BYTES ((size_t)64 << 20)

/* An interval with less than this of the probability below (or above) its ends has too few digits left: ends are right
 * to 1e-10, relatively. */
#define NARROWEST 1e-6

/* Rows first..first+count-1 of theta, evaluated together; `row` tells those that are left of them. */
typedef struct pass {
    const pm_model *model;
    const pm_data *data;
    pm_loglik_result *result;
    pm_loglik_request request;
    bool may_begin_absorbed; /* some start edge leads to absorption */
    bool wants_scores;       /* derivatives of each observation */
    size_t n_params, most;   /* rows that there is room for */
    size_t first, count;
    size_t n_rows;
    size_t *row;                                             /* n_rows: rows of theta, ascending */
    double *thetas;                                          /* (most, P): of these rows */
    double *pdf, *cdf, *survival, *atom;                     /* (most, T), and (most) */
    double *by_pdf, *by_cdf, *by_survival, *by_atom;         /* cotangents, of the same shapes */
    double *pdf_gradient, *cdf_gradient, *survival_gradient; /* (most, T, P) */
    double *vjp, *vjp_hessian;                               /* (most, P), (most, P, P) */
    double *score;                                           /* P: of one observation */
    pm_status *status;                                       /* most */
    bool has_failed;                                         /* without result->status: the first row that did */
    size_t failed_row;
    pm_error failure;
    pm_pool pool; /* of all arrays */
} pass;

static bool wants_derivatives(const pm_loglik_result *r) {
    return r->gradient != NULL || r->hessian != NULL;
}

static bool is_discrete(const pass *p) {
    return p->model->analysis.graph->is_discrete;
}

/* ---- rows that cannot be evaluated ---- */

static void clear_row(const pass *p, size_t row) {
    const struct {
        double *values;
        size_t width;
    } arrays[] = {{p->result->loglik, 1},
                  {p->result->gradient, p->n_params},
                  {p->result->hessian, p->n_params * p->n_params},
                  {p->result->information, p->n_params * p->n_params}};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        for (size_t k = 0; arrays[i].values != NULL && k < arrays[i].width; k++) {
            arrays[i].values[row * arrays[i].width + k] = NAN;
        }
    }
}

static void refuse(pass *p, size_t row, const pm_error *why) {
    if (p->result->status == NULL) {
        if (!p->has_failed || row < p->failed_row) {
            p->has_failed = true;
            p->failed_row = row;
            p->failure = *why;
        }
        return;
    }
    clear_row(p, row);
    p->result->status[row] = why->code;
    if (p->result->invalid != NULL) {
        p->result->invalid(p->result->invalid_ctx, row, why);
    }
}

/* Row `row` of the rows that are left could not be evaluated. */
static void note_invalid(void *ctx, size_t row, const pm_error *error) {
    pass *p = ctx;
    pm_error why = *error;
    pmi_error_shift_row(&why, p->row[row] - row);
    refuse(p, p->row[row], &why);
}

/* Leaves the rows whose status is PM_OK, and what belongs to them. */
static void keep_valid(pass *p) {
    size_t kept = 0, t = p->data->n_times;
    const struct {
        double *values;
        size_t width;
    } arrays[] = {{p->thetas, p->n_params}, {p->by_pdf, t}, {p->by_cdf, t}, {p->by_survival, t}, {p->by_atom, 1}};
    for (size_t i = 0; i < p->n_rows; i++) {
        if (p->status[i] != PM_OK) {
            continue;
        }
        p->row[kept] = p->row[i];
        for (size_t a = 0; a < sizeof arrays / sizeof *arrays; a++) {
            if (arrays[a].values != NULL) {
                size_t w = arrays[a].width;
                memmove(arrays[a].values + kept * w, arrays[a].values + i * w, w * sizeof(double));
            }
        }
        kept++;
    }
    p->n_rows = kept;
}

/* ---- values ---- */

static pm_request request_of(const pass *p) {
    return (pm_request){.n_theta = p->n_rows,
                        .theta = p->thetas,
                        .n_times = p->data->n_times,
                        .times = p->data->times,
                        .row_seconds = p->request.row_seconds,
                        .threads = p->request.threads};
}

static pm_status evaluate_densities(pass *p, pm_error *err) {
    pm_request request = request_of(p);
    request.pdf = p->data->has_exact;
    request.cdf = p->data->has_censored;
    request.tail_accuracy = true;
    request.gradient = p->wants_scores;
    pm_result result = {.pdf = p->pdf,
                        .cdf = p->cdf,
                        .survival = p->survival,
                        .atom = p->atom,
                        .pdf_gradient = p->pdf_gradient,
                        .cdf_gradient = p->cdf_gradient,
                        .survival_gradient = p->survival_gradient,
                        .status = p->status,
                        .invalid = note_invalid,
                        .invalid_ctx = p};
    return pm_evaluate(p->model, &request, &result, err);
}

/* The probability (density) of one observation at a row, as a sum of densities: the cotangents that give it. */
typedef struct likelihood {
    double value;
    double by_pdf, by_atom;           /* of the density at times[lower], or of the atom instead */
    double by_cdf[2], by_survival[2]; /* at times[lower] and times[upper] */
    double size;                      /* what value is the rest of */
} likelihood;

static bool is_atom(const pass *p, const pm_observation *o) {
    return !is_discrete(p) && p->data->times[o->lower] == 0 && p->may_begin_absorbed;
}

static likelihood interval(const pass *p, const pm_observation *o, const double *cdf, const double *survival) {
    bool from_zero = p->data->times[o->lower] == 0;
    double below = from_zero ? 0 : cdf[o->lower];
    if (from_zero || cdf[o->upper] <= survival[o->lower]) {
        return (likelihood){.value = cdf[o->upper] - below,
                            .by_cdf = {from_zero ? 0 : -1, 1},
                            .size = from_zero ? 0 : cdf[o->upper] + below};
    }
    return (likelihood){.value = survival[o->lower] - survival[o->upper],
                        .by_survival = {1, -1},
                        .size = survival[o->lower] + survival[o->upper]};
}

static likelihood likelihood_of(const pass *p, size_t i, const pm_observation *o) {
    size_t t = p->data->n_times;
    switch (o->kind) {
    case PM_OBSERVED_INTERVAL:
        return interval(p, o, p->cdf + i * t, p->survival + i * t);
    case PM_OBSERVED_LATER:
        return (likelihood){.value = p->survival[i * t + o->lower], .by_survival = {1, 0}};
    default:
        return is_atom(p, o) ? (likelihood){.value = p->atom[i], .by_atom = 1}
                             : (likelihood){.value = p->pdf[i * t + o->lower], .by_pdf = 1};
    }
}

static pm_status check_likelihood(const pass *p, size_t i, const pm_observation *o, const likelihood *l,
                                  pm_error *err) {
    double time = p->data->times[o->lower];
    if (!(l->value > 0)) {
        return pmi_fail(err, PM_EDATA,
                        "theta row %zu: observation %zu (time %g) has a likelihood of 0, or below 1e-290, there",
                        p->row[i], o->number, time);
    }
    if (l->value < NARROWEST * l->size) {
        return pmi_fail(
            err, PM_EDATA,
            "theta row %zu: observation %zu, the interval from %g to %g, has a probability of about %.2g, of "
            "which rounding leaves too few digits; give it as an exact time",
            p->row[i], o->number, time, p->data->times[o->upper], l->value);
    }
    return PM_OK;
}

/* Adds the cotangents of `factor` times the likelihood. */
static void add_cotangents(const pass *p, size_t i, const pm_observation *o, const likelihood *l, double factor) {
    size_t at = i * p->data->n_times;
    if (p->by_pdf != NULL) {
        p->by_pdf[at + o->lower] += factor * l->by_pdf;
    }
    if (p->by_cdf != NULL) {
        p->by_cdf[at + o->lower] += factor * l->by_cdf[0];
        p->by_cdf[at + o->upper] += factor * l->by_cdf[1];
        p->by_survival[at + o->lower] += factor * l->by_survival[0];
        p->by_survival[at + o->upper] += factor * l->by_survival[1];
    }
    p->by_atom[i] += factor * l->by_atom;
}

static bool has_finite_cotangents(const pass *p, size_t i) {
    size_t t = p->data->n_times;
    const double *const arrays[] = {p->by_pdf, p->by_cdf, p->by_survival};
    bool all = p->by_atom == NULL || isfinite(p->by_atom[i]);
    for (size_t a = 0; a < 3; a++) {
        for (size_t k = i * t; arrays[a] != NULL && k < (i + 1) * t; k++) {
            all = all && isfinite(arrays[a][k]);
        }
    }
    return all;
}

/* The log-likelihood of a row, and the cotangents of its densities. */
static pm_status add_up(const pass *p, size_t i, pm_error *err) {
    long double sum = 0;
    size_t t = p->data->n_times;
    double *const cleared[] = {p->by_pdf, p->by_cdf, p->by_survival};
    for (size_t a = 0; a < 3; a++) {
        if (cleared[a] != NULL) {
            memset(cleared[a] + i * t, 0, t * sizeof(double));
        }
    }
    if (p->by_atom != NULL) {
        p->by_atom[i] = 0;
    }
    for (size_t k = 0; k < p->data->n; k++) {
        const pm_observation *o = &p->data->observations[k];
        likelihood l = likelihood_of(p, i, o);
        PM_TRY(check_likelihood(p, i, o, &l, err));
        sum += o->count * logl((long double)l.value);
        if (p->by_atom != NULL) {
            add_cotangents(p, i, o, &l, o->count / l.value);
        }
    }
    if (!isfinite((double)sum) || !has_finite_cotangents(p, i)) {
        return pmi_fail(
            err, PM_EDATA,
            "theta row %zu: counts of observations by their likelihoods leave the doubles; scale the counts",
            p->row[i]);
    }
    if (p->result->loglik != NULL) {
        p->result->loglik[p->row[i]] = (double)sum;
    }
    return PM_OK;
}

static void add_up_rows(pass *p) {
    for (size_t i = 0; i < p->n_rows; i++) {
        pm_error why;
        if (p->status[i] == PM_OK) {
            p->status[i] = add_up(p, i, &why);
            if (p->status[i] != PM_OK) {
                refuse(p, p->row[i], &why);
            }
        }
    }
}

/* ---- derivatives ---- */

/* The derivative of an observation's likelihood by parameter q. */
static double change_of(const pass *p, size_t i, const pm_observation *o, const likelihood *l, const double *atom,
                        size_t q) {
    size_t n = p->n_params, lower = (i * p->data->n_times + o->lower) * n + q;
    size_t upper = (i * p->data->n_times + o->upper) * n + q;
    double sum = l->by_atom != 0 ? atom[q] : 0;
    sum += l->by_pdf != 0 ? p->pdf_gradient[lower] : 0;
    if (o->kind != PM_OBSERVED_TIME) {
        sum += l->by_cdf[0] * p->cdf_gradient[lower] + l->by_cdf[1] * p->cdf_gradient[upper];
        sum += l->by_survival[0] * p->survival_gradient[lower] + l->by_survival[1] * p->survival_gradient[upper];
    }
    return sum;
}

/* The derivatives of the atom at a row of theta. */
static pm_status atom_gradient(const pass *p, size_t i, double *out, pm_error *err) {
    const pm_graph *g = p->model->analysis.graph;
    pm_wide *change;
    PM_TRY(PM_NEW(&change, g->n_starts, "the start distribution", err));
    for (size_t q = 0; q < p->n_params; q++) {
        out[q] = 0;
        pmi_start_derivative(g, p->thetas + i * p->n_params, q, change);
        for (size_t s = 0; s < g->n_starts; s++) {
            out[q] += p->model->analysis.split.scc_of[g->start_to[s]] == PM_NONE ? pmi_wide_double(change[s]) : 0;
        }
    }
    free(change);
    return PM_OK;
}

/* The sum of count * outer product of the derivatives of log likelihoods, of a row before rows were left out. */
static pm_status add_scores(const pass *p, size_t i, double *out, pm_error *err) {
    size_t n = p->n_params;
    double *score = p->score, *atom = p->score + n;
    PM_TRY(atom_gradient(p, i, atom, err));
    memset(out, 0, n * n * sizeof *out);
    for (size_t k = 0; k < p->data->n; k++) {
        const pm_observation *o = &p->data->observations[k];
        likelihood l = likelihood_of(p, i, o);
        for (size_t q = 0; q < n; q++) {
            score[q] = change_of(p, i, o, &l, atom, q) / l.value;
        }
        for (size_t q = 0; q < n * n; q++) {
            out[q] += o->count * (score[q / n] * score[q % n]);
        }
    }
    return PM_OK;
}

static pm_status score_rows(const pass *p, pm_error *err) {
    size_t size = p->n_params * p->n_params;
    for (size_t i = 0; i < p->n_rows; i++) {
        double *information = p->result->information, *hessian = p->result->hessian;
        double *out = (information != NULL ? information : hessian) + p->row[i] * size;
        if (p->status[i] != PM_OK) {
            continue;
        }
        PM_TRY(add_scores(p, i, out, err));
        if (hessian != NULL) {
            memmove(hessian + p->row[i] * size, out, size * sizeof *out);
        }
    }
    return PM_OK;
}

/* d2 log f = f'' / f - (f' / f) (f' / f)': the hessian holds the second term. Derivatives by p, q and by q, p differ in
 * their last digits; their mean is taken. */
static void write_derivatives(const pass *p, size_t i) {
    size_t n = p->n_params, row = p->row[i];
    if (p->result->gradient != NULL) {
        memcpy(p->result->gradient + row * n, p->vjp + i * n, n * sizeof(double));
    }
    for (size_t k = 0; p->result->hessian != NULL && k < n * n; k++) {
        size_t mirrored = k % n * n + k / n;
        double *out = p->result->hessian + row * n * n + k;
        *out = 0.5 * (p->vjp_hessian[i * n * n + k] + p->vjp_hessian[i * n * n + mirrored]) - *out;
    }
}

static pm_status differentiate(pass *p, pm_error *err) {
    pm_cotangents cotangents = {.pdf = p->by_pdf, .cdf = p->by_cdf, .survival = p->by_survival, .atom = p->by_atom};
    pm_request request = request_of(p);
    pm_result result = {
        .vjp = p->vjp, .vjp_hessian = p->vjp_hessian, .status = p->status, .invalid = note_invalid, .invalid_ctx = p};
    request.cotangents = &cotangents;
    if (p->data->n_times > 0) {
        PM_TRY(pm_evaluate(p->model, &request, &result, err));
    }
    for (size_t i = 0; i < p->n_rows; i++) {
        if (p->status[i] == PM_OK) {
            write_derivatives(p, i);
        }
    }
    return PM_OK;
}

/* ---- passes ---- */

static pm_status run_pass(pass *p, pm_error *err) {
    size_t n = p->n_params;
    p->n_rows = p->count;
    memcpy(p->thetas, p->request.theta + p->first * n, p->count * n * sizeof(double));
    for (size_t i = 0; i < p->count; i++) {
        p->row[i] = p->first + i;
        p->status[i] = PM_OK;
        if (p->result->status != NULL) {
            p->result->status[p->first + i] = PM_OK;
        }
    }
    if (p->data->n_times > 0) {
        PM_TRY(evaluate_densities(p, err));
    }
    add_up_rows(p);
    if (p->wants_scores && !p->has_failed) {
        PM_TRY(score_rows(p, err));
    }
    keep_valid(p);
    if (wants_derivatives(p->result) && !p->has_failed && p->n_rows > 0) {
        PM_TRY(differentiate(p, err));
    }
    return p->has_failed ? pmi_fail(err, p->failure.code, "%s", p->failure.text) : PM_OK;
}

static double row_bytes(const pass *p) {
    double times = (double)p->data->n_times, n = (double)p->n_params;
    return 8.0 * (6.0 * times + (p->wants_scores ? 3.0 * times * n : 0) + 4.0 + 2.0 * n + n * n);
}

static double *array(pass *p, bool is_wanted, size_t width) {
    size_t count = 0;
    if (!is_wanted) {
        return NULL;
    }
    return pmi_pool_zeros(&p->pool, pmi_mul(p->most, width, &count) ? count : SIZE_MAX, sizeof(double));
}

static pm_status make_room(pass *p, size_t n_theta, pm_error *err) {
    size_t t = p->data->n_times, n = p->n_params, tn = 0;
    bool exact = p->data->has_exact, censored = p->data->has_censored, derivatives = wants_derivatives(p->result);
    double fits = fmin((double)PASS_BYTES, (double)p->model->memory) / row_bytes(p);
    if (row_bytes(p) > (double)p->model->memory) {
        return pmi_fail(err, PM_EOSERR,
                        "the densities of one row of theta at %zu times, with their derivatives, take %.3g bytes, but "
                        "--memory is %zu; give more memory, or round the times so that fewer differ",
                        t, row_bytes(p), p->model->memory);
    }
    tn = pmi_mul(t, n, &tn) ? tn : SIZE_MAX;
    p->most = fits < 1 ? 1 : (double)n_theta > fits ? (size_t)fits : n_theta;
    p->row = pmi_pool_array(&p->pool, p->most, sizeof *p->row);
    p->status = pmi_pool_zeros(&p->pool, p->most, sizeof *p->status);
    p->score = pmi_pool_zeros(&p->pool, n, 2 * sizeof *p->score);
    p->thetas = array(p, true, n);
    p->pdf = array(p, exact, t);
    p->cdf = array(p, censored, t);
    p->survival = array(p, censored, t);
    p->atom = array(p, true, 1);
    p->by_pdf = array(p, derivatives && exact, t);
    p->by_cdf = array(p, derivatives && censored, t);
    p->by_survival = array(p, derivatives && censored, t);
    p->by_atom = array(p, derivatives, 1);
    p->pdf_gradient = array(p, p->wants_scores && exact, tn);
    p->cdf_gradient = array(p, p->wants_scores && censored, tn);
    p->survival_gradient = array(p, p->wants_scores && censored, tn);
    p->vjp = array(p, derivatives, n);
    p->vjp_hessian = array(p, p->result->hessian != NULL, n * n);
    return pmi_pool_check(&p->pool, err, "log-likelihoods", (size_t)fmin(row_bytes(p) * (double)p->most, 9e18));
}

static pm_status check_times(const pass *p, pm_error *err) {
    for (size_t k = 0; is_discrete(p) && k < p->data->n; k++) {
        const pm_observation *o = &p->data->observations[k];
        const double ends[] = {p->data->times[o->lower],
                               o->kind == PM_OBSERVED_INTERVAL ? p->data->times[o->upper] : 0};
        for (size_t i = 0; i < 2; i++) {
            if (ends[i] != floor(ends[i])) {
                return pmi_fail(err, PM_EDATA,
                                "observation %zu: %g, expected a whole number of steps: the graph is discrete",
                                o->number, ends[i]);
            }
        }
    }
    return PM_OK;
}

pm_status pm_loglik(const pm_model *model, const pm_data *data, const pm_loglik_request *request,
                    pm_loglik_result *result, pm_error *err) {
    static const double no_parameters = 0;
    size_t n_theta = request->n_theta;
    pass p = {.model = model,
              .data = data,
              .request = *request,
              .result = result,
              .wants_scores = result->hessian != NULL || result->information != NULL,
              .n_params = model->analysis.graph->n_params};
    if (p.n_params > 0 && n_theta > 0 && request->theta == NULL) {
        return pmi_fail(err, PM_EUSAGE, "no theta: expected %zu rows of %zu parameters", n_theta, p.n_params);
    }
    p.request.theta = p.n_params > 0 ? request->theta : &no_parameters;
    PM_TRY(check_times(&p, err));
    for (size_t s = 0; s < model->analysis.graph->n_starts; s++) {
        p.may_begin_absorbed |= model->analysis.split.scc_of[model->analysis.graph->start_to[s]] == PM_NONE;
    }
    pm_status st = make_room(&p, n_theta, err);
    for (p.first = 0; st == PM_OK && p.first < n_theta; p.first += p.count) {
        p.count = n_theta - p.first < p.most ? n_theta - p.first : p.most;
        st = run_pass(&p, err);
    }
    pmi_pool_free(&p.pool);
    return st;
}
