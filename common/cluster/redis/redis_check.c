/* Whether the server is fit for the cluster, and lets us do what the cluster does. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "redis/redis_impl.h"

/* ---- policy ---- */

/* "name:" at the beginning of a line of INFO; its value into `value`, cut at its end. */
static bool info_value(const char *info, const char *name, char *value, size_t n) {
    size_t length = strlen(name);
    for (const char *line = info; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, length) == 0 && line[length] == ':') {
            size_t size = strcspn(line + length + 1, "\r\n");
            (void)snprintf(value, n, "%.*s", (int)(size < n ? size : n - 1), line + length + 1);
            return true;
        }
    }
    return false;
}

static pm_status check_policy(const pm_redis *r, const char *policy, pm_error *err) {
    if (strcmp(policy, "noeviction") == 0) {
        return PM_OK;
    }
    return pmi_fail(
        err, PM_ECONFIG,
        "Redis at %s has maxmemory-policy %s, expected noeviction: with any other it drops traces of running "
        "jobs when it is full; set it in redis.conf, or with CONFIG SET maxmemory-policy noeviction",
        r->options.address, policy);
}

/* What may not be asked leaves *known false; all else is an error. */
static pm_status ask(pm_redis *r, const pm_span *argv, size_t argc, redisReply **reply, bool *known, pm_error *err) {
    pm_status st = pmi_redis_call(r, argv, argc, reply, err);
    *known = st == PM_OK;
    return st == PM_EPERMISSION || st == PM_EDATA ? PM_OK : st;
}

/* INFO tells policy and kind of server at once. */
static pm_status check_info(pm_redis *r, bool *known, pm_error *err) {
    redisReply *reply = NULL;
    pm_status st = ask(r, PM_WORDS(pmi_span_of("INFO")), &reply, known, err);
    if (st != PM_OK || !*known) {
        return st;
    }
    char value[64];
    const char *info = reply->type == REDIS_REPLY_STRING ? reply->str : "";
    if (info_value(info, "cluster_enabled", value, sizeof value) && strcmp(value, "0") != 0) {
        st = pmi_fail(err, PM_ECONFIG,
                      "Redis at %s is a node of a Redis Cluster, expected a server that holds all keys; set "
                      "redis.address to such a one",
                      r->options.address);
    } else {
        *known = info_value(info, "maxmemory_policy", value, sizeof value);
        st = *known ? check_policy(r, value, err) : PM_OK;
    }
    freeReplyObject(reply);
    return st;
}

static pm_status check_config(pm_redis *r, bool *known, pm_error *err) {
    redisReply *reply = NULL;
    pm_status st = ask(r, PM_WORDS(pmi_span_of("CONFIG"), pmi_span_of("GET"), pmi_span_of("maxmemory-policy")), &reply,
                       known, err);
    if (st != PM_OK || !*known) {
        return st;
    }
    *known = reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 && reply->element[1]->type == REDIS_REPLY_STRING;
    st = *known ? check_policy(r, reply->element[1]->str, err) : PM_OK;
    freeReplyObject(reply);
    return st;
}

/* ---- rights ---- */

enum { STRING_KEY, HASH_KEY, SET_KEY, SORTED_KEY, N_KEYS };
static const char *const key_words[N_KEYS] = {"@string", "@hash", "@set", "@sorted"};
static const char *const key_spaces[N_KEYS] = {"check-string", "check-hash", "check-set", "check-sorted"};

