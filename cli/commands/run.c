#include <string.h>

#include "base/log.h"
#include "support/job.h"

/* `auto` among this machine's strategies. */
static bool records_on_threads(const cli_job *job, size_t min_size) {
    const char *strategy = job->options.strategy;
    unsigned threads = job->request.threads;
    if (strcmp(strategy, "auto") != 0) {
        return strcmp(strategy, "threads") == 0;
    }
    size_t n = pm_graph_n_vertices(job->graph);
    bool is_small = n < min_size;
    bool on_threads = !is_small && threads > 1;
    pmi_logf(&job->cluster.console.log, PM_LOG_DEBUG, "strategy %s: %zu states, %s --min-size %zu, %u threads",
             on_threads ? "threads" : "sequential", n, is_small ? "below" : "not below", min_size, threads);
    return on_threads;
}

static pm_status evaluate_here(cli_job *job, size_t min_size, pm_error *err) {
    PM_TRY(cli_job_record(job, records_on_threads(job, min_size), err));
    return cli_name_graph(cli_job_evaluate(job, err), job->options.graph, err);
}

static pm_status evaluate(cli_job *job, pm_error *err) {
    const char *strategy = job->options.strategy;
    pm_model_options options;
    cli_job_model_options(job, &options);
    bool on_cluster = strcmp(strategy, "cluster") == 0, may_choose = !job->options.defective;
    pm_status st = PM_OK;
    if (on_cluster) {
        st = cli_job_need_workers(job, err);
    } else if (strcmp(strategy, "auto") == 0 && may_choose) {
        st = cli_job_choose(job, options.min_size, &on_cluster, err);
    }
    PM_TRY(st);
    return on_cluster ? cli_name_graph(cli_job_run_on_cluster(job, err), job->options.graph, err)
                      : evaluate_here(job, options.min_size, err);
}

/* What cannot be done is told before the graph is read. */
static pm_status open_cluster(cli_job *job, pm_error *err) {
    if (strcmp(job->options.strategy, "cluster") != 0) {
        return PM_OK;
    }
    if (!cli_cluster_is_configured(&job->cluster)) {
        const pm_setting_values *v = &job->cluster.settings.values;
        return pmi_fail(err, PM_EUNAVAILABLE,
                        "--strategy cluster: %s%s%s missing; name them, or use --strategy threads",
                        v->kafka.brokers == NULL ? "Kafka brokers (--kafka-brokers, PHASEMILL_KAFKA_BROKERS)" : "",
                        v->kafka.brokers == NULL && v->redis.address == NULL ? " and " : "",
                        v->redis.address == NULL ? "a Redis server (--redis-address, PHASEMILL_REDIS_ADDRESS)" : "");
    }
    pm_status st = cli_job_open_cluster(job, err);
    return st == PM_EUNAVAILABLE ? pmi_fail_prefix(err, "--strategy cluster") : st;
}

static pm_status run_steps(cli_job *job, pm_error *err) {
    static pm_status (*const steps[])(cli_job *, pm_error *) = {
        cli_job_read_numbers, open_cluster, cli_job_load, cli_job_request, evaluate, cli_job_write,
    };
    PM_TRY(cli_out_check(job->options.output, err));
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        PM_TRY(steps[i](job, err));
    }
    return PM_OK;
}

static pm_status run(const cli_command *self, int argc, char **argv, pm_error *err) {
    cli_job job = {.manifest = {0}};
    bool is_done;
    pm_status st = cli_run_options_read(&job.cluster, self, CLI_ROLE_RUN, argc, argv, &job.options, &is_done, err);
    PM_THEN(st, !is_done ? run_steps(&job, err) : PM_OK);
    return cli_job_close(&job, st, err);
}

