/* Allocation failures in the whole of what a caller does: model from a graph, with and without the cache on disk, and
 * every quantity of it. */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "examples/models.h"
#include "failing.h"

enum { B = 3, K = 2, F = 2, T = 4, P = 2, LARGEST = 64 };

typedef struct setting {
    const pm_graph *graph;
    const char *cache_dir; /* NULL: no cache */
    bool keeps_cache;      /* the folder is filled before, and stays */
    bool discrete;
} setting;

static void note_warning(void *ctx, pm_log_level level, const char *text) {
    (void)text;
    if (level >= PM_LOG_WARNING) {
        *(bool *)ctx = true;
    }
}

static void empty_folder(const char *folder) {
    DIR *dir = opendir(folder);
    if (dir == NULL) {
        return;
    }
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        if (entry->d_name[0] != '.') {
            unlinkat(dirfd(dir), entry->d_name, 0);
        }
    }
    closedir(dir);
}

/* With exact times, an interval, one that is open, and all derivatives. */
static pm_status likelihoods(const pm_model *model, const double *theta, pm_error *err) {
    const double lower[] = {1.0, 2.0, 1.0, 3.0}, upper[] = {1.0, 4.0, INFINITY, 3.0};
    double loglik[B], gradient[B * P], hessian[B * P * P], information[B * P * P];
    pm_status status[B];
    pm_loglik_result result = {
        .loglik = loglik, .gradient = gradient, .hessian = hessian, .information = information, .status = status};
    pm_data *data;
    pm_status st = pm_data_new(&(pm_observations){.n = 4, .time = lower, .upper = upper}, &data, err);
    if (st == PM_OK) {
        st = pm_loglik(model, data, &(pm_loglik_request){.n_theta = B, .theta = theta, .threads = 1}, &result, err);
        pm_data_free(data);
    }
    return st;
}

static pm_status evaluate(const pm_model *model, const setting *s, pm_error *err) {
    double rewards[F * LARGEST];
    for (size_t i = 0; i < F * LARGEST; i++) {
        rewards[i] = (double)(i % 5) - 1.0;
    }
    const double theta[] = {2.0, 5.0, 1.0, 0.5, 0.25, 3.0};
    const double times[] = {0.0, 1.0, 4.0, 2.0};
    double moments[B * F * K], covariance[B * F * F], atom[B], pdf[B * T], cdf[B * T], survival[B * T];
    double by_moments[B * F * K * P], by_pdf[B * T * P], by_cdf[B * T * P], by_survival[B * T * P];
    pm_request request = {.n_theta = B,
                          .theta = theta,
                          .n_moments = K,
                          .n_rewards = F,
                          .rewards = rewards,
                          .covariance = true,
                          .n_times = T,
                          .times = times,
                          .pdf = true,
                          .cdf = true,
                          .gradient = true,
                          .threads = 1};
    pm_result result = {.moments = moments,
                        .covariance = covariance,
                        .atom = atom,
                        .pdf = pdf,
                        .cdf = cdf,
                        .survival = survival,
                        .moments_gradient = by_moments,
                        .pdf_gradient = by_pdf,
                        .cdf_gradient = by_cdf,
                        .survival_gradient = by_survival};
    pm_status st = pm_evaluate(model, &request, &result, err);
    if (st == PM_OK && s->discrete) {
        request.n_rewards = 0;
        request.rewards = NULL;
        request.covariance = false;
        request.factorial = true;
        st = pm_evaluate(model, &request, &result, err);
    } else if (st == PM_OK) {
        request.tail_accuracy = true;
        st = pm_evaluate(model, &request, &result, err);
        request.tail_accuracy = request.gradient = false;
        request.method = PM_DENSITY_PARABOLA;
        if (st == PM_OK) {
            st = pm_evaluate(model, &request, &result, err);
        }
    }
    return st == PM_OK ? likelihoods(model, theta, err) : st;
}

static pm_status whole(void *ctx, bool *tolerated, pm_error *err) {
    const setting *s = ctx;
    const pm_log log = {.ctx = tolerated, .line = note_warning};
    pm_model_options options;
    pm_model_options_default(&options);
    options.threads = 1;
    options.use_cache = s->cache_dir != NULL;
    options.cache_dir = s->cache_dir;
    options.log = &log;
    if (s->cache_dir != NULL && !s->keeps_cache) {
        empty_folder(s->cache_dir);
    }
    pm_model *model = NULL;
    pm_status st = pm_model_new(s->graph, &options, &model, NULL, err);
    if (st == PM_OK) {
        st = evaluate(model, s, err);
    }
    pm_model_free(model);
    return st;
}

static const char discrete_json[] =
    "{\"states\": [[0], [1], [2], [3]], \"edges\": [[1, 2, 0.5], [2, 1, 0.25], [1, 1, 0.25], [2, 3, 0.5], [3, 3, 1.0]],"
    " \"start_edges\": [[1, 1.0]], \"param_edges\": [[1, 3, 0.01, 0.02]], \"start_param_edges\": [],"
    " \"param_length\": 2, \"state_length\": 1, \"n_vertices\": 4, \"is_discrete\": true}";

int main(void) {
    const int64_t args[PM_MODEL_MAX_ARGS] = {3, 0};
    const char *tmp = getenv("TMPDIR");
    char folder[512];
    snprintf(folder, sizeof folder, "%s/alloc-cache-XXXXXX", tmp == NULL ? "/tmp" : tmp);
    pm_graph *arg = NULL, *discrete = NULL;
    pm_error err;
    if (mkdtemp(folder) == NULL || pmi_model_make(pmi_model_find("two-locus-arg"), args, &arg, &err) != PM_OK ||
        pm_graph_parse(discrete_json, strlen(discrete_json), PM_FORMAT_PHASIC, PM_KIND_AS_GIVEN, &discrete, &err) !=
            PM_OK) {
        printf("not ok preparation\n");
        return EXIT_FAILURE;
    }
    setting plain = {.graph = arg}, steps = {.graph = discrete, .discrete = true};
    setting filling = {.graph = arg, .cache_dir = folder};
    setting using = {.graph = arg, .cache_dir = folder, .keeps_cache = true};
    int faults = failing_sweep("evaluate", whole, &plain);
    faults += failing_sweep("evaluate a discrete graph", whole, &steps);
    faults += failing_sweep("evaluate, filling the cache", whole, &filling);
    bool tolerated = false;
    if (whole(&filling, &tolerated, &err) != PM_OK) {
        printf("not ok filling the cache: %s\n", err.text);
        faults++;
    }
    faults += failing_sweep("evaluate, from the cache", whole, &using);
    empty_folder(folder);
    rmdir(folder);
    pm_graph_free(arg);
    pm_graph_free(discrete);
    return faults == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
