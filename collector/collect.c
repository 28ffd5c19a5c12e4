#include "collector/collect.h"

#include <string.h>

/* Traces that are there and turn out to be unusable are recorded again, but not for ever. */
#define MAX_ROUNDS 5

typedef struct collection {
    pm_producer *p;
    pm_reader *reader;
    pm_analysis *job;
    const pm_collect_options *options;
    pm_collect_report *report;
    pm_digest *keys; /* of the classes */
    double begun;
    bool was_emptied;  /* Redis: the manifest or the job's record was gone */
    size_t n_forgiven; /* units that failed for it */
    size_t n_known;    /* items that are there, when others are sent again */
} collection;

/* ---- sending again ---- */

static pm_status put_record_back(collection *c, pm_error *err) {
    pm_job_message job = {.kind = pmi_span_of(pmi_record_units.name),
                          .source = pmi_span_of("put back by collect"),
                          .effort = (uint64_t)c->job->effort,
                          .states = c->job->graph->n_vertices,
                          .items = c->job->classes.n_classes,
                          .known = c->n_known,
                          .trace = pmi_span_of(c->p->trace)};
    memcpy(job.job, c->job->graph->digest, PM_DIGEST_BYTES);
    return pmi_board_open_job(c->p->traces->redis, &job, err);
}

static pm_status put_manifest_back(collection *c, pm_error *err) {
    if (c->options->manifest != NULL) {
        return pmi_manifest_put(c->p->traces->redis, c->job->graph->digest, c->options->manifest, err);
    }
    pm_buffer encoded = {0};
    pm_status st = pmi_manifest_encode(c->job, &encoded, err);
    PM_THEN(st, pmi_manifest_put(c->p->traces->redis, c->job->graph->digest, &encoded, err));
    pmi_buffer_free(&encoded);
    return st;
}

/* Redis may have been emptied: what other collectors and the workers read of the job is put back. */
static pm_status try_to_restore(collection *c, pm_error *err) {
    bool exists = false;
    pm_job_message job;
    pm_stored note = {0};
    pm_status st = pmi_redis_exist(c->p->traces->redis, PM_SPACE_MANIFEST, (const pm_digest *)c->job->graph->digest, 1,
                                   true, &exists, err);
    if (st == PM_OK && !exists) {
        pmi_logf(c->p->log, PM_LOG_WARNING, "the job's manifest is gone from Redis; it is put back");
        c->was_emptied = true;
        st = put_manifest_back(c, err);
    }
    PM_THEN(st, pmi_board_job(c->p->traces->redis, c->job->graph->digest, &job, &note, err));
    if (st == PM_EDATA) {
        pmi_logf(c->p->log, PM_LOG_WARNING, "%s; the job's record is written anew", err->text);
        st = put_record_back(c, err);
    } else if (st == PM_OK && !note.found) {
        c->was_emptied = true;
        st = put_record_back(c, err);
    } else if (st == PM_OK) {
        st = pmi_board_keep_job(c->p->traces->redis, c->job->graph->digest, err);
    }
    pmi_stored_free(&note);
    return st;
}

static pm_status restore(collection *c, pm_error *err) {
    pm_status st;
    pm_retry retry = pmi_producer_retry(c->p, "Redis");
    do {
        st = try_to_restore(c, err);
    } while (pmi_retry_again(&retry, st, err));
    return st;
}

static pm_status send_again(void *ctx, const uint32_t *items, size_t n, pm_error *err) {
    collection *c = ctx;
    c->n_known = c->job->classes.n_classes - n;
    pm_status st = restore(c, err);
    size_t n_units = 0, n_claims = 0;
    return st != PM_OK ? st
                       : pmi_send_classes(c->p, c->job->graph->digest, &c->job->classes, c->job->effort, items, n,
                                          &n_units, &n_claims, err);
}

/* ---- rounds ---- */

static pm_status watch_traces(collection *c, pm_error *err) {
    pm_watch_options options = {.job = c->job->graph->digest,
                                .kind = &pmi_record_units,
                                .items = (const pm_digest *)c->keys,
                                .n_items = c->job->classes.n_classes,
                                .send = send_again,
                                .ctx = c};
    pm_error unused;
    (void)pmi_board_keep_job(c->p->traces->redis, c->job->graph->digest, &unused); /* somebody works with it */
    return pmi_watch(c->p, c->reader, &options, &c->report->watch, err);
}

