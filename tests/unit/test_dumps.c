#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/machine.h"

/* Exit status of a process that runs `child`. */
static int run(int (*child)(void)) {
    pid_t pid = fork();
    if (pid == 0) {
        _exit(child());
    }
    int status = -1;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool are_forbidden(void) {
    struct rlimit limit;
    return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 && getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_cur == 0 &&
           limit.rlim_max == 0;
}

static int grandchild(void) {
    return are_forbidden() ? 0 : 1;
}

static int forbid(void) {
    pm_error err;
    bool before = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1;
    return before && pmi_forbid_dumps(&err) == PM_OK && are_forbidden() && run(grandchild) == 0 ? 0 : 1;
}

Test(dumps, are_forbidden_and_for_children) {
    cr_assert_eq(run(forbid), 0);
}

static bool score_is(const char *text) {
    char found[16] = "";
    FILE *file = fopen("/proc/self/oom_score_adj", "r");
    bool is_read = file != NULL && fgets(found, sizeof found, file) != NULL;
    if (file != NULL) {
        fclose(file);
    }
    return is_read && strcmp(found, text) == 0;
}

/* As somebody whose files in /proc are root's from then on. */
static int write_score(void) {
    pm_error err;
    bool is_other = geteuid() != 0 || setresuid(65534, 65534, 65534) == 0;
    if (!is_other || pmi_forbid_dumps(&err) != PM_OK) {
        return 2;
    }
    return pmi_write_own_proc("oom_score_adj", "500") && score_is("500\n") && are_forbidden() ? 0 : 1;
}

Test(dumps, own_files_in_proc_can_be_written) {
    cr_assert_eq(run(write_score), 0);
}

static int write_nonsense(void) {
    pm_error err;
    return pmi_forbid_dumps(&err) == PM_OK && !pmi_write_own_proc("no-such-file", "1") &&
                   !pmi_write_own_proc("oom_score_adj", "x") && are_forbidden()
               ? 0
               : 1;
}

Test(dumps, what_is_refused_is_told) {
    cr_assert_eq(run(write_nonsense), 0);
}
