#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench_child.h"
#include "digraphs.h"
#include "redis/traces.h"
#include "trace/codec.h"
#include "trace/record.h"
#include "worker/child.h"

#define MB ((size_t)1 << 20)
#define N_SCCS 20
#define MUST(call) cr_assert_eq(call, PM_OK, "%s", err.text)

/* ---- SCCs and their unit ---- */

typedef struct sccs {
    pm_canon list[N_SCCS];
    const pm_canon *pointers[N_SCCS];
    uint8_t keys[N_SCCS][PM_DIGEST_BYTES];
    pm_buffer body;
} sccs;

static void draw_sccs(sccs *s) {
    pm_error err = {0};
    pm_random random = {.state = 42};
    *s = (sccs){.body = {0}};
    for (uint32_t i = 0; i < N_SCCS; i++) {
        bool *edges = draw_strong(&random, 5 + i, 4 * (5 + i));
        pm_topology topology = topology_of(5 + i, edges);
        MUST(pmi_canon_find(&topology, PM_EFFORT_BALANCED, NULL, &s->list[i], &err));
        s->pointers[i] = &s->list[i];
        memcpy(s->keys[i], s->list[i].key, PM_DIGEST_BYTES);
        pmi_topology_free(&topology);
        free(edges);
    }
    MUST(pmi_record_body_write(s->pointers, N_SCCS, PM_EFFORT_BALANCED, &s->body, &err));
}

static void free_sccs(sccs *s) {
    for (size_t i = 0; i < N_SCCS; i++) {
        pmi_canon_free(&s->list[i]);
    }
    pmi_buffer_free(&s->body);
}

static void run_record(bench_child *b, const sccs *s) {
    bench_child_run(b, "record", (const uint8_t(*)[PM_DIGEST_BYTES])s->keys, N_SCCS, &s->body);
}

static void check_traces(bench_child *b, const sccs *s) {
    pm_error err = {0};
    for (size_t i = 0; i < N_SCCS; i++) {
        pm_record_options options = {.effort = PM_EFFORT_BALANCED, .memory = 64 * MB, .isa = b->options.isa};
        pm_plan plan;
        pm_buffer expected = {0}, found = {0};
        pm_blob_found how;
        MUST(pmi_record(&s->list[i], &options, &plan, &err));
        MUST(pmi_trace_encode(&plan.trace, s->keys[i], &expected, &err));
        MUST(pmi_blob_get(b->redis, PM_SPACE_TRACE, s->keys[i], 64 * MB, &found, &how, &err));
        cr_assert_eq(how, PM_BLOB_FOUND);
        cr_assert_eq(found.size, expected.size);
        cr_assert_eq(memcmp(found.bytes, expected.bytes, found.size), 0);
        pmi_plan_free(&plan);
        pmi_buffer_free(&expected);
        pmi_buffer_free(&found);
    }
}

/* ---- record ---- */

Test(kinds, record_stores_the_traces_that_anybody_would_record) {
    bench_child b;
    sccs s;
    bench_child_start(&b, 64 * MB, NULL);
    draw_sccs(&s);
    run_record(&b, &s);
    bench_child_expect(&b, PM_OK, "");
    cr_assert_eq(b.ending.answer.result.items, N_SCCS);
    cr_assert_eq(b.ending.answer.result.recorded, N_SCCS);
    cr_assert_eq(b.ending.answer.result.known, 0);
    cr_assert(b.ending.answer.seconds > 0);
    check_traces(&b, &s);

    run_record(&b, &s);
    bench_child_expect(&b, PM_OK, "");
    cr_assert_eq(b.ending.answer.result.recorded, 0);
    cr_assert_eq(b.ending.answer.result.known, N_SCCS);
    cr_assert(redis_server_check_keys(&b.server) > 0);
    free_sccs(&s);
    bench_child_stop(&b);
}

Test(kinds, traces_on_disk_go_to_redis_without_recording) {
    bench_child b;
    sccs s;
    disk_fixture cache;
    disk_fixture_make(&cache);
    bench_child_start(&b, 64 * MB, cache.dir);
    draw_sccs(&s);
    run_record(&b, &s);
    cr_assert_eq(b.ending.answer.result.recorded, N_SCCS);
    redis_server_tell(&b.server, "FLUSHALL");
    run_record(&b, &s);
    bench_child_expect(&b, PM_OK, "");
    cr_assert_eq(b.ending.answer.result.recorded, 0);
    cr_assert_eq(b.ending.answer.result.known, N_SCCS);
    check_traces(&b, &s);
    free_sccs(&s);
    bench_child_stop(&b);
    disk_fixture_remove(&cache);
}

