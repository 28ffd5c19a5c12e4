#include <criterion/criterion.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "worker/slots.h"

#define TEXT 256

/* ---- a child that does as the first letter of its task says ---- */

static bool take(int fd, void *bytes, size_t n) {
    size_t got = 0;
    while (got < n) {
        ssize_t one = read(fd, (char *)bytes + got, n - got);
        if (one <= 0) {
            return false;
        }
        got += (size_t)one;
    }
    return true;
}

static int act(void *ctx, size_t slot, int fd) {
    pm_progress_page *page = &((pm_progress_page *)ctx)[slot];
    pm_task_head head;
    while (take(fd, &head, sizeof head)) {
        char *value = malloc(head.size + 1);
        if (value == NULL || !take(fd, value, head.size)) {
            return 1;
        }
        pm_answer answer = {.result = {.items = head.size, .recorded = slot}, .status = PM_OK};
        uint8_t scc[PM_DIGEST_BYTES] = {7};
        pmi_progress_page_begin(page, 5);
        pmi_progress_page_item(page, 3, scc);
        pmi_progress_page_phase(page, PM_PHASE_COMPUTE);
        switch (value[0]) {
        case 'e': /* an error */
            answer.status = PM_EDATA;
            snprintf(answer.text, sizeof answer.text, "of %s", head.kind);
            break;
        case 'a':
            raise(SIGUSR2);
            break;
        case 'x':
            return 3;
        case 's': /* never ends */
            for (;;) {
                pause();
            }
        case 'w': /* waits, and computes nothing */
            pmi_progress_page_phase(page, PM_PHASE_FETCH);
            nanosleep(&(struct timespec){.tv_nsec = 400000000}, NULL);
            break;
        case 'q': /* the same, and says so */
            pmi_progress_page_phase(page, PM_PHASE_FETCH);
            for (int i = 0; i < 20; i++) {
                pmi_progress_page_sign(page);
                nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
            }
            break;
        case 'b': /* works, and does not compute */
            pmi_progress_page_phase(page, PM_PHASE_FETCH);
            for (;;) {
            }
        case 'n': /* no answer */
            answer.status = 12345;
            break;
        default:
            break;
        }
        free(value);
        pmi_progress_page_phase(page, PM_PHASE_IDLE);
        answer.seconds = pmi_progress_page_computed(page);
        if (write(fd, &answer, sizeof answer) != (ssize_t)sizeof answer) {
            return 1;
        }
    }
    return 0;
}

/* ---- the fixture ---- */

typedef struct job {
    bool has_ended;
    pm_ending ending;
    char text[TEXT];
    void *fixture;
} job;

typedef struct fixture {
    pm_progress_page *pages;
    pm_slots slots;
    size_t n_ended;
    int errors;
} fixture;

static void count_errors(void *ctx, pm_log_level level, const char *text) {
    (void)text;
    ((fixture *)ctx)->errors += level == PM_LOG_ERROR;
}

static void open_desk(fixture *d, size_t n, double unit_seconds, pm_log *log) {
    pm_error err;
    *d = (fixture){0};
    *log = (pm_log){.ctx = d, .line = count_errors};
    cr_assert_eq(pmi_pages_new(n, &d->pages, &err), PM_OK, "%s", err.text);
    cr_assert_eq(pmi_slots_start(n, d->pages, act, d->pages, unit_seconds, log, &d->slots, &err), PM_OK, "%s",
                 err.text);
}

static void close_desk(fixture *d, size_t n) {
    pmi_slots_stop(&d->slots);
    pmi_pages_free(d->pages, n);
}

static void ended(void *ctx, const pm_ending *ending) {
    fixture *d = ctx;
    job *j = ending->unit;
    cr_assert_not(j->has_ended, "a unit ended twice");
    j->has_ended = true;
    j->ending = *ending;
    snprintf(j->text, sizeof j->text, "%s", ending->text == NULL ? "" : ending->text);
    d->n_ended++;
}

static void turn(fixture *d) {
    struct pollfd fds[16];
    pm_error err;
    pmi_slots_poll(&d->slots, fds);
    double due = pmi_slots_due(&d->slots, pmi_seconds(), 0.1);
    poll(fds, (nfds_t)d->slots.n + 1, (int)ceil(due * 1000));
    cr_assert_eq(pmi_slots_serve(&d->slots, pmi_seconds(), ended, d, &err), PM_OK, "%s", err.text);
}

static size_t wait_idle(fixture *d) {
    double limit = pmi_seconds() + 20;
    while (pmi_slots_idle(&d->slots) == d->slots.n) {
        cr_assert(pmi_seconds() < limit, "no child became idle");
        turn(d);
    }
    return pmi_slots_idle(&d->slots);
}

