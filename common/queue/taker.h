/* Taking units as a member of the workers' group: take, done, lost.
 *
 * Partition queues are not forwarded to the consumer queue, so that polling goes on (and the group is content) while
 * nothing is taken. Units are done in any order; what is committed is the contiguous prefix of each partition. One
 * thread owns a taker. */
#ifndef PM_QUEUE_TAKER_H
#define PM_QUEUE_TAKER_H

#include "queue/kafka.h"

typedef struct pm_taker pm_taker;

/* A unit in hand. Spans live until pm_taker_done or pm_taker_drop. */
typedef struct pm_taken {
    rd_kafka_message_t *message;
    int32_t partition;
    int64_t offset;
    pm_span key, value;
} pm_taken;

/* Joins the group. Assignor "roundrobin" unless -X says otherwise; a cooperative one is refused before librdkafka
 * 2.10.0, PM_EUSAGE. The window is how many units of one partition may be done or in hand beyond its committed offset.
 * Close with pm_taker_close. */
pm_status pm_taker_open(const pm_kafka_options *options, size_t window, const pm_log *log, pm_taker **out,
                        pm_error *err);

/* A file descriptor that becomes readable when pm_taker_serve or pm_taker_take has something new to do. pm_taker_serve
 * makes it unreadable again: units that were not taken then do not make it readable, so take before waiting. */
int pm_taker_fd(const pm_taker *t);

/* Polls the consumer (rebalances, commits, faults): call at least once a second. Errors: PM_EPERMISSION and fatal ones.
 */
pm_status pm_taker_serve(pm_taker *t, pm_error *err);
pm_kafka_health *pm_taker_health(pm_taker *t);

/* The next unit, partitions in turn; *taken is false when none is at hand. A unit that this taker still holds or has
 * done since (a redelivery after a rebalance) is not given out again. */
pm_status pm_taker_take(pm_taker *t, pm_taken *out, bool *taken, pm_error *err);

/* The unit's effects are stored: its offset may be committed. Harmless for a partition that is no longer ours. Frees
 * the message. */
void pm_taker_done(pm_taker *t, pm_taken *unit);
/* Gives the unit back: neither committed nor kept. Whoever has the partition takes it again: this taker, soon, unless
 * it is quiet; the next owner, as soon as this taker is closed. Frees the message. */
void pm_taker_drop(pm_taker *t, pm_taken *unit);

/* True when this unit is ours to commit: its partition is assigned to us (still, or again). */
bool pm_taker_owns(const pm_taker *t, const pm_taken *unit);

/* Takes nothing more, stays in the group. */
void pm_taker_quiet(pm_taker *t);

/* Owned partitions, ascending, into `partitions` (at most n); returns how many there are. */
size_t pm_taker_partitions(const pm_taker *t, uint32_t *partitions, size_t n);
/* Units in hand, and done ones of owned partitions that are not committed yet. */
size_t pm_taker_uncommitted(const pm_taker *t);

/* Commits what is done and waits for it, leaves the group, closes within `seconds` (a watchdog: librdkafka's close may
 * hang; a handle that did is left behind, with a warning line). Messages in hand must have been done or dropped. */
void pm_taker_close(pm_taker *t, double seconds);

#endif
