/* What the files of the Redis connection share. */
#ifndef PM_REDIS_REDIS_IMPL_H
#define PM_REDIS_REDIS_IMPL_H

#include "redis/redis.h"

#define PM_REDIS_COMMAND 16 /* bytes of a command's name with its final zero */
#define PM_REDIS_PREFIX 64  /* the longest prefix of keys */
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
/* Closes the connection; what was queued is gone. */
void pmi_redis_disconnect(pm_redis *r);

/* The context's fault as an error; closes the connection. */
pm_status pmi_redis_broken(pm_redis *r, const char *doing, pm_error *err);

/* The next reply, by the deadline, and within command_seconds for each read; free with freeReplyObject. `doing` is
 * named in errors, which close the connection. */
pm_status pmi_redis_wait(pm_redis *r, const char *doing, redisReply **reply, pm_error *err);
/* Of a new context: lists longer than any that we ask for are refused. */
void pmi_redis_bound_lists(pm_redis *r);
/* What is left for a step that may take `max` seconds; 0 when time is over. */
double pmi_redis_seconds_for(const pm_redis *r, double max, double grace);
pm_status pmi_redis_time_is_over(pm_redis *r, const char *doing, pm_error *err);
struct timeval pmi_redis_timeval(double seconds);

/* Milliseconds of a TTL as text, and as an argument. */
typedef struct pm_redis_ttl {
    char text[24];
    pm_span span;
} pm_redis_ttl;
void pmi_redis_ttl_of(double seconds, pm_redis_ttl *out);

/* A visit of replies that are 1 or 0: whether the i-th thing asked for is there. */
typedef struct pm_redis_asked {
    const pm_redis *r;
    bool *exist;
} pm_redis_asked;
pm_status pmi_redis_see_existing(void *ctx, size_t i, const redisReply *reply, pm_error *err);

/* TLS (redis/redis_tls.c): prepares and checks what options ask for; starts it on a connected context. */
pm_status pmi_redis_tls_open(pm_redis *r, pm_error *err);
pm_status pmi_redis_tls_start(pm_redis *r, pm_error *err);
void pmi_redis_tls_close(pm_redis *r);

/* No Redis value is larger. */
#define PM_REDIS_VALUE ((size_t)1 << 20)

/* A key with its text. Must not move. */
typedef struct pm_redis_key {
    char text[PM_REDIS_KEY];
    pm_span span;
} pm_redis_key;

void pmi_redis_key_of(const pm_redis *r, const char *space, const uint8_t digest[PM_DIGEST_BYTES], pm_redis_key *out);
void pmi_redis_plain_key_of(const pm_redis *r, const char *name, pm_redis_key *out);

#endif
