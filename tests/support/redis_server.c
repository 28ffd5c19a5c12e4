#include "redis_server.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void fail(const char *what) {
    (void)fprintf(stderr, "redis-server of a test: %s\n", what);
    abort();
}

static void run_server(const redis_server *s, pid_t parent) {
    char socket[300];
    (void)snprintf(socket, sizeof socket, "%s", s->address + strlen("unix:"));
    const char *argv[32] = {"redis-server", "--port",      "0", "--unixsocket", socket, "--dir",
                            s->folder.dir,  "--save",      "",  "--appendonly", "no",   "--logfile",
                            "server.log",   "--daemonize", "no"};
    size_t argc = 15;
    for (size_t i = 0; s->extra[i] != NULL; i++) {
        argv[argc++] = s->extra[i];
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent) {
        execvp(argv[0], (char *const *)argv);
    }
    _exit(127);
}

static bool answers(const redis_server *s) {
    redisContext *c = redisConnectUnix(s->address + strlen("unix:"));
    redisReply *reply = c != NULL && c->err == 0 ? redisCommand(c, "PING") : NULL;
    bool is_there = reply != NULL; /* NOAUTH and LOADING are answers as well */
    if (reply != NULL) {
        freeReplyObject(reply);
    }
    if (c != NULL) {
        redisFree(c);
    }
    return is_there;
}

void redis_server_restart(redis_server *s) {
    pid_t parent = getpid();
    (void)signal(SIGPIPE, SIG_IGN);
    s->pid = fork();
    if (s->pid == 0) {
        run_server(s, parent);
    }
    for (int i = 0; i < 3000; i++) {
        if (answers(s)) {
            return;
        }
        if (waitpid(s->pid, NULL, WNOHANG) == s->pid) {
            fail("it ended at its start; is redis-server installed?");
        }
        (void)nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    fail("no answer within 30 s of its start");
}

void redis_server_start(redis_server *s, const char *const *extra) {
    *s = (redis_server){0};
    disk_fixture_make(&s->folder);
    (void)snprintf(s->address, sizeof s->address, "unix:%s/socket", s->folder.dir);
    for (size_t i = 0; extra != NULL && extra[i] != NULL && i < 7; i++) {
        s->extra[i] = extra[i];
    }
    redis_server_restart(s);
}

void redis_server_kill(redis_server *s) {
    if (s->pid > 0) {
        (void)kill(s->pid, SIGKILL);
        (void)waitpid(s->pid, NULL, 0);
        s->pid = 0;
    }
}

void redis_server_stop(redis_server *s) {
    redis_server_kill(s);
    disk_fixture_remove(&s->folder);
}

pm_redis_options redis_server_options(const redis_server *s) {
    return (pm_redis_options){
        .address = s->address, .prefix = "test", .connect_seconds = 2.0, .command_seconds = 2.0, .ttl = 3600.0};
}

pm_redis *redis_server_open(redis_server *s) {
    pm_redis_options options = redis_server_options(s);
    pm_redis *r;
    pm_error err;
    cr_assert_eq(pmi_redis_open(&options, &s->folder.log, &r, &err), PM_OK, "%s", err.text);
    return r;
}

static long long number_of(const redisReply *reply) {
    return reply->type == REDIS_REPLY_INTEGER ? reply->integer
           : reply->type == REDIS_REPLY_ARRAY ? (long long)reply->elements
           : reply->type == REDIS_REPLY_NIL   ? 0
                                              : 1;
}

long long redis_server_tell(redis_server *s, const char *command) {
    redisContext *c = redisConnectUnix(s->address + strlen("unix:"));
    redisReply *reply = c != NULL && c->err == 0 ? redisCommand(c, command) : NULL;
    if (reply == NULL || reply->type == REDIS_REPLY_ERROR) {
        (void)fprintf(stderr, "%s: %s\n", command, reply != NULL ? reply->str : "no answer");
        fail("a command failed");
    }
    long long number = number_of(reply);
    freeReplyObject(reply);
    redisFree(c);
    return number;
}

size_t redis_server_check_keys(redis_server *s) {
    redisContext *c = redisConnectUnix(s->address + strlen("unix:"));
    redisReply *keys = redisCommand(c, "KEYS *");
    for (size_t i = 0; i < keys->elements; i++) {
        const redisReply *key = keys->element[i];
        redisReply *ttl = redisCommand(c, "PTTL %b", key->str, key->len);
        cr_expect_gt(ttl->integer, 0, "key %s has no TTL", key->str);
        redisReply *size = redisCommand(c, "STRLEN %b", key->str, key->len);
        cr_expect(size->type == REDIS_REPLY_ERROR || size->integer <= 1 << 20, "key %s has %lld bytes", key->str,
                  size->integer);
        freeReplyObject(ttl);
        freeReplyObject(size);
    }
    size_t n = keys->elements;
    freeReplyObject(keys);
    redisFree(c);
    return n;
}
