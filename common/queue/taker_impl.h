/* The inside of a taker. For taker*.c alone. */
#ifndef PM_QUEUE_TAKER_IMPL_H
#define PM_QUEUE_TAKER_IMPL_H

#include "queue/fault.h"
#include "queue/taker.h"
#include "queue/window.h"

/* A partition that is, or was, assigned to us.
 *
 * The window outlives the assignment: units in hand are finished, and when the partition comes back with the same
 * offsets, those are not given out again. What lies below the first offset of an assignment is the group's business,
 * not ours any more. */
typedef struct pm_part {
    int32_t partition;
    bool is_owned;
    bool is_fresh;           /* owned, and nothing has come of it yet */
    rd_kafka_queue_t *queue; /* while owned */
    pm_window window;
    int64_t prefix, sent, committed;      /* of this assignment: done below; asked to be committed; committed; or -1 */
    size_t n_prefix, n_sent, n_committed; /* units of this assignment below these */
} pm_part;

struct pm_taker {
    pm_kafka_health health; /* first: the opaque of the handle is both */
    pm_kafka_options options;
    size_t window;
    char topic_name[PM_TOPIC_NAME];
    rd_kafka_t *rk;
    rd_kafka_topic_t *topic;
    rd_kafka_queue_t *consumer; /* rebalances, errors */
    rd_kafka_queue_t *commits;  /* answers to commits */
    int fd;                     /* an eventfd that librdkafka writes to */
    pm_part *parts;             /* ascending */
    size_t n_parts, capacity;
    size_t next; /* the part that is asked first */
    size_t in_hand;
    size_t commits_under_way;
    double last_commit;     /* pm_seconds() */
    bool is_commit_refused; /* said so */
    bool is_topic_missing;  /* said so */
    bool is_quiet;
    pm_error failure; /* met inside a callback */
};

pm_part *pm_taker_part(const pm_taker *t, int32_t partition); /* NULL: never ours */
/* Takes what is done off the front of the window. */
void pm_part_advance(pm_part *p);

/* librdkafka's rebalance callback. */
void pm_taker_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *partitions,
                        void *opaque);

/* Asks to commit what is done and was not asked for, when it is time; reads answers. */
void pm_taker_commit(pm_taker *t);
/* Commits what is done and waits for the answer. */
void pm_taker_commit_now(pm_taker *t, double seconds);

#endif
