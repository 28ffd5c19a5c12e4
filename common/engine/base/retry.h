/* Waiting out faults that pass: back-off with jitter, and one log line for each change of state. */
#ifndef PM_BASE_RETRY_H
#define PM_BASE_RETRY_H

#include "base/log.h"
#include "base/random.h"

/* Doubling waits between `least` and `most` seconds, each drawn from the upper half of its range. */
typedef struct pm_backoff {
    double least, most, next;
    pm_random random;
} pm_backoff;

void pmi_backoff_init(pm_backoff *b, double least, double most, uint64_t seed);
double pmi_backoff_next(pm_backoff *b); /* seconds to wait now */
void pmi_backoff_reset(pm_backoff *b);

/* True for PM_EUNAVAILABLE and PM_ETEMPORARY: the same again may work. */
bool pmi_is_transient(pm_status status);

#define PM_OUTAGE_REASONS 4
#define PM_OUTAGE_REASON_TEXT 96

/* Servers that are away or refuse, as several callers that wait one after the other see it: each reason (told apart by
 * its first PM_OUTAGE_REASON_TEXT - 1 bytes) is said once, and the end once, when they have been well for a while: a
 * full server, which takes one small value and not the next, is not a line for each. All-zero: all is well. */
typedef struct pm_outage {
    size_t n_told; /* 0: all is well */
    char told[PM_OUTAGE_REASONS][PM_OUTAGE_REASON_TEXT];
    bool is_over; /* the last call was answered */
    const char *what;
    double since, last; /* pmi_seconds() of the first and the last fault */
} pm_outage;
/* Nobody will ask any more: says that a server which answered last is back. */
void pmi_outage_end(pm_outage *outage, const pm_log *log);

/* For callers that may block. Use:
 *     pm_retry retry = pmi_retry_begin("Redis", patience, stop, log);
 *     do { st = attempt(..., err); } while (pmi_retry_again(&retry, st, err));
 */
typedef struct pm_retry {
    const char *what; /* "Redis at 10.0.0.1:6379", for log lines */
    const pm_log *log;
    bool (*is_stopped)(void *ctx); /* NULL: never; looked at several times a second */
    void *ctx;
    double give_up; /* pmi_seconds() after which the fault is returned; INFINITY: never */
    bool is_away;
    double away_since; /* pmi_seconds() */
    pm_outage *outage; /* shared with others; NULL: each retry speaks for itself */
    pm_backoff backoff;
} pm_retry;

/* `patience` in seconds from now. */
pm_retry pmi_retry_begin(const char *what, double patience, bool (*is_stopped)(void *ctx), void *ctx,
                         const pm_log *log);

/* False when `st` is PM_OK (a line says that what was away is back) or permanent, or patience is over, or stopped: then
 * `st` and `err` stand, and after waiting err's text begins with what was waited for, and how long. Else sleeps and
 * returns true; the first time a warning line carries err's text. */
bool pmi_retry_again(pm_retry *retry, pm_status st, pm_error *err);

#endif
