#include "redis/redis_impl.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/number.h"

#if defined(PM_HAVE_HIREDIS_SSL)
#include <hiredis/hiredis_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#endif

#define GRACE_SECONDS 0.5        /* after the deadline */
#define WHOLE 2.0                /* times the patience for a read: for all reads of a reply */
#define MAX_ELEMENTS (1LL << 24) /* of a list: those of a job's units and of workers are far below */
#define CHECK "; check redis.address"

/* ---- opening ---- */

static pm_status bad_address(const char *address, pm_error *err) {
    return pmi_fail(err, PM_ECONFIG, "Redis address '%s', expected host:port, [v6]:port or unix:/path", address);
}

static pm_status parse_address(pm_redis *r, pm_error *err) {
    const char *address = r->options.address, *begin = address;
    size_t n;
    if (strncmp(address, "unix:", 5) == 0) {
        begin += 5;
        n = strlen(begin);
        r->port = 0;
    } else {
        const char *colon = strrchr(address, ':');
        size_t port = 0;
        if (colon == NULL || strlen(colon) > 6 || !pmi_count_parse(colon + 1, &port) || port == 0 || port > 65535) {
            return bad_address(address, err);
        }
        r->port = (int)port;
        n = (size_t)(colon - address);
        if (n >= 2 && address[0] == '[' && address[n - 1] == ']') {
            begin++;
            n -= 2;
        } else if (memchr(address, ':', n) != NULL) {
            return bad_address(address, err);
        }
    }
    if (n == 0) {
        return bad_address(address, err);
    }
    r->host = pmi_malloc(n + 1, 1);
    PM_TRY(r->host != NULL ? PM_OK : pmi_fail_memory(err, "the address of Redis", n + 1));
    memcpy(r->host, begin, n);
    r->host[n] = 0;
    return PM_OK;
}

static bool is_time(double seconds) {
    return seconds > 0.0 && seconds <= 1e10; /* in milliseconds it fits an int64 by far */
}

/* Braces in the prefix would move the hash tag. */
static bool is_prefix(const char *prefix) {
    size_t n = prefix == NULL ? 0 : strlen(prefix);
    for (size_t i = 0; i < n; i++) {
        if (!isgraph((unsigned char)prefix[i]) || prefix[i] == '{' || prefix[i] == '}') {
            return false;
        }
    }
    return n > 0 && n <= PM_REDIS_PREFIX;
}

static pm_status check_options(const pm_redis_options *o, pm_error *err) {
    if (o->address == NULL) {
        return pmi_fail(err, PM_EUNAVAILABLE, "no Redis address; set redis.address");
    }
    if (!is_prefix(o->prefix)) {
        return pmi_fail(err, PM_ECONFIG, "prefix of Redis keys '%s', expected 1 to %d printable characters, no braces",
                        o->prefix == NULL ? "" : o->prefix, PM_REDIS_PREFIX);
    }
    if (!is_time(o->connect_seconds) || !is_time(o->command_seconds) || !is_time(o->ttl)) {
        return pmi_fail(err, PM_ECONFIG,
                        "Redis time limits of %g s (connecting) and %g s (commands), values kept for %g s: expected "
                        "above 0 and at most 1e10",
                        o->connect_seconds, o->command_seconds, o->ttl);
    }
    return PM_OK;
}

/* What was queued is gone. */
static void disconnect(pm_redis *r) {
    if (r->context != NULL) {
        redisFree(r->context);
        r->context = NULL;
    }
    r->n_queued = 0;
}

