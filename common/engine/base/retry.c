#include "base/retry.h"

#include <math.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define SLICE 0.1 /* seconds between two looks at is_stopped */
#define FIRST_WAIT 0.05
#define LONGEST_WAIT 5.0
#define SETTLED_SECONDS 20.0 /* without a fault, until an outage that several share is over */

void pmi_backoff_init(pm_backoff *b, double least, double most, uint64_t seed) {
    *b = (pm_backoff){.least = least, .most = most, .next = least, .random = {.state = seed}};
}

double pmi_backoff_next(pm_backoff *b) {
    double wait = b->next * pmi_random_rate(&b->random);
    b->next = fmin(2.0 * b->next, b->most);
    return wait;
}

void pmi_backoff_reset(pm_backoff *b) {
    b->next = b->least;
}

bool pmi_is_transient(pm_status status) {
    return status == PM_EUNAVAILABLE || status == PM_ETEMPORARY;
}

pm_retry pmi_retry_begin(const char *what, double patience, bool (*is_stopped)(void *ctx), void *ctx,
                         const pm_log *log) {
    double now = pmi_seconds();
    pm_retry retry = {
        .what = what, .log = log, .is_stopped = is_stopped, .ctx = ctx, .give_up = now + patience, .is_away = false};
    /* processes that lost the same server at the same moment must not come back to it at the same moment */
    uint64_t seed = (uint64_t)(now * 1e9) ^ ((uint64_t)getpid() << 40);
    pmi_backoff_init(&retry.backoff, FIRST_WAIT, LONGEST_WAIT, seed);
    return retry;
}

static bool is_stopped(const pm_retry *retry) {
    return retry->is_stopped != NULL && retry->is_stopped(retry->ctx);
}

/* False when stopped meanwhile. A signal ends a slice early, so that its handler's flag is seen at once. */
static bool sleep_seconds(const pm_retry *retry, double seconds) {
    double end = pmi_seconds() + seconds;
    for (double left = seconds; left > 0.0; left = end - pmi_seconds()) {
        if (is_stopped(retry)) {
            return false;
        }
        double slice = fmin(left, SLICE);
        struct timespec t = {.tv_sec = 0, .tv_nsec = (long)(slice * 1e9)};
        (void)nanosleep(&t, NULL);
    }
    return !is_stopped(retry);
}

/* True for the first fault of its reason. */
static bool note_reason(pm_outage *outage, const char *text) {
    const size_t most = PM_OUTAGE_REASON_TEXT - 1;
    for (size_t i = 0; i < outage->n_told; i++) {
        if (strncmp(outage->told[i], text, most) == 0) {
            return false;
        }
    }
    if (outage->n_told == PM_OUTAGE_REASONS) {
        return false;
    }
    char *told = outage->told[outage->n_told++];
    size_t length = strnlen(text, most);
    memcpy(told, text, length);
    told[length] = 0;
    return true;
}

static void say_away(pm_retry *retry, const pm_error *err) {
    const char *text = err != NULL ? err->text : "it is not to be reached";
    double now = pmi_seconds();
    bool is_first = !retry->is_away;
    if (is_first) {
        retry->is_away = true;
        retry->away_since = now;
    }
    if (retry->outage != NULL) {
        pm_outage *outage = retry->outage;
        if (outage->n_told == 0) {
            outage->since = now;
        }
        outage->what = retry->what;
        outage->is_over = false;
        outage->last = now;
        is_first = note_reason(outage, text);
    }
    if (is_first) {
        pmi_logf(retry->log, PM_LOG_WARNING, "waiting for %s: %s", retry->what, text);
    }
}

static void say_back(const pm_log *log, const char *what, double since) {
    pmi_logf(log, PM_LOG_INFO, "%s is back after %.1f s", what, pmi_seconds() - since);
}

static void note_answer(pm_retry *retry) {
    pm_outage *outage = retry->outage;
    if (outage == NULL && retry->is_away) {
        say_back(retry->log, retry->what, retry->away_since);
    } else if (outage != NULL && outage->n_told > 0) {
        outage->is_over = true;
        if (pmi_seconds() - outage->last >= SETTLED_SECONDS) {
            pmi_outage_end(outage, retry->log);
        }
    }
    retry->is_away = false;
}

void pmi_outage_end(pm_outage *outage, const pm_log *log) {
    if (outage->n_told > 0 && outage->is_over) {
        say_back(log, outage->what, outage->since);
    }
    *outage = (pm_outage){0};
}

bool pmi_retry_again(pm_retry *retry, pm_status st, pm_error *err) {
    if (!pmi_is_transient(st)) {
        if (st == PM_OK) {
            note_answer(retry);
        }
        return false;
    }
    double left = retry->give_up - pmi_seconds();
    if (left <= 0.0 || is_stopped(retry)) {
        if (retry->is_away) {
            (void)pmi_fail_prefix(err, "waited %.1f s for %s", pmi_seconds() - retry->away_since, retry->what);
        }
        return false;
    }
    say_away(retry, err);
    return sleep_seconds(retry, fmin(left, pmi_backoff_next(&retry->backoff)));
}
