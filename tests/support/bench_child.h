/* A compute child on a Redis of its own, fed units by hand. */
#ifndef PM_TESTS_BENCH_CHILD_H
#define PM_TESTS_BENCH_CHILD_H

#include "redis_server.h"
#include "scc/canon.h"
#include "wire/units.h"
#include "worker/child.h"
#include "worker/slots.h"

/* AddressSanitizer ends the process where memory is refused: there, limits show as deaths. */
#if defined(__SANITIZE_ADDRESS__)
#define BENCH_CHILD_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BENCH_CHILD_SANITIZED 1
#endif
#endif
#ifndef BENCH_CHILD_SANITIZED
#define BENCH_CHILD_SANITIZED 0
#endif

typedef struct bench_child {
    redis_server server;
    pm_redis_options redis_options;
    pm_redis *redis; /* the test's */
    pm_child_options options;
    pm_slots slots;
    uint8_t job[PM_DIGEST_BYTES];
    /* of the last unit: */
    bool has_ended;
    pm_ending ending;
    char text[PM_ERROR_TEXT];
} bench_child;

/* Starts the server and one child with so much memory for a unit. `cache_dir` may be NULL. */
void bench_child_start(bench_child *b, size_t unit_memory, const char *cache_dir);
void bench_child_stop(bench_child *b);

/* Sends the value with these words in its heading; waits for what becomes of it. */
void bench_child_send(bench_child *b, const char *kind, const uint8_t job[PM_DIGEST_BYTES],
                      const uint8_t unit[PM_DIGEST_BYTES], const void *value, size_t n);
/* Hands it over without waiting, and waits. */
void bench_child_give(bench_child *b, const char *kind, const uint8_t job[PM_DIGEST_BYTES],
                      const uint8_t unit[PM_DIGEST_BYTES], const void *value, size_t n);
void bench_child_wait(bench_child *b);

/* The same by a child that runs inside the test and ends after the unit, so that what it leaves allocated is found. */
void bench_child_inside(bench_child *b, const char *kind, const uint8_t unit[PM_DIGEST_BYTES], const void *value,
                        size_t n);

/* The whole message of a unit of this body, with its id, for b->job. Free `value` with pmi_buffer_free. */
void bench_child_unit(bench_child *b, const char *kind, const uint8_t (*items)[PM_DIGEST_BYTES], size_t n_items,
                      const pm_buffer *body, uint8_t unit[PM_DIGEST_BYTES], pm_buffer *value);
/* Makes and sends it. */
void bench_child_run(bench_child *b, const char *kind, const uint8_t (*items)[PM_DIGEST_BYTES], size_t n_items,
                     const pm_buffer *body);

/* Answered, and with this status. */
void bench_child_expect(const bench_child *b, pm_status status, const char *words);

#endif