/* The context's fault as an error; closes the connection. */
static pm_status broken(pm_redis *r, const char *doing, pm_error *err) {
    int code = errno;
    const redisContext *c = r->context;
    const char *address = r->options.address, *words = c->err != 0 ? c->errstr : "for an unknown reason";
    pm_status st;
    if (c->err == REDIS_ERR_OOM) {
        st = pmi_fail_memory(err, "talking to Redis", 0);
    } else if (c->err == REDIS_ERR_IO && (code == EAGAIN || code == EWOULDBLOCK)) {
        st = pmi_fail(err, PM_EUNAVAILABLE, "Redis at %s: %s: no answer within %.3g s%s", address, doing, r->patience,
                      r->has_answered ? "" : CHECK);
    } else if (c->err == REDIS_ERR_PROTOCOL) {
        st = pmi_fail(err, PM_EUNAVAILABLE, "Redis at %s: %s: what answers there is no Redis: %s" CHECK, address, doing,
                      words);
    } else if (!r->has_answered) {
        st = pmi_fail(
            err, PM_EUNAVAILABLE,
            "Redis at %s: %s: the connection was closed before any answer, as by a server that is no Redis, or "
            "one that expects TLS: %s; check redis.address and redis.tls",
            address, doing, words);
    } else {
        st = pmi_fail(err, PM_EUNAVAILABLE, "Redis at %s: %s: connection lost: %s", address, doing, words);
    }
    disconnect(r);
    return st;
}

/* TLS, of hiredis since 1.0. Its contexts do not look at whom a certificate is for: OpenSSL is set up here. */
#if defined(PM_HAVE_HIREDIS_SSL)

struct pm_redis_tls {
    SSL_CTX *context;
};

static pm_status tls_error(const pm_redis *r, const char *what, pm_error *err) {
    char text[256];
    ERR_error_string_n(ERR_get_error(), text, sizeof text);
    return pmi_fail(err, PM_ECONFIG, "TLS to Redis at %s: %s: %s; look at redis.tls-ca", r->options.address, what,
                    text);
}

