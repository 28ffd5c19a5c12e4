#include "redis_fixture.h"

void redis_fixture_begin(redis_fixture *d) {
    redis_server_start(&d->server, NULL);
    d->r = redis_server_open(&d->server);
}

void redis_fixture_end(redis_fixture *d) {
    (void)redis_server_check_keys(&d->server);
    pmi_redis_close(d->r);
    redis_server_stop(&d->server);
}
