#include "units/job_state.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "redis/traces.h"
#include "units/kinds.h"

#define MIN_DIGITS 6
#define MAX_JOBS 10000 /* looked through for an id's beginning */

/* ---- finding ----------------------------------------------------------------------------------------- */

/* A job whose id begins with `text`. */
typedef struct job_search {
    const char *text;
    uint8_t *job;
    size_t n_found; /* different ones, of those that come one after the other */
} job_search;

static void try_job(job_search *s, const pm_digest job) {
    bool is_new = s->n_found == 0 || memcmp(job, s->job, PM_DIGEST_BYTES) != 0;
    if (is_new && strncasecmp(PM_HEX(job), s->text, strlen(s->text)) == 0) {
        memcpy(s->job, job, PM_DIGEST_BYTES);
        s->n_found++;
    }
}

static pm_status end_search(const job_search *s, const char *absent, pm_error *err) {
    return s->n_found == 1   ? PM_OK
           : s->n_found == 0 ? pmi_fail(err, PM_ENOINPUT, "job %s: %s; see `phasemill status`", s->text, absent)
                             : pmi_fail(err, PM_EUSAGE, "job %s: more than one begins so; give more digits", s->text);
}

static pm_status find_by_digits(pm_redis *redis, const char *text, pm_digest job, pm_error *err) {
    job_search s = {.text = text, .job = job};
    pm_digest *jobs = NULL;
    size_t n = 0;
    PM_TRY(pmi_board_jobs(redis, MAX_JOBS, &jobs, &n, err));
    for (size_t i = 0; i < n; i++) {
        try_job(&s, jobs[i]);
    }
    free(jobs);
    return end_search(&s, "not there", err);
}

static pm_status check_there(pm_redis *redis, const pm_digest job, const char *text, pm_error *err) {
    pm_job_message message;
    pm_stored note = {0};
    pm_status st = pmi_board_job(redis, job, &message, &note, err);
    bool found = note.found;
    pmi_stored_free(&note);
    if (st == PM_EDATA) { /* it is there, and whoever looks closer is told what is wrong with it */
        return PM_OK;
    }
    return st == PM_OK && !found ? pmi_fail(err, PM_ENOINPUT, "job %s: not there; see `phasemill status`", text) : st;
}

pm_status pmi_job_find(pm_redis *redis, const char *text, pm_digest job, pm_error *err) {
    size_t n = 0;
    while (isxdigit((unsigned char)text[n])) {
        n++;
    }
    if (text[n] != '\0' || n < MIN_DIGITS || n >= PM_DIGEST_HEX) {
        return pmi_fail(err, PM_EUSAGE, "\"%s\": expected the id of a job, or its first %d or more digits", text,
                        MIN_DIGITS);
    }
    return pmi_unhex(text, job) ? check_there(redis, job, text, err) : find_by_digits(redis, text, job, err);
}

static pm_status search_worker(void *ctx, const pm_worker_message *worker, pm_error *err) {
    const pm_running_unit *units = worker->units.items;
    (void)err;
    for (size_t i = 0; i < worker->units.count; i++) {
        try_job(ctx, units[i].job);
    }
    return PM_OK;
}

pm_status pmi_job_find_running(pm_redis *redis, const char *text, pm_digest job, pm_error *err) {
    job_search s = {.text = text, .job = job};
    PM_TRY(pmi_board_workers(redis, search_worker, &s, err));
    return end_search(&s, "neither on the board nor with a worker", err);
}

/* ---- looking ----------------------------------------------------------------------------------------- */

typedef struct item {
    pm_digest digest;
    uint32_t unit;
    bool exists;
} item;

/* The items of all units of a kind. */
typedef struct item_list {
    const pm_unit_kind *kind;
    item *items;
    size_t n, capacity;
} item_list;

enum { RECORD, EVALUATE, OTHER, N_LISTS };

typedef struct gathering {
    pm_job_view *view;
    size_t unit_capacity;
    item_list lists[N_LISTS];
} gathering;

static item_list *list_of(gathering *g, pm_span kind) {
    size_t i = 0;
    while (i < OTHER && !pmi_span_is(kind, g->lists[i].kind->name)) {
        i++;
    }
    return &g->lists[i];
}

static pm_status add_items(item_list *list, const uint8_t *digests, size_t n, size_t unit, pm_error *err) {
    PM_TRY(PM_GROW(&list->items, &list->capacity, list->n + n, "items of a job", err));
    for (size_t i = 0; i < n; i++) {
        item *one = &list->items[list->n++];
        *one = (item){.unit = (uint32_t)unit};
        memcpy(one->digest, digests + i * PM_DIGEST_BYTES, PM_DIGEST_BYTES);
    }
    return PM_OK;
}