/* Each command that the cluster sends, once, on scratch keys that are gone afterwards. */
static const char *const trials[][8] = {
    {"SET", "@string", "1", "NX", "PX", "60000"},
    {"GETRANGE", "@string", "0", "1"},
    {"TIME"},
    {"TYPE", "@string"},
    {"PEXPIRE", "@string", "60000"},
    {"EXISTS", "@string"},
    {"HINCRBY", "@hash", "begun", "1"},
    {"HMGET", "@hash", "begun", "faults"},
    {"HSET", "@hash", "known", "1"},
    {"EVAL",
     "redis.call('PEXPIRE', KEYS[1], 60000) return {redis.call('EXISTS', KEYS[1]), redis.call('HGET', KEYS[1], "
     "'begun'), redis.call('HINCRBY', KEYS[1], 'begun', 1)}",
     "1", "@hash"},
    {"SADD", "@set", "1"},
    {"SMEMBERS", "@set"},
    {"SCARD", "@set"},
    {"SREM", "@set", "1"},
    {"ZADD", "@sorted", "1", "1"},
    {"ZREVRANGE", "@sorted", "0", "-1"},
    {"ZREM", "@sorted", "1"},
    {"ZREMRANGEBYSCORE", "@sorted", "-inf", "(0"},
    {"UNLINK", "@string", "@hash", "@set", "@sorted"},
};
#define N_TRIALS (sizeof trials / sizeof trials[0])

typedef struct rights {
    pm_redis *r;
    char refused[512]; /* names of the commands */
    char words[256];   /* of the server, about the first */
} rights;

/* Gathers what is refused, so that one look shows all that is missing; other errors end the check. */
static pm_status look(void *ctx, size_t i, const redisReply *reply, pm_error *err) {
    rights *seen = ctx;
    pm_status st = pmi_redis_reply_status(seen->r, reply, err);
    if (st != PM_EPERMISSION) {
        return st;
    }
    size_t used = strlen(seen->refused);
    (void)snprintf(seen->refused + used, sizeof seen->refused - used, "%s%s", used > 0 ? ", " : "", trials[i][0]);
    if (used == 0) {
        (void)snprintf(seen->words, sizeof seen->words, "%s", reply->str);
    }
    return PM_OK;
}

/* A name of scratch keys that nobody else uses at this moment. */
static pm_status scratch(pm_digest digest, pm_error *err) {
    const struct {
        double now;
        long pid;
    } seed = {pmi_seconds(), (long)getpid()};
    return pmi_digest(PM_SHA256, &seed, sizeof seed, digest, err);
}

static pm_status queue_trials(pm_redis *r, char keys[N_KEYS][PM_REDIS_KEY], pm_error *err) {
    for (size_t t = 0; t < N_TRIALS; t++) {
        pm_span argv[8];
        size_t argc = 0;
        for (; argc < 8 && trials[t][argc] != NULL; argc++) {
            argv[argc] = pmi_span_of(trials[t][argc]);
            for (size_t k = 0; k < N_KEYS; k++) {
                if (strcmp(trials[t][argc], key_words[k]) == 0) {
                    argv[argc] = pmi_span_of(keys[k]);
                }
            }
        }
        PM_TRY(pmi_redis_queue(r, argv, argc, err));
    }
    return PM_OK;
}

static pm_status check_rights(pm_redis *r, pm_error *err) {
    pm_digest digest;
    char keys[N_KEYS][PM_REDIS_KEY];
    rights seen = {.r = r};
    PM_TRY(scratch(digest, err));
    for (size_t k = 0; k < N_KEYS; k++) {
        (void)pmi_redis_key(r, key_spaces[k], digest, keys[k]);
    }
    PM_TRY(queue_trials(r, keys, err));
    PM_TRY(pmi_redis_flush(r, look, &seen, err));
    if (seen.refused[0] != 0) {
        return pmi_fail(err, PM_EPERMISSION,
                        "Redis at %s: user '%s' may not use %s (%s); the cluster needs all of them on keys %s:*",
                        r->options.address, r->options.user == NULL ? "default" : r->options.user, seen.refused,
                        seen.words, r->options.prefix);
    }
    return PM_OK;
}

pm_status pmi_redis_try_write(pm_redis *r, pm_error *err) {
    pm_digest digest;
    char key[PM_REDIS_KEY];
    PM_TRY(scratch(digest, err));
    redisReply *reply = NULL;
    PM_TRY(PM_CALL(r, &reply, err, pmi_span_of("SET"), pmi_redis_key(r, key_spaces[STRING_KEY], digest, key),
                   pmi_span_of("1"), pmi_span_of("PX"), pmi_span_of("100")));
    freeReplyObject(reply);
    return PM_OK;
}

