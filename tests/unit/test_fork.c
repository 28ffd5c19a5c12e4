/* Parallel evaluation before and after a fork: in the child, in its children, and in the parent again. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "examples/models.h"
#include "model/model.h"

enum { B = 64, P = 2 };

static pm_graph *graph(void) {
    const int64_t args[PM_MODEL_MAX_ARGS] = {5, 0};
    pm_graph *g = NULL;
    pm_error err;
    return pmi_model_find("two-locus-arg")->make(args, &g, &err) == PM_OK ? g : NULL;
}

static pm_model *model_of(const pm_graph *g) {
    pm_model_options options;
    pm_model *m = NULL;
    pm_model_options_default(&options);
    options.threads = 2;
    options.use_cache = false;
    return pm_model_new(g, &options, &m, NULL, NULL) == PM_OK ? m : NULL;
}

static bool evaluate(const pm_model *m, double moments[B]) {
    double theta[B * P];
    for (size_t i = 0; i < B * P; i++) {
        theta[i] = 1 + 0.01 * (double)i;
    }
    pm_request request = {.n_theta = B, .theta = theta, .n_moments = 1, .threads = 2};
    return m != NULL && pm_evaluate(m, &request, &(pm_result){.moments = moments}, NULL) == PM_OK;
}

/* Whether the model, and one that is made here, give what they gave before. */
static bool is_well(const pm_graph *g, const pm_model *m, const double *expected) {
    double moments[B];
    bool good = evaluate(m, moments) && memcmp(moments, expected, sizeof moments) == 0;
    pm_model *own = model_of(g);
    good = good && evaluate(own, moments) && memcmp(moments, expected, sizeof moments) == 0;
    pm_model_free(own);
    return good;
}

static int child(const pm_graph *g, const pm_model *m, const double *expected, int depth) {
    alarm(60);
    bool good = is_well(g, m, expected) && is_well(g, m, expected);
    if (good && depth > 1) {
        pid_t pid = fork();
        int status = -1;
        if (pid == 0) {
            _exit(child(g, m, expected, depth - 1));
        }
        good = waitpid(pid, &status, 0) == pid && status == 0;
    }
    return good ? 0 : 1;
}

Test(fork, parallel_work_goes_on_in_children) {
    static double expected[B];
    pm_graph *g = graph();
    pm_model *m = model_of(g);
    cr_assert(evaluate(m, expected));
    for (int round = 0; round < 2; round++) {
        pid_t pid = fork();
        int status = -1;
        if (pid == 0) {
            _exit(child(g, m, expected, 2));
        }
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        cr_assert_eq(status, 0);
        cr_assert(is_well(g, m, expected));
    }
    pm_model_free(m);
    pm_graph_free(g);
}
