#include <criterion/criterion.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/machine.h"
#include "bench_child.h"

#define NONE UINT64_MAX

/* Files as pairs of a path and a text, ended by NULL. */
static bool read_pairs(void *ctx, const char *path, char *text, size_t n) {
    for (const char *const *pair = ctx; pair[0] != NULL; pair += 2) {
        if (strcmp(pair[0], path) == 0) {
            strncpy(text, pair[1], n - 1);
            text[n - 1] = '\0';
            return true;
        }
    }
    return false;
}

static void expect(const char *cgroup, const char *mounts, const char *const *files, uint64_t memory,
                   double processors) {
    const pm_text_files reader = {.ctx = (void *)files, .read = read_pairs};
    pm_cgroup_limits found = pmi_cgroup_read(cgroup, mounts, &reader);
    cr_assert_eq(found.memory, memory, "%s: memory %llu", cgroup, (unsigned long long)found.memory);
    cr_assert_eq(found.processors, processors, "%s: processors %g", cgroup, found.processors);
}

#define V2_MOUNT                                                                                                       \
    "25 1 0:22 / /sys rw - sysfs sysfs rw\n30 25 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n"
#define V1_MOUNTS                                                                                                      \
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"                                              \
    "32 31 0:29 %s /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 master:2 - cgroup cgroup rw,cpu,cpuacct\n"          \
    "35 31 0:32 %s /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"                                      \
    "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"

Test(machine, version_2_in_a_namespace_of_its_own) {
    expect("0::/\n", V2_MOUNT,
           (const char *const[]){"/sys/fs/cgroup/memory.max", "104857600\n", "/sys/fs/cgroup/cpu.max",
                                 "150000 100000\n", NULL},
           104857600, 1.5);
    expect("0::/\n", V2_MOUNT,
           (const char *const[]){"/sys/fs/cgroup/memory.max", "max\n", "/sys/fs/cgroup/cpu.max", "max 100000\n", NULL},
           NONE, HUGE_VAL);
}

Test(machine, version_2_counts_all_groups_above) {
    const char *group = "0::/system.slice/docker-1.scope/child\n";
    expect(group, V2_MOUNT,
           (const char *const[]){"/sys/fs/cgroup/system.slice/docker-1.scope/child/memory.max", "max\n",
                                 "/sys/fs/cgroup/system.slice/docker-1.scope/memory.max", "300\n",
                                 "/sys/fs/cgroup/system.slice/memory.max", "500\n",
                                 "/sys/fs/cgroup/system.slice/docker-1.scope/child/cpu.max", "400000 100000\n",
                                 "/sys/fs/cgroup/system.slice/cpu.max", "50000 100000\n", NULL},
           300, 0.5);
    expect(group, V2_MOUNT,
           (const char *const[]){"/sys/fs/cgroup/system.slice/docker-1.scope/child/memory.max", "7\n", NULL}, 7,
           HUGE_VAL);
    /* no group of ours */
    expect(group, V2_MOUNT, (const char *const[]){"/sys/fs/cgroup/system.slice/other/memory.max", "7\n", NULL}, NONE,
           HUGE_VAL);
}

static void expect_v1(const char *root, const char *memory_group, const char *folder, uint64_t memory) {
    char mounts[2048], cgroup[512], path[512];
    snprintf(mounts, sizeof mounts, V1_MOUNTS, root, root);
    snprintf(cgroup, sizeof cgroup, "4:memory:%s\n2:cpu,cpuacct:%s\n1:name=systemd:/x\n0::/\n", memory_group,
             memory_group);
    snprintf(path, sizeof path, "/sys/fs/cgroup/memory%s/memory.limit_in_bytes", folder);
    expect(cgroup, mounts, (const char *const[]){path, "230686720\n", NULL}, memory, HUGE_VAL);
}

Test(machine, version_1_wherever_the_group_is_mounted) {
    expect_v1("/", "/", "", 230686720);
    expect_v1("/", "/a/b", "/a/b", 230686720);
    expect_v1("/", "/a/b", "/a", 230686720);
    expect_v1("/", "/a/b", "", 230686720);
    expect_v1("/", "/a/b", "/a/bc", NONE);
    /* a container sees its own group mounted, and the machine's path of it */
    expect_v1("/docker/12ab", "/docker/12ab", "", 230686720);
    expect_v1("/docker/12ab", "/docker/12ab/inner", "/inner", 230686720);
    expect_v1("/docker/12ab", "/docker/12abc", "", 230686720);
    expect_v1("/docker/12ab", "/docker/12abc", "/c", NONE);
    expect_v1("/docker/12ab", "/", "", 230686720);
    /* seen from a namespace beside or below */
    expect_v1("/", "/../outside", "", 230686720);
    expect_v1("/..", "/", "", 230686720);
}

