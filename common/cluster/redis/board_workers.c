/* Workers: their heartbeats. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "redis/board_impl.h"

#define MAX_ID 160         /* bytes of a worker's id, so that its key fits */
#define BEAT_SLACK 5.0     /* between asking for the time and writing the heartbeat, and the server's clock set */
#define LISTED_FOR 86400.0 /* seconds that a worker without heartbeat stays on the list */

static pm_status key_of_worker(const pm_redis *r, pm_span id, pm_redis_key *out, pm_error *err) {
    bool is_fine = id.size > 0 && id.size <= MAX_ID;
    for (size_t i = 0; is_fine && i < id.size; i++) {
        is_fine = isgraph(id.bytes[i]) != 0;
    }
    if (!is_fine) {
        return pmi_fail(err, PM_EDATA, "a worker's id of %zu bytes, expected 1 to %d printable characters", id.size,
                        MAX_ID);
    }
    (void)snprintf(out->text, sizeof out->text, "%s:worker:%.*s", r->options.prefix, (int)id.size,
                   (const char *)id.bytes);
    out->span = pmi_span_of(out->text);
    return PM_OK;
}

/* The heartbeat before the list: whoever is on the list has had one. The list is kept by the server's clock: a worker
 * whose own is days ahead must not take the others off. */
static const char beat_script[] =
    PM_BOARD_MENDING "redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3]) "
                     "mend(1, 'zset') "
                     "local time = redis.call('TIME') "
                     "local now = time[1] + time[2] / 1000000 "
                     "redis.call('ZADD', KEYS[1], string.format('%.6f', now), ARGV[1]) "
                     "redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('(%.6f', now - ARGV[4])) "
                     "redis.call('PEXPIRE', KEYS[1], ARGV[5]) "
                     "return mended";

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

static pm_status queue_beat(pm_redis *r, const pm_worker_message *worker, pm_error *err) {
    pm_redis_key key, list;
    pm_redis_ttl beat, listed;
    char seconds[24];
    pm_buffer encoded = {0};
    pmi_redis_plain_key_of(r, "workers", &list);
    pmi_redis_ttl_of(PM_WORKER_SECONDS, &beat);
    pmi_redis_ttl_of(LISTED_FOR, &listed);
    (void)snprintf(seconds, sizeof seconds, "%.0f", LISTED_FOR);
    pm_status st = key_of_worker(r, worker->id, &key, err);
    PM_THEN(st, pmi_board_encode(r, key.span, &pmi_worker_type, worker, &encoded, err));
    if (st == PM_OK) {
        const pm_span argv[] = {pmi_span_of("EVAL"),
                                pmi_span_of(beat_script),
                                pmi_span_of("2"),
                                list.span,
                                key.span,
                                worker->id,
                                {encoded.bytes, encoded.size},
                                beat.span,
                                pmi_span_of(seconds),
                                listed.span};
        st = pmi_redis_queue(r, argv, sizeof argv / sizeof *argv, err);
    }
    pmi_buffer_free(&encoded);
    return st;
}

pm_status pmi_board_beat(pm_redis *r, pm_worker_message *worker, pm_error *err) {
    double now;
    PM_TRY(pmi_redis_now(r, &now, err));
    shift_times(worker, now);
    PM_TRY(queue_beat(r, worker, err));
    return pmi_redis_flush(r, pmi_board_see_mended, r, err);
}

pm_status pmi_board_leave(pm_redis *r, pm_span id, pm_error *err) {
    pm_redis_key key, list;
    pmi_redis_plain_key_of(r, "workers", &list);
    const pm_span remove[] = {pmi_span_of("ZREM"), list.span, id};
    pm_status st = key_of_worker(r, id, &key, err);
    if (st == PM_OK) {
        const pm_span argv[] = {pmi_span_of("UNLINK"), key.span};
        st = pmi_redis_queue(r, argv, 2, err);
    }
    PM_THEN(st, pmi_redis_queue(r, remove, 3, err));
    return pmi_board_send(r, st, err);
}

typedef struct roll {
    pm_redis *r;
    const redisReply *list; /* ids */
    double now;             /* by the server's clock */
    size_t first;           /* of the pipeline: a place in `seats` */
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
    pmi_board_tell_bad(w->r, id, "is a worker whose heartbeat does not count", why);
    return false;
}

