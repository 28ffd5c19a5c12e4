#include "model/defective.h"

#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "base/machine.h"
#include "base/mem.h"
#include "base/team.h"
#include "cache/disk.h"

void pm_model_options_default(pm_model_options *options) {
    *options = (pm_model_options){.effort = PM_EFFORT_BALANCED, .min_size = 50, .use_cache = true};
}

static pm_status open_cache(const pm_model_options *options, pm_disk **disk, pm_error *err) {
    size_t limit = options->cache_limit == 0 ? PM_DISK_DEFAULT_LIMIT : options->cache_limit;
    *disk = NULL;
    return !options->use_cache ? PM_OK
                               : pmi_disk_open_if_usable(options->cache_dir, getenv("XDG_CACHE_HOME"), getenv("HOME"),
                                                         limit, options->log, disk, err);
}

/* ---- making a model ---- */

static pm_library_options library_options(const pm_model *m, const pm_model_options *options) {
    unsigned threads = options->threads == 0 ? m->processors : options->threads;
    if (m->analysis.graph->n_vertices < options->min_size) {
        threads = 1;
    }
    return (pm_library_options){.record = {.effort = m->analysis.effort, .memory = m->memory / threads, .isa = m->isa},
                                .threads = threads,
                                .strict_cache = options->strict_cache,
                                .log = options->log};
}

static pm_status make_from_disk(pm_model *m, pm_disk *disk, pm_library_options *o, pm_error *err) {
    pm_trace_cache traces = pmi_disk_cache(disk, PM_CACHE_TRACE), classes = pmi_disk_cache(disk, PM_CACHE_CLASSES);
    if (o->strict_cache && pmi_disk_was_damaged(disk)) {
        return pmi_fail(err, PM_EDATA, "the trace cache was damaged and is made anew, and --strict-cache is on");
    }
    o->cache = &traces;
    o->classes = &classes;
    pmi_disk_hold(disk);
    return pmi_library_make(&m->analysis, o, &m->library, err);
}

static pm_status make_library(pm_model *m, const pm_trace_source *source, const pm_model_options *options,
                              pm_error *err) {
    pm_library_options o = library_options(m, options);
    pm_disk *opened = NULL;
    if (source == NULL) {
        PM_TRY(open_cache(options, &opened, err));
    } else {
        o.cache = source->cache;
        o.cached_only = source->cached_only;
    }
    pm_disk *disk = source != NULL ? source->disk : opened;
    pm_status st =
        disk != NULL ? make_from_disk(m, disk, &o, err) : pmi_library_make(&m->analysis, &o, &m->library, err);
    pmi_disk_close(opened);
    return st;
}

/* Only what can be absorbed is recorded. */
static pm_status make_restricted(pm_model *m, const pm_model_options *options, pm_model_report *report, pm_error *err) {
    m->restriction = pmi_calloc(1, sizeof *m->restriction);
    if (m->restriction == NULL) {
        return pmi_fail_memory(err, "a model", sizeof *m->restriction);
    }
    return pmi_restriction_new(&m->analysis, NULL, options, m->restriction, report, err);
}

/* The traces and the program made of them. */
static pm_status record(pm_model *m, const pm_trace_source *source, const pm_model_options *options,
                        pm_model_report *report, pm_error *err) {
    double begin = pmi_seconds();
    PM_TRY(make_library(m, source, options, err));
    double stitch = pmi_seconds();
    PM_TRY(pmi_program_stitch(m->analysis.graph, &m->analysis.split, m->library.instances, &m->program, err));
    report->sccs_distinct = m->library.n_classes;
    report->sccs_recorded = m->library.n_recorded;
    report->sccs_cached = m->library.n_cached;
    report->seconds_record = stitch - begin;
    report->seconds_stitch = pmi_seconds() - stitch;
    return PM_OK;
}

/* What a model is made from. */
typedef struct making {
    pm_model *model;
    const pm_trace_source *source;
    const pm_model_options *options;
    pm_model_report *report;
} making;