/* A trace that does not fit its SCC, however well it is made, is removed by whoever stitches, and missing then. */
static pm_status stitch(collection *c, pm_model **model, pm_error *err) {
    pm_status st;
    pm_trace_cache cache = pmi_traces_cache(c->p->traces);
    pm_retry retry = pmi_producer_retry(c->p, "Redis");
    do {
        st = pmi_traces_warm(c->p->traces, (const pm_digest *)c->keys, c->job->classes.n_classes, err);
    } while (pmi_retry_again(&retry, st, err));
    if (st == PM_OK) {
        const pm_trace_source source = {.cache = &cache, .cached_only = true};
        st = pmi_model_of(c->job, &source, c->options->model, model, &c->report->model, err);
        pmi_traces_settle(c->p->traces, st == PM_OK);
    }
    return st;
}

/* Who has seen all items there says so, for those who only count. It matters to nobody else. */
static void note_all_there(const collection *c) {
    pm_error unused;
    if (c->report->watch.missing > 0) {
        (void)pmi_board_known(c->p->traces->redis, c->job->graph->digest, c->job->classes.n_classes, &unused);
    }
}

/* A unit whose blob went when Redis was emptied is sent again, with its blob; each at most once. */
static pm_status forgive(collection *c, bool *forgiven, pm_error *err) {
    const pm_watch_report *watch = &c->report->watch;
    *forgiven = false;
    if (!watch->has_failed_unit || watch->failed_code != PM_ENOINPUT || c->n_forgiven >= c->job->classes.n_classes) {
        return PM_OK;
    }
    pm_status st = restore(c, err);
    if (st != PM_OK || !c->was_emptied) {
        return st;
    }
    pm_retry retry = pmi_producer_retry(c->p, "Redis");
    do {
        st = pmi_board_forgive(c->p->traces->redis, c->job->graph->digest, watch->failed_unit, err);
    } while (pmi_retry_again(&retry, st, err));
    c->n_forgiven++;
    *forgiven = st == PM_OK;
    return st;
}

static pm_status watch_and_forgive(collection *c, size_t *n_missing, pm_error *err) {
    bool forgiven = false;
    pm_status st;
    do {
        st = watch_traces(c, err);
        *n_missing = c->report->rounds == 1 && c->n_forgiven == 0 ? c->report->watch.missing : *n_missing;
        pm_error why;
        if (st == PM_EDATA && forgive(c, &forgiven, &why) != PM_OK) {
            forgiven = false;
        }
    } while (st == PM_EDATA && forgiven);
    return st;
}

static pm_status keeps_changing(pm_status st, pm_error *err) {
    pm_error last = *err;
    return pmi_fail(
        err, st,
        "%s: %d times in a row what workers had recorded could not be used or was gone; see the warnings above, "
        "find out who else writes to Redis or removes from it, and collect again",
        last.text, MAX_ROUNDS);
}

/* After a stitch without one of the traces, or without Redis: the next round's watch waits for either. */
static pm_status run_rounds(collection *c, size_t *n_missing, pm_model **model, pm_error *err) {
    pm_status st;
    do {
        c->report->rounds++;
        st = watch_and_forgive(c, n_missing, err);
        if (st == PM_OK) {
            note_all_there(c);
        }
        if (st != PM_OK || model == NULL) {
            return st;
        }
        st = stitch(c, model, err);
        if (pmi_is_transient(st) && c->report->rounds < MAX_ROUNDS) {
            pmi_logf(c->p->log, PM_LOG_WARNING, "%s; the job is taken up once more", err->text);
        }
    } while (pmi_is_transient(st) && c->report->rounds < MAX_ROUNDS);
    return pmi_is_transient(st) ? keeps_changing(st, err) : st;
}

pm_status pmi_collect(pm_producer *producer, pm_reader *reader, pm_analysis *job, const pm_collect_options *options,
                      pm_model **model, pm_collect_report *report, pm_error *err) {
    if (model != NULL) {
        *model = NULL;
    }
    *report = (pm_collect_report){0};
    collection c = {
        .p = producer, .reader = reader, .job = job, .options = options, .report = report, .begun = pmi_seconds()};
    PM_TRY(pmi_trace_keys(&job->classes, &c.keys, err));
    size_t n_missing = 0;
    pm_status st = run_rounds(&c, &n_missing, model, err);
    if (st == PM_OK && model != NULL) {
        report->model.seconds_record = pmi_seconds() - c.begun - report->model.seconds_stitch;
        report->model.sccs_recorded = n_missing;
        report->model.sccs_cached = report->model.sccs_distinct - n_missing;
    }
    free(c.keys);
    return st;
}