/* ---- the cluster's key ---- */

#define KEY_NOTE "cluster-key"

/* The reply to GETRANGE of the note about it. */
static pm_status judge_note(const pm_redis *r, const char *key, const redisReply *reply, pm_error *err) {
    const pm_seal *seal = r->options.seal;
    const char *ours = seal != NULL ? pmi_seal_id(seal) : "";
    pm_status st = pmi_redis_reply_status(r, reply, err);
    if (st != PM_OK && st != PM_EDATA) {
        return st;
    }
    bool is_text = st == PM_OK && reply->type == REDIS_REPLY_STRING;
    if (is_text && (reply->len == 0 || strcmp(reply->str, ours) == 0)) {
        return PM_OK;
    }
    char found[PM_SEAL_ID_TEXT + 8] = "another";
    if (is_text && reply->len == PM_SEAL_ID_TEXT - 1 && strspn(reply->str, "0123456789abcdef") == reply->len) {
        (void)snprintf(found, sizeof found, "%s", reply->str);
    }
    return pmi_fail(
        err, PM_ECONFIG,
        "Redis at %s: what is stored there has seals of the cluster.key %s (%s says so), and here %s%s: set "
        "the cluster's key; where it was changed on purpose, delete that key of Redis",
        r->options.address, found, key, seal != NULL ? "it is " : "none is set", ours);
}

static pm_status see_note(void *ctx, size_t i, const redisReply *reply, pm_error *err) {
    const pm_redis *r = ctx;
    char key[PM_REDIS_KEY];
    (void)i;
    (void)pmi_redis_plain_key(r, KEY_NOTE, key);
    return judge_note(r, key, reply, err);
}

pm_status pmi_redis_see_key(pm_redis *r, pm_error *err) {
    char key[PM_REDIS_KEY], last[24];
    (void)snprintf(last, sizeof last, "%d", PM_SEAL_ID_TEXT);
    PM_TRY(PM_QUEUE(r, err, pmi_span_of("GETRANGE"), pmi_redis_plain_key(r, KEY_NOTE, key), pmi_span_of("0"),
                    pmi_span_of(last)));
    return pmi_redis_flush(r, see_note, r, err);
}

/* The first one writes it. */
static pm_status note_key(pm_redis *r, pm_error *err) {
    char key[PM_REDIS_KEY];
    pm_span name = pmi_redis_plain_key(r, KEY_NOTE, key);
    const pm_span ttl = PM_TTL(2.0 * r->options.ttl);
    PM_TRY(PM_QUEUE(r, err, pmi_span_of("SET"), name, pmi_span_of(pmi_seal_id(r->options.seal)), pmi_span_of("NX"),
                    pmi_span_of("PX"), ttl));
    PM_TRY(PM_QUEUE(r, err, pmi_span_of("PEXPIRE"), name, ttl));
    return pmi_redis_flush(r, NULL, NULL, err);
}

static pm_status check_key(pm_redis *r, pm_error *err) {
    pm_status st = r->options.seal != NULL ? note_key(r, err) : PM_OK;
    PM_THEN(st, pmi_redis_see_key(r, err));
    r->is_key_checked = st == PM_OK;
    return st;
}

pm_status pmi_redis_check(pm_redis *r, pm_error *err) {
    bool known = false;
    pm_status st = pmi_redis_connect(r, err);
    PM_THEN(st, check_info(r, &known, err));
    if (st == PM_OK && !known) {
        st = check_config(r, &known, err);
    }
    if (st == PM_OK && !known) {
        pmi_logf(r->log, PM_LOG_WARNING,
                 "Redis at %s tells neither INFO nor CONFIG GET: make sure that its maxmemory-policy is noeviction",
                 r->options.address);
    }
    PM_THEN(st, check_rights(r, err));
    return st == PM_OK && !r->is_key_checked ? check_key(r, err) : st;
}
