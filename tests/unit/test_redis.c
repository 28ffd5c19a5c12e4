#include <criterion/criterion.h>
#include <math.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "redis_server.h"

static pm_status call_n(pm_redis *r, size_t argc, const char *const *words, redisReply **reply, pm_error *err) {
    pm_span argv[8];
    for (size_t i = 0; i < argc; i++) {
        argv[i] = pmi_span_of(words[i]);
    }
    return pmi_redis_call(r, argv, argc, reply, err);
}

static pm_status call_1(pm_redis *r, const char *name, pm_error *err) {
    redisReply *reply;
    pm_status st = call_n(r, 1, &name, &reply, err);
    freeReplyObject(reply);
    return st;
}

static pm_status set(pm_redis *r, const char *key, const char *value, pm_error *err) {
    redisReply *reply;
    pm_status st = call_n(r, 5, (const char *[]){"SET", key, value, "PX", "60000"}, &reply, err);
    freeReplyObject(reply);
    return st;
}

static pm_status queue_set(pm_redis *r, const char *key, const char *value, pm_error *err) {
    const pm_span argv[] = {pmi_span_of("SET"), pmi_span_of(key), pmi_span_of(value), pmi_span_of("PX"),
                            pmi_span_of("60000")};
    return pmi_redis_queue(r, argv, 5, err);
}

static pm_redis *open_with(const pm_redis_options *options, redis_server *s) {
    pm_redis *r;
    pm_error err;
    cr_assert_eq(pmi_redis_open(options, &s->folder.log, &r, &err), PM_OK, "%s", err.text);
    return r;
}

static bool has(const pm_error *err, const char *text) {
    return strstr(err->text, text) != NULL;
}

/* ---- options ---- */

Test(redis, options_are_checked) {
    static const char *const bad[] = {"",        "host", "host:",    "host:0",   "host:65536", "host:123456", ":6379",
                                      "::1:637", "[]:1", "host:12x", "host:-12", "unix:",      "[::1]"};
    static const char *const good[] = {"h:1", "[::1]:6379", "10.0.0.1:65535", "unix:/x"};
    pm_redis_options o = {.address = "h:1", .prefix = "p", .connect_seconds = 1.0, .command_seconds = 1.0, .ttl = 1.0};
    pm_redis *r;
    pm_error err;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        o.address = bad[i];
        cr_expect_eq(pmi_redis_open(&o, NULL, &r, &err), PM_ECONFIG, "'%s'", bad[i]);
        cr_expect_null(r);
        cr_expect(has(&err, "host:port"));
    }
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        o.address = good[i];
        cr_expect_eq(pmi_redis_open(&o, NULL, &r, &err), PM_OK, "%s", err.text);
        cr_expect_str_eq(pmi_redis_options_of(r)->address, good[i]);
        pmi_redis_close(r);
    }
    o.address = NULL;
    cr_expect_eq(pmi_redis_open(&o, NULL, &r, &err), PM_EUNAVAILABLE);
    o.address = "h:1";
    static const char *const prefixes[] = {
        "", "a{b", "a}b", "a b", "a\n", "0123456789012345678901234567890123456789012345678901234567890123456789"};
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        o.prefix = prefixes[i];
        cr_expect_eq(pmi_redis_open(&o, NULL, &r, &err), PM_ECONFIG, "'%s'", prefixes[i]);
    }
    o.prefix = "p";
    const double times[] = {0.0, -1.0, (double)NAN, 1e11};
    for (size_t i = 0; i < 4; i++) {
        o.ttl = times[i];
        cr_expect_eq(pmi_redis_open(&o, NULL, &r, &err), PM_ECONFIG, "%g", times[i]);
    }
}

Test(redis, keys) {
    const pm_redis_options o = {
        .address = "h:1", .prefix = "p", .connect_seconds = 1.0, .command_seconds = 1.0, .ttl = 1.0};
    const uint8_t digest[PM_DIGEST_BYTES] = {0xab, 0x01};
    pm_redis *r;
    char key[PM_REDIS_KEY];
    cr_assert_eq(pmi_redis_open(&o, NULL, &r, NULL), PM_OK);
    pm_span span = pmi_redis_key(r, "trace", digest, key);
    cr_expect_str_eq(key, "p:trace:{ab01000000000000000000000000000000000000000000000000000000000000}");
    cr_expect_eq(span.size, strlen(key));
    (void)pmi_redis_plain_key(r, "jobs", key);
    cr_expect_str_eq(key, "p:jobs");
    pmi_redis_close(r);
}