static pm_status gather_unit(void *ctx, const pm_unit_record *record, pm_error *err) {
    gathering *g = ctx;
    pm_job_view *view = g->view;
    PM_TRY(PM_GROW(&view->units, &g->unit_capacity, view->n_units + 1, "units of a job", err));
    pm_unit_view *unit = &view->units[view->n_units];
    *unit = (pm_unit_view){.partition = record->partition, .offset = record->offset, .time = record->time};
    memcpy(unit->unit, record->unit, PM_DIGEST_BYTES);
    pmi_span_text(record->kind, unit->kind, sizeof unit->kind);
    pmi_utf8_mend(unit->kind);
    item_list *list = list_of(g, record->kind);
    bool is_own_item = list->kind->space == NULL;
    unit->items = is_own_item ? 1 : record->items.size / PM_DIGEST_BYTES;
    return add_items(list, is_own_item ? record->unit : record->items.bytes, unit->items, view->n_units++, err);
}

static int by_digest(const void *a, const void *b) {
    return memcmp(((const item *)a)->digest, ((const item *)b)->digest, PM_DIGEST_BYTES);
}

/* Asks for all items of a kind; *distinct and *missing count each digest once, for one may be in several units. */
static pm_status look_at_items(pm_redis *redis, gathering *g, item_list *list, uint64_t *distinct, uint64_t *missing,
                               pm_error *err) {
    *distinct = *missing = 0;
    if (list->n == 0) {
        return PM_OK;
    }
    pm_pool pool = {0};
    pm_digest *digests = pmi_pool_array(&pool, list->n, sizeof *digests);
    bool *exist = pmi_pool_array(&pool, list->n, sizeof *exist);
    pm_status st = pmi_pool_check(&pool, err, "items", list->n * PM_DIGEST_BYTES);
    if (st == PM_OK) {
        qsort(list->items, list->n, sizeof *list->items, by_digest);
        for (size_t i = 0; i < list->n; i++) {
            memcpy(digests[i], list->items[i].digest, PM_DIGEST_BYTES);
        }
        const pm_digest *all = (const pm_digest *)digests;
        const char *space = list->kind->space != NULL ? list->kind->space : PM_SPACE_OUTCOME;
        st = pmi_redis_exist(redis, space, all, list->n, false, exist, err);
    }
    for (size_t i = 0; st == PM_OK && i < list->n; i++) {
        bool is_new = i == 0 || memcmp(digests[i], digests[i - 1], PM_DIGEST_BYTES) != 0;
        *distinct += is_new;
        *missing += is_new && !exist[i];
        g->view->units[list->items[i].unit].missing += !exist[i];
    }
    pmi_pool_free(&pool);
    return st;
}

static pm_status look_at_units(pm_redis *redis, pm_job_view *view, pm_error *err) {
    gathering g = {.view = view,
                   .lists = {[RECORD] = {.kind = &pmi_record_units},
                             [EVALUATE] = {.kind = &pmi_evaluate_units},
                             [OTHER] = {.kind = &pmi_probe_units}}}; /* and kinds of a later version */
    uint64_t distinct = 0, others = 0, others_missing = 0;
    pm_status st = pmi_board_units(redis, view->job, gather_unit, &g, err);
    PM_THEN(st, look_at_items(redis, &g, &g.lists[RECORD], &distinct, &view->missing, err));
    PM_THEN(st, look_at_items(redis, &g, &g.lists[EVALUATE], &view->slices, &view->slices_missing, err));
    PM_THEN(st, look_at_items(redis, &g, &g.lists[OTHER], &others, &others_missing, err));
    view->missing += others_missing;
    for (size_t i = 0; i < view->n_units; i++) {
        view->n_open += view->units[i].missing > 0;
    }
    for (size_t k = 0; k < N_LISTS; k++) {
        free(g.lists[k].items);
    }
    return st;
}

void pmi_outcome_place(const pm_outcome_message *o, char place[PM_OUTCOME_PLACE]) {
    char topic[256];
    bool has_scc = o->scc.size == PM_DIGEST_BYTES;
    pmi_span_text(o->topic, topic, sizeof topic);
    pmi_utf8_mend(topic);
    snprintf(place, PM_OUTCOME_PLACE, "unit %s%s%s, %llu attempts, %s partition %llu offset %lld", PM_HEX(o->unit),
             has_scc ? ", SCC " : "", has_scc ? PM_HEX(o->scc.bytes) : "", (unsigned long long)o->attempts, topic,
             (unsigned long long)o->partition, (long long)o->offset);
}

static void describe_failure(pm_job_view *view, const pm_outcome_message *o) {
    view->has_failed = true;
    pmi_span_text(o->error, view->failure, sizeof view->failure);
    pmi_utf8_mend(view->failure);
    pmi_outcome_place(o, view->failure_place);
}

static void set_fault(pm_job_view *view, const char *why) {
    snprintf(view->fault, sizeof view->fault, "%.*s", (int)sizeof view->fault - 1, why);
    pmi_utf8_mend(view->fault);
}

/* What makes no sense is shown in its place. */
static pm_status note_fault(pm_job_view *view, pm_status st, const pm_error *err) {
    if (st == PM_EDATA) {
        set_fault(view, err->text);
        return PM_OK;
    }
    return st;
}

