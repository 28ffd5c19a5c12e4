#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/float_env.h"
#include "base/mem.h"
#include "base/team.h"
#include "eval/density.h"
#include "eval/density_gradient.h"
#include "eval/moments.h"
#include "eval/theta.h"
#include "graph/weights.h"
#include "model/defective.h"

/* ---- checking the request ---- */

static bool wants_moments(const pm_request *r) {
    return r->n_moments > 0 || r->covariance;
}

static bool wants_densities(const pm_request *r) {
    return r->pdf || r->cdf;
}

static bool has_density_cotangents(const pm_request *r) {
    const pm_cotangents *c = r->cotangents;
    return c != NULL && (c->pdf != NULL || c->cdf != NULL || c->survival != NULL);
}

static bool has_moment_cotangents(const pm_request *r) {
    return r->cotangents != NULL && r->cotangents->moments != NULL;
}

static pm_status check_shape(const pm_graph *g, const pm_request *r, const pm_result *out, pm_error *err) {
    if (r->n_theta > 0 && g->n_params > 0 && r->theta == NULL) {
        return pmi_fail(err, PM_EUSAGE, "no theta: expected %zu rows of %u parameters", r->n_theta, g->n_params);
    }
    if (r->n_rewards > 0 && r->rewards == NULL) {
        return pmi_fail(err, PM_EUSAGE, "no rewards: expected %zu vectors of %u values", r->n_rewards, g->n_vertices);
    }
    if ((wants_densities(r) || has_density_cotangents(r)) && (r->n_times == 0 || r->times == NULL)) {
        return pmi_fail(err, PM_EUSAGE, "pdf, cdf and their cotangents need at least one time");
    }
    if (r->lanes != 0 && r->lanes != 1 && r->lanes != 4 && r->lanes != 8 && r->lanes != 16) {
        return pmi_fail(err, PM_EUSAGE, "lanes: expected 1, 4, 8 or 16 (or 0 to choose), found %u", r->lanes);
    }
    if (r->factorial && !g->is_discrete) {
        return pmi_fail(err, PM_EUSAGE, "factorial moments are of discrete graphs; this graph is continuous");
    }
    if (!(r->row_seconds >= 0)) {
        return pmi_fail(err, PM_EUSAGE, "seconds of a row: expected a number, 0 or more, found %g", r->row_seconds);
    }
    if (!(r->tolerance >= 0 && r->tolerance < 1)) {
        return pmi_fail(err, PM_EUSAGE, "tolerance: expected a number above 0 and below 1, found %g", r->tolerance);
    }
    if ((r->n_moments > 0 && out->moments == NULL) || (r->covariance && out->covariance == NULL) ||
        (r->gradient && r->n_moments > 0 && out->moments_gradient == NULL) ||
        (r->cotangents != NULL && out->vjp == NULL) || (r->gradient && r->pdf && out->pdf_gradient == NULL) ||
        (r->gradient && r->cdf && out->cdf_gradient == NULL) || (r->pdf && out->pdf == NULL) ||
        (r->cdf && out->cdf == NULL)) {
        return pmi_fail(err, PM_EUSAGE, "a quantity is asked for without a buffer for its result");
    }
    return PM_OK;
}