Test(kinds, a_cache_folder_that_cannot_be_is_a_warning) {
    bench_child b;
    sccs s;
    bench_child_start(&b, 64 * MB, "/proc/no/such/folder");
    draw_sccs(&s);
    run_record(&b, &s);
    bench_child_expect(&b, PM_OK, "");
    cr_assert_eq(b.ending.answer.result.recorded, N_SCCS);
    free_sccs(&s);
    bench_child_stop(&b);
}

Test(kinds, a_key_that_does_not_match_its_topology_is_refused) {
    bench_child b;
    sccs s;
    pm_error err = {0};
    bench_child_start(&b, 64 * MB, NULL);
    draw_sccs(&s);
    pm_record_body body;
    pm_message_memory memory = {0};
    MUST(pmi_message_decode(&pmi_record_type, s.body.bytes, s.body.size, &body, &memory, &err));
    uint8_t keys[N_SCCS][PM_DIGEST_BYTES];
    memcpy(keys, s.keys, sizeof keys);
    keys[4][9] ^= 1;
    body.keys.bytes = keys[0];
    pm_buffer altered = {0};
    MUST(pmi_message_encode(&pmi_record_type, &body, &altered, &err));
    bench_child_run(&b, "record", (const uint8_t(*)[PM_DIGEST_BYTES])keys, N_SCCS, &altered);
    bench_child_expect(&b, PM_EDATA, "SCC 5 of 20");
    cr_assert_eq(b.ending.answer.result.has_scc, 1u);
    cr_assert_eq(memcmp(b.ending.answer.result.scc, keys[4], PM_DIGEST_BYTES), 0);
    bool exist[N_SCCS];
    MUST(pmi_redis_exist(b.redis, PM_SPACE_TRACE, (const uint8_t(*)[PM_DIGEST_BYTES])keys, N_SCCS, true, exist, &err));
    cr_assert_not(exist[4], "a trace was stored under a key that is not its own");
    pmi_buffer_free(&altered);
    pmi_message_memory_free(&memory);
    free_sccs(&s);
    bench_child_stop(&b);
}

Test(kinds, an_scc_beyond_the_memory_is_named, .disabled = BENCH_CHILD_SANITIZED) {
    bench_child b;
    pm_error err = {0};
    bench_child_start(&b, 1 * MB, NULL);
    bool *edges = complete_digraph(400);
    pm_topology topology = topology_of(400, edges);
    pm_canon scc = {.name = NULL, .topology = topology, .as_given = true};
    MUST(pmi_canon_identify(&scc, PM_EFFORT_BALANCED, &err));
    const pm_canon *pointer = &scc;
    pm_buffer body = {0};
    MUST(pmi_record_body_write(&pointer, 1, PM_EFFORT_BALANCED, &body, &err));
    uint8_t keys[1][PM_DIGEST_BYTES];
    memcpy(keys[0], scc.key, PM_DIGEST_BYTES);
    bench_child_run(&b, "record", (const uint8_t(*)[PM_DIGEST_BYTES])keys, 1, &body);
    cr_assert_eq(b.ending.how, PM_ENDED_ANSWER, "%s", b.text);
    cr_assert_eq(b.ending.answer.status, (uint32_t)PM_EOSERR, "%s", b.text);
    free(edges);
    pmi_topology_free(&topology);
    pmi_buffer_free(&body);
    bench_child_stop(&b);
}

Test(kinds, a_child_leaves_nothing_behind) {
    bench_child b;
    sccs s;
    disk_fixture cache;
    uint8_t unit[PM_DIGEST_BYTES];
    pm_buffer value;
    disk_fixture_make(&cache);
    bench_child_start(&b, 64 * MB, cache.dir);
    draw_sccs(&s);
    bench_child_unit(&b, "record", (const uint8_t(*)[PM_DIGEST_BYTES])s.keys, N_SCCS, &s.body, unit, &value);
    bench_child_inside(&b, "record", unit, value.bytes, value.size);
    bench_child_expect(&b, PM_OK, "");
    cr_assert_eq(b.ending.answer.result.recorded, N_SCCS);
    bench_child_inside(&b, "record", unit, value.bytes, value.size);
    bench_child_expect(&b, PM_OK, "");
    for (size_t n = 0; n < value.size; n += 301) {
        bench_child_inside(&b, "record", unit, value.bytes, n);
        bench_child_expect(&b, PM_EDATA, "");
    }
    pmi_buffer_free(&value);
    free_sccs(&s);
    bench_child_stop(&b);
    disk_fixture_remove(&cache);
}

