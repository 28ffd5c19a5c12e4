#include "redis/board.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "redis/redis_impl.h"

/* NAME.lua of redis/scripts, without comments. */
extern const char pmi_script_beat[], pmi_script_begin[], pmi_script_done[], pmi_script_give_back[], pmi_script_known[],
    pmi_script_open[], pmi_script_place[];

void pmi_stored_free(pm_stored *note) {
    freeReplyObject(note->reply);
    pmi_message_memory_free(&note->memory);
    *note = (pm_stored){0};
}

/* ---- writing ---- */

static pm_status encode(const pm_redis *r, pm_span key, const pm_message_type *type, const void *message,
                        pm_buffer *out, pm_error *err) {
    size_t before = out->size;
    PM_TRY(pmi_sealed_encode(r->options.seal, key, type, message, out, err));
    if (out->size - before > PM_REDIS_VALUE) {
        return pmi_fail(err, PM_ESOFTWARE, "a %s of %zu bytes, expected at most %zu", type->name, out->size - before,
                        PM_REDIS_VALUE);
    }
    return PM_OK;
}

/* NX where only the first is to stay. */
static pm_status queue_set(pm_redis *r, pm_span key, const pm_message_type *type, const void *message, double ttl,
                           bool only_new, pm_error *err) {
    pm_buffer encoded = {0};
    pm_status st = encode(r, key, type, message, &encoded, err);
    if (st == PM_OK) {
        const pm_span argv[] = {pmi_span_of("SET"), key,         {encoded.bytes, encoded.size},
                                pmi_span_of("PX"),  PM_TTL(ttl), pmi_span_of("NX")};
        st = pmi_redis_queue(r, argv, only_new ? 6 : 5, err);
    }
    pmi_buffer_free(&encoded);
    return st;
}

/* ---- bad values ---- */

/* FNV-1a; never 0. */
static uint64_t hash_of(const char *text) {
    uint64_t hash = 14695981039346656037u;
    for (; *text != '\0'; text++) {
        hash = (hash ^ (uint8_t)*text) * 1099511628211u;
    }
    return hash | 1;
}

/* A warning line about a bad value at a key, once for each key and connection: looks are repeated. */
static void tell_bad(pm_redis *r, pm_span key, const char *what, const char *text) {
    uint64_t hash = hash_of(PM_TEXT(key));
    for (size_t i = 0; i < PM_REDIS_TOLD; i++) {
        if (r->told[i] == hash) {
            return;
        }
    }
    r->told[r->n_told++ % PM_REDIS_TOLD] = hash;
    pmi_logf(r->log, PM_LOG_WARNING, "Redis at %s: %s %s: %s", r->options.address, PM_TEXT(key), what, text);
}

/* A text is of a script that mends: the keys of the wrong type that it removed. */
static pm_status see_mended(void *ctx, size_t i, const redisReply *reply, pm_error *err) {
    pm_redis *r = ctx;
    (void)i;
    PM_TRY(pmi_redis_reply_status(r, reply, err));
    if (reply->type == REDIS_REPLY_STRING && reply->len > 0) {
        pmi_logf(r->log, PM_LOG_WARNING, "Redis at %s: of the wrong type, and made anew:%s", r->options.address,
                 reply->str);
    }
    return PM_OK;
}

/* Sends what is queued unless `st` is a failure already; then it is abandoned. */
static pm_status send_all(pm_redis *r, pm_status st, pm_error *err) {
    if (st != PM_OK) {
        pmi_redis_abandon(r);
        return st;
    }
    return pmi_redis_flush(r, see_mended, r, err);
}

/* ---- reading ---- */

/* As much as a value of ours may have, and one byte more: whatever somebody has put there. */
static pm_status queue_get(pm_redis *r, pm_span key, pm_error *err) {
    return PM_QUEUE(r, err, pmi_span_of("GETRANGE"), key, pmi_span_of("0"), PM_COUNT(PM_REDIS_VALUE));
}