#if HIREDIS_MAJOR < 1
Test(redis, tls_is_refused_clearly) {
    const pm_redis_options o = {.address = "h:1",
                                .password = "sesame",
                                .prefix = "p",
                                .tls = true,
                                .connect_seconds = 1.0,
                                .command_seconds = 1.0,
                                .ttl = 1.0};
    pm_redis *r;
    pm_error err;
    cr_expect_eq(pmi_redis_open(&o, NULL, &r, &err), PM_EUNAVAILABLE);
    cr_expect(has(&err, "hiredis"), "%s", err.text);
    cr_expect_not(has(&err, "sesame"));
    cr_expect_null(r);
}
#endif

/* ---- commands ---- */

Test(redis, commands_are_binary) {
    redis_server s;
    redis_server_start(&s, NULL);
    pm_redis *r = redis_server_open(&s);
    pm_error err;
    redisReply *reply;
    const uint8_t bytes[] = {0, 1, '\r', '\n', 255, 0};
    const pm_span write[] = {pmi_span_of("SET"), pmi_span_of("k"), {bytes, sizeof bytes}};
    const pm_span read[] = {pmi_span_of("GET"), pmi_span_of("k")};
    cr_assert_eq(pmi_redis_call(r, write, 3, &reply, &err), PM_OK, "%s", err.text);
    freeReplyObject(reply);
    cr_assert_eq(pmi_redis_call(r, read, 2, &reply, &err), PM_OK, "%s", err.text);
    cr_expect_eq(reply->len, sizeof bytes);
    cr_expect_eq(memcmp(reply->str, bytes, sizeof bytes), 0);
    freeReplyObject(reply);
    pmi_redis_close(r);
    redis_server_stop(&s);
}

typedef struct seen {
    pm_redis *r;
    size_t n, fail_at;
    long long sum;
    pm_status last;
} seen;

static pm_status see(void *ctx, size_t i, const redisReply *reply, pm_error *err) {
    seen *x = ctx;
    cr_expect_eq(i, x->n);
    x->n++;
    x->sum += reply->integer;
    x->last = pmi_redis_reply_status(x->r, reply, err);
    return i == x->fail_at ? pmi_fail(err, PM_EDATA, "this one") : PM_OK;
}

Test(redis, pipelines_answer_in_order) {
    redis_server s;
    redis_server_start(&s, NULL);
    pm_redis *r = redis_server_open(&s);
    pm_error err;
    seen x = {.r = r, .fail_at = SIZE_MAX};
    const pm_span incr[] = {pmi_span_of("INCR"), pmi_span_of("n")}, wrong[] = {pmi_span_of("NONSENSE")};
    cr_assert_eq(pmi_redis_flush(r, NULL, NULL, &err), PM_OK); /* nothing queued */
    for (int i = 0; i < 1000; i++) {
        cr_assert_eq(pmi_redis_queue(r, incr, 2, &err), PM_OK, "%s", err.text);
    }
    redisReply *reply;
    cr_expect_eq(pmi_redis_call(r, incr, 2, &reply, &err), PM_ESOFTWARE);
    cr_expect_null(reply);
    cr_assert_eq(pmi_redis_flush(r, see, &x, &err), PM_OK, "%s", err.text);
    cr_expect_eq(x.n, 1000);
    cr_expect_eq(x.sum, 500500);

    /* a failure of the visit is returned after all was read; the connection is in step */
    x = (seen){.r = r, .fail_at = 1};
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(pmi_redis_queue(r, incr, 2, &err), PM_OK);
    }
    cr_expect_eq(pmi_redis_flush(r, see, &x, &err), PM_EDATA);
    cr_expect_str_eq(err.text, "this one");
    cr_expect_eq(x.n, 2);
    cr_assert_eq(pmi_redis_queue(r, incr, 2, &err), PM_OK);
    cr_assert_eq(pmi_redis_queue(r, wrong, 1, &err), PM_OK);
    cr_assert_eq(pmi_redis_queue(r, incr, 2, &err), PM_OK);
    cr_expect_eq(pmi_redis_flush(r, NULL, NULL, &err), PM_EDATA);
    cr_expect(has(&err, "NONSENSE"), "%s", err.text);
    cr_expect(has(&err, "unknown command"), "%s", err.text);

    /* what is abandoned is not sent */
    cr_assert_eq(pmi_redis_queue(r, incr, 2, &err), PM_OK);
    pmi_redis_abandon(r);
    cr_assert_eq(pmi_redis_call(r, incr, 2, &reply, &err), PM_OK, "%s", err.text);
    cr_expect_eq(reply->integer, 1008);
    freeReplyObject(reply);
    pmi_redis_close(r);
    redis_server_stop(&s);
}

