#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "worker/health.h"

static char folder[] = "/tmp/pm-health-XXXXXX";

static void make_folder(void) {
    cr_assert_not_null(mkdtemp(folder));
}

static void remove_folder(void) {
    char path[128];
    snprintf(path, sizeof path, "%s/phasemill-%ld", folder, (long)getuid());
    rmdir(path);
    cr_assert_eq(rmdir(folder), 0, "files were left behind");
}

TestSuite(health, .init = make_folder, .fini = remove_folder);

static pm_health_report check(double ahead) {
    pm_error err;
    pm_health_report report;
    cr_assert_eq(pmi_health_check(folder, (double)time(NULL) + ahead, &report, &err), PM_OK, "%s", err.text);
    return report;
}

/* A worker in a process of its own, until it is killed; with `ends`, it closes its file first. */
static pid_t start_worker(void) {
    int ready[2];
    cr_assert_eq(pipe(ready), 0);
    pid_t pid = fork();
    cr_assert(pid >= 0);
    if (pid == 0) {
        pm_health h;
        pm_error err;
        if (pmi_health_open(folder, &h, &err) != PM_OK || write(ready[1], "x", 1) != 1) {
            _exit(1);
        }
        pause();
        _exit(0);
    }
    char byte;
    close(ready[1]);
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

static void kill_worker(pid_t pid) {
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

Test(health, nobody_is_there) {
    pm_health_report report = check(0);
    cr_assert_eq(report.alive, 0);
}

Test(health, a_worker_is_seen_and_its_age) {
    pid_t pid = start_worker();
    pm_health_report now = check(0), later = check(PM_HEALTH_SECONDS + 5);
    kill_worker(pid);
    cr_assert_eq(now.alive, 1);
    cr_assert_eq(now.hanging, 0);
    cr_assert_eq(now.oldest, pid);
    cr_assert_eq(later.alive, 1);
    cr_assert_eq(later.hanging, 1);
    cr_assert(later.age > PM_HEALTH_SECONDS && later.age < PM_HEALTH_SECONDS + 60);
    cr_assert_eq(check(0).alive, 0, "the file of a dead worker counts");
}

Test(health, the_oldest_of_two_is_named) {
    pid_t first = start_worker(), second = start_worker();
    char path[256];
    snprintf(path, sizeof path, "%s/phasemill-%ld/worker-%ld.alive", folder, (long)getuid(), (long)first);
    const struct timespec long_ago[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    cr_assert_eq(utimensat(AT_FDCWD, path, long_ago, 0), 0);
    pm_health_report report = check(0);
    kill_worker(first);
    kill_worker(second);
    cr_assert_eq(report.alive, 2);
    cr_assert_eq(report.hanging, 1);
    cr_assert_eq(report.oldest, first);
    check(0);
}

Test(health, a_beat_makes_it_young_and_close_removes_all) {
    pm_health h;
    pm_error err;
    cr_assert_eq(pmi_health_open(folder, &h, &err), PM_OK, "%s", err.text);
    const struct timespec long_ago[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    cr_assert_eq(utimensat(AT_FDCWD, h.path, long_ago, 0), 0);
    pmi_health_beat(&h);
    struct stat info;
    cr_assert_eq(stat(h.path, &info), 0);
    cr_assert_geq(info.st_mtim.tv_sec, time(NULL) - 10);
    pmi_health_close(&h);
    cr_assert_neq(access(h.path, F_OK), 0);
    cr_assert_neq(access(h.folder, F_OK), 0);
    pmi_health_close(&h);
}

Test(health, a_link_in_place_of_the_folder_is_refused) {
    char path[128];
    snprintf(path, sizeof path, "%s/phasemill-%ld", folder, (long)getuid());
    cr_assert_eq(symlink("/tmp", path), 0);
    pm_health h;
    pm_error err;
    pm_health_report report;
    pm_status opened = pmi_health_open(folder, &h, &err);
    pm_status checked = pmi_health_check(folder, 0, &report, &err);
    unlink(path);
    cr_assert_eq(opened, PM_ECANTCREAT);
    cr_assert_eq(checked, PM_EIO);
}
