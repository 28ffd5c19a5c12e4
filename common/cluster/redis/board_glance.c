/* Many jobs at a glance, for operators. */
#include <string.h>

#include "redis/board_impl.h"

#define JOBS_AT_ONCE 64
/* Commands for each job, in this order. */
enum { UNITS, DONE, TALLY, CANCELLED, FAILED, RECORD, N_COMMANDS };

typedef struct glancing {
    pm_redis *r;
    const uint8_t (*jobs)[PM_DIGEST_BYTES];
    size_t first; /* of the pipeline */
    pm_glance *out;
    const pm_glance_visits *visits;
    void *ctx;
} glancing;

static const char *const spaces[N_COMMANDS] = {"job-units", "job-done", "tally", "cancelled", "failed", "job"};

static pm_status queue_job(pm_redis *r, const uint8_t *job, pm_error *err) {
    for (int c = 0; c < N_COMMANDS; c++) {
        pm_redis_key key;
        pmi_redis_key_of(r, spaces[c], job, &key);
        const pm_span count[] = {pmi_span_of(c == CANCELLED ? "EXISTS" : "SCARD"), key.span};
        const pm_span tally[] = {pmi_span_of("HMGET"),         key.span,
                                 pmi_span_of("known"),         pmi_span_of("record.done"),
                                 pmi_span_of("evaluate.sent"), pmi_span_of("evaluate.done")};
        PM_TRY(c == FAILED || c == RECORD ? pmi_board_queue_get(r, key.span, err)
               : c == TALLY               ? pmi_redis_queue(r, tally, 6, err)
                                          : pmi_redis_queue(r, count, 2, err));
    }
    return PM_OK;
}

static pm_status see_number(const glancing *g, const redisReply *reply, uint64_t *out, pm_error *err) {
    pm_status st = pmi_redis_reply_status(g->r, reply, err);
    if (st == PM_OK && (reply->type != REDIS_REPLY_INTEGER || reply->integer < 0)) {
        st = pmi_redis_unexpected(g->r, reply, "an integer of at least 0", err);
    }
    *out = st == PM_OK ? (uint64_t)reply->integer : 0;
    return st;
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

static pm_status see_failure(const glancing *g, const char *key, const redisReply *reply, size_t job, pm_error *err) {
    pm_outcome_message outcome;
    pm_message_memory memory = {0};
    bool found;
    PM_TRY(pmi_board_decode(g->r, key, reply, &pmi_outcome_type, &outcome, &memory, &found, err));
    pm_status st = found ? g->visits->failure(g->ctx, job, &outcome, err) : PM_OK;
    pmi_message_memory_free(&memory);
    return st;
}

static pm_status see_record(const glancing *g, const char *key, const redisReply *reply, size_t job, pm_error *err) {
    pm_job_message message;
    pm_message_memory memory = {0};
    bool found;
    PM_TRY(pmi_board_decode(g->r, key, reply, &pmi_job_type, &message, &memory, &found, err));
    pm_status st = g->visits->job(g->ctx, job, found ? &message : NULL, err);
    pmi_message_memory_free(&memory);
    return st;
}

static pm_status see(void *ctx, size_t i, const redisReply *reply, pm_error *err) {
    glancing *g = ctx;
    size_t job = g->first + i / N_COMMANDS;
    int command = (int)(i % N_COMMANDS);
    pm_glance *out = &g->out[job];
    pm_redis_key key;
    pm_error why = {0};
    uint64_t flag = 0;
    pmi_redis_key_of(g->r, spaces[command], g->jobs[job], &key);
    pm_status st = command == UNITS       ? see_number(g, reply, &out->units, &why)
                   : command == DONE      ? see_number(g, reply, &out->units_done, &why)
                   : command == TALLY     ? see_tally(g, reply, out, &why)
                   : command == CANCELLED ? see_number(g, reply, &flag, &why)
                   : command == FAILED    ? see_failure(g, key.text, reply, job, &why)
                                          : see_record(g, key.text, reply, job, &why);
    out->is_cancelled = out->is_cancelled || flag != 0;
    if (st == PM_EDATA) {
        if (command != FAILED && command != RECORD) {
            (void)pmi_fail_prefix(&why, "%s", key.text);
        }
        return g->visits->bad(g->ctx, job, why.text, err);
    }
    return st == PM_OK ? PM_OK : pmi_fail(err, st, "%s", why.text);
}

pm_status pmi_board_glance(pm_redis *r, const uint8_t (*jobs)[PM_DIGEST_BYTES], size_t n, pm_glance *out,
                           const pm_glance_visits *visits, void *ctx, pm_error *err) {
    glancing g = {.r = r, .jobs = jobs, .out = out, .visits = visits, .ctx = ctx};
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
