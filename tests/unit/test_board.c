#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "redis/board.h"
#include "redis_fixture.h"

static bool span_is(pm_span span, const char *text) {
    return span.size == strlen(text) && memcmp(span.bytes, text, span.size) == 0;
}

static pm_job_message job_of(uint64_t number, double created) {
    pm_job_message job = {.kind = pmi_span_of("record"),
                          .source = pmi_span_of("graph.json"),
                          .created = created,
                          .effort = 1,
                          .states = 100,
                          .items = 7,
                          .known = 3,
                          .units = 2,
                          .trace = pmi_span_of("00-11-22-01")};
    fixture_key(number, job.job);
    return job;
}

static pm_outcome_message outcome_of(uint64_t job, uint64_t unit, pm_status code, const char *text) {
    pm_outcome_message outcome = {.kind = pmi_span_of("record"),
                                  .code = (uint64_t)code,
                                  .error = pmi_span_of(text),
                                  .attempts = 3,
                                  .worker = pmi_span_of("w1"),
                                  .topic = pmi_span_of("phasemill.units"),
                                  .partition = 2,
                                  .offset = 17,
                                  .time = 1000.5,
                                  .seconds = 0.25};
    fixture_key(job, outcome.job);
    fixture_key(unit, outcome.unit);
    return outcome;
}

static void tell_key(redis_fixture *d, const char *verb, const char *space, uint64_t number, const char *rest) {
    char key[PM_REDIS_KEY], command[400];
    uint8_t digest[PM_DIGEST_BYTES];
    fixture_key(number, digest);
    (void)pmi_redis_key(d->r, space, digest, key);
    (void)snprintf(command, sizeof command, "%s %s%s", verb, key, rest);
    (void)redis_server_tell(&d->server, command);
}

/* ---- jobs ---- */

Test(board, jobs_there_and_back) {
    redis_fixture d;
    redis_fixture_begin(&d);
    const pm_job_message job = job_of(1, 1234.5);
    pm_job_message read;
    pm_stored note = {0};
    MUST(pmi_board_job(d.r, job.job, &read, &note, &d.err));
    cr_expect_not(note.found);
    MUST(pmi_board_open_job(d.r, &job, &d.err));
    for (int turn = 0; turn < 2; turn++) { /* a note may be used again */
        MUST(pmi_board_job(d.r, job.job, &read, &note, &d.err));
        cr_expect(note.found);
        cr_expect_eq(memcmp(read.job, job.job, PM_DIGEST_BYTES), 0);
        cr_expect(span_is(read.source, "graph.json") && span_is(read.trace, "00-11-22-01"));
        cr_expect_float_eq(read.created, pmi_now(), 60, "by the server's clock, not by ours");
        cr_expect_eq(read.units, 2);
    }
    pmi_stored_free(&note);
    cr_expect_eq(redis_server_tell(&d.server, "DBSIZE"), 3);
    redis_fixture_end(&d);
}

Test(board, opening_a_job_forgets_its_end) {
    redis_fixture d;
    redis_fixture_begin(&d);
    const pm_job_message job = job_of(1, 1.0);
    const pm_outcome_message failed = outcome_of(1, 5, PM_EDATA, "bad unit");
    pm_outcome_message read;
    pm_stored note = {0};
    bool cancelled[3];
    uint8_t jobs[3][PM_DIGEST_BYTES];
    for (uint64_t i = 0; i < 3; i++) {
        fixture_key(i % 2, jobs[i]);
    }
    MUST(pmi_board_open_job(d.r, &job, &d.err));
    MUST(pmi_board_cancel(d.r, job.job, &d.err));
    MUST(pmi_board_end(d.r, &failed, 1, &d.err));
    MUST(
        pmi_redis_exist(d.r, PM_SPACE_CANCELLED, (const uint8_t(*)[PM_DIGEST_BYTES])jobs, 3, false, cancelled, &d.err));
    cr_expect(!cancelled[0] && cancelled[1] && !cancelled[2]);
    MUST(pmi_board_failure(d.r, job.job, &read, &note, &d.err));
    cr_expect(note.found && span_is(read.error, "bad unit"));
    (void)redis_server_check_keys(&d.server);
    MUST(pmi_board_open_job(d.r, &job, &d.err));
    MUST(
        pmi_redis_exist(d.r, PM_SPACE_CANCELLED, (const uint8_t(*)[PM_DIGEST_BYTES])jobs, 3, false, cancelled, &d.err));
    cr_expect_not(cancelled[1]);
    MUST(pmi_board_failure(d.r, job.job, &read, &note, &d.err));
    cr_expect_not(note.found);
    pmi_stored_free(&note);
    redis_fixture_end(&d);
}

