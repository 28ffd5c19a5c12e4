#include "worker/spawner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/machine.h"
#include "base/mem.h"

typedef enum spawner_verb { ORDER_SPAWN, ORDER_KILL } spawner_verb;

typedef struct spawner_order {
    uint32_t verb, slot;
} spawner_order;

typedef struct spawner_word {
    uint32_t slot, is_born;
    int32_t pid, status;
} spawner_word;

typedef struct spawner_job {
    size_t slots;
    pm_child_main child;
    void *ctx;
    int control;  /* the spawner's end */
    pid_t worker; /* who forked us */
} spawner_job;

/* ---- inside of the spawner ----------------------------------------------------------------------------- */

typedef struct room {
    const spawner_job *job;
    int deaths;  /* signalfd of SIGCHLD */
    pid_t *pids; /* of each slot, 0: none */
} room;

/* The worker alone answers what a terminal or a service manager sends to all of its processes. */
static void ignore_signals(void) {
    static const int ignored[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE};
    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++) {
        signal(ignored[i], SIG_IGN);
    }
}

/* Where memory runs out, the system should take a child and not the worker. */
static void volunteer_for_oom(void) {
    (void)pmi_write_own_proc("oom_score_adj", "500"); /* not granted: the score stays */
}

static void die_with(pid_t parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) { /* it died before the request */
        _exit(0);
    }
}

static _Noreturn void be_child(const room *r, size_t slot, pid_t spawner, int fd) {
    char name[16];
    sigset_t none;
    die_with(spawner);
    volunteer_for_oom();
    if (snprintf(name, sizeof name, "phasemill-%zu", slot) > 0) {
        prctl(PR_SET_NAME, name);
    }
    close(r->job->control);
    close(r->deaths);
    free(r->pids);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    _exit(r->job->child(r->job->ctx, slot, fd));
}

/* A packet with, where fd >= 0, the descriptor. False when the worker is gone. */
static bool tell(const room *r, const spawner_word *word, int fd) {
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec piece = {.iov_base = (void *)word, .iov_len = sizeof *word};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    if (fd >= 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(head), &fd, sizeof fd);
    }
    ssize_t sent;
    do {
        sent = sendmsg(r->job->control, &message, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)sizeof *word;
}

static bool spawn(room *r, uint32_t slot) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        return tell(r, &(spawner_word){.slot = slot, .status = errno}, -1);
    }
    pid_t self = getpid(), pid = fork();
    if (pid == 0) {
        close(pair[0]);
        be_child(r, slot, self, pair[1]);
    }
    int reason = errno;
    close(pair[1]);
    bool told;
    if (pid < 0) {
        told = tell(r, &(spawner_word){.slot = slot, .status = reason}, -1);
    } else {
        r->pids[slot] = pid;
        told = tell(r, &(spawner_word){.slot = slot, .is_born = 1, .pid = pid}, pair[0]);
    }
    close(pair[0]);
    return told;
}

/* False when the worker is gone. */
static bool obey(room *r) {
    spawner_order order;
    ssize_t got = recv(r->job->control, &order, sizeof order, 0);
    if (got < 0 && errno == EINTR) {
        return true;
    }
    if (got != (ssize_t)sizeof order || order.slot >= r->job->slots) {
        return false;
    }
    if (order.verb == ORDER_SPAWN) {
        return r->pids[order.slot] != 0 || spawn(r, order.slot);
    }
    if (r->pids[order.slot] != 0) {
        kill(r->pids[order.slot], SIGKILL);
    }
    return true;
}

static bool report_deaths(room *r) {
    struct signalfd_siginfo info;
    if (read(r->deaths, &info, sizeof info) < 0 && errno != EINTR && errno != EAGAIN) {
        return false;
    }
    int status;
    pid_t pid;
    bool told = true;
    while (told && (pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (uint32_t slot = 0; slot < r->job->slots; slot++) {
            if (r->pids[slot] == pid) {
                r->pids[slot] = 0;
                told = tell(r, &(spawner_word){.slot = slot, .pid = pid, .status = status}, -1);
            }
        }
    }
    return told;
}

static void serve(room *r) {
    struct pollfd fds[] = {{.fd = r->job->control, .events = POLLIN}, {.fd = r->deaths, .events = POLLIN}};
    bool is_on = true;
    while (is_on) {
        if (poll(fds, 2, -1) < 0) {
            is_on = errno == EINTR;
            continue;
        }
        if (fds[1].revents != 0) {
            is_on = report_deaths(r);
        }
        if (is_on && fds[0].revents != 0) {
            is_on = obey(r);
        }
    }
}

static void end_children(room *r) {
    for (size_t slot = 0; slot < r->job->slots; slot++) {
        if (r->pids[slot] != 0) {
            kill(r->pids[slot], SIGKILL);
        }
    }
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) {
    }
}

