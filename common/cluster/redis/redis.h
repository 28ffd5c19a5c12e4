/* One connection to Redis: commands, pipelines, and what their failures mean. After a fault the next command connects
 * anew. Nothing is repeated by itself: whoever calls knows whether that is safe (base/retry.h). One thread at a time.
 * */
#ifndef PM_REDIS_REDIS_H
#define PM_REDIS_REDIS_H

#include <hiredis/hiredis.h>

#include "base/log.h"
#include "wire/seal.h"

typedef struct pm_redis_options {
    const char *address;  /* "host:port", "[v6]:port" or "unix:/path" */
    const char *user;     /* NULL: the default user */
    const char *password; /* NULL: none */
    size_t database;
    bool tls;            /* PM_EUNAVAILABLE where hiredis is older than 1.0 or was built without it */
    const char *tls_ca;  /* NULL: the system's */
    const char *prefix;  /* of all keys */
    const pm_seal *seal; /* of what is stored; NULL: none */
    double connect_seconds, command_seconds; /* time limits */
    double ttl;                              /* seconds that values live */
} pm_redis_options;

typedef struct pm_redis pm_redis;

/* Checks the options, whose strings must outlive the handle; connects at the first command. main ignores SIGPIPE. */
pm_status pmi_redis_open(const pm_redis_options *options, const pm_log *log, pm_redis **out, pm_error *err);
void pmi_redis_close(pm_redis *r);
const pm_redis_options *pmi_redis_options_of(const pm_redis *r);

/* No command takes longer than to this moment of pmi_seconds() and half a second more, which is for saying how things
 * stand; afterwards each is PM_ETEMPORARY at once. 0: no such moment. */
void pmi_redis_set_deadline(pm_redis *r, double deadline);

/* Seconds since 1970 by the server's clock: the one that all machines of a cluster share. */
pm_status pmi_redis_now(pm_redis *r, double *now, pm_error *err);
/* Whether the server takes writes at this moment: PM_OK, or what it says. */
pm_status pmi_redis_try_write(pm_redis *r, pm_error *err);

/* Connects, and checks the server: maxmemory-policy noeviction (a warning where it may not be asked), no Redis Cluster,
 * the right to each command, on scratch keys; once, that PREFIX:cluster-key, written by the first of a cluster, names
 * the key of `seal`, so that nobody takes for damaged what is sealed otherwise. Errors: PM_ECONFIG; PM_EPERMISSION
 * naming all commands refused; those of commands. */
pm_status pmi_redis_check(pm_redis *r, pm_error *err);
/* That about the key alone, for whoever only looks: nothing is written, and nothing there is fine. */
pm_status pmi_redis_see_key(pm_redis *r, pm_error *err);

/* One command. Free *reply with freeReplyObject. An error reply is an error here, never a *reply. Errors, with the
 * command's name, the address and the server's words, never the password:
 *   PM_EUNAVAILABLE  cannot connect, no answer in time, or the connection broke (transient); whether the command was
 *                    carried out is not known then
 *   PM_ETEMPORARY    -OOM, -LOADING, -BUSY, -READONLY, -MASTERDOWN, -MISCONF, -TRYAGAIN, -CLUSTERDOWN and the like
 *                    (transient)
 *   PM_EPERMISSION   -NOAUTH, -WRONGPASS, -NOPERM, a password where none is set
 *   PM_ECONFIG       -MOVED, -ASK: a cluster's redirection; a database that is not there
 *   PM_EDATA         any other error, such as -WRONGTYPE */
pm_status pmi_redis_call(pm_redis *r, const pm_span *argv, size_t argc, redisReply **reply, pm_error *err);

/* A pipeline: commands are queued (words copied), then sent together; replies come in order. It is held whole in
 * memory. After a failure nothing is queued; who fails otherwise before flushing calls pmi_redis_abandon. */
pm_status pmi_redis_queue(pm_redis *r, const pm_span *argv, size_t argc, pm_error *err);
void pmi_redis_abandon(pm_redis *r);
/* `visit` sees the reply of the i-th command queued (borrowed; error replies too: pmi_redis_reply_status). The first
 * failure of `visit` ends the visits, and is returned after all replies were read. NULL: no reply must be an error. */
typedef pm_status (*pm_redis_visit)(void *ctx, size_t i, const redisReply *reply, pm_error *err);
pm_status pmi_redis_flush(pm_redis *r, pm_redis_visit visit, void *ctx, pm_error *err);
/* Status of a reply as pmi_redis_call has it. */
pm_status pmi_redis_reply_status(const pm_redis *r, const redisReply *reply, pm_error *err);
/* PM_EDATA: a reply of another type than `expected` ("an integer"). */
pm_status pmi_redis_unexpected(const pm_redis *r, const redisReply *reply, const char *expected, pm_error *err);

/* Whether there is something at "PREFIX:space:{digest}" of each of n; `refresh`: which lives for another TTL then. */
pm_status pmi_redis_exist(pm_redis *r, const char *space, const pm_digest *digests, size_t n, bool refresh, bool *exist,
                          pm_error *err);
#define PM_SPACE_CANCELLED "cancelled" /* jobs */
#define PM_SPACE_OUTCOME "outcome"     /* units that have ended, done or failed */

/* "PREFIX:space:{hex}" into `key`, which holds PM_REDIS_KEY bytes. */
#define PM_REDIS_KEY 256
pm_span pmi_redis_key(const pm_redis *r, const char *space, const pm_digest digest, char key[PM_REDIS_KEY]);
/* "PREFIX:name" */
pm_span pmi_redis_plain_key(const pm_redis *r, const char *name, char key[PM_REDIS_KEY]);

#endif