Test(redis, long_commands) {
    redis_server s;
    redis_server_start(&s, NULL);
    pm_redis *r = redis_server_open(&s);
    pm_error err;
    pm_span argv[17] = {pmi_span_of("RPUSH"), pmi_span_of("list")};
    redisReply *reply;
    for (size_t i = 2; i < 17; i++) {
        argv[i] = pmi_span_of("x");
    }
    cr_assert_eq(pmi_redis_call(r, argv, 16, &reply, &err), PM_OK, "%s", err.text);
    cr_expect_eq(reply->integer, 14);
    freeReplyObject(reply);
    cr_expect_eq(pmi_redis_call(r, argv, 17, &reply, &err), PM_ESOFTWARE);
    cr_expect_eq(pmi_redis_call(r, argv, 0, &reply, &err), PM_ESOFTWARE);
    pmi_redis_close(r);
    redis_server_stop(&s);
}

/* ---- who we are, and what we may ---- */

Test(redis, passwords) {
    redis_server s;
    redis_server_start(&s, (const char *[]){"--requirepass", "sesame", NULL});
    pm_redis_options o = redis_server_options(&s);
    static const struct {
        const char *user, *password;
        pm_status status;
        const char *words;
    } cases[] = {{NULL, NULL, PM_EPERMISSION, "NOAUTH"},
                 {NULL, "open-up", PM_EPERMISSION, "WRONGPASS"},
                 {"nobody", "sesame", PM_EPERMISSION, "WRONGPASS"},
                 {"default", NULL, PM_EPERMISSION, "WRONGPASS"},
                 {NULL, "sesame", PM_OK, ""},
                 {"default", "sesame", PM_OK, ""}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        pm_error err = {0};
        o.user = cases[i].user;
        o.password = cases[i].password;
        pm_redis *r = open_with(&o, &s);
        cr_expect_eq(call_1(r, "DBSIZE", &err), cases[i].status, "%zu: %s", i, err.text);
        cr_expect(has(&err, cases[i].words), "%s", err.text);
        cr_expect_not(has(&err, "open-up"));
        cr_expect_not(has(&err, "sesame"));
        cr_expect(err.text[0] == 0 || has(&err, s.address));
        pmi_redis_close(r);
    }
    redis_server_stop(&s);
}

Test(redis, a_password_where_none_is_set) {
    redis_server s;
    redis_server_start(&s, NULL);
    pm_redis_options o = redis_server_options(&s);
    o.password = "sesame";
    pm_redis *r = open_with(&o, &s);
    pm_error err;
    cr_expect_eq(call_1(r, "DBSIZE", &err), PM_EPERMISSION, "%s", err.text);
    cr_expect_not(has(&err, "sesame"));
    pmi_redis_close(r);
    redis_server_stop(&s);
}