static pm_status look_at_end(pm_redis *redis, pm_job_view *view, pm_error *err) {
    pm_outcome_message outcome;
    pm_stored note = {0};
    const pm_digest *job = (const pm_digest *)view->job;
    pm_status st = pmi_redis_exist(redis, PM_SPACE_CANCELLED, job, 1, false, &view->is_cancelled, err);
    PM_THEN(st, note_fault(view, pmi_board_failure(redis, view->job, &outcome, &note, err), err));
    if (st == PM_OK && note.found) {
        describe_failure(view, &outcome);
    }
    pmi_stored_free(&note);
    return st;
}

static void take_record(pm_job_view *view, const pm_job_message *message) {
    pmi_span_text(message->kind, view->kind, sizeof view->kind);
    pmi_span_text(message->source, view->source, sizeof view->source);
    pmi_utf8_mend(view->kind);
    pmi_utf8_mend(view->source);
    view->created = message->created;
    view->states = message->states;
    view->items = message->items;
    view->known = message->known;
}

pm_status pmi_job_look(pm_redis *redis, const pm_digest job, pm_job_view *out, bool *found, pm_error *err) {
    pm_job_message message;
    pm_stored note = {0};
    *out = (pm_job_view){0};
    memcpy(out->job, job, PM_DIGEST_BYTES);
    pm_status st = note_fault(out, pmi_board_job(redis, job, &message, &note, err), err);
    *found = note.found || out->fault[0] != '\0';
    if (note.found) {
        take_record(out, &message);
    }
    pmi_stored_free(&note);
    if (st == PM_OK && *found) {
        st = look_at_units(redis, out, err);
    }
    return st == PM_OK && *found ? look_at_end(redis, out, err) : st;
}

/* ---- many at a glance -------------------------------------------------------------------------------- */

typedef struct glancing {
    pm_job_view *views;
    bool *found;
} glancing;

static void see_job(void *ctx, size_t i, const pm_job_message *job, const pm_outcome_message *failure,
                    const char *fault) {
    glancing *g = ctx;
    g->found[i] = g->found[i] || job != NULL || fault != NULL;
    if (job != NULL) {
        take_record(&g->views[i], job);
    } else if (failure != NULL) {
        describe_failure(&g->views[i], failure);
    } else {
        set_fault(&g->views[i], fault);
    }
}

/* Counts of two moments may pass each other; none is shown that cannot be. */
static void take_counts(pm_job_view *view, const pm_glance *counts) {
    uint64_t there = counts->known + counts->recorded;
    view->is_counted = true;
    view->is_cancelled = counts->is_cancelled;
    view->missing = there < view->items ? view->items - there : 0;
    view->slices = counts->slices;
    view->slices_missing = counts->slices_done < counts->slices ? counts->slices - counts->slices_done : 0;
    view->n_units = counts->units;
    view->n_open = counts->units_done < counts->units ? counts->units - counts->units_done : 0;
}

pm_status pmi_jobs_glance(pm_redis *redis, const pm_digest *jobs, size_t n, pm_job_view *views, size_t *n_found,
                          pm_error *err) {
    pm_glance *counts = pmi_calloc(n, sizeof *counts);
    glancing g = {.views = views, .found = pmi_calloc(n, sizeof *g.found)};
    pm_status st = counts == NULL || g.found == NULL ? pmi_fail_memory(err, "jobs", n * sizeof *counts) : PM_OK;
    *n_found = 0;
    for (size_t i = 0; i < n; i++) {
        views[i] = (pm_job_view){0};
        memcpy(views[i].job, jobs[i], PM_DIGEST_BYTES);
    }
    PM_THEN(st, pmi_board_glance(redis, jobs, n, counts, see_job, &g, err));
    for (size_t i = 0; st == PM_OK && i < n; i++) {
        if (g.found[i]) {
            take_counts(&views[i], &counts[i]);
            views[(*n_found)++] = views[i];
        }
    }
    free(g.found);
    free(counts);
    return st;
}

/* ---- closer ------------------------------------------------------------------------------------------ */

pm_status pmi_job_look_closer(pm_redis *redis, pm_job_view *view, size_t max, pm_error *err) {
    pm_status st = PM_OK;
    size_t seen = 0;
    for (size_t i = 0; st == PM_OK && i < view->n_units && seen < max; i++) {
        pm_unit_view *unit = &view->units[i];
        if (unit->missing == 0) {
            continue;
        }
        pm_attempt attempt = {0};
        const pm_digest *id = (const pm_digest *)unit->unit;
        st = pmi_redis_exist(redis, PM_SPACE_OUTCOME, id, 1, false, &unit->has_ended, err);
        PM_THEN(st, note_fault(view, pmi_board_attempts(redis, unit->unit, &attempt, err), err));
        unit->begun = attempt.begun;
        unit->faults = attempt.faults;
        seen++;
    }
    return st;
}

void pmi_job_view_free(pm_job_view *view) {
    free(view->units);
    *view = (pm_job_view){0};
}

const char *pmi_job_state(const pm_job_view *view) {
    return view->fault[0] != '\0'                            ? "unreadable"
           : view->missing == 0 && view->slices_missing == 0 ? "done"
           : view->has_failed                                ? "failed"
           : view->is_cancelled                              ? "cancelled"
                                                             : "running";
}
