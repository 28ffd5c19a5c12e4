/* A Redis of a test's own with a connection to it, for tests of the board. */
#ifndef REDIS_FIXTURE_H
#define REDIS_FIXTURE_H

#include "redis_server.h"

typedef struct redis_fixture {
    redis_server server;
    pm_redis *r;
    pm_error err;
} redis_fixture;

void redis_fixture_begin(redis_fixture *d);
/* Every key must have a TTL by then. */
void redis_fixture_end(redis_fixture *d);

#define MUST(call) cr_assert_eq(call, PM_OK, "%s", d.err.text)

#endif
