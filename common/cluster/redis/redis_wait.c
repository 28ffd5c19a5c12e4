/* hiredis waits as long as bytes come: a server that is no Redis, or one that crawls, would keep it for ever. */

#include "base/clock.h"
#include "redis/redis_impl.h"

#define GRACE_SECONDS 0.5        /* after the deadline */
#define WHOLE 2.0                /* times the patience for a read: for all reads of a reply */
#define MAX_ELEMENTS (1LL << 24) /* of a list: those of a job's units and of workers are far below */

#if HIREDIS_MAJOR < 1
typedef int list_length;
#else
typedef size_t list_length;
#endif

/* hiredis takes the memory for a list before its first element has come. */
static void *make_list(const redisReadTask *task, list_length n) {
    pm_redis *r = task->privdata;
    r->replies.refused = (long long)n > MAX_ELEMENTS ? (long long)n : 0;
    return r->replies.refused > 0 ? NULL : r->replies.standard->createArray(task, n);
}

void pmi_redis_bound_lists(pm_redis *r) {
    redisReader *reader = r->context->reader;
    r->replies.standard = reader->fn;
    r->replies.bounded = *reader->fn;
    r->replies.bounded.createArray = make_list;
    reader->fn = &r->replies.bounded;
    reader->privdata = r;
}

double pmi_redis_seconds_for(const pm_redis *r, double max, double grace) {
    double left = r->deadline == 0 ? max : r->deadline + grace - pmi_seconds();
    return left <= 0 ? 0 : left < max ? left : max;
}

pm_status pmi_redis_time_is_over(pm_redis *r, const char *doing, pm_error *err) {
    pmi_redis_disconnect(r);
    return pmi_fail(err, PM_ETEMPORARY, "Redis at %s: %s: time is over", r->options.address, doing);
}

/* How long one read or write may take. */
static pm_status limit_step(pm_redis *r, const char *doing, pm_error *err) {
    double seconds = pmi_redis_seconds_for(r, r->options.command_seconds, GRACE_SECONDS);
    if (seconds == 0) {
        return pmi_redis_time_is_over(r, doing, err);
    }
    if (seconds != r->patience) {
        r->patience = seconds;
        if (redisSetTimeout(r->context, pmi_redis_timeval(seconds)) != REDIS_OK) {
            return pmi_redis_broken(r, doing, err);
        }
    }
    return PM_OK;
}

static pm_status crawls(pm_redis *r, const char *doing, double seconds, pm_error *err) {
    pmi_redis_disconnect(r);
    return pmi_fail(err, PM_EUNAVAILABLE,
                    "Redis at %s: %s: no whole answer within %.3g s, though bytes of one came; check redis.address",
                    r->options.address, doing, seconds);
}

static pm_status too_long(pm_redis *r, const char *doing, pm_error *err) {
    pmi_redis_disconnect(r);
    return pmi_fail(err, PM_EUNAVAILABLE,
                    "Redis at %s: %s: a list of %lld elements, expected at most %lld; check redis.address",
                    r->options.address, doing, r->replies.refused, MAX_ELEMENTS);
}

pm_status pmi_redis_wait(pm_redis *r, const char *doing, redisReply **reply, pm_error *err) {
    int is_written = 0;
    bool is_fine = true;
    void *answer = NULL;
    double begun = 0;
    r->replies.refused = 0;
    pm_status st = limit_step(r, doing, err);
    while (st == PM_OK && is_fine && answer == NULL) {
        is_fine = redisGetReplyFromReader(r->context, &answer) == REDIS_OK;
        if (!is_fine || answer != NULL) {
            break;
        }
        double now = pmi_seconds(), max = WHOLE * r->options.command_seconds;
        begun = is_written && begun > 0 ? begun : now; /* writing may take as long as it goes on */
        if (r->deadline > 0 && now > r->deadline + GRACE_SECONDS) {
            st = pmi_redis_time_is_over(r, doing, err);
        } else if (now > begun + max) {
            st = crawls(r, doing, max, err);
        } else {
            is_fine =
                (is_written ? redisBufferRead(r->context) : redisBufferWrite(r->context, &is_written)) == REDIS_OK;
        }
    }
    if (st == PM_OK && !is_fine) {
        st = r->replies.refused > 0 ? too_long(r, doing, err) : pmi_redis_broken(r, doing, err);
    }
    r->has_answered = r->has_answered || st == PM_OK;
    *reply = answer;
    return st;
}
