#include "worker/worker.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "worker/state.h"

/* Units of one partition done or in hand beyond the committed offset: how far others may run ahead of a slow one. */
#define TAKER_WINDOW 4096
/* The loop's own commands to Redis may not keep it from Kafka for longer. */
#define REDIS_SECONDS 1.0
#define DEAD_LETTER_SECONDS 30.0 /* also of an event */
/* Without anything to do the loop turns so often: Kafka wants to be polled. */
#define TURN_SECONDS 0.5
/* While a dead letter is under way, its report is looked for so often. */
#define LETTER_SECONDS 0.01
/* What leaving may take beyond the deadline: for what only Redis and Kafka still have to be told, and in all. */
#define GIVE_BACK_SECONDS 0.7
#define GRACE_SECONDS 2.0
/* What the end takes after the group was left, or was not. */
#define CLOSE_MARGIN 0.3
/* Rounds of taking units before the loop looks at all else again. */
#define ROUNDS 16
#define FLUSH_SECONDS 5.0
/* What making the handles may take: it connects to nothing. */
#define OPEN_SECONDS 20.0
#define CLOSE_SECONDS 10.0
#define FAILED_CLOSE_SECONDS 5.0 /* of a worker that ends by an error */
/* How much longer than idle_seconds a worker waits that has never owned a partition: joining takes its time. */
#define JOIN_SECONDS 15.0

/* ---- opening and closing ---- */

static pm_status start_children(pm_worker *w, pm_error *err) {
    const pm_worker_options *o = w->options;
    pm_progress_page *pages = NULL;
    pm_isa isa;
    PM_TRY(pmi_isa_choose(o->isa, &isa, err));
    PM_TRY(pmi_pages_new(o->slots, &pages, err));
    w->child = (pm_child_options){.redis = o->redis,
                                  .worker = o->id,
                                  .cache_dir = o->cache_dir,
                                  .cache_limit = o->cache_limit,
                                  .isa = isa,
                                  .unit_memory = o->unit_memory,
                                  .pages = pages,
                                  .log = o->log};
    return pmi_slots_start(o->slots, pages, pmi_child_run, &w->child, o->unit_seconds, o->log, &w->slots, err);
}

static pm_status open_handles(pm_worker *w, pm_error *err) {
    const pm_worker_options *o = w->options;
    w->redis_options = *o->redis;
    w->redis_options.connect_seconds = fmin(o->redis->connect_seconds, REDIS_SECONDS);
    w->redis_options.command_seconds = fmin(o->redis->command_seconds, REDIS_SECONDS);
    PM_TRY(pmi_redis_open(&w->redis_options, o->log, &w->redis, err));
    /* silent: the taker tells when Kafka is away, and what is refused comes as an error */
    PM_TRY(pmi_sender_open(o->kafka, DEAD_LETTER_SECONDS, pmi_held_reported, w, NULL, &w->sender, err));
    return pmi_taker_open(o->kafka, TAKER_WINDOW, o->log, &w->taker, err);
}

/* Close it also after a failure. */
static pm_status open_worker(pm_worker *w, pm_error *err) {
    const pm_worker_options *o = w->options;
    const pm_watchdog_options watchdog = {
        .drain_seconds = o->drain_seconds, .grace_seconds = GRACE_SECONDS, .end = o->end, .ctx = o->ctx};
    pm_error why = {0};
    PM_TRY(start_children(w, err)); /* before any thread */
    PM_TRY(pmi_watchdog_start(&watchdog, &w->watchdog, err));
    if (gethostname(w->host, sizeof w->host - 1) != 0) {
        return pmi_fail(err, PM_EOSERR, "this machine has no name: %s", strerror(errno));
    }
    w->held = pmi_calloc(2 * o->slots, sizeof *w->held);
    w->fds = pmi_calloc(o->slots + 3, sizeof *w->fds);
    PM_TRY(w->held != NULL && w->fds != NULL ? PM_OK
                                             : pmi_fail_memory(err, "the units in hand", o->slots * sizeof *w->fds));
    /* librdkafka waits for ever for threads that it was refused */
    pmi_watchdog_limit(w->watchdog, pmi_seconds() + OPEN_SECONDS, PM_EOSERR,
                       "it could not begin; its memory (ulimit -v, the container's) or its processes and threads "
                       "(ulimit -u, pids.max) may be limited");
    pm_status st = open_handles(w, err);
    pmi_watchdog_limit(w->watchdog, INFINITY, PM_OK, NULL);
    PM_TRY(st);
    if (pmi_health_open(NULL, &w->health, &why) != PM_OK) {
        pmi_logf(o->log, PM_LOG_WARNING, "`phasemill worker check` will not see this worker: %s", why.text);
    }
    return PM_OK;
}

