/* Handles of a command of the cluster: Redis, disk, the producer. */
#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/retry.h"
#include "cache.h"
#include "cluster.h"

/* For servers that are away when a command begins. */
#define PATIENCE_SECONDS 10.0
/* For a Redis that is there, and full or loading; it may go away for a while meanwhile. */
#define REFUSED_SECONDS 120.0

pm_status cli_cluster_open_redis(cli_cluster *c, double patience, pm_error *err) {
    pm_status st = cli_cluster_redis_options(c, err);
    if (st == PM_OK) {
        st = pm_redis_open(&c->redis_options, &c->console.log, &c->redis, err);
    }
    if (st != PM_OK) {
        return st;
    }
    c->traces = (pm_traces){.redis = c->redis, .log = &c->console.log};
    pm_retry retry = pm_retry_begin("Redis", patience, cli_cluster_is_stopped, c, &c->console.log);
    do {
        st = pm_redis_check(c->redis, err);
        if (st == PM_ETEMPORARY) {
            retry.give_up = fmax(retry.give_up, pm_seconds() + REFUSED_SECONDS);
        }
    } while (pm_retry_again(&retry, st, err));
    return st;
}

pm_status cli_cluster_open_producer(cli_cluster *c, bool no_cache, const char *cache_dir, size_t cache_limit,
                                    pm_error *err) {
    /* what is not configured is told before anything is connected to */
    pm_status st = cli_cluster_kafka_options(c, err);
    if (st == PM_OK) {
        st = cli_cluster_open_redis(c, PATIENCE_SECONDS, err);
    }
    if (st == PM_OK && !no_cache) {
        st = pm_disk_open_if_usable(cache_dir, getenv("XDG_CACHE_HOME"), getenv("HOME"),
                                    cache_limit == 0 ? PM_DISK_DEFAULT_LIMIT : cache_limit, &c->console.log, &c->disk,
                                    err);
        c->traces.disk = c->disk;
    }
    if (st != PM_OK) {
        return st;
    }
    const char *trace = getenv("TRACEPARENT");
    st = pm_producer_open(&c->kafka, &c->traces, trace != NULL && trace[0] != '\0' ? trace : NULL, &c->console.log,
                          &c->producer, err);
    c->has_producer = st == PM_OK;
    if (c->has_producer) {
        c->producer.is_stopped = cli_cluster_is_stopped;
        c->producer.ctx = c;
    }
    return st;
}

/* What cli_cluster_close closes of it. */
void cli_cluster_close_handles(cli_cluster *c) {
    if (c->has_producer) {
        pm_producer_close(&c->producer);
    }
    pm_traces_close(&c->traces);
    if (c->redis != NULL) {
        pm_redis_close(c->redis);
    }
    if (c->disk != NULL) {
        pm_disk_close(c->disk);
    }
    c->has_producer = false;
    c->traces = (pm_traces){0};
    c->redis = NULL;
    c->disk = NULL;
}