/* ---- what is no unit ---- */

Test(kinds, garbage_is_refused_and_the_child_lives) {
    bench_child b;
    sccs s;
    uint8_t unit[PM_DIGEST_BYTES] = {9}, noise[4096];
    pm_random random = {.state = 7};
    pm_buffer value;
    bench_child_start(&b, 64 * MB, NULL);
    draw_sccs(&s);
    for (size_t i = 0; i < sizeof noise; i++) {
        noise[i] = (uint8_t)pmi_random_next(&random);
    }
    for (size_t n = 0; n <= sizeof noise; n = 2 * n + 1) {
        bench_child_send(&b, "record", b.job, unit, noise, n);
        bench_child_expect(&b, PM_EDATA, "");
    }
    bench_child_unit(&b, "record", (const uint8_t(*)[PM_DIGEST_BYTES])s.keys, N_SCCS, &s.body, unit, &value);
    for (size_t n = 0; n < value.size; n += 97) {
        bench_child_send(&b, "record", b.job, unit, value.bytes, n);
        bench_child_expect(&b, PM_EDATA, "");
    }
    for (size_t at = 0; at < value.size; at += 61) {
        value.bytes[at] ^= 0x20;
        bench_child_send(&b, "record", b.job, unit, value.bytes, value.size);
        bench_child_expect(&b, PM_EDATA, "");
        value.bytes[at] ^= 0x20;
    }
    pid_t child = b.slots.slots[0].pid;
    bench_child_send(&b, "record", b.job, unit, value.bytes, value.size);
    bench_child_expect(&b, PM_OK, "");
    cr_assert_eq(b.slots.slots[0].pid, child);
    pmi_buffer_free(&value);
    free_sccs(&s);
    bench_child_stop(&b);
}

Test(kinds, the_heading_must_say_what_the_message_says) {
    bench_child b;
    sccs s;
    uint8_t unit[PM_DIGEST_BYTES], other[PM_DIGEST_BYTES] = {5};
    pm_buffer value;
    bench_child_start(&b, 64 * MB, NULL);
    draw_sccs(&s);
    bench_child_unit(&b, "record", (const uint8_t(*)[PM_DIGEST_BYTES])s.keys, N_SCCS, &s.body, unit, &value);
    bench_child_send(&b, "probe", b.job, unit, value.bytes, value.size);
    bench_child_expect(&b, PM_EDATA, "phasemill-kind");
    bench_child_send(&b, "record", other, unit, value.bytes, value.size);
    bench_child_expect(&b, PM_EDATA, "phasemill-job");
    bench_child_send(&b, "record", b.job, other, value.bytes, value.size);
    bench_child_expect(&b, PM_EDATA, "unit");
    pmi_buffer_free(&value);
    bench_child_unit(&b, "dance", (const uint8_t(*)[PM_DIGEST_BYTES])s.keys, N_SCCS, &s.body, unit, &value);
    bench_child_send(&b, "dance", b.job, unit, value.bytes, value.size);
    bench_child_expect(&b, PM_EDATA, PM_UNIT_KINDS);
    pmi_buffer_free(&value);
    free_sccs(&s);
    bench_child_stop(&b);
}

/* ---- claim checks ---- */

static void send_claim(bench_child *b, const uint8_t unit[PM_DIGEST_BYTES], const uint8_t blob[PM_DIGEST_BYTES],
                       size_t size) {
    pm_error err = {0};
    pm_claim_message claim = {.kind = pmi_span_of("record"), .size = size};
    pm_buffer value = {0};
    memcpy(claim.job, b->job, PM_DIGEST_BYTES);
    memcpy(claim.unit, unit, PM_DIGEST_BYTES);
    memcpy(claim.blob, blob, PM_DIGEST_BYTES);
    MUST(pmi_message_encode(&pmi_claim_type, &claim, &value, &err));
    bench_child_send(b, "record", b->job, unit, value.bytes, value.size);
    pmi_buffer_free(&value);
}

static void put_blob(bench_child *b, const uint8_t key[PM_DIGEST_BYTES], const pm_buffer *value) {
    pm_error err = {0};
    pm_blob_item item = {.bytes = value->bytes, .size = value->size};
    memcpy(item.digest, key, PM_DIGEST_BYTES);
    MUST(pmi_blob_put(b->redis, PM_SPACE_BLOB, &item, 1, true, &err));
}