static void give(fixture *d, job *j, const char *value, size_t n) {
    pm_task_head head = {.size = n, .kind = "probe"};
    *j = (job){0};
    pmi_slots_give(&d->slots, wait_idle(d), &head, (pm_span){(const uint8_t *)value, n}, j);
}

static void wait_end(fixture *d, const job *j) {
    double limit = pmi_seconds() + 20;
    while (!j->has_ended) {
        cr_assert(pmi_seconds() < limit, "the unit does not end");
        turn(d);
    }
}

static job run_one(fixture *d, const char *value) {
    job j;
    give(d, &j, value, strlen(value));
    wait_end(d, &j);
    return j;
}

/* ---- tests ---- */

Test(slots, answers_come_back_to_their_units) {
    fixture d;
    pm_log log;
    open_desk(&d, 3, 10, &log);
    job jobs[40];
    size_t n = sizeof jobs / sizeof jobs[0];
    static const char values[] = "iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii";
    for (size_t i = 0; i < n; i++) {
        give(&d, &jobs[i], values, i + 1);
    }
    for (size_t i = 0; i < n; i++) {
        wait_end(&d, &jobs[i]);
        cr_assert_eq(jobs[i].ending.how, PM_ENDED_ANSWER);
        cr_assert_eq(jobs[i].ending.answer.status, (uint32_t)PM_OK);
        cr_assert_eq(jobs[i].ending.answer.result.items, i + 1);
    }
    cr_assert_eq(d.n_ended, n);
    cr_assert_eq(d.errors, 0);
    close_desk(&d, 3);
}

Test(slots, large_units_go_in_pieces) {
    fixture d;
    pm_log log;
    open_desk(&d, 1, 10, &log);
    size_t n = (size_t)8 << 20;
    char *value = malloc(n);
    cr_assert_not_null(value);
    memset(value, 'i', n);
    job j;
    give(&d, &j, value, n);
    cr_assert_eq(pmi_slots_busy(&d.slots), 1);
    wait_end(&d, &j);
    cr_assert_eq(j.ending.answer.result.items, n);
    free(value);
    close_desk(&d, 1);
}

Test(slots, errors_are_answers) {
    fixture d;
    pm_log log;
    open_desk(&d, 1, 10, &log);
    job j = run_one(&d, "e");
    cr_assert_eq(j.ending.how, PM_ENDED_ANSWER);
    cr_assert_eq(j.ending.answer.status, (uint32_t)PM_EDATA);
    cr_assert_str_eq(j.ending.answer.text, "of probe");
    close_desk(&d, 1);
}

Test(slots, a_death_is_a_fault_with_its_reason_and_scc) {
    fixture d;
    pm_log log;
    open_desk(&d, 2, 10, &log);
    job j = run_one(&d, "a");
    cr_assert_eq(j.ending.how, PM_ENDED_FAULT);
    cr_assert(strstr(j.text, "killed by signal 12") != NULL, "%s", j.text);
    cr_assert_eq(j.ending.answer.result.has_scc, 1u);
    cr_assert_eq(j.ending.answer.result.scc[0], 7);
    j = run_one(&d, "x");
    cr_assert_eq(j.ending.how, PM_ENDED_FAULT);
    cr_assert(strstr(j.text, "ended with status 3") != NULL, "%s", j.text);
    j = run_one(&d, "i");
    cr_assert_eq(j.ending.how, PM_ENDED_ANSWER);
    close_desk(&d, 2);
}

Test(slots, a_fault_follows_the_unit_and_not_its_neighbour) {
    fixture d;
    pm_log log;
    open_desk(&d, 2, 10, &log);
    job waiting, crashing;
    give(&d, &waiting, "w", 1);
    give(&d, &crashing, "a", 1);
    wait_end(&d, &crashing);
    cr_assert_eq(crashing.ending.how, PM_ENDED_FAULT);
    wait_end(&d, &waiting);
    cr_assert_eq(waiting.ending.how, PM_ENDED_ANSWER);
    close_desk(&d, 2);
}

Test(slots, computing_too_long_is_a_fault_waiting_is_none) {
    fixture d;
    pm_log log;
    open_desk(&d, 1, 0.2, &log);
    double begin = pmi_seconds();
    job j = run_one(&d, "s");
    double seconds = pmi_seconds() - begin;
    cr_assert_eq(j.ending.how, PM_ENDED_FAULT);
    cr_assert(strstr(j.text, "overran its 0.2 seconds") != NULL, "%s", j.text);
    cr_assert(j.ending.answer.seconds >= 0.2);
    cr_assert(seconds < 10, "%g", seconds);
    j = run_one(&d, "w");
    cr_assert_eq(j.ending.how, PM_ENDED_ANSWER);
    cr_assert(j.ending.answer.seconds < 0.2);
    close_desk(&d, 1);
}

