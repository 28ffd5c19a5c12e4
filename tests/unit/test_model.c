#include <criterion/criterion.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "digraphs.h"
#include "model_fixture.h"

/* A ring of `n` states, an exit from each, all rates theta. */
static pm_graph *ring(uint32_t n) {
    const double one = 1;
    sketch s = sketch_of((size_t)n + 2, 1, false);
    sketch_start(&s, 1, 1);
    for (uint32_t v = 1; v <= n; v++) {
        sketch_param(&s, v, v == n ? 1 : v + 1, &one);
        sketch_param(&s, v, n + 1, &one);
    }
    return sketch_finish(&s);
}

static pm_model_options without_cache(void) {
    pm_model_options options;
    pm_model_options_default(&options);
    options.use_cache = false;
    return options;
}

static pm_model *model_of(pm_graph *graph, const pm_model_options *options, pm_model_report *report) {
    pm_model *model;
    pm_error err;
    cr_assert_eq(pm_model_new(graph, options, &model, report, &err), PM_OK, "%s", err.text);
    return model;
}

static pm_error refusal(const pm_model *m, const pm_request *request, pm_result *result, pm_status status) {
    pm_error err = {0};
    cr_assert_eq(pm_evaluate(m, request, result, &err), status, "%s", err.text);
    return err;
}

/* All states of the ring leave at rate theta: the time is exponential. */
static void check_ring(const pm_model *m) {
    static const double theta[] = {0.5, 4};
    double moments[4];
    pm_request request = {.n_theta = 2, .theta = theta, .n_moments = 2};
    pm_result result = {.moments = moments};
    pm_error err;
    cr_assert_eq(pm_evaluate(m, &request, &result, &err), PM_OK, "%s", err.text);
    static const double expected[] = {2, 8, 0.25, 0.125};
    for (int i = 0; i < 4; i++) {
        cr_assert(fabs(moments[i] - expected[i]) <= 1e-13 * expected[i], "%.17g", moments[i]);
    }
}

Test(model, keeps_the_graph_alive) {
    pm_graph *g = ring(20);
    pm_model_options options = without_cache();
    pm_model_report report;
    pm_model *m = model_of(g, &options, &report);
    pm_graph_free(g);
    check_ring(m);
    cr_assert_eq(report.sccs_total, 3u);
    cr_assert_eq(report.sccs_nontrivial, 1u);
    cr_assert_eq(report.sccs_distinct, 1u);
    cr_assert_eq(report.sccs_recorded, 1u);
    cr_assert_eq(report.sccs_cached, 0u);
    cr_assert(report.seconds_split >= 0 && report.seconds_record >= 0 && report.seconds_stitch >= 0);
    pm_model_free(m);
    pm_model_free(NULL);
}

static void remove_folder(const char *dir) {
    char command[300];
    snprintf(command, sizeof command, "rm -r '%s'", dir);
    cr_assert_eq(system(command), 0);
}

Test(model, a_second_model_finds_its_traces_on_disk) {
    char dir[] = "/tmp/phasemill-test-XXXXXX";
    cr_assert_not_null(mkdtemp(dir));
    pm_graph *g = ring(30);
    pm_model_options options;
    pm_model_options_default(&options);
    options.cache_dir = dir;
    for (size_t run = 0; run < 3; run++) {
        pm_model_report report;
        pm_model *m = model_of(g, &options, &report);
        check_ring(m);
        cr_assert_eq(report.sccs_recorded, run == 0 ? 1u : 0u);
        cr_assert_eq(report.sccs_cached, run == 0 ? 0u : 1u);
        pm_model_free(m);
    }
    /* another effort is another trace */
    options.effort = PM_EFFORT_BEST;
    pm_model_report report;
    pm_model *m = model_of(g, &options, &report);
    cr_assert_eq(report.sccs_recorded, 1u);
    pm_model_free(m);
    pm_graph_free(g);
    remove_folder(dir);
}