static pm_status tls_open(pm_redis *r, pm_error *err) {
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

static pm_status tls_start(pm_redis *r, pm_error *err) {
    SSL *ssl = SSL_new(r->tls->context);
    if (ssl == NULL || (r->port != 0 && !expect_host(ssl, r->host))) {
        SSL_free(ssl);
        disconnect(r);
        return tls_error(r, "cannot be set up", err);
    }
    if (redisInitiateSSL(r->context, ssl) != REDIS_OK) {
        SSL_free(ssl);
        return broken(r, "TLS", err);
    }
    return PM_OK;
}

static void tls_close(pm_redis *r) {
    if (r->tls != NULL) {
        SSL_CTX_free(r->tls->context);
        free(r->tls);
        r->tls = NULL;
    }
}

#else

static pm_status tls_open(pm_redis *r, pm_error *err) {
    return pmi_fail(err, PM_EUNAVAILABLE,
                    "TLS to Redis at %s is not available: this program was built with hiredis %d.%d.%d without "
                    "hiredis_ssl, which comes with 1.0; build it with that, or set redis.tls to false and reach Redis "
                    "through a TLS tunnel on this machine",
                    r->options.address, HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH);
}

static pm_status tls_start(pm_redis *r, pm_error *err) {
    return tls_open(r, err);
}

static void tls_close(pm_redis *r) {
    r->tls = NULL;
}

#endif

pm_status pmi_redis_open(const pm_redis_options *options, const pm_log *log, pm_redis **out, pm_error *err) {
    *out = NULL;
    PM_TRY(check_options(options, err));
    pm_redis *r = pmi_calloc(1, sizeof *r);
    PM_TRY(r != NULL ? PM_OK : pmi_fail_memory(err, "a connection to Redis", sizeof *r));
    r->options = *options;
    r->log = log;
    pm_status st = parse_address(r, err);
    if (st == PM_OK && options->tls) {
        st = tls_open(r, err);
    }
    if (st != PM_OK) {
        pmi_redis_close(r);
        return st;
    }
    *out = r;
    return PM_OK;
}

void pmi_redis_close(pm_redis *r) {
    if (r != NULL) {
        disconnect(r);
        tls_close(r);
        free(r->host);
        free(r->queued);
        free(r);
    }
}

const pm_redis_options *pmi_redis_options_of(const pm_redis *r) {
    return &r->options;
}

/* ---- connecting ---- */

static struct timeval timeval_of(double seconds) {
    double whole = floor(seconds);
    struct timeval t = {.tv_sec = (time_t)whole, .tv_usec = (suseconds_t)((seconds - whole) * 1e6)};
    if (t.tv_sec == 0 && t.tv_usec == 0) {
        t.tv_usec = 1; /* zero would mean no limit */
    }
    return t;
}

/* ---- what replies mean ---- */

typedef struct meaning {
    const char *begins; /* of the reply */
    pm_status status;
    const char *remedy;
} meaning;

#define AS_WHOM "; set redis.user and redis.password (PHASEMILL_REDIS_PASSWORD_FILE) to what the server expects"
#define MANUAL "; docs/cluster.md lists the rights that the cluster needs"
#define ONE_SERVER "; a Redis Cluster is not supported: redis.address must be one server that holds all keys"

/* the first that fits */
static const meaning meanings[] = {
    {"OOM ", PM_ETEMPORARY, "; give Redis more memory (maxmemory), or remove jobs"},
    {"LOADING ", PM_ETEMPORARY, ""},
    {"BUSY ", PM_ETEMPORARY, ""},
    {"READONLY ", PM_ETEMPORARY, "; redis.address must be the primary"},
    {"MASTERDOWN ", PM_ETEMPORARY, ""},
    {"MISCONF ", PM_ETEMPORARY, "; look at the server's disk and log"},
    {"NOREPLICAS ", PM_ETEMPORARY, ""},
    {"TRYAGAIN ", PM_ETEMPORARY, ""},
    {"CLUSTERDOWN ", PM_ETEMPORARY, ""},
    {"ERR max number of clients reached", PM_ETEMPORARY, "; raise the server's maxclients"},
    {"NOAUTH ", PM_EPERMISSION, AS_WHOM},
    {"WRONGPASS ", PM_EPERMISSION, AS_WHOM},
    {"ERR invalid password", PM_EPERMISSION, AS_WHOM}, /* before 6.0 */
    {"ERR AUTH <password> called without any password", PM_EPERMISSION, AS_WHOM},
    {"ERR Client sent AUTH, but no password is set", PM_EPERMISSION, AS_WHOM}, /* before 6.0 */
    {"NOPERM ", PM_EPERMISSION, MANUAL},
    {"DENIED ", PM_EPERMISSION, ""},
    {"MOVED ", PM_ECONFIG, ONE_SERVER},
    {"ASK ", PM_ECONFIG, ONE_SERVER},
    {"CROSSSLOT ", PM_ECONFIG, ONE_SERVER},
    {"ERR DB index is out of range", PM_ECONFIG, "; set redis.database to one that the server has"},
    {"ERR invalid DB index", PM_ECONFIG, "; set redis.database to one that the server has"},
};

static bool begins_with(const char *text, const char *begin) {
    return strncmp(text, begin, strlen(begin)) == 0;
}

/* What a script may not do is told in words that stand anywhere, and differ from version to version. */
static bool is_refused_within_script(const char *text) {
    return strstr(text, "The user executing the script can't") != NULL || strstr(text, "ACL failure in script") != NULL;
}

static const meaning *find_meaning(const char *text) {
    static const meaning refused = {"", PM_EPERMISSION, MANUAL};
    if (is_refused_within_script(text)) {
        return &refused;
    }
    for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++) {
        if (begins_with(text, meanings[i].begins)) {
            return &meanings[i];
        }
    }
    return NULL;
}

/* Before Redis 7, what a command within a script answered stood behind "ERR Error running script (...): ...: -". */
static const char *within_script(const char *text) {
    const char *inner = begins_with(text, "ERR Error running script") ? strstr(text, ": -") : NULL;
    return inner != NULL ? inner + 3 : text;
}

