#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "redis/board.h"
#include "redis/redis_impl.h"
#include "redis_fixture.h"

typedef struct roll {
    size_t n, units, partitions;
    char ids[200];
} roll;

static pm_status see(void *ctx, const pm_worker_message *worker, pm_error *err) {
    roll *r = ctx;
    (void)err;
    r->n++;
    r->units += worker->units.count;
    r->partitions += worker->partitions.size / 4;
    strncat(r->ids, (const char *)worker->id.bytes, worker->id.size);
    strcat(r->ids, " ");
    return PM_OK;
}

static pm_worker_message worker_of(const char *id, double time) {
    return (pm_worker_message){.id = pmi_span_of(id),
                               .host = pmi_span_of("host"),
                               .version = pmi_span_of("0.1.0"),
                               .pid = 42,
                               .state = pmi_span_of("running"),
                               .started = 1.0,
                               .time = time,
                               .slots = 2};
}

Test(board_workers, heartbeats) {
    redis_fixture d;
    redis_fixture_begin(&d);
    pm_running_unit running = {.kind = pmi_span_of("record"), .pid = 7, .attempt = 1, .items = 3};
    const uint32_t partitions[] = {0, 3, 5};
    pm_worker_message one = worker_of("host-1-a", 100.0), two = worker_of("host-2-b", 101.0);
    one.units = (pm_list){&running, 1};
    one.partitions = pmi_u32s(partitions, 3);
    roll seen = {0};
    MUST(pmi_board_workers(d.r, see, &seen, &d.err));
    cr_expect_eq(seen.n, 0);
    MUST(pmi_board_beat(d.r, &one, &d.err));
    MUST(pmi_board_beat(d.r, &two, &d.err));
    MUST(pmi_board_beat(d.r, &two, &d.err));
    MUST(pmi_board_workers(d.r, see, &seen, &d.err));
    cr_expect(seen.n == 2 && seen.units == 1 && seen.partitions == 3);
    cr_expect_str_eq(seen.ids, "host-2-b host-1-a ");
    cr_expect_leq(redis_server_tell(&d.server, "TTL test:worker:host-1-a"), 15);
    (void)redis_server_check_keys(&d.server);
    /* without a heartbeat, and with one that cannot be read */
    (void)redis_server_tell(&d.server, "DEL test:worker:host-2-b");
    seen = (roll){0};
    MUST(pmi_board_workers(d.r, see, &seen, &d.err));
    cr_expect_str_eq(seen.ids, "host-1-a ");
    (void)redis_server_tell(&d.server, "SET test:worker:host-2-b nonsense EX 10");
    cr_expect_eq(d.server.folder.warnings, 0);
    seen = (roll){0};
    MUST(pmi_board_workers(d.r, see, &seen, &d.err));
    cr_expect_str_eq(seen.ids, "host-1-a ");
    cr_expect_eq(d.server.folder.warnings, 1);
    MUST(pmi_board_leave(d.r, one.id, &d.err));
    MUST(pmi_board_leave(d.r, two.id, &d.err));
    seen = (roll){0};
    MUST(pmi_board_workers(d.r, see, &seen, &d.err));
    cr_expect_eq(seen.n, 0);
    cr_expect_eq(redis_server_tell(&d.server, "DBSIZE"), 0);
    redis_fixture_end(&d);
}

/* A worker whose clock is days ahead, or behind, takes nobody off the list; those that are long gone by the server's
 * clock leave it. */
Test(board_workers, the_list_is_kept_by_the_servers_clock) {
    redis_fixture d;
    redis_fixture_begin(&d);
    pm_worker_message behind = worker_of("behind", 100.0), ahead = worker_of("ahead", pmi_now() + 3 * 86400.0);
    (void)redis_server_tell(&d.server, "ZADD test:workers 1000 gone");
    MUST(pmi_board_beat(d.r, &behind, &d.err));
    MUST(pmi_board_beat(d.r, &ahead, &d.err));
    cr_expect_eq(redis_server_tell(&d.server, "ZCARD test:workers"), 2);
    char command[120];
    (void)snprintf(command, sizeof command, "ZCOUNT test:workers %.0f %.0f", pmi_now() - 60, pmi_now() + 60);
    cr_expect_eq(redis_server_tell(&d.server, command), 2);
    redis_fixture_end(&d);
}

typedef struct times {
    double time, started, since;
} times;

static pm_status see_times(void *ctx, const pm_worker_message *worker, pm_error *err) {
    (void)err;
    const pm_running_unit *unit = worker->units.items;
    *(times *)ctx = (times){.time = worker->time, .started = worker->started, .since = unit->since};
    return PM_OK;
}