Test(redis, databases) {
    redis_server s;
    redis_server_start(&s, NULL);
    pm_redis_options o = redis_server_options(&s);
    pm_error err;
    o.database = 3;
    pm_redis *r = open_with(&o, &s);
    cr_assert_eq(set(r, "k", "v", &err), PM_OK, "%s", err.text);
    cr_expect_eq(redis_server_tell(&s, "DBSIZE"), 0);
    /* also after the connection was made anew */
    cr_expect_eq(redis_server_tell(&s, "CLIENT KILL TYPE normal"), 1);
    cr_expect_eq(set(r, "l", "v", &err), PM_EUNAVAILABLE);
    cr_expect_eq(set(r, "l", "v", &err), PM_OK, "%s", err.text);
    cr_expect_eq(redis_server_tell(&s, "DBSIZE"), 0);
    pmi_redis_close(r);
    o.database = 16;
    r = open_with(&o, &s);
    cr_expect_eq(call_1(r, "DBSIZE", &err), PM_ECONFIG, "%s", err.text);
    cr_expect(has(&err, "redis.database"));
    cr_expect_eq(call_1(r, "DBSIZE", &err), PM_ECONFIG, "never on another database");
    pmi_redis_close(r);
    redis_server_stop(&s);
}

Test(redis, check_passes_and_leaves_nothing) {
    redis_server s;
    redis_server_start(&s, NULL);
    pm_redis *r = redis_server_open(&s);
    pm_error err;
    cr_expect_eq(pmi_redis_check(r, &err), PM_OK, "%s", err.text);
    cr_expect_eq(redis_server_tell(&s, "DBSIZE"), 0);
    cr_expect_eq(s.folder.warnings, 0);
    pmi_redis_close(r);
    redis_server_stop(&s);
}

Test(redis, check_names_the_policy) {
    redis_server s;
    redis_server_start(&s, (const char *[]){"--maxmemory-policy", "allkeys-lru", NULL});
    pm_redis *r = redis_server_open(&s);
    pm_error err;
    cr_expect_eq(pmi_redis_check(r, &err), PM_ECONFIG);
    cr_expect(has(&err, "allkeys-lru") && has(&err, "noeviction"), "%s", err.text);
    pmi_redis_close(r);
    redis_server_stop(&s);
}

Test(redis, check_names_missing_rights) {
    redis_server s;
    redis_server_start(&s, NULL);
    redis_server_tell(&s, "ACL SETUSER few on >sesame ~test:* +@all -eval -hincrby");
    redis_server_tell(&s, "ACL SETUSER elsewhere on >sesame ~other:* +@all");
    redis_server_tell(&s, "ACL SETUSER quiet on >sesame ~test:* +@all -info -config");
    redis_server_tell(&s, "ACL SETUSER noinfo on >sesame ~test:* +@all -info");
    pm_redis_options o = redis_server_options(&s);
    pm_error err;
    o.password = "sesame";
    o.user = "few";
    pm_redis *r = open_with(&o, &s);
    cr_expect_eq(pmi_redis_check(r, &err), PM_EPERMISSION);
    cr_expect(has(&err, "HINCRBY, EVAL") && has(&err, "'few'") && has(&err, "test:*"), "%s", err.text);
    cr_expect_not(has(&err, "sesame"));
    pmi_redis_close(r);
    o.user = "elsewhere";
    r = open_with(&o, &s);
    cr_expect_eq(pmi_redis_check(r, &err), PM_EPERMISSION);
    cr_expect(has(&err, "SET, GET"), "%s", err.text);
    pmi_redis_close(r);
    /* without INFO the policy comes from CONFIG; without both a warning line says so */
    o.user = "noinfo";
    r = open_with(&o, &s);
    cr_expect_eq(pmi_redis_check(r, &err), PM_OK, "%s", err.text);
    cr_expect_eq(s.folder.warnings, 0);
    redis_server_tell(&s, "CONFIG SET maxmemory-policy volatile-ttl");
    cr_expect_eq(pmi_redis_check(r, &err), PM_ECONFIG);
    cr_expect(has(&err, "volatile-ttl"), "%s", err.text);
    pmi_redis_close(r);
    o.user = "quiet";
    r = open_with(&o, &s);
    cr_expect_eq(pmi_redis_check(r, &err), PM_OK, "%s", err.text);
    cr_expect_eq(s.folder.warnings, 1);
    pmi_redis_close(r);
    cr_expect_eq(redis_server_tell(&s, "DBSIZE"), 0);
    redis_server_stop(&s);
}