/* Densities are computed from the graph: the same bits with traces and without, and nothing is put in the cache. */
Test(model, for_densities_only_records_nothing) {
    char dir[] = "/tmp/phasemill-test-XXXXXX";
    cr_assert_not_null(mkdtemp(dir));
    pm_graph *g = ring(2000);
    pm_model_options options;
    pm_model_options_default(&options);
    options.cache_dir = dir;
    options.densities_only = true;
    pm_model_report report;
    pm_model *bare = model_of(g, &options, &report);
    cr_assert_eq(report.sccs_nontrivial, 1u);
    cr_assert(report.sccs_distinct == 0 && report.sccs_recorded == 0 && report.sccs_cached == 0);
    options.densities_only = false;
    pm_model *full = model_of(g, &options, &report);
    cr_assert_eq(report.sccs_recorded, 1u);
    const double times[] = {0.5, 3}, theta[] = {1};
    double pdf[2][2], cdf[2][2], moment;
    pm_request request = {.n_theta = 1, .theta = theta, .n_times = 2, .times = times, .pdf = true, .cdf = true};
    for (int i = 0; i < 2; i++) {
        pm_error err = {0};
        pm_result result = {.pdf = pdf[i], .cdf = cdf[i]};
        cr_assert_eq(pm_evaluate(i == 0 ? bare : full, &request, &result, &err), PM_OK, "%s", err.text);
    }
    cr_assert(memcmp(pdf[0], pdf[1], sizeof pdf[0]) == 0 && memcmp(cdf[0], cdf[1], sizeof cdf[0]) == 0);
    for (int t = 0; t < 2; t++) {
        cr_assert(fabs(cdf[0][t] + expm1(-times[t])) < 1e-9 && fabs(pdf[0][t] - exp(-times[t])) < 1e-9);
    }
    request = (pm_request){.n_theta = 1, .theta = theta, .n_moments = 1};
    pm_error why = refusal(bare, &request, &(pm_result){.moments = &moment}, PM_EUSAGE);
    cr_assert(strstr(why.text, "densities only") != NULL, "%s", why.text);
    pm_model_free(bare);
    pm_model_free(full);
    pm_graph_free(g);
    remove_folder(dir);
}

Test(model, a_cache_folder_that_cannot_be_made_is_an_error) {
    pm_graph *g = ring(3);
    pm_model_options options;
    pm_model_options_default(&options);
    options.cache_dir = "/dev/null/cache";
    pm_model *m = (pm_model *)g;
    pm_error err;
    cr_assert_eq(pm_model_new(g, &options, &m, NULL, &err), PM_ECANTCREAT, "%s", err.text);
    cr_assert_null(m);
    pm_graph_free(g);
}

Test(model, errors_leave_no_model) {
    sketch s = sketch_of(4, 0, false);
    sketch_start(&s, 1, 1);
    sketch_edge(&s, 1, 3, 1);
    sketch_edge(&s, 1, 2, 1);
    sketch_edge(&s, 2, 1, 1);
    pm_graph *g = sketch_finish(&s);
    pm_model_options options = without_cache();
    options.isa = "sparc";
    pm_model *m;
    pm_error err;
    cr_assert_eq(pm_model_new(g, &options, &m, NULL, &err), PM_EUSAGE);
    cr_assert(strstr(err.text, "sparc") != NULL, "%s", err.text);
    cr_assert_null(m);
    options.isa = NULL;
    options.memory = 10;
    cr_assert_eq(pm_model_new(g, &options, &m, NULL, &err), PM_EOSERR);
    cr_assert(strstr(err.text, "an SCC of 2 states") != NULL, "%s", err.text);
    cr_assert_null(m);
    pm_graph_free(g);
}

Test(model, runs_on_each_instruction_set_of_the_processor) {
    pm_graph *g = ring(17);
    for (int isa = 0; isa < PM_ISA_COUNT; isa++) {
        if (model_fixture_has_isa((pm_isa)isa)) {
            pm_model_options options = without_cache();
            options.isa = pmi_isa_name((pm_isa)isa);
            pm_model *m = model_of(g, &options, NULL);
            cr_assert_str_eq(pm_model_isa(m), options.isa);
            check_ring(m);
            pm_model_free(m);
        }
    }
    pm_graph_free(g);
}