static size_t list_jobs(redis_fixture *dp, size_t most, uint64_t newest) {
    redis_fixture d = *dp;
    uint8_t(*jobs)[PM_DIGEST_BYTES];
    size_t n;
    MUST(pmi_board_jobs(d.r, most, &jobs, &n, &d.err));
    if (n > 0) {
        uint8_t expected[PM_DIGEST_BYTES];
        fixture_key(newest, expected);
        cr_expect_eq(memcmp(jobs[0], expected, PM_DIGEST_BYTES), 0);
    }
    free(jobs);
    return n;
}

Test(board, the_list_of_jobs) {
    enum { N = 1300 };
    redis_fixture d;
    redis_fixture_begin(&d);
    cr_expect_eq(list_jobs(&d, 10, 0), 0);
    for (uint64_t i = 0; i < N; i++) {
        const pm_job_message job = job_of(i, (double)i);
        MUST(pmi_board_open_job(d.r, &job, &d.err));
    }
    cr_expect_eq(list_jobs(&d, 10, N - 1), 10);
    cr_expect_eq(list_jobs(&d, SIZE_MAX, N - 1), N);
    /* records that ran out are passed over; a job that is forgotten leaves the list */
    tell_key(&d, "DEL", "job", N - 1, "");
    tell_key(&d, "DEL", "job", 20, "");
    cr_expect_eq(list_jobs(&d, SIZE_MAX, N - 2), N - 2);
    tell_key(&d, "DEL", "job", N - 2, "");
    cr_expect_eq(list_jobs(&d, SIZE_MAX, N - 3), N - 3);
    /* what is older than any record can be leaves the list at the next submit */
    const pm_job_message late = job_of(N, 1e12); /* a clock that is ahead takes nobody off the list */
    tell_key(&d, "ZADD test:jobs 1000", "", 0, "");
    MUST(pmi_board_open_job(d.r, &late, &d.err));
    cr_expect_eq(redis_server_tell(&d.server, "ZCARD test:jobs"), N + 1);
    cr_expect_eq(redis_server_tell(&d.server, "ZCOUNT test:jobs -inf 2000"), 0);
    cr_expect_eq(list_jobs(&d, SIZE_MAX, N), N - 2);
    redis_fixture_end(&d);
}

/* ---- units ---- */

static pm_unit_record unit_of(uint64_t number, uint64_t job, const uint8_t *items, size_t n_items) {
    pm_unit_record unit = {.kind = pmi_span_of("record"),
                           .cost = 100 + number,
                           .partition = number % 8,
                           .offset = (int64_t)number - 1,
                           .time = 5.0,
                           .items = {items, n_items * PM_DIGEST_BYTES}};
    fixture_key(number, unit.unit);
    fixture_key(job, unit.job);
    return unit;
}

typedef struct tally {
    size_t n, items;
    uint64_t cost;
    size_t fail_at;
} tally;

static pm_status count(void *ctx, const pm_unit_record *unit, pm_error *err) {
    tally *t = ctx;
    t->n++;
    t->items += unit->items.size / PM_DIGEST_BYTES;
    t->cost += unit->cost;
    return t->n == t->fail_at ? pmi_fail(err, PM_EUSAGE, "enough") : PM_OK;
}