/* The rights that docs/cluster.md lists, and no others; and each of them is missed. */
Test(redis, check_passes_with_the_listed_rights) {
    static const char *const rights[] = {"getrange", "set",   "pexpire",   "exists", "unlink",
                                         "hincrby",  "hmget", "hget",      "hset",   "eval",
                                         "sadd",     "srem",  "scard",     "type",   "smembers",
                                         "time",     "zadd",  "zrevrange", "zrem",   "zremrangebyscore"};
    enum { N = sizeof rights / sizeof rights[0] };
    redis_server s;
    redis_server_start(&s, NULL);
    pm_redis_options o = redis_server_options(&s);
    pm_error err;
    o.user = "exact";
    o.password = "sesame";
    o.database = 1;
    for (size_t left_out = 0; left_out <= N; left_out++) {
        char command[400];
        int n = snprintf(command, sizeof command, "ACL SETUSER exact reset on >sesame ~test:* +select +info");
        for (size_t i = 0; i < N; i++) {
            n += i == left_out ? 0 : snprintf(command + n, sizeof command - (size_t)n, " +%s", rights[i]);
        }
        (void)redis_server_tell(&s, command);
        pm_redis *r = open_with(&o, &s);
        cr_expect_eq(pmi_redis_check(r, &err), left_out < N ? PM_EPERMISSION : PM_OK, "without %s: %s",
                     left_out < N ? rights[left_out] : "nothing", err.text);
        pmi_redis_close(r);
    }
    cr_expect_eq(s.folder.warnings, 0);
    redis_server_stop(&s);
}

Test(redis, check_refuses_a_cluster_node) {
    redis_server s;
    redis_server_start(&s, (const char *[]){"--cluster-enabled", "yes", "--port", "0", NULL});
    pm_redis *r = redis_server_open(&s);
    pm_error err;
    cr_expect_eq(pmi_redis_check(r, &err), PM_ECONFIG);
    cr_expect(has(&err, "Cluster"), "%s", err.text);
    pmi_redis_close(r);
    redis_server_stop(&s);
}

/* ---- what replies mean ---- */

Test(redis, reply_meanings) {
    static const struct {
        const char *text;
        pm_status status;
    } cases[] = {
        {"OOM command not allowed when used memory > 'maxmemory'.", PM_ETEMPORARY},
        {"ERR Error running script (call to f_0): @user_script:1: -OOM command not allowed", PM_ETEMPORARY},
        {"LOADING Redis is loading the dataset in memory", PM_ETEMPORARY},
        {"BUSY Redis is busy running a script.", PM_ETEMPORARY},
        {"READONLY You can't write against a read only replica.", PM_ETEMPORARY},
        {"MASTERDOWN Link with MASTER is down", PM_ETEMPORARY},
        {"MISCONF Redis is configured to save RDB snapshots", PM_ETEMPORARY},
        {"TRYAGAIN Multiple keys request during rehashing of slot", PM_ETEMPORARY},
        {"CLUSTERDOWN Hash slot not served", PM_ETEMPORARY},
        {"ERR max number of clients reached", PM_ETEMPORARY},
        {"NOAUTH Authentication required.", PM_EPERMISSION},
        {"WRONGPASS invalid username-password pair", PM_EPERMISSION},
        {"NOPERM this user has no permissions to run the 'get' command", PM_EPERMISSION},
        {"ERR The user executing the script can't run this command or subcommand script: 0, on @user_script:1.",
         PM_EPERMISSION},
        {"NOPERM ACL failure in script: User u has no permissions to run the 'hget' command", PM_EPERMISSION},
        {"ERR ACL failure in script: User u has no permissions to run the 'hget' command", PM_EPERMISSION},
        {"DENIED Redis is running in protected mode", PM_EPERMISSION},
        {"MOVED 3999 127.0.0.1:6381", PM_ECONFIG},
        {"ASK 3999 127.0.0.1:6381", PM_ECONFIG},
        {"CROSSSLOT Keys in request don't hash to the same slot", PM_ECONFIG},
        {"WRONGTYPE Operation against a key holding the wrong kind of value", PM_EDATA},
        {"ERR unknown command", PM_EDATA},
        {"OOMPH", PM_EDATA},
        {"", PM_EDATA},
    };
    const pm_redis_options o = {
        .address = "h:1", .prefix = "p", .connect_seconds = 1.0, .command_seconds = 1.0, .ttl = 1.0};
    pm_redis *r;
    cr_assert_eq(pmi_redis_open(&o, NULL, &r, NULL), PM_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        pm_error err;
        char text[128];
        (void)snprintf(text, sizeof text, "%s", cases[i].text);
        redisReply reply = {.type = REDIS_REPLY_ERROR, .str = text, .len = strlen(text)};
        cr_expect_eq(pmi_redis_reply_status(r, &reply, &err), cases[i].status, "%s", text);
        cr_expect(has(&err, text) && has(&err, "h:1"), "%s", err.text);
        reply.type = REDIS_REPLY_STRING;
        cr_expect_eq(pmi_redis_reply_status(r, &reply, &err), PM_OK);
        cr_expect_eq(pmi_redis_unexpected(r, &reply, "an integer", &err), PM_EDATA);
        cr_expect(has(&err, "a string, expected an integer"), "%s", err.text);
    }
    pmi_redis_close(r);
}

