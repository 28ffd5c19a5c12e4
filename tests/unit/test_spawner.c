#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "worker/spawner.h"
#include "worker/task.h"

static void pause_ms(long ms) {
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* Echoes bytes; 'x' ends with status 7, 's' by a signal. */
static int echo(void *ctx, size_t slot, int fd) {
    (void)ctx;
    char byte;
    while (read(fd, &byte, 1) == 1) {
        if (byte == 'x') {
            return 7;
        }
        if (byte == 's') {
            raise(SIGUSR1);
        }
        char answer[2] = {byte, (char)('0' + slot)};
        if (write(fd, answer, 2) != 2) {
            return 1;
        }
    }
    return 0;
}

static pm_spawner_news wait_news(pm_spawner *s) {
    pm_spawner_news news = {0};
    bool got = false;
    pm_error err;
    struct pollfd fd = {.fd = pmi_spawner_fd(s), .events = POLLIN};
    for (int turn = 0; !got && turn < 100; turn++) {
        poll(&fd, 1, 100);
        cr_assert_eq(pmi_spawner_read(s, &news, &got, &err), PM_OK, "%s", err.text);
    }
    cr_assert(got, "no news from the spawner");
    return news;
}

static pm_spawner *start(size_t slots, pm_child_main child, void *ctx) {
    pm_spawner *s;
    pm_error err;
    cr_assert_eq(pmi_spawner_start(slots, child, ctx, &s, &err), PM_OK, "%s", err.text);
    return s;
}

static pm_spawner_news spawn(pm_spawner *s, size_t slot) {
    pm_error err;
    cr_assert_eq(pmi_spawner_spawn(s, slot, &err), PM_OK, "%s", err.text);
    pm_spawner_news news = wait_news(s);
    cr_assert(news.is_born);
    cr_assert_eq(news.slot, slot);
    cr_assert(news.pid > 0);
    cr_assert(news.fd >= 0);
    return news;
}

static void check_echo(int fd, size_t slot) {
    char answer[2];
    cr_assert_eq(write(fd, "a", 1), 1);
    cr_assert_eq(read(fd, answer, 2), 2);
    cr_assert_eq(answer[0], 'a');
    cr_assert_eq(answer[1], (char)('0' + slot));
}

/* Within five seconds; zombies of another parent count as gone. */
static bool is_gone(pid_t pid) {
    char path[64], state[512];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    for (int turn = 0; turn < 500; turn++) {
        int fd = open(path, O_RDONLY);
        ssize_t n = fd < 0 ? 0 : read(fd, state, sizeof state - 1);
        if (fd >= 0) {
            close(fd);
        }
        if (n <= 0) {
            return true;
        }
        state[n] = 0;
        const char *behind = strrchr(state, ')');
        if (behind != NULL && behind[2] == 'Z') {
            return true;
        }
        pause_ms(10);
    }
    return false;
}

Test(spawner, children_serve_their_slots) {
    pm_spawner *s = start(3, echo, NULL);
    int fds[3];
    for (size_t slot = 0; slot < 3; slot++) {
        fds[slot] = spawn(s, slot).fd;
    }
    for (size_t slot = 0; slot < 3; slot++) {
        check_echo(fds[slot], slot);
    }
    for (size_t slot = 0; slot < 3; slot++) {
        close(fds[slot]); /* end of file: an orderly end */
        pm_spawner_news news = wait_news(s);
        cr_assert_not(news.is_born);
        cr_assert(WIFEXITED(news.status) && WEXITSTATUS(news.status) == 0);
    }
    pmi_spawner_stop(s);
}

Test(spawner, ends_are_reported_with_their_status) {
    pm_spawner *s = start(1, echo, NULL);
    pm_spawner_news born = spawn(s, 0);
    cr_assert_eq(write(born.fd, "x", 1), 1);
    pm_spawner_news died = wait_news(s);
    cr_assert_not(died.is_born);
    cr_assert_eq(died.pid, born.pid);
    cr_assert_eq(died.fd, -1);
    cr_assert(WIFEXITED(died.status) && WEXITSTATUS(died.status) == 7);
    close(born.fd);

    born = spawn(s, 0);
    cr_assert_eq(write(born.fd, "s", 1), 1);
    died = wait_news(s);
    cr_assert(WIFSIGNALED(died.status) && WTERMSIG(died.status) == SIGUSR1);
    close(born.fd);
    pmi_spawner_stop(s);
}

Test(spawner, kills_and_replaces) {
    pm_spawner *s = start(2, echo, NULL);
    int other = spawn(s, 1).fd;
    for (int turn = 0; turn < 20; turn++) {
        pm_spawner_news born = spawn(s, 0);
        check_echo(born.fd, 0);
        pm_error err;
        cr_assert_eq(pmi_spawner_kill(s, 0, &err), PM_OK);
        pm_spawner_news died = wait_news(s);
        cr_assert_eq(died.pid, born.pid);
        cr_assert(WIFSIGNALED(died.status) && WTERMSIG(died.status) == SIGKILL);
        close(born.fd);
    }
    check_echo(other, 1);
    close(other);
    pmi_spawner_stop(s);
}

Test(spawner, terminal_signals_are_for_the_worker) {
    pm_spawner *s = start(1, echo, NULL);
    pm_spawner_news born = spawn(s, 0);
    check_echo(born.fd, 0);
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(kill(born.pid, signals[i]), 0);
        cr_assert_eq(kill(pmi_spawner_pid(s), signals[i]), 0);
    }
    check_echo(born.fd, 0);
    close(born.fd);
    pmi_spawner_stop(s);
}