Test(board, records_of_units) {
    enum { N = 1500 };
    redis_fixture d;
    redis_fixture_begin(&d);
    pm_unit_record *units = calloc(N, sizeof *units);
    uint8_t *items = calloc(100, PM_DIGEST_BYTES), job[PM_DIGEST_BYTES];
    uint64_t cost = 0;
    size_t n_items = 0;
    for (uint64_t i = 0; i < N; i++) {
        units[i] = unit_of(i, i % 3 == 0 ? 100000 : 200000, items, 1 + i % 100);
        cost += i % 3 == 0 ? units[i].cost : 0;
        n_items += i % 3 == 0 ? 1 + i % 100 : 0;
    }
    MUST(pmi_board_place(d.r, units, 0, true, &d.err));
    MUST(pmi_board_place(d.r, units, N, true, &d.err));
    MUST(pmi_board_place(d.r, units, N, false, &d.err)); /* once more changes nothing */
    fixture_key(100000, job);
    tally t = {0};
    MUST(pmi_board_units(d.r, job, count, &t, &d.err));
    cr_expect_eq(t.n, N / 3);
    cr_expect_eq(t.cost, cost);
    cr_expect_eq(t.items, n_items);
    t = (tally){.fail_at = 7};
    cr_expect_eq(pmi_board_units(d.r, job, count, &t, &d.err), PM_EUSAGE);
    cr_expect_eq(t.n, 7);
    /* a listed unit without record is not visited */
    tell_key(&d, "DEL", "unit", 3, "");
    t = (tally){0};
    MUST(pmi_board_units(d.r, job, count, &t, &d.err));
    cr_expect_eq(t.n, N / 3 - 1);
    cr_expect_eq(redis_server_check_keys(&d.server), N + 3);
    free(units);
    free(items);
    redis_fixture_end(&d);
}

/* What makes no sense is told of once, and costs what it was of. */
Test(board, damaged_records_are_passed_over) {
    redis_fixture d;
    redis_fixture_begin(&d);
    uint8_t items[PM_DIGEST_BYTES] = {0}, job[PM_DIGEST_BYTES];
    const pm_unit_record unit = unit_of(1, 2, items, 1);
    tally t = {0};
    fixture_key(2, job);
    MUST(pmi_board_place(d.r, &unit, 1, true, &d.err));
    tell_key(&d, "SETRANGE", "unit", 1, " 60 x");
    for (int turn = 0; turn < 2; turn++) {
        MUST(pmi_board_units(d.r, job, count, &t, &d.err));
        cr_expect_eq(d.server.folder.warnings, 1, "%s", d.server.folder.last_warning);
        cr_expect(strstr(d.server.folder.last_warning, "test:unit:{") != NULL, "%s", d.server.folder.last_warning);
    }
    /* the record of another unit */
    char command[600], from[PM_REDIS_KEY], to[PM_REDIS_KEY];
    const pm_unit_record other = unit_of(3, 4, items, 1);
    MUST(pmi_board_place(d.r, &other, 1, true, &d.err));
    (void)pmi_redis_key(d.r, "unit", other.unit, from);
    (void)pmi_redis_key(d.r, "unit", unit.unit, to);
    (void)snprintf(command, sizeof command, "COPY %s %s REPLACE", from, to);
    (void)redis_server_tell(&d.server, command);
    MUST(pmi_board_units(d.r, job, count, &t, &d.err));
    tell_key(&d, "SADD", "job-units", 2, " short");
    MUST(pmi_board_units(d.r, job, count, &t, &d.err));
    cr_expect_eq(t.n, 0);
    tell_key(&d, "DEL", "unit", 1, "");
    tell_key(&d, "LPUSH", "unit", 1, " x");
    MUST(pmi_board_units(d.r, job, count, &t, &d.err));
    cr_expect_eq(t.n, 0);
    MUST(pmi_board_place(d.r, &unit, 1, true, &d.err));
    MUST(pmi_board_units(d.r, job, count, &t, &d.err));
    cr_expect_eq(t.n, 1);
    /* a message that does not decode, and a key of another type */
    pm_job_message read;
    pm_stored note = {0};
    tell_key(&d, "SET", "job", 2, " nonsense EX 100");
    cr_expect_eq(pmi_board_job(d.r, job, &read, &note, &d.err), PM_EDATA);
    cr_expect(strstr(d.err.text, "test:job:{") != NULL, "%s", d.err.text);
    tell_key(&d, "DEL", "job", 2, "");
    tell_key(&d, "SADD", "job", 2, " x");
    tell_key(&d, "EXPIRE", "job", 2, " 100");
    cr_expect_eq(pmi_board_job(d.r, job, &read, &note, &d.err), PM_EDATA);
    cr_expect(strstr(d.err.text, "test:job:{") != NULL, "%s", d.err.text);
    cr_expect_not(note.found);
    /* and one that is far too large is not read whole */
    tell_key(&d, "DEL", "job", 2, "");
    tell_key(&d, "SETRANGE", "job", 2, " 300000000 x");
    cr_expect_eq(pmi_board_job(d.r, job, &read, &note, &d.err), PM_EDATA);
    cr_expect(strstr(d.err.text, "more than 1048576 bytes") != NULL, "%s", d.err.text);
    tell_key(&d, "DEL", "job", 2, "");
    redis_fixture_end(&d);
}

