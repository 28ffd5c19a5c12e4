/* Jobs: their records, their list, failure and cancellation. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "redis/board_impl.h"

/* ---- opening ---- */

/* The list forgets a job when nothing of it can be there any more: records live for one TTL after their last use. What
 * was counted of an earlier submission is begun anew. */
static const char open_script[] = PM_BOARD_MENDING "redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3]) "
                                                   "mend(1, 'zset') mend(6, 'hash') "
                                                   "redis.call('UNLINK', KEYS[3], KEYS[4], KEYS[5]) "
                                                   "redis.call('HSET', KEYS[6], 'known', ARGV[4], 'record.done', 0) "
                                                   "redis.call('PEXPIRE', KEYS[6], ARGV[3]) "
                                                   "redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[6]) "
                                                   "redis.call('ZADD', KEYS[1], ARGV[5], ARGV[1]) "
                                                   "redis.call('PEXPIRE', KEYS[1], ARGV[7]) "
                                                   "return mended";

static pm_status queue_opening(pm_redis *r, const pm_job_message *job, const pm_buffer *encoded, pm_error *err) {
    static const char *const spaces[] = {"job", "failed", "cancelled", "job-done", "tally"};
    pm_redis_key list, keys[5];
    pm_redis_ttl ttl, twice;
    char known[24], created[40], oldest[40];
    pmi_redis_plain_key_of(r, "jobs", &list);
    for (size_t i = 0; i < 5; i++) {
        pmi_redis_key_of(r, spaces[i], job->job, &keys[i]);
    }
    pmi_redis_ttl_of(r->options.ttl, &ttl);
    pmi_redis_ttl_of(2.0 * r->options.ttl, &twice);
    (void)snprintf(known, sizeof known, "%llu", (unsigned long long)job->known);
    (void)snprintf(created, sizeof created, "%.6f", job->created);
    (void)snprintf(oldest, sizeof oldest, "(%.6f", job->created - 2.0 * r->options.ttl);
    const pm_span argv[] = {pmi_span_of("EVAL"),
                            pmi_span_of(open_script),
                            pmi_span_of("6"),
                            list.span,
                            keys[0].span,
                            keys[1].span,
                            keys[2].span,
                            keys[3].span,
                            keys[4].span,
                            {job->job, PM_DIGEST_BYTES},
                            {encoded->bytes, encoded->size},
                            ttl.span,
                            pmi_span_of(known),
                            pmi_span_of(created),
                            pmi_span_of(oldest),
                            twice.span};
    return pmi_redis_queue(r, argv, sizeof argv / sizeof *argv, err);
}

pm_status pmi_board_open_job(pm_redis *r, const pm_job_message *job, pm_error *err) {
    pm_job_message stamped = *job;
    pm_buffer encoded = {0};
    pm_redis_key key;
    pmi_redis_key_of(r, "job", job->job, &key);
    pm_status st = pmi_redis_now(r, &stamped.created, err);
    PM_THEN(st, pmi_board_encode(r, key.span, &pmi_job_type, &stamped, &encoded, err));
    PM_THEN(st, queue_opening(r, &stamped, &encoded, err));
    pmi_buffer_free(&encoded);
    PM_TRY(st);
    return pmi_redis_flush(r, pmi_board_see_mended, r, err);
}

static const char known_script[] = PM_BOARD_MENDING "mend(1, 'hash') "
                                                    "redis.call('HSET', KEYS[1], 'known', ARGV[1], 'record.done', 0) "
                                                    "redis.call('PEXPIRE', KEYS[1], ARGV[2]) "
                                                    "return mended";

pm_status pmi_board_known(pm_redis *r, const uint8_t job[PM_DIGEST_BYTES], uint64_t known, pm_error *err) {
    pm_redis_key tally;
    pm_redis_ttl ttl;
    char text[24];
    pmi_redis_key_of(r, "tally", job, &tally);
    pmi_redis_ttl_of(r->options.ttl, &ttl);
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)known);
    const pm_span argv[] = {pmi_span_of("EVAL"), pmi_span_of(known_script), pmi_span_of("1"),
                            tally.span,          pmi_span_of(text),         ttl.span};
    PM_TRY(pmi_redis_queue(r, argv, 6, err));
    return pmi_redis_flush(r, pmi_board_see_mended, r, err);
}

pm_status pmi_board_job(pm_redis *r, const uint8_t job[PM_DIGEST_BYTES], pm_job_message *out, pm_stored *note,
                        pm_error *err) {
    pm_redis_key key;
    pmi_redis_key_of(r, "job", job, &key);
    return pmi_board_read(r, key.span, &pmi_job_type, out, note, err);
}

pm_status pmi_board_keep_job(pm_redis *r, const uint8_t job[PM_DIGEST_BYTES], pm_error *err) {
    static const char *const spaces[] = {"job", "job-units", "job-done", "tally"};
    pm_status st = PM_OK;
    for (size_t i = 0; st == PM_OK && i < sizeof spaces / sizeof *spaces; i++) {
        pm_redis_key key;
        pmi_redis_key_of(r, spaces[i], job, &key);
        st = pmi_board_queue_expire(r, key.span, r->options.ttl, err);
    }
    return pmi_board_send(r, st, err);
}

/* ---- the list ---- */

