/* Units: their records, attempts and ends. */
#include <stdio.h>
#include <string.h>

#include "redis/board_impl.h"

/* ---- records ---- */

/* The list first: a unit that is listed without a record is one that nobody has sent yet. */
static const char place_script[] = PM_BOARD_MENDING
    "mend(1, 'set') mend(2, 'set') mend(3, 'hash') "
    "if redis.call('SADD', KEYS[1], ARGV[1]) == 1 then add(KEYS[3], ARGV[2] .. '.sent', ARGV[3]) end "
    "if ARGV[6] == '1' then "
    "if redis.call('SREM', KEYS[2], ARGV[1]) == 1 then add(KEYS[3], ARGV[2] .. '.done', '-' .. ARGV[3]) end "
    "redis.call('UNLINK', KEYS[4], KEYS[5]) end "
    "redis.call('SET', KEYS[6], ARGV[5], 'PX', ARGV[4]) "
    "for i = 1, 3 do redis.call('PEXPIRE', KEYS[i], ARGV[4]) end "
    "return mended";

static pm_status queue_unit(pm_redis *r, const pm_unit_record *unit, bool fresh, pm_error *err) {
    pm_redis_key units, done, tally, attempts, outcome, key;
    pm_redis_ttl ttl;
    pm_buffer encoded = {0};
    char items[24];
    pmi_redis_key_of(r, "job-units", unit->job, &units);
    pmi_redis_key_of(r, "job-done", unit->job, &done);
    pmi_redis_key_of(r, "tally", unit->job, &tally);
    pmi_redis_key_of(r, "attempts", unit->unit, &attempts);
    pmi_redis_key_of(r, "outcome", unit->unit, &outcome);
    pmi_redis_key_of(r, "unit", unit->unit, &key);
    pmi_redis_ttl_of(r->options.ttl, &ttl);
    (void)snprintf(items, sizeof items, "%zu", unit->items.size / PM_DIGEST_BYTES);
    pm_status st = pmi_board_encode(r, key.span, &pmi_unit_record_type, unit, &encoded, err);
    if (st == PM_OK) {
        const pm_span argv[] = {pmi_span_of("EVAL"),
                                pmi_span_of(place_script),
                                pmi_span_of("6"),
                                units.span,
                                done.span,
                                tally.span,
                                attempts.span,
                                outcome.span,
                                key.span,
                                {unit->unit, PM_DIGEST_BYTES},
                                unit->kind,
                                pmi_span_of(items),
                                ttl.span,
                                {encoded.bytes, encoded.size},
                                pmi_span_of(fresh ? "1" : "0")};
        st = pmi_redis_queue(r, argv, sizeof argv / sizeof *argv, err);
    }
    pmi_buffer_free(&encoded);
    return st;
}

static pm_status send_units(pm_redis *r, pm_status st, pm_error *err) {
    if (st != PM_OK) {
        pmi_redis_abandon(r);
        return st;
    }
    return pmi_redis_flush(r, pmi_board_see_mended, r, err);
}

pm_status pmi_board_place(pm_redis *r, const pm_unit_record *units, size_t n, bool fresh, pm_error *err) {
    size_t bytes = 0, waiting = 0;
    double now;
    pm_status st = pmi_redis_now(r, &now, err);
    for (size_t i = 0; st == PM_OK && i < n; i++) {
        pm_unit_record stamped = units[i];
        stamped.time = now;
        st = queue_unit(r, &stamped, fresh, err);
        bytes += units[i].items.size;
        if (++waiting == PM_BOARD_BATCH || bytes > PM_REDIS_VALUE) {
            st = send_units(r, st, err);
            bytes = waiting = 0;
        }
    }
    return send_units(r, st, err);
}