pm_status pmi_redis_reply_status(const pm_redis *r, const redisReply *reply, pm_error *err) {
    if (reply->type != REDIS_REPLY_ERROR) {
        return PM_OK;
    }
    const meaning *m = find_meaning(within_script(reply->str));
    return pmi_fail(err, m != NULL ? m->status : PM_EDATA, "Redis at %s refused %s: %s%s", r->options.address,
                    r->current.text, reply->str, m != NULL ? m->remedy : "");
}

pm_status pmi_redis_unexpected(const pm_redis *r, const redisReply *reply, const char *expected, pm_error *err) {
    static const char *const types[] = {"nothing",  "a string", "an array", "an integer",
                                        "no value", "a status", "an error"};
    size_t type = (size_t)reply->type;
    return pmi_fail(err, PM_EDATA, "Redis at %s answered %s with %s, expected %s", r->options.address, r->current.text,
                    type < sizeof types / sizeof types[0] ? types[type] : "another type", expected);
}

bool pmi_redis_digits(const redisReply *reply, uint64_t *out) {
    *out = 0;
    if (reply->type != REDIS_REPLY_STRING || reply->len == 0 || reply->len > 18) {
        return false;
    }
    for (size_t i = 0; i < reply->len; i++) {
        if (reply->str[i] < '0' || reply->str[i] > '9') {
            return false;
        }
        *out = *out * 10 + (uint64_t)(reply->str[i] - '0');
    }
    return true;
}

pm_status pmi_redis_integer(const pm_redis *r, const redisReply *reply, uint64_t *out, pm_error *err) {
    *out = 0;
    PM_TRY(pmi_redis_reply_status(r, reply, err));
    if (reply->type != REDIS_REPLY_INTEGER || reply->integer < 0) {
        return pmi_redis_unexpected(r, reply, "an integer of at least 0", err);
    }
    *out = (uint64_t)reply->integer;
    return PM_OK;
}

/* ---- time limits: hiredis waits as long as bytes come, as from a server that is no Redis, or crawls ---- */

void pmi_redis_set_deadline(pm_redis *r, double deadline) {
    r->deadline = deadline;
}

static double seconds_for(const pm_redis *r, double max, double grace) {
    double left = r->deadline == 0 ? max : r->deadline + grace - pmi_seconds();
    return left <= 0 ? 0 : left < max ? left : max;
}

static pm_status time_is_over(pm_redis *r, const char *doing, pm_error *err) {
    disconnect(r);
    return pmi_fail(err, PM_ETEMPORARY, "Redis at %s: %s: time is over", r->options.address, doing);
}

/* How long one read or write may take. */
static pm_status limit_step(pm_redis *r, const char *doing, pm_error *err) {
    double seconds = seconds_for(r, r->options.command_seconds, GRACE_SECONDS);
    if (seconds == 0) {
        return time_is_over(r, doing, err);
    }
    if (seconds != r->patience) {
        r->patience = seconds;
        if (redisSetTimeout(r->context, timeval_of(seconds)) != REDIS_OK) {
            return broken(r, doing, err);
        }
    }
    return PM_OK;
}

static pm_status crawls(pm_redis *r, const char *doing, double seconds, pm_error *err) {
    disconnect(r);
    return pmi_fail(err, PM_EUNAVAILABLE,
                    "Redis at %s: %s: no whole answer within %.3g s, though bytes of one came; check redis.address",
                    r->options.address, doing, seconds);
}

static pm_status too_long(pm_redis *r, const char *doing, pm_error *err) {
    disconnect(r);
    return pmi_fail(err, PM_EUNAVAILABLE,
                    "Redis at %s: %s: a list of %lld elements, expected at most %lld; check redis.address",
                    r->options.address, doing, r->replies.refused, MAX_ELEMENTS);
}

