/* Workers: their heartbeats. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>

#include "redis/board_impl.h"

#define MAX_ID 160       /* bytes of a worker's id, so that its key fits */
#define BEAT_SLACK 5.0   /* between asking for the time and writing the heartbeat, and the server's clock set */
#define LISTED_FOR 86400 /* seconds that a worker without heartbeat stays on the list */

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

/* The heartbeat before the list: who is listed has had one. The list goes by the server's clock, not a worker's. */
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

pm_status pmi_board_beat(pm_redis *r, pm_worker_message *worker, pm_error *err) {
    char key[PM_REDIS_KEY] = "";
    pm_buffer encoded = {0};
    double now;
    PM_TRY(pmi_redis_now(r, &now, err));
    shift_times(worker, now);
    pm_status st = key_of_worker(r, worker->id, key, err);
    PM_THEN(st, pmi_board_encode(r, pmi_span_of(key), &pmi_worker_type, worker, &encoded, err));
    PM_THEN(st, PM_QUEUE(r, err, pmi_span_of("EVAL"), pmi_span_of(beat_script), pmi_span_of("2"),
                         PM_PLAIN_KEY(r, "workers"), pmi_span_of(key), worker->id, {encoded.bytes, encoded.size},
                         PM_TTL(PM_WORKER_SECONDS), PM_COUNT(LISTED_FOR), PM_TTL(LISTED_FOR)));
    pmi_buffer_free(&encoded);
    return pmi_board_send(r, st, err);
}

pm_status pmi_board_leave(pm_redis *r, pm_span id, pm_error *err) {
    char key[PM_REDIS_KEY];
    pm_status st = key_of_worker(r, id, key, err);
    PM_THEN(st, PM_QUEUE(r, err, pmi_span_of("UNLINK"), pmi_span_of(key)));
    PM_THEN(st, PM_QUEUE(r, err, pmi_span_of("ZREM"), PM_PLAIN_KEY(r, "workers"), id));
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
    pmi_board_tell_bad(w->r, pmi_span_of(id), "is a worker whose heartbeat does not count", why);
    return false;
}

/* A heartbeat that cannot be read, such as that of a newer program, does not hide the others. */
static pm_status see_worker(void *ctx, size_t i, const redisReply *reply, pm_error *err) {
    roll *w = ctx;
    const redisReply *id = w->list->element[w->seats[w->first + i]];
    pm_worker_message worker;
    pm_message_memory memory = {0};
    bool found = false;
    char key[PM_REDIS_KEY] = "";
    pm_status st = key_of_worker(w->r, (pm_span){(const uint8_t *)id->str, id->len}, key, err);
    PM_THEN(st, pmi_board_decode(w->r, pmi_span_of(key), reply, &pmi_worker_type, &worker, &memory, &found, err));
    if (st == PM_EDATA) {
        pmi_board_tell_bad(w->r, pmi_span_of(id->str), "is a worker whose heartbeat cannot be read", err->text);
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
    w->seats = pmi_malloc(n, sizeof *w->seats);
    PM_TRY(w->seats != NULL ? PM_OK : pmi_fail_memory(err, "the list of workers", n * sizeof *w->seats));
    for (size_t i = 0; i < n; i++) {
        const redisReply *id = w->list->element[i];
        char key[PM_REDIS_KEY];
        pm_error why = {0};
        if (id->type == REDIS_REPLY_STRING &&
            key_of_worker(w->r, (pm_span){(const uint8_t *)id->str, id->len}, key, &why) == PM_OK) {
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
            char key[PM_REDIS_KEY];
            PM_TRY(key_of_worker(w->r, (pm_span){(const uint8_t *)id->str, id->len}, key, err));
            PM_TRY(pmi_board_queue_get(w->r, pmi_span_of(key), err));
        }
        PM_TRY(pmi_redis_flush(w->r, see_worker, w, err));
    }
    return PM_OK;
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
        pmi_board_tell_bad(r, list, "is no list of workers; the next heartbeat makes it anew", err->text);
        st = PM_OK;
    } else if (st == PM_OK) {
        w.list = reply;
        st = seat_all(&w, list, err);
        PM_THEN(st, visit_workers(&w, err));
        free(w.seats);
    }
    freeReplyObject(reply);
    return st;
}
