#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/retry.h"

typedef struct sink {
    int lines;
    pm_log_level level;
    char text[PM_ERROR_TEXT];
} sink;

static void keep(void *ctx, pm_log_level level, const char *text) {
    sink *s = ctx;
    s->lines++;
    s->level = level;
    strcpy(s->text, text);
}

Test(retry, waits_double_up_to_the_most) {
    pm_backoff b;
    pmi_backoff_init(&b, 0.5, 4.0, 1);
    const double tops[] = {0.5, 1.0, 2.0, 4.0, 4.0};
    for (int i = 0; i < 5; i++) {
        double wait = pmi_backoff_next(&b);
        cr_expect(wait >= tops[i] / 2 && wait < tops[i], "%d: %g", i, wait);
    }
    pmi_backoff_reset(&b);
    cr_expect_lt(pmi_backoff_next(&b), 0.5);
    /* two that start together do not stay together */
    pm_backoff other;
    pmi_backoff_init(&b, 0.5, 4.0, 7);
    pmi_backoff_init(&other, 0.5, 4.0, 8);
    cr_expect(pmi_backoff_next(&b) != pmi_backoff_next(&other));
}

Test(retry, which_faults_pass) {
    cr_expect(pmi_is_transient(PM_EUNAVAILABLE));
    cr_expect(pmi_is_transient(PM_ETEMPORARY));
    const pm_status lasting[] = {PM_OK, PM_EUSAGE, PM_EDATA, PM_ESOFTWARE, PM_EOSERR, PM_EPERMISSION, PM_ECONFIG};
    for (size_t i = 0; i < sizeof lasting / sizeof lasting[0]; i++) {
        cr_expect_not(pmi_is_transient(lasting[i]), "%d", (int)lasting[i]);
    }
}

Test(retry, one_line_for_each_change_of_state) {
    sink s = {0};
    const pm_log log = {.ctx = &s, .line = keep};
    pm_retry retry = pmi_retry_begin("Redis at h:1", INFINITY, NULL, NULL, &log);
    pm_error err;
    int tries = 0;
    pm_status st;
    do {
        st = ++tries < 4 ? pmi_fail(&err, PM_EUNAVAILABLE, "connection refused") : PM_OK;
        if (tries == 3) {
            cr_expect_eq(s.lines, 1);
            cr_expect_eq(s.level, PM_LOG_WARNING);
            cr_expect_str_eq(s.text, "waiting for Redis at h:1: connection refused");
        }
    } while (pmi_retry_again(&retry, st, &err));
    cr_expect_eq(st, PM_OK);
    cr_expect_eq(tries, 4);
    cr_expect_eq(s.lines, 2);
    cr_expect_eq(s.level, PM_LOG_INFO);
    cr_expect_eq(strncmp(s.text, "Redis at h:1 is back after ", 27), 0, "%s", s.text);
}

Test(retry, nothing_is_said_when_nothing_happens) {
    sink s = {0};
    const pm_log log = {.ctx = &s, .line = keep};
    pm_retry retry = pmi_retry_begin("x", 1.0, NULL, NULL, &log);
    cr_expect_not(pmi_retry_again(&retry, PM_OK, NULL));
    cr_expect_not(pmi_retry_again(&retry, PM_EDATA, NULL));
    cr_expect_eq(s.lines, 0);
}

Test(retry, patience_ends) {
    pm_error err;
    double begin = pmi_seconds();
    pm_retry retry = pmi_retry_begin("x", 0.3, NULL, NULL, NULL);
    pm_status st;
    do {
        st = pmi_fail(&err, PM_ETEMPORARY, "full");
    } while (pmi_retry_again(&retry, st, &err));
    double took = pmi_seconds() - begin;
    cr_expect_eq(st, PM_ETEMPORARY);
    cr_expect_eq(strncmp(err.text, "waited 0.", 9), 0, "%s", err.text);
    cr_expect(strstr(err.text, " s for x: full") != NULL, "%s", err.text);
    cr_expect(took >= 0.3 && took < 2.0, "%g", took);
    retry = pmi_retry_begin("x", 0.0, NULL, NULL, NULL);
    cr_expect_not(pmi_retry_again(&retry, PM_ETEMPORARY, NULL));
}

static bool stop_at_third(void *ctx) {
    return ++*(int *)ctx >= 3;
}

Test(retry, stops_when_told) {
    int looks = 0;
    double begin = pmi_seconds();
    pm_retry retry = pmi_retry_begin("x", INFINITY, stop_at_third, &looks, NULL);
    while (pmi_retry_again(&retry, PM_EUNAVAILABLE, NULL)) {
    }
    cr_expect_geq(looks, 3);
    cr_expect_lt(pmi_seconds() - begin, 2.0);
}