/* The next reply; free with freeReplyObject. `doing` is named in errors, which close the connection. */
static pm_status wait_for(pm_redis *r, const char *doing, redisReply **reply, pm_error *err) {
    int is_written = 0;
    bool is_fine = true;
    void *answer = NULL;
    double begun = 0;
    r->replies.refused = 0;
    pm_status st = limit_step(r, doing, err);
    while (st == PM_OK && is_fine && answer == NULL) {
        is_fine = redisGetReplyFromReader(r->context, &answer) == REDIS_OK;
        if (!is_fine || answer != NULL) {
            break;
        }
        double now = pmi_seconds(), max = WHOLE * r->options.command_seconds;
        begun = is_written && begun > 0 ? begun : now; /* writing may take as long as it goes on */
        if (r->deadline > 0 && now > r->deadline + GRACE_SECONDS) {
            st = time_is_over(r, doing, err);
        } else if (now > begun + max) {
            st = crawls(r, doing, max, err);
        } else {
            is_fine =
                (is_written ? redisBufferRead(r->context) : redisBufferWrite(r->context, &is_written)) == REDIS_OK;
        }
    }
    if (st == PM_OK && !is_fine) {
        st = r->replies.refused > 0 ? too_long(r, doing, err) : broken(r, doing, err);
    }
    r->has_answered = r->has_answered || st == PM_OK;
    *reply = answer;
    return st;
}

/* ---- the connection ---- */

#if HIREDIS_MAJOR < 1
typedef int list_length;
#else
typedef size_t list_length;
#endif

/* hiredis takes the memory for a list before its first element has come. */
static void *make_list(const redisReadTask *task, list_length n) {
    pm_redis *r = task->privdata;
    r->replies.refused = (long long)n > MAX_ELEMENTS ? (long long)n : 0;
    return r->replies.refused > 0 ? NULL : r->replies.standard->createArray(task, n);
}

static void bound_lists(pm_redis *r) {
    redisReader *reader = r->context->reader;
    r->replies.standard = reader->fn;
    r->replies.bounded = *reader->fn;
    r->replies.bounded.createArray = make_list;
    reader->fn = &r->replies.bounded;
    reader->privdata = r;
}

static pm_status make_context(pm_redis *r, pm_error *err) {
    double seconds = seconds_for(r, r->options.connect_seconds, 0);
    if (seconds == 0) {
        return time_is_over(r, "connecting", err);
    }
    struct timeval limit = timeval_of(seconds);
    r->has_answered = false;
    r->patience = seconds_for(r, r->options.command_seconds, GRACE_SECONDS);
    r->context =
        r->port == 0 ? redisConnectUnixWithTimeout(r->host, limit) : redisConnectWithTimeout(r->host, r->port, limit);
    PM_TRY(r->context != NULL ? PM_OK : pmi_fail_memory(err, "a connection to Redis", sizeof *r->context));
    if (r->context->err != 0) {
        pm_status st = pmi_fail(err, PM_EUNAVAILABLE, "cannot connect to Redis at %s: %s" CHECK, r->options.address,
                                r->context->errstr);
        disconnect(r);
        return st;
    }
    bound_lists(r);
    if (redisSetTimeout(r->context, timeval_of(r->patience)) != REDIS_OK ||
        (r->port != 0 && redisEnableKeepAlive(r->context) != REDIS_OK)) {
        return broken(r, "connecting", err);
    }
    return r->tls != NULL ? tls_start(r, err) : PM_OK;
}

static void name_of(const pm_span *word, pm_redis_name *out) {
    size_t n = word->size < sizeof out->text ? word->size : sizeof out->text - 1;
    memcpy(out->text, word->bytes, n);
    out->text[n] = 0;
}

static pm_status append(pm_redis *r, const pm_span *argv, size_t argc, pm_error *err) {
    const char *texts[PM_REDIS_WORDS];
    size_t sizes[PM_REDIS_WORDS];
    for (size_t i = 0; i < argc; i++) {
        texts[i] = argv[i].bytes == NULL ? "" : (const char *)argv[i].bytes;
        sizes[i] = argv[i].size;
    }
    if (redisAppendCommandArgv(r->context, (int)argc, texts, sizes) != REDIS_OK) {
        disconnect(r);
        return pmi_fail_memory(err, "a command for Redis", argc * sizeof *argv);
    }
    return PM_OK;
}

