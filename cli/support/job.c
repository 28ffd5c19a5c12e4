#include "support/job.h"

#include "base/machine.h"
#include "eval/density.h"
#include "producer/submit.h"
#include "units/producer.h"

static const pm_log *log_of(const cli_job *job) {
    return &job->cluster.console.log;
}

pm_status cli_job_close(cli_job *job, pm_status st, pm_error *err) {
    pm_result *v = &job->result.values;
    pm_row_array arrays[PM_RESULT_ARRAYS];
    if (job->graph != NULL) { /* before there is a graph, nothing is allocated */
        pmi_result_arrays(job->graph, &job->request, v, arrays);
        for (size_t i = 0; i < PM_RESULT_ARRAYS; i++) {
            free(*arrays[i].values);
        }
    }
    free(v->status);
    free(job->result.invalid);
    pm_model_free(job->model);
    pmi_analysis_free(&job->analysis);
    pmi_buffer_free(&job->manifest);
    pm_graph_free(job->graph);
    pmi_matrix_free(&job->theta);
    pmi_matrix_free(&job->times);
    pmi_matrix_free(&job->rewards);
    return cli_cluster_close(&job->cluster, st, err);
}

static pm_status read_matrix(const char *option, const char *text, pm_matrix *out, pm_error *err) {
    if (text == NULL) {
        return PM_OK;
    }
    pm_status st = pmi_matrix_read(text, out, err);
    return st == PM_OK ? PM_OK : pmi_fail_prefix(err, "%s", option);
}

pm_status cli_job_read_numbers(cli_job *job, pm_error *err) {
    const cli_run_options *o = &job->options;
    PM_TRY(read_matrix("--theta", o->theta, &job->theta, err));
    PM_TRY(read_matrix("--times", o->times, &job->times, err));
    return read_matrix("--rewards", o->rewards, &job->rewards, err);
}

/* A fault of numbers written out is one of the request; of numbers in a file, one of the data. */
static pm_status fault_of(const char *text) {
    return pmi_matrix_is_path(text) ? PM_EDATA : PM_EUSAGE;
}

static pm_status set_theta(cli_job *job, pm_error *err) {
    const char *text = job->options.theta;
    size_t n_params = pm_graph_n_params(job->graph);
    if (text == NULL && n_params > 0) {
        return pmi_fail(err, PM_EUSAGE, "--theta is missing: the graph has %zu parameters", n_params);
    }
    if (text != NULL && job->theta.cols != n_params) {
        return pmi_fail(err, fault_of(text),
                        "--theta: rows of %zu values, expected %zu: the graph has %zu parameters%s", job->theta.cols,
                        n_params, n_params, n_params == 0 ? "; leave --theta out" : "");
    }
    job->request.n_theta = text == NULL ? 1 : job->theta.rows;
    job->request.theta = job->theta.data;
    return PM_OK;
}

static pm_status set_times(cli_job *job, pm_error *err) {
    const char *text = job->options.times;
    if (text == NULL) {
        return PM_OK;
    }
    size_t rows = job->times.rows, n_theta = job->request.n_theta;
    if (job->times.cols == 0 || rows == 0) {
        return pmi_fail(err, fault_of(text), "--times: no times, expected at least one");
    }
    if (rows != 1 && rows != n_theta) {
        return pmi_fail(err, fault_of(text),
                        "--times: %zu rows, expected one row for all theta, or %zu: a row for each theta", rows,
                        n_theta);
    }
    job->request.n_times = job->times.cols;
    job->request.times = job->times.data;
    job->request.times_per_theta = rows != 1;
    return PM_OK;
}

static pm_status set_rewards(cli_job *job, pm_error *err) {
    const char *text = job->options.rewards;
    if (text == NULL) {
        return PM_OK;
    }
    size_t n = pm_graph_n_vertices(job->graph);
    if (job->rewards.rows == 0 || job->rewards.cols != n) {
        return pmi_fail(err, fault_of(text),
                        "--rewards: %zu rows of %zu values, expected reward vectors of %zu: one value for each row of "
                        "the graph",
                        job->rewards.rows, job->rewards.cols, n);
    }
    job->request.n_rewards = job->rewards.rows;
    job->request.rewards = job->rewards.data;
    return PM_OK;
}