/* Several that wait for one server say so once, and say that it is back once, at the end of it all. */
Test(retry, a_shared_outage_is_one) {
    sink s = {0};
    const pm_log log = {.ctx = &s, .line = keep};
    pm_outage outage = {0};
    pm_error err;
    for (int turn = 0; turn < 3; turn++) {
        pm_retry retry = pmi_retry_begin("Redis", 10.0, NULL, NULL, &log);
        retry.outage = &outage;
        int tries = 0;
        pm_status st;
        do {
            st = ++tries < 2 ? pmi_fail(&err, PM_ETEMPORARY, "full") : PM_OK;
        } while (pmi_retry_again(&retry, st, &err));
        cr_expect_eq(st, PM_OK);
        cr_expect_eq(s.lines, 1, "turn %d", turn);
    }
    pmi_outage_end(&outage, &log);
    cr_expect_eq(s.lines, 2);
    cr_expect_eq(strncmp(s.text, "Redis is back after ", 20), 0, "%s", s.text);
    pmi_outage_end(&outage, &log);
    cr_expect_eq(s.lines, 2);
    /* one that never answered is not back */
    pm_retry retry = pmi_retry_begin("Redis", 0.1, NULL, NULL, &log);
    retry.outage = &outage;
    while (pmi_retry_again(&retry, PM_ETEMPORARY, NULL)) {
    }
    pmi_outage_end(&outage, &log);
    cr_expect_eq(s.lines, 3);
    cr_expect_eq(s.level, PM_LOG_WARNING);
}

/* Fails twice with each of these texts, each time for another caller, and then is well. */
static void fail_with(pm_outage *outage, const pm_log *log, const char *const *texts, size_t n) {
    pm_error err;
    for (size_t turn = 0; turn < 2 * n; turn++) {
        pm_retry retry = pmi_retry_begin("Kafka or Redis", 10.0, NULL, NULL, log);
        retry.outage = outage;
        bool is_first = true;
        pm_status st;
        do {
            st = is_first ? pmi_fail(&err, PM_ETEMPORARY, "%s", texts[turn % n]) : PM_OK;
            is_first = false;
        } while (pmi_retry_again(&retry, st, &err));
    }
}

/* Whoever waits for a broker that moved, and then for a full Redis, must be told of the second too. */
Test(retry, each_reason_is_said_once) {
    sink s = {0};
    const pm_log log = {.ctx = &s, .line = keep};
    pm_outage outage = {0};
    fail_with(&outage, &log, (const char *const[]){"the broker moved", "Redis is full"}, 2);
    cr_expect_eq(s.lines, 2);
    cr_expect_str_eq(s.text, "waiting for Kafka or Redis: Redis is full");
    pmi_outage_end(&outage, &log);
    cr_expect_eq(s.lines, 3);
    fail_with(&outage, &log, (const char *const[]){"Redis is full"}, 1);
    cr_expect_eq(s.lines, 4, "a new outage is said anew");
}

Test(retry, reasons_are_bounded) {
    sink s = {0};
    const pm_log log = {.ctx = &s, .line = keep};
    pm_outage outage = {0};
    fail_with(&outage, &log, (const char *const[]){"a", "b", "c", "d", "e", ""}, 6);
    cr_expect_eq(s.lines, PM_OUTAGE_REASONS);
    char near[2][PM_OUTAGE_REASON_TEXT + 8];
    for (size_t i = 0; i < 2; i++) {
        memset(near[i], 'x', sizeof near[i] - 2);
        near[i][sizeof near[i] - 2] = (char)('0' + i);
        near[i][sizeof near[i] - 1] = 0;
    }
    pm_outage long_one = {0};
    fail_with(&long_one, &log, (const char *const[]){near[0], near[1]}, 2);
    cr_expect_eq(s.lines, PM_OUTAGE_REASONS + 1);
}

Test(deadline, what_is_left) {
    const pm_deadline none = {0}, five = pmi_deadline_in(5.0), over = {.begun = 1.0, .at = pmi_seconds() - 1.0};
    cr_expect(isinf(pmi_deadline_left(&none)));
    cr_expect(isinf(pmi_deadline_left(&(pm_deadline){.begun = pmi_seconds()})));
    cr_expect(pmi_deadline_left(&five) > 4.0 && pmi_deadline_left(&five) <= 5.0);
    cr_expect_eq(pmi_deadline_left(&over), 0.0);
    cr_expect_eq(pmi_deadline_within(&none, 3.0, 0.1), 3.0);
    cr_expect_eq(pmi_deadline_within(&five, 3.0, 0.1), 3.0);
    cr_expect(pmi_deadline_within(&five, 30.0, 0.1) <= 5.0);
    cr_expect_eq(pmi_deadline_within(&over, 30.0, 0.1), 0.1);
}
