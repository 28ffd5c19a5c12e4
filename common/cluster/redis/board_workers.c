/* Workers: their heartbeats. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "redis/board_impl.h"

#define ID_MOST 160        /* bytes of a worker's id, so that its key fits */
#define LISTED_FOR 86400.0 /* seconds that a worker without heartbeat stays on the list */

static pm_status key_of_worker(const pm_redis *r, pm_span id, pm_board_key *out, pm_error *err) {
    bool is_fine = id.size > 0 && id.size <= ID_MOST;
    for (size_t i = 0; is_fine && i < id.size; i++) {
        is_fine = isgraph(id.bytes[i]) != 0;
    }
    if (!is_fine) {
        return pm_fail(err, PM_EDATA, "a worker's id of %zu bytes, expected 1 to %d printable characters", id.size,
                       ID_MOST);
    }
    (void)snprintf(out->text, sizeof out->text, "%s:worker:%.*s", r->options.prefix, (int)id.size,
                   (const char *)id.bytes);
    out->span = pm_span_of(out->text);
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

pm_status pm_board_beat(pm_redis *r, const pm_worker_message *worker, pm_error *err) {
    pm_board_key key, list;
    pm_redis_ttl beat, listed;
    char seconds[24];
    pm_buffer encoded = {0};
    pm_board_plain_key(r, "workers", &list);
    pm_redis_ttl_of(PM_WORKER_SECONDS, &beat);
    pm_redis_ttl_of(LISTED_FOR, &listed);
    (void)snprintf(seconds, sizeof seconds, "%.0f", LISTED_FOR);
    pm_status st = key_of_worker(r, worker->id, &key, err);
    if (st == PM_OK) {
        st = pm_board_encode(r, key.span, &pm_worker_type, worker, &encoded, err);
    }
    if (st == PM_OK) {
        const pm_span argv[] = {
            pm_span_of("EVAL"), pm_span_of(beat_script),       pm_span_of("2"), list.span,           key.span,
            worker->id,         {encoded.bytes, encoded.size}, beat.span,       pm_span_of(seconds), listed.span};
        st = pm_redis_queue(r, argv, sizeof argv / sizeof *argv, err);
    }
    pm_buffer_free(&encoded);
    return st == PM_OK ? pm_redis_flush(r, pm_board_see_mended, r, err) : st;
}

pm_status pm_board_leave(pm_redis *r, pm_span id, pm_error *err) {
    pm_board_key key, list;
    pm_board_plain_key(r, "workers", &list);
    const pm_span remove[] = {pm_span_of("ZREM"), list.span, id};
    pm_status st = key_of_worker(r, id, &key, err);
    if (st == PM_OK) {
        const pm_span argv[] = {pm_span_of("UNLINK"), key.span};
        st = pm_redis_queue(r, argv, 2, err);
    }
    if (st == PM_OK) {
        st = pm_redis_queue(r, remove, 3, err);
    }
    return pm_board_send(r, st, err);
}

typedef struct roll {
    pm_redis *r;
    const redisReply *list; /* ids, each with its score */
    size_t first;           /* of the pipeline: a place in `seats` */
    size_t *seats, n;       /* places of ids in the list */
    pm_board_worker_visit visit;
    void *ctx;
} roll;

/* The server's time of the last heartbeat. */
static bool read_score(const redisReply *score, double *out) {
    char *end = NULL;
    if (score->type != REDIS_REPLY_STRING) {
        return false;
    }
    *out = strtod(score->str, &end);
    return end != score->str && *end == '\0' && isfinite(*out);
}

/* From the worker's clock to the server's. */
static void shift_times(pm_worker_message *worker, double beaten) {
    double shift = beaten - worker->time;
    pm_running_unit *units = worker->units.items;
    worker->time += shift;
    worker->started += shift;
    for (size_t i = 0; i < worker->units.count; i++) {
        units[i].since += shift;
    }
}

/* A heartbeat that cannot be read, such as that of a newer program, does not hide the others. */
static pm_status see_worker(void *ctx, size_t i, const redisReply *reply, pm_error *err) {
    roll *w = ctx;
    size_t seat = w->seats[w->first + i];
    const redisReply *id = w->list->element[seat];
    pm_worker_message worker;
    pm_message_memory memory = {0};
    double beaten;
    bool found;
    pm_error why = {0};
    pm_board_key key;
    pm_status st = key_of_worker(w->r, (pm_span){(const uint8_t *)id->str, id->len}, &key, &why);
    st = st == PM_OK ? pm_board_decode(w->r, key.text, reply, &pm_worker_type, &worker, &memory, &found, &why) : st;
    if (st == PM_EDATA) {
        pm_board_tell_bad(w->r, id->str, "is a worker whose heartbeat cannot be read", why.text);
        return PM_OK;
    }
    if (st != PM_OK) {
        return pm_fail(err, st, "%s", why.text);
    }
    if (found) {
        if (read_score(w->list->element[seat + 1], &beaten)) {
            shift_times(&worker, beaten);
        }
        st = w->visit(w->ctx, &worker, err);
        pm_message_memory_free(&memory);
    }
    return st;
}

/* Members that are no ids of workers are told of and left out. */
static pm_status seat_all(roll *w, const char *list, pm_error *err) {
    size_t n = w->list->elements / 2;
    w->seats = pm_malloc(n, sizeof *w->seats);
    if (w->seats == NULL) {
        return pm_fail_memory(err, "the list of workers", n * sizeof *w->seats);
    }
    for (size_t i = 0; i < n; i++) {
        const redisReply *id = w->list->element[2 * i];
        pm_board_key key;
        pm_error why = {0};
        if (id->type == REDIS_REPLY_STRING &&
            key_of_worker(w->r, (pm_span){(const uint8_t *)id->str, id->len}, &key, &why) == PM_OK) {
            w->seats[w->n++] = 2 * i;
        } else {
            pm_board_tell_bad(w->r, list, "has a member that is left out", why.text);
        }
    }
    return PM_OK;
}

static pm_status visit_workers(roll *w, pm_error *err) {
    pm_status st = PM_OK;
    for (w->first = 0; st == PM_OK && w->first < w->n; w->first += PM_BOARD_BATCH) {
        size_t end = w->n - w->first < PM_BOARD_BATCH ? w->n : w->first + PM_BOARD_BATCH;
        for (size_t i = w->first; st == PM_OK && i < end; i++) {
            const redisReply *id = w->list->element[w->seats[i]];
            pm_board_key key;
            st = key_of_worker(w->r, (pm_span){(const uint8_t *)id->str, id->len}, &key, err);
            st = st == PM_OK ? pm_board_queue_get(w->r, key.span, err) : st;
        }
        st = st == PM_OK ? pm_redis_flush(w->r, see_worker, w, err) : st;
    }
    return st;
}

pm_status pm_board_workers(pm_redis *r, pm_board_worker_visit visit, void *ctx, pm_error *err) {
    pm_board_key list;
    redisReply *reply = NULL;
    pm_error why = {0};
    pm_board_plain_key(r, "workers", &list);
    const pm_span argv[] = {pm_span_of("ZREVRANGE"), list.span, pm_span_of("0"), pm_span_of("-1"),
                            pm_span_of("WITHSCORES")};
    pm_status st = pm_redis_call(r, argv, 5, &reply, &why);
    if (st == PM_OK && reply->type != REDIS_REPLY_ARRAY) {
        st = pm_redis_unexpected(r, reply, "an array", &why);
    }
    if (st == PM_EDATA) {
        pm_board_tell_bad(r, list.text, "is no list of workers; the next heartbeat makes it anew", why.text);
        st = PM_OK;
    } else if (st != PM_OK) {
        st = pm_fail(err, st, "%s", why.text);
    } else {
        roll w = {.r = r, .list = reply, .visit = visit, .ctx = ctx};
        st = seat_all(&w, list.text, err);
        st = st == PM_OK ? visit_workers(&w, err) : st;
        free(w.seats);
    }
    freeReplyObject(reply);
    return st;
}