/* A heartbeat that cannot be read, such as that of a newer program, does not hide the others. */
static pm_status see_worker(void *ctx, size_t i, const redisReply *reply, pm_error *err) {
    roll *w = ctx;
    const redisReply *id = w->list->element[w->seats[w->first + i]];
    pm_worker_message worker;
    pm_message_memory memory = {0};
    bool found;
    pm_error why = {0};
    pm_redis_key key;
    pm_status st = key_of_worker(w->r, (pm_span){(const uint8_t *)id->str, id->len}, &key, &why);
    PM_THEN(st, pmi_board_decode(w->r, key.text, reply, &pmi_worker_type, &worker, &memory, &found, &why));
    if (st == PM_EDATA) {
        pmi_board_tell_bad(w->r, id->str, "is a worker whose heartbeat cannot be read", why.text);
        return PM_OK;
    }
    if (st != PM_OK) {
        return pmi_fail(err, st, "%s", why.text);
    }
    if (found) {
        st = is_of_now(w, id->str, &worker) ? w->visit(w->ctx, &worker, err) : PM_OK;
        pmi_message_memory_free(&memory);
    }
    return st;
}

/* Members that are no ids of workers are told of and left out. */
static pm_status seat_all(roll *w, const char *list, pm_error *err) {
    size_t n = w->list->elements;
    w->seats = pmi_malloc(n, sizeof *w->seats);
    if (w->seats == NULL) {
        return pmi_fail_memory(err, "the list of workers", n * sizeof *w->seats);
    }
    for (size_t i = 0; i < n; i++) {
        const redisReply *id = w->list->element[i];
        pm_redis_key key;
        pm_error why = {0};
        if (id->type == REDIS_REPLY_STRING &&
            key_of_worker(w->r, (pm_span){(const uint8_t *)id->str, id->len}, &key, &why) == PM_OK) {
            w->seats[w->n++] = i;
        } else {
            pmi_board_tell_bad(w->r, list, "has a member that is left out", why.text);
        }
    }
    return PM_OK;
}

static pm_status visit_workers(roll *w, pm_error *err) {
    for (w->first = 0; w->first < w->n; w->first += PM_BOARD_BATCH) {
        size_t end = w->n - w->first < PM_BOARD_BATCH ? w->n : w->first + PM_BOARD_BATCH;
        for (size_t i = w->first; i < end; i++) {
            const redisReply *id = w->list->element[w->seats[i]];
            pm_redis_key key;
            PM_TRY(key_of_worker(w->r, (pm_span){(const uint8_t *)id->str, id->len}, &key, err));
            PM_TRY(pmi_board_queue_get(w->r, key.span, err));
        }
        PM_TRY(pmi_redis_flush(w->r, see_worker, w, err));
    }
    return PM_OK;
}

pm_status pmi_board_workers(pm_redis *r, pm_board_worker_visit visit, void *ctx, pm_error *err) {
    pm_redis_key list;
    redisReply *reply = NULL;
    pm_error why = {0};
    pmi_redis_plain_key_of(r, "workers", &list);
    const pm_span argv[] = {pmi_span_of("ZREVRANGE"), list.span, pmi_span_of("0"), pmi_span_of("-1")};
    double now = 0;
    pm_status st = pmi_redis_now(r, &now, &why);
    PM_THEN(st, pmi_redis_call(r, argv, 4, &reply, &why));
    if (st == PM_OK && reply->type != REDIS_REPLY_ARRAY) {
        st = pmi_redis_unexpected(r, reply, "an array", &why);
    }
    if (st == PM_EDATA) {
        pmi_board_tell_bad(r, list.text, "is no list of workers; the next heartbeat makes it anew", why.text);
        st = PM_OK;
    } else if (st != PM_OK) {
        st = pmi_fail(err, st, "%s", why.text);
    } else {
        roll w = {.r = r, .list = reply, .now = now, .visit = visit, .ctx = ctx};
        st = seat_all(&w, list.text, err);
        PM_THEN(st, visit_workers(&w, err));
        free(w.seats);
    }
    freeReplyObject(reply);
    return st;
}
