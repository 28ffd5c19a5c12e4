/* Commits: asynchronous, one at a time, of the contiguous prefix of each partition that is ours. */
#include "base/clock.h"
#include "kafka/taker_impl.h"

#define COMMIT_EVERY 0.2     /* seconds */
#define COMMIT_PATIENCE 60.0 /* seconds after which an answer is not waited for any more */

void pmi_part_advance(pm_part *p) {
    int64_t prefix = pmi_window_advance(&p->window, p->proof.proved + 1, &p->prefix_mark);
    if (prefix >= 0) {
        p->prefix = prefix;
        p->has_prefix_mark = true;
    }
}

/* Refusals that a rebalance brings with it; what was not committed is done again by the next owner, or is ours to
 * commit again. */
static bool is_expected(rd_kafka_resp_err_t code) {
    switch ((int)code) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
    case RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID:
    case RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS:
    case RD_KAFKA_RESP_ERR__DESTROY:
    case RD_KAFKA_RESP_ERR__STATE:
        return true;
    default:
        return false;
    }
}

static void refused(pm_taker *t, rd_kafka_resp_err_t code) {
    bool is_news = !is_expected(code) && !t->is_commit_refused && !t->health.is_away;
    pmi_logf(t->health.log, is_news ? PM_LOG_WARNING : PM_LOG_DEBUG, "a commit to %s was refused: %s", t->topic_name,
             rd_kafka_err2str(code));
    t->is_commit_refused = t->is_commit_refused || is_news;
    if (pmi_kafka_is_refusal(code, NULL)) {
        pmi_kafka_note(&t->health, t->rk, code, NULL);
    }
}

static void accepted(pm_taker *t, pm_part *p, int64_t offset) {
    if (offset > p->committed) {
        p->committed = p->known = offset;
    }
    if (t->is_commit_refused) {
        pmi_logf(t->health.log, PM_LOG_INFO, "commits to %s are accepted again", t->topic_name);
        t->is_commit_refused = false;
    }
    pmi_kafka_is_back(&t->health);
}

static void read_answer(pm_taker *t, rd_kafka_event_t *event) {
    rd_kafka_resp_err_t code = rd_kafka_event_error(event);
    const rd_kafka_topic_partition_list_t *list = rd_kafka_event_topic_partition_list(event);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        refused(t, code);
    }
    for (int i = 0; list != NULL && i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *answer = &list->elems[i];
        pm_part *p = pmi_taker_part(t, answer->partition);
        /* what was taken of an older topic of this name is not what the coordinator has of the new one */
        if (p == NULL || !p->is_owned || p->asked_epoch != p->epoch) {
            continue;
        }
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR && answer->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            accepted(t, p, answer->offset);
            continue;
        }
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
            refused(t, answer->err);
        }
        p->sent = p->committed; /* asked for again the next time */
        if (answer->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) {
            pmi_part_doubt(t, p); /* the next topic of this name must not get it */
        }
    }
}

/* Serves answers for at most `ms`; returns whether one came. */
static bool serve_answers(pm_taker *t, int ms) {
    rd_kafka_event_t *event = rd_kafka_queue_poll(t->commits, ms);
    if (event == NULL) {
        return false;
    }
    if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_OFFSET_COMMIT && t->commits_under_way > 0) {
        t->commits_under_way--;
        read_answer(t, event);
    }
    rd_kafka_event_destroy(event);
    return true;
}

/* The last message's mark goes with the offset: by it the next owner tells whether the topic is still the same. */
static void add_commit(pm_taker *t, const pm_part *p, rd_kafka_topic_partition_list_t *list) {
    rd_kafka_topic_partition_t *one = rd_kafka_topic_partition_list_add(list, t->topic_name, p->partition);
    one->offset = p->prefix;
    one->metadata = p->has_prefix_mark ? pmi_mark_text(p->prefix_mark, &one->metadata_size) : NULL;
}

static void send_commit(pm_taker *t) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)t->n_parts);
    for (size_t i = 0; i < t->n_parts; i++) {
        pm_part *p = &t->parts[i];
        if (p->is_owned && !p->proof.is_doubted && p->prefix > p->sent && p->prefix > p->committed) {
            add_commit(t, p, list);
            p->sent = p->prefix;
            p->asked_epoch = p->epoch;
        }
    }
    if (list->cnt > 0) {
        rd_kafka_resp_err_t code = rd_kafka_commit_queue(t->rk, list, t->commits, NULL, NULL);
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
            t->commits_under_way++;
        } else {
            refused(t, code);
        }
        t->last_commit = pmi_seconds();
    }
    rd_kafka_topic_partition_list_destroy(list);
}

/* A commit that is never answered must not be the last. */
static void give_up_answer(pm_taker *t) {
    pmi_logf(t->health.log, PM_LOG_DEBUG, "a commit to %s was not answered: committing again", t->topic_name);
    t->commits_under_way = 0;
    for (size_t i = 0; i < t->n_parts; i++) {
        t->parts[i].sent = t->parts[i].committed;
    }
}

void pmi_taker_commit(pm_taker *t) {
    while (serve_answers(t, 0)) {
    }
    if (t->commits_under_way > 0 && pmi_seconds() - t->last_commit > COMMIT_PATIENCE) {
        give_up_answer(t);
    }
    if (t->commits_under_way == 0 && pmi_seconds() - t->last_commit >= COMMIT_EVERY) {
        send_commit(t);
    }
}

void pmi_taker_commit_now(pm_taker *t, double seconds) {
    double until = pmi_seconds() + seconds;
    while (serve_answers(t, 0)) {
    }
    send_commit(t);
    while (t->commits_under_way > 0 && pmi_seconds() < until) {
        serve_answers(t, 50);
    }
    if (t->commits_under_way > 0) {
        pmi_logf(t->health.log, PM_LOG_DEBUG, "a commit to %s was not answered within %.3g s", t->topic_name, seconds);
    }
}