Test(kinds, claim_checks_are_fetched_and_missed_and_checked) {
    bench_child b;
    sccs s;
    pm_error err = {0};
    uint8_t unit[PM_DIGEST_BYTES], blob[PM_DIGEST_BYTES];
    char hex[PM_DIGEST_HEX];
    pm_buffer value;
    bench_child_start(&b, 64 * MB, NULL);
    draw_sccs(&s);
    bench_child_unit(&b, "record", (const uint8_t(*)[PM_DIGEST_BYTES])s.keys, N_SCCS, &s.body, unit, &value);
    MUST(pmi_digest(PM_SHA256, value.bytes, value.size, blob, &err));
    pmi_hex(blob, hex);

    send_claim(&b, unit, blob, value.size);
    bench_child_expect(&b, PM_ENOINPUT, hex);
    cr_assert(strstr(b.text, "gone from Redis") != NULL, "%s", b.text);
    put_blob(&b, blob, &value);
    send_claim(&b, unit, blob, value.size + 1);
    bench_child_expect(&b, PM_EDATA, "altered");
    send_claim(&b, unit, blob, 0);
    bench_child_expect(&b, PM_EDATA, "claim");
    put_blob(&b, blob, &value);
    send_claim(&b, unit, blob, value.size);
    bench_child_expect(&b, PM_OK, "");
    cr_assert_eq(b.ending.answer.result.recorded, N_SCCS);

    value.size--; /* a blob that is sound by itself, but other bytes */
    put_blob(&b, blob, &value);
    send_claim(&b, unit, blob, value.size + 1);
    bench_child_expect(&b, PM_EDATA, "altered");
    pmi_buffer_free(&value);
    free_sccs(&s);
    bench_child_stop(&b);
}

/* ---- probes ---- */

static void run_probe(bench_child *b, pm_probe_body probe) {
    pm_error err = {0};
    pm_buffer body = {0};
    uint8_t items[1][PM_DIGEST_BYTES] = {{(uint8_t)probe.number}};
    MUST(pmi_message_encode(&pmi_probe_type, &probe, &body, &err));
    bench_child_run(b, "probe", (const uint8_t(*)[PM_DIGEST_BYTES])items, 1, &body);
    pmi_buffer_free(&body);
}

Test(kinds, probes_do_as_they_are_told) {
    bench_child b;
    bench_child_start(&b, 64 * MB, NULL);
    run_probe(&b, (pm_probe_body){.number = 1});
    bench_child_expect(&b, PM_OK, "");
    cr_assert_eq(b.ending.answer.result.recorded, 1);
    run_probe(&b, (pm_probe_body){.number = 2, .seconds = 0.1});
    bench_child_expect(&b, PM_OK, "");
    cr_assert(b.ending.answer.seconds >= 0.1);
    run_probe(&b, (pm_probe_body){.number = 3, .bytes = 32 * MB});
    bench_child_expect(&b, PM_OK, "");
    if (!BENCH_CHILD_SANITIZED) {
        run_probe(&b, (pm_probe_body){.number = 4, .bytes = 200 * MB});
        bench_child_expect(&b, PM_EOSERR, "memory limit");
    }
    pid_t child = b.slots.slots[0].pid;
    run_probe(&b, (pm_probe_body){.number = 5, .crash = true});
    cr_assert_eq(b.ending.how, PM_ENDED_FAULT);
    cr_assert(strstr(b.text, "signal 6") != NULL, "%s", b.text);
    run_probe(&b, (pm_probe_body){.number = 6});
    bench_child_expect(&b, PM_OK, "");
    cr_assert_neq(b.slots.slots[0].pid, child);
    bench_child_stop(&b);
}

/* ---- Redis away ---- */

Test(kinds, redis_away_is_waited_out) {
    bench_child b;
    sccs s;
    bench_child_start(&b, 64 * MB, NULL);
    draw_sccs(&s);
    uint8_t unit[PM_DIGEST_BYTES];
    pm_buffer value;
    bench_child_unit(&b, "record", (const uint8_t(*)[PM_DIGEST_BYTES])s.keys, N_SCCS, &s.body, unit, &value);
    redis_server_kill(&b.server);
    bench_child_give(&b, "record", b.job, unit, value.bytes, value.size);
    nanosleep(&(struct timespec){.tv_nsec = 500000000}, NULL);
    cr_assert_not(b.has_ended);
    redis_server_restart(&b.server);
    bench_child_wait(&b);
    bench_child_expect(&b, PM_OK, "");
    cr_assert_eq(b.ending.answer.result.recorded, N_SCCS);
    check_traces(&b, &s);
    pmi_buffer_free(&value);
    free_sccs(&s);
    bench_child_stop(&b);
}
