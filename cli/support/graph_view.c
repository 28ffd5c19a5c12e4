#include "support/views.h"

#include "eval/moments.h"
#include "support/json_writer.h"

/* Buckets of sizes: 1, 2-3, 4-7, ... */
#define N_BUCKETS 32

/* Flops a second of one thread in the replay kernels, for an order of magnitude. On a 2.5 GHz Xeon with AVX-512
 * bench_replay's models ran at 3.7e9 to 8.8e9 with x86-64-v4; the figures of x86-64-v2 and arm64 are assumed. */
static double expected_speed(pm_isa isa) {
    static const double speeds[PM_ISA_COUNT] = {
        [PM_ISA_X86_64_V2] = 2e9, [PM_ISA_X86_64_V3] = 5e9, [PM_ISA_X86_64_V4] = 6e9, [PM_ISA_ARM64] = 3e9};
    return speeds[isa];
}

static void measure_traces(cli_inspect_report *r) {
    const pm_library *library = &r->model->library;
    for (uint32_t i = 0; i < library->n_classes; i++) {
        const pm_trace *t = &library->classes[i].plan.trace;
        size_t fill = t->l_row[t->n] + t->u_row[t->n];
        r->fill += fill * library->classes[i].n_sccs;
        r->edges_inside += (size_t)t->n_edges * library->classes[i].n_sccs;
        r->trace_bytes += pmi_trace_bytes(t->n, fill);
    }
}

void cli_inspect_measure(cli_inspect_report *r) {
    const pm_moments_context context = {.graph = r->graph,
                                        .split = &r->model->analysis.split,
                                        .program = &r->model->program,
                                        .isa = r->model->isa,
                                        .memory = r->model->memory};
    const pm_request request = {.n_theta = 1024, .n_moments = 2, .threads = r->threads};
    measure_traces(r);
    r->lane_bytes = pmi_moments_lane_bytes(&context, &request);
    r->lanes = pmi_moments_lanes(&context, &request, r->threads);
    r->theta_seconds = (double)r->model->program.flops / expected_speed(r->model->isa);
}

static void count_sizes(const pm_split *split, size_t counts[N_BUCKETS]) {
    for (uint32_t c = 0; c < split->n_sccs; c++) {
        uint32_t size = split->scc_first[c + 1] - split->scc_first[c];
        unsigned bucket = 0;
        while (bucket + 1 < N_BUCKETS && size >> (bucket + 1) != 0) {
            bucket++;
        }
        counts[bucket]++;
    }
}

/* ---- figures, told once for both forms ----------------------------------------------------------------- */

typedef struct figure {
    const char *group, *key, *label; /* group: of the JSON object, and the title above */
    double value;
    bool is_count;
} figure;

#define MAX_FIGURES 40

typedef struct figures {
    figure all[MAX_FIGURES];
    size_t n;
} figures;

static void add(figures *f, const char *group, const char *key, const char *label, double value, bool is_count) {
    if (f->n < MAX_FIGURES) {
        f->all[f->n++] = (figure){group, key, label, value, is_count};
    }
}

static void count(figures *f, const char *group, const char *key, const char *label, uint64_t value) {
    add(f, group, key, label, (double)value, true);
}

static void collect_graph(const cli_inspect_report *r, figures *f) {
    const pm_graph *g = r->graph;
    const pm_split *s = &r->model->analysis.split;
    count(f, "graph", "states", "states", g->n_vertices);
    count(f, "graph", "edges", "edges", g->n_edges);
    count(f, "graph", "start_edges", "start edges", g->n_starts);
    count(f, "graph", "parameters", "parameters", g->n_params);
    count(f, "graph", "state_length", "length of a state", g->state_length);
    count(f, "graph", "weights", "distinct weights", g->n_weights);
    count(f, "graph", "transient", "reachable transient states", s->n_transient);
    count(f, "graph", "absorbing", "reachable absorbing states", s->n_absorbing);
    count(f, "graph", "unreachable", "unreachable states", s->n_unreachable);
    count(f, "sccs", "total", "SCCs", s->n_total);
    count(f, "sccs", "nontrivial", "with at least 2 states", s->n_nontrivial);
    count(f, "sccs", "largest", "states of the largest", s->largest);
    count(f, "sccs", "distinct", "distinct keys", r->made->sccs_distinct);
    count(f, "sccs", "recorded", "traces recorded now", r->made->sccs_recorded);
    count(f, "sccs", "cached", "traces from the cache", r->made->sccs_cached);
    count(f, "sccs", "levels", "levels", r->model->program.n_levels);
}

