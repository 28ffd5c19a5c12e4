#include "support/result.h"

#include <math.h>

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

static pm_status check_array(const char *name, const double *values, size_t rows, size_t width, pm_error *err) {
    for (size_t i = 0; values != NULL && i < rows * width; i++) {
        if (!isfinite(values[i])) {
            return pmi_fail(err, PM_ESOFTWARE,
                            "internal error: %s of theta row %zu holds %g, which is not a number to give out; please "
                            "report it with the graph and theta",
                            name, i / width, values[i]);
        }
    }
    return PM_OK;
}

pm_status cli_result_check(const cli_result *r, pm_error *err) {
    const pm_request *q = r->request;
    size_t f = cli_result_rewards(q), p = r->graph->n_params;
    const struct {
        const char *name;
        const double *values;
        size_t width;
    } arrays[] = {
        {"moments", r->values.moments, f * q->n_moments},
        {"covariance", r->values.covariance, f * f},
        {"atom", r->values.atom, 1},
        {"absorption", r->values.absorption, 1},
        {"pdf", r->values.pdf, q->n_times},
        {"cdf", r->values.cdf, q->n_times},
        {"survival", r->values.survival, q->n_times},
        {"the gradient of moments", r->values.moments_gradient, f * q->n_moments * p},
        {"the gradient of pdf", r->values.pdf_gradient, q->n_times * p},
        {"the gradient of cdf", r->values.cdf_gradient, q->n_times * p},
        {"the gradient of survival", r->values.survival_gradient, q->n_times * p},
    };
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        PM_TRY(check_array(arrays[i].name, arrays[i].values, q->n_theta, arrays[i].width, err));
    }
    return PM_OK;
}