/* *found is false for nothing. The message borrows from reply and `memory`. */
static pm_status decode(const pm_redis *r, pm_span key, const redisReply *reply, const pm_message_type *type, void *out,
                        pm_message_memory *memory, bool *found, pm_error *err) {
    *found = false;
    pm_status st = pmi_redis_reply_status(r, reply, err);
    if (st == PM_OK && reply->type != REDIS_REPLY_STRING) {
        st = pmi_redis_unexpected(r, reply, "a string", err);
    } else if (st == PM_OK && reply->len > PM_REDIS_VALUE) {
        st = pmi_fail(err, PM_EDATA, "it has more than %zu bytes", PM_REDIS_VALUE);
    } else if (st == PM_OK && reply->len > 0) {
        st = pmi_sealed_decode(r->options.seal, key, type, (const uint8_t *)reply->str, reply->len, out, memory, err);
        *found = st == PM_OK;
    }
    return st == PM_EDATA ? pmi_fail_prefix(err, "Redis at %s: %s", r->options.address, PM_TEXT(key)) : st;
}

/* The value of one key; the message borrows from `note`. */
static pm_status read_message(pm_redis *r, pm_span key, const pm_message_type *type, void *out, pm_stored *note,
                              pm_error *err) {
    pmi_stored_free(note);
    pm_status st =
        PM_CALL(r, &note->reply, err, pmi_span_of("GETRANGE"), key, pmi_span_of("0"), PM_COUNT(PM_REDIS_VALUE));
    if (st == PM_EDATA) {
        return pmi_fail_prefix(err, "Redis at %s: %s", r->options.address, PM_TEXT(key));
    }
    PM_THEN(st, decode(r, key, note->reply, type, out, &note->memory, &note->found, err));
    if (st != PM_OK) {
        pmi_stored_free(note);
    }
    return st;
}

/* A field of a hash of counts: digits, or nil for none. */
static bool read_count(const redisReply *field, uint64_t *out) {
    *out = 0;
    return field->type == REDIS_REPLY_NIL || pmi_redis_digits(field, out);
}

/* The members of a set. One of another size is a warning line that names `key`. */
static pm_status read_digests(pm_redis *r, pm_span key, const redisReply *reply, pm_digest **digests, size_t *n,
                              pm_error *err) {
    *digests = NULL;
    *n = 0;
    if (reply->type != REDIS_REPLY_ARRAY) {
        return pmi_redis_unexpected(r, reply, "an array", err);
    }
    pm_digest *list;
    PM_TRY(PM_NEW(&list, reply->elements, "a list from Redis", err));
    for (size_t i = 0; i < reply->elements; i++) {
        const redisReply *member = reply->element[i];
        if (member->type == REDIS_REPLY_STRING && member->len == PM_DIGEST_BYTES) {
            memcpy(list[(*n)++], member->str, PM_DIGEST_BYTES);
        } else {
            tell_bad(r, key, "has a member that is left out", "it is no id of 32 bytes");
        }
    }
    *digests = list;
    return PM_OK;
}

/* ---- jobs ---- */

pm_status pmi_board_open_job(pm_redis *r, const pm_job_message *job, pm_error *err) {
    pm_job_message stamped = *job;
    pm_buffer encoded = {0};
    char created[40], oldest[40];
    const pm_span key = PM_KEY(r, "job", job->job);
    pm_status st = pmi_redis_now(r, &stamped.created, err);
    (void)snprintf(created, sizeof created, "%.6f", stamped.created);
    (void)snprintf(oldest, sizeof oldest, "(%.6f", stamped.created - 2.0 * r->options.ttl);
    PM_THEN(st, encode(r, key, &pmi_job_type, &stamped, &encoded, err));
    PM_THEN(st, PM_EVAL(r, err, pmi_script_open, "6", PM_PLAIN_KEY(r, "jobs"), key, PM_KEY(r, "failed", job->job),
                        PM_KEY(r, "cancelled", job->job), PM_KEY(r, "job-done", job->job), PM_KEY(r, "tally", job->job),
                        {job->job, PM_DIGEST_BYTES}, {encoded.bytes, encoded.size}, PM_TTL(r->options.ttl),
                        PM_COUNT(job->known), pmi_span_of(created), pmi_span_of(oldest), PM_TTL(2.0 * r->options.ttl)));
    pmi_buffer_free(&encoded);
    return send_all(r, st, err);
}