static pm_status page_of_jobs(pm_redis *r, size_t first, size_t n, uint8_t (**digests)[PM_DIGEST_BYTES], size_t *found,
                              bool *is_last, pm_error *err) {
    pm_redis_key list;
    char from[24], to[24];
    redisReply *reply = NULL;
    pmi_redis_plain_key_of(r, "jobs", &list);
    (void)snprintf(from, sizeof from, "%zu", first);
    (void)snprintf(to, sizeof to, "%zu", first + n - 1);
    const pm_span argv[] = {pmi_span_of("ZREVRANGE"), list.span, pmi_span_of(from), pmi_span_of(to)};
    *digests = NULL;
    *found = 0;
    pm_status st = pmi_redis_call(r, argv, 4, &reply, err);
    if (st == PM_OK) {
        *is_last = reply->type == REDIS_REPLY_ARRAY && reply->elements < n;
        st = pmi_board_digests(r, list.text, reply, digests, found, err);
    }
    freeReplyObject(reply);
    return st == PM_EDATA ? pmi_fail_prefix(err, "%s, which the next submit makes anew", list.text) : st;
}

/* Keeps those of a page that are there still, at most `room`. */
static pm_status keep_living(pm_redis *r, const uint8_t (*page)[PM_DIGEST_BYTES], size_t n, size_t room,
                             uint8_t (*out)[PM_DIGEST_BYTES], size_t *kept, pm_error *err) {
    bool *exist = pmi_malloc(n, sizeof *exist);
    if (exist == NULL) {
        return pmi_fail_memory(err, "a list of jobs", n);
    }
    pm_status st = pmi_board_exist(r, "job", page, n, exist, err);
    for (size_t i = 0; st == PM_OK && i < n && *kept < room; i++) {
        if (exist[i]) {
            memcpy(out[(*kept)++], page[i], PM_DIGEST_BYTES);
        }
    }
    free(exist);
    return st;
}

pm_status pmi_board_jobs(pm_redis *r, size_t max, uint8_t (**digests)[PM_DIGEST_BYTES], size_t *n, pm_error *err) {
    uint8_t(*out)[PM_DIGEST_BYTES] = NULL;
    size_t capacity = 0, kept = 0, first = 0, found = 0;
    bool is_last = false;
    pm_status st = PM_OK;
    /* a job that is submitted meanwhile moves the pages by one: a repeated job is the worst of it */
    while (st == PM_OK && kept < max && !is_last) {
        uint8_t(*page)[PM_DIGEST_BYTES];
        st = page_of_jobs(r, first, PM_BOARD_BATCH, &page, &found, &is_last, err);
        if (st == PM_OK && !pmi_reserve((void **)&out, &capacity, kept + found, sizeof *out)) {
            st = pmi_fail_memory(err, "a list of jobs", (kept + found) * sizeof *out);
        }
        PM_THEN(st, keep_living(r, (const uint8_t(*)[PM_DIGEST_BYTES])page, found, max, out, &kept, err));
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

pm_status pmi_board_forget_job(pm_redis *r, const uint8_t job[PM_DIGEST_BYTES], pm_error *err) {
    static const char *const of_job[] = {"job", "job-units", "job-done", "tally", "failed", "cancelled", NULL};
    static const char *const of_unit[] = {"unit", "attempts", "outcome", NULL};
    uint8_t(*units)[PM_DIGEST_BYTES];
    size_t n;
    pm_redis_key list;
    pmi_redis_plain_key_of(r, "jobs", &list);
    pm_status st = pmi_board_list_units(r, job, &units, &n, err);
    for (size_t i = 0; st == PM_OK && i < n; i++) {
        st = pmi_board_queue_unlink(r, of_unit, units[i], err);
        if ((i + 1) % PM_BOARD_BATCH == 0) {
            st = pmi_board_send(r, st, err);
        }
    }
    free(units);
    PM_THEN(st, pmi_board_queue_unlink(r, of_job, job, err));
    if (st == PM_OK) {
        const pm_span argv[] = {pmi_span_of("ZREM"), list.span, {job, PM_DIGEST_BYTES}};
        st = pmi_redis_queue(r, argv, 3, err);
    }
    return pmi_board_send(r, st, err);
}

pm_status pmi_board_cancel(pm_redis *r, const uint8_t job[PM_DIGEST_BYTES], pm_error *err) {
    pm_redis_key key;
    pm_redis_ttl ttl;
    pmi_redis_key_of(r, "cancelled", job, &key);
    pmi_redis_ttl_of(r->options.ttl, &ttl);
    const pm_span argv[] = {pmi_span_of("SET"), key.span, pmi_span_of("1"), pmi_span_of("PX"), ttl.span};
    return pmi_board_send(r, pmi_redis_queue(r, argv, 5, err), err);
}

pm_status pmi_board_cancelled(pm_redis *r, const uint8_t (*jobs)[PM_DIGEST_BYTES], size_t n, bool *cancelled,
                              pm_error *err) {
    return pmi_board_exist(r, "cancelled", jobs, n, cancelled, err);
}

pm_status pmi_board_failure(pm_redis *r, const uint8_t job[PM_DIGEST_BYTES], pm_outcome_message *out, pm_stored *note,
                            pm_error *err) {
    pm_redis_key key;
    pmi_redis_key_of(r, "failed", job, &key);
    return pmi_board_read(r, key.span, &pmi_outcome_type, out, note, err);
}

pm_status pmi_board_forgive(pm_redis *r, const uint8_t job[PM_DIGEST_BYTES], const uint8_t unit[PM_DIGEST_BYTES],
                            pm_error *err) {
    static const char *const of_unit[] = {"outcome", "attempts", NULL};
    static const char *const of_job[] = {"failed", NULL};
    pm_status st = unit != NULL ? pmi_board_queue_unlink(r, of_unit, unit, err) : PM_OK;
    PM_THEN(st, pmi_board_queue_unlink(r, of_job, job, err));
    return pmi_board_send(r, st, err);
}
