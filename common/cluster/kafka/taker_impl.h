/* The inside of a taker. For taker*.c alone. */
#ifndef PM_KAFKA_TAKER_IMPL_H
#define PM_KAFKA_TAKER_IMPL_H

#include "kafka/fault.h"
#include "kafka/taker.h"
#include "kafka/window.h"

/* The last message that came, by which the topic is known: it is read again now and then. */
typedef struct pm_proof {
    int64_t seen; /* its offset; -1: none */
    uint64_t mark;
    bool has_mark;              /* else whatever is there is taken for it */
    bool is_under_way;          /* asked for again; nothing is committed until it came */
    double asked, came, proved; /* pm_seconds(): of the question, of the last message, of the last proof */
} pm_proof;

#define PM_NO_EPOCH UINT64_MAX

/* A partition that is, or was, assigned to us.
 *
 * The window outlives the assignment: units in hand are finished, and when the partition comes back with the same
 * offsets, those are not given out again. What lies below the first offset of an assignment is the group's business,
 * not ours any more. */
typedef struct pm_part {
    int32_t partition;
    bool is_owned;
    bool is_fresh;           /* owned, and where it begins is not known yet */
    bool was_renewed;        /* the group's offset may be one of an older topic: where it begins is committed */
    rd_kafka_queue_t *queue; /* while owned */
    pm_window window;
    int64_t next;   /* of this assignment: one past the last offset that came, or where it began; -1 */
    uint64_t epoch; /* grows when the topic was made anew */
    pm_proof proof;
    int64_t known;                        /* the last offset that a broker took from us; 0: none */
    int64_t prefix, sent, committed;      /* of this assignment: done below; asked to be committed; committed; or -1 */
    uint64_t prefix_mark;                 /* of the message before `prefix`, when one of this assignment is done */
    size_t n_prefix, n_sent, n_committed; /* units of this assignment below these */
    uint64_t asked_epoch;                 /* of the last commit; PM_NO_EPOCH: of an earlier assignment */
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
    bool is_quiet, is_joined, is_closing;
    double next_look, renewed; /* pm_seconds(): at what librdkafka knows of the ends; of the line about a new topic */
    double unanswered;         /* pm_seconds(): since when the group owes us partitions; 0: it does not */
    double group_looked, parts_looked; /* pm_seconds(): for stalls */
    pm_error failure;                  /* met inside a callback */
};

pm_part *pm_taker_part(const pm_taker *t, int32_t partition); /* NULL: never ours */
/* Takes what is done off the front of the window. */
void pm_part_advance(pm_part *p);

/* An error that came in the place of a message. */
void pm_taker_note(pm_taker *t, const rd_kafka_message_t *m);
/* A partition's reading goes back to this offset, or to RD_KAFKA_OFFSET_BEGINNING. */
void pm_part_seek(pm_taker *t, const pm_part *p, int64_t offset);
/* Where the partition begins is known. */
void pm_part_begin(pm_part *p, int64_t first);

/* ---- taker_proof.c ---- */

uint64_t pm_message_mark(const rd_kafka_message_t *m);
/* A mark as it is committed with an offset; free() it. NULL without memory: the offset is then committed alone. */
char *pm_mark_text(uint64_t mark, size_t *size);
/* False when the text, which may be anything, is no mark. */
bool pm_mark_read(const void *text, size_t size, uint64_t *mark);
/* Reads the last message again, before anything is committed. */
void pm_part_prove(pm_taker *t, pm_part *p, double now);
/* A message of a partition whose proof is under way. It is used up, whatever it is. */
void pm_part_hear_proof(pm_taker *t, pm_part *p, const rd_kafka_message_t *m, double now);
/* Any other message. False: it is not to be looked at further. */
bool pm_part_recognise(pm_taker *t, pm_part *p, const rd_kafka_message_t *m, double now);
/* The topic is another one: all that is known of the partition is forgotten; its reading is to go to the beginning. */
void pm_part_renew(pm_taker *t, pm_part *p, const char *why);
/* Where the partitions up to the last that is owned begin, by number; free() it. *high: where they end. NULL when the
 * brokers do not say. */
int64_t *pm_taker_ends(pm_taker *t, const int64_t **high);
/* Begins proofs that are due, and hears those that take a partition's queue for themselves. */
void pm_taker_prove(pm_taker *t);

/* ---- taker_stall.c ---- */

/* Joins a group again that does not answer, and reads partitions again that should have said something. */
void pm_taker_mend_stalls(pm_taker *t);

/* ---- taker_assign.c, taker_commit.c ---- */

/* librdkafka's rebalance callback. */
void pm_taker_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *partitions,
                        void *opaque);

/* Asks to commit what is done and was not asked for, when it is time; reads answers. */
void pm_taker_commit(pm_taker *t);
/* Commits what is done and waits for the answer. */
void pm_taker_commit_now(pm_taker *t, double seconds);

#endif
