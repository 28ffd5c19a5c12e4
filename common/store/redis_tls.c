/* TLS, which hiredis has since 1.0 in a library of its own. */
#include "store/redis_impl.h"

#if defined(PM_HAVE_HIREDIS_SSL)

#include <hiredis/hiredis_ssl.h>

struct pm_redis_tls {
    redisSSLContext *ssl;
};

pm_status pm_redis_tls_open(pm_redis *r, pm_error *err) {
    redisSSLContextError fault = REDIS_SSL_CTX_NONE;
    r->tls = calloc(1, sizeof *r->tls);
    if (r->tls == NULL) {
        return pm_fail_memory(err, "TLS to Redis", sizeof *r->tls);
    }
    (void)redisInitOpenSSL();
    r->tls->ssl = redisCreateSSLContext(r->options.tls_ca, r->options.tls_ca == NULL ? "/etc/ssl/certs" : NULL, NULL,
                                        NULL, r->port != 0 ? r->host : NULL, &fault);
    if (r->tls->ssl == NULL) {
        return pm_fail(err, PM_ECONFIG, "TLS to Redis at %s: %s; look at redis.tls-ca", r->options.address,
                       redisSSLContextGetError(fault));
    }
    return PM_OK;
}

pm_status pm_redis_tls_start(pm_redis *r, pm_error *err) {
    if (redisInitiateSSLWithContext(r->context, r->tls->ssl) != REDIS_OK) {
        return pm_redis_broken(r, "TLS", err);
    }
    return PM_OK;
}

void pm_redis_tls_close(pm_redis *r) {
    if (r->tls != NULL) {
        redisFreeSSLContext(r->tls->ssl);
        free(r->tls);
        r->tls = NULL;
    }
}

#else

pm_status pm_redis_tls_open(pm_redis *r, pm_error *err) {
    return pm_fail(err, PM_EUNAVAILABLE,
                   "TLS to Redis at %s is not available: this program was built with hiredis %d.%d.%d without "
                   "hiredis_ssl, which comes with 1.0; build it with that, or set redis.tls to false and reach Redis "
                   "through a TLS tunnel on this machine",
                   r->options.address, HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH);
}

pm_status pm_redis_tls_start(pm_redis *r, pm_error *err) {
    return pm_redis_tls_open(r, err);
}

void pm_redis_tls_close(pm_redis *r) {
    r->tls = NULL;
}

#endif