static void close_worker(pm_worker *w) {
    pm_progress_page *pages = w->child.pages;
    pmi_health_close(&w->health);
    pmi_sender_close(w->sender);
    pmi_redis_close(w->redis);
    if (w->slots.n > 0) {
        pmi_slots_stop(&w->slots);
    }
    pmi_pages_free(pages, w->options->slots);
    pmi_watchdog_stop(w->watchdog);
    free(w->held);
    free(w->fds);
}

/* ---- units in ---- */

/* Whether the message is of somebody who has the cluster's key, and is the unit of the job that its headers name. */
static pm_status open_seal(const pm_worker *w, pm_held *h, pm_error *err) {
    char name[PM_SEAL_NAME], job[PM_DIGEST_HEX], unit[PM_DIGEST_HEX];
    const pm_unit_headers *said = &h->unit_headers;
    const pm_redis_options *redis = w->options->redis;
    pm_span span = pmi_seal_unit_name(redis->prefix, said->job, said->unit, said->kind, name);
    pm_status st =
        pmi_seal_open(redis->seal, &pmi_unit_type, span, h->taken.value.bytes, h->taken.value.size, &h->value, err);
    if (st == PM_EDATA) {
        pmi_hex(said->job, job);
        pmi_hex(said->unit, unit);
        pmi_fail_prefix(err, "the message says that it is unit %s of job %s, and is not believed", unit, job);
    }
    return st;
}

/* Where there is a key, only a sealed message is believed about its job: any other must not make that fail. */
static pm_status disown(pm_held *h) {
    pm_error why = {0};
    if (pmi_unit_headers_disown(h->taken.message, &h->unit_headers, &why) != PM_OK) {
        h->error = why;
    }
    return why.code;
}

/* Where its way begins. Errors: PM_EOSERR, PM_ESOFTWARE. */
static pm_status judge(const pm_worker *w, pm_held *h) {
    const pm_redis_options *redis = w->options->redis;
    pm_status st = pmi_unit_headers_read(h->taken.message, &h->unit_headers, &h->error);
    bool is_heading_bad = st == PM_EDATA;
    if (st == PM_OK && h->unit_headers.redis_prefix[0] != '\0' &&
        strcmp(h->unit_headers.redis_prefix, redis->prefix) != 0) {
        h->step = PM_STEP_ASTRAY;
        return PM_OK;
    }
    PM_THEN(st, open_seal(w, h, &h->error));
    h->step = st == PM_OK ? PM_STEP_BEGIN : PM_STEP_BURY;
    if (st != PM_EDATA) {
        return st;
    }
    return is_heading_bad && redis->seal == NULL ? PM_OK : disown(h);
}

/* Keeps the unit, or gives it back when there is no memory for it. */
static void hold(pm_worker *w, pm_taken *taken) {
    pm_held *h = pmi_calloc(1, sizeof *h);
    if (h == NULL) {
        pmi_taker_drop(w->taker, taken);
        return;
    }
    h->taken = *taken;
    if (judge(w, h) != PM_OK) {
        pmi_held_log(w, h, PM_LOG_DEBUG, "given back: %s", h->error.text);
        pmi_taker_drop(w->taker, taken);
        free(h);
        return;
    }
    w->held[w->n_held++] = h;
}

static bool is_wanted(const pm_worker *w) {
    size_t max = w->options->max_units;
    return !w->is_leaving && w->link.is_up && w->n_held < 2 * w->slots.n && (max == 0 || w->over + w->n_held < max);
}

/* Returns whether a unit was taken. */
static bool take_units(pm_worker *w) {
    bool some = false, taken = true;
    while (w->fatal.code == PM_OK && taken && is_wanted(w)) {
        pm_taken unit;
        pm_error err = {0};
        if (pmi_taker_take(w->taker, &unit, &taken, &err) != PM_OK) {
            w->fatal = err;
        } else if (taken) {
            hold(w, &unit);
            some = true;
        }
    }
    return some;
}

static void hand_out(pm_worker *w) {
    for (size_t i = 0; i < w->n_held; i++) {
        pm_held *h = w->held[i];
        size_t slot = pmi_slots_idle(&w->slots);
        if (slot == w->slots.n) {
            return;
        }
        if (h->step == PM_STEP_READY) {
            pm_task_head head = {.size = h->value.size};
            memcpy(head.job, h->unit_headers.job, PM_DIGEST_BYTES);
            memcpy(head.unit, h->unit_headers.unit, PM_DIGEST_BYTES);
            memcpy(head.kind, h->unit_headers.kind, PM_KIND_NAME);
            h->step = PM_STEP_RUNNING;
            h->since = pmi_now();
            pmi_slots_give(&w->slots, slot, &head, h->value, h);
        }
    }
}

