/* The end of a handle, which may not come. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "kafka/kafka.h"

/* Shared by the thread that destroys and the one that waits; the last to leave frees it. */
typedef struct ending {
    rd_kafka_t *rk;
    int flags;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_over;
    atomic_int users;
} ending;

static void let_go(ending *e) {
    if (atomic_fetch_sub(&e->users, 1) == 1) {
        pthread_cond_destroy(&e->changed);
        pthread_mutex_destroy(&e->lock);
        free(e);
    }
}

static void *destroy(void *argument) {
    ending *e = argument;
    rd_kafka_destroy_flags(e->rk, e->flags);
    pthread_mutex_lock(&e->lock);
    e->is_over = true;
    pthread_cond_signal(&e->changed);
    pthread_mutex_unlock(&e->lock);
    let_go(e);
    return NULL;
}

static bool begin(ending *e) {
    pthread_t thread;
    pthread_condattr_t steady;
    pthread_condattr_init(&steady);
    pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->changed, &steady);
    pthread_condattr_destroy(&steady);
    atomic_store(&e->users, 2);
    if (pthread_create(&thread, NULL, destroy, e) != 0) {
        atomic_store(&e->users, 1);
        return false;
    }
    pthread_detach(thread);
    return true;
}

static bool wait_for(ending *e, double seconds) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    double nanoseconds = (double)until.tv_nsec + seconds * 1e9;
    until.tv_sec += (time_t)(nanoseconds / 1e9);
    until.tv_nsec = (long)(nanoseconds - 1e9 * (double)(time_t)(nanoseconds / 1e9));
    pthread_mutex_lock(&e->lock);
    while (!e->is_over && pthread_cond_timedwait(&e->changed, &e->lock, &until) != ETIMEDOUT) {
    }
    bool is_over = e->is_over;
    pthread_mutex_unlock(&e->lock);
    return is_over;
}

bool pmi_kafka_destroy(rd_kafka_t *rk, int flags, double seconds, const pm_log *log) {
    bool is_over = false;
    ending *e = pmi_calloc(1, sizeof *e);
    if (e != NULL) {
        e->rk = rk;
        e->flags = flags;
        is_over = begin(e) && wait_for(e, seconds);
        let_go(e);
    }
    if (!is_over) {
        pmi_logf(log, PM_LOG_DEBUG, "librdkafka did not end a handle within %.3g s: it is left behind", seconds);
    }
    return is_over;
}
