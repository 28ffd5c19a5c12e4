#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "redis/traces.h"
#include "redis_fixture.h"
#include "units/job_state.h"

/* A job of six items in three units: the first has ended and its traces are there, the second has begun twice, the
 * third shares an item with the second; and a slice of results that is not there. */
typedef struct submitted {
    redis_fixture d;
    uint8_t job[PM_DIGEST_BYTES], items[6][PM_DIGEST_BYTES], units[4][PM_DIGEST_BYTES], slice[PM_DIGEST_BYTES];
} submitted;

static void open_job(redis_fixture *dp, uint64_t number, uint64_t items, uint64_t known) {
    redis_fixture d = *dp;
    pm_job_message job = {.kind = pmi_span_of("record"),
                          .source = pmi_span_of("graph.json"),
                          .states = 100,
                          .items = items,
                          .known = known,
                          .units = 3};
    fixture_key(number, job.job);
    MUST(pmi_board_open_job(d.r, &job, &d.err));
}

static void place(submitted *s, size_t unit, const char *kind, const uint8_t *items, size_t n) {
    redis_fixture d = s->d;
    pm_unit_record record = {
        .kind = pmi_span_of(kind), .partition = unit, .offset = 10, .items = {items, n * PM_DIGEST_BYTES}};
    memcpy(record.unit, s->units[unit], PM_DIGEST_BYTES);
    memcpy(record.job, s->job, PM_DIGEST_BYTES);
    MUST(pmi_board_place(d.r, &record, 1, true, &d.err));
}

static void store(redis_fixture *dp, const char *space, const uint8_t *digest) {
    redis_fixture d = *dp;
    static const uint8_t bytes[] = {1, 2, 3};
    pm_blob_item item = {.bytes = bytes, .size = sizeof bytes};
    memcpy(item.digest, digest, PM_DIGEST_BYTES);
    MUST(pmi_blob_put(d.r, space, &item, 1, false, &d.err));
}

static void submit(submitted *s) {
    redis_fixture_begin(&s->d);
    fixture_key(1, s->job);
    fixture_key(50, s->slice);
    for (uint64_t i = 0; i < 6; i++) {
        fixture_key(100 + i, s->items[i]);
    }
    for (uint64_t i = 0; i < 4; i++) {
        fixture_key(200 + i, s->units[i]);
    }
    open_job(&s->d, 1, 6, 0);
    place(s, 0, "record", s->items[0], 2);
    place(s, 1, "record", s->items[2], 3);
    place(s, 2, "record", s->items[4], 2);
    place(s, 3, "evaluate", s->slice, 1);
    store(&s->d, PM_SPACE_TRACE, s->items[0]);
    store(&s->d, PM_SPACE_TRACE, s->items[1]);
}

static pm_outcome_message failed_unit(const submitted *s) {
    pm_outcome_message o = {.kind = pmi_span_of("record"),
                            .code = PM_EDATA,
                            .error = pmi_span_of("crashed\x1b[31m"),
                            .attempts = 3,
                            .scc = {s->items[3], PM_DIGEST_BYTES},
                            .worker = pmi_span_of("w1"),
                            .topic = pmi_span_of("phasemill.units"),
                            .partition = 1,
                            .offset = 10};
    memcpy(o.job, s->job, PM_DIGEST_BYTES);
    memcpy(o.unit, s->units[1], PM_DIGEST_BYTES);
    return o;
}

static pm_unit_view *unit_of(pm_job_view *view, const uint8_t *unit) {
    for (size_t i = 0; i < view->n_units; i++) {
        if (memcmp(view->units[i].unit, unit, PM_DIGEST_BYTES) == 0) {
            return &view->units[i];
        }
    }
    cr_assert_fail("the unit is not in the view");
    return NULL;
}