Test(board_workers, times_are_shown_by_the_servers_clock) {
    redis_fixture d;
    redis_fixture_begin(&d);
    double skew = 3 * 86400.0;
    pm_running_unit running = {.kind = pmi_span_of("record"), .since = pmi_now() + skew - 30};
    pm_worker_message worker = worker_of("ahead", pmi_now() + skew);
    worker.started = pmi_now() + skew - 500;
    worker.units = (pm_list){&running, 1};
    times seen = {0};
    MUST(pmi_board_beat(d.r, &worker, &d.err));
    MUST(pmi_board_workers(d.r, see_times, &seen, &d.err));
    double now;
    MUST(pmi_redis_now(d.r, &now, &d.err));
    cr_expect_float_eq(now, pmi_now(), 30);
    cr_expect_float_eq(seen.time, now, 10);
    cr_expect_float_eq(seen.started, now - 500, 10);
    cr_expect_float_eq(seen.since, now - 30, 10);
    redis_fixture_end(&d);
}

/* What its key says of its time to live is not asked: its own time is. */
Test(board_workers, heartbeats_that_should_be_gone) {
    redis_fixture d;
    redis_fixture_begin(&d);
    double now;
    MUST(pmi_redis_now(d.r, &now, &d.err));
    const double ages[] = {0.0, 15.0, 30.0, 1e6, -30.0};
    for (int i = 0; i < 5; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "w-%d", i);
        pm_worker_message worker = worker_of(id, 100.0);
        MUST(pmi_board_beat(d.r, &worker, &d.err));
        worker.time = now - ages[i];
        char name[40];
        (void)snprintf(name, sizeof name, "test:worker:%s", id);
        pm_buffer bytes = {0};
        MUST(pmi_sealed_encode(NULL, pmi_span_of(name), &pmi_worker_type, &worker, &bytes, &d.err));
        MUST(PM_QUEUE(d.r, &d.err, pmi_span_of("SET"), pmi_span_of(name), {bytes.bytes, bytes.size}, pmi_span_of("EX"),
                      pmi_span_of("1000")));
        MUST(pmi_redis_flush(d.r, NULL, NULL, &d.err));
        pmi_buffer_free(&bytes);
    }
    roll seen = {0};
    MUST(pmi_board_workers(d.r, see, &seen, &d.err));
    cr_expect_str_eq(seen.ids, "w-1 w-0 ");
    cr_expect_eq(d.server.folder.warnings, 3, "%s", d.server.folder.last_warning);
    redis_fixture_end(&d);
}

Test(board_workers, ids_of_workers_are_checked) {
    redis_fixture d;
    redis_fixture_begin(&d);
    char id[200];
    memset(id, 'x', sizeof id);
    id[161] = 0;
    pm_worker_message worker = worker_of(id, 1.0);
    cr_expect_eq(pmi_board_beat(d.r, &worker, &d.err), PM_EDATA);
    worker.id = pmi_span_of("a b");
    cr_expect_eq(pmi_board_beat(d.r, &worker, &d.err), PM_EDATA);
    cr_expect_eq(pmi_board_leave(d.r, (pm_span){0}, &d.err), PM_EDATA);
    id[160] = 0;
    worker.id = pmi_span_of(id);
    MUST(pmi_board_beat(d.r, &worker, &d.err));
    redis_fixture_end(&d);
}

/* What should not be on the list is told of once, and hides nobody; a key that is no list is made anew by the next
 * heartbeat. */
Test(board_workers, a_list_that_makes_no_sense) {
    redis_fixture d;
    redis_fixture_begin(&d);
    pm_worker_message worker = worker_of("host-1-a", 100.0);
    MUST(pmi_board_beat(d.r, &worker, &d.err));
    char command[300], id[200];
    memset(id, 'x', sizeof id);
    id[161] = 0;
    (void)snprintf(command, sizeof command, "ZADD test:workers 1 %s", id);
    (void)redis_server_tell(&d.server, command);
    roll seen = {0};
    for (int turn = 0; turn < 2; turn++) {
        MUST(pmi_board_workers(d.r, see, &seen, &d.err));
        cr_expect_eq(d.server.folder.warnings, 1, "%s", d.server.folder.last_warning);
    }
    cr_expect_str_eq(seen.ids, "host-1-a host-1-a ");
    (void)redis_server_tell(&d.server, "SET test:workers junk");
    seen = (roll){0};
    MUST(pmi_board_workers(d.r, see, &seen, &d.err));
    cr_expect_eq(seen.n, 0);
    MUST(pmi_board_beat(d.r, &worker, &d.err));
    cr_expect(strstr(d.server.folder.last_warning, "test:workers") != NULL, "%s", d.server.folder.last_warning);
    MUST(pmi_board_workers(d.r, see, &seen, &d.err));
    cr_expect_str_eq(seen.ids, "host-1-a ");
    redis_fixture_end(&d);
}
