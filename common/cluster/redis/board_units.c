/* Units: their records, attempts and ends. */
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
    const pm_span key = PM_KEY(r, "unit", unit->unit);
    pm_buffer encoded = {0};
    pm_status st = pmi_board_encode(r, key, &pmi_unit_record_type, unit, &encoded, err);
    PM_THEN(st,
            PM_QUEUE(r, err, pmi_span_of("EVAL"), pmi_span_of(place_script), pmi_span_of("6"),
                     PM_KEY(r, "job-units", unit->job), PM_KEY(r, "job-done", unit->job), PM_KEY(r, "tally", unit->job),
                     PM_KEY(r, "attempts", unit->unit), PM_KEY(r, "outcome", unit->unit), key,
                     {unit->unit, PM_DIGEST_BYTES}, unit->kind, PM_COUNT(unit->items.size / PM_DIGEST_BYTES),
                     PM_TTL(r->options.ttl), {encoded.bytes, encoded.size}, pmi_span_of(fresh ? "1" : "0")));
    pmi_buffer_free(&encoded);
    return st;
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
            st = pmi_board_send(r, st, err);
            bytes = waiting = 0;
        }
    }
    return pmi_board_send(r, st, err);
}

/* The units that are listed under a job. */
static pm_status list_units(pm_redis *r, const pm_digest job, pm_digest **units, size_t *n, pm_error *err) {
    redisReply *reply = NULL;
    const pm_span list = PM_KEY(r, "job-units", job);
    *units = NULL;
    *n = 0;
    pm_status st = PM_CALL(r, &reply, err, pmi_span_of("SMEMBERS"), list);
    PM_THEN(st, pmi_board_digests(r, list, reply, units, n, err));
    freeReplyObject(reply);
    if (st == PM_EDATA) {
        pmi_board_tell_bad(r, list, "is no list of units, and taken to be empty", err->text);
        st = PM_OK;
    }
    return st;
}

typedef struct visiting {
    pm_redis *r;
    const pm_digest *units; /* of the pipeline */
    pm_board_visit visit;
    void *ctx;
} visiting;

/* A record that makes no sense is as good as none: its items are looked for, and sent again by whoever needs them. */
static pm_status see_record(void *ctx, size_t i, const redisReply *reply, pm_error *err) {
    visiting *v = ctx;
    pm_unit_record record;
    pm_message_memory memory = {0};
    bool found;
    const pm_span key = PM_KEY(v->r, "unit", v->units[i]);
    pm_status st = pmi_board_decode(v->r, key, reply, &pmi_unit_record_type, &record, &memory, &found, err);
    if (st == PM_EDATA) {
        pmi_board_tell_bad(v->r, key, "is passed over", err->text);
        return PM_OK;
    }
    if (st != PM_OK || !found) {
        return st;
    }
    if (memcmp(record.unit, v->units[i], PM_DIGEST_BYTES) != 0) {
        pmi_board_tell_bad(v->r, key, "is passed over", "it holds the record of another unit");
    } else {
        st = v->visit(v->ctx, &record, err);
    }
    pmi_message_memory_free(&memory);
    return st;
}

