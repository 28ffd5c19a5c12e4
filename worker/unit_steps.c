/* The way of a unit through the worker. What fails for a time is tried again at its step; nothing in here waits. */
#include <string.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "worker/state.h"

/* Waits before a unit that failed is tried again, and before a dead letter is sent again. */
#define MIN_AGAIN 0.1
#define MAX_AGAIN 5.0
#define LETTER_AGAIN 1.0

static void bury(pm_held *h) {
    h->step = PM_STEP_BURY;
    h->not_before = 0;
}

/* ---- beginning ---- */

static void judge_attempt(pm_worker *w, pm_held *h) {
    const pm_attempt *a = &h->attempt;
    uint64_t lost = a->begun > a->faults ? a->begun - a->faults : 0;
    h->is_begun = true;
    if (a->faults >= w->options->attempts) {
        pmi_fail(&h->error, PM_EOSERR, "the unit failed %llu times before, of %zu that it may",
                 (unsigned long long)a->faults, w->options->attempts);
        bury(h);
    } else if (lost > PM_LOST_LIMIT) {
        pmi_fail(&h->error, PM_EOSERR,
                 "the unit was begun %llu times and neither ended nor failed in %d of them: it takes its worker down",
                 (unsigned long long)(a->begun - 1), PM_LOST_LIMIT);
        bury(h);
    } else {
        h->step = PM_STEP_READY;
    }
}

static void begin(pm_worker *w, pm_held *h) {
    pm_error err = {0};
    pm_attempt attempt = {0};
    pm_status st = pmi_board_begin(w->redis, h->unit_headers.job, h->unit_headers.unit, &attempt, &err);
    pmi_link_note(w, st, &err);
    if (st == PM_EDATA) { /* what Redis holds of this unit makes no sense, and will not by itself */
        h->error = err;
        bury(h);
    } else if (st == PM_OK && attempt.is_ended) {
        pmi_held_log(w, h, PM_LOG_DEBUG, "the unit had ended before");
        h->step = PM_STEP_OVER;
    } else if (st == PM_OK && attempt.is_cancelled) {
        h->step = PM_STEP_CANCELLED;
    } else if (st == PM_OK) {
        h->attempt = attempt;
        judge_attempt(w, h);
    }
}

/* ---- after computing ---- */

static void take_answer(pm_worker *w, pm_held *h, const pm_answer *a) {
    h->result = a->result;
    w->recorded += a->result.recorded;
    w->known += a->result.known;
    h->error.code = (pm_status)a->status;
    memcpy(h->error.text, a->text, sizeof h->error.text);
    switch ((pm_status)a->status) {
    case PM_OK:
        h->step = PM_STEP_END;
        break;
    case PM_EPERMISSION: /* of this worker's log-in, not of the unit */
    case PM_ECONFIG:
        w->fatal = h->error;
        h->step = PM_STEP_GIVE_BACK;
        break;
    case PM_EOSERR:
        h->step = PM_STEP_FAULT;
        break;
    default:
        bury(h);
    }
}

void pmi_held_ended(void *ctx, const pm_ending *ending) {
    pm_worker *w = ctx;
    pm_held *h = ending->unit;
    h->seconds = ending->answer.seconds;
    switch (ending->how) {
    case PM_ENDED_ANSWER:
        take_answer(w, h, &ending->answer);
        break;
    case PM_ENDED_FAULT:
        h->result.has_scc = ending->answer.result.has_scc;
        memcpy(h->result.scc, ending->answer.result.scc, PM_DIGEST_BYTES);
        pmi_fail(&h->error, PM_EOSERR, "the unit failed: %s", ending->text);
        h->step = PM_STEP_FAULT;
        break;
    case PM_ENDED_UNBEGUN:
        h->step = PM_STEP_BEGIN;
        h->not_before = pmi_seconds() + MIN_AGAIN;
        break;
    case PM_ENDED_DISMISSED:
        h->step = h->is_cancelled ? PM_STEP_CANCELLED : PM_STEP_GIVE_BACK;
        break;
    }
}

