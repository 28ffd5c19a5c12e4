#include "bench_child.h"

#include <criterion/criterion.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

#define MUST(call) cr_assert_eq(call, PM_OK, "%s", err.text)

void bench_child_start(bench_child *b, size_t unit_memory, const char *cache_dir) {
    pm_error err = {0};
    *b = (bench_child){.job = {1, 2, 3}};
    redis_server_start(&b->server, NULL);
    b->redis_options = redis_server_options(&b->server);
    b->redis = redis_server_open(&b->server);
    b->options = (pm_child_options){.redis = &b->redis_options,
                                    .worker = "test",
                                    .cache_dir = cache_dir,
                                    .cache_limit = (size_t)1 << 26,
                                    .unit_memory = unit_memory,
                                    .log = &b->server.folder.log};
    MUST(pmi_isa_choose(NULL, &b->options.isa, &err));
    MUST(pmi_pages_new(1, &b->options.pages, &err));
    MUST(pmi_slots_start(1, b->options.pages, pmi_child_run, &b->options, 60, NULL, &b->slots, &err));
}

void bench_child_stop(bench_child *b) {
    pmi_slots_stop(&b->slots);
    pmi_pages_free(b->options.pages, 1);
    pmi_redis_close(b->redis);
    redis_server_stop(&b->server);
}

static void ended(void *ctx, const pm_ending *ending) {
    bench_child *b = ctx;
    b->has_ended = true;
    b->ending = *ending;
    snprintf(b->text, sizeof b->text, "%s",
             ending->how == PM_ENDED_ANSWER ? b->ending.answer.text
             : ending->text == NULL         ? ""
                                            : ending->text);
}

static void turn(bench_child *b) {
    struct pollfd fds[2];
    pm_error err = {0};
    pmi_slots_poll(&b->slots, fds);
    poll(fds, 2, (int)ceil(1000 * pmi_slots_due(&b->slots, pmi_seconds(), 0.1)));
    MUST(pmi_slots_serve(&b->slots, pmi_seconds(), ended, b, &err));
}

void bench_child_give(bench_child *b, const char *kind, const uint8_t job[PM_DIGEST_BYTES],
                      const uint8_t unit[PM_DIGEST_BYTES], const void *value, size_t n) {
    double limit = pmi_seconds() + 20;
    while (pmi_slots_idle(&b->slots) == 1) {
        cr_assert(pmi_seconds() < limit, "no child became idle");
        turn(b);
    }
    pm_task_head head = {.size = n};
    memcpy(head.job, job, PM_DIGEST_BYTES);
    memcpy(head.unit, unit, PM_DIGEST_BYTES);
    snprintf(head.kind, sizeof head.kind, "%s", kind);
    b->has_ended = false;
    pmi_slots_give(&b->slots, 0, &head, (pm_span){value, n}, b);
}

void bench_child_wait(bench_child *b) {
    double limit = pmi_seconds() + 60;
    while (!b->has_ended) {
        cr_assert(pmi_seconds() < limit, "the unit does not end");
        turn(b);
    }
}

void bench_child_send(bench_child *b, const char *kind, const uint8_t job[PM_DIGEST_BYTES],
                      const uint8_t unit[PM_DIGEST_BYTES], const void *value, size_t n) {
    bench_child_give(b, kind, job, unit, value, n);
    bench_child_wait(b);
}

void bench_child_inside(bench_child *b, const char *kind, const uint8_t unit[PM_DIGEST_BYTES], const void *value,
                        size_t n) {
    int pair[2], room = (int)n + (1 << 16);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    cr_assert_eq(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room), 0);
    pm_task_head head = {.size = n};
    memcpy(head.job, b->job, PM_DIGEST_BYTES);
    memcpy(head.unit, unit, PM_DIGEST_BYTES);
    snprintf(head.kind, sizeof head.kind, "%s", kind);
    cr_assert_eq(write(pair[0], &head, sizeof head), (ssize_t)sizeof head);
    cr_assert_eq(write(pair[0], value, n), (ssize_t)n);
    shutdown(pair[0], SHUT_WR);
    cr_assert_eq(pmi_child_run(&b->options, 0, pair[1]), 0); /* closes its end */
    b->ending = (pm_ending){.how = PM_ENDED_ANSWER};
    cr_assert_eq(read(pair[0], &b->ending.answer, sizeof b->ending.answer), (ssize_t)sizeof b->ending.answer);
    snprintf(b->text, sizeof b->text, "%s", b->ending.answer.text);
    close(pair[0]);
}

void bench_child_unit(bench_child *b, const char *kind, const uint8_t (*items)[PM_DIGEST_BYTES], size_t n_items,
                      const pm_buffer *body, uint8_t unit[PM_DIGEST_BYTES], pm_buffer *value) {
    pm_error err = {0};
    MUST(pmi_unit_id(kind, b->job, items, n_items, unit, &err));
    pm_unit_message message = {.kind = pmi_span_of(kind), .body = {body->bytes, body->size}};
    memcpy(message.job, b->job, PM_DIGEST_BYTES);
    memcpy(message.unit, unit, PM_DIGEST_BYTES);
    *value = (pm_buffer){0};
    MUST(pmi_message_encode(&pmi_unit_type, &message, value, &err));
}

void bench_child_run(bench_child *b, const char *kind, const uint8_t (*items)[PM_DIGEST_BYTES], size_t n_items,
                     const pm_buffer *body) {
    uint8_t unit[PM_DIGEST_BYTES];
    pm_buffer value;
    bench_child_unit(b, kind, items, n_items, body, unit, &value);
    bench_child_send(b, kind, b->job, unit, value.bytes, value.size);
    pmi_buffer_free(&value);
}

void bench_child_expect(const bench_child *b, pm_status status, const char *words) {
    cr_assert_eq(b->ending.how, PM_ENDED_ANSWER, "%s", b->text);
    cr_assert_eq(b->ending.answer.status, (uint32_t)status, "%u: %s", b->ending.answer.status, b->text);
    cr_assert(strstr(b->text, words) != NULL, "%s", b->text);
}
