/* Jobs: their records, their list, failure and cancellation. */
#include <stdio.h>
#include <string.h>

#include "redis/board_impl.h"

/* ---- opening ---- */

/* Records live for one TTL after their last use: then the list forgets the job. Earlier counts are begun anew. */
static const char open_script[] = PM_BOARD_MENDING "redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3]) "
                                                   "mend(1, 'zset') mend(6, 'hash') "
                                                   "redis.call('UNLINK', KEYS[3], KEYS[4], KEYS[5]) "
                                                   "redis.call('HSET', KEYS[6], 'known', ARGV[4], 'record.done', 0) "
                                                   "redis.call('PEXPIRE', KEYS[6], ARGV[3]) "
                                                   "redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[6]) "
                                                   "redis.call('ZADD', KEYS[1], ARGV[5], ARGV[1]) "
                                                   "redis.call('PEXPIRE', KEYS[1], ARGV[7]) "
                                                   "return mended";

pm_status pmi_board_open_job(pm_redis *r, const pm_job_message *job, pm_error *err) {
    pm_job_message stamped = *job;
    pm_buffer encoded = {0};
    char created[40], oldest[40];
    const pm_span key = PM_KEY(r, "job", job->job);
    pm_status st = pmi_redis_now(r, &stamped.created, err);
    (void)snprintf(created, sizeof created, "%.6f", stamped.created);
    (void)snprintf(oldest, sizeof oldest, "(%.6f", stamped.created - 2.0 * r->options.ttl);
    PM_THEN(st, pmi_board_encode(r, key, &pmi_job_type, &stamped, &encoded, err));
    PM_THEN(st, PM_QUEUE(r, err, pmi_span_of("EVAL"), pmi_span_of(open_script), pmi_span_of("6"),
                         PM_PLAIN_KEY(r, "jobs"), key, PM_KEY(r, "failed", job->job), PM_KEY(r, "cancelled", job->job),
                         PM_KEY(r, "job-done", job->job), PM_KEY(r, "tally", job->job), {job->job, PM_DIGEST_BYTES},
                         {encoded.bytes, encoded.size}, PM_TTL(r->options.ttl), PM_COUNT(job->known),
                         pmi_span_of(created), pmi_span_of(oldest), PM_TTL(2.0 * r->options.ttl)));
    pmi_buffer_free(&encoded);
    return pmi_board_send(r, st, err);
}

static const char known_script[] = PM_BOARD_MENDING "mend(1, 'hash') "
                                                    "redis.call('HSET', KEYS[1], 'known', ARGV[1], 'record.done', 0) "
                                                    "redis.call('PEXPIRE', KEYS[1], ARGV[2]) "
                                                    "return mended";

pm_status pmi_board_known(pm_redis *r, const pm_digest job, uint64_t known, pm_error *err) {
    pm_status st = PM_QUEUE(r, err, pmi_span_of("EVAL"), pmi_span_of(known_script), pmi_span_of("1"),
                            PM_KEY(r, "tally", job), PM_COUNT(known), PM_TTL(r->options.ttl));
    return pmi_board_send(r, st, err);
}

pm_status pmi_board_job(pm_redis *r, const pm_digest job, pm_job_message *out, pm_stored *note, pm_error *err) {
    return pmi_board_read(r, PM_KEY(r, "job", job), &pmi_job_type, out, note, err);
}

pm_status pmi_board_keep_job(pm_redis *r, const pm_digest job, pm_error *err) {
    static const char *const spaces[] = {"job", "job-units", "job-done", "tally"};
    pm_status st = PM_OK;
    for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++) {
        PM_THEN(st, PM_QUEUE(r, err, pmi_span_of("PEXPIRE"), PM_KEY(r, spaces[i], job), PM_TTL(r->options.ttl)));
    }
    return pmi_board_send(r, st, err);
}

/* ---- the list ---- */