static void advance_all(pm_worker *w, double now) {
    for (size_t i = 0; i < w->n_held && w->fatal.code == PM_OK; i++) {
        pmi_held_advance(w, w->held[i], now);
        hand_out(w);
    }
    size_t kept = 0;
    for (size_t i = 0; i < w->n_held; i++) {
        if (w->held[i]->step == PM_STEP_GONE) {
            free(w->held[i]);
        } else {
            w->held[kept++] = w->held[i];
        }
    }
    w->n_held = kept;
}

/* Units that ended make room for others, which may end at once: whatever is at hand is taken before the loop waits, for
 * only what comes anew wakes it. Returns whether there may be more. */
static bool work_off(pm_worker *w, double now) {
    advance_all(w, now);
    for (size_t round = 0; round < ROUNDS; round++) {
        if (!take_units(w)) {
            return false;
        }
        advance_all(w, now);
    }
    return true;
}

/* ---- leaving ---- */

static void leave(pm_worker *w, double now, const char *why) {
    if (!w->is_leaving) {
        w->is_leaving = true;
        w->deadline = now + w->options->drain_seconds;
        pmi_watchdog_arm(w->watchdog, w->deadline + GRACE_SECONDS, PM_OK);
        w->next_beat = 0;
        pmi_taker_quiet(w->taker);
        pmi_logf(w->options->log, PM_LOG_INFO, "leaving: %s; %zu units in hand, at most %g s to finish what runs", why,
                 w->n_held, w->options->drain_seconds);
    }
}

static void dismiss_all(pm_worker *w, double now) {
    pm_error err = {0};
    w->is_dismissing = true;
    w->deadline = fmin(w->deadline, now);
    for (size_t i = 0; i < w->n_held; i++) {
        if (w->held[i]->step == PM_STEP_RUNNING && pmi_slots_dismiss(&w->slots, w->held[i], &err) != PM_OK) {
            w->fatal = err;
        }
    }
}

static void read_signals(pm_worker *w, double now) {
    int first;
    unsigned signals = pmi_watchdog_signals(w->watchdog, &first);
    if (signals > 0 && !w->is_leaving) {
        leave(w, now, first == SIGINT ? "SIGINT" : "SIGTERM");
    }
    if (signals > 1 && !w->is_dismissing) {
        pmi_logf(w->options->log, PM_LOG_WARNING, "a second signal: what runs is killed and given back");
        dismiss_all(w, now);
    }
}

static void look_whether_to_leave(pm_worker *w, double now) {
    const pm_worker_options *o = w->options;
    uint32_t partition;
    w->has_owned = w->has_owned || pmi_taker_partitions(w->taker, &partition, 1) > 0;
    double patience = o->idle_seconds + (w->has_owned ? 0 : JOIN_SECONDS);
    if (o->max_units > 0 && w->over >= o->max_units) {
        leave(w, now, "as many units as it was to do are done");
    } else if (o->idle_seconds > 0 && w->n_held == 0 && now - w->idle_since >= patience) {
        leave(w, now, "no unit for as long as it was to wait");
    }
    if (w->is_leaving && !w->is_dismissing && now >= w->deadline) {
        if (pmi_slots_busy(&w->slots) > 0) {
            pmi_logf(w->options->log, PM_LOG_WARNING,
                     "the deadline is over: %zu running units are killed and given back", pmi_slots_busy(&w->slots));
        }
        dismiss_all(w, now);
    }
}

static bool has_left(const pm_worker *w, double now) {
    return w->is_leaving && (w->n_held == 0 || now >= w->deadline + GIVE_BACK_SECONDS);
}

static double seconds_left(const pm_worker *w, double max) {
    return fmax(fmin(pmi_watchdog_end(w->watchdog) - pmi_seconds() - CLOSE_MARGIN, max), 0.1);
}