static void count_fault(pm_worker *w, pm_held *h, double now) {
    pm_error err = {0};
    uint64_t faults = 0;
    pm_status st = pmi_board_fault(w->redis, h->unit_headers.unit, &faults, &err);
    pmi_link_note(w, st, &err);
    if (st == PM_EDATA) {
        h->error = err;
        bury(h);
    }
    if (st != PM_OK) {
        return;
    }
    h->attempt.faults = faults;
    h->is_begun = false; /* it ended, badly */
    if (faults >= w->options->attempts) {
        bury(h);
        return;
    }
    pmi_held_log(w, h, PM_LOG_WARNING, "%s; fault %llu of %zu, tried again", h->error.text, (unsigned long long)faults,
                 w->options->attempts);
    h->error = (pm_error){.code = PM_OK};
    h->result.has_scc = false;
    double wait = MIN_AGAIN * exp2((double)faults);
    h->not_before = now + (wait < MAX_AGAIN ? wait : MAX_AGAIN);
    h->step = PM_STEP_BEGIN;
}

/* ---- dead letters ---- */

static void fail_letter(pm_worker *w, pm_held *h, pm_status st, const pm_error *err) {
    if (pmi_is_transient(st)) {
        pmi_held_log(w, h, PM_LOG_DEBUG, "its dead letter is sent again: %s", err->text);
        h->step = PM_STEP_BURY;
        h->not_before = pmi_seconds() + LETTER_AGAIN;
    } else if (st == PM_EDATA || st == PM_ECONFIG) {
        /* too large for the topic, or refused, and so it will be: its error is still told by its outcome */
        pmi_held_log(w, h, PM_LOG_ERROR, "the unit becomes no dead letter: %s", err->text);
        h->step = PM_STEP_END;
    } else {
        w->fatal = *err;
        h->step = PM_STEP_BURY;
        h->not_before = INFINITY;
    }
}

static void send_letter(pm_worker *w, pm_held *h) {
    pm_error err = {0};
    h->step = PM_STEP_BURYING; /* before sending: its report may come at once */
    pm_status st = pmi_held_bury(w, h, &err);
    if (st != PM_OK) {
        fail_letter(w, h, st, &err);
    }
}

/* Events are hints: collectors find out without them, only later. That they are refused is worth one line. */
static void hear_of_event(pm_worker *w, pm_status st, const pm_error *err) {
    bool is_refused = st == PM_ECONFIG || st == PM_EDATA;
    if (is_refused && !w->is_event_refused) {
        pmi_logf(w->options->log, PM_LOG_ERROR,
                 "events are refused; whoever collects a job learns later what is done: %s", err->text);
    }
    w->is_event_refused = is_refused || (w->is_event_refused && st != PM_OK);
}

void pmi_held_reported(void *ctx, void *opaque, int32_t partition, int64_t offset, pm_status st, const pm_error *err) {
    pm_worker *w = ctx;
    (void)partition, (void)offset;
    if (opaque == NULL) {
        hear_of_event(w, st, err);
        return;
    }
    for (size_t i = 0; i < w->n_held; i++) {
        pm_held *h = w->held[i];
        if (h != opaque || h->step != PM_STEP_BURYING) {
            continue;
        }
        if (st == PM_OK) {
            h->step = PM_STEP_END;
        } else {
            fail_letter(w, h, st, err);
        }
    }
}

/* ---- ending ---- */

static void end(pm_worker *w, pm_held *h) {
    bool is_done = h->error.code == PM_OK;
    if (h->unit_headers.has_job && h->unit_headers.has_unit) {
        pm_error err = {0};
        pm_status st = pmi_held_write_end(w, h, &err);
        pmi_link_note(w, st, &err);
        if (st == PM_EDATA) {
            pmi_held_log(w, h, PM_LOG_ERROR, "how the unit ended cannot be written to Redis: %s", err.text);
        } else if (st != PM_OK) {
            return;
        }
        pmi_held_tell(w, h, is_done ? "done" : "failed");
    }
    w->done += is_done ? 1 : 0;
    w->failed += is_done ? 0 : 1;
    if (is_done) {
        pmi_held_log(w, h, PM_LOG_DEBUG, "done: %llu items, %llu recorded, %llu known",
                     (unsigned long long)h->result.items, (unsigned long long)h->result.recorded,
                     (unsigned long long)h->result.known);
    } else {
        pmi_held_log(w, h, PM_LOG_ERROR, "a dead letter: %s", h->error.text);
    }
    h->step = PM_STEP_OVER;
}

