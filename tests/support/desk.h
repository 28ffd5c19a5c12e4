/* A Redis of a test's own with a connection to it, for tests of the board. */
#ifndef DESK_H
#define DESK_H

#include "redis_server.h"

typedef struct desk {
    redis_server server;
    pm_redis *r;
    pm_error err;
} desk;

void desk_begin(desk *d);
/* Every key must have a TTL by then. */
void desk_end(desk *d);

#define MUST(call) cr_assert_eq(call, PM_OK, "%s", d.err.text)

#endif
