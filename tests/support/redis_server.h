/* A redis-server of a test's own: on a unix socket in a folder of its own, on no port; it dies with the test. */
#ifndef PM_TESTS_REDIS_SERVER_H
#define PM_TESTS_REDIS_SERVER_H

#include <sys/types.h>

#include "disk_fixture.h"
#include "redis/redis.h"

typedef struct redis_server {
    disk_fixture folder; /* its log counts lines and keeps the last error line */
    char address[300];
    pid_t pid;
    const char *extra[8]; /* arguments, for the next start */
} redis_server;

/* Starts and waits until it answers. `extra` (may be NULL) ends with NULL. Aborts where that fails. */
void redis_server_start(redis_server *s, const char *const *extra);
void redis_server_kill(redis_server *s);    /* SIGKILL, and waits */
void redis_server_restart(redis_server *s); /* on the same socket */
void redis_server_stop(redis_server *s);    /* ends it, removes the folder */

/* Options that suit the server: prefix "test", TTL of an hour, limits of 2 s. */
pm_redis_options redis_server_options(const redis_server *s);
pm_redis *redis_server_open(redis_server *s);

/* One command of plain words on a connection of its own, as the operator would; aborts on an error reply. The integer
 * of the reply, or its number of elements, or 1 for a status. */
long long redis_server_tell(redis_server *s, const char *command);
/* Fails the test unless every key has a TTL and no string is over 1 MiB; the number of keys. */
size_t redis_server_check_keys(redis_server *s);

#endif
