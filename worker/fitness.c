#include <string.h>

#include "base/clock.h"
#include "worker/state.h"

#define MIN_RETRY 0.1
#define MAX_RETRY 5.0
#define SETTLED_SECONDS 20.0 /* up, until it is said to be back */

void pmi_link_init(pm_link *link, uint64_t seed) {
    *link = (pm_link){.away_since = pmi_seconds()};
    pmi_backoff_init(&link->backoff, MIN_RETRY, MAX_RETRY, seed);
}

void pmi_link_note(pm_worker *w, pm_status st, const pm_error *err) {
    pm_link *link = &w->link;
    double now = pmi_seconds();
    if (st == PM_OK || st == PM_EDATA) {
        return; /* it answered */
    }
    if (!pmi_is_transient(st)) {
        w->fatal = *err;
        link->is_up = false;
        return;
    }
    if (link->is_up) {
        link->is_up = false;
        link->away_since = link->is_reported ? link->away_since : now;
    }
    memcpy(link->words, err->text, sizeof link->words);
    if (!link->is_reported) {
        link->is_reported = true;
        pmi_logf(w->options->log, PM_LOG_WARNING, "waiting for Redis; units are held: %s", err->text);
    }
    link->next_try = now + pmi_backoff_next(&link->backoff);
}

/* A full Redis takes one small value and refuses the next: that is one fault, not many. */
static void say_back(pm_worker *w, double now) {
    pm_link *link = &w->link;
    if (link->is_reported && now - link->up_since >= SETTLED_SECONDS) {
        link->is_reported = false;
        pmi_logf(w->options->log, PM_LOG_INFO, "Redis is back after %.1f s", link->up_since - link->away_since);
    }
}

void pmi_link_serve(pm_worker *w, double now) {
    pm_link *link = &w->link;
    if (link->is_up) {
        say_back(w, now);
    }
    if (link->is_up || now < link->next_try) {
        return;
    }
    pm_error err = {0};
    pm_status st = pmi_redis_check(w->redis, &err);
    if (st != PM_OK) {
        if (st == PM_EDATA) {
            w->fatal = err;
        }
        pmi_link_note(w, st, &err);
        return;
    }
    link->is_up = true;
    link->up_since = pmi_seconds();
    pmi_backoff_reset(&link->backoff);
}

/* What Redis or the children may be away before others get the partitions; a restart of Redis should fit in. */
#define UNFIT_SECONDS 15.0

/* A heartbeat that was written tells more than a connection: Redis may be full, or one that is not to be written to. */
static const char *why_unfit(const pm_worker *w, double since) {
    if (w->beaten < since) {
        return w->link.is_up ? "its heartbeat cannot be written to Redis" : w->link.words;
    }
    return w->slots_fit < since ? "none of its compute children lives" : NULL;
}

static void join(pm_worker *w) {
    pm_error err = {0};
    if (pmi_taker_join(w->taker, &err) != PM_OK) {
        w->fatal = err;
    } else if (w->was_unfit) {
        pmi_logf(w->options->log, PM_LOG_INFO, "this worker can do its work again: it joins the group");
    }
}

static void withdraw(pm_worker *w, const char *why) {
    pm_error err = {0};
    w->was_unfit = true;
    pmi_logf(w->options->log, PM_LOG_WARNING,
             "this worker has not been able to do its work for %g s: %s; other workers get its partitions until it can",
             UNFIT_SECONDS, why);
    if (pmi_taker_withdraw(w->taker, &err) != PM_OK) {
        w->fatal = err;
    }
}

void pmi_worker_judge_fitness(pm_worker *w, double now) {
    if (w->is_leaving || w->fatal.code != PM_OK) {
        return;
    }
    if (pmi_slots_fit(&w->slots) > 0) {
        w->slots_fit = now;
    }
    if (pmi_taker_is_joined(w->taker)) {
        const char *why = why_unfit(w, now - UNFIT_SECONDS);
        if (why != NULL) {
            withdraw(w, why);
        }
        return;
    }
    bool is_fit = w->link.is_up && w->slots_fit == now && w->beaten > w->link.up_since;
    if (is_fit) {
        join(w);
    } else if (!w->was_unfit && now - w->begun > UNFIT_SECONDS) {
        const char *why = why_unfit(w, now - UNFIT_SECONDS);
        withdraw(w, why != NULL ? why : "it has not begun");
    }
}
