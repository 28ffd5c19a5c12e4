#include <criterion/criterion.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/machine.h"
#include "bench_child.h"

#define MB ((size_t)1 << 20)

Test(limits, resident_memory_of_processes) {
    cr_assert(pmi_resident_bytes(getpid()) > MB);
    cr_assert_eq(pmi_resident_bytes(0x3ffffff), 0u);
    cr_assert(pmi_data_bytes() > 0);
}

/* In a process of its own: limits stay. */
Test(limits, memory_beyond_the_limit_is_refused_until_it_is_lifted, .disabled = BENCH_CHILD_SANITIZED) {
    pid_t pid = fork();
    if (pid == 0) {
        pm_error err;
        int failed = pmi_limit_data(64 * MB, &err) != PM_OK;
        void *volatile small = malloc(16 * MB); /* volatile: a compiler may leave out what nobody looks at */
        void *volatile large = malloc(256 * MB);
        failed += small == NULL ? 2 : 0;
        failed += large != NULL ? 4 : 0;
        failed += pmi_limit_data(0, &err) != PM_OK ? 8 : 0;
        free(large);
        large = malloc(256 * MB);
        failed += large == NULL ? 16 : 0;
        free(small);
        free(large);
        _exit(failed);
    }
    int status;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status));
    cr_assert_eq(WEXITSTATUS(status), 0, "%d", WEXITSTATUS(status));
}