Test(redis, a_full_server_is_transient) {
    redis_server s;
    redis_server_start(&s, NULL);
    pm_redis *r = redis_server_open(&s);
    pm_error err;
    redis_server_tell(&s, "CONFIG SET maxmemory 1");
    cr_expect_eq(set(r, "k", "v", &err), PM_ETEMPORARY);
    cr_expect(has(&err, "OOM") && has(&err, "SET"), "%s", err.text);
    redis_server_tell(&s, "CONFIG SET maxmemory 0");
    cr_expect_eq(set(r, "k", "v", &err), PM_OK, "%s", err.text);
    pmi_redis_close(r);
    redis_server_stop(&s);
}

Test(redis, a_read_only_server_is_transient) {
    redis_server s;
    redis_server_start(&s, (const char *[]){"--replicaof", "127.0.0.1", "1", NULL});
    pm_redis *r = redis_server_open(&s);
    pm_error err;
    cr_expect_eq(set(r, "k", "v", &err), PM_ETEMPORARY);
    cr_expect(has(&err, "READONLY"), "%s", err.text);
    pmi_redis_close(r);
    redis_server_stop(&s);
}

/* ---- faults ---- */

Test(redis, nothing_listens) {
    pm_redis_options o = {.address = "unix:/nonexistent/socket",
                          .prefix = "p",
                          .connect_seconds = 1.0,
                          .command_seconds = 1.0,
                          .ttl = 1.0};
    pm_redis *r;
    pm_error err;
    cr_assert_eq(pmi_redis_open(&o, NULL, &r, &err), PM_OK);
    cr_expect_eq(call_1(r, "PING", &err), PM_EUNAVAILABLE);
    cr_expect(has(&err, "cannot connect") && has(&err, "/nonexistent/socket"), "%s", err.text);
    cr_expect_eq(pmi_redis_check(r, &err), PM_EUNAVAILABLE);
    pmi_redis_close(r);
    o.address = "127.0.0.1:1";
    cr_assert_eq(pmi_redis_open(&o, NULL, &r, &err), PM_OK);
    cr_expect_eq(call_1(r, "PING", &err), PM_EUNAVAILABLE);
    cr_expect(has(&err, "refused"), "%s", err.text);
    pmi_redis_close(r);
}

Test(redis, a_server_killed_within_a_pipeline) {
    redis_server s;
    redis_server_start(&s, (const char *[]){"--requirepass", "sesame", NULL});
    pm_redis_options o = redis_server_options(&s);
    o.password = "sesame";
    pm_redis *r = open_with(&o, &s);
    pm_error err;
    cr_assert_eq(queue_set(r, "a", "1", &err), PM_OK, "%s", err.text);
    cr_assert_eq(queue_set(r, "b", "1", &err), PM_OK);
    redis_server_kill(&s);
    redis_server_restart(&s);
    /* queued on the connection that is gone: nothing of the pipeline may go to the new server without the rest */
    cr_assert_eq(queue_set(r, "c", "1", &err), PM_OK);
    seen x = {.r = r, .fail_at = SIZE_MAX};
    cr_expect_eq(pmi_redis_flush(r, see, &x, &err), PM_EUNAVAILABLE);
    cr_expect(has(&err, "1 of 3"), "%s", err.text);
    cr_expect_eq(x.n, 0);
    /* authenticates again by itself */
    redisReply *reply;
    cr_expect_eq(call_n(r, 1, (const char *[]){"DBSIZE"}, &reply, &err), PM_OK, "%s", err.text);
    cr_expect_eq(reply->integer, 0);
    freeReplyObject(reply);
    pmi_redis_close(r);
    redis_server_stop(&s);
}