/* Lets go of what is left, tells everybody, and leaves the group, so that nobody waits for a session to run out. */
static void say_goodbye(pm_worker *w) {
    pm_error err = {0};
    pmi_watchdog_arm(w->watchdog,
                     pmi_seconds() + (w->is_leaving ? CLOSE_SECONDS + FLUSH_SECONDS : FAILED_CLOSE_SECONDS),
                     w->fatal.code);
    for (size_t i = 0; i < w->n_held; i++) {
        pm_held *h = w->held[i];
        if (h->is_begun && w->link.is_up && h->step != PM_STEP_END && h->step != PM_STEP_BURYING) {
            pmi_link_note(w, pmi_board_give_back(w->redis, h->unit_headers.unit, &err), &err);
        }
        pmi_taker_drop(w->taker, &h->taken);
        free(h);
    }
    w->n_held = 0;
    double flush = w->is_dismissing || w->fatal.code != PM_OK ? 1 : FLUSH_SECONDS;
    if (pmi_sender_flush(w->sender, seconds_left(w, 4 * flush) / 4, &err) != PM_OK) {
        pmi_logf(w->options->log, PM_LOG_DEBUG, "some events were not delivered: %s", err.text);
    }
    if (w->link.is_up && pmi_board_leave(w->redis, pmi_span_of(w->options->id), &err) != PM_OK) {
        pmi_logf(w->options->log, PM_LOG_DEBUG, "the heartbeat is left to expire: %s", err.text);
    }
    pmi_taker_close(w->taker, seconds_left(w, CLOSE_SECONDS));
    pmi_logf(w->options->log, PM_LOG_INFO, "left: %llu units done, %llu failed, %llu traces recorded, %llu known",
             (unsigned long long)w->done, (unsigned long long)w->failed, (unsigned long long)w->recorded,
             (unsigned long long)w->known);
}

/* ---- the loop ---- */

static double due(const pm_worker *w, double now) {
    double wait = w->has_more ? 0 : pmi_slots_due(&w->slots, now, TURN_SECONDS);
    for (size_t i = 0; i < w->n_held; i++) {
        const pm_held *h = w->held[i];
        if (h->step == PM_STEP_BURYING) {
            wait = fmin(wait, LETTER_SECONDS);
        } else if (h->not_before > now) {
            wait = fmin(wait, h->not_before - now);
        }
    }
    if (!w->link.is_up) {
        wait = fmin(wait, fmax(w->link.next_try - now, 0));
    }
    return w->is_leaving ? fmin(wait, LETTER_SECONDS * 2) : wait;
}

static void wait_for_news(pm_worker *w) {
    double now = pmi_seconds();
    w->fds[0] = (struct pollfd){.fd = pmi_watchdog_fd(w->watchdog), .events = POLLIN};
    w->fds[1] = (struct pollfd){.fd = pmi_taker_fd(w->taker), .events = POLLIN};
    pmi_slots_poll(&w->slots, w->fds + 2);
    int ms = (int)ceil(due(w, now) * 1000);
    if (poll(w->fds, (nfds_t)(w->slots.n + 3), ms) < 0 && errno != EINTR) {
        pmi_fail(&w->fatal, PM_EOSERR, "the worker cannot wait: %s", strerror(errno));
    }
}

static void turn(pm_worker *w) {
    double now = pmi_seconds();
    pm_error err = {0};
    read_signals(w, now);
    pmi_link_serve(w, now);
    if (w->fatal.code == PM_OK && pmi_taker_serve(w->taker, &err) != PM_OK) {
        w->fatal = err;
    }
    pmi_sender_poll(w->sender);
    if (pmi_sender_health(w->sender)->fatal.code == PM_EPERMISSION) {
        w->fatal = pmi_sender_health(w->sender)->fatal;
    }
    if (w->fatal.code == PM_OK && pmi_slots_serve(&w->slots, now, pmi_held_ended, w, &err) != PM_OK) {
        w->fatal = err;
    }
    w->has_more = work_off(w, now);
    if (w->n_held > 0 || !w->link.is_up || !pmi_taker_is_joined(w->taker) || pmi_taker_health(w->taker)->is_away) {
        w->idle_since = now;
    }
    pmi_worker_beat(w, now);
    pmi_worker_judge_fitness(w, pmi_seconds());
    pmi_health_beat(&w->health);
    look_whether_to_leave(w, now);
}

pm_status pmi_worker_run(const pm_worker_options *options, pm_error *err) {
    pm_worker w = {.options = options, .health.fd = -1};
    pm_status st = open_worker(&w, err);
    if (st == PM_OK) {
        w.started = pmi_now();
        w.begun = w.idle_since = pmi_seconds();
        pmi_link_init(&w.link, (uint64_t)getpid());
        pmi_logf(options->log, PM_LOG_INFO, "worker %s: %zu slots, kernels %s", options->id, options->slots,
                 pmi_isa_name(w.child.isa));
        while (w.fatal.code == PM_OK && !has_left(&w, pmi_seconds())) {
            turn(&w);
            if (w.fatal.code == PM_OK) {
                wait_for_news(&w);
            }
        }
        say_goodbye(&w);
        st = w.fatal.code;
        if (st != PM_OK) {
            *err = w.fatal;
        }
    }
    close_worker(&w);
    return st;
}