static pm_status make_request(cli_job *job, pm_error *err) {
    const cli_run_options *o = &job->options;
    bool is_discrete = pm_graph_is_discrete(job->graph);
    if (o->factorial && !is_discrete) {
        return pmi_fail(err, PM_EUSAGE, "--factorial: the graph is continuous; factorial moments are of discrete ones");
    }
    if (o->method != 0 && is_discrete) {
        return pmi_fail(err, PM_EUSAGE,
                        "--method: the graph is discrete, its probabilities come from stepping; leave --method out");
    }
    job->request = (pm_request){
        .n_moments = o->moments,
        .factorial = o->factorial,
        .gradient = o->gradient,
        .covariance = o->covariance || cli_result_shows_spread(o->write_format, o->moments),
        .pdf = o->pdf,
        .cdf = o->cdf,
        .tolerance = o->tolerance,
        .row_seconds = (double)o->row_seconds,
        .tail_accuracy = o->tail_accuracy,
        .method = (pm_density_method)o->method,
        .threads = o->threads == 0 ? pmi_processors() : (unsigned)o->threads,
    };
    PM_TRY(set_theta(job, err));
    PM_TRY(set_times(job, err));
    return set_rewards(job, err);
}

static pm_status allocate_results(cli_job *job, pm_error *err) {
    const pm_request *q = &job->request;
    const bool is_wanted[PM_RESULT_ARRAYS] = {q->n_moments > 0,
                                              q->covariance,
                                              true,
                                              job->options.defective,
                                              q->pdf,
                                              q->cdf,
                                              q->tail_accuracy,
                                              q->gradient && q->n_moments > 0,
                                              q->gradient && q->pdf,
                                              q->gradient && q->cdf,
                                              q->gradient && q->tail_accuracy};
    pm_row_array arrays[PM_RESULT_ARRAYS];
    pmi_result_arrays(job->graph, q, &job->result.values, arrays);
    for (size_t i = 0; i < PM_RESULT_ARRAYS; i++) {
        PM_TRY(is_wanted[i]
                   ? pmi_new_zeros(arrays[i].values, arrays[i].width, q->n_theta * sizeof(double), "results", err)
                   : PM_OK);
    }
    return PM_OK;
}

void cli_job_warn_kind(cli_job *job) {
    const cli_run_options *o = &job->options;
    cli_warn_kind(job->graph, o->job != NULL ? o->job : o->graph, o->job != NULL, job->request.theta,
                  job->request.n_theta, &job->cluster.console.log);
}

pm_status cli_job_request(cli_job *job, pm_error *err) {
    PM_TRY(make_request(job, err));
    cli_job_warn_kind(job);
    return allocate_results(job, err);
}

pm_status cli_job_load(cli_job *job, pm_error *err) {
    double start = pmi_seconds();
    pm_status st = pm_graph_load(job->options.graph, job->options.read_format, job->options.kind, &job->graph, err);
    job->result.seconds_read = pmi_seconds() - start;
    return st;
}

/* ---- the model, on this machine ---- */

void cli_job_model_options(const cli_job *job, pm_model_options *out) {
    const cli_run_options *o = &job->options;
    pm_model_options_default(out);
    out->effort = (pm_effort)o->effort;
    out->min_size = o->min_size == SIZE_MAX ? out->min_size : o->min_size;
    out->threads = 1;
    out->memory = o->memory;
    out->use_cache = !o->no_cache;
    out->cache_dir = o->cache_dir;
    out->cache_limit = o->cache_limit;
    out->strict_cache = o->strict_cache;
    out->normalize_start = o->normalize_start;
    out->defective = o->defective;
    out->isa = getenv("PHASEMILL_ISA");
    out->log = log_of(job);
}

/* Unless that is done. */
static pm_status split(cli_job *job, pm_error *err) {
    if (job->analysis.graph != NULL) {
        return PM_OK;
    }
    const cli_run_options *o = &job->options;
    pm_status st = pmi_analysis_split(job->graph, (pm_effort)o->effort, o->defective, &job->cluster.console.log,
                                      &job->analysis, err);
    return cli_name_graph(st, o->graph, err);
}

pm_status cli_job_record(cli_job *job, bool on_threads, pm_error *err) {
    pm_model_options options;
    cli_job_model_options(job, &options);
    options.threads = on_threads ? job->request.threads : 1;
    bool wants_traces = job->request.n_moments > 0 || job->request.covariance;
    if (!wants_traces) {
        PM_TRY(pmi_density_wants_traces(job->graph, &job->request, &wants_traces, err));
    }
    options.densities_only = !wants_traces;
    PM_TRY(split(job, err));
    const pm_trace_source opened = {.disk = job->cluster.disk}; /* a database is opened once in a process */
    pm_status st = pmi_model_of(&job->analysis, opened.disk != NULL ? &opened : NULL, &options, &job->model,
                                &job->result.model, err);
    return cli_name_graph(st, job->options.graph, err);
}

/* ---- evaluation and output ---- */