Test(board, a_record_that_is_too_large) {
    redis_fixture d;
    redis_fixture_begin(&d);
    uint8_t *items = calloc(40000, PM_DIGEST_BYTES);
    const pm_unit_record unit = unit_of(1, 2, items, 40000);
    cr_expect_eq(pmi_board_place(d.r, &unit, 1, true, &d.err), PM_ESOFTWARE);
    cr_expect_eq(redis_server_tell(&d.server, "DBSIZE"), 0);
    free(items);
    redis_fixture_end(&d);
}

Test(board, attempts) {
    redis_fixture d;
    redis_fixture_begin(&d);
    uint8_t job[PM_DIGEST_BYTES], unit[PM_DIGEST_BYTES];
    uint64_t faults;
    pm_attempt a;
    fixture_key(1, job);
    fixture_key(2, unit);
    MUST(pmi_board_attempts(d.r, unit, &a, &d.err));
    cr_expect(a.begun == 0 && a.faults == 0);
    for (uint64_t i = 1; i <= 4; i++) {
        MUST(pmi_board_begin(d.r, job, unit, &a, &d.err));
        cr_expect(a.begun == i && a.faults == i - 1 && !a.is_cancelled && !a.is_ended);
        MUST(pmi_board_fault(d.r, unit, &faults, &d.err));
        cr_expect_eq(faults, i);
    }
    MUST(pmi_board_give_back(d.r, unit, &d.err));
    MUST(pmi_board_attempts(d.r, unit, &a, &d.err));
    cr_expect(a.begun == 3 && a.faults == 4);
    /* attempts that are gone are not taken back below nothing */
    tell_key(&d, "DEL", "attempts", 2, "");
    MUST(pmi_board_give_back(d.r, unit, &d.err));
    MUST(pmi_board_attempts(d.r, unit, &a, &d.err));
    cr_expect_eq(a.begun, 0);
    cr_expect_eq(redis_server_tell(&d.server, "DBSIZE"), 0);
    /* a fault alone has a TTL as well */
    MUST(pmi_board_fault(d.r, unit, &faults, &d.err));
    cr_expect_eq(faults, 1);
    (void)redis_server_check_keys(&d.server);
    redis_fixture_end(&d);
}

