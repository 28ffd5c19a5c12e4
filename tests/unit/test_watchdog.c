/* The watchdog, with an end that only takes note. Each test is a process of its own. */
#include <criterion/criterion.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "worker/watchdog.h"

typedef struct note {
    atomic_int ends, code;
    _Atomic double when;
    char why[64];
} note;

static void take_note(void *ctx, pm_status code, const char *why) {
    note *n = ctx;
    snprintf(n->why, sizeof n->why, "%s", why);
    atomic_store(&n->code, (int)code);
    atomic_store(&n->when, pmi_seconds());
    atomic_fetch_add(&n->ends, 1);
}

static pm_watchdog *start(note *n, double drain, double grace) {
    pm_watchdog_options options = {.drain_seconds = drain, .grace_seconds = grace, .end = take_note, .ctx = n};
    pm_watchdog *w;
    pm_error err;
    cr_assert_eq(pmi_watchdog_start(&options, &w, &err), PM_OK, "%s", err.text);
    return w;
}

static unsigned hear(pm_watchdog *w, unsigned count) {
    double until = pmi_seconds() + 5;
    int first;
    unsigned n = 0;
    while (n < count && pmi_seconds() < until) {
        struct pollfd fd = {.fd = pmi_watchdog_fd(w), .events = POLLIN};
        poll(&fd, 1, 100);
        n = pmi_watchdog_signals(w, &first);
    }
    return n;
}

static void wait_for_end(note *n, double seconds) {
    double until = pmi_seconds() + seconds;
    while (atomic_load(&n->ends) == 0 && pmi_seconds() < until) {
        usleep(10000);
    }
}

Test(watchdog, one_signal_gives_time_for_the_drain_and_then_ends) {
    note n = {0};
    int first;
    pm_watchdog *w = start(&n, 0.4, 0.2);
    cr_assert(isinf(pmi_watchdog_end(w)));
    double begun = pmi_seconds();
    kill(getpid(), SIGINT);
    cr_assert_eq(hear(w, 1), 1);
    cr_assert_eq(pmi_watchdog_signals(w, &first), 1);
    cr_assert_eq(first, SIGINT);
    cr_assert_float_eq(pmi_watchdog_end(w), begun + 0.6, 0.2);
    wait_for_end(&n, 5);
    cr_assert_eq(atomic_load(&n.ends), 1);
    cr_assert_geq(atomic_load(&n.when), begun + 0.59);
    cr_assert_eq(atomic_load(&n.code), PM_OK);
    pmi_watchdog_stop(w);
}

Test(watchdog, a_second_signal_ends_after_the_grace_and_a_third_at_once) {
    note n = {0};
    pm_watchdog *w = start(&n, 100, 50);
    kill(getpid(), SIGTERM);
    cr_assert_eq(hear(w, 1), 1);
    kill(getpid(), SIGTERM);
    cr_assert_eq(hear(w, 2), 2);
    cr_assert_float_eq(pmi_watchdog_end(w), pmi_seconds() + 50, 5);
    cr_assert_eq(atomic_load(&n.ends), 0);
    kill(getpid(), SIGTERM);
    wait_for_end(&n, 5);
    cr_assert_eq(atomic_load(&n.ends), 1);
    cr_assert_str_eq(n.why, "a third signal");
    pmi_watchdog_stop(w);
}

Test(watchdog, the_earliest_end_counts_and_a_stopped_one_ends_nothing) {
    note n = {0};
    pm_watchdog *w = start(&n, 100, 1);
    double now = pmi_seconds();
    pmi_watchdog_arm(w, now + 60, PM_ECONFIG);
    pmi_watchdog_arm(w, now + 90, PM_ECONFIG);
    cr_assert_eq(pmi_watchdog_end(w), now + 60);
    pmi_watchdog_stop(w);
    cr_assert_eq(atomic_load(&n.ends), 0);
    w = start(&n, 100, 1);
    pmi_watchdog_arm(w, pmi_seconds() + 0.1, PM_ECONFIG);
    wait_for_end(&n, 5);
    cr_assert_eq(atomic_load(&n.code), PM_ECONFIG);
    pmi_watchdog_stop(w);
    pmi_watchdog_stop(NULL);
}

Test(watchdog, what_is_under_way_has_a_limit_that_can_be_lifted) {
    note n = {0};
    pm_watchdog *w = start(&n, 100, 1);
    pmi_watchdog_limit(w, pmi_seconds() + 60, PM_EOSERR, "slow");
    pmi_watchdog_limit(w, INFINITY, PM_OK, NULL);
    cr_assert(isinf(pmi_watchdog_end(w)));
    usleep(50000);
    cr_assert_eq(atomic_load(&n.ends), 0);
    pmi_watchdog_limit(w, pmi_seconds() + 0.1, PM_EOSERR, "slow");
    wait_for_end(&n, 5);
    cr_assert_eq(atomic_load(&n.code), PM_EOSERR);
    cr_assert_str_eq(n.why, "slow");
    pmi_watchdog_stop(w);
}