/* Its job is with another Redis. Whoever collects it hears of it, and sends it again; held back, it would wait here. */
static void go_astray(pm_worker *w, pm_held *h) {
    pmi_fail(&h->error, PM_ECONFIG,
             "worker %s has redis.prefix %s, and takes units from the topics of redis.prefix %s, which it cannot do: "
             "give it that prefix, or a kafka.topic-prefix of its own",
             w->options->id, w->options->redis->prefix, h->unit_headers.redis_prefix);
    pmi_utf8_mend(h->error.text);
    pmi_held_log(w, h, w->astray == 0 ? PM_LOG_ERROR : PM_LOG_DEBUG, "%s", h->error.text);
    w->astray++;
    pmi_held_tell(w, h, "astray");
    h->step = PM_STEP_OVER;
}

static void give_back(pm_worker *w, pm_held *h) {
    pm_error err = {0};
    if (h->is_begun && w->link.is_up && w->fatal.code == PM_OK) {
        pm_status st = pmi_board_give_back(w->redis, h->unit_headers.unit, &err);
        pmi_link_note(w, st, &err);
    }
    pmi_held_log(w, h, PM_LOG_DEBUG, "given back");
    pmi_taker_drop(w->taker, &h->taken);
    h->step = PM_STEP_GONE;
}

/* A unit that still computes when its partition has gone to another worker is begun there, and counted there: many
 * workers that join one after the other must not make it look as if it took them down. */
static void stop_counting(pm_worker *w, pm_held *h) {
    pm_error err = {0};
    bool is_between = pmi_taker_partitions(w->taker, NULL, 0) == 0; /* of a rebalance: it may yet come back */
    if (!h->is_begun || !w->link.is_up || is_between || pmi_taker_owns(w->taker, &h->taken)) {
        return;
    }
    pm_status st = pmi_board_give_back(w->redis, h->unit_headers.unit, &err);
    pmi_link_note(w, st, &err);
    h->is_begun = st != PM_OK && pmi_is_transient(st);
}

/* ---- all together ---- */

/* A unit that waits for its turn is let go of when the worker leaves, or when its partition has gone to another. */
static bool is_unwanted(const pm_worker *w, const pm_held *h) {
    return (h->step == PM_STEP_BEGIN || h->step == PM_STEP_READY) &&
           (w->is_leaving || !pmi_taker_owns(w->taker, &h->taken));
}

static bool needs_redis(const pm_held *h) {
    return h->step == PM_STEP_BEGIN || h->step == PM_STEP_FAULT ||
           (h->step == PM_STEP_END && h->unit_headers.has_job && h->unit_headers.has_unit);
}

static void advance_once(pm_worker *w, pm_held *h, double now) {
    if (is_unwanted(w, h)) {
        h->step = PM_STEP_GIVE_BACK;
    }
    if (now < h->not_before || (needs_redis(h) && !w->link.is_up)) {
        return;
    }
    switch (h->step) {
    case PM_STEP_BEGIN:
        begin(w, h);
        break;
    case PM_STEP_FAULT:
        count_fault(w, h, now);
        break;
    case PM_STEP_BURY:
        pmi_utf8_mend(h->error.text); /* it may quote the message */
        send_letter(w, h);
        break;
    case PM_STEP_END:
        end(w, h);
        break;
    case PM_STEP_CANCELLED:
        pmi_held_log(w, h, PM_LOG_DEBUG, "its job was cancelled");
        pmi_held_tell(w, h, "cancelled");
        h->step = PM_STEP_OVER;
        break;
    case PM_STEP_ASTRAY:
        go_astray(w, h);
        break;
    case PM_STEP_GIVE_BACK:
        give_back(w, h);
        break;
    case PM_STEP_OVER:
        w->over++;
        pmi_taker_done(w->taker, &h->taken);
        h->step = PM_STEP_GONE;
        break;
    case PM_STEP_RUNNING:
        stop_counting(w, h);
        break;
    case PM_STEP_READY:
    case PM_STEP_BURYING:
    case PM_STEP_GONE:
        break;
    }
}

void pmi_held_advance(pm_worker *w, pm_held *h, double now) {
    pm_step before;
    do {
        before = h->step;
        advance_once(w, h, now);
    } while (h->step != before && h->step != PM_STEP_GONE && w->fatal.code == PM_OK);
}