/* Runs until the worker closes its end or dies; returns the exit status. */
static int run_spawner(const spawner_job *job) {
    die_with(job->worker);
    prctl(PR_SET_NAME, "phasemill-spawn");
    ignore_signals();
    signal(SIGCHLD, SIG_DFL);
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    room r = {.job = job,
              .deaths = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK),
              .pids = pmi_calloc(job->slots, sizeof *r.pids)};
    if (r.deaths < 0 || r.pids == NULL) {
        return 1;
    }
    serve(&r);
    end_children(&r);
    free(r.pids);
    return 0;
}

/* ---- the worker's side --------------------------------------------------------------------------------- */

#define STOP_SECONDS 5.0 /* what ending the children may take before the spawner itself is killed */

struct pm_spawner {
    pid_t pid;
    int control;
    size_t slots;
};

pm_status pmi_spawner_start(size_t slots, pm_child_main child, void *ctx, pm_spawner **out, pm_error *err) {
    *out = NULL;
    if (slots == 0 || slots > UINT32_MAX) {
        return pmi_fail(err, PM_EUSAGE, "slots: expected at least 1, found %zu", slots);
    }
    pm_spawner *s = pmi_calloc(1, sizeof *s);
    PM_TRY(s != NULL ? PM_OK : pmi_fail_memory(err, "the spawner", sizeof *s));
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        free(s);
        return pmi_fail(err, PM_EOSERR, "cannot make the socket to the spawner: %s", strerror(errno));
    }
    pid_t self = getpid();
    s->slots = slots;
    s->control = pair[0];
    s->pid = fork();
    if (s->pid == 0) {
        close(pair[0]);
        free(s);
        spawner_job job = {.slots = slots, .child = child, .ctx = ctx, .control = pair[1], .worker = self};
        _exit(run_spawner(&job));
    }
    int reason = errno;
    close(pair[1]);
    if (s->pid < 0) {
        close(pair[0]);
        free(s);
        return pmi_fail(err, PM_EOSERR, "cannot fork the spawner of compute children: %s", strerror(reason));
    }
    *out = s;
    return PM_OK;
}

static pm_status order(pm_spawner *s, spawner_verb verb, size_t slot, pm_error *err) {
    spawner_order o = {.verb = (uint32_t)verb, .slot = (uint32_t)slot};
    if (slot >= s->slots) {
        return pmi_fail(err, PM_ESOFTWARE, "slot %zu of %zu does not exist", slot, s->slots);
    }
    ssize_t sent;
    do {
        sent = send(s->control, &o, sizeof o, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent != (ssize_t)sizeof o) {
        return pmi_fail(err, PM_ESOFTWARE, "the spawner of compute children (pid %d) cannot be reached: %s",
                        (int)s->pid, strerror(errno));
    }
    return PM_OK;
}

pm_status pmi_spawner_spawn(pm_spawner *s, size_t slot, pm_error *err) {
    return order(s, ORDER_SPAWN, slot, err);
}

pm_status pmi_spawner_kill(pm_spawner *s, size_t slot, pm_error *err) {
    return order(s, ORDER_KILL, slot, err);
}

int pmi_spawner_fd(const pm_spawner *s) {
    return s->control;
}

pid_t pmi_spawner_pid(const pm_spawner *s) {
    return s->pid;
}

static pm_status gone(const pm_spawner *s, const char *why, pm_error *err) {
    return pmi_fail(err, PM_ESOFTWARE,
                    "the spawner of compute children (pid %d) is gone (%s), and its children with it; start the worker "
                    "again",
                    (int)s->pid, why);
}

pm_status pmi_spawner_read(pm_spawner *s, pm_spawner_news *news, bool *got, pm_error *err) {
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    spawner_word word;
    struct iovec piece = {.iov_base = &word, .iov_len = sizeof word};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    *got = false;
    ssize_t n = recvmsg(s->control, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return PM_OK;
    }
    if (n < 0) {
        return gone(s, strerror(errno), err);
    }
    *news = (pm_spawner_news){.fd = -1};
    const struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (head != NULL && head->cmsg_type == SCM_RIGHTS) {
        memcpy(&news->fd, CMSG_DATA(head), sizeof news->fd);
    }
    if (n != (ssize_t)sizeof word || word.slot >= s->slots || (word.is_born != 0) != (news->fd >= 0)) {
        if (news->fd >= 0) {
            close(news->fd);
        }
        return gone(s, n == 0 ? "it closed its socket" : "it sent a broken message", err);
    }
    news->slot = word.slot;
    news->is_born = word.is_born != 0;
    news->pid = word.pid;
    news->status = word.status;
    *got = true;
    return PM_OK;
}

void pmi_spawner_stop(pm_spawner *s) {
    if (s == NULL) {
        return;
    }
    close(s->control); /* for the spawner, the end */
    double deadline = pmi_seconds() + STOP_SECONDS;
    pid_t ended;
    while ((ended = waitpid(s->pid, NULL, WNOHANG)) == 0 || (ended < 0 && errno == EINTR)) {
        if (pmi_seconds() > deadline) {
            kill(s->pid, SIGKILL);
            deadline += STOP_SECONDS;
        }
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    free(s);
}
