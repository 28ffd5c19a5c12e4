#include "worker/slots.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/machine.h"

/* A child that dies without having been given a unit is replaced after a wait that doubles between these. */
#define MIN_SPAWN 0.1
#define MAX_SPAWN 10.0
/* How often the clock of a running unit is looked at. */
#define LOOK_SECONDS 0.1
/* A child may wait so long for one answer of Redis (15 s for a command, 5 s for a connection), and then some. */
#define QUIET_SECONDS 30.0
/* How often the processor time of a quiet child is looked at. */
#define SIGN_SECONDS 1.0
/* A child that is new has to live so long, or to do a unit, before it counts as one that can. */
#define PROBATION_SECONDS 2.0
/* What the spawner may take for a birth or a death. */
#define SPAWNER_SECONDS 30.0

pm_status pmi_pages_new(size_t n, pm_progress_page **pages, pm_error *err) {
    size_t bytes;
    *pages = NULL;
    if (n == 0 || !pmi_mul(n, sizeof **pages, &bytes)) {
        return pmi_fail(err, PM_EUSAGE, "slots: expected at least 1, found %zu", n);
    }
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return pmi_fail_memory(err, "the pages shared with compute children", bytes);
    }
    *pages = memory;
    return PM_OK;
}

void pmi_pages_free(pm_progress_page *pages, size_t n) {
    if (pages != NULL) {
        munmap(pages, n * sizeof *pages);
    }
}

pm_status pmi_slots_start(size_t n, pm_progress_page *pages, pm_child_main child, void *ctx, double unit_seconds,
                          const pm_log *log, pm_slots *out, pm_error *err) {
    *out = (pm_slots){.n = n, .pages = pages, .unit_seconds = unit_seconds, .quiet_seconds = QUIET_SECONDS, .log = log};
    PM_TRY(PM_ZEROS(&out->slots, n, "the slots", err));
    for (size_t i = 0; i < n; i++) {
        out->slots[i].fd = -1;
    }
    pm_status st = pmi_spawner_start(n, child, ctx, &out->spawner, err);
    if (st != PM_OK) {
        free(out->slots);
        *out = (pm_slots){0};
    }
    return st;
}

static void close_fd(pm_slot *slot) {
    if (slot->fd >= 0) {
        close(slot->fd);
    }
    slot->fd = -1;
}

void pmi_slots_stop(pm_slots *s) {
    for (size_t i = 0; i < s->n; i++) {
        close_fd(&s->slots[i]);
    }
    pmi_spawner_stop(s->spawner);
    free(s->slots);
    *s = (pm_slots){0};
}

size_t pmi_slots_idle(const pm_slots *s) {
    size_t i = 0;
    while (i < s->n && (s->slots[i].state != PM_SLOT_IDLE || s->slots[i].fd < 0)) {
        i++;
    }
    return i;
}

size_t pmi_slots_busy(const pm_slots *s) {
    size_t busy = 0;
    for (size_t i = 0; i < s->n; i++) {
        busy += s->slots[i].state == PM_SLOT_BUSY;
    }
    return busy;
}

size_t pmi_slots_fit(const pm_slots *s) {
    double now = pmi_seconds();
    size_t fit = 0;
    for (size_t i = 0; i < s->n; i++) {
        const pm_slot *slot = &s->slots[i];
        bool is_tried = slot->misses == 0 || now - slot->since > PROBATION_SECONDS;
        fit += slot->state == PM_SLOT_BUSY || (slot->state == PM_SLOT_IDLE && slot->fd >= 0 && is_tried);
    }
    return fit;
}

static pm_status kill_child(pm_slots *s, size_t i, pm_error *err) {
    s->slots[i].kill_asked = s->slots[i].kill_asked == 0 ? pmi_seconds() : s->slots[i].kill_asked;
    return pmi_spawner_kill(s->spawner, i, err);
}

/* ---- a unit's way in and out ---- */

static void send_more(pm_slot *slot) {
    size_t whole = sizeof slot->head + slot->value.size;
    while (slot->fd >= 0 && slot->sent < whole) {
        struct iovec pieces[2];
        int n = 0;
        if (slot->sent < sizeof slot->head) {
            pieces[n++] = (struct iovec){(uint8_t *)&slot->head + slot->sent, sizeof slot->head - slot->sent};
            pieces[n++] = (struct iovec){(void *)slot->value.bytes, slot->value.size};
        } else {
            size_t at = slot->sent - sizeof slot->head;
            pieces[n++] = (struct iovec){(void *)(slot->value.bytes + at), slot->value.size - at};
        }
        struct msghdr message = {.msg_iov = pieces, .msg_iovlen = (size_t)n};
        ssize_t sent = sendmsg(slot->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent >= 0) {
            slot->sent += (size_t)sent;
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != EINTR) {
            close_fd(slot); /* it is dying, and its death will be reported */
        }
    }
}

