/* The offsets of one partition that are in hand or done beyond the committed prefix. Pure: no Kafka in here. */
#ifndef PM_KAFKA_WINDOW_H
#define PM_KAFKA_WINDOW_H

#include "base/error.h"

/* Offsets may have gaps (compaction, transactions). All-zero is empty. */
typedef struct pm_window {
    struct pm_window_entry *entries; /* a ring, ascending by offset */
    size_t first, count, capacity;
    size_t n_given; /* entries given back */
} pm_window;

typedef enum pm_window_state {
    PM_WINDOW_UNKNOWN,
    PM_WINDOW_HELD,
    PM_WINDOW_DONE,
    PM_WINDOW_GIVEN /* given back: holds the prefix until it is taken again and done */
} pm_window_state;

/* The offset is in hand: one that was given back, or a new one, usually larger than all before it. `mark` tells its
 * message from another one that has the same offset in another topic. Errors: PM_ESOFTWARE when it is in hand or done
 * already; PM_EOSERR. */
pm_status pmi_window_take(pm_window *w, int64_t offset, uint64_t mark, pm_error *err);
pm_window_state pmi_window_find(const pm_window *w, int64_t offset);
/* False when there is an entry of that offset with another mark. */
bool pmi_window_fits(const pm_window *w, int64_t offset, uint64_t mark);
/* Nothing happens for an offset that is not in hand. */
void pmi_window_done(pm_window *w, int64_t offset);
void pmi_window_give(pm_window *w, int64_t offset);
/* True when the entry of the lowest offset is done. */
bool pmi_window_is_front_done(const pm_window *w);
/* How many entries are in that state. */
size_t pmi_window_count(const pm_window *w, pm_window_state state);
/* The lowest offset that was given back, or -1. */
int64_t pmi_window_lowest_given(const pm_window *w);
/* Drops the done prefix as far as it lies below `end`; returns the offset to commit (one past its last, whose mark goes
 * to *mark), or -1 when there is none. */
int64_t pmi_window_advance(pm_window *w, int64_t end, uint64_t *mark);
/* Drops all entries below `offset`, whatever their state: somebody else saw to them. */
void pmi_window_forget(pm_window *w, int64_t offset);
/* Frees the memory and leaves an empty window. */
void pmi_window_free(pm_window *w);

#endif
