/* Many jobs at a glance, for operators. */
#include <string.h>

#include "redis/board_impl.h"

#define JOBS_AT_ONCE 64
/* Commands for each job, in this order. */
enum { UNITS, DONE, TALLY, CANCELLED, FAILED, RECORD, N_COMMANDS };

typedef struct glancing {
    pm_redis *r;
    const pm_digest *jobs;
    size_t first; /* of the pipeline */
    pm_glance *out;
    pm_glance_visit visit;
    void *ctx;
} glancing;

static const char *const spaces[N_COMMANDS] = {"job-units", "job-done", "tally", "cancelled", "failed", "job"};

static pm_status queue_job(pm_redis *r, const uint8_t *job, pm_error *err) {
    for (int c = 0; c < N_COMMANDS; c++) {
        const pm_span key = PM_KEY(r, spaces[c], job);
        PM_TRY(c == FAILED || c == RECORD ? pmi_board_queue_get(r, key, err)
               : c == TALLY
                   ? PM_QUEUE(r, err, pmi_span_of("HMGET"), key, pmi_span_of("known"), pmi_span_of("record.done"),
                              pmi_span_of("evaluate.sent"), pmi_span_of("evaluate.done"))
                   : PM_QUEUE(r, err, pmi_span_of(c == CANCELLED ? "EXISTS" : "SCARD"), key));
    }
    return PM_OK;
}

/* Counts that were never begun are none; one below zero, which two who count at once may make, too. */
static pm_status see_tally(const glancing *g, const redisReply *reply, pm_glance *out, pm_error *err) {
    uint64_t *const fields[] = {&out->known, &out->recorded, &out->slices, &out->slices_done};
    pm_status st = pmi_redis_reply_status(g->r, reply, err);
    if (st == PM_OK && (reply->type != REDIS_REPLY_ARRAY || reply->elements != 4)) {
        st = pmi_redis_unexpected(g->r, reply, "four values", err);
    }
    for (size_t i = 0; st == PM_OK && i < 4; i++) {
        const redisReply *value = reply->element[i];
        bool is_negative = value->type == REDIS_REPLY_STRING && value->len > 0 && value->str[0] == '-';
        if (!is_negative && !pmi_board_count(value, fields[i])) {
            st = pmi_fail(err, PM_EDATA, "a count that is no number");
        }
    }
    return st;
}

/* The record of a job, or of its failed unit. */
static pm_status see_message(const glancing *g, pm_span key, const redisReply *reply, size_t job, bool is_job,
                             pm_error *err) {
    pm_job_message record;
    pm_outcome_message failure;
    pm_message_memory memory = {0};
    bool found;
    PM_TRY(pmi_board_decode(g->r, key, reply, is_job ? &pmi_job_type : &pmi_outcome_type,
                            is_job ? (void *)&record : (void *)&failure, &memory, &found, err));
    if (found) {
        g->visit(g->ctx, job, is_job ? &record : NULL, is_job ? NULL : &failure, NULL);
        pmi_message_memory_free(&memory);
    }
    return PM_OK;
}

static pm_status see(void *ctx, size_t i, const redisReply *reply, pm_error *err) {
    glancing *g = ctx;
    const pm_redis *r = g->r;
    size_t job = g->first + i / N_COMMANDS;
    int command = (int)(i % N_COMMANDS);
    pm_glance *out = &g->out[job];
    uint64_t flag = 0;
    const pm_span key = PM_KEY(g->r, spaces[command], g->jobs[job]);
    bool is_message = command == FAILED || command == RECORD;
    pm_status st = is_message         ? see_message(g, key, reply, job, command == RECORD, err)
                   : command == TALLY ? see_tally(g, reply, out, err)
                   : command == UNITS ? pmi_redis_integer(r, reply, &out->units, err)
                   : command == DONE  ? pmi_redis_integer(r, reply, &out->units_done, err)
                                      : pmi_redis_integer(r, reply, &flag, err);
    out->is_cancelled = out->is_cancelled || flag != 0;
    if (st != PM_EDATA) {
        return st;
    }
    if (!is_message) {
        (void)pmi_fail_prefix(err, "%s", PM_TEXT(key));
    }
    g->visit(g->ctx, job, NULL, NULL, err->text);
    return PM_OK;
}

pm_status pmi_board_glance(pm_redis *r, const pm_digest *jobs, size_t n, pm_glance *out, pm_glance_visit visit,
                           void *ctx, pm_error *err) {
    glancing g = {.r = r, .jobs = jobs, .out = out, .visit = visit, .ctx = ctx};
    memset(out, 0, n * sizeof *out);
    for (; g.first < n; g.first += JOBS_AT_ONCE) {
        size_t end = n - g.first < JOBS_AT_ONCE ? n : g.first + JOBS_AT_ONCE;
        for (size_t i = g.first; i < end; i++) {
            PM_TRY(queue_job(r, jobs[i], err));
        }
        PM_TRY(pmi_redis_flush(r, see, &g, err));
    }
    return PM_OK;
}