static void *evaluate_often(void *model) {
    for (int turn = 0; turn < 50; turn++) {
        check_ring(model);
    }
    return NULL;
}

Test(model, several_threads_may_evaluate_one) {
    pm_graph *g = ring(40);
    pm_model_options options = without_cache();
    pm_model *m = model_of(g, &options, NULL);
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, evaluate_often, m), 0);
    }
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    }
    pm_model_free(m);
    pm_graph_free(g);
}

/* ---- the start distribution ---- */

static pm_graph *starting(double weight) {
    sketch s = sketch_of(4, 0, false);
    sketch_start(&s, 1, weight);
    sketch_start(&s, 2, 2 * weight);
    sketch_edge(&s, 1, 3, 1);
    sketch_edge(&s, 2, 3, 2);
    return sketch_finish(&s);
}

Test(model, a_start_distribution_sums_to_one_or_is_rescaled) {
    pm_graph *g = starting(0.25);
    pm_model_options options = without_cache();
    pm_model *m = model_of(g, &options, NULL);
    double mean;
    pm_request request = {.n_theta = 1, .n_moments = 1};
    pm_error err = refusal(m, &request, &(pm_result){.moments = &mean}, PM_EDATA);
    cr_assert(strstr(err.text, "theta row 0: the start distribution sums to 0.75, expected 1") != NULL, "%s", err.text);
    cr_assert(strstr(err.text, "--normalize-start") != NULL, "%s", err.text);
    pm_model_free(m);
    options.normalize_start = true;
    m = model_of(g, &options, NULL);
    cr_assert_eq(pm_evaluate(m, &request, &(pm_result){.moments = &mean}, NULL), PM_OK);
    cr_assert(fabs(mean - 2.0 / 3) < 1e-15, "%.17g", mean);
    pm_model_free(m);
    pm_graph_free(g);
}

Test(model, a_start_distribution_within_the_tolerance_is_rescaled_silently) {
    static const double weights[] = {1.0 / 3, (1 + 9e-10) / 3, (1 - 9e-10) / 3, (1 + 2e-9) / 3, (1 - 2e-9) / 3};
    for (int i = 0; i < 5; i++) {
        pm_graph *g = starting(weights[i]);
        pm_model_options options = without_cache();
        pm_model *m = model_of(g, &options, NULL);
        double mean;
        pm_request request = {.n_theta = 1, .n_moments = 1};
        pm_status st = pm_evaluate(m, &request, &(pm_result){.moments = &mean}, NULL);
        cr_assert_eq(st, i < 3 ? PM_OK : PM_EDATA, "case %d", i);
        cr_assert(i >= 3 || fabs(mean - 2.0 / 3) < 1e-15, "%.17g", mean);
        pm_model_free(m);
        pm_graph_free(g);
    }
}

/* ---- requests that are wrong ---- */

Test(model, wrong_requests_say_what_is_expected) {
    static const double theta[] = {1, 2}, times[] = {1}, rewards[40] = {0}, bad[40] = {[7] = NAN};
    double out[64];
    pm_result all = {.moments = out, .covariance = out, .pdf = out, .cdf = out}, nowhere = {0};
    struct {
        pm_request request;
        pm_result *result;
        pm_status status;
        const char *text;
    } cases[] = {
        {{.n_theta = 2, .n_moments = 1}, &all, PM_EUSAGE, "no theta: expected 2 rows of 1 parameters"},
        {{.n_theta = 1, .theta = theta, .n_moments = 1, .n_rewards = 2}, &all, PM_EUSAGE, "no rewards: expected 2"},
        {{.n_theta = 1, .theta = theta, .pdf = true}, &all, PM_EUSAGE, "at least one time"},
        {{.n_theta = 1, .theta = theta, .n_moments = 1, .lanes = 3}, &all, PM_EUSAGE, "found 3"},
        {{.n_theta = 1, .theta = theta, .n_moments = 1, .factorial = true}, &all, PM_EUSAGE, "continuous"},
        {{.n_theta = 1, .theta = theta, .cdf = true, .n_times = 1, .times = times, .tolerance = -1},
         &all,
         PM_EUSAGE,
         "tolerance"},
        {{.n_theta = 1, .theta = theta, .n_moments = 1}, &nowhere, PM_EUSAGE, "without a buffer"},
        {{.n_theta = 1, .theta = theta, .covariance = true}, &nowhere, PM_EUSAGE, "without a buffer"},
        {{.n_theta = 1, .theta = theta, .n_moments = 1, .n_rewards = 2, .rewards = bad},
         &all,
         PM_EDATA,
         "reward vector 0, row 7: expected a finite number"},
        {{.n_theta = 1, .theta = bad + 7, .n_moments = 1, .n_rewards = 2, .rewards = rewards},
         &all,
         PM_EDATA,
         "theta row 0, column 0"},
    };
    pm_graph *g = ring(18);
    pm_model_options options = without_cache();
    pm_model *m = model_of(g, &options, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        pm_error err = refusal(m, &cases[i].request, cases[i].result, cases[i].status);
        cr_assert(strstr(err.text, cases[i].text) != NULL, "case %zu: %s", i, err.text);
    }
    pm_model_free(m);
    pm_graph_free(g);
}