Test(board, what_has_ended_is_not_begun) {
    redis_fixture d;
    redis_fixture_begin(&d);
    uint8_t job[PM_DIGEST_BYTES], unit[PM_DIGEST_BYTES];
    pm_attempt a;
    fixture_key(1, job);
    fixture_key(2, unit);
    MUST(pmi_board_cancel(d.r, job, &d.err));
    MUST(pmi_board_begin(d.r, job, unit, &a, &d.err));
    cr_expect(a.is_cancelled && !a.is_ended && a.begun == 0);
    tell_key(&d, "DEL", "cancelled", 1, "");
    const pm_outcome_message done = outcome_of(1, 2, PM_OK, "");
    MUST(pmi_board_end(d.r, &done, 1, &d.err));
    MUST(pmi_board_begin(d.r, job, unit, &a, &d.err));
    cr_expect(a.is_ended && !a.is_cancelled && a.begun == 0);
    MUST(pmi_board_attempts(d.r, unit, &a, &d.err));
    cr_expect_eq(a.begun, 0);
    redis_fixture_end(&d);
}

/* Such an outcome is removed, and the unit begun. */
Test(board, units_that_nobody_ended) {
    redis_fixture d;
    redis_fixture_begin(&d);
    uint8_t job[PM_DIGEST_BYTES], unit[PM_DIGEST_BYTES];
    pm_attempt a;
    fixture_key(1, job);
    fixture_key(2, unit);
    const char *const written[][2] = {{"SET", " junk"}, {"RPUSH", " junk"}};
    for (int i = 0; i < 2; i++) {
        tell_key(&d, written[i][0], "outcome", 2, written[i][1]);
        MUST(pmi_board_begin(d.r, job, unit, &a, &d.err));
        cr_expect(!a.is_ended && a.begun == (uint64_t)i + 1);
        cr_expect(strstr(d.server.folder.last_warning, "test:outcome:{") != NULL, "%s", d.server.folder.last_warning);
    }
    cr_expect_eq(d.server.folder.warnings, 2);
    redis_fixture_end(&d);
}

Test(board, attempts_that_are_no_numbers) {
    redis_fixture d;
    redis_fixture_begin(&d);
    uint8_t job[PM_DIGEST_BYTES], unit[PM_DIGEST_BYTES];
    uint64_t faults;
    pm_attempt a;
    fixture_key(1, job);
    fixture_key(2, unit);
    tell_key(&d, "HSET", "attempts", 2, " begun many faults -1");
    tell_key(&d, "EXPIRE", "attempts", 2, " 100");
    cr_expect_eq(pmi_board_attempts(d.r, unit, &a, &d.err), PM_EDATA);
    cr_expect(strstr(d.err.text, "test:attempts:{") != NULL, "%s", d.err.text);
    cr_expect_eq(pmi_board_begin(d.r, job, unit, &a, &d.err), PM_EDATA);
    tell_key(&d, "HSET", "attempts", 2, " begun 1 faults -5");
    cr_expect_eq(pmi_board_begin(d.r, job, unit, &a, &d.err), PM_EDATA);
    cr_expect_eq(pmi_board_fault(d.r, unit, &faults, &d.err), PM_EDATA);
    redis_fixture_end(&d);
}