pm_status pmi_board_list_units(pm_redis *r, const uint8_t job[PM_DIGEST_BYTES], uint8_t (**units)[PM_DIGEST_BYTES],
                               size_t *n, pm_error *err) {
    pm_redis_key list;
    redisReply *reply = NULL;
    pmi_redis_key_of(r, "job-units", job, &list);
    const pm_span argv[] = {pmi_span_of("SMEMBERS"), list.span};
    *units = NULL;
    *n = 0;
    pm_status st = pmi_redis_call(r, argv, 2, &reply, err);
    PM_THEN(st, pmi_board_digests(r, list.text, reply, units, n, err));
    freeReplyObject(reply);
    if (st == PM_EDATA) {
        pmi_board_tell_bad(r, list.text, "is no list of units, and taken to be empty", err != NULL ? err->text : "");
        st = PM_OK;
    }
    return st;
}

typedef struct visiting {
    pm_redis *r;
    const uint8_t (*units)[PM_DIGEST_BYTES]; /* of the pipeline */
    pm_board_visit visit;
    void *ctx;
} visiting;

/* A record that makes no sense is as good as none: its items are looked for, and sent again by whoever needs them. */
static pm_status see_record(void *ctx, size_t i, const redisReply *reply, pm_error *err) {
    visiting *v = ctx;
    pm_unit_record record;
    pm_message_memory memory = {0};
    pm_redis_key key;
    bool found;
    pm_error why = {0};
    pmi_redis_key_of(v->r, "unit", v->units[i], &key);
    pm_status st = pmi_board_decode(v->r, key.text, reply, &pmi_unit_record_type, &record, &memory, &found, &why);
    if (st == PM_EDATA) {
        pmi_board_tell_bad(v->r, key.text, "is passed over", why.text);
        return PM_OK;
    }
    if (st != PM_OK || !found) {
        return st == PM_OK ? PM_OK : pmi_fail(err, st, "%s", why.text);
    }
    if (memcmp(record.unit, v->units[i], PM_DIGEST_BYTES) != 0) {
        pmi_board_tell_bad(v->r, key.text, "is passed over", "it holds the record of another unit");
    } else {
        st = v->visit(v->ctx, &record, err);
    }
    pmi_message_memory_free(&memory);
    return st;
}

pm_status pmi_board_units(pm_redis *r, const uint8_t job[PM_DIGEST_BYTES], pm_board_visit visit, void *ctx,
                          pm_error *err) {
    uint8_t(*units)[PM_DIGEST_BYTES];
    size_t n;
    pm_status st = pmi_board_list_units(r, job, &units, &n, err);
    for (size_t first = 0; st == PM_OK && first < n; first += PM_BOARD_BATCH) {
        size_t end = n - first < PM_BOARD_BATCH ? n : first + PM_BOARD_BATCH;
        for (size_t i = first; st == PM_OK && i < end; i++) {
            pm_redis_key key;
            pmi_redis_key_of(r, "unit", units[i], &key);
            st = pmi_board_queue_get(r, key.span, err);
        }
        if (st == PM_OK) {
            visiting v = {
                .r = r, .units = (const uint8_t(*)[PM_DIGEST_BYTES])(units + first), .visit = visit, .ctx = ctx};
            st = pmi_redis_flush(r, see_record, &v, err);
        }
    }
    free(units);
    return st;
}

/* ---- attempts ---- */

/* Between looking and counting nobody may end the unit or cancel its job; so the server does both in one step. The keys
 * of a job and of a unit lie in different hash slots: with a Redis Cluster, which is refused, this could not be. */
static const char begin_script[] = "if redis.call('EXISTS', KEYS[1]) == 1 then return {1, 0, 0, 0} end "
                                   "if redis.call('EXISTS', KEYS[2]) == 1 then return {0, 1, 0, 0} end "
                                   "local begun = redis.call('HINCRBY', KEYS[3], 'begun', 1) "
                                   "local faults = redis.call('HGET', KEYS[3], 'faults') "
                                   "redis.call('PEXPIRE', KEYS[3], ARGV[1]) "
                                   "return {0, 0, begun, tonumber(faults or 0)}";