static pm_status page_of_jobs(pm_redis *r, size_t first, size_t n, pm_digest **digests, size_t *found, bool *is_last,
                              pm_error *err) {
    const pm_span list = PM_PLAIN_KEY(r, "jobs");
    redisReply *reply = NULL;
    *digests = NULL;
    *found = 0;
    pm_status st = PM_CALL(r, &reply, err, pmi_span_of("ZREVRANGE"), list, PM_COUNT(first), PM_COUNT(first + n - 1));
    if (st == PM_OK) {
        *is_last = reply->type == REDIS_REPLY_ARRAY && reply->elements < n;
        st = pmi_board_digests(r, list, reply, digests, found, err);
    }
    freeReplyObject(reply);
    return st == PM_EDATA ? pmi_fail_prefix(err, "%s, which the next submit makes anew", PM_TEXT(list)) : st;
}

/* Keeps those of a page that are there still, at most `room`. */
static pm_status keep_living(pm_redis *r, const pm_digest *page, size_t n, size_t room, pm_digest *out, size_t *kept,
                             pm_error *err) {
    bool *exist = pmi_malloc(n, sizeof *exist);
    PM_TRY(exist != NULL ? PM_OK : pmi_fail_memory(err, "a list of jobs", n));
    pm_status st = pmi_board_exist(r, "job", page, n, exist, err);
    for (size_t i = 0; st == PM_OK && i < n && *kept < room; i++) {
        if (exist[i]) {
            memcpy(out[(*kept)++], page[i], PM_DIGEST_BYTES);
        }
    }
    free(exist);
    return st;
}

pm_status pmi_board_jobs(pm_redis *r, size_t max, pm_digest **digests, size_t *n, pm_error *err) {
    pm_digest *out = NULL;
    size_t capacity = 0, kept = 0, first = 0, found = 0;
    bool is_last = false;
    pm_status st = PM_OK;
    /* a job that is submitted meanwhile moves the pages by one: a repeated job is the worst of it */
    while (st == PM_OK && kept < max && !is_last) {
        pm_digest *page;
        st = page_of_jobs(r, first, PM_BOARD_BATCH, &page, &found, &is_last, err);
        if (st == PM_OK && !pmi_reserve((void **)&out, &capacity, kept + found, sizeof *out)) {
            st = pmi_fail_memory(err, "a list of jobs", (kept + found) * sizeof *out);
        }
        PM_THEN(st, keep_living(r, (const pm_digest *)page, found, max, out, &kept, err));
        free(page);
        first += PM_BOARD_BATCH;
    }
    if (st != PM_OK) {
        free(out);
        out = NULL;
        kept = 0;
    }
    *digests = out;
    *n = kept;
    return st;
}

/* ---- ends ---- */

pm_status pmi_board_cancel(pm_redis *r, const pm_digest job, pm_error *err) {
    pm_status st = PM_QUEUE(r, err, pmi_span_of("SET"), PM_KEY(r, "cancelled", job), pmi_span_of("1"),
                            pmi_span_of("PX"), PM_TTL(r->options.ttl));
    return pmi_board_send(r, st, err);
}

pm_status pmi_board_cancelled(pm_redis *r, const pm_digest *jobs, size_t n, bool *cancelled, pm_error *err) {
    return pmi_board_exist(r, "cancelled", jobs, n, cancelled, err);
}

pm_status pmi_board_failure(pm_redis *r, const pm_digest job, pm_outcome_message *out, pm_stored *note, pm_error *err) {
    return pmi_board_read(r, PM_KEY(r, "failed", job), &pmi_outcome_type, out, note, err);
}

pm_status pmi_board_forgive(pm_redis *r, const pm_digest job, const pm_digest unit, pm_error *err) {
    pm_status st = PM_OK;
    if (unit != NULL) {
        st = PM_QUEUE(r, err, pmi_span_of("UNLINK"), PM_KEY(r, "outcome", unit));
        PM_THEN(st, PM_QUEUE(r, err, pmi_span_of("UNLINK"), PM_KEY(r, "attempts", unit)));
    }
    PM_THEN(st, PM_QUEUE(r, err, pmi_span_of("UNLINK"), PM_KEY(r, "failed", job)));
    return pmi_board_send(r, st, err);
}