Test(board, how_units_end) {
    redis_fixture d;
    redis_fixture_begin(&d);
    uint8_t job[PM_DIGEST_BYTES], units[4][PM_DIGEST_BYTES];
    bool ended[4];
    pm_attempt a;
    pm_outcome_message read;
    pm_stored note = {0};
    fixture_key(1, job);
    for (uint64_t i = 0; i < 4; i++) {
        fixture_key(10 + i, units[i]);
        MUST(pmi_board_begin(d.r, job, units[i], &a, &d.err));
    }
    const pm_outcome_message first = outcome_of(1, 10, PM_EDATA, "first"),
                             second = outcome_of(1, 11, PM_EOSERR, "next"), done = outcome_of(1, 12, PM_OK, ""),
                             late = outcome_of(1, 12, PM_EDATA, "late"), mended = outcome_of(1, 10, PM_OK, "");
    MUST(pmi_board_end(d.r, &done, 1, &d.err));
    MUST(pmi_board_end(d.r, &late, 1, &d.err)); /* another worker's: the unit is done */
    MUST(pmi_board_failure(d.r, job, &read, &note, &d.err));
    cr_expect_not(note.found);
    MUST(pmi_board_end(d.r, &first, 1, &d.err));
    MUST(pmi_board_end(d.r, &second, 1, &d.err));
    MUST(pmi_board_failure(d.r, job, &read, &note, &d.err));
    cr_expect(note.found && span_is(read.error, "first") && read.code == PM_EDATA && read.offset == 17);
    MUST(pmi_board_outcome(d.r, units[1], &read, &note, &d.err));
    cr_expect(note.found && span_is(read.error, "next"));
    MUST(pmi_board_outcome(d.r, units[2], &read, &note, &d.err));
    cr_expect(note.found && read.code == PM_OK);
    MUST(pmi_redis_exist(d.r, PM_SPACE_OUTCOME, (const uint8_t(*)[PM_DIGEST_BYTES])units, 4, false, ended, &d.err));
    cr_expect(ended[0] && ended[1] && ended[2] && !ended[3]);
    MUST(pmi_board_attempts(d.r, units[2], &a, &d.err));
    cr_expect_eq(a.begun, 0, "a done unit's attempts are forgotten");
    MUST(pmi_board_attempts(d.r, units[0], &a, &d.err));
    cr_expect_eq(a.begun, 1);
    (void)redis_server_check_keys(&d.server);
    /* replayed */
    MUST(pmi_board_forgive(d.r, job, units[0], &d.err));
    MUST(pmi_board_failure(d.r, job, &read, &note, &d.err));
    cr_expect_not(note.found);
    MUST(pmi_board_begin(d.r, job, units[0], &a, &d.err));
    cr_expect(a.begun == 1 && !a.is_ended);
    MUST(pmi_board_end(d.r, &first, 1, &d.err));
    MUST(pmi_board_end(d.r, &mended, 1, &d.err)); /* a late result is worth more than a failure */
    MUST(pmi_board_outcome(d.r, units[0], &read, &note, &d.err));
    cr_expect(note.found && read.code == PM_OK);
    /* placed again, fresh */
    const pm_unit_record again = unit_of(11, 1, units[0], 1);
    MUST(pmi_board_place(d.r, &again, 1, false, &d.err));
    MUST(pmi_redis_exist(d.r, PM_SPACE_OUTCOME, (const uint8_t(*)[PM_DIGEST_BYTES])units, 2, false, ended, &d.err));
    cr_expect(ended[1]);
    MUST(pmi_board_place(d.r, &again, 1, true, &d.err));
    MUST(pmi_redis_exist(d.r, PM_SPACE_OUTCOME, (const uint8_t(*)[PM_DIGEST_BYTES])units, 2, false, ended, &d.err));
    cr_expect_not(ended[1]);
    pmi_stored_free(&note);
    redis_fixture_end(&d);
}

/* ---- faults ---- */

static pm_status count_worker(void *ctx, const pm_worker_message *worker, pm_error *err) {
    (void)worker, (void)err;
    ++*(size_t *)ctx;
    return PM_OK;
}