/* Attempts that were forgotten meanwhile are not taken back. */
static const char give_back_script[] = "local begun = redis.call('HGET', KEYS[1], 'begun') "
                                       "if begun and tonumber(begun) > 0 then "
                                       "redis.call('HINCRBY', KEYS[1], 'begun', -1) "
                                       "redis.call('PEXPIRE', KEYS[1], ARGV[1]) end return 0";

static pm_status read_begin(const pm_redis *r, const redisReply *reply, pm_attempt *out, pm_error *err) {
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 4) {
        return pmi_redis_unexpected(r, reply, "four integers", err);
    }
    for (size_t i = 0; i < 4; i++) {
        if (reply->element[i]->type != REDIS_REPLY_INTEGER || reply->element[i]->integer < 0) {
            return pmi_redis_unexpected(r, reply->element[i], "an integer of at least 0", err);
        }
    }
    *out = (pm_attempt){.is_cancelled = reply->element[0]->integer != 0,
                        .is_ended = reply->element[1]->integer != 0,
                        .begun = (uint64_t)reply->element[2]->integer,
                        .faults = (uint64_t)reply->element[3]->integer};
    return PM_OK;
}

static pm_status try_to_begin(pm_redis *r, const uint8_t job[PM_DIGEST_BYTES], const uint8_t unit[PM_DIGEST_BYTES],
                              pm_attempt *out, pm_error *err) {
    pm_redis_key cancelled, outcome, attempts;
    pm_redis_ttl ttl;
    redisReply *reply = NULL;
    pmi_redis_key_of(r, "cancelled", job, &cancelled);
    pmi_redis_key_of(r, "outcome", unit, &outcome);
    pmi_redis_key_of(r, "attempts", unit, &attempts);
    pmi_redis_ttl_of(r->options.ttl, &ttl);
    const pm_span argv[] = {pmi_span_of("EVAL"),
                            pmi_span_of(begin_script),
                            pmi_span_of("3"),
                            cancelled.span,
                            outcome.span,
                            attempts.span,
                            ttl.span};
    pm_status st = pmi_redis_call(r, argv, 7, &reply, err);
    PM_THEN(st, read_begin(r, reply, out, err));
    freeReplyObject(reply);
    return st;
}

/* An outcome that makes no sense has ended nothing: it is removed. */
static pm_status check_end(pm_redis *r, const uint8_t unit[PM_DIGEST_BYTES], bool *has_ended, pm_error *err) {
    pm_outcome_message outcome;
    pm_stored note = {0};
    pm_error why = {0};
    pm_status st = pmi_board_outcome(r, unit, &outcome, &note, &why);
    *has_ended = st == PM_OK && note.found;
    pmi_stored_free(&note);
    if (st == PM_EDATA) {
        static const char *const spaces[] = {"outcome", NULL};
        pmi_logf(r->log, PM_LOG_WARNING, "%s; it is removed", why.text);
        return pmi_board_send(r, pmi_board_queue_unlink(r, spaces, unit, err), err);
    }
    return st == PM_OK ? PM_OK : pmi_fail(err, st, "%s", why.text);
}

pm_status pmi_board_begin(pm_redis *r, const uint8_t job[PM_DIGEST_BYTES], const uint8_t unit[PM_DIGEST_BYTES],
                          pm_attempt *out, pm_error *err) {
    bool has_ended = true;
    *out = (pm_attempt){0};
    pm_status st = try_to_begin(r, job, unit, out, err);
    if (st == PM_OK && out->is_ended) {
        st = check_end(r, unit, &has_ended, err);
    }
    return st == PM_OK && !has_ended ? try_to_begin(r, job, unit, out, err) : st;
}

typedef struct counted {
    const pm_redis *r;
    uint64_t value;
} counted;

