/* Whether this worker can do its work. While it cannot, its partitions are better off with others: it leaves the group,
 * says so, and joins again once it can. */
#include "base/clock.h"
#include "worker/state.h"

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