Test(slots, a_dismissed_unit_ends_as_such) {
    fixture d;
    pm_log log;
    pm_error err;
    open_desk(&d, 1, 10, &log);
    job j;
    give(&d, &j, "s", 1);
    cr_assert_eq(pmi_slots_dismiss(&d.slots, &j, &err), PM_OK);
    wait_end(&d, &j);
    cr_assert_eq(j.ending.how, PM_ENDED_DISMISSED);
    cr_assert_eq(run_one(&d, "i").ending.how, PM_ENDED_ANSWER);
    close_desk(&d, 1);
}

Test(slots, a_child_that_was_dead_before_its_unit_is_not_the_units_fault) {
    fixture d;
    pm_log log;
    open_desk(&d, 1, 10, &log);
    size_t slot = wait_idle(&d);
    pid_t child = d.slots.slots[slot].pid;
    kill(child, SIGSTOP); /* it will read nothing before it dies */
    job j = {0};
    pm_task_head head = {.size = 1, .kind = "probe"};
    pmi_slots_give(&d.slots, slot, &head, (pm_span){(const uint8_t *)"i", 1}, &j);
    kill(child, SIGKILL);
    wait_end(&d, &j);
    cr_assert_eq(j.ending.how, PM_ENDED_UNBEGUN);
    close_desk(&d, 1);
}

Test(slots, nonsense_is_no_answer) {
    fixture d;
    pm_log log;
    open_desk(&d, 1, 10, &log);
    job j = run_one(&d, "n");
    cr_assert_eq(j.ending.how, PM_ENDED_FAULT);
    cr_assert(strstr(j.text, "a malformed reply") != NULL, "%s", j.text);
    cr_assert_eq(d.errors, 1);
    cr_assert_eq(run_one(&d, "i").ending.how, PM_ENDED_ANSWER);
    close_desk(&d, 1);
}

static int die_at_once(void *ctx, size_t slot, int fd) {
    (void)ctx, (void)slot, (void)fd;
    return 9;
}

Test(slots, children_that_cannot_live_are_not_forked_in_a_hurry) {
    fixture d = {0};
    pm_error err;
    cr_assert_eq(pmi_pages_new(1, &d.pages, &err), PM_OK);
    cr_assert_eq(pmi_slots_start(1, d.pages, die_at_once, NULL, 10, NULL, &d.slots, &err), PM_OK);
    double end = pmi_seconds() + 1;
    size_t births = 0;
    pid_t last = 0;
    while (pmi_seconds() < end) {
        turn(&d);
        if (d.slots.slots[0].pid != 0 && d.slots.slots[0].pid != last) {
            last = d.slots.slots[0].pid;
            births++;
        }
    }
    cr_assert(births <= 6, "%zu children in a second", births);
    cr_assert(d.slots.slots[0].misses >= 2);
    cr_assert_eq(pmi_slots_fit(&d.slots), 0);
    close_desk(&d, 1);
}

/* Stopped before it looks at its unit, or doing nothing while it prepares it, it is killed; one that says that it waits
 * is not. */
Test(slots, a_child_without_a_sign_of_life_is_missed) {
    fixture d;
    pm_log log;
    job j;
    open_desk(&d, 1, 1000, &log);
    d.slots.quiet_seconds = 0.2;
    wait_idle(&d);
    cr_assert_eq(pmi_slots_fit(&d.slots), 1);
    kill(d.slots.slots[0].pid, SIGSTOP);
    j = run_one(&d, "i");
    cr_assert_eq(j.ending.how, PM_ENDED_UNBEGUN);
    cr_assert_not_null(strstr(j.text, "no sign of life"), "%s", j.text);
    j = run_one(&d, "w");
    cr_assert_eq(j.ending.how, PM_ENDED_FAULT);
    cr_assert_not_null(strstr(j.text, "no sign of life"), "%s", j.text);
    j = run_one(&d, "q");
    cr_assert_eq(j.ending.how, PM_ENDED_ANSWER);
    close_desk(&d, 1);
}

/* Work outside of computing counts as a sign, and is limited too. */
Test(slots, a_unit_may_not_be_prepared_for_ever) {
    fixture d;
    pm_log log;
    open_desk(&d, 1, 2.5, &log);
    d.slots.quiet_seconds = 2.0;
    double begun = pmi_seconds();
    job j = run_one(&d, "b");
    cr_assert_eq(j.ending.how, PM_ENDED_FAULT);
    cr_assert_not_null(strstr(j.text, "at one thing for 2.5 s"), "%s", j.text);
    cr_assert_geq(pmi_seconds() - begun, 2.5);
    close_desk(&d, 1);
}
