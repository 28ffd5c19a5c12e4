#include "base/team.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

/* The process in which this thread has led a team, or 0: state of the runtime, which has no other name for it. */
static _Thread_local pid_t led_in;

typedef struct substitute {
    pm_team_work work;
    void *ctx;
    pm_error *err;
    pm_status status;
} substitute;

static void *stand_in(void *arg) {
    substitute *s = arg;
    s->status = s->work(s->ctx, s->err);
    return NULL;
}

pm_status pmi_team_lead(pm_team_work work, void *ctx, pm_error *err) {
    pid_t here = getpid();
    if (led_in == 0 || led_in == here) {
        led_in = here;
        return work(ctx, err);
    }
    substitute s = {.work = work, .ctx = ctx, .err = err};
    pthread_t thread;
    int failed = pthread_create(&thread, NULL, stand_in, &s);
    if (failed != 0) {
        return pmi_fail(err, PM_EOSERR, "a forked process needs a thread of its own for parallel work: %s",
                        strerror(failed));
    }
    pthread_join(thread, NULL);
    return s.status;
}