static void find(submitted *s, const char *text, pm_status status) {
    uint8_t job[PM_DIGEST_BYTES];
    cr_assert_eq(pmi_job_find(s->d.r, text, job, &s->d.err), status, "%s: %s", text, s->d.err.text);
    if (status == PM_OK) {
        cr_expect_eq(memcmp(job, s->job, sizeof job), 0);
    }
}

Test(job_state, is_found_by_its_id_or_the_beginning) {
    submitted s;
    char hex[PM_DIGEST_HEX], other[PM_DIGEST_HEX];
    uint8_t none[PM_DIGEST_BYTES];
    submit(&s);
    pmi_hex(s.job, hex);
    fixture_key(2, none);
    pmi_hex(none, other);
    find(&s, hex, PM_OK);
    find(&s, other, PM_ENOINPUT);
    hex[8] = other[8] = '\0';
    find(&s, hex, PM_OK);
    find(&s, other, PM_ENOINPUT);
    find(&s, "12345", PM_EUSAGE);
    find(&s, "no digits", PM_EUSAGE);
    redis_fixture_end(&s.d);
}

Test(job_state, a_running_job_is_found_with_its_workers) {
    submitted s;
    char hex[PM_DIGEST_HEX];
    uint8_t found[PM_DIGEST_BYTES];
    submit(&s);
    redis_fixture d = s.d;
    pm_running_unit running[2] = {{.kind = pmi_span_of("record"), .pid = 7, .attempt = 1, .items = 3}};
    memcpy(running[0].job, s.job, PM_DIGEST_BYTES);
    running[1] = running[0];
    pm_worker_message worker = {.id = pmi_span_of("host-1-a"),
                                .host = pmi_span_of("host"),
                                .version = pmi_span_of("0.1.0"),
                                .state = pmi_span_of("running"),
                                .slots = 2,
                                .units = {running, 2}};
    pmi_hex(s.job, hex);
    hex[10] = '\0';
    cr_expect_eq(pmi_job_find_running(d.r, hex, found, &d.err), PM_ENOINPUT);
    MUST(pmi_board_beat(d.r, &worker, &d.err));
    MUST(pmi_job_find_running(d.r, hex, found, &d.err));
    cr_expect_eq(memcmp(found, s.job, sizeof found), 0);
    running[1].job[31] ^= 1; /* another that begins so */
    MUST(pmi_board_beat(d.r, &worker, &d.err));
    cr_expect_eq(pmi_job_find_running(d.r, hex, found, &d.err), PM_EUSAGE);
    redis_fixture_end(&s.d);
}

Test(job_state, counts_what_is_missing_once) {
    submitted s;
    pm_job_view view;
    pm_attempt attempt;
    bool found;
    submit(&s);
    redis_fixture d = s.d;
    MUST(pmi_board_begin(d.r, s.job, s.units[1], &attempt, &d.err));
    MUST(pmi_board_begin(d.r, s.job, s.units[1], &attempt, &d.err));
    MUST(pmi_job_look(d.r, s.job, &view, &found, &d.err));
    cr_assert(found);
    cr_expect(view.items == 6 && view.missing == 4, "%llu missing", (unsigned long long)view.missing);
    cr_expect(view.slices == 1 && view.slices_missing == 1);
    cr_expect(view.n_units == 4 && view.n_open == 3);
    cr_expect_str_eq(pmi_job_state(&view), "running");
    cr_expect_str_eq(view.source, "graph.json");
    cr_expect_eq(unit_of(&view, s.units[0])->missing, 0u);
    cr_expect_eq(unit_of(&view, s.units[1])->missing, 3u);
    cr_expect_eq(unit_of(&view, s.units[2])->missing, 2u);
    MUST(pmi_job_look_closer(d.r, &view, 10, &d.err));
    const pm_unit_view *begun = unit_of(&view, s.units[1]);
    cr_expect(begun->begun == 2 && begun->faults == 0 && !begun->has_ended);
    pmi_job_view_free(&view);

    for (size_t i = 2; i < 6; i++) {
        store(&s.d, PM_SPACE_TRACE, s.items[i]);
    }
    store(&s.d, PM_SPACE_RESULT, s.slice);
    MUST(pmi_job_look(d.r, s.job, &view, &found, &d.err));
    cr_expect(view.missing == 0 && view.slices_missing == 0 && view.n_open == 0);
    cr_expect_str_eq(pmi_job_state(&view), "done");
    pmi_job_view_free(&view);
    uint8_t none[PM_DIGEST_BYTES];
    fixture_key(9, none);
    MUST(pmi_job_look(d.r, none, &view, &found, &d.err));
    cr_expect_not(found);
    pmi_job_view_free(&view);
    redis_fixture_end(&s.d);
}

