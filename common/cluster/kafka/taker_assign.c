/* Rebalances: every one is answered, and partition queues are kept apart before fetching begins. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "kafka/taker_impl.h"

#define REVOKE_PATIENCE 3.0 /* seconds that a commit may hold up the group */
#define PROVE_SECONDS 1.5   /* of them, for proofs of what is done */
#define COMMITTED_MS 3000   /* the same, of asking where it stands */

pm_part *pmi_taker_part(const pm_taker *t, int32_t partition) {
    size_t low = 0, high = t->n_parts;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (t->parts[middle].partition < partition) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < t->n_parts && t->parts[low].partition == partition ? &t->parts[low] : NULL;
}

static pm_part *add_part(pm_taker *t, int32_t partition) {
    pm_part *there = pmi_taker_part(t, partition);
    if (there != NULL) {
        return there;
    }
    if (!pmi_reserve((void **)&t->parts, &t->capacity, t->n_parts + 1, sizeof *t->parts)) {
        pmi_fail_memory(&t->failure, "the partitions of a taker", (t->n_parts + 1) * sizeof *t->parts);
        return NULL;
    }
    size_t at = t->n_parts;
    while (at > 0 && t->parts[at - 1].partition > partition) {
        at--;
    }
    memmove(&t->parts[at + 1], &t->parts[at], (t->n_parts - at) * sizeof *t->parts);
    t->parts[at] = (pm_part){.partition = partition, .next = -1, .proof = pmi_proof_none(0)};
    t->n_parts++;
    return &t->parts[at];
}

static void drop_queue(pm_part *p) {
    if (p->queue != NULL) {
        rd_kafka_queue_io_event_enable(p->queue, -1, NULL, 0);
        rd_kafka_queue_destroy(p->queue);
        p->queue = NULL;
    }
}

/* The queue must be kept from the consumer queue before the partition is assigned, or messages would come there. */
static void adopt(pm_taker *t, int32_t partition) {
    static const uint64_t one = 1;
    pm_part *p = add_part(t, partition);
    if (p == NULL) {
        return;
    }
    drop_queue(p);
    p->queue = rd_kafka_queue_get_partition(t->rk, t->topic_name, partition);
    if (p->queue == NULL) {
        pmi_fail(&t->failure, PM_ESOFTWARE, "librdkafka has no queue for partition %d of %s", (int)partition,
                 t->topic_name);
        return;
    }
    rd_kafka_queue_forward(p->queue, NULL);
    rd_kafka_queue_io_event_enable(p->queue, t->fd, &one, sizeof one);
    p->is_owned = true;
    p->is_fresh = true;
    p->next = p->prefix = p->sent = p->committed = -1;
    p->has_prefix_mark = false;
    p->asked_epoch = PM_NO_EPOCH;
}

static void disown(pm_taker *t, pm_part *p) {
    pmi_part_end_proof(t, p);
    p->is_owned = false;
    p->is_fresh = false;
    drop_queue(p);
}

/* Where to begin, and what to find before it: the last message that the group has done tells whether it is still the
 * same topic, by the mark that was committed with it. A coordinator forgets the offsets of a topic that is deleted, but
 * not at once, and takes late commits of it for the next one of that name. */
static void set_start(pm_taker *t, rd_kafka_topic_partition_t *start, const rd_kafka_topic_partition_t *group) {
    pm_part *p = pmi_taker_part(t, start->partition);
    if (p == NULL || !p->is_owned) {
        return;
    }
    int64_t committed = start->offset = group->offset;
    if (committed < 0) {
        if (p->known > 0) {
            pmi_part_renew(t, p, "the group's offsets are gone");
        }
        p->proof = pmi_proof_none(pmi_seconds());
        start->offset = RD_KAFKA_OFFSET_BEGINNING;
        return;
    }
    pm_proof before = p->proof, *proof = &p->proof;
    *proof = pmi_proof_none(pmi_seconds());
    pmi_part_begin(p, committed);
    if (committed > 0) {
        bool is_known = before.last == committed - 1;
        proof->anchor = proof->last = proof->proved = committed - 1;
        proof->anchor_mark = is_known ? before.last_mark : 0;
        proof->has_mark = pmi_mark_read(group->metadata, group->metadata_size, &proof->anchor_mark) || is_known;
        proof->last_mark = proof->anchor_mark;
        proof->is_doubted = true;
    }
}