/* A command on the bare connection. */
static pm_status exchange(pm_redis *r, const pm_span *argv, size_t argc, pm_error *err) {
    redisReply *reply = NULL;
    name_of(&argv[0], &r->current);
    PM_TRY(append(r, argv, argc, err));
    PM_TRY(wait_for(r, r->current.text, &reply, err));
    pm_status st = pmi_redis_reply_status(r, reply, err);
    freeReplyObject(reply);
    return st;
}

static pm_status introduce(pm_redis *r, pm_error *err) {
    const pm_redis_options *o = &r->options;
    const pm_span password = pmi_span_of(o->password != NULL ? o->password : "");
    if (o->user != NULL) {
        PM_TRY(exchange(r, PM_WORDS(pmi_span_of("AUTH"), pmi_span_of(o->user), password), err));
    } else if (o->password != NULL) {
        PM_TRY(exchange(r, PM_WORDS(pmi_span_of("AUTH"), password), err));
    }
    return o->database == 0 ? PM_OK : exchange(r, PM_WORDS(pmi_span_of("SELECT"), PM_COUNT(o->database)), err);
}

pm_status pmi_redis_connect(pm_redis *r, pm_error *err) {
    if (r->context != NULL) {
        return PM_OK;
    }
    PM_TRY(make_context(r, err));
    pm_status st = introduce(r, err);
    if (st != PM_OK) {
        disconnect(r); /* never a connection that is not who it should be, or elsewhere */
    }
    return st;
}

/* ---- pipelines ---- */

pm_status pmi_redis_queue(pm_redis *r, const pm_span *argv, size_t argc, pm_error *err) {
    if (argc == 0 || argc > PM_REDIS_WORDS) {
        return pmi_fail(err, PM_ESOFTWARE, "a Redis command of %zu words", argc);
    }
    pm_status st = PM_OK;
    /* A connection that was lost with commands in its pipeline stays lost until they are flushed: those in front would
     * else be dropped in silence. hiredis does no I/O before that, so only memory can be the cause here. */
    if (r->n_queued == 0) {
        st = pmi_redis_connect(r, err);
    }
    PM_TRY(st);
    if (!pmi_reserve((void **)&r->queued, &r->capacity, r->n_queued + 1, sizeof *r->queued)) {
        disconnect(r);
        return pmi_fail_memory(err, "a pipeline of Redis", r->n_queued * sizeof *r->queued);
    }
    PM_TRY(append(r, argv, argc, err));
    name_of(&argv[0], &r->queued[r->n_queued++]);
    return PM_OK;
}

void pmi_redis_abandon(pm_redis *r) {
    if (r->n_queued > 0) {
        disconnect(r);
    }
}

static pm_status no_errors(void *ctx, size_t i, const redisReply *reply, pm_error *err) {
    (void)i;
    return pmi_redis_reply_status(ctx, reply, err);
}

/* The first command has the number `from`. */
static pm_status flush_from(pm_redis *r, size_t from, pm_redis_visit visit, void *ctx, pm_error *err) {
    pm_status first = PM_OK;
    size_t n = r->n_queued;
    if (visit == NULL) {
        visit = no_errors;
        ctx = r;
    }
    for (size_t i = 0; i < n; i++) {
        redisReply *reply = NULL;
        char doing[96] = "";
        r->current = r->queued[i];
        (void)snprintf(doing, sizeof doing, "%s (command %zu of %zu sent together)", r->current.text, i + 1, n);
        PM_TRY(wait_for(r, n == 1 ? r->current.text : doing, &reply, err));
        if (first == PM_OK) {
            first = visit(ctx, from + i, reply, err);
        }
        freeReplyObject(reply);
    }
    r->n_queued = 0;
    return first;
}

pm_status pmi_redis_flush(pm_redis *r, pm_redis_visit visit, void *ctx, pm_error *err) {
    return flush_from(r, 0, visit, ctx, err);
}