pm_status pmi_board_known(pm_redis *r, const pm_digest job, uint64_t known, pm_error *err) {
    pm_status st =
        PM_EVAL(r, err, pmi_script_known, "1", PM_KEY(r, "tally", job), PM_COUNT(known), PM_TTL(r->options.ttl));
    return send_all(r, st, err);
}

pm_status pmi_board_job(pm_redis *r, const pm_digest job, pm_job_message *out, pm_stored *note, pm_error *err) {
    return read_message(r, PM_KEY(r, "job", job), &pmi_job_type, out, note, err);
}

pm_status pmi_board_keep_job(pm_redis *r, const pm_digest job, pm_error *err) {
    static const char *const spaces[] = {"job", "job-units", "job-done", "tally"};
    pm_status st = PM_OK;
    for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++) {
        PM_THEN(st, PM_QUEUE(r, err, pmi_span_of("PEXPIRE"), PM_KEY(r, spaces[i], job), PM_TTL(r->options.ttl)));
    }
    return send_all(r, st, err);
}

static pm_status page_of_jobs(pm_redis *r, size_t first, size_t n, pm_digest **digests, size_t *found, bool *is_last,
                              pm_error *err) {
    const pm_span list = PM_PLAIN_KEY(r, "jobs");
    redisReply *reply = NULL;
    *digests = NULL;
    *found = 0;
    pm_status st = PM_CALL(r, &reply, err, pmi_span_of("ZREVRANGE"), list, PM_COUNT(first), PM_COUNT(first + n - 1));
    if (st == PM_OK) {
        *is_last = reply->type == REDIS_REPLY_ARRAY && reply->elements < n;
        st = read_digests(r, list, reply, digests, found, err);
    }
    freeReplyObject(reply);
    return st == PM_EDATA ? pmi_fail_prefix(err, "%s, which the next submit makes anew", PM_TEXT(list)) : st;
}

