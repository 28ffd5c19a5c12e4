/* What the server's error replies mean. */
#include <string.h>

#include "redis/redis_impl.h"

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

pm_status pmi_redis_see_existing(void *ctx, size_t i, const redisReply *reply, pm_error *err) {
    pm_redis_asked *a = ctx;
    uint64_t there;
    pm_status st = pmi_redis_integer(a->r, reply, &there, err);
    a->exist[i] = there == 1;
    return st;
}
