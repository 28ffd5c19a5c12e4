#include "worker/spawner_process.h"

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
#include <unistd.h>

#include "base/dumps.h"
#include "base/mem.h"

typedef struct room {
    const pm_spawner_job *job;
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
static bool tell(const room *r, const pm_spawner_word *word, int fd) {
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
        return tell(r, &(pm_spawner_word){.slot = slot, .status = errno}, -1);
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
        told = tell(r, &(pm_spawner_word){.slot = slot, .status = reason}, -1);
    } else {
        r->pids[slot] = pid;
        told = tell(r, &(pm_spawner_word){.slot = slot, .is_born = 1, .pid = pid}, pair[0]);
    }
    close(pair[0]);
    return told;
}

/* False when the worker is gone. */
static bool obey(room *r) {
    pm_spawner_order order;
    ssize_t got = recv(r->job->control, &order, sizeof order, 0);
    if (got < 0 && errno == EINTR) {
        return true;
    }
    if (got != (ssize_t)sizeof order || order.slot >= r->job->slots) {
        return false;
    }
    if (order.verb == PM_SPAWNER_SPAWN) {
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
                told = tell(r, &(pm_spawner_word){.slot = slot, .pid = pid, .status = status}, -1);
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

int pmi_spawner_process(const pm_spawner_job *job) {
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