const cli_command cli_run = {
    .name = "run",
    .summary = "evaluate a graph: moments, covariance, density, distribution function",
    .help =
        "usage: phasemill run GRAPH [--theta T] [OPTIONS]\n"
        "\n"
        "Evaluates a graph at every row of theta: moments, covariance, density and distribution function.\n"
        "GRAPH is a file written by phasic's Graph.serialize(), as JSON or MessagePack, or - for standard input.\n"
        "\n"
        "what to evaluate:\n"
        "  --theta T           parameters: `1,0.5` is a row, `1,2;3,4` are two; an item may be a range\n"
        "                      `start:end:step`, ends included; or a file .csv or .npy of one row for each theta.\n"
        "                      Left out when the graph has no parameters\n"
        "  --moments K         raw moments 1..K (2, when nothing else is asked for)\n"
        "  --factorial         factorial moments instead of raw ones (discrete graphs)\n"
        "  --rewards F         reward vectors, one in each row: a value for every row of the graph, written as "
        "--theta\n"
        "                      is; moments are then of the accumulated rewards\n"
        "  --invalid-rows R    rows of theta that cannot be evaluated: error (default), or nan: they fail alone\n"
        "  --gradient          derivatives in theta of moments, pdf and cdf besides\n"
        "  --covariance        covariance matrix of the rewards, or variance of the time without rewards\n"
        "  --pdf, --cdf        density (probability, when discrete) and distribution function of the time at --times\n"
        "  --times S           times, written as --theta is: one row for all theta, or a row for each\n"
        "  --tolerance E       error of pdf, relative to its peak, and of cdf (1e-9)\n"
        "  --tail-accuracy     relative accuracy in both tails, and 1 - cdf; takes more steps\n"
        "  --method M          uniformization, for continuous graphs\n"
        "  --defective         take states that cannot be absorbed as never absorbed, instead of refusing them: "
        "moments\n"
        "                      are then those given absorption, whose probability is written too\n"
        "  --normalize-start   rescale a start distribution that does not sum to one\n"
        "\n"
        "how:\n"
        "  --strategy S        where traces are recorded: sequential, threads, cluster, or auto (default), which\n"
        "                      takes the cluster only where one is configured, workers are alive, and it is faster\n"
        "  --evaluate WHERE    with --strategy cluster: local (default), or cluster: workers evaluate slices of theta\n"
        "  --timeout SECONDS   with --strategy cluster: how long to wait, for servers and workers; then exit code 75\n"
        "  --threads N         threads (one for each processor that the container allows)\n"
        "  --memory BYTES      what traces and replay may take, such as 500M or 2G (most of the\n"
        "                      machine's, or of its container's)\n"
        "  --min-size N        graphs of fewer states are recorded by one thread (50)\n"
        "  --effort E          search for pivot orders: fast, balanced (default) or best\n"
        "  --cache-dir D       folder of the trace cache ($XDG_CACHE_HOME/phasemill or ~/.cache/phasemill)\n"
        "  --no-cache          neither read nor write the cache\n"
        "  --cache-limit BYTES size of the cache, such as 500M (1G)\n"
        "  --strict-cache      fail on a damaged entry of the cache instead of recording it again\n"
        "\n"
        "input and output:\n"
        "  --format F          table, json or csv: what is written (a table on a terminal, else JSON);\n"
        "                      phasic or phasic-0.21: what is read; may be given once for each\n"
        "  --discrete, --continuous  whether weights are probabilities of a step or rates, where the graph's file "
        "does\n"
        "                      not say (is_discrete); it is an error where it says otherwise\n"
        "  --output FILE       write to FILE.json, FILE.csv or FILE.npy (one quantity); whole or not at all\n"
        "  --quiet             errors only; --verbose: more about what is done\n"
        "\n"
        "environment: PHASEMILL_ISA forces an instruction set (x86-64-v2, x86-64-v3, x86-64-v4, arm64)\n"
        "\n"
        "examples:\n"
        "  phasemill run arg4.json --theta 2,5\n"
        "  phasemill run arg4.json --theta 2,5 --pdf --cdf --times 0:10:0.1 --output density.csv\n"
        "  phasemill run arg4.json --theta thetas.npy --moments 4 --output moments.npy\n"
        "  phasemill generate rabbits --n 20 | phasemill run - --theta 1,2,4 --format table\n",
    .has_settings = true,
    .run = run,
};
