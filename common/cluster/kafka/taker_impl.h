/* The inside of a taker. For taker*.c alone. */
#ifndef PM_KAFKA_TAKER_IMPL_H
#define PM_KAFKA_TAKER_IMPL_H

#include "kafka/kafka.h"
#include "kafka/taker.h"
#include "kafka/window.h"

/* By which message a partition's topic is known, and how far that is proved: `anchor` is read again after `last` has
 * come. Messages come in the order of time: when the anchor is still what it was, whatever came between was of its
 * topic, and is. Offsets are -1 where there is none. */
typedef struct pm_proof {
    int64_t anchor;
    uint64_t anchor_mark;
    bool has_mark; /* of the anchor; else whatever is there is taken for it */
    int64_t last;  /* the last message that came: the next anchor */
    uint64_t last_mark;
    int64_t asked_last; /* as it was when the question was asked */
    uint64_t asked_mark;
    int64_t proved; /* may be committed up to this one */
    bool is_under_way;
    bool is_at_end;            /* where the anchor was looked for, the partition ends */
    bool is_doubted;           /* asked at once, and nothing is committed until it is proved */
    double asked, came, heard; /* pmi_seconds(): of the question, of the last message, of the last proof */
} pm_proof;

typedef struct pm_prover pm_prover;

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
    pm_prover *prover;
    int fd;         /* an eventfd that librdkafka writes to */
    pm_part *parts; /* ascending */
    size_t n_parts, capacity;
    size_t next; /* the part that is asked first */
    size_t in_hand;
    size_t commits_under_way;
    double last_commit;     /* pmi_seconds() */
    bool is_commit_refused; /* said so */
    bool is_topic_missing;  /* said so */
    bool is_quiet, is_joined, is_closing;
    double next_look, renewed; /* pmi_seconds(): at what librdkafka knows of the ends; of the line about a new topic */
    double unanswered;         /* pmi_seconds(): since when the group owes us partitions; 0: it does not */
    double group_looked, parts_looked; /* pmi_seconds(): for stalls */
    pm_error failure;                  /* met inside a callback */
};

pm_part *pmi_taker_part(const pm_taker *t, int32_t partition); /* NULL: never ours */
/* Takes what is done, and proved, off the front of the window. */
void pmi_part_advance(pm_part *p);

/* An error that came in the place of a message. */
void pmi_taker_note(pm_taker *t, const rd_kafka_message_t *m);
/* A partition's reading goes back to this offset, or to RD_KAFKA_OFFSET_BEGINNING. */
void pmi_part_seek(pm_taker *t, const pm_part *p, int64_t offset);
/* Where the partition begins is known. */
void pmi_part_begin(pm_part *p, int64_t first);

/* ---- taker_proof.c ---- */

uint64_t pmi_message_mark(const rd_kafka_message_t *m);
/* A mark as it is committed with an offset; free() it. NULL without memory: the offset is then committed alone. */
char *pmi_mark_text(uint64_t mark, size_t *size);
/* False when the text, which may be anything, is no mark. */
bool pmi_mark_read(const void *text, size_t size, uint64_t *mark);
/* The proof of a partition of which nothing came yet. */
pm_proof pmi_proof_none(double now);
/* Takes note of a message that came. False: it is not to be looked at further. */
bool pmi_part_recognise(pm_taker *t, pm_part *p, const rd_kafka_message_t *m, double now);
/* It may be another topic. */
void pmi_part_doubt(pm_taker *t, pm_part *p);
/* The answer is not waited for any more. */
void pmi_part_end_proof(pm_taker *t, pm_part *p);
/* The topic is another one: all that is known of the partition is forgotten; its reading is to go to the beginning. */
void pmi_part_renew(pm_taker *t, pm_part *p, const char *why);
/* Where the partitions up to the last that is owned begin, by number; free() it. *high: where they end. NULL when the
 * brokers do not say. */
int64_t *pmi_taker_ends(pm_taker *t, const int64_t **high);
/* Begins proofs that are due, and hears answers. */
void pmi_taker_prove(pm_taker *t);
/* Proves what is done, for at most `seconds`: what is not proved is not committed, and would be done again. */
void pmi_taker_prove_now(pm_taker *t, double seconds);

/* ---- taker_prover.c ---- */

/* `fd` is written to when an answer comes. */
pm_status pmi_prover_open(const pm_kafka_options *options, int fd, pm_prover **out, pm_error *err);
/* False when librdkafka did not end within `seconds`: it is left behind. */
bool pmi_prover_close(pm_prover *v, double seconds);
/* Serves the handle. Errors: PM_EPERMISSION and fatal ones. */
pm_status pmi_prover_check(pm_prover *v, pm_error *err);
rd_kafka_t *pmi_prover_handle(pm_prover *v);
/* Reads the partition from this offset on, until pmi_prover_stop. */
bool pmi_prover_ask(pm_prover *v, int32_t partition, int64_t offset);
void pmi_prover_stop(pm_prover *v, int32_t partition);
/* The next message, or the end of a partition (err is RD_KAFKA_RESP_ERR__PARTITION_EOF), of those that were asked for;
 * NULL: none yet. Destroy it. */
rd_kafka_message_t *pmi_prover_answer(pm_prover *v);

/* ---- taker_stall.c ---- */

/* Joins a group again that does not answer, and reads partitions again that should have said something. */
void pmi_taker_mend_stalls(pm_taker *t);
/* The partition ends at `high`, as the answer to a proof says: what should have come long since is read again. */
void pmi_part_mend_stall(pm_taker *t, pm_part *p, int64_t high, double now);

/* ---- taker_assign.c, taker_commit.c ---- */

/* librdkafka's rebalance callback. */
void pmi_taker_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *partitions,
                         void *opaque);

/* Asks to commit what is done and was not asked for, when it is time; reads answers. */
void pmi_taker_commit(pm_taker *t);
/* Commits what is done and waits for the answer. */
void pmi_taker_commit_now(pm_taker *t, double seconds);

#endif