static size_t all_fail_with(redis_fixture *d, pm_status expected) {
    uint8_t key[1][PM_DIGEST_BYTES];
    const uint8_t(*keys)[PM_DIGEST_BYTES] = (const uint8_t(*)[PM_DIGEST_BYTES])key;
    fixture_key(1, key[0]);
    const pm_job_message job = job_of(1, 1.0);
    const pm_unit_record unit = unit_of(1, 1, key[0], 1);
    pm_worker_message worker = {.id = pmi_span_of("w"),
                                .host = pmi_span_of("host"),
                                .version = pmi_span_of("0.1.0"),
                                .state = pmi_span_of("running")};
    const pm_outcome_message failed = outcome_of(1, 1, PM_EDATA, "x"), done = outcome_of(1, 1, PM_OK, "");
    pm_job_message j;
    pm_outcome_message o;
    pm_stored note = {0};
    pm_attempt a;
    uint64_t faults;
    uint8_t(*jobs)[PM_DIGEST_BYTES];
    size_t n;
    bool flag;
    tally t = {0};
    size_t seen = 0;
    const pm_status all[] = {
        pmi_board_open_job(d->r, &job, &d->err),
        pmi_board_job(d->r, key[0], &j, &note, &d->err),
        pmi_board_jobs(d->r, 5, &jobs, &n, &d->err),
        pmi_board_cancel(d->r, key[0], &d->err),
        pmi_redis_exist(d->r, PM_SPACE_CANCELLED, keys, 1, false, &flag, &d->err),
        pmi_board_failure(d->r, key[0], &o, &note, &d->err),
        pmi_board_forgive(d->r, key[0], key[0], &d->err),
        pmi_board_place(d->r, &unit, 1, true, &d->err),
        pmi_board_units(d->r, key[0], count, &t, &d->err),
        pmi_board_begin(d->r, key[0], key[0], &a, &d->err),
        pmi_board_fault(d->r, key[0], &faults, &d->err),
        pmi_board_give_back(d->r, key[0], &d->err),
        pmi_board_attempts(d->r, key[0], &a, &d->err),
        pmi_board_end(d->r, &failed, 1, &d->err),
        pmi_board_end(d->r, &done, 1, &d->err),
        pmi_board_outcome(d->r, key[0], &o, &note, &d->err),
        pmi_redis_exist(d->r, PM_SPACE_OUTCOME, keys, 1, false, &flag, &d->err),
        pmi_board_beat(d->r, &worker, &d->err),
        pmi_board_leave(d->r, pmi_span_of("w"), &d->err),
        pmi_board_workers(d->r, count_worker, &seen, &d->err),
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        cr_expect_eq(all[i], expected, "function %zu: %d", i, (int)all[i]);
    }
    cr_expect_eq(t.n + seen, 0);
    return sizeof all / sizeof all[0];
}

Test(board, a_server_that_is_gone) {
    redis_fixture d;
    redis_fixture_begin(&d);
    redis_server_kill(&d.server);
    cr_expect_eq(all_fail_with(&d, PM_EUNAVAILABLE), 20);
    redis_server_restart(&d.server);
    const pm_job_message job = job_of(1, 1.0);
    MUST(pmi_board_open_job(d.r, &job, &d.err));
    redis_fixture_end(&d);
}

Test(board, a_user_without_rights) {
    redis_fixture d;
    redis_fixture_begin(&d);
    pm_redis *all = d.r;
    pm_redis_options o = redis_server_options(&d.server);
    (void)redis_server_tell(&d.server, "ACL SETUSER nobody on >sesame ~elsewhere:* +@all");
    o.user = "nobody";
    o.password = "sesame";
    MUST(pmi_redis_open(&o, NULL, &d.r, &d.err));
    (void)all_fail_with(&d, PM_EPERMISSION);
    cr_expect(strstr(d.err.text, "sesame") == NULL);
    pmi_redis_close(d.r);
    d.r = all;
    redis_fixture_end(&d);
}

Test(board, a_full_server) {
    redis_fixture d;
    redis_fixture_begin(&d);
    uint8_t job[PM_DIGEST_BYTES];
    pm_attempt a;
    const pm_job_message j = job_of(1, 1.0);
    const pm_outcome_message done = outcome_of(1, 2, PM_OK, "");
    fixture_key(1, job);
    (void)redis_server_tell(&d.server, "CONFIG SET maxmemory 1");
    cr_expect_eq(pmi_board_open_job(d.r, &j, &d.err), PM_ETEMPORARY);
    cr_expect_eq(pmi_board_begin(d.r, job, job, &a, &d.err), PM_ETEMPORARY, "%s", d.err.text);
    cr_expect_eq(pmi_board_end(d.r, &done, 1, &d.err), PM_ETEMPORARY);
    (void)redis_server_tell(&d.server, "CONFIG SET maxmemory 0");
    MUST(pmi_board_begin(d.r, job, job, &a, &d.err));
    cr_expect_eq(a.begun, 1);
    redis_fixture_end(&d);
}