static pm_status make(void *ctx, pm_error *err) {
    const making *from = ctx;
    pm_model *m = from->model;
    const pm_model_options *options = from->options;
    pm_model_report *report = from->report;
    const pm_analysis *a = &m->analysis;
    PM_TRY(pmi_isa_choose(options->isa, &m->isa, err));
    PM_TRY(pmi_row_sums_new(a->graph, &a->split, m->defective, &m->row_sums, err));
    if (a->is_defective) {
        PM_TRY(make_restricted(m, options, report, err));
    } else if (!options->densities_only) {
        PM_TRY(record(m, from->source, options, report, err));
    }
    report->sccs_total = a->split.n_total;
    report->sccs_nontrivial = a->split.n_nontrivial;
    report->seconds_split = a->seconds;
    return PM_OK;
}

pm_status pmi_model_of(pm_analysis *analysis, const pm_trace_source *source, const pm_model_options *options,
                       pm_model **out, pm_model_report *report, pm_error *err) {
    pm_model *m = pmi_calloc(1, sizeof *m);
    *out = NULL;
    if (m == NULL) {
        return pmi_fail_memory(err, "a model", sizeof *m);
    }
    *m = (pm_model){.analysis = *analysis,
                    .processors = pmi_processors(),
                    .memory = options->memory == 0 ? pmi_default_memory() : options->memory,
                    .normalize_start = options->normalize_start,
                    .defective = options->defective,
                    .densities_only = options->densities_only,
                    .log = options->log};
    pm_model_report made = {0};
    making from = {.model = m, .source = source, .options = options, .report = &made};
    pm_status st = pmi_team_lead(make, &from, err);
    if (st == PM_OK) {
        *analysis = (pm_analysis){0};
        *out = m;
    } else {
        *analysis = m->analysis;
        m->analysis = (pm_analysis){0};
        pm_model_free(m);
    }
    if (report != NULL) {
        *report = made;
    }
    return st;
}

pm_status pm_model_new(const pm_graph *graph, const pm_model_options *options, pm_model **out, pm_model_report *report,
                       pm_error *err) {
    pm_model_options defaults;
    if (options == NULL) {
        pm_model_options_default(&defaults);
        options = &defaults;
    }
    pm_analysis analysis;
    *out = NULL;
    if (report != NULL) {
        *report = (pm_model_report){0};
    }
    pm_status st =
        pmi_analysis_split((pm_graph *)graph, options->effort, options->defective, options->log, &analysis, err);
    PM_THEN(st, pmi_model_of(&analysis, NULL, options, out, report, err));
    pmi_analysis_free(&analysis);
    return st;
}

pm_status pmi_model_chain(const pm_model *model, const pm_chain **out, pm_error *err) {
    _Atomic(pm_chain *) *kept = (_Atomic(pm_chain *) *)&model->chain;
    pm_chain *found = atomic_load(kept), *made;
    if (found == NULL) {
        PM_TRY(pmi_chain_new(model->analysis.graph, &model->analysis.split, &made, err));
        if (atomic_compare_exchange_strong(kept, &found, made)) {
            found = made;
        } else {
            pmi_chain_free(made); /* another thread was faster */
        }
    }
    *out = found;
    return PM_OK;
}

pm_status pmi_model_out_edges(const pm_model *model, const pm_out_edges **out, pm_error *err) {
    _Atomic(pm_out_edges *) *kept = (_Atomic(pm_out_edges *) *)&model->out_edges;
    pm_out_edges *found = atomic_load(kept), *made;
    const pm_chain *chain;
    if (found == NULL) {
        PM_TRY(pmi_model_chain(model, &chain, err));
        PM_TRY(pmi_out_edges_new(chain, &made, err));
        if (atomic_compare_exchange_strong(kept, &found, made)) {
            found = made;
        } else {
            pmi_out_edges_free(made); /* another thread was faster */
        }
    }
    *out = found;
    return PM_OK;
}

void pm_model_free(pm_model *model) {
    if (model != NULL) {
        pmi_out_edges_free(atomic_load(&model->out_edges));
        pmi_chain_free(atomic_load(&model->chain));
        if (model->restriction != NULL) {
            pmi_restriction_free(model->restriction);
            free(model->restriction);
        }
        pmi_program_free(&model->program);
        pmi_library_free(&model->library);
        pmi_row_sums_free(&model->row_sums);
        pmi_analysis_free(&model->analysis);
        free(model);
    }
}

const char *pm_model_isa(const pm_model *model) {
    return pmi_isa_name(model->isa);
}