/* Of the cotangents: they are numbers, and of what is asked for. */
static pm_status check_cotangents(const pm_request *r, const pm_result *out, pm_error *err) {
    const pm_cotangents *c = r->cotangents;
    if (c == NULL) {
        return out->vjp == NULL && out->vjp_hessian == NULL
                   ? PM_OK
                   : pmi_fail(err, PM_EUSAGE, "a vector-Jacobian product is asked for without cotangents");
    }
    if (c->moments != NULL && r->n_moments == 0) {
        return pmi_fail(err, PM_EUSAGE, "there are cotangents of moments, but no moments are asked for");
    }
    if (c->moments != NULL && out->vjp_hessian != NULL) {
        return pmi_fail(err, PM_EUSAGE, "second derivatives are those of densities: moments have none");
    }
    size_t f = r->n_rewards == 0 ? 1 : r->n_rewards;
    const struct {
        const char *name;
        const double *values;
        size_t width;
    } arrays[] = {{"moments", c->moments, f * r->n_moments},
                  {"pdf", c->pdf, r->n_times},
                  {"cdf", c->cdf, r->n_times},
                  {"survival", c->survival, r->n_times},
                  {"atom", c->atom, 1}};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        for (size_t k = 0; arrays[i].values != NULL && k < r->n_theta * arrays[i].width; k++) {
            if (!isfinite(arrays[i].values[k])) {
                return pmi_fail(err, PM_EDATA,
                                "cotangents of %s, theta row %zu, column %zu: expected a finite number, "
                                "found %g",
                                arrays[i].name, k / arrays[i].width, k % arrays[i].width, arrays[i].values[k]);
            }
        }
    }
    return PM_OK;
}

static pm_status check_theta(const pm_graph *g, const pm_request *r, pm_error *err) {
    for (size_t b = 0; b < r->n_theta; b++) {
        for (size_t k = 0; k < g->n_params; k++) {
            double value = r->theta[b * g->n_params + k];
            if (!isfinite(value)) {
                return pmi_fail(err, PM_EDATA, "theta row %zu, column %zu: expected a finite number, found %g", b, k,
                                value);
            }
        }
    }
    return PM_OK;
}

static pm_status check_rewards(const pm_graph *g, const pm_request *r, pm_error *err) {
    for (size_t f = 0; f < r->n_rewards; f++) {
        for (size_t v = 0; v < g->n_vertices; v++) {
            double value = r->rewards[f * g->n_vertices + v];
            if (!isfinite(value)) {
                return pmi_fail(err, PM_EDATA, "reward vector %zu, row %zu: expected a finite number, found %g", f, v,
                                value);
            }
            if (r->factorial && (value < 0 || value != floor(value))) {
                return pmi_fail(
                    err, PM_EDATA,
                    "reward vector %zu, row %zu: factorial moments need whole rewards of zero or more, found %.17g", f,
                    v, value);
            }
        }
    }
    return PM_OK;
}

/* What fails a call whatever theta is. */
static pm_status check_call(const pm_graph *graph, const pm_request *request, const pm_result *result, pm_error *err) {
    PM_TRY(check_shape(graph, request, result, err));
    PM_TRY(check_rewards(graph, request, err));
    PM_TRY(check_cotangents(request, result, err));
    return wants_densities(request) || has_density_cotangents(request)
               ? pmi_density_check_times(request, graph->is_discrete, err)
               : PM_OK;
}

pm_status pmi_request_check(const pm_graph *graph, const pm_request *request, const pm_result *result, pm_error *err) {
    PM_TRY(check_call(graph, request, result, err));
    return check_theta(graph, request, err);
}

/* ---- what all quantities share ---- */

static bool some_weight_is_zero(const pm_graph *g, const double *theta) {
    for (size_t w = 0; w < g->n_weights; w++) {
        if (pmi_graph_weight(g, (uint32_t)w, theta) == 0 && !pmi_graph_weight_is_zero(g, (uint32_t)w)) {
            return true;
        }
    }
    return false;
}

/* The graph's shape makes absorption certain while all weights are positive; a replay of moments notices by itself. */
static pm_status check_absorption(const pm_model *m, const pm_request *r, pm_error *err) {
    for (size_t b = 0; b < r->n_theta; b++) {
        const double *theta = r->theta + b * m->analysis.graph->n_params;
        if (some_weight_is_zero(m->analysis.graph, theta)) {
            pm_status st = pmi_absorption_check(m->analysis.graph, &m->analysis.split, theta, b, err);
            if (st != PM_OK) {
                return st;
            }
        }
    }
    return PM_OK;
}

