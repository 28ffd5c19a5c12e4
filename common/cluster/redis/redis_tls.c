/* TLS, of hiredis since 1.0. Its contexts do not look at whom a certificate is for: OpenSSL is set up here. */
#include "redis/redis_impl.h"

#if defined(PM_HAVE_HIREDIS_SSL)

#include <hiredis/hiredis_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

struct pm_redis_tls {
    SSL_CTX *context;
};

static pm_status tls_error(const pm_redis *r, const char *what, pm_error *err) {
    char text[256];
    ERR_error_string_n(ERR_get_error(), text, sizeof text);
    return pmi_fail(err, PM_ECONFIG, "TLS to Redis at %s: %s: %s; look at redis.tls-ca", r->options.address, what,
                    text);
}

pm_status pmi_redis_tls_open(pm_redis *r, pm_error *err) {
    const char *ca = r->options.tls_ca;
    PM_TRY(PM_ZEROS(&r->tls, 1, "TLS to Redis", err));
    r->tls->context = SSL_CTX_new(TLS_client_method());
    if (r->tls->context == NULL || SSL_CTX_set_min_proto_version(r->tls->context, TLS1_2_VERSION) != 1) {
        return tls_error(r, "cannot be set up", err);
    }
    SSL_CTX_set_verify(r->tls->context, SSL_VERIFY_PEER, NULL);
    int rc = ca != NULL ? SSL_CTX_load_verify_locations(r->tls->context, ca, NULL)
                        : SSL_CTX_set_default_verify_paths(r->tls->context);
    return rc == 1 ? PM_OK : tls_error(r, ca != NULL ? ca : "the system's certificates", err);
}

/* The certificate must be for the host that was asked for, a name or an address; a unix socket has none. */
static bool expect_host(SSL *ssl, const char *host) {
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1) {
        return true;
    }
    ERR_clear_error(); /* no address, so a name */
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

pm_status pmi_redis_tls_start(pm_redis *r, pm_error *err) {
    SSL *ssl = SSL_new(r->tls->context);
    if (ssl == NULL || (r->port != 0 && !expect_host(ssl, r->host))) {
        SSL_free(ssl);
        pmi_redis_disconnect(r);
        return tls_error(r, "cannot be set up", err);
    }
    if (redisInitiateSSL(r->context, ssl) != REDIS_OK) {
        SSL_free(ssl);
        return pmi_redis_broken(r, "TLS", err);
    }
    return PM_OK;
}

void pmi_redis_tls_close(pm_redis *r) {
    if (r->tls != NULL) {
        SSL_CTX_free(r->tls->context);
        free(r->tls);
        r->tls = NULL;
    }
}

#else

pm_status pmi_redis_tls_open(pm_redis *r, pm_error *err) {
    return pmi_fail(err, PM_EUNAVAILABLE,
                    "TLS to Redis at %s is not available: this program was built with hiredis %d.%d.%d without "
                    "hiredis_ssl, which comes with 1.0; build it with that, or set redis.tls to false and reach Redis "
                    "through a TLS tunnel on this machine",
                    r->options.address, HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH);
}

pm_status pmi_redis_tls_start(pm_redis *r, pm_error *err) {
    return pmi_redis_tls_open(r, err);
}

void pmi_redis_tls_close(pm_redis *r) {
    r->tls = NULL;
}

#endif