/* Keeps those of a page that are there still, at most `room`. */
static pm_status keep_living(pm_redis *r, const pm_digest *page, size_t n, size_t room, pm_digest *out, size_t *kept,
                             pm_error *err) {
    bool *exist;
    PM_TRY(PM_NEW(&exist, n, "a list of jobs", err));
    pm_status st = pmi_redis_exist(r, "job", page, n, false, exist, err);
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
        st = page_of_jobs(r, first, PM_REDIS_BATCH, &page, &found, &is_last, err);
        PM_THEN(st, PM_GROW(&out, &capacity, kept + found, "a list of jobs", err));
        PM_THEN(st, keep_living(r, (const pm_digest *)page, found, max, out, &kept, err));
        free(page);
        first += PM_REDIS_BATCH;
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

pm_status pmi_board_cancel(pm_redis *r, const pm_digest job, pm_error *err) {
    pm_status st = PM_QUEUE(r, err, pmi_span_of("SET"), PM_KEY(r, "cancelled", job), pmi_span_of("1"),
                            pmi_span_of("PX"), PM_TTL(r->options.ttl));
    return send_all(r, st, err);
}

pm_status pmi_board_failure(pm_redis *r, const pm_digest job, pm_outcome_message *out, pm_stored *note, pm_error *err) {
    return read_message(r, PM_KEY(r, "failed", job), &pmi_outcome_type, out, note, err);
}

pm_status pmi_board_forgive(pm_redis *r, const pm_digest job, const pm_digest unit, pm_error *err) {
    pm_status st = PM_OK;
    if (unit != NULL) {
        st = PM_QUEUE(r, err, pmi_span_of("UNLINK"), PM_KEY(r, "outcome", unit));
        PM_THEN(st, PM_QUEUE(r, err, pmi_span_of("UNLINK"), PM_KEY(r, "attempts", unit)));
    }
    PM_THEN(st, PM_QUEUE(r, err, pmi_span_of("UNLINK"), PM_KEY(r, "failed", job)));
    return send_all(r, st, err);
}

/* ---- many jobs at a glance ---- */

/* Commands for each job, in this order. */
enum { UNITS, DONE, TALLY, CANCELLED, FAILED, RECORD, N_COMMANDS };

typedef struct glancing {
    pm_redis *r;
    const pm_digest *jobs;
    pm_glance *out;
    pm_glance_visit visit;
    void *ctx;
} glancing;

static const char *const spaces[N_COMMANDS] = {"job-units", "job-done", "tally", "cancelled", "failed", "job"};

static pm_status queue_job(void *ctx, size_t i, pm_error *err) {
    const glancing *g = ctx;
    pm_redis *r = g->r;
    for (int c = 0; c < N_COMMANDS; c++) {
        const pm_span key = PM_KEY(r, spaces[c], g->jobs[i]);
        PM_TRY(c == FAILED || c == RECORD ? queue_get(r, key, err)
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
        if (!is_negative && !read_count(value, fields[i])) {
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
    PM_TRY(decode(g->r, key, reply, is_job ? &pmi_job_type : &pmi_outcome_type,
                  is_job ? (void *)&record : (void *)&failure, &memory, &found, err));
    if (found) {
        g->visit(g->ctx, job, is_job ? &record : NULL, is_job ? NULL : &failure, NULL);
        pmi_message_memory_free(&memory);
    }
    return PM_OK;
}

static pm_status see_job(void *ctx, size_t i, const redisReply *reply, pm_error *err) {
    glancing *g = ctx;
    const pm_redis *r = g->r;
    size_t job = i / N_COMMANDS;
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
    return pmi_redis_batches(r, n, queue_job, see_job, &g, err);
}

/* ---- units ---- */

static pm_status queue_unit(pm_redis *r, const pm_unit_record *unit, bool fresh, pm_error *err) {
    const pm_span key = PM_KEY(r, "unit", unit->unit);
    pm_buffer encoded = {0};
    pm_status st = encode(r, key, &pmi_unit_record_type, unit, &encoded, err);
    PM_THEN(st,
            PM_EVAL(r, err, pmi_script_place, "6", PM_KEY(r, "job-units", unit->job), PM_KEY(r, "job-done", unit->job),
                    PM_KEY(r, "tally", unit->job), PM_KEY(r, "attempts", unit->unit), PM_KEY(r, "outcome", unit->unit),
                    key, {unit->unit, PM_DIGEST_BYTES}, unit->kind, PM_COUNT(unit->items.size / PM_DIGEST_BYTES),
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
        if (++waiting == PM_REDIS_BATCH || bytes > PM_REDIS_VALUE) {
            st = send_all(r, st, err);
            bytes = waiting = 0;
        }
    }
    return send_all(r, st, err);
}

/* The units that are listed under a job. */
static pm_status list_units(pm_redis *r, const pm_digest job, pm_digest **units, size_t *n, pm_error *err) {
    redisReply *reply = NULL;
    const pm_span list = PM_KEY(r, "job-units", job);
    *units = NULL;
    *n = 0;
    pm_status st = PM_CALL(r, &reply, err, pmi_span_of("SMEMBERS"), list);
    PM_THEN(st, read_digests(r, list, reply, units, n, err));
    freeReplyObject(reply);
    if (st == PM_EDATA) {
        tell_bad(r, list, "is no list of units, and taken to be empty", err->text);
        st = PM_OK;
    }
    return st;
}

typedef struct visiting {
    pm_redis *r;
    const pm_digest *units;
    pm_board_visit visit;
    void *ctx;
} visiting;

static pm_status queue_record(void *ctx, size_t i, pm_error *err) {
    const visiting *v = ctx;
    return queue_get(v->r, PM_KEY(v->r, "unit", v->units[i]), err);
}

/* A record that makes no sense is as good as none: its items are looked for, and sent again by whoever needs them. */
static pm_status see_record(void *ctx, size_t i, const redisReply *reply, pm_error *err) {
    visiting *v = ctx;
    pm_unit_record record;
    pm_message_memory memory = {0};
    bool found;
    const pm_span key = PM_KEY(v->r, "unit", v->units[i]);
    pm_status st = decode(v->r, key, reply, &pmi_unit_record_type, &record, &memory, &found, err);
    if (st == PM_EDATA) {
        tell_bad(v->r, key, "is passed over", err->text);
        return PM_OK;
    }
    if (st != PM_OK || !found) {
        return st;
    }
    if (memcmp(record.unit, v->units[i], PM_DIGEST_BYTES) != 0) {
        tell_bad(v->r, key, "is passed over", "it holds the record of another unit");
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
    visiting v = {.r = r, .units = (const pm_digest *)units, .visit = visit, .ctx = ctx};
    PM_THEN(st, pmi_redis_batches(r, n, queue_record, see_record, &v, err));
    free(units);
    return st;
}

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
    pm_status st = PM_CALL(r, &reply, err, pmi_span_of("EVAL"), pmi_span_of(pmi_script_begin), pmi_span_of("3"),
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
        return send_all(r, PM_QUEUE(r, err, pmi_span_of("UNLINK"), PM_KEY(r, "outcome", unit)), err);
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
    pm_status st = PM_EVAL(r, err, pmi_script_give_back, "1", PM_KEY(r, "attempts", unit), PM_TTL(r->options.ttl));
    return send_all(r, st, err);
}

pm_status pmi_board_attempts(pm_redis *r, const pm_digest unit, pm_attempt *out, pm_error *err) {
    redisReply *reply = NULL;
    const pm_span attempts = PM_KEY(r, "attempts", unit);
    *out = (pm_attempt){0};
    pm_status st = PM_CALL(r, &reply, err, pmi_span_of("HMGET"), attempts, pmi_span_of("begun"), pmi_span_of("faults"));
    if (st == PM_OK && (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
                        !read_count(reply->element[0], &out->begun) || !read_count(reply->element[1], &out->faults))) {
        st = pmi_fail(err, PM_EDATA, "Redis at %s: %s: begun and faults are not two counts", r->options.address,
                      PM_TEXT(attempts));
    }
    freeReplyObject(reply);
    return st;
}

static pm_status end_done(pm_redis *r, const pm_outcome_message *outcome, uint64_t n_items, pm_span key,
                          pm_error *err) {
    pm_buffer encoded = {0};
    pm_status st = encode(r, key, &pmi_outcome_type, outcome, &encoded, err);
    PM_THEN(st,
            PM_EVAL(r, err, pmi_script_done, "4", PM_KEY(r, "job-done", outcome->job), PM_KEY(r, "tally", outcome->job),
                    key, PM_KEY(r, "attempts", outcome->unit), {outcome->unit, PM_DIGEST_BYTES}, outcome->kind,
                    PM_COUNT(n_items), PM_TTL(r->options.ttl), {encoded.bytes, encoded.size}));
    pmi_buffer_free(&encoded);
    return send_all(r, st, err);
}

/* A failure does not undo what another worker has finished. The job's failure goes in front of the unit's: a worker
 * that dies between them leaves a unit that is tried again, not one that has ended while its job waits. */
static pm_status end_failed(pm_redis *r, const pm_outcome_message *outcome, pm_span key, pm_error *err) {
    pm_outcome_message standing;
    pm_stored note = {0};
    pm_status st = read_message(r, key, &pmi_outcome_type, &standing, &note, err);
    bool is_done = st == PM_OK && note.found && standing.code == PM_OK;
    pmi_stored_free(&note);
    if (st == PM_EDATA) { /* what makes no sense is written over */
        st = send_all(r, PM_QUEUE(r, err, pmi_span_of("UNLINK"), key), err);
    }
    if (st != PM_OK || is_done) {
        return st;
    }
    st = queue_set(r, PM_KEY(r, "failed", outcome->job), &pmi_outcome_type, outcome, r->options.ttl, true, err);
    PM_THEN(st, queue_set(r, key, &pmi_outcome_type, outcome, r->options.ttl, true, err));
    return send_all(r, st, err);
}

pm_status pmi_board_end(pm_redis *r, const pm_outcome_message *outcome, uint64_t n_items, pm_error *err) {
    const pm_span key = PM_KEY(r, "outcome", outcome->unit);
    return outcome->code == PM_OK ? end_done(r, outcome, n_items, key, err) : end_failed(r, outcome, key, err);
}

pm_status pmi_board_outcome(pm_redis *r, const pm_digest unit, pm_outcome_message *out, pm_stored *note,
                            pm_error *err) {
    return read_message(r, PM_KEY(r, "outcome", unit), &pmi_outcome_type, out, note, err);
}

/* ---- workers ---- */

#define MAX_ID 160       /* bytes of a worker's id, so that its key fits */
#define BEAT_SLACK 5.0   /* between asking for the time and writing the heartbeat, and the server's clock set */
#define LISTED_FOR 86400 /* seconds that a worker without heartbeat stays on the list */

static pm_span span_of_reply(const redisReply *text) {
    return (pm_span){(const uint8_t *)text->str, text->len};
}

static pm_status key_of_worker(const pm_redis *r, pm_span id, char key[PM_REDIS_KEY], pm_error *err) {
    bool is_fine = id.size > 0 && id.size <= MAX_ID;
    for (size_t i = 0; is_fine && i < id.size; i++) {
        is_fine = isgraph(id.bytes[i]) != 0;
    }
    if (!is_fine) {
        return pmi_fail(err, PM_EDATA, "a worker's id of %zu bytes, expected 1 to %d printable characters", id.size,
                        MAX_ID);
    }
    (void)snprintf(key, PM_REDIS_KEY, "%s:worker:%.*s", r->options.prefix, (int)id.size, (const char *)id.bytes);
    return PM_OK;
}

/* From the worker's clock to the server's. */
static void shift_times(pm_worker_message *worker, double now) {
    double shift = now - worker->time;
    pm_running_unit *units = worker->units.items;
    worker->time = now;
    worker->started += shift;
    for (size_t i = 0; i < worker->units.count; i++) {
        units[i].since += shift;
    }
}

pm_status pmi_board_beat(pm_redis *r, pm_worker_message *worker, pm_error *err) {
    char key[PM_REDIS_KEY] = "";
    pm_buffer encoded = {0};
    double now;
    PM_TRY(pmi_redis_now(r, &now, err));
    shift_times(worker, now);
    pm_status st = key_of_worker(r, worker->id, key, err);
    PM_THEN(st, encode(r, pmi_span_of(key), &pmi_worker_type, worker, &encoded, err));
    PM_THEN(st, PM_EVAL(r, err, pmi_script_beat, "2", PM_PLAIN_KEY(r, "workers"), pmi_span_of(key), worker->id,
                        {encoded.bytes, encoded.size}, PM_TTL(PM_WORKER_SECONDS), PM_COUNT(LISTED_FOR),
                        PM_TTL(LISTED_FOR)));
    pmi_buffer_free(&encoded);
    return send_all(r, st, err);
}

pm_status pmi_board_leave(pm_redis *r, pm_span id, pm_error *err) {
    char key[PM_REDIS_KEY];
    pm_status st = key_of_worker(r, id, key, err);
    PM_THEN(st, PM_QUEUE(r, err, pmi_span_of("UNLINK"), pmi_span_of(key)));
    PM_THEN(st, PM_QUEUE(r, err, pmi_span_of("ZREM"), PM_PLAIN_KEY(r, "workers"), id));
    return send_all(r, st, err);
}

typedef struct roll {
    pm_redis *r;
    const redisReply *list; /* ids */
    double now;             /* by the server's clock */
    size_t *seats, n;       /* places of ids in the list */
    pm_board_worker_visit visit;
    void *ctx;
} roll;

/* Its key may live longer than a heartbeat should: put back, or made to last. */
static bool is_of_now(const roll *w, const char *id, const pm_worker_message *worker) {
    double age = w->now - worker->time;
    if (fabs(age) <= PM_WORKER_SECONDS + BEAT_SLACK) {
        return true;
    }
    char why[64];
    (void)snprintf(why, sizeof why, "it is %.0f s old by Redis's clock", age);
    tell_bad(w->r, pmi_span_of(id), "is a worker whose heartbeat does not count", why);
    return false;
}

/* A heartbeat that cannot be read, such as that of a newer program, does not hide the others. */
static pm_status see_worker(void *ctx, size_t i, const redisReply *reply, pm_error *err) {
    roll *w = ctx;
    const redisReply *id = w->list->element[w->seats[i]];
    pm_worker_message worker;
    pm_message_memory memory = {0};
    bool found = false;
    char key[PM_REDIS_KEY] = "";
    pm_status st = key_of_worker(w->r, span_of_reply(id), key, err);
    PM_THEN(st, decode(w->r, pmi_span_of(key), reply, &pmi_worker_type, &worker, &memory, &found, err));
    if (st == PM_EDATA) {
        tell_bad(w->r, pmi_span_of(id->str), "is a worker whose heartbeat cannot be read", err->text);
        return PM_OK;
    }
    if (found) {
        st = is_of_now(w, id->str, &worker) ? w->visit(w->ctx, &worker, err) : PM_OK;
        pmi_message_memory_free(&memory);
    }
    return st;
}

/* Members that are no ids of workers are told of and left out. */
static pm_status seat_all(roll *w, pm_span list, pm_error *err) {
    size_t n = w->list->elements;
    PM_TRY(PM_NEW(&w->seats, n, "the list of workers", err));
    for (size_t i = 0; i < n; i++) {
        const redisReply *id = w->list->element[i];
        char key[PM_REDIS_KEY];
        pm_error why = {0};
        if (id->type == REDIS_REPLY_STRING && key_of_worker(w->r, span_of_reply(id), key, &why) == PM_OK) {
            w->seats[w->n++] = i;
        } else {
            tell_bad(w->r, list, "has a member that is left out", why.text);
        }
    }
    return PM_OK;
}

static pm_status queue_worker(void *ctx, size_t i, pm_error *err) {
    const roll *w = ctx;
    char key[PM_REDIS_KEY];
    PM_TRY(key_of_worker(w->r, span_of_reply(w->list->element[w->seats[i]]), key, err));
    return queue_get(w->r, pmi_span_of(key), err);
}

pm_status pmi_board_workers(pm_redis *r, pm_board_worker_visit visit, void *ctx, pm_error *err) {
    const pm_span list = PM_PLAIN_KEY(r, "workers");
    roll w = {.r = r, .visit = visit, .ctx = ctx};
    redisReply *reply = NULL;
    pm_status st = pmi_redis_now(r, &w.now, err);
    PM_THEN(st, PM_CALL(r, &reply, err, pmi_span_of("ZREVRANGE"), list, pmi_span_of("0"), pmi_span_of("-1")));
    if (st == PM_OK && reply->type != REDIS_REPLY_ARRAY) {
        st = pmi_redis_unexpected(r, reply, "an array", err);
    }
    if (st == PM_EDATA) {
        tell_bad(r, list, "is no list of workers; the next heartbeat makes it anew", err->text);
        st = PM_OK;
    } else if (st == PM_OK) {
        w.list = reply;
        st = seat_all(&w, list, err);
        PM_THEN(st, pmi_redis_batches(r, w.n, queue_worker, see_worker, &w, err));
        free(w.seats);
    }
    freeReplyObject(reply);
    return st;
}