static void fill_atoms(const pm_model *m, const pm_request *r, const double *start, double *atom) {
    const pm_graph *g = m->analysis.graph;
    for (size_t b = 0; b < r->n_theta; b++) {
        double sum = 0, error = 0;
        for (size_t s = 0; s < g->n_starts; s++) {
            double term = m->analysis.split.scc_of[g->start_to[s]] == PM_NONE ? start[b * g->n_starts + s] : 0;
            double total = sum + term, part = total - sum;
            error += (sum - (total - part)) + (term - part); /* Knuth's TwoSum */
            sum = total;
        }
        atom[b] = sum + error;
    }
}

static pm_status densities(const pm_model *m, const pm_request *r, const double *start, pm_result *result,
                           pm_error *err) {
    const pm_chain *chain;
    PM_TRY(pmi_model_chain(m, &chain, err));
    const pm_program *program = m->program.n > 0 ? &m->program : NULL;
    PM_TRY(pmi_density_evaluate(chain, program, m->memory, m->isa, r, start, result, m->log, err));
    bool wants_gradient =
        result->pdf_gradient != NULL || result->cdf_gradient != NULL || result->survival_gradient != NULL;
    return r->gradient && wants_gradient ? pmi_density_gradient(chain, r, start, m->memory, m->log, result, err)
                                         : PM_OK;
}

/* Sums over densities, and over the atom. */
static pm_status adjoint(const pm_model *m, const pm_request *r, const double *start, pm_result *result,
                         pm_error *err) {
    pm_adjoint_call call = {.isa = m->isa,
                            .request = r,
                            .start = start,
                            .cotangents = *r->cotangents,
                            .memory = m->memory,
                            .log = m->log,
                            .gradient = result->vjp,
                            .hessian = result->vjp_hessian};
    pm_request atoms = *r;
    if (!has_density_cotangents(r)) {
        memset(result->vjp, 0, r->n_theta * m->analysis.graph->n_params * sizeof *result->vjp);
        atoms.n_times = 0;
        call.request = &atoms;
    }
    if (!has_density_cotangents(r) && r->cotangents->atom == NULL) {
        return PM_OK;
    }
    PM_TRY(pmi_model_chain(m, &call.chain, err));
    PM_TRY(pmi_model_out_edges(m, &call.out, err));
    return pmi_density_adjoint(&call, err);
}

/* Adds those over moments, from their Jacobian. */
static void contract_moments(const pm_model *m, const pm_request *r, pm_result *result) {
    size_t n_params = m->analysis.graph->n_params, n = (r->n_rewards == 0 ? 1 : r->n_rewards) * r->n_moments;
    for (size_t i = 0; i < r->n_theta * n_params; i++) {
        size_t b = i / n_params, p = i % n_params;
        long double sum = result->vjp[i];
        for (size_t k = b * n; k < (b + 1) * n; k++) {
            sum += (long double)r->cotangents->moments[k] * result->moments_gradient[k * n_params + p];
        }
        result->vjp[i] = (double)sum;
    }
}

static pm_status evaluate(const pm_model *m, const pm_request *r, const pm_start *start, pm_result *result,
                          pm_error *err) {
    pm_status st = PM_OK;
    for (size_t b = 0; result->absorption != NULL && b < r->n_theta; b++) {
        result->absorption[b] = 1;
    }
    if (wants_moments(r)) {
        pm_moments_context context = {.graph = m->analysis.graph,
                                      .split = &m->analysis.split,
                                      .program = &m->program,
                                      .isa = m->isa,
                                      .memory = m->memory,
                                      .log = m->log};
        st = pmi_moments_evaluate(&context, r, start, result, err);
    }
    PM_TRY(st);
    if (!wants_moments(r)) {
        PM_TRY(check_absorption(m, r, err));
    }
    return wants_densities(r) ? densities(m, r, start->value, result, err) : PM_OK;
}

/* ---- rows of a request, and of its results ---- */

