#include "support/worker_check.h"

#include "base/clock.h"
#include "support/output.h"
#include "worker/health.h"

pm_status cli_worker_check(int argc, char **argv, pm_error *err) {
    if (argc > 1) {
        return pmi_fail(err, PM_EUSAGE, "worker check: \"%s\" is one operand too many, expected none", argv[1]);
    }
    pm_health_report report;
    pm_status st = pmi_health_check(NULL, pmi_now(), &report, err);
    if (st != PM_OK) {
        return st;
    }
    if (report.alive == 0) {
        return pmi_fail(
            err, PM_EUNAVAILABLE,
            "no worker of this user lives on this host (health files are in $TMPDIR or /tmp: the check needs "
            "the worker's)");
    }
    if (report.hanging > 0) {
        return pmi_fail(err, PM_EUNAVAILABLE,
                        "worker %ld hangs: its loop last turned %.0f s ago, expected each second; "
                        "%zu of %zu workers hang",
                        (long)report.oldest, report.age, report.hanging, report.alive);
    }
    return cli_show_count(report.alive, report.alive == 1 ? "worker alive" : "workers alive", err);
}