/* Leaves the offsets to librdkafka, and the partitions fresh, when the group does not say. */
static void find_starts(pm_taker *t, rd_kafka_topic_partition_list_t *partitions) {
    rd_kafka_topic_partition_list_t *asked = rd_kafka_topic_partition_list_copy(partitions);
    rd_kafka_resp_err_t code = rd_kafka_committed(t->rk, asked, COMMITTED_MS);
    for (int i = 0; i < asked->cnt; i++) {
        rd_kafka_resp_err_t own = code != RD_KAFKA_RESP_ERR_NO_ERROR ? code : asked->elems[i].err;
        rd_kafka_topic_partition_t *start = &partitions->elems[i];
        pm_part *p = pmi_taker_part(t, start->partition);
        if (own == RD_KAFKA_RESP_ERR_NO_ERROR) {
            set_start(t, start, &asked->elems[i]);
        } else if (p != NULL) {
            p->proof = pmi_proof_none(pmi_seconds());
            pmi_logf(t->health.log, PM_LOG_DEBUG, "%s partition %d: where the group stands is not known: %s",
                     t->topic_name, (int)start->partition, rd_kafka_err2str(own));
        }
    }
    rd_kafka_topic_partition_list_destroy(asked);
}

/* "0-3,7" of the list, cut with "..." where there is no room. */
static void list_text(const rd_kafka_topic_partition_list_t *list, char *text, size_t n) {
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < list->cnt;) {
        int last = i;
        while (last + 1 < list->cnt && list->elems[last + 1].partition == list->elems[last].partition + 1) {
            last++;
        }
        int written = last > i ? snprintf(text + used, n - used, "%s%d-%d", i > 0 ? "," : "", list->elems[i].partition,
                                          list->elems[last].partition)
                               : snprintf(text + used, n - used, "%s%d", i > 0 ? "," : "", list->elems[i].partition);
        if (written < 0 || (size_t)written >= n - used) {
            memcpy(text + n - 4, "...", 4);
            return;
        }
        used += (size_t)written;
        i = last + 1;
    }
}

static void log_list(const pm_taker *t, const char *what, const rd_kafka_topic_partition_list_t *list) {
    char text[256];
    list_text(list, text, sizeof text);
    pmi_logf(t->health.log, PM_LOG_INFO, "%s: %d partitions %s%s%s", t->topic_name, list->cnt, what,
             list->cnt > 0 ? ": " : "", text);
}

/* Answers librdkafka, which waits for it before anything else happens in the group. */
static void answer(pm_taker *t, bool is_assign, const rd_kafka_topic_partition_list_t *list) {
    const char *protocol = rd_kafka_rebalance_protocol(t->rk); /* NULL once it closes */
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
    if (protocol != NULL && strcmp(protocol, "COOPERATIVE") == 0) {
        rd_kafka_error_t *error =
            is_assign ? rd_kafka_incremental_assign(t->rk, list) : rd_kafka_incremental_unassign(t->rk, list);
        if (error != NULL) {
            code = rd_kafka_error_code(error);
            rd_kafka_error_destroy(error);
        }
    } else {
        code = rd_kafka_assign(t->rk, is_assign ? list : NULL);
    }
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR && code != RD_KAFKA_RESP_ERR__FATAL) {
        pmi_kafka_fail(&t->failure, code, NULL, "librdkafka refuses an answer to a rebalance of %s", t->topic_name);
    }
}

void pmi_taker_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *partitions,
                         void *opaque) {
    pm_taker *t = opaque;
    if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS && t->is_closing) { /* it came too late */
        answer(t, false, partitions);
        return;
    }
    if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        for (int i = 0; i < partitions->cnt; i++) {
            adopt(t, partitions->elems[i].partition);
        }
        t->is_topic_missing = false;
        t->unanswered = 0;
        find_starts(t, partitions);
        log_list(t, "assigned", partitions);
        answer(t, true, partitions);
        return;
    }
    bool is_lost = rd_kafka_assignment_lost(rk) != 0;
    t->unanswered = pmi_seconds();
    if (code == RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS) {
        if (!is_lost && !t->is_topic_missing) { /* what is done of a topic that is gone may not go to the next one */
            pmi_taker_prove_now(t, PROVE_SECONDS);
            pmi_taker_commit_now(t, REVOKE_PATIENCE - PROVE_SECONDS);
        }
        for (int i = 0; i < partitions->cnt; i++) {
            pm_part *p = pmi_taker_part(t, partitions->elems[i].partition);
            if (p != NULL) {
                disown(t, p);
            }
        }
        log_list(t, is_lost ? "lost" : "given up", partitions);
        answer(t, false, partitions);
        return;
    }
    for (size_t i = 0; i < t->n_parts; i++) {
        disown(t, &t->parts[i]);
    }
    pmi_logf(t->health.log, PM_LOG_WARNING, "%s: a rebalance failed: %s", t->topic_name, rd_kafka_err2str(code));
    rd_kafka_assign(rk, NULL);
}
