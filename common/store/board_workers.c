/* Workers: their heartbeats. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "store/board_impl.h"

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

/* The heartbeat before the list: whoever is on the list has had one. */
pm_status pm_board_beat(pm_redis *r, const pm_worker_message *worker, pm_error *err) {
    pm_board_key key, list;
    char now[40], oldest[40];
    pm_board_plain_key(r, "workers", &list);
    (void)snprintf(now, sizeof now, "%.6f", worker->time);
    (void)snprintf(oldest, sizeof oldest, "(%.6f", worker->time - LISTED_FOR);
    const pm_span add[] = {pm_span_of("ZADD"), list.span, pm_span_of(now), worker->id};
    const pm_span prune[] = {pm_span_of("ZREMRANGEBYSCORE"), list.span, pm_span_of("-inf"), pm_span_of(oldest)};
    pm_status st = key_of_worker(r, worker->id, &key, err);
    if (st == PM_OK) {
        st = pm_board_queue_set(r, key.span, &pm_worker_type, worker, PM_WORKER_SECONDS, false, err);
    }
    if (st == PM_OK) {
        st = pm_redis_queue(r, add, 4, err);
    }
    if (st == PM_OK) {
        st = pm_redis_queue(r, prune, 4, err);
    }
    if (st == PM_OK) {
        st = pm_board_queue_expire(r, list.span, LISTED_FOR, err);
    }
    return pm_board_send(r, st, err);
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
    const pm_redis *r;
    const redisReply *ids;
    size_t first; /* of the pipeline */
    pm_board_worker_visit visit;
    void *ctx;
} roll;

/* A heartbeat that cannot be read, such as that of a newer program, does not hide the others. */
static pm_status see_worker(void *ctx, size_t i, const redisReply *reply, pm_error *err) {
    roll *w = ctx;
    const redisReply *id = w->ids->element[w->first + i];
    pm_worker_message worker;
    pm_message_memory memory = {0};
    bool found;
    pm_status st = pm_board_decode(w->r, id->str, reply, &pm_worker_type, &worker, &memory, &found, err);
    if (st == PM_EDATA) {
        pm_logf(w->r->log, PM_LOG_WARNING, "the heartbeat of worker %s cannot be read: %s", id->str,
                err != NULL ? err->text : "it is damaged");
        return PM_OK;
    }
    if (st == PM_OK && found) {
        st = w->visit(w->ctx, &worker, err);
        pm_message_memory_free(&memory);
    }
    return st;
}

static pm_status visit_workers(pm_redis *r, roll *w, pm_error *err) {
    pm_status st = PM_OK;
    for (size_t first = 0; st == PM_OK && first < w->ids->elements; first += PM_BOARD_BATCH) {
        size_t left = w->ids->elements - first, end = left < PM_BOARD_BATCH ? first + left : first + PM_BOARD_BATCH;
        for (size_t i = first; st == PM_OK && i < end; i++) {
            const redisReply *id = w->ids->element[i];
            pm_board_key key;
            if (id->type != REDIS_REPLY_STRING) {
                st = pm_redis_unexpected(r, id, "a string", err);
            } else {
                st = key_of_worker(r, (pm_span){(const uint8_t *)id->str, id->len}, &key, err);
            }
            if (st == PM_OK) {
                const pm_span argv[] = {pm_span_of("GET"), key.span};
                st = pm_redis_queue(r, argv, 2, err);
            }
        }
        if (st == PM_OK) {
            w->first = first;
            st = pm_redis_flush(r, see_worker, w, err);
        } else {
            pm_redis_abandon(r);
        }
    }
    return st;
}

pm_status pm_board_workers(pm_redis *r, pm_board_worker_visit visit, void *ctx, pm_error *err) {
    pm_board_key list;
    redisReply *reply = NULL;
    pm_board_plain_key(r, "workers", &list);
    const pm_span argv[] = {pm_span_of("ZREVRANGE"), list.span, pm_span_of("0"), pm_span_of("-1")};
    pm_status st = pm_redis_call(r, argv, 4, &reply, err);
    if (st == PM_OK && reply->type != REDIS_REPLY_ARRAY) {
        st = pm_redis_unexpected(r, reply, "an array", err);
    }
    if (st == PM_OK) {
        roll w = {.r = r, .ids = reply, .visit = visit, .ctx = ctx};
        st = visit_workers(r, &w, err);
    }
    freeReplyObject(reply);
    return st;
}
