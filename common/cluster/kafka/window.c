#include "kafka/taker_impl.h"

struct pm_window_entry {
    int64_t offset;
    uint64_t mark;
    pm_window_state state;
};

static struct pm_window_entry *entry_at(const pm_window *w, size_t i) {
    return &w->entries[(w->first + i) & (w->capacity - 1)];
}

/* The number of entries below `offset`. */
static size_t rank_of(const pm_window *w, int64_t offset) {
    size_t low = 0, high = w->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (entry_at(w, middle)->offset < offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct pm_window_entry *find_entry(const pm_window *w, int64_t offset) {
    size_t i = rank_of(w, offset);
    if (i == w->count || entry_at(w, i)->offset != offset) {
        return NULL;
    }
    return entry_at(w, i);
}

/* The capacity is a power of two. */
static pm_status grow(pm_window *w, pm_error *err) {
    size_t capacity = w->capacity == 0 ? 16 : 2 * w->capacity;
    struct pm_window_entry *entries = pmi_malloc(capacity, sizeof *entries);
    PM_TRY(entries != NULL ? PM_OK : pmi_fail_memory(err, "the window of a partition", capacity * sizeof *entries));
    for (size_t i = 0; i < w->count; i++) {
        entries[i] = *entry_at(w, i);
    }
    free(w->entries);
    w->entries = entries;
    w->first = 0;
    w->capacity = capacity;
    return PM_OK;
}

pm_status pmi_window_take(pm_window *w, int64_t offset, uint64_t mark, pm_error *err) {
    struct pm_window_entry *there = find_entry(w, offset);
    if (there != NULL && there->state != PM_WINDOW_GIVEN) {
        return pmi_fail(err, PM_ESOFTWARE, "offset %lld was taken twice", (long long)offset);
    }
    if (there != NULL) {
        there->state = PM_WINDOW_HELD;
        w->n_given--;
        return PM_OK;
    }
    if (w->count == w->capacity && grow(w, err) != PM_OK) {
        return PM_EOSERR;
    }
    size_t at = rank_of(w, offset);
    for (size_t i = w->count; i > at; i--) {
        *entry_at(w, i) = *entry_at(w, i - 1);
    }
    w->count++;
    *entry_at(w, at) = (struct pm_window_entry){.offset = offset, .mark = mark, .state = PM_WINDOW_HELD};
    return PM_OK;
}

pm_window_state pmi_window_find(const pm_window *w, int64_t offset) {
    const struct pm_window_entry *entry = find_entry(w, offset);
    return entry == NULL ? PM_WINDOW_UNKNOWN : entry->state;
}

bool pmi_window_fits(const pm_window *w, int64_t offset, uint64_t mark) {
    const struct pm_window_entry *entry = find_entry(w, offset);
    return entry == NULL || entry->mark == mark;
}

static bool leave_hand(pm_window *w, int64_t offset, pm_window_state state) {
    struct pm_window_entry *entry = find_entry(w, offset);
    if (entry == NULL || entry->state != PM_WINDOW_HELD) {
        return false;
    }
    entry->state = state;
    return true;
}

void pmi_window_done(pm_window *w, int64_t offset) {
    leave_hand(w, offset, PM_WINDOW_DONE);
}

void pmi_window_give(pm_window *w, int64_t offset) {
    if (leave_hand(w, offset, PM_WINDOW_GIVEN)) {
        w->n_given++;
    }
}

bool pmi_window_is_front_done(const pm_window *w) {
    return w->count > 0 && entry_at(w, 0)->state == PM_WINDOW_DONE;
}

int64_t pmi_window_lowest_given(const pm_window *w) {
    for (size_t i = 0; i < w->count && w->n_given > 0; i++) {
        if (entry_at(w, i)->state == PM_WINDOW_GIVEN) {
            return entry_at(w, i)->offset;
        }
    }
    return -1;
}

static void drop_first(pm_window *w) {
    if (entry_at(w, 0)->state == PM_WINDOW_GIVEN) {
        w->n_given--;
    }
    w->first = (w->first + 1) & (w->capacity - 1);
    w->count--;
}

int64_t pmi_window_advance(pm_window *w, int64_t end, uint64_t *mark) {
    int64_t commit = -1;
    while (w->count > 0 && entry_at(w, 0)->state == PM_WINDOW_DONE && entry_at(w, 0)->offset < end) {
        commit = entry_at(w, 0)->offset + 1;
        *mark = entry_at(w, 0)->mark;
        drop_first(w);
    }
    return commit;
}

void pmi_window_forget(pm_window *w, int64_t offset) {
    while (w->count > 0 && entry_at(w, 0)->offset < offset) {
        drop_first(w);
    }
}

void pmi_window_free(pm_window *w) {
    free(w->entries);
    *w = (pm_window){0};
}