void pmi_slots_give(pm_slots *s, size_t slot, const pm_task_head *head, pm_span value, void *unit) {
    pm_slot *to = &s->slots[slot];
    pmi_progress_page_clear(&s->pages[slot]);
    to->state = PM_SLOT_BUSY;
    to->since = pmi_seconds();
    to->unit = unit;
    to->head = *head;
    to->value = value;
    to->sent = to->got = 0;
    to->is_dismissed = to->is_late = to->is_mad = false;
    to->signs = (pm_signs){.moved = to->since, .advanced = to->since, .looked = to->since};
    send_more(to);
}

static void end_unit(pm_slot *slot, pm_ending *ending, pm_slots_ended ended, void *ctx) {
    ending->unit = slot->unit;
    slot->unit = NULL;
    slot->value = (pm_span){0};
    ended(ctx, ending);
}

pm_status pmi_slots_dismiss(pm_slots *s, const void *unit, pm_error *err) {
    for (size_t i = 0; i < s->n; i++) {
        pm_slot *slot = &s->slots[i];
        if (slot->state == PM_SLOT_BUSY && slot->unit == unit && !slot->is_dismissed) {
            slot->is_dismissed = true;
            return kill_child(s, i, err);
        }
    }
    return PM_OK;
}

/* ---- answers ---- */

static bool is_status(uint32_t status) {
    static const pm_status known[] = {PM_OK,     PM_EUSAGE,     PM_EDATA, PM_ENOINPUT,   PM_EUNAVAILABLE, PM_ESOFTWARE,
                                      PM_EOSERR, PM_ECANTCREAT, PM_EIO,   PM_ETEMPORARY, PM_EPERMISSION,  PM_ECONFIG};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if ((uint32_t)known[i] == status) {
            return true;
        }
    }
    return false;
}

static bool is_sound(const pm_slot *slot) {
    const pm_answer *a = &slot->answer;
    return slot->state == PM_SLOT_BUSY && slot->sent == sizeof slot->head + slot->value.size && is_status(a->status) &&
           isfinite(a->seconds) && memchr(a->text, '\0', sizeof a->text) != NULL;
}

/* Reads what there is. True when a whole answer is there. */
static bool read_answer(pm_slot *slot, bool *is_broken) {
    *is_broken = false;
    while (slot->fd >= 0 && slot->got < sizeof slot->answer) {
        ssize_t got =
            recv(slot->fd, (uint8_t *)&slot->answer + slot->got, sizeof slot->answer - slot->got, MSG_DONTWAIT);
        if (got > 0 && slot->state != PM_SLOT_BUSY) {
            *is_broken = true; /* nobody asked */
            return false;
        }
        if (got > 0) {
            slot->got += (size_t)got;
        } else if (got < 0 && errno == EAGAIN) {
            return false;
        } else if (got == 0 || errno != EINTR) {
            close_fd(slot);
        }
    }
    bool whole = slot->state == PM_SLOT_BUSY && slot->got == sizeof slot->answer;
    *is_broken = whole && !is_sound(slot);
    return whole && !*is_broken;
}

static pm_status hear(pm_slots *s, size_t i, pm_slots_ended ended, void *ctx, pm_error *err) {
    pm_slot *slot = &s->slots[i];
    bool is_broken;
    if (slot->fd < 0 || (slot->state != PM_SLOT_BUSY && slot->state != PM_SLOT_IDLE)) {
        return PM_OK;
    }
    bool is_whole = read_answer(slot, &is_broken);
    if (is_broken) {
        pmi_logf(s->log, PM_LOG_ERROR, "the compute child %d of slot %zu sent a malformed reply; it is killed",
                 (int)slot->pid, i);
        slot->is_mad = true;
        close_fd(slot);
        return kill_child(s, i, err);
    }
    if (!is_whole) {
        return slot->fd >= 0 ? PM_OK : kill_child(s, i, err);
    }
    pm_ending ending = {.how = PM_ENDED_ANSWER, .answer = slot->answer};
    /* a child that was killed while it answered has done its work all the same */
    slot->state = slot->is_dismissed || slot->is_late ? PM_SLOT_DOOMED : PM_SLOT_IDLE;
    slot->misses = 0;
    end_unit(slot, &ending, ended, ctx);
    return PM_OK;
}

/* ---- births and deaths ---- */