Test(redis, a_stopped_server_runs_into_the_limit) {
    redis_server s;
    redis_server_start(&s, NULL);
    pm_redis_options o = redis_server_options(&s);
    o.command_seconds = 0.2;
    pm_redis *r = open_with(&o, &s);
    pm_error err;
    cr_assert_eq(call_1(r, "PING", &err), PM_OK, "%s", err.text);
    cr_assert_eq(kill(s.pid, SIGSTOP), 0);
    double begin = pmi_seconds();
    cr_expect_eq(call_1(r, "PING", &err), PM_EUNAVAILABLE);
    cr_expect(has(&err, "no answer within 0.2 s"), "%s", err.text);
    cr_expect_lt(pmi_seconds() - begin, 1.5);
    cr_assert_eq(kill(s.pid, SIGCONT), 0);
    cr_expect_eq(call_1(r, "PING", &err), PM_OK, "%s", err.text);
    pmi_redis_close(r);
    redis_server_stop(&s);
}

/* A server that accepts and says nothing, over TCP. */
Test(redis, a_silent_port_runs_into_the_limit) {
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof where;
    cr_assert_eq(bind(listener, (struct sockaddr *)&where, sizeof where), 0);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&where, &size), 0);
    char address[64];
    (void)snprintf(address, sizeof address, "127.0.0.1:%d", ntohs(where.sin_port));
    const pm_redis_options o = {.address = address,
                                .password = "sesame",
                                .prefix = "p",
                                .connect_seconds = 1.0,
                                .command_seconds = 0.1,
                                .ttl = 1.0};
    pm_redis *r;
    pm_error err;
    cr_assert_eq(pmi_redis_open(&o, NULL, &r, &err), PM_OK, "%s", err.text);
    cr_expect_eq(call_1(r, "PING", &err), PM_EUNAVAILABLE);
    cr_expect(has(&err, "AUTH") && has(&err, "no answer within 0.1 s"), "%s", err.text);
    cr_expect_not(has(&err, "sesame"));
    pmi_redis_close(r);
    (void)close(listener);
}

/* ---- deadlines ---- */

static double seconds_of(pm_redis *r, pm_status expected, pm_error *err) {
    double begun = pmi_seconds(), now;
    cr_expect_eq(pmi_redis_now(r, &now, err), expected, "%s", err->text);
    return pmi_seconds() - begun;
}

/* A server that is stopped: no command goes beyond the deadline and its half second, and none begins after. */
Test(redis, no_command_goes_beyond_the_deadline) {
    redis_server s;
    redis_server_start(&s, NULL);
    pm_redis *r = redis_server_open(&s); /* limits of 2 s */
    pm_error err;
    (void)seconds_of(r, PM_OK, &err);
    cr_assert_eq(kill(s.pid, SIGSTOP), 0);
    pmi_redis_set_deadline(r, pmi_seconds() + 0.3);
    double took = seconds_of(r, PM_EUNAVAILABLE, &err);
    cr_expect(took >= 0.3 && took < 1.8, "%g", took);
    pmi_redis_set_deadline(r, pmi_seconds() - 1.0);
    cr_expect_lt(seconds_of(r, PM_ETEMPORARY, &err), 0.5);
    cr_expect(has(&err, "time is over"), "%s", err.text);
    cr_assert_eq(kill(s.pid, SIGCONT), 0);
    pmi_redis_set_deadline(r, 0);
    (void)seconds_of(r, PM_OK, &err);
    pmi_redis_close(r);
    redis_server_stop(&s);
}