Test(model, defaults) {
    pm_model_options options;
    memset(&options, 0xff, sizeof options);
    pm_model_options_default(&options);
    cr_assert_eq(options.effort, PM_EFFORT_BALANCED);
    cr_assert_eq(options.min_size, 50u);
    cr_assert(options.use_cache && !options.strict_cache && !options.normalize_start);
    cr_assert_null(options.cache_dir);
    cr_assert_null(options.isa);
    cr_assert_null(options.log);
}

static pm_status empty_get(void *ctx, const uint8_t key[PM_DIGEST_BYTES], pm_buffer *value, pm_cache_found *found,
                           pm_error *err) {
    (void)ctx, (void)key, (void)value, (void)err;
    *found = PM_CACHE_MISSING;
    return PM_OK;
}

Test(model, of_an_analysis_is_the_same_and_leaves_it_after_a_failure) {
    pm_graph *g = ring(30);
    pm_model_options options = without_cache();
    pm_model *whole = model_of(g, &options, NULL), *model;
    pm_analysis analysis;
    pm_error err;
    cr_assert_eq(pmi_analysis_split(g, options.effort, false, NULL, &analysis, &err), PM_OK);
    cr_assert_eq(pmi_analysis_classify(&analysis, 1, NULL, &err), PM_OK);
    char hex[PM_DIGEST_HEX];
    pmi_hex(analysis.classes.canon[0].key, hex);

    pm_trace_cache empty = {.get = empty_get};
    pm_trace_source source = {.cache = &empty, .cached_only = true};
    cr_assert_eq(pmi_model_of(&analysis, &source, &options, &model, NULL, &err), PM_EUNAVAILABLE);
    cr_assert(strstr(err.text, hex) != NULL, "%s", err.text);
    cr_assert_null(model);

    pm_model_report report;
    source = (pm_trace_source){.cache = NULL};
    cr_assert_eq(pmi_model_of(&analysis, &source, &options, &model, &report, &err), PM_OK, "%s", err.text);
    cr_assert_eq(report.sccs_recorded, 1u);
    cr_assert_eq(report.sccs_nontrivial, 1u);
    cr_assert_null(analysis.graph);
    pm_graph_free(g);

    static const double theta[] = {0.37, 2.9}, times[] = {0.1, 2};
    double moments[2][4], pdf[2][4];
    const pm_model *models[] = {whole, model};
    for (int i = 0; i < 2; i++) {
        pm_request request = {.n_theta = 2, .theta = theta, .n_moments = 2, .n_times = 2, .times = times, .pdf = true};
        pm_result result = {.moments = moments[i], .pdf = pdf[i]};
        cr_assert_eq(pm_evaluate(models[i], &request, &result, &err), PM_OK, "%s", err.text);
    }
    cr_assert_eq(memcmp(moments[0], moments[1], sizeof moments[0]), 0);
    cr_assert_eq(memcmp(pdf[0], pdf[1], sizeof pdf[0]), 0);
    pm_model_free(whole);
    pm_model_free(model);
}
