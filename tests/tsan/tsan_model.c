/* Data races: traces recorded by several threads, one model evaluated by several callers at once, each with threads of
 * its own; all callers must get the same bits. Prints nothing and exits 0 when all is well. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "examples/models.h"

enum { CALLERS = 3, ROUNDS = 3, B = 37, K = 2, T = 5 };

typedef struct caller {
    const pm_model *model;
    size_t n_theta;
    pthread_t thread;
    pm_status status;
    pm_error err;
    double moments[B * K], pdf[B * T], cdf[B * T];
} caller;

static void *evaluate(void *argument) {
    caller *c = argument;
    double theta[B * 2];
    for (size_t b = 0; b < B; b++) {
        theta[2 * b] = 1.0 + 0.1 * (double)b;
        theta[2 * b + 1] = 5.0 - 0.1 * (double)b;
    }
    const double times[T] = {0.0, 0.25, 0.5, 1.0, 2.0};
    const pm_request request = {.n_theta = c->n_theta,
                                .theta = theta,
                                .n_moments = K,
                                .n_times = T,
                                .times = times,
                                .pdf = true,
                                .cdf = true,
                                .threads = 2};
    pm_result result = {.moments = c->moments, .pdf = c->pdf, .cdf = c->cdf};
    for (int round = 0; round < ROUNDS && c->status == PM_OK; round++) {
        c->status = pm_evaluate(c->model, &request, &result, &c->err);
    }
    return NULL;
}

/* A batch of many rows is split over threads by rows, one of a single row by SCCs and states. */
static int evaluate_at_once(const pm_model *model, size_t n_theta) {
    caller *callers = calloc(CALLERS, sizeof *callers);
    if (callers == NULL) {
        return 1;
    }
    for (int i = 0; i < CALLERS; i++) {
        callers[i].model = model;
        callers[i].n_theta = n_theta;
        if (pthread_create(&callers[i].thread, NULL, evaluate, &callers[i]) != 0) {
            abort();
        }
    }
    int faults = 0;
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(callers[i].thread, NULL);
        bool same = memcmp(callers[i].moments, callers[0].moments, sizeof callers[0].moments) == 0 &&
                    memcmp(callers[i].pdf, callers[0].pdf, sizeof callers[0].pdf) == 0 &&
                    memcmp(callers[i].cdf, callers[0].cdf, sizeof callers[0].cdf) == 0;
        if (callers[i].status != PM_OK || !same) {
            fprintf(stderr, "caller %d: %s\n", i, same ? callers[i].err.text : "other bits than caller 0");
            faults++;
        }
    }
    free(callers);
    return faults;
}

int main(void) {
    const int64_t args[PM_MODEL_MAX_ARGS] = {5, 0};
    pm_error err;
    pm_graph *graph = NULL;
    pm_model *model = NULL;
    pm_model_options options;
    pm_model_options_default(&options);
    options.threads = 4;
    options.min_size = 0;
    options.use_cache = false;
    int faults = 1;
    pm_status st = pmi_model_make(pmi_model_find("two-locus-arg"), args, &graph, &err);
    if (st == PM_OK) {
        st = pm_model_new(graph, &options, &model, NULL, &err);
    }
    if (st == PM_OK) {
        faults = evaluate_at_once(model, B) + evaluate_at_once(model, 1);
    } else {
        fprintf(stderr, "%s\n", err.text);
    }
    pm_model_free(model);
    pm_graph_free(graph);
    return faults == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
