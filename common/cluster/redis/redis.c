#include "redis/redis_impl.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/number.h"

#define GRACE_SECONDS 0.5 /* after the deadline */
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

pm_status pmi_redis_open(const pm_redis_options *options, const pm_log *log, pm_redis **out, pm_error *err) {
    *out = NULL;
    PM_TRY(check_options(options, err));
    pm_redis *r = pmi_calloc(1, sizeof *r);
    PM_TRY(r != NULL ? PM_OK : pmi_fail_memory(err, "a connection to Redis", sizeof *r));
    r->options = *options;
    r->log = log;
    pm_status st = parse_address(r, err);
    if (st == PM_OK && options->tls) {
        st = pmi_redis_tls_open(r, err);
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
        pmi_redis_disconnect(r);
        pmi_redis_tls_close(r);
        free(r->host);
        free(r->queued);
        free(r);
    }
}

const pm_redis_options *pmi_redis_options_of(const pm_redis *r) {
    return &r->options;
}

/* ---- connecting ---- */

struct timeval pmi_redis_timeval(double seconds) {
    double whole = floor(seconds);
    struct timeval t = {.tv_sec = (time_t)whole, .tv_usec = (suseconds_t)((seconds - whole) * 1e6)};
    if (t.tv_sec == 0 && t.tv_usec == 0) {
        t.tv_usec = 1; /* zero would mean no limit */
    }
    return t;
}

void pmi_redis_disconnect(pm_redis *r) {
    if (r->context != NULL) {
        redisFree(r->context);
        r->context = NULL;
    }
    r->n_queued = 0;
}

pm_status pmi_redis_broken(pm_redis *r, const char *doing, pm_error *err) {
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
    pmi_redis_disconnect(r);
    return st;
}

/* ---- time limits ---- */

void pmi_redis_set_deadline(pm_redis *r, double deadline) {
    r->deadline = deadline;
}

static pm_status make_context(pm_redis *r, pm_error *err) {
    double seconds = pmi_redis_seconds_for(r, r->options.connect_seconds, 0);
    if (seconds == 0) {
        return pmi_redis_time_is_over(r, "connecting", err);
    }
    struct timeval limit = pmi_redis_timeval(seconds);
    r->has_answered = false;
    r->patience = pmi_redis_seconds_for(r, r->options.command_seconds, GRACE_SECONDS);
    r->context =
        r->port == 0 ? redisConnectUnixWithTimeout(r->host, limit) : redisConnectWithTimeout(r->host, r->port, limit);
    PM_TRY(r->context != NULL ? PM_OK : pmi_fail_memory(err, "a connection to Redis", sizeof *r->context));
    if (r->context->err != 0) {
        pm_status st = pmi_fail(err, PM_EUNAVAILABLE, "cannot connect to Redis at %s: %s" CHECK, r->options.address,
                                r->context->errstr);
        pmi_redis_disconnect(r);
        return st;
    }
    pmi_redis_bound_lists(r);
    if (redisSetTimeout(r->context, pmi_redis_timeval(r->patience)) != REDIS_OK ||
        (r->port != 0 && redisEnableKeepAlive(r->context) != REDIS_OK)) {
        return pmi_redis_broken(r, "connecting", err);
    }
    return r->tls != NULL ? pmi_redis_tls_start(r, err) : PM_OK;
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
        pmi_redis_disconnect(r);
        return pmi_fail_memory(err, "a command for Redis", argc * sizeof *argv);
    }
    return PM_OK;
}

/* A command on the bare connection. */
static pm_status exchange(pm_redis *r, const pm_span *argv, size_t argc, pm_error *err) {
    redisReply *reply = NULL;
    name_of(&argv[0], &r->current);
    PM_TRY(append(r, argv, argc, err));
    PM_TRY(pmi_redis_wait(r, r->current.text, &reply, err));
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
        pmi_redis_disconnect(r); /* never a connection that is not who it should be, or elsewhere */
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
        pmi_redis_disconnect(r);
        return pmi_fail_memory(err, "a pipeline of Redis", r->n_queued * sizeof *r->queued);
    }
    PM_TRY(append(r, argv, argc, err));
    name_of(&argv[0], &r->queued[r->n_queued++]);
    return PM_OK;
}

void pmi_redis_abandon(pm_redis *r) {
    if (r->n_queued > 0) {
        pmi_redis_disconnect(r);
    }
}

static pm_status no_errors(void *ctx, size_t i, const redisReply *reply, pm_error *err) {
    (void)i;
    return pmi_redis_reply_status(ctx, reply, err);
}

pm_status pmi_redis_flush(pm_redis *r, pm_redis_visit visit, void *ctx, pm_error *err) {
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
        PM_TRY(pmi_redis_wait(r, n == 1 ? r->current.text : doing, &reply, err));
        if (first == PM_OK) {
            first = visit(ctx, i, reply, err);
        }
        freeReplyObject(reply);
    }
    r->n_queued = 0;
    return first;
}

pm_status pmi_redis_call(pm_redis *r, const pm_span *argv, size_t argc, redisReply **reply, pm_error *err) {
    *reply = NULL;
    if (r->n_queued > 0) {
        return pmi_fail(err, PM_ESOFTWARE, "a Redis command between %zu queued ones", r->n_queued);
    }
    PM_TRY(pmi_redis_queue(r, argv, argc, err));
    r->current = r->queued[0];
    PM_TRY(pmi_redis_wait(r, r->current.text, reply, err));
    r->n_queued = 0;
    pm_status st = pmi_redis_reply_status(r, *reply, err);
    if (st != PM_OK) {
        freeReplyObject(*reply);
        *reply = NULL;
    }
    return st;
}

/* ---- the server's clock ---- */

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
