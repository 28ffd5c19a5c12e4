/* The offsets of one partition that are in hand or done beyond the committed prefix. Pure: no Kafka in here. */
#ifndef PM_QUEUE_WINDOW_H
#define PM_QUEUE_WINDOW_H

#include "base/error.h"

/* Offsets may have gaps (compaction, transactions). All-zero is empty. */
typedef struct pm_window {
    struct pm_window_entry *entries; /* a ring, ascending by offset */
    size_t first, count, capacity;
} pm_window;

typedef enum pm_window_state { PM_WINDOW_UNKNOWN, PM_WINDOW_HELD, PM_WINDOW_DONE } pm_window_state;

/* A taken offset, larger than all before it. */
pm_status pm_window_take(pm_window *w, int64_t offset, pm_error *err);
pm_window_state pm_window_find(const pm_window *w, int64_t offset);
void pm_window_done(pm_window *w, int64_t offset);
/* Drops the done prefix; returns the offset to commit (one past its last), or -1 when there is none. */
int64_t pm_window_advance(pm_window *w);
void pm_window_free(pm_window *w);

#endif
