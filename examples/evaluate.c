/* Mean and variance of the time to absorption for a few theta, and the chance that it is over by time 1.
 *
 *     cc evaluate.c -o evaluate $(pkg-config --cflags --libs phasemill) && ./evaluate phasic-0.32.1-arg4.json */
#include <phasemill.h>
#include <stdio.h>
#include <stdlib.h>

#define N_THETA 3

static void print_line(void *ctx, pm_log_level level, const char *text) {
    (void)ctx;
    if (level >= PM_LOG_WARNING) {
        fprintf(stderr, "%s\n", text);
    }
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s GRAPH, of two parameters\n", argv[0]);
        return PM_EUSAGE;
    }
    const pm_log log = {.line = print_line};
    pm_model_options options;
    pm_model_options_default(&options);
    options.use_cache = false;
    options.log = &log;

    const double theta[N_THETA][2] = {{2, 5}, {1, 5}, {1, 0.5}};
    const double times[] = {1.0};
    double moments[N_THETA][2], cdf[N_THETA][1];
    const pm_request request = {
        .n_theta = N_THETA, .theta = theta[0], .n_moments = 2, .n_times = 1, .times = times, .cdf = true};
    pm_result result = {.moments = moments[0], .cdf = cdf[0]};

    pm_error err;
    pm_graph *graph = NULL;
    pm_model *model = NULL;
    pm_status st = pm_graph_load(argv[1], PM_FORMAT_PHASIC, PM_KIND_AS_GIVEN, &graph, &err);
    if (st == PM_OK && pm_graph_n_params(graph) != 2) {
        fprintf(stderr, "%s has %zu parameters, this example needs 2\n", argv[1], pm_graph_n_params(graph));
        pm_graph_free(graph);
        return PM_EDATA;
    }
    if (st == PM_OK) {
        st = pm_model_new(graph, &options, &model, NULL, &err);
    }
    if (st == PM_OK) {
        st = pm_evaluate(model, &request, &result, &err);
    }
    for (size_t i = 0; st == PM_OK && i < N_THETA; i++) {
        double mean = moments[i][0];
        printf("theta %g %g: mean %.15g, variance %.15g, P(T <= 1) %.12g\n", theta[i][0], theta[i][1], mean,
               moments[i][1] - mean * mean, cdf[i][0]);
    }
    if (st != PM_OK) {
        fprintf(stderr, "%s\n", err.text);
    }
    pm_model_free(model);
    pm_graph_free(graph);
    return (int)st;
}