void pmi_result_arrays(const pm_graph *g, const pm_request *r, pm_result *result, pm_row_array out[PM_RESULT_ARRAYS]) {
    size_t f = r->n_rewards == 0 ? 1 : r->n_rewards, k = r->n_moments, t = r->n_times, p = g->n_params;
    const pm_row_array arrays[PM_RESULT_ARRAYS] = {{"moments", &result->moments, f * k},
                                                   {"covariance", &result->covariance, f * f},
                                                   {"atom", &result->atom, 1},
                                                   {"absorption", &result->absorption, 1},
                                                   {"pdf", &result->pdf, t},
                                                   {"cdf", &result->cdf, t},
                                                   {"survival", &result->survival, t},
                                                   {"moments_gradient", &result->moments_gradient, f * k * p},
                                                   {"pdf_gradient", &result->pdf_gradient, t * p},
                                                   {"cdf_gradient", &result->cdf_gradient, t * p},
                                                   {"survival_gradient", &result->survival_gradient, t * p},
                                                   {"vjp", &result->vjp, p},
                                                   {"vjp_hessian", &result->vjp_hessian, p * p}};
    memcpy(out, arrays, sizeof arrays);
}

/* Rows first..first+count-1 of a request and of its results. */
static void narrow(const pm_graph *g, const pm_request *r, const pm_result *result, size_t first, size_t count,
                   pm_request *rows, pm_cotangents *cotangents, pm_result *out) {
    pm_row_array arrays[PM_RESULT_ARRAYS];
    *rows = *r;
    rows->n_theta = count;
    rows->theta = r->theta + first * g->n_params;
    rows->times = r->times_per_theta ? r->times + first * r->n_times : r->times;
    if (r->cotangents != NULL) {
        const pm_cotangents *c = r->cotangents;
        size_t moments = first * (r->n_rewards == 0 ? 1 : r->n_rewards) * r->n_moments, times = first * r->n_times;
        *cotangents = (pm_cotangents){.moments = c->moments == NULL ? NULL : c->moments + moments,
                                      .pdf = c->pdf == NULL ? NULL : c->pdf + times,
                                      .cdf = c->cdf == NULL ? NULL : c->cdf + times,
                                      .survival = c->survival == NULL ? NULL : c->survival + times,
                                      .atom = c->atom == NULL ? NULL : c->atom + first};
        rows->cotangents = cotangents;
    }
    *out = *result;
    pmi_result_arrays(g, r, out, arrays);
    for (size_t i = 0; i < PM_RESULT_ARRAYS; i++) {
        if (*arrays[i].values != NULL) {
            *arrays[i].values += first * arrays[i].width;
        }
    }
}

/* ---- defective models ---- */

/* Some weights are zero that are not zero in general: what can be absorbed is another set of states. */
static pm_status evaluate_zeros(const pm_model *m, const pm_request *r, const double *start, size_t row,
                                pm_result *result, pm_error *err) {
    pm_restriction restriction = {0};
    pm_model_options options = {
        .effort = m->analysis.effort, .threads = 1, .memory = m->memory, .isa = pmi_isa_name(m->isa)};
    double *value = pmi_malloc(m->analysis.graph->n_weights, sizeof *value);
    pm_status st = value == NULL ? pmi_fail_memory(err, "weights", m->analysis.graph->n_weights * sizeof *value)
                                 : pmi_weights_fill(m->analysis.graph, r->theta, 0, 1, 1, value, err);
    PM_THEN(st, pmi_restriction_new(&m->analysis, value, &options, &restriction, NULL, err));
    PM_THEN(st, pmi_restriction_evaluate(&restriction, m, r, start, row, result, err));
    pmi_restriction_free(&restriction);
    free(value);
    return st;
}