Test(machine, version_1_quotas_and_numbers_that_are_no_limits) {
    char mounts[2048];
    snprintf(mounts, sizeof mounts, V1_MOUNTS, "/", "/");
    const char *cgroup = "2:cpuacct,cpu:/a\n4:memory:/a\n0::/\n";
    expect(cgroup, mounts,
           (const char *const[]){"/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "250000\n",
                                 "/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n",
                                 "/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n", NULL},
           9223372036854771712u, 2.5);
    expect(cgroup, mounts,
           (const char *const[]){"/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "-1\n",
                                 "/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n",
                                 "/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "-1\n", NULL},
           NONE, HUGE_VAL);
    /* version 2's files count in its own hierarchy: a hybrid machine may have its limits there */
    expect(cgroup, mounts, (const char *const[]){"/sys/fs/cgroup/unified/memory.max", "512\n", NULL}, 512, HUGE_VAL);
    expect(cgroup, mounts, (const char *const[]){"/sys/fs/cgroup/memory/a/memory.max", "512\n", NULL}, NONE, HUGE_VAL);
}

Test(machine, mount_points_are_unescaped) {
    expect("0::/with space\n", "30 25 0:26 / /mnt/c\\040\\134g rw - cgroup2 none rw\n",
           (const char *const[]){"/mnt/c \\g/with space/memory.max", "5", NULL}, 5, HUGE_VAL);
}

Test(machine, what_is_not_as_described_limits_nothing) {
    static const char *const mounts[] = {"",
                                         "\n\n",
                                         "30 25 0:26 / /sys/fs/cgroup rw cgroup2 cgroup2 rw\n",
                                         "30 25 - cgroup2 cgroup2 rw\n",
                                         "30 25 0:26 / /sys/fs/cgroup rw - cgroup2\n",
                                         "30 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2\n",
                                         "30 25 0:26 / /sys/fs/cgroup rw - ext4 cgroup2 rw\n"};
    static const char *const files[] = {"/sys/fs/cgroup/memory.max", "100", NULL};
    for (size_t i = 0; i < sizeof mounts / sizeof *mounts; i++) {
        expect("0::/\n", mounts[i], files, NONE, HUGE_VAL);
    }
    static const char *const groups[] = {"", "0::\n", "0:/\n", "1::/\n", "0:memory:/\n", "0::relative\n", "::/\n"};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        expect(groups[i], V2_MOUNT, files, NONE, HUGE_VAL);
    }
    static const char *const quotas[] = {"", "100000", "100000 ", "max", "0 100000", "100000 0", "-5 100000"};
    for (size_t i = 0; i < sizeof quotas / sizeof *quotas; i++) {
        expect("0::/\n", V2_MOUNT, (const char *const[]){"/sys/fs/cgroup/cpu.max", quotas[i], NULL}, NONE, HUGE_VAL);
    }
    expect("0::/\n", V2_MOUNT, (const char *const[]){"/sys/fs/cgroup/memory.max", "many", NULL}, NONE, HUGE_VAL);
}

/* Each test is a process of its own: limits and environment stay in it. */
Test(machine, processors_are_at_most_those_of_the_affinity_and_of_openmp) {
    cpu_set_t set;
    unsetenv("OMP_NUM_THREADS");
    unsigned all = pmi_processors();
    cr_assert_geq(all, 1u);
    cr_assert_eq(sched_getaffinity(0, sizeof set, &set), 0);
    cr_assert_leq(all, (unsigned)CPU_COUNT(&set));
    setenv("OMP_NUM_THREADS", "100000", 1);
    cr_assert_eq(pmi_processors(), all);
    setenv("OMP_NUM_THREADS", "0", 1);
    cr_assert_eq(pmi_processors(), all);
    setenv("OMP_NUM_THREADS", "four", 1);
    cr_assert_eq(pmi_processors(), all);
    setenv("OMP_NUM_THREADS", "1,4", 1);
    cr_assert_eq(pmi_processors(), 1u);
    unsetenv("OMP_NUM_THREADS");
    size_t first = 0;
    while (!CPU_ISSET(first, &set)) {
        first++;
    }
    CPU_ZERO(&set);
    CPU_SET(first, &set);
    cr_assert_eq(sched_setaffinity(0, sizeof set, &set), 0);
    cr_assert_eq(pmi_processors(), 1u);
}

Test(machine, memory_is_four_fifths_of_the_least, .disabled = BENCH_CHILD_SANITIZED) {
    size_t all = pmi_default_memory();
    size_t physical = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    cr_assert_gt(all, (size_t)1 << 26);
    cr_assert_leq(all, physical / 5 * 4 + 4);
    struct rlimit limit;
    cr_assert_eq(getrlimit(RLIMIT_DATA, &limit), 0);
    limit.rlim_cur = 50000000;
    cr_assert_eq(setrlimit(RLIMIT_DATA, &limit), 0);
    cr_assert_eq(pmi_default_memory(), 40000000u);
}
