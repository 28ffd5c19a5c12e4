#include <string.h>

#include "base/clock.h"
#include "worker/state.h"

#define RETRY_LEAST 0.1
#define RETRY_MOST 5.0
#define SETTLED_SECONDS 20.0 /* up, until it is said to be back */

void pmi_link_init(pm_link *link, uint64_t seed) {
    *link = (pm_link){.away_since = pmi_seconds()};
    pmi_backoff_init(&link->backoff, RETRY_LEAST, RETRY_MOST, seed);
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
