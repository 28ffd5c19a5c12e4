/* Is it still the same topic? librdkafka 2.0.2 knows topics by name alone. Where one was deleted and made again, it
 * reads on at the old offset when there is a message already, or begins anew without a word when there is none; and
 * the coordinator takes commits of old offsets. So each partition's last message is remembered by its time, key and
 * size, and compared whenever it comes again: when the partition is assigned, when something comes after a pause, and
 * now and then while nothing does. A message of Kafka does not change. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "kafka/taker_impl.h"
#include "kafka/topics.h"

#define PAUSE 1.0       /* seconds without a message after which the next one calls for a proof */
#define PROVE_EVERY 5.0 /* seconds between proofs of a partition without messages */
#define ASK_AGAIN 2.0   /* seconds after which a question that was not answered is asked otherwise */
#define ENDS_MS 500     /* what asking for the ends of partitions may take */
#define LOOK_EVERY 0.25 /* seconds between looks at what is due */
#define SAY_EVERY 30.0  /* seconds: the partitions of one new topic make one line */

static uint64_t add_bytes(uint64_t mark, const void *bytes, size_t n) {
    const uint8_t *at = bytes;
    for (size_t i = 0; i < n; i++) {
        mark = (mark ^ at[i]) * UINT64_C(0x100000001b3); /* FNV-1a */
    }
    return mark;
}

uint64_t pm_message_mark(const rd_kafka_message_t *m) {
    rd_kafka_timestamp_type_t type;
    int64_t time = rd_kafka_message_timestamp(m, &type);
    uint64_t mark = add_bytes(UINT64_C(0xcbf29ce484222325), &time, sizeof time);
    mark = add_bytes(mark, &m->len, sizeof m->len);
    return m->key == NULL ? mark : add_bytes(mark, m->key, m->key_len);
}

#define MARK_DIGITS 16

char *pm_mark_text(uint64_t mark, size_t *size) {
    char *text = pm_malloc(MARK_DIGITS + 1, 1);
    *size = text != NULL ? MARK_DIGITS : 0;
    if (text != NULL && snprintf(text, MARK_DIGITS + 1, "%016" PRIx64, mark) != MARK_DIGITS) {
        *size = 0;
    }
    return text;
}

bool pm_mark_read(const void *text, size_t size, uint64_t *mark) {
    char copy[MARK_DIGITS + 1] = "";
    if (text == NULL || size != MARK_DIGITS) {
        return false;
    }
    memcpy(copy, text, MARK_DIGITS);
    if (strspn(copy, "0123456789abcdef") != MARK_DIGITS) {
        return false;
    }
    *mark = strtoull(copy, NULL, 16);
    return true;
}

void pm_part_renew(pm_taker *t, pm_part *p, const char *why) {
    double now = pm_seconds();
    bool is_news = t->renewed == 0 || now - t->renewed > SAY_EVERY;
    pm_logf(t->health.log, is_news ? PM_LOG_WARNING : PM_LOG_DEBUG,
            "%s was deleted and made again (partition %d: %s): it is taken from its beginning; units of the old topic "
            "are finished, but not committed",
            t->topic_name, (int)p->partition, why);
    t->renewed = now;
    pm_window_free(&p->window);
    p->epoch++;
    p->next = p->prefix = p->sent = p->committed = -1;
    p->n_prefix = p->n_sent = p->n_committed = 0;
    p->proof = (pm_proof){.seen = -1, .came = now};
    p->is_fresh = p->was_renewed = true;
}

static void start_anew(pm_taker *t, pm_part *p, const char *why) {
    pm_part_renew(t, p, why);
    pm_part_seek(t, p, RD_KAFKA_OFFSET_BEGINNING);
}

void pm_part_prove(pm_taker *t, pm_part *p, double now) {
    p->proof.is_under_way = true;
    p->proof.asked = now;
    pm_part_seek(t, p, p->proof.seen);
}

void pm_part_hear_proof(pm_taker *t, pm_part *p, const rd_kafka_message_t *m, double now) {
    pm_proof *proof = &p->proof;
    uint64_t mark = pm_message_mark(m);
    if (m->offset < proof->seen) {
        start_anew(t, p, "it ends before what was read");
        return;
    }
    if (m->offset == proof->seen && proof->has_mark && proof->mark != mark) {
        start_anew(t, p, "its last message is another one");
        return;
    }
    proof->is_under_way = false;
    proof->proved = proof->came = now;
    if (m->offset == proof->seen) {
        proof->mark = mark;
        proof->has_mark = true;
    } else { /* retention took it: what comes next stands for it */
        proof->seen = m->offset - 1;
        proof->has_mark = false;
        pm_part_seek(t, p, m->offset);
    }
}

static void remember(pm_part *p, const rd_kafka_message_t *m, double now) {
    p->proof.seen = m->offset;
    p->proof.mark = pm_message_mark(m);
    p->proof.has_mark = true;
    p->proof.proved = now;
}