/* All but densities, in runs of rows of one kind. */
static pm_status evaluate_defective(const pm_model *m, const pm_request *r, const pm_start *start, pm_result *result,
                                    pm_error *err) {
    const pm_graph *g = m->analysis.graph;
    pm_request whole = *r;
    whole.pdf = whole.cdf = false;
    pm_status st = PM_OK;
    for (size_t first = 0, count; st == PM_OK && first < r->n_theta; first += count) {
        bool has_zeros = some_weight_is_zero(g, r->theta + first * g->n_params);
        count = 1;
        while (!has_zeros && first + count < r->n_theta &&
               !some_weight_is_zero(g, r->theta + (first + count) * g->n_params)) {
            count++;
        }
        pm_request rows;
        pm_cotangents cotangents;
        pm_result out;
        narrow(g, &whole, result, first, count, &rows, &cotangents, &out);
        pm_start starts = {.value = start->value + first * g->n_starts, .rough = start->rough + first};
        st = has_zeros ? evaluate_zeros(m, &rows, starts.value, first, &out, err)
             : m->restriction != NULL
                 ? pmi_restriction_evaluate(m->restriction, m, &rows, starts.value, first, &out, err)
                 : evaluate(m, &rows, &starts, &out, err);
        if (st != PM_OK && !has_zeros && m->restriction == NULL && err != NULL) {
            pmi_error_shift_row(err, first); /* the others know of `first` */
        }
    }
    return st == PM_OK && wants_densities(r) ? densities(m, r, start->value, result, err) : st;
}

/* ---- the call ---- */

static pm_status evaluate_values(const pm_model *m, const pm_request *r, pm_result *result, pm_error *err) {
    const pm_graph *g = m->analysis.graph;
    pm_start start = {0};
    PM_TRY(check_theta(g, r, err));
    PM_TRY(pmi_row_sums_check(&m->row_sums, g, &m->analysis.split, r->theta, r->n_theta, err));
    PM_TRY(pmi_start_new(g, r->theta, r->n_theta, m->normalize_start, &start, err));
    if (result->atom != NULL) {
        fill_atoms(m, r, start.value, result->atom);
    }
    pm_status st = (m->defective ? evaluate_defective : evaluate)(m, r, &start, result, err);
    PM_THEN(st, r->cotangents != NULL ? adjoint(m, r, start.value, result, err) : PM_OK);
    pmi_start_free(&start);
    return st;
}

static void gather(pm_result *all, const pm_result *part) {
    all->steps = part->steps > all->steps ? part->steps : all->steps;
    all->error_bound = fmax(all->error_bound, part->error_bound);
    all->n_extended += part->n_extended;
    all->n_squared += part->n_squared;
    all->n_contour += part->n_contour;
    all->n_parabola += part->n_parabola;
    all->nodes = part->nodes > all->nodes ? part->nodes : all->nodes;
}

/* Cotangents of moments need their Jacobian, whether or not it is asked for. */
static pm_status evaluate_batch(const pm_model *m, const pm_request *r, pm_result *result, pm_error *err) {
    if (!has_moment_cotangents(r)) {
        return evaluate_values(m, r, result, err);
    }
    pm_request wants = *r;
    pm_result out = *result;
    pm_pool pool = {0};
    size_t n = 0;
    bool fits = pmi_mul(r->n_theta, (r->n_rewards == 0 ? 1 : r->n_rewards) * r->n_moments, &n) &&
                pmi_mul(n, m->analysis.graph->n_params, &n);
    if (!r->gradient) {
        out.moments_gradient = pmi_pool_array(&pool, fits ? n : SIZE_MAX, sizeof *out.moments_gradient);
        wants.gradient = true;
    }
    pm_status st = pmi_pool_check(&pool, err, "the derivatives of moments", n * sizeof *out.moments_gradient);
    PM_THEN(st, evaluate_values(m, &wants, &out, err));
    if (st == PM_OK) {
        contract_moments(m, r, &out);
        gather(result, &out);
    }
    pmi_pool_free(&pool);
    return st;
}