Test(spawner, stop_ends_children_that_are_busy) {
    pm_spawner *s = start(2, echo, NULL);
    pm_spawner_news a = spawn(s, 0), b = spawn(s, 1);
    pid_t spawner = pmi_spawner_pid(s);
    pmi_spawner_stop(s);
    cr_assert_eq(kill(a.pid, 0), -1, "a child outlived its spawner");
    cr_assert_eq(kill(b.pid, 0), -1);
    cr_assert_eq(kill(spawner, 0), -1);
    close(a.fd);
    close(b.fd);
}

Test(spawner, a_killed_spawner_takes_its_children_along_and_is_an_error) {
    pm_spawner *s = start(1, echo, NULL);
    pm_spawner_news born = spawn(s, 0);
    cr_assert_eq(kill(pmi_spawner_pid(s), SIGKILL), 0);
    cr_assert(is_gone(born.pid));
    struct pollfd fd = {.fd = pmi_spawner_fd(s), .events = POLLIN};
    cr_assert_eq(poll(&fd, 1, 5000), 1);
    pm_spawner_news news;
    bool got;
    pm_error err;
    cr_assert_eq(pmi_spawner_read(s, &news, &got, &err), PM_ESOFTWARE);
    cr_assert(strstr(err.text, "is gone") != NULL, "%s", err.text);
    cr_assert_eq(pmi_spawner_spawn(s, 0, &err), PM_ESOFTWARE);
    close(born.fd);
    pmi_spawner_stop(s);
}

/* A worker killed with SIGKILL leaves nothing behind. */
Test(spawner, nothing_outlives_the_worker) {
    int report[2];
    cr_assert_eq(pipe(report), 0);
    pid_t worker = fork();
    if (worker == 0) {
        close(report[0]);
        pm_spawner *s = start(1, echo, NULL);
        pid_t pids[2] = {pmi_spawner_pid(s), spawn(s, 0).pid};
        if (write(report[1], pids, sizeof pids) == (ssize_t)sizeof pids) {
            pause_ms(60000);
        }
        _exit(1);
    }
    close(report[1]);
    pid_t pids[2];
    cr_assert_eq(read(report[0], pids, sizeof pids), (ssize_t)sizeof pids);
    cr_assert_eq(kill(worker, SIGKILL), 0);
    cr_assert_eq(waitpid(worker, NULL, 0), worker);
    cr_assert(is_gone(pids[0]), "the spawner is left");
    cr_assert(is_gone(pids[1]), "the child is left");
    close(report[0]);
}

/* A child sees one socket besides what the worker had open. */
static int count_files(void *ctx, size_t slot, int fd) {
    (void)ctx, (void)slot;
    unsigned char n = 0;
    for (int other = 0; other < 256; other++) {
        n = (unsigned char)(n + (fcntl(other, F_GETFD) >= 0));
    }
    return write(fd, &n, 1) == 1 ? 0 : 1;
}

Test(spawner, children_inherit_no_sockets_of_others) {
    unsigned char before = 0, seen;
    for (int other = 0; other < 256; other++) {
        before = (unsigned char)(before + (fcntl(other, F_GETFD) >= 0));
    }
    pm_spawner *s = start(3, count_files, NULL);
    for (size_t slot = 0; slot < 3; slot++) {
        pm_spawner_news born = spawn(s, slot);
        cr_assert_eq(read(born.fd, &seen, 1), 1);
        cr_assert_eq(seen, before + 1);
        close(born.fd);
        cr_assert_not(wait_news(s).is_born);
    }
    pmi_spawner_stop(s);
}

/* ---- the page ---- */

static int work_on_page(void *ctx, size_t slot, int fd) {
    (void)slot;
    pm_progress_page *page = ctx;
    uint8_t scc[PM_DIGEST_BYTES] = {1, 2, 3};
    char byte = 'r';
    pmi_progress_page_begin(page, 9);
    pmi_progress_page_phase(page, PM_PHASE_COMPUTE);
    pmi_progress_page_item(page, 4, scc);
    if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1) {
        return 1;
    }
    pmi_progress_page_phase(page, PM_PHASE_STORE);
    return write(fd, &byte, 1) == 1 && read(fd, &byte, 1) == 0 ? 0 : 1;
}

Test(spawner, a_page_shows_what_the_child_is_at) {
    pm_progress_page *page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(page, MAP_FAILED);
    pm_spawner *s = start(1, work_on_page, page);
    pm_spawner_news born = spawn(s, 0);
    char byte;
    cr_assert_eq(read(born.fd, &byte, 1), 1);
    cr_assert_eq(atomic_load(&page->phase), PM_PHASE_COMPUTE);
    cr_assert_eq(atomic_load(&page->item), 4);
    cr_assert_eq(atomic_load(&page->items), 9);
    cr_assert_eq(page->scc[2], 3);
    double before = pmi_progress_page_computed(page);
    pause_ms(50);
    cr_assert(pmi_progress_page_computed(page) >= before + 0.04, "the clock of a compute phase must run");
    cr_assert_eq(write(born.fd, &byte, 1), 1);
    cr_assert_eq(read(born.fd, &byte, 1), 1);
    double stored = pmi_progress_page_computed(page);
    cr_assert(stored >= 0.04);
    pause_ms(20);
    cr_assert_eq(pmi_progress_page_computed(page), stored, "outside of compute the clock stands");
    close(born.fd);
    pmi_spawner_stop(s);
    munmap(page, sizeof *page);
}
