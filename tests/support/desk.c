#include "desk.h"

void desk_begin(desk *d) {
    redis_server_start(&d->server, NULL);
    d->r = redis_server_open(&d->server);
}

void desk_end(desk *d) {
    (void)redis_server_check_keys(&d->server);
    pmi_redis_close(d->r);
    redis_server_stop(&d->server);
}
