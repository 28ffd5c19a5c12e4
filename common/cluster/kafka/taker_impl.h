/* The inside of a taker. For taker*.c alone. */
#ifndef PM_KAFKA_TAKER_IMPL_H
#define PM_KAFKA_TAKER_IMPL_H

#include "kafka/taker.h"

/* ---- window.c: the offsets of a partition in hand or done beyond the committed prefix; no Kafka in there ---- */

/* Offsets may have gaps (compaction, transactions). All-zero is empty. */
typedef struct pm_window {
    struct pm_window_entry *entries; /* a ring, ascending by offset */
    size_t first, count, capacity;
    size_t n_given; /* entries given back */
} pm_window;

typedef enum pm_window_state {
    PM_WINDOW_UNKNOWN,
    PM_WINDOW_HELD,
    PM_WINDOW_DONE,
    PM_WINDOW_GIVEN /* given back: holds the prefix until it is taken again and done */
} pm_window_state;

/* The offset, a new one or one given back, is in hand. `mark` tells its message from one of the same offset in another
 * topic. Errors: PM_ESOFTWARE when it is in hand or done already; PM_EOSERR. */
pm_status pmi_window_take(pm_window *w, int64_t offset, uint64_t mark, pm_error *err);
pm_window_state pmi_window_find(const pm_window *w, int64_t offset);
/* False when there is an entry of that offset with another mark. */
bool pmi_window_fits(const pm_window *w, int64_t offset, uint64_t mark);
/* Nothing happens for an offset that is not in hand. */
void pmi_window_done(pm_window *w, int64_t offset);
void pmi_window_give(pm_window *w, int64_t offset);
/* True when the entry of the lowest offset is done. */
bool pmi_window_is_front_done(const pm_window *w);
/* The lowest offset that was given back, or -1. */
int64_t pmi_window_lowest_given(const pm_window *w);
/* Drops the done prefix below `end`; returns the offset to commit (the last's mark in *mark), or -1 for none. */
int64_t pmi_window_advance(pm_window *w, int64_t end, uint64_t *mark);
/* Drops all entries below `offset`, whatever their state: somebody else saw to them. */
void pmi_window_forget(pm_window *w, int64_t offset);
/* Frees the memory and leaves an empty window. */
void pmi_window_free(pm_window *w);

/* By which message a partition's topic is known, and how far: `anchor` is read again after `last` has come. When it is
 * still what it was, whatever came between is of its topic. Offsets are -1 where there is none. */
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

/* A partition that is, or was, ours. The window outlives the assignment: when the partition comes back with the same
 * offsets, units in hand are not given out again. What lies below the first offset is the group's business. */
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
    int64_t known;                   /* the last offset that a broker took from us; 0: none */
    int64_t prefix, sent, committed; /* of this assignment: done below; asked to be committed; committed; or -1 */
    uint64_t prefix_mark; /* of the message before `prefix`, when one of this assignment is done: has_prefix_mark */
    bool has_prefix_mark;
    uint64_t asked_epoch; /* of the last commit; PM_NO_EPOCH: of an earlier assignment */
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
/* Begins proofs that are due, and hears answers. */
void pmi_taker_prove(pm_taker *t);
/* Proves what is done, for at most `seconds`: what is not proved is not committed, and would be done again. */
void pmi_taker_prove_now(pm_taker *t, double seconds);

/* `fd` is written to when an answer comes. */
pm_status pmi_prover_open(const pm_kafka_options *options, int fd, pm_prover **out, pm_error *err);
/* False when librdkafka did not end within `seconds`: it is left behind. */
bool pmi_prover_close(pm_prover *v, double seconds);
/* Serves the handle. Errors: PM_EPERMISSION and fatal ones. */
pm_status pmi_prover_check(pm_prover *v, pm_error *err);
/* Joins a group again that does not answer, and reads partitions again that should have said something. */
void pmi_taker_mend_stalls(pm_taker *t);

/* ---- taker_assign.c, taker_commit.c ---- */

/* librdkafka's rebalance callback. */
void pmi_taker_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *partitions,
                         void *opaque);

/* Asks to commit what is done and was not asked for, when it is time; reads answers. */
void pmi_taker_commit(pm_taker *t);
/* Commits what is done and waits for the answer. */
void pmi_taker_commit_now(pm_taker *t, double seconds);

#endif
