/* What the files of the Redis connection share. */
#ifndef PM_REDIS_REDIS_IMPL_H
#define PM_REDIS_REDIS_IMPL_H

#include <inttypes.h>
#include <math.h>

#include "redis/redis.h"

#define PM_REDIS_COMMAND 16 /* bytes of a command's name with its final zero */
#define PM_REDIS_PREFIX 64  /* the longest prefix of keys */
#define PM_REDIS_WORDS 16   /* of a command */
#define PM_REDIS_TOLD 64    /* bad values that are remembered as told */

typedef struct pm_redis_name {
    char text[PM_REDIS_COMMAND];
} pm_redis_name;

struct pm_redis {
    pm_redis_options options;
    const pm_log *log;
    char *host; /* or the path of a unix socket, when port is 0 */
    int port;
    redisContext *context; /* NULL: not connected */
    bool has_answered;     /* on this connection, as Redis does */
    double deadline;       /* pmi_seconds(); 0: none */
    double patience;       /* seconds that the command at hand may take */
    struct pm_redis_tls *tls;
    pm_redis_name *queued; /* names of the commands of the pipeline, in order */
    size_t n_queued, capacity;
    pm_redis_name current;        /* the command whose reply is looked at */
    uint64_t told[PM_REDIS_TOLD]; /* hashes of keys whose values were called bad in a log line; 0: free */
    size_t n_told;
    struct {
        redisReplyObjectFunctions *standard, bounded;
        long long refused; /* elements of a list that is too long; 0: none */
    } replies;             /* how hiredis makes them */
    bool is_key_checked;   /* the cluster has our key, or none as we have */
};

/* Connects and says who we are, unless connected. */
pm_status pmi_redis_connect(pm_redis *r, pm_error *err);
/* ---- commands ---- */

/* One command: pmi_redis_queue or pmi_redis_call of the words that follow. */
#define PM_WORDS(...) (const pm_span[]){__VA_ARGS__}, sizeof((const pm_span[]){__VA_ARGS__}) / sizeof(pm_span)
#define PM_QUEUE(r, err, ...) pmi_redis_queue(r, PM_WORDS(__VA_ARGS__), err)
#define PM_EVAL(r, err, script, n_keys, ...)                                                                           \
    PM_QUEUE(r, err, pmi_span_of("EVAL"), pmi_span_of(script), pmi_span_of(n_keys), __VA_ARGS__)
#define PM_CALL(r, reply, err, ...) pmi_redis_call(r, PM_WORDS(__VA_ARGS__), reply, err)

/* Words that live to the end of the block that asks for them, with a final zero (PM_TEXT). */
#define PM_KEY(r, space, digest) pmi_redis_key(r, space, digest, (char[PM_REDIS_KEY]){0})
#define PM_PLAIN_KEY(r, name) pmi_redis_plain_key(r, name, (char[PM_REDIS_KEY]){0})
#define PM_COUNT(n) pmi_redis_count(n, (char[PM_REDIS_NUMBER]){0})
#define PM_TTL(seconds) pmi_redis_count((uint64_t)ceil(1e3 * (seconds)), (char[PM_REDIS_NUMBER]){0})
#define PM_REDIS_NUMBER 24
#define PM_TEXT(key) ((const char *)(key).bytes)
pm_span pmi_redis_count(uint64_t n, char text[PM_REDIS_NUMBER]);

/* Digits, at most 18; false for any other reply. */
bool pmi_redis_digits(const redisReply *reply, uint64_t *out);
/* A reply that is an integer of at least 0. Errors: those of the reply; PM_EDATA. */
pm_status pmi_redis_integer(const pm_redis *r, const redisReply *reply, uint64_t *out, pm_error *err);

/* A visit of replies that are 1 or 0: whether the i-th thing asked for is there. */
typedef struct pm_redis_asked {
    pm_redis *r;
    const char *space;
    const pm_digest *digests;
    bool refresh, *exist;
} pm_redis_asked;
pm_status pmi_redis_see_existing(void *ctx, size_t i, const redisReply *reply, pm_error *err);

/* `ask` queues what is asked about the i-th of n; what has gathered is flushed every PM_REDIS_BATCH commands. The
 * replies are numbered throughout. */
#define PM_REDIS_BATCH 512 /* a pipeline of records is some hundred kilobytes */
typedef pm_status (*pm_redis_ask)(void *ctx, size_t i, pm_error *err);
pm_status pmi_redis_batches(pm_redis *r, size_t n, pm_redis_ask ask, pm_redis_visit visit, void *ctx, pm_error *err);

/* No Redis value is larger. */
#define PM_REDIS_VALUE ((size_t)1 << 20)

#endif