pm_status pmi_redis_batches(pm_redis *r, size_t n, pm_redis_ask ask, pm_redis_visit visit, void *ctx, pm_error *err) {
    for (size_t i = 0, seen = 0; i < n; i++) {
        PM_TRY(ask(ctx, i, err));
        if (r->n_queued >= PM_REDIS_BATCH || i + 1 == n) {
            size_t n_queued = r->n_queued;
            PM_TRY(flush_from(r, seen, visit, ctx, err));
            seen += n_queued;
        }
    }
    return PM_OK;
}

pm_status pmi_redis_call(pm_redis *r, const pm_span *argv, size_t argc, redisReply **reply, pm_error *err) {
    *reply = NULL;
    if (r->n_queued > 0) {
        return pmi_fail(err, PM_ESOFTWARE, "a Redis command between %zu queued ones", r->n_queued);
    }
    PM_TRY(pmi_redis_queue(r, argv, argc, err));
    r->current = r->queued[0];
    PM_TRY(wait_for(r, r->current.text, reply, err));
    r->n_queued = 0;
    pm_status st = pmi_redis_reply_status(r, *reply, err);
    if (st != PM_OK) {
        freeReplyObject(*reply);
        *reply = NULL;
    }
    return st;
}

pm_status pmi_redis_now(pm_redis *r, double *now, pm_error *err) {
    redisReply *reply = NULL;
    uint64_t seconds = 0, micros = 0;
    *now = 0;
    pm_status st = PM_CALL(r, &reply, err, pmi_span_of("TIME"));
    if (st == PM_OK &&
        (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || !pmi_redis_digits(reply->element[0], &seconds) ||
         !pmi_redis_digits(reply->element[1], &micros))) {
        st = pmi_redis_unexpected(r, reply, "two numbers", err);
    }
    if (st == PM_OK) {
        *now = (double)seconds + 1e-6 * (double)micros;
    }
    freeReplyObject(reply);
    return st;
}

/* ---- keys ---- */

pm_span pmi_redis_key(const pm_redis *r, const char *space, const pm_digest digest, char key[PM_REDIS_KEY]) {
    char hex[PM_DIGEST_HEX];
    pmi_hex(digest, hex);
    (void)snprintf(key, PM_REDIS_KEY, "%s:%s:{%s}", r->options.prefix, space, hex);
    return pmi_span_of(key);
}

pm_span pmi_redis_plain_key(const pm_redis *r, const char *name, char key[PM_REDIS_KEY]) {
    (void)snprintf(key, PM_REDIS_KEY, "%s:%s", r->options.prefix, name);
    return pmi_span_of(key);
}

pm_span pmi_redis_count(uint64_t n, char text[PM_REDIS_NUMBER]) {
    (void)snprintf(text, PM_REDIS_NUMBER, "%" PRIu64, n);
    return pmi_span_of(text);
}

/* ---- what is there ---- */

pm_status pmi_redis_see_existing(void *ctx, size_t i, const redisReply *reply, pm_error *err) {
    pm_redis_asked *a = ctx;
    uint64_t there;
    pm_status st = pmi_redis_integer(a->r, reply, &there, err);
    a->exist[i] = there == 1;
    return st;
}

static pm_status ask_for(void *ctx, size_t i, pm_error *err) {
    const pm_redis_asked *a = ctx;
    const pm_span key = PM_KEY(a->r, a->space, a->digests[i]);
    return a->refresh ? PM_QUEUE(a->r, err, pmi_span_of("PEXPIRE"), key, PM_TTL(a->r->options.ttl))
                      : PM_QUEUE(a->r, err, pmi_span_of("EXISTS"), key);
}

pm_status pmi_redis_exist(pm_redis *r, const char *space, const pm_digest *digests, size_t n, bool refresh, bool *exist,
                          pm_error *err) {
    pm_redis_asked a = {.r = r, .space = space, .digests = digests, .refresh = refresh, .exist = exist};
    return pmi_redis_batches(r, n, ask_for, pmi_redis_see_existing, &a, err);
}