static void describe_death(const pm_slot *slot, int status, char *text, size_t n) {
    int written;
    if (slot->is_late) {
        written = snprintf(text, n, "it %s, and its child was killed", slot->lateness);
    } else if (slot->is_mad) {
        written =
            snprintf(text, n, "its compute child (pid %d) sent a malformed reply, and was killed", (int)slot->pid);
    } else if (WIFSIGNALED(status)) {
        int number = WTERMSIG(status);
        written =
            snprintf(text, n, "its compute child (pid %d) was killed by signal %d (%s)%s", (int)slot->pid, number,
                     strsignal(number), number == SIGKILL ? ": by hand, or by the system when memory ran out" : "");
    } else {
        written = snprintf(text, n, "its compute child (pid %d) ended with status %d", (int)slot->pid,
                           WIFEXITED(status) ? WEXITSTATUS(status) : status);
    }
    if (written < 0) {
        text[0] = '\0';
    }
}

static void end_of_dead(pm_slots *s, size_t i, int status, pm_slots_ended ended, void *ctx) {
    static const pm_digest none;
    pm_slot *slot = &s->slots[i];
    const pm_progress_page *page = &s->pages[i];
    char text[256];
    describe_death(slot, status, text, sizeof text);
    bool was_begun = slot->is_mad || atomic_load(&page->phase) != PM_PHASE_IDLE;
    pm_ending ending = {.how = slot->is_dismissed ? PM_ENDED_DISMISSED
                               : was_begun        ? PM_ENDED_FAULT
                                                  : PM_ENDED_UNBEGUN,
                        .text = text};
    ending.answer.seconds = pmi_progress_page_computed(page);
    ending.answer.result.items = atomic_load(&page->items);
    memcpy(ending.answer.result.scc, page->scc, PM_DIGEST_BYTES);
    ending.answer.result.has_scc = memcmp(page->scc, none, sizeof none) != 0;
    end_unit(slot, &ending, ended, ctx);
}

static double next_spawn(pm_slot *slot, double now) {
    double wait = slot->misses == 0 ? 0 : MIN_SPAWN * exp2((double)(slot->misses < 10 ? slot->misses - 1 : 9));
    return now + (wait < MAX_SPAWN ? wait : MAX_SPAWN);
}

static void bury_child(pm_slots *s, const pm_spawner_news *news, double now, pm_slots_ended ended, void *ctx) {
    pm_slot *slot = &s->slots[news->slot];
    bool was_busy = slot->state == PM_SLOT_BUSY;
    if (news->pid == 0) {
        pmi_logf(s->log, slot->is_refused ? PM_LOG_DEBUG : PM_LOG_WARNING,
                 "slot %zu: cannot fork a compute child: %s; trying again", news->slot, strerror(news->status));
        slot->is_refused = true;
    } else if (!was_busy && slot->state != PM_SLOT_DOOMED) {
        char text[256];
        describe_death(slot, news->status, text, sizeof text);
        pmi_logf(s->log, slot->misses == 0 ? PM_LOG_WARNING : PM_LOG_DEBUG, "slot %zu had no unit when %s; replaced",
                 news->slot, text);
    }
    slot->misses = was_busy || slot->state == PM_SLOT_DOOMED ? 0 : slot->misses + 1;
    if (was_busy) {
        end_of_dead(s, news->slot, news->status, ended, ctx);
    }
    close_fd(slot);
    slot->state = PM_SLOT_EMPTY;
    slot->spawn_at = next_spawn(slot, now);
    slot->pid = 0;
    slot->is_dismissed = slot->is_late = slot->is_mad = false;
    slot->kill_asked = 0;
}

static pm_status read_news(pm_slots *s, double now, pm_slots_ended ended, void *ctx, pm_error *err) {
    pm_spawner_news news;
    bool got = false;
    pm_status st;
    while ((st = pmi_spawner_read(s->spawner, &news, &got, err)) == PM_OK && got) {
        pm_slot *slot = &s->slots[news.slot];
        if (news.is_born) {
            slot->state = PM_SLOT_IDLE;
            slot->pid = news.pid;
            slot->fd = news.fd;
            slot->since = now;
            slot->got = 0;
            slot->kill_asked = 0;
            slot->is_refused = false;
            continue;
        }
        st = hear(s, news.slot, ended, ctx, err); /* what it said last still counts */
        if (st != PM_OK) {
            break;
        }
        bury_child(s, &news, now, ended, ctx);
    }
    return st;
}

/* ---- the rounds ---- */

void pmi_slots_poll(const pm_slots *s, struct pollfd *fds) {
    fds[0] = (struct pollfd){.fd = pmi_spawner_fd(s->spawner), .events = POLLIN};
    for (size_t i = 0; i < s->n; i++) {
        const pm_slot *slot = &s->slots[i];
        bool is_sending = slot->state == PM_SLOT_BUSY && slot->sent < sizeof slot->head + slot->value.size;
        bool is_heard = slot->state == PM_SLOT_BUSY || slot->state == PM_SLOT_IDLE;
        fds[1 + i] =
            (struct pollfd){.fd = is_heard ? slot->fd : -1, .events = (short)(POLLIN | (is_sending ? POLLOUT : 0))};
    }
}

