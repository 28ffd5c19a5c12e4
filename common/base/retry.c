#include "base/retry.h"

#include <math.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define SLICE 0.1 /* seconds between two looks at is_stopped */
#define FIRST_WAIT 0.05
#define LONGEST_WAIT 5.0

void pm_backoff_init(pm_backoff *b, double least, double most, uint64_t seed) {
    *b = (pm_backoff){.least = least, .most = most, .next = least, .random = {.state = seed}};
}

double pm_backoff_next(pm_backoff *b) {
    double wait = b->next * pm_random_rate(&b->random);
    b->next = fmin(2.0 * b->next, b->most);
    return wait;
}

void pm_backoff_reset(pm_backoff *b) {
    b->next = b->least;
}

bool pm_is_transient(pm_status status) {
    return status == PM_EUNAVAILABLE || status == PM_ETEMPORARY;
}

pm_retry pm_retry_begin(const char *what, double patience, bool (*is_stopped)(void *ctx), void *ctx,
                        const pm_log *log) {
    double now = pm_seconds();
    pm_retry retry = {
        .what = what, .log = log, .is_stopped = is_stopped, .ctx = ctx, .give_up = now + patience, .is_away = false};
    /* processes that lost the same server at the same moment must not come back to it at the same moment */
    uint64_t seed = (uint64_t)(now * 1e9) ^ ((uint64_t)getpid() << 40);
    pm_backoff_init(&retry.backoff, FIRST_WAIT, LONGEST_WAIT, seed);
    return retry;
}

static bool is_stopped(const pm_retry *retry) {
    return retry->is_stopped != NULL && retry->is_stopped(retry->ctx);
}

/* False when stopped meanwhile. A signal ends a slice early, so that its handler's flag is seen at once. */
static bool sleep_seconds(const pm_retry *retry, double seconds) {
    double end = pm_seconds() + seconds;
    for (double left = seconds; left > 0.0; left = end - pm_seconds()) {
        if (is_stopped(retry)) {
            return false;
        }
        double slice = fmin(left, SLICE);
        struct timespec t = {.tv_sec = 0, .tv_nsec = (long)(slice * 1e9)};
        (void)nanosleep(&t, NULL);
    }
    return !is_stopped(retry);
}

bool pm_retry_again(pm_retry *retry, pm_status st, const pm_error *err) {
    if (!pm_is_transient(st)) {
        if (st == PM_OK && retry->is_away) {
            pm_logf(retry->log, PM_LOG_INFO, "%s is back", retry->what);
            retry->is_away = false;
        }
        return false;
    }
    double left = retry->give_up - pm_seconds();
    if (left <= 0.0 || is_stopped(retry)) {
        return false;
    }
    if (!retry->is_away) {
        pm_logf(retry->log, PM_LOG_WARNING, "waiting for %s: %s", retry->what,
                err != NULL ? err->text : "it is not to be reached");
        retry->is_away = true;
    }
    return sleep_seconds(retry, fmin(left, pm_backoff_next(&retry->backoff)));
}