bool pm_part_recognise(pm_taker *t, pm_part *p, const rd_kafka_message_t *m, double now) {
    pm_proof *proof = &p->proof;
    bool is_rest = now - proof->came > PAUSE;
    proof->came = now;
    if (!pm_window_fits(&p->window, m->offset, pm_message_mark(m))) {
        start_anew(t, p, "a unit that was taken is another one");
        return false;
    }
    if (p->is_fresh) {
        pm_part_begin(p, m->offset);
    }
    /* after a proof, all beyond it comes again */
    if (m->offset < p->next && m->offset <= proof->seen && pm_window_find(&p->window, m->offset) == PM_WINDOW_UNKNOWN) {
        pm_part_prove(t, p, now);
        return false;
    }
    if (m->offset < p->next && proof->seen < 0) {
        start_anew(t, p, "it ends before what the group had committed");
        return false;
    }
    p->next = m->offset >= p->next ? m->offset + 1 : p->next;
    if (proof->seen >= 0 && is_rest && m->offset > proof->seen && p->window.n_given == 0) {
        pm_part_prove(t, p, now);
    } else if (m->offset > proof->seen) {
        remember(p, m, now);
    }
    return true;
}

/* What the last answer of a broker said of the end, for nothing. */
static bool ends_early(const pm_taker *t, const pm_part *p) {
    int64_t low = -1, high = -1;
    return rd_kafka_get_watermark_offsets(t->rk, t->topic_name, p->partition, &low, &high) ==
               RD_KAFKA_RESP_ERR_NO_ERROR &&
           high >= 0 && high < p->next;
}

static bool is_due(const pm_taker *t, const pm_part *p, double now) {
    const pm_proof *proof = &p->proof;
    bool is_idle = now - proof->came > PAUSE && now - proof->proved > PROVE_EVERY;
    return proof->seen >= 0 && !p->is_fresh && p->window.n_given == 0 && (is_idle || ends_early(t, p));
}

static bool is_overdue(const pm_part *p, double now) {
    return p->is_owned && p->proof.is_under_way && now - p->proof.asked > ASK_AGAIN;
}

static void hear(pm_taker *t, pm_part *p, double now) {
    rd_kafka_message_t *m;
    while (p->proof.is_under_way && (m = rd_kafka_consume_queue(p->queue, 0)) != NULL) {
        if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            pm_part_hear_proof(t, p, m, now);
        } else {
            pm_taker_note(t, m);
        }
        rd_kafka_message_destroy(m);
    }
}

/* A topic that was made again and holds nothing answers no question: its ends do. The group may have the old offset,
 * which the beginning of this one then takes the place of. */
static void judge_by_ends(pm_taker *t, pm_part *p, int64_t low, int64_t high, double now) {
    if (high <= p->proof.seen) {
        start_anew(t, p, "it ends before what was read");
        pm_part_begin(p, low);
    } else {
        pm_part_prove(t, p, now);
    }
}

int64_t *pm_taker_ends(pm_taker *t, const int64_t **high) {
    size_t n = 0;
    for (size_t i = 0; i < t->n_parts; i++) {
        n = t->parts[i].is_owned ? (size_t)t->parts[i].partition + 1 : n;
    }
    int64_t *low = pm_malloc(2 * n, sizeof *low);
    pm_error why = {.text = "no memory"};
    if (low == NULL || pm_topic_ends(t->rk, t->topic_name, 0, n, false, ENDS_MS, low, &why) != PM_OK ||
        pm_topic_ends(t->rk, t->topic_name, 0, n, true, ENDS_MS, low + n, &why) != PM_OK) {
        pm_logf(t->health.log, PM_LOG_DEBUG, "the ends of %s are not known: %s", t->topic_name, why.text);
        free(low);
        return NULL;
    }
    *high = low + n;
    return low;
}

static void ask_for_ends(pm_taker *t, double now) {
    const int64_t *high = NULL;
    int64_t *low = pm_taker_ends(t, &high);
    for (size_t i = 0; i < t->n_parts; i++) {
        pm_part *p = &t->parts[i];
        if (is_overdue(p, now) && low != NULL) {
            judge_by_ends(t, p, low[p->partition], high[p->partition], now);
        } else if (is_overdue(p, now)) {
            pm_part_prove(t, p, now);
        }
    }
    free(low);
}

void pm_taker_prove(pm_taker *t) {
    double now = pm_seconds();
    bool is_time = now >= t->next_look, is_late = false;
    for (size_t i = 0; i < t->n_parts; i++) {
        pm_part *p = &t->parts[i];
        if (!p->is_owned || p->queue == NULL) {
            continue;
        }
        hear(t, p, now);
        is_late = is_late || is_overdue(p, now);
        if (is_time && !p->proof.is_under_way && is_due(t, p, now)) {
            pm_part_prove(t, p, now);
        }
    }
    if (is_late) {
        ask_for_ends(t, now);
    }
    t->next_look = is_time ? now + LOOK_EVERY : t->next_look;
}