static pm_status see_count(void *ctx, size_t i, const redisReply *reply, pm_error *err) {
    counted *c = ctx;
    pm_status st = pmi_redis_reply_status(c->r, reply, err);
    if (st == PM_OK && (reply->type != REDIS_REPLY_INTEGER || reply->integer < 0)) {
        st = pmi_redis_unexpected(c->r, reply, "an integer of at least 0", err);
    }
    PM_TRY(st);
    if (i == 0) {
        c->value = (uint64_t)reply->integer;
    }
    return PM_OK;
}

pm_status pmi_board_fault(pm_redis *r, const uint8_t unit[PM_DIGEST_BYTES], uint64_t *faults, pm_error *err) {
    pm_redis_key attempts;
    counted c = {.r = r};
    pmi_redis_key_of(r, "attempts", unit, &attempts);
    const pm_span argv[] = {pmi_span_of("HINCRBY"), attempts.span, pmi_span_of("faults"), pmi_span_of("1")};
    pm_status st = pmi_redis_queue(r, argv, 4, err);
    PM_THEN(st, pmi_board_queue_expire(r, attempts.span, r->options.ttl, err));
    PM_THEN(st, pmi_redis_flush(r, see_count, &c, err));
    *faults = c.value;
    return st;
}

pm_status pmi_board_give_back(pm_redis *r, const uint8_t unit[PM_DIGEST_BYTES], pm_error *err) {
    pm_redis_key attempts;
    pm_redis_ttl ttl;
    pmi_redis_key_of(r, "attempts", unit, &attempts);
    pmi_redis_ttl_of(r->options.ttl, &ttl);
    const pm_span argv[] = {pmi_span_of("EVAL"), pmi_span_of(give_back_script), pmi_span_of("1"), attempts.span,
                            ttl.span};
    return pmi_board_send(r, pmi_redis_queue(r, argv, 5, err), err);
}

bool pmi_board_count(const redisReply *field, uint64_t *out) {
    *out = 0;
    if (field->type == REDIS_REPLY_NIL) {
        return true;
    }
    if (field->type != REDIS_REPLY_STRING || field->len == 0 || field->len > 18) {
        return false;
    }
    for (size_t i = 0; i < field->len; i++) {
        if (field->str[i] < '0' || field->str[i] > '9') {
            return false;
        }
        *out = *out * 10 + (uint64_t)(field->str[i] - '0');
    }
    return true;
}

pm_status pmi_board_attempts(pm_redis *r, const uint8_t unit[PM_DIGEST_BYTES], pm_attempt *out, pm_error *err) {
    pm_redis_key attempts;
    redisReply *reply = NULL;
    pmi_redis_key_of(r, "attempts", unit, &attempts);
    const pm_span argv[] = {pmi_span_of("HMGET"), attempts.span, pmi_span_of("begun"), pmi_span_of("faults")};
    *out = (pm_attempt){0};
    pm_status st = pmi_redis_call(r, argv, 4, &reply, err);
    if (st == PM_OK &&
        (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || !pmi_board_count(reply->element[0], &out->begun) ||
         !pmi_board_count(reply->element[1], &out->faults))) {
        st = pmi_fail(err, PM_EDATA, "Redis at %s: %s: begun and faults are not two counts", r->options.address,
                      attempts.text);
    }
    freeReplyObject(reply);
    return st;
}

/* ---- ends ---- */

/* Counted once, however often it is done. */
static const char done_script[] =
    PM_BOARD_MENDING "redis.call('SET', KEYS[3], ARGV[5], 'PX', ARGV[4]) "
                     "mend(1, 'set') mend(2, 'hash') "
                     "redis.call('UNLINK', KEYS[4]) "
                     "if redis.call('SADD', KEYS[1], ARGV[1]) == 1 then add(KEYS[2], ARGV[2] .. '.done', ARGV[3]) end "
                     "redis.call('PEXPIRE', KEYS[1], ARGV[4]) redis.call('PEXPIRE', KEYS[2], ARGV[4]) "
                     "return mended";

