#include "model/defective.h"

#include <string.h>

#include "base/clock.h"
#include "base/machine.h"
#include "base/mem.h"
#include "cache/disk_traces.h"

void pm_model_options_default(pm_model_options *options) {
    *options = (pm_model_options){.effort = PM_EFFORT_BALANCED, .min_size = 50, .use_cache = true};
}

static pm_status open_cache(const pm_model_options *options, pm_disk **disk, pm_error *err) {
    *disk = NULL;
    if (!options->use_cache) {
        return PM_OK;
    }
    size_t limit = options->cache_limit == 0 ? PM_DISK_DEFAULT_LIMIT : options->cache_limit;
    pm_status st = pmi_disk_open_if_usable(options->cache_dir, getenv("XDG_CACHE_HOME"), getenv("HOME"), limit,
                                           options->log, disk, err);
    if (*disk != NULL && options->strict_cache && pmi_disk_was_damaged(*disk)) {
        st = pmi_fail(err, PM_EDATA, "the trace cache was damaged and is made anew, and --strict-cache is on");
        pmi_disk_close(*disk);
        *disk = NULL;
    }
    return st;
}

/* ---- making a model ---- */

static pm_library_options library_options(const pm_model *m, const pm_model_options *options,
                                          const pm_trace_cache *cache) {
    unsigned threads = options->threads == 0 ? m->processors : options->threads;
    if (m->graph->n_vertices < options->min_size) {
        threads = 1;
    }
    return (pm_library_options){.record = {.effort = options->effort, .memory = m->memory / threads, .isa = m->isa},
                                .threads = threads,
                                .cache = cache,
                                .strict_cache = options->strict_cache,
                                .log = options->log};
}

static pm_status make_library(pm_model *m, const pm_model_options *options, pm_disk *disk, pm_error *err) {
    pm_trace_cache traces = pmi_disk_traces(disk), classes = pmi_disk_classes(disk);
    pm_library_options o = library_options(m, options, disk != NULL ? &traces : NULL);
    if (disk != NULL) {
        o.classes = &classes;
        pmi_disk_hold(disk);
    }
    return pmi_library_make(m->graph, &m->split, &o, &m->library, err);
}

static void fill_report(const pm_model *m, pm_model_report *report) {
    report->sccs_total = m->split.n_total;
    report->sccs_nontrivial = m->split.n_nontrivial;
    report->sccs_distinct = m->library.n_classes;
    report->sccs_recorded = m->library.n_recorded;
    report->sccs_cached = m->library.n_cached;
}

/* Only what can be absorbed is recorded. */
static pm_status make_restricted(pm_model *m, const pm_model_options *options, pm_model_report *report, pm_error *err) {
    *report = (pm_model_report){0};
    m->restriction = pmi_calloc(1, sizeof *m->restriction);
    if (m->restriction == NULL) {
        return pmi_fail_memory(err, "a model", sizeof *m->restriction);
    }
    pm_status st = pmi_restriction_new(m->graph, &m->split, NULL, options, m->restriction, report, err);
    report->sccs_total = m->split.n_total;
    report->sccs_nontrivial = m->split.n_nontrivial;
    return st;
}

/* The traces and the program made of them. */
static pm_status record(pm_model *m, const pm_model_options *options, pm_model_report *report, pm_error *err) {
    pm_disk *disk;
    pm_status st = open_cache(options, &disk, err);
    if (st != PM_OK) {
        return st;
    }
    double begin = pmi_seconds();
    st = make_library(m, options, disk, err);
    pmi_disk_close(disk);
    double stitch = pmi_seconds();
    PM_THEN(st, pmi_program_stitch(m->graph, &m->split, m->library.instances, &m->program, err));
    report->seconds_record = stitch - begin;
    report->seconds_stitch = pmi_seconds() - stitch;
    return st;
}