static void note_invalid(void *ctx, size_t row, const pm_error *error) {
    cli_job *job = ctx;
    cli_result *r = &job->result;
    if (!pmi_reserve((void **)&r->invalid, &r->invalid_capacity, r->n_invalid + 1, sizeof *r->invalid)) {
        r->invalid_lost = true;
        return;
    }
    r->invalid[r->n_invalid++] = (cli_invalid_row){.row = row, .error = *error};
    pmi_logf(&job->cluster.console.log, PM_LOG_WARNING, "%s", error->text);
}

pm_status cli_job_evaluate(cli_job *job, pm_error *err) {
    pm_result *v = &job->result.values;
    double start = pmi_seconds();
    if (job->options.invalid_rows != 0) {
        v->status = pmi_calloc(job->request.n_theta, sizeof *v->status);
        v->invalid = note_invalid;
        v->invalid_ctx = job;
        if (v->status == NULL) {
            return pmi_fail_memory(err, "the status of rows", job->request.n_theta * sizeof *v->status);
        }
    }
    PM_TRY(pm_evaluate(job->model, &job->request, v, err));
    job->result.seconds_evaluate = pmi_seconds() - start;
    return job->result.invalid_lost ? pmi_fail_memory(err, "rows that are not valid", job->request.n_theta) : PM_OK;
}

pm_status cli_job_write(cli_job *job, pm_error *err) {
    static void (*const writers[])(const cli_result *, cli_out *) = {
        [CLI_FORMAT_TABLE] = cli_result_table,
        [CLI_FORMAT_JSON] = cli_result_json,
        [CLI_FORMAT_CSV] = cli_result_csv,
        [CLI_FORMAT_NPY] = cli_result_npy,
    };
    job->result.graph = job->graph;
    job->result.request = &job->request;
    job->result.covariance = job->options.covariance;
    job->result.isa = pm_model_isa(job->model);
    job->result.threads = job->request.threads;
    cli_console_clear(&job->cluster.console);
    cli_out *out;
    PM_TRY(cli_result_check(&job->result, err));
    pm_status st = cli_out_open(job->options.output, &out, err);
    if (st == PM_OK) {
        writers[job->options.write_format](&job->result, out);
    }
    return cli_out_close(out, st, err);
}

/* ---- on the cluster ---- */

/* What `auto` waits for servers that do not answer, before it takes this machine. */
#define ASKING_SECONDS 5.0

pm_status cli_job_open_store(cli_job *job, pm_error *err) {
    const cli_run_options *o = &job->options;
    PM_TRY(cli_cluster_limit(&job->cluster, (double)o->timeout, err));
    return cli_cluster_open_store(&job->cluster, o->no_cache, o->cache_dir, o->cache_limit, err);
}

pm_status cli_job_open_cluster(cli_job *job, pm_error *err) {
    PM_TRY(cli_job_open_store(job, err));
    return cli_cluster_open_sending(&job->cluster, err);
}

pm_status cli_job_need_workers(cli_job *job, pm_error *err) {
    size_t workers, slots;
    PM_TRY(pmi_wait_for_workers(&job->cluster.producer, &workers, &slots, err));
    if (workers == 0) {
        return pmi_fail(err, PM_EUNAVAILABLE,
                        "no worker is alive; start some with `phasemill worker`, or use --strategy threads");
    }
    return PM_OK;
}

pm_status cli_job_classify(cli_job *job, pm_error *err) {
    PM_TRY(split(job, err));
    pm_status st = pmi_analysis_classify(&job->analysis, (unsigned)job->options.threads, log_of(job), err);
    return cli_name_graph(st, job->options.graph, err);
}

pm_status cli_job_submit(cli_job *job, pm_submit_report *report, pm_error *err) {
    pm_model_options model;
    cli_job_model_options(job, &model);
    pm_submit_options options = {.min_size = model.min_size,
                                 .memory = model.memory == 0 ? pmi_default_memory() : model.memory,
                                 .source = job->options.graph,
                                 .manifest = &job->manifest};
    PM_TRY(pmi_submit(&job->cluster.producer, &job->analysis, &options, report, err));
    pmi_logf(log_of(job), PM_LOG_INFO,
             "%zu states, %zu SCCs of at least 2 states, %zu of them distinct: %zu known, %zu recorded here, %zu "
             "units sent (%zu by claim check)",
             report->states, report->sccs, report->items, report->known, report->recorded_here, report->units,
             report->units_by_claim);
    return PM_OK;
}

static pm_status collect(cli_job *job, pm_reader *reader, pm_model **out, pm_error *err) {
    pm_model_options model;
    cli_job_model_options(job, &model);
    pm_collect_options options = {.manifest = &job->manifest, .model = &model};
    pm_collect_report report;
    pm_status st = cli_cluster_hold_signals(&job->cluster, err);
    PM_THEN(st, pmi_collect(&job->cluster.producer, reader, &job->analysis, &options, out, &report, err));
    cli_cluster_release_signals(&job->cluster);
    PM_TRY(st);
    job->result.model = report.model;
    pmi_logf(log_of(job), PM_LOG_DEBUG, "traces are there after %.3f s: %zu units seen, %zu SCCs sent again",
             report.watch.seconds, report.watch.units_seen, report.watch.sent_again);
    return PM_OK;
}