double pmi_slots_due(const pm_slots *s, double now, double max) {
    double due = max;
    for (size_t i = 0; i < s->n; i++) {
        const pm_slot *slot = &s->slots[i];
        double own = slot->state == PM_SLOT_EMPTY                               ? slot->spawn_at - now
                     : slot->state == PM_SLOT_BUSY && isfinite(s->unit_seconds) ? LOOK_SECONDS
                                                                                : max;
        due = own < due ? own : due;
    }
    return due > 0 ? due : 0;
}

/* ---- what takes too long ---- */

static void look_for_signs(pm_slot *slot, const pm_progress_page *page, double now) {
    pm_signs *signs = &slot->signs;
    int phase = atomic_load(&page->phase);
    uint64_t waits = atomic_load(&page->signs);
    if (phase != signs->phase || waits != signs->waits || slot->sent != signs->sent || phase == PM_PHASE_COMPUTE) {
        signs->advanced = signs->moved = now;
    }
    signs->phase = phase;
    signs->waits = waits;
    signs->sent = slot->sent;
    if (now - signs->moved > SIGN_SECONDS && now - signs->looked > SIGN_SECONDS) {
        double cpu = pmi_cpu_seconds(slot->pid);
        signs->moved = cpu > signs->cpu ? now : signs->moved;
        signs->cpu = cpu;
        signs->looked = now;
    }
}

static void be_late(pm_slot *slot, const char *before, double limit, const char *after) {
    slot->is_late = snprintf(slot->lateness, sizeof slot->lateness, "%s %g %s", before, limit, after) > 0;
}

static pm_status end_late(pm_slots *s, size_t i, double now, pm_error *err) {
    pm_slot *slot = &s->slots[i];
    if (slot->state != PM_SLOT_BUSY || slot->is_late || slot->is_dismissed) {
        return PM_OK;
    }
    double longest = fmax(s->unit_seconds, s->quiet_seconds);
    look_for_signs(slot, &s->pages[i], now);
    if (pmi_progress_page_computed(&s->pages[i]) > s->unit_seconds) {
        be_late(slot, "overran its", s->unit_seconds, "seconds of computing");
    } else if (now - slot->signs.moved > s->quiet_seconds) {
        be_late(slot, "gave no sign of life for", s->quiet_seconds, "s outside of computing");
        pmi_logf(s->log, PM_LOG_WARNING, "slot %zu: the compute child %d gave no sign of life for %g s; it is killed",
                 i, (int)slot->pid, s->quiet_seconds);
    } else if (now - slot->signs.advanced > longest) {
        be_late(slot, "was at one thing for", longest, "s outside of computing");
    }
    return slot->is_late ? kill_child(s, i, err) : PM_OK;
}

/* What was asked of the spawner and is not there. */
static pm_status miss_spawner(const pm_slots *s, size_t i, double now, pm_error *err) {
    const pm_slot *slot = &s->slots[i];
    double asked = slot->state == PM_SLOT_ASKED ? slot->spawn_at : slot->kill_asked;
    if (asked == 0 || now - asked <= SPAWNER_SECONDS) {
        return PM_OK;
    }
    return pmi_fail(
        err, PM_ESOFTWARE,
        "the spawner of compute children (pid %d) has not %s one for %g s: was it stopped? Start the worker "
        "again",
        (int)pmi_spawner_pid(s->spawner), slot->state == PM_SLOT_ASKED ? "forked" : "reported the death of",
        SPAWNER_SECONDS);
}

static pm_status look_after(pm_slots *s, size_t i, double now, pm_slots_ended ended, void *ctx, pm_error *err) {
    pm_slot *slot = &s->slots[i];
    if (slot->state == PM_SLOT_BUSY) {
        send_more(slot);
    }
    PM_TRY(hear(s, i, ended, ctx, err));
    PM_TRY(end_late(s, i, now, err));
    if (slot->state == PM_SLOT_EMPTY && slot->spawn_at <= now) {
        slot->state = PM_SLOT_ASKED;
        slot->spawn_at = now;
        PM_TRY(pmi_spawner_spawn(s->spawner, i, err));
    }
    return miss_spawner(s, i, now, err);
}

pm_status pmi_slots_serve(pm_slots *s, double now, pm_slots_ended ended, void *ctx, pm_error *err) {
    PM_TRY(read_news(s, now, ended, ctx, err));
    for (size_t i = 0; i < s->n; i++) {
        PM_TRY(look_after(s, i, now, ended, ctx, err));
    }
    return PM_OK;
}