pm_status pmi_board_units(pm_redis *r, const pm_digest job, pm_board_visit visit, void *ctx, pm_error *err) {
    pm_digest *units;
    size_t n;
    pm_status st = list_units(r, job, &units, &n, err);
    for (size_t first = 0; st == PM_OK && first < n; first += PM_BOARD_BATCH) {
        size_t end = n - first < PM_BOARD_BATCH ? n : first + PM_BOARD_BATCH;
        for (size_t i = first; st == PM_OK && i < end; i++) {
            st = pmi_board_queue_get(r, PM_KEY(r, "unit", units[i]), err);
        }
        if (st == PM_OK) {
            visiting v = {.r = r, .units = (const pm_digest *)(units + first), .visit = visit, .ctx = ctx};
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
    uint64_t values[4];
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 4) {
        return pmi_redis_unexpected(r, reply, "four integers", err);
    }
    for (size_t i = 0; i < 4; i++) {
        PM_TRY(pmi_redis_integer(r, reply->element[i], &values[i], err));
    }
    *out = (pm_attempt){
        .is_cancelled = values[0] != 0, .is_ended = values[1] != 0, .begun = values[2], .faults = values[3]};
    return PM_OK;
}

static pm_status try_to_begin(pm_redis *r, const pm_digest job, const pm_digest unit, pm_attempt *out, pm_error *err) {
    redisReply *reply = NULL;
    pm_status st = PM_CALL(r, &reply, err, pmi_span_of("EVAL"), pmi_span_of(begin_script), pmi_span_of("3"),
                           PM_KEY(r, "cancelled", job), PM_KEY(r, "outcome", unit), PM_KEY(r, "attempts", unit),
                           PM_TTL(r->options.ttl));
    PM_THEN(st, read_begin(r, reply, out, err));
    freeReplyObject(reply);
    return st;
}

/* An outcome that makes no sense has ended nothing: it is removed. */
static pm_status check_end(pm_redis *r, const pm_digest unit, bool *has_ended, pm_error *err) {
    pm_outcome_message outcome;
    pm_stored note = {0};
    pm_status st = pmi_board_outcome(r, unit, &outcome, &note, err);
    *has_ended = st == PM_OK && note.found;
    pmi_stored_free(&note);
    if (st == PM_EDATA) {
        pmi_logf(r->log, PM_LOG_WARNING, "%s; it is removed", err->text);
        return pmi_board_send(r, PM_QUEUE(r, err, pmi_span_of("UNLINK"), PM_KEY(r, "outcome", unit)), err);
    }
    return st;
}

pm_status pmi_board_begin(pm_redis *r, const pm_digest job, const pm_digest unit, pm_attempt *out, pm_error *err) {
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
    uint64_t value;
    PM_TRY(pmi_redis_integer(c->r, reply, &value, err));
    c->value = i == 0 ? value : c->value;
    return PM_OK;
}

pm_status pmi_board_fault(pm_redis *r, const pm_digest unit, uint64_t *faults, pm_error *err) {
    const pm_span attempts = PM_KEY(r, "attempts", unit);
    counted c = {.r = r};
    pm_status st = PM_QUEUE(r, err, pmi_span_of("HINCRBY"), attempts, pmi_span_of("faults"), pmi_span_of("1"));
    PM_THEN(st, PM_QUEUE(r, err, pmi_span_of("PEXPIRE"), attempts, PM_TTL(r->options.ttl)));
    PM_THEN(st, pmi_redis_flush(r, see_count, &c, err));
    *faults = c.value;
    return st;
}

pm_status pmi_board_give_back(pm_redis *r, const pm_digest unit, pm_error *err) {
    pm_status st = PM_QUEUE(r, err, pmi_span_of("EVAL"), pmi_span_of(give_back_script), pmi_span_of("1"),
                            PM_KEY(r, "attempts", unit), PM_TTL(r->options.ttl));
    return pmi_board_send(r, st, err);
}

bool pmi_board_count(const redisReply *field, uint64_t *out) {
    *out = 0;
    return field->type == REDIS_REPLY_NIL || pmi_redis_digits(field, out);
}

pm_status pmi_board_attempts(pm_redis *r, const pm_digest unit, pm_attempt *out, pm_error *err) {
    redisReply *reply = NULL;
    const pm_span attempts = PM_KEY(r, "attempts", unit);
    *out = (pm_attempt){0};
    pm_status st = PM_CALL(r, &reply, err, pmi_span_of("HMGET"), attempts, pmi_span_of("begun"), pmi_span_of("faults"));
    if (st == PM_OK &&
        (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || !pmi_board_count(reply->element[0], &out->begun) ||
         !pmi_board_count(reply->element[1], &out->faults))) {
        st = pmi_fail(err, PM_EDATA, "Redis at %s: %s: begun and faults are not two counts", r->options.address,
                      PM_TEXT(attempts));
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
    pm_buffer encoded = {0};
    pm_status st = pmi_board_encode(r, key, &pmi_outcome_type, outcome, &encoded, err);
    PM_THEN(st, PM_QUEUE(r, err, pmi_span_of("EVAL"), pmi_span_of(done_script), pmi_span_of("4"),
                         PM_KEY(r, "job-done", outcome->job), PM_KEY(r, "tally", outcome->job), key,
                         PM_KEY(r, "attempts", outcome->unit), {outcome->unit, PM_DIGEST_BYTES}, outcome->kind,
                         PM_COUNT(n_items), PM_TTL(r->options.ttl), {encoded.bytes, encoded.size}));
    pmi_buffer_free(&encoded);
    return pmi_board_send(r, st, err);
}

/* A failure does not undo what another worker has finished. The job's failure goes in front of the unit's: a worker
 * that dies between them leaves a unit that is tried again, not one that has ended while its job waits. */
static pm_status end_failed(pm_redis *r, const pm_outcome_message *outcome, pm_span key, pm_error *err) {
    pm_outcome_message standing;
    pm_stored note = {0};
    pm_status st = pmi_board_read(r, key, &pmi_outcome_type, &standing, &note, err);
    bool is_done = st == PM_OK && note.found && standing.code == PM_OK;
    pmi_stored_free(&note);
    if (st == PM_EDATA) { /* what makes no sense is written over */
        st = pmi_board_send(r, PM_QUEUE(r, err, pmi_span_of("UNLINK"), key), err);
    }
    if (st != PM_OK || is_done) {
        return st;
    }
    st = pmi_board_queue_set(r, PM_KEY(r, "failed", outcome->job), &pmi_outcome_type, outcome, r->options.ttl, true,
                             err);
    PM_THEN(st, pmi_board_queue_set(r, key, &pmi_outcome_type, outcome, r->options.ttl, true, err));
    return pmi_board_send(r, st, err);
}

pm_status pmi_board_end(pm_redis *r, const pm_outcome_message *outcome, uint64_t n_items, pm_error *err) {
    const pm_span key = PM_KEY(r, "outcome", outcome->unit);
    return outcome->code == PM_OK ? end_done(r, outcome, n_items, key, err) : end_failed(r, outcome, key, err);
}

pm_status pmi_board_outcome(pm_redis *r, const pm_digest unit, pm_outcome_message *out, pm_stored *note,
                            pm_error *err) {
    return pmi_board_read(r, PM_KEY(r, "outcome", unit), &pmi_outcome_type, out, note, err);
}

pm_status pmi_board_ended(pm_redis *r, const pm_digest *units, size_t n, bool *ended, pm_error *err) {
    return pmi_board_exist(r, "outcome", units, n, ended, err);
}
