/* Taking units as a member of the workers' group: take, done, lost.
 *
 * Partition queues are not forwarded to the consumer queue, so that polling goes on (and the group is content) while
 * nothing is taken. Units are done in any order; what is committed is the contiguous prefix of each partition. One
 * thread owns a taker.
 *
 * A topic that was deleted and made again goes by the same name, and librdkafka reads on at the old offsets. It is told
 * by its messages (taker_proof.c): then the partition is taken from its beginning, nothing of the old topic is
 * committed any more, and a line says so. */
#ifndef PM_KAFKA_TAKER_H
#define PM_KAFKA_TAKER_H

#include "kafka/kafka.h"

typedef struct pm_taker pm_taker;

/* A unit in hand. Spans live until pmi_taker_done or pmi_taker_drop. */
typedef struct pm_taken {
    rd_kafka_message_t *message;
    int32_t partition;
    int64_t offset;
    uint64_t epoch; /* of its partition: another one once the topic was made anew */
    pm_span key, value;
} pm_taken;

/* Assignor "roundrobin" unless -X says otherwise; a cooperative one before librdkafka 2.10.0 is PM_EUSAGE. The window
 * is how many units of one partition may be done or in hand beyond its committed offset. */
pm_status pmi_taker_open(const pm_kafka_options *options, size_t window, const pm_log *log, pm_taker **out,
                         pm_error *err);

/* Joins the group, and leaves it with all partitions, to join again at will. Either is begun here and happens in
 * pmi_taker_serve; units in hand may be finished or dropped. Nothing happens when it is so already. */
pm_status pmi_taker_join(pm_taker *t, pm_error *err);
pm_status pmi_taker_withdraw(pm_taker *t, pm_error *err);
bool pmi_taker_is_joined(const pm_taker *t);

/* A file descriptor, readable when pmi_taker_serve or _take has something new to do. pmi_taker_serve makes it
 * unreadable again, whatever was not taken: take before waiting. */
int pmi_taker_fd(const pm_taker *t);

/* Polls the consumer: call at least once a second. Errors: PM_EPERMISSION and fatal ones. */
pm_status pmi_taker_serve(pm_taker *t, pm_error *err);
pm_kafka_health *pmi_taker_health(pm_taker *t);

/* The next unit, partitions in turn; *taken is false when none is at hand. A unit that this taker still holds or has
 * done since (a redelivery after a rebalance) is not given out again. */
pm_status pmi_taker_take(pm_taker *t, pm_taken *out, bool *taken, pm_error *err);

/* The unit's effects are stored: its offset may be committed, if its partition is still ours. Frees the message. */
void pmi_taker_done(pm_taker *t, pm_taken *unit);
/* Gives the unit back: neither committed nor kept. Whoever has the partition takes it again: this taker, soon, unless
 * it is quiet; the next owner, as soon as this taker is closed. Frees the message. */
void pmi_taker_drop(pm_taker *t, pm_taken *unit);

/* True when this unit is ours to commit: its partition is assigned to us (still, or again), of the same topic. */
bool pmi_taker_owns(const pm_taker *t, const pm_taken *unit);

/* Takes nothing more, stays in the group. */
void pmi_taker_quiet(pm_taker *t);

/* Owned partitions, ascending, into `partitions` (at most n); returns how many there are. */
size_t pmi_taker_partitions(const pm_taker *t, uint32_t *partitions, size_t n);

/* Commits what is done and waits for it, leaves the group, closes within `seconds` (a watchdog: librdkafka's close may
 * hang; a handle that did is left behind, with a warning line). Messages in hand must have been done or dropped. */
void pmi_taker_close(pm_taker *t, double seconds);

#endif