pm_status cli_job_collect(cli_job *job, pm_reader *reader, pm_error *err) {
    return collect(job, reader, &job->model, err);
}

pm_status cli_job_wait(cli_job *job, pm_reader *reader, pm_error *err) {
    return collect(job, reader, NULL, err);
}

static pm_status evaluate_there(cli_job *job, pm_reader *reader, pm_error *err) {
    pm_evaluate_report report;
    double start = pmi_seconds();
    pm_status st = cli_cluster_hold_signals(&job->cluster, err);
    PM_THEN(st, pmi_evaluate_on_cluster(&job->cluster.producer, reader, job->model, &job->request, &job->manifest,
                                        &job->result.values, &report, err));
    cli_cluster_release_signals(&job->cluster);
    job->result.seconds_evaluate = pmi_seconds() - start;
    PM_TRY(st);
    pmi_logf(log_of(job), PM_LOG_INFO, "%zu slices of theta: %zu results known, %zu units sent", report.slices,
             report.known, report.units);
    return PM_OK;
}

pm_status cli_job_evaluate_anywhere(cli_job *job, pm_reader *reader, pm_error *err) {
    pm_status st = job->options.on_cluster ? evaluate_there(job, reader, err) : PM_OK;
    if (st == PM_OK) {
        st = cli_cluster_limit(&job->cluster, 0, err); /* nobody is waited for any more */
    }
    return st == PM_OK && !job->options.on_cluster ? cli_job_evaluate(job, err) : st;
}

pm_status cli_job_run_on_cluster(cli_job *job, pm_error *err) {
    pm_submit_report report;
    pm_reader *reader = NULL;
    pm_status st = cli_job_classify(job, err);
    PM_THEN(st, cli_cluster_open_reader(&job->cluster, PM_TOPIC_EVENTS, false, &reader, err));
    PM_THEN(st, cli_job_submit(job, &report, err));
    PM_THEN(st, cli_job_collect(job, reader, err));
    PM_THEN(st, cli_job_evaluate_anywhere(job, reader, err));
    pmi_reader_close(reader);
    return st;
}

/* ---- auto ---- */

static pm_status ask_cluster(cli_job *job, bool *chosen, pm_error *err) {
    pm_choice choice;
    PM_TRY(pmi_choose(&job->cluster.producer, &job->analysis, job->request.threads, &choice, err));
    *chosen = choice.on_cluster;
    if (choice.slots == 0) {
        pmi_logf(log_of(job), PM_LOG_INFO,
                 "strategy threads: a cluster is configured, but no worker has been heard of");
        return PM_OK;
    }
    pmi_logf(log_of(job), PM_LOG_INFO,
             "strategy %s: recording is estimated at %.1f s by %u threads here, %.1f s by %zu slots of %zu workers",
             choice.on_cluster ? "cluster" : "threads", choice.here, job->request.threads, choice.there, choice.slots,
             choice.workers);
    return PM_OK;
}

/* Whoever did not ask for the cluster does not wait for it. */
static pm_status open_in_passing(cli_job *job, pm_error *err) {
    const cli_run_options *o = &job->options;
    PM_TRY(cli_cluster_limit(&job->cluster, ASKING_SECONDS, err));
    return cli_cluster_open_producer(&job->cluster, o->no_cache, o->cache_dir, o->cache_limit, err);
}

pm_status cli_job_choose(cli_job *job, size_t min_size, bool *chosen, pm_error *err) {
    *chosen = false;
    if (!cli_cluster_is_configured(&job->cluster) || pm_graph_n_vertices(job->graph) < min_size) {
        return PM_OK;
    }
    PM_TRY(split(job, err));
    if (pmi_choice_most_seconds(&job->analysis) / job->request.threads < PM_WORTH_ASKING_SECONDS) {
        return PM_OK;
    }
    pm_error why = {0};
    pm_status st = open_in_passing(job, &why);
    if (st == PM_OK) {
        PM_TRY(cli_job_classify(job, err));
        st = cli_cluster_limit(&job->cluster, ASKING_SECONDS, &why);
        PM_THEN(st, ask_cluster(job, chosen, &why));
    }
    if (st != PM_OK) {
        pmi_logf(log_of(job), PM_LOG_WARNING, "strategy threads: a cluster is configured, but cannot be used: %s",
                 why.text);
    }
    return cli_cluster_limit(&job->cluster, *chosen ? (double)job->options.timeout : 0, err);
}