static pm_status make(pm_model *m, const pm_model_options *options, pm_model_report *report, pm_error *err) {
    *report = (pm_model_report){0};
    pm_status st = pmi_isa_choose(options->isa, &m->isa, err);
    double begin = pmi_seconds(), split = begin;
    bool is_defective = false;
    if (st == PM_OK) {
        st = options->defective ? pmi_split_defective(m->graph, options->log, &m->split, &is_defective, err)
                                : pmi_split_graph(m->graph, options->log, &m->split, err);
        split = pmi_seconds();
    }
    PM_THEN(st, pmi_row_sums_new(m->graph, &m->split, m->defective, &m->row_sums, err));
    if (st == PM_OK && is_defective) {
        st = make_restricted(m, options, report, err);
    } else if (st == PM_OK) {
        st = options->densities_only ? PM_OK : record(m, options, report, err);
        fill_report(m, report);
    }
    report->seconds_split = split - begin;
    return st;
}

static pm_status model_empty(pm_graph *graph, const pm_model_options *options, pm_model **out, pm_error *err) {
    pm_model *m = *out = pmi_calloc(1, sizeof *m);
    if (m == NULL) {
        return pmi_fail_memory(err, "a model", sizeof *m);
    }
    m->graph = graph;
    pmi_graph_hold(m->graph);
    m->processors = pmi_processors();
    m->memory = options->memory == 0 ? pmi_default_memory() : options->memory;
    m->normalize_start = options->normalize_start;
    m->defective = options->defective;
    m->effort = options->effort;
    m->densities_only = options->densities_only;
    m->log = options->log;
    return PM_OK;
}

pm_status pm_model_new(const pm_graph *graph, const pm_model_options *options, pm_model **out, pm_model_report *report,
                       pm_error *err) {
    pm_model_options defaults;
    if (options == NULL) {
        pm_model_options_default(&defaults);
        options = &defaults;
    }
    pm_model *m;
    *out = NULL;
    pm_status st = model_empty((pm_graph *)graph, options, &m, err);
    if (st != PM_OK) {
        return st;
    }
    pm_model_report unused;
    st = make(m, options, report != NULL ? report : &unused, err);
    if (st != PM_OK) {
        pm_model_free(m);
        return st;
    }
    *out = m;
    return PM_OK;
}

pm_status pmi_model_of_parts(pm_graph *graph, pm_split *split, pm_classes *classes, const pm_trace_cache *cache,
                             bool cached_only, const pm_model_options *options, pm_model **out, pm_model_report *report,
                             pm_error *err) {
    pm_model *m;
    double begin = pmi_seconds(), record = begin;
    *out = NULL;
    pm_status st = model_empty(graph, options, &m, err);
    if (st != PM_OK) {
        return st;
    }
    st = pmi_isa_choose(options->isa, &m->isa, err);
    PM_THEN(st, pmi_row_sums_new(graph, split, m->defective, &m->row_sums, err));
    if (st == PM_OK) {
        pm_library_options o = library_options(m, options, cache);
        o.cached_only = cached_only;
        st = pmi_library_of_classes(split, classes, &o, &m->library, err);
    }
    if (st == PM_OK) {
        record = pmi_seconds();
        st = pmi_program_stitch(graph, split, m->library.instances, &m->program, err);
        if (st != PM_OK) {
            classes->names = m->library.names; /* the parts stay the caller's */
            m->library.names = NULL;
        }
    }
    if (st != PM_OK) {
        pm_model_free(m);
        return st;
    }
    m->split = *split;
    *split = (pm_split){0};
    if (report != NULL) {
        *report = (pm_model_report){.seconds_record = record - begin, .seconds_stitch = pmi_seconds() - record};
        fill_report(m, report);
    }
    *out = m;
    return PM_OK;
}

void pm_model_free(pm_model *model) {
    if (model != NULL) {
        if (model->restriction != NULL) {
            pmi_restriction_free(model->restriction);
            free(model->restriction);
        }
        pmi_program_free(&model->program);
        pmi_library_free(&model->library);
        pmi_row_sums_free(&model->row_sums);
        pmi_split_free(&model->split);
        pm_graph_free(model->graph);
        free(model);
    }
}

const char *pm_model_isa(const pm_model *model) {
    return pmi_isa_name(model->isa);
}