static pm_status end_done(pm_redis *r, const pm_outcome_message *outcome, uint64_t n_items, pm_span key,
                          pm_error *err) {
    pm_redis_key done, tally, attempts;
    pm_redis_ttl ttl;
    pm_buffer encoded = {0};
    char items[24];
    pmi_redis_key_of(r, "job-done", outcome->job, &done);
    pmi_redis_key_of(r, "tally", outcome->job, &tally);
    pmi_redis_key_of(r, "attempts", outcome->unit, &attempts);
    pmi_redis_ttl_of(r->options.ttl, &ttl);
    (void)snprintf(items, sizeof items, "%llu", (unsigned long long)n_items);
    pm_status st = pmi_board_encode(r, key, &pmi_outcome_type, outcome, &encoded, err);
    if (st == PM_OK) {
        const pm_span argv[] = {pmi_span_of("EVAL"),
                                pmi_span_of(done_script),
                                pmi_span_of("4"),
                                done.span,
                                tally.span,
                                key,
                                attempts.span,
                                {outcome->unit, PM_DIGEST_BYTES},
                                outcome->kind,
                                pmi_span_of(items),
                                ttl.span,
                                {encoded.bytes, encoded.size}};
        st = pmi_redis_queue(r, argv, sizeof argv / sizeof *argv, err);
    }
    pmi_buffer_free(&encoded);
    PM_TRY(st);
    return pmi_redis_flush(r, pmi_board_see_mended, r, err);
}

/* A failure does not undo what another worker has finished. The job's failure goes in front of the unit's: a worker
 * that dies between them leaves a unit that is tried again, not one that has ended while its job waits. */
static pm_status end_failed(pm_redis *r, const pm_outcome_message *outcome, pm_span key, pm_error *err) {
    pm_outcome_message standing;
    pm_stored note = {0};
    pm_redis_key failed;
    pmi_redis_key_of(r, "failed", outcome->job, &failed);
    pm_status st = pmi_board_read(r, key, &pmi_outcome_type, &standing, &note, err);
    bool is_done = st == PM_OK && note.found && standing.code == PM_OK;
    pmi_stored_free(&note);
    if (st == PM_EDATA) { /* what makes no sense is written over */
        const pm_span argv[] = {pmi_span_of("UNLINK"), key};
        st = pmi_board_send(r, pmi_redis_queue(r, argv, 2, err), err);
    }
    if (st != PM_OK || is_done) {
        return st;
    }
    st = pmi_board_queue_set(r, failed.span, &pmi_outcome_type, outcome, r->options.ttl, true, err);
    PM_THEN(st, pmi_board_queue_set(r, key, &pmi_outcome_type, outcome, r->options.ttl, true, err));
    return pmi_board_send(r, st, err);
}

pm_status pmi_board_end(pm_redis *r, const pm_outcome_message *outcome, uint64_t n_items, pm_error *err) {
    pm_redis_key key;
    pmi_redis_key_of(r, "outcome", outcome->unit, &key);
    return outcome->code == PM_OK ? end_done(r, outcome, n_items, key.span, err)
                                  : end_failed(r, outcome, key.span, err);
}

pm_status pmi_board_outcome(pm_redis *r, const uint8_t unit[PM_DIGEST_BYTES], pm_outcome_message *out, pm_stored *note,
                            pm_error *err) {
    pm_redis_key key;
    pmi_redis_key_of(r, "outcome", unit, &key);
    return pmi_board_read(r, key.span, &pmi_outcome_type, out, note, err);
}

pm_status pmi_board_ended(pm_redis *r, const uint8_t (*units)[PM_DIGEST_BYTES], size_t n, bool *ended, pm_error *err) {
    return pmi_board_exist(r, "outcome", units, n, ended, err);
}