Test(job_state, failed_cancelled_and_unreadable) {
    submitted s;
    pm_job_view view;
    bool found;
    char key[PM_REDIS_KEY], command[400], scc[PM_DIGEST_HEX];
    submit(&s);
    redis_fixture d = s.d;
    MUST(pmi_board_cancel(d.r, s.job, &d.err));
    MUST(pmi_job_look(d.r, s.job, &view, &found, &d.err));
    cr_expect_str_eq(pmi_job_state(&view), "cancelled");
    pmi_job_view_free(&view);

    const pm_outcome_message outcome = failed_unit(&s);
    MUST(pmi_board_end(d.r, &outcome, 3, &d.err));
    MUST(pmi_job_look(d.r, s.job, &view, &found, &d.err));
    cr_expect_str_eq(pmi_job_state(&view), "failed");
    cr_expect(strncmp(view.failure, "crashed", 7) == 0);
    pmi_hex(s.items[3], scc);
    cr_expect(strstr(view.failure_place, scc) != NULL && strstr(view.failure_place, "3 attempts") != NULL, "%s",
              view.failure_place);
    pmi_job_view_free(&view);

    (void)pmi_redis_key(d.r, "job", s.job, key);
    (void)snprintf(command, sizeof command, "SET %s nonsense EX 100", key);
    (void)redis_server_tell(&s.d.server, command);
    MUST(pmi_job_look(d.r, s.job, &view, &found, &d.err));
    cr_expect(found);
    cr_expect_str_eq(pmi_job_state(&view), "unreadable");
    cr_expect_not_null(strstr(view.fault, key), "%s", view.fault);
    pmi_job_view_free(&view);
    redis_fixture_end(&s.d);
}

Test(job_state, many_at_a_glance) {
    submitted s;
    pm_job_view views[4];
    uint8_t jobs[4][PM_DIGEST_BYTES];
    size_t n = 0;
    char key[PM_REDIS_KEY], command[400];
    submit(&s);
    redis_fixture d = s.d;
    for (uint64_t i = 0; i < 4; i++) {
        fixture_key(1 + i, jobs[i]);
    }
    open_job(&s.d, 2, 5, 5);
    open_job(&s.d, 4, 8, 1);
    MUST(pmi_board_known(d.r, jobs[1], 5, &d.err));
    const pm_outcome_message outcome = failed_unit(&s);
    MUST(pmi_board_end(d.r, &outcome, 3, &d.err));
    (void)pmi_redis_key(d.r, "job", jobs[3], key);
    (void)snprintf(command, sizeof command, "SET %s nonsense EX 100", key);
    (void)redis_server_tell(&s.d.server, command);
    MUST(pmi_jobs_glance(d.r, (const uint8_t(*)[PM_DIGEST_BYTES])jobs, 4, views, &n, &d.err));
    cr_assert_eq(n, 3u); /* the third is not there */
    cr_expect_str_eq(pmi_job_state(&views[0]), "failed");
    cr_expect(views[0].is_counted && views[0].n_units == 4, "%zu units", views[0].n_units);
    cr_expect_str_eq(pmi_job_state(&views[1]), "done");
    cr_expect_str_eq(pmi_job_state(&views[2]), "unreadable");
    redis_fixture_end(&s.d);
}
