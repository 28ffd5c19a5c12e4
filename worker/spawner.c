#include "worker/spawner.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "worker/spawner_process.h"

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
    if (s == NULL) {
        return pmi_fail_memory(err, "the spawner", sizeof *s);
    }
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
        pm_spawner_job job = {.slots = slots, .child = child, .ctx = ctx, .control = pair[1], .worker = self};
        _exit(pmi_spawner_process(&job));
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

static pm_status order(pm_spawner *s, pm_spawner_verb verb, size_t slot, pm_error *err) {
    pm_spawner_order o = {.verb = (uint32_t)verb, .slot = (uint32_t)slot};
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
    return order(s, PM_SPAWNER_SPAWN, slot, err);
}

pm_status pmi_spawner_kill(pm_spawner *s, size_t slot, pm_error *err) {
    return order(s, PM_SPAWNER_KILL, slot, err);
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
    pm_spawner_word word;
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