static void refuse_row(const pm_model *m, const pm_request *r, pm_result *result, size_t row, const pm_error *why) {
    pm_row_array arrays[PM_RESULT_ARRAYS];
    pmi_result_arrays(m->analysis.graph, r, result, arrays);
    for (size_t i = 0; i < PM_RESULT_ARRAYS; i++) {
        for (size_t k = 0; *arrays[i].values != NULL && k < arrays[i].width; k++) {
            (*arrays[i].values)[row * arrays[i].width + k] = NAN;
        }
    }
    result->status[row] = why->code;
    if (result->invalid != NULL) {
        result->invalid(result->invalid_ctx, row, why);
    }
}

typedef struct range {
    size_t first, count;
} range;

/* Rows fail alone: a range that fails is halved until what fails is one row. Each row is evaluated at most once for
 * each halving. */
static pm_status evaluate_rows(const pm_model *m, const pm_request *r, pm_result *result, pm_error *err) {
    range waiting[2 * 8 * sizeof(size_t)] = {{.first = 0, .count = r->n_theta}};
    for (size_t n = r->n_theta > 0 ? 1 : 0; n > 0;) {
        range now = waiting[--n];
        pm_request rows;
        pm_cotangents cotangents;
        pm_result part;
        pm_error why;
        narrow(m->analysis.graph, r, result, now.first, now.count, &rows, &cotangents, &part);
        part.steps = part.nodes = 0;
        part.n_extended = part.n_squared = part.n_contour = part.n_parabola = 0;
        part.error_bound = 0;
        pm_status st = evaluate_batch(m, &rows, &part, &why);
        if (st != PM_OK) {
            pmi_error_shift_row(&why, now.first);
        }
        if (st == PM_OK) {
            memset(result->status + now.first, 0, now.count * sizeof *result->status);
            gather(result, &part);
        } else if (st != PM_EDATA) {
            return pmi_fail(err, st, "%s", why.text);
        } else if (now.count == 1) {
            refuse_row(m, r, result, now.first, &why);
        } else {
            size_t half = now.count / 2;
            waiting[n++] = (range){.first = now.first + half, .count = now.count - half};
            waiting[n++] = (range){.first = now.first, .count = half};
        }
    }
    return PM_OK;
}

typedef struct evaluation_call {
    const pm_model *model;
    const pm_request *request;
    pm_result *result;
} evaluation_call;

static pm_status run_call(void *ctx, pm_error *err) {
    const evaluation_call *c = ctx;
    pm_float_env before = pmi_float_enter();
    pm_status st = (c->result->status != NULL ? evaluate_rows : evaluate_batch)(c->model, c->request, c->result, err);
    pmi_float_leave(before);
    return st;
}

pm_status pm_evaluate(const pm_model *model, const pm_request *request, pm_result *result, pm_error *err) {
    static const double no_parameters = 0;
    pm_request r = *request;
    if (model->analysis.graph->n_params == 0) {
        r.theta = &no_parameters;
    }
    r.threads = r.threads == 0 ? model->processors : r.threads;
    result->steps = result->nodes = 0;
    result->error_bound = 0;
    result->n_extended = result->n_squared = result->n_contour = result->n_parabola = 0;
    PM_TRY(check_call(model->analysis.graph, &r, result, err));
    if (model->densities_only && wants_moments(&r)) {
        return pmi_fail(err, PM_EUSAGE,
                        "the model was made for densities only: moments and covariances need its traces");
    }
    if (model->defective && ((r.gradient && r.n_moments > 0) || has_moment_cotangents(&r))) {
        return pmi_fail(err, PM_EUSAGE,
                        "the model was made with `defective`: derivatives of moments given absorption are not "
                        "computed; ask for those of pdf and cdf alone");
    }
    evaluation_call call = {.model = model, .request = &r, .result = result};
    return r.threads == 1 ? run_call(&call, err) : pmi_team_lead(run_call, &call, err);
}