static void collect_replay(const cli_inspect_report *r, figures *f) {
    const pm_program *p = &r->model->program;
    double batch = (double)r->lane_bytes * r->lanes * r->threads;
    count(f, "replay", "edges_inside", "edges inside SCCs of at least 2 states", r->edges_inside);
    count(f, "replay", "fill", "entries of L and U there", r->fill);
    if (r->edges_inside > 0) {
        add(f, "replay", "fill_ratio", "entries for each edge", (double)r->fill / (double)r->edges_inside, false);
    }
    count(f, "replay", "flops", "flops of a theta, one moment", p->flops);
    uint64_t members = 0;
    for (uint32_t i = 0; i < p->n_classes; i++) {
        members += p->classes[i].n_members;
    }
    count(f, "replay", "factor_classes", "factor classes: SCCs that are factored once", p->n_classes);
    count(f, "replay", "factor_class_sccs", "SCCs in them", members);
    count(f, "replay", "trace_bytes", "bytes of traces in memory", r->trace_bytes);
    count(f, "replay", "lane_bytes", "bytes of a lane, two moments", r->lane_bytes);
    count(f, "replay", "lanes", "lanes", r->lanes);
    count(f, "replay", "threads", "threads", r->threads);
    add(f, "replay", "expected_bytes", "bytes `run` is expected to take for replay", batch + (double)r->trace_bytes,
        true);
    add(f, "replay", "expected_speed", "flops a second of a thread, as is usual here", expected_speed(r->model->isa),
        true);
    add(f, "replay", "expected_seconds_per_theta", "seconds for a theta and moment at that speed",
        r->theta_seconds / r->threads, false);
}

/* ---- forms ------------------------------------------------------------------------------------------- */

static void histogram_json(const cli_inspect_report *r, cli_json *j) {
    size_t counts[N_BUCKETS] = {0};
    count_sizes(&r->model->analysis.split, counts);
    cli_json_open(cli_json_key(j, "scc_sizes"), '[');
    for (unsigned b = 0; b < N_BUCKETS; b++) {
        if (counts[b] == 0) {
            continue;
        }
        cli_json_open(j, '{');
        cli_json_count(cli_json_key(j, "from"), (uint64_t)1 << b);
        cli_json_count(cli_json_key(j, "to"), ((uint64_t)2 << b) - 1);
        cli_json_count(cli_json_key(j, "count"), counts[b]);
        cli_json_close(j, '}');
    }
    cli_json_close(j, ']');
}

static void histogram_text(const cli_inspect_report *r, cli_out *out) {
    size_t counts[N_BUCKETS] = {0};
    count_sizes(&r->model->analysis.split, counts);
    cli_out_text(out, "\nSCCs by number of states\n");
    for (unsigned b = 0; b < N_BUCKETS; b++) {
        if (counts[b] > 0) {
            cli_out_format(out, "  %10llu to %-10llu %12zu\n", 1ULL << b, (2ULL << b) - 1, counts[b]);
        }
    }
}

void cli_inspect_json(const cli_inspect_report *r, cli_out *out) {
    cli_json j = {.out = out};
    figures f = {.n = 0};
    char job[PM_DIGEST_HEX];
    pmi_hex(r->graph->digest, job);
    collect_graph(r, &f);
    collect_replay(r, &f);
    cli_json_open(&j, '{');
    cli_json_string(cli_json_key(&j, "job"), job);
    cli_json_bool(cli_json_key(&j, "is_discrete"), r->graph->is_discrete);
    cli_json_bool(cli_json_key(&j, "is_kind_given"), r->graph->is_kind_given);
    cli_json_bool(cli_json_key(&j, "normalizes_rows"), r->graph->normalizes_rows);
    cli_json_string(cli_json_key(&j, "isa"), pm_model_isa(r->model));
    for (size_t i = 0; i < f.n; i++) {
        const figure *one = &f.all[i];
        if (i == 0 || one->group != f.all[i - 1].group) {
            cli_json_open(cli_json_key(&j, one->group), '{');
        }
        cli_json_number(cli_json_key(&j, one->key), one->value);
        if (i + 1 == f.n || one->group != f.all[i + 1].group) {
            cli_json_close(&j, '}');
        }
    }
    histogram_json(r, &j);
    cli_json_close(&j, '}');
    cli_out_text(out, "\n");
}

void cli_inspect_text(const cli_inspect_report *r, cli_out *out) {
    figures f = {.n = 0};
    char job[PM_DIGEST_HEX];
    pmi_hex(r->graph->digest, job);
    collect_graph(r, &f);
    collect_replay(r, &f);
    cli_out_format(out, "%s phase-type distribution%s%s, job %s\nkernels for %s\n",
                   r->graph->is_discrete ? "Discrete" : "Continuous",
                   r->graph->normalizes_rows ? ", rows normalized" : "",
                   r->graph->is_kind_given ? "" : " (its file does not say)", job, pm_model_isa(r->model));
    for (size_t i = 0; i < f.n; i++) {
        const figure *one = &f.all[i];
        if (i == 0 || one->group != f.all[i - 1].group) {
            cli_out_format(out, "\n%s\n", one->group);
        }
        if (one->is_count) {
            cli_out_format(out, "  %-48s %16.0f\n", one->label, one->value);
        } else {
            cli_out_format(out, "  %-48s %16.3g\n", one->label, one->value);
        }
    }
    histogram_text(r, out);
}
