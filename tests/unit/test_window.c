/* The window of a partition against a model that is too simple to be wrong: an array indexed by offset. */
#include <criterion/criterion.h>

#include "base/random.h"
#include "kafka/taker_impl.h"

#define OFFSETS 4000

typedef struct naive {
    pm_window_state state[OFFSETS]; /* UNKNOWN below `from`: committed or forgotten */
    int64_t from;
} naive;

static int64_t naive_advance(naive *n) {
    int64_t commit = -1;
    for (int64_t i = n->from; i < OFFSETS; i++) {
        if (n->state[i] == PM_WINDOW_HELD || n->state[i] == PM_WINDOW_GIVEN) {
            break;
        }
        if (n->state[i] == PM_WINDOW_DONE) {
            n->state[i] = PM_WINDOW_UNKNOWN;
            commit = i + 1;
            n->from = i + 1;
        }
    }
    return commit;
}

static int64_t naive_lowest(const naive *n, pm_window_state state) {
    for (int64_t i = 0; i < OFFSETS; i++) {
        if (n->state[i] == state) {
            return i;
        }
    }
    return -1;
}

static void check_same(const pm_window *w, const naive *n) {
    size_t count = 0, given = 0;
    for (int64_t i = 0; i < OFFSETS; i++) {
        cr_assert_eq(pmi_window_find(w, i), n->state[i], "offset %lld", (long long)i);
        count += n->state[i] != PM_WINDOW_UNKNOWN;
        given += n->state[i] == PM_WINDOW_GIVEN;
    }
    cr_assert_eq(w->count, count);
    cr_assert_eq(w->n_given, given);
    cr_assert_eq(pmi_window_lowest_given(w), naive_lowest(n, PM_WINDOW_GIVEN));
}

/* A random held offset, or -1. */
static int64_t some_held(const naive *n, pm_random *r) {
    int64_t begin = (int64_t)(pmi_random_next(r) % OFFSETS);
    for (int64_t i = 0; i < OFFSETS; i++) {
        int64_t offset = (begin + i) % OFFSETS;
        if (n->state[offset] == PM_WINDOW_HELD) {
            return offset;
        }
    }
    return -1;
}

static void one_step(pm_window *w, naive *n, int64_t *next, pm_random *r) {
    pm_error err;
    uint64_t what = pmi_random_next(r) % 100;
    int64_t offset = what < 50 ? *next : some_held(n, r);
    if (what < 50 && *next < OFFSETS) {
        cr_assert_eq(pmi_window_take(w, offset, (uint64_t)offset, &err), PM_OK);
        n->state[offset] = PM_WINDOW_HELD;
        *next += 1 + (int64_t)(pmi_random_next(r) % 10 == 0) * 3; /* gaps */
    } else if (what < 85 && offset >= 0) {
        pmi_window_done(w, offset);
        n->state[offset] = PM_WINDOW_DONE;
    } else if (what < 90 && offset >= 0) {
        pmi_window_give(w, offset);
        n->state[offset] = PM_WINDOW_GIVEN;
    } else if (what < 95 && (offset = naive_lowest(n, PM_WINDOW_GIVEN)) >= 0) {
        cr_assert_eq(pmi_window_take(w, offset, (uint64_t)offset, &err), PM_OK);
        n->state[offset] = PM_WINDOW_HELD;
    } else if (what == 99 && *next > 20) {
        offset = *next - (int64_t)(pmi_random_next(r) % 20);
        pmi_window_forget(w, offset);
        for (int64_t i = 0; i < offset; i++) {
            n->state[i] = PM_WINDOW_UNKNOWN;
        }
        n->from = n->from > offset ? n->from : offset;
    }
}

Test(window, agrees_with_a_naive_model) {
    for (uint64_t seed = 1; seed <= 6; seed++) {
        static naive n;
        n = (naive){0};
        pm_window w = {0};
        pm_random r = {seed};
        int64_t next = 0;
        for (int step = 0; step < 3000 && next < OFFSETS; step++) {
            one_step(&w, &n, &next, &r);
            uint64_t mark = 0;
            int64_t commit = pmi_window_advance(&w, INT64_MAX, &mark);
            cr_assert_eq(commit, naive_advance(&n), "seed %llu step %d", (unsigned long long)seed, step);
            cr_assert(commit < 0 || mark == (uint64_t)commit - 1);
            if (step % 50 == 0) {
                check_same(&w, &n);
            }
        }
        check_same(&w, &n);
        pmi_window_free(&w);
    }
}

Test(window, taking_twice_is_a_bug_that_is_told) {
    pm_window w = {0};
    pm_error err;
    uint64_t mark = 0;
    cr_assert_eq(pmi_window_take(&w, 7, 70, &err), PM_OK);
    cr_assert_eq(pmi_window_take(&w, 7, 70, &err), PM_ESOFTWARE);
    pmi_window_done(&w, 7);
    cr_assert_eq(pmi_window_take(&w, 7, 70, &err), PM_ESOFTWARE);
    cr_assert_eq(pmi_window_advance(&w, INT64_MAX, &mark), 8);
    cr_assert_eq(mark, 70);
    cr_assert_eq(pmi_window_advance(&w, INT64_MAX, &mark), -1);
    pmi_window_free(&w);
}

Test(window, an_offset_may_come_late_between_others) {
    pm_window w = {0};
    pm_error err;
    uint64_t mark = 0;
    const int64_t offsets[] = {10, 12, 14, 11, 13, 9};
    for (size_t i = 0; i < 6; i++) {
        cr_assert_eq(pmi_window_take(&w, offsets[i], 1, &err), PM_OK);
    }
    for (int64_t offset = 10; offset <= 14; offset++) {
        pmi_window_done(&w, offset);
    }
    cr_assert_eq(pmi_window_advance(&w, INT64_MAX, &mark), -1);
    pmi_window_done(&w, 9);
    cr_assert_eq(pmi_window_advance(&w, INT64_MAX, &mark), 15);
    pmi_window_free(&w);
}

Test(window, unknown_offsets_are_harmless) {
    pm_window w = {0};
    uint64_t mark = 0;
    pmi_window_done(&w, 3);
    pmi_window_give(&w, 3);
    pmi_window_forget(&w, 3);
    cr_assert_eq(pmi_window_find(&w, 3), PM_WINDOW_UNKNOWN);
    cr_assert_eq(pmi_window_lowest_given(&w), -1);
    cr_assert_eq(pmi_window_advance(&w, INT64_MAX, &mark), -1);
    pmi_window_free(&w);
}

Test(window, what_is_done_in_front_may_go) {
    pm_window w = {0};
    pm_error err;
    uint64_t mark = 0;
    cr_assert_not(pmi_window_is_front_done(&w));
    for (int64_t offset = 3; offset < 6; offset++) {
        cr_assert_eq(pmi_window_take(&w, offset, 1, &err), PM_OK);
    }
    pmi_window_done(&w, 4);
    cr_assert_not(pmi_window_is_front_done(&w));
    pmi_window_done(&w, 3);
    cr_assert(pmi_window_is_front_done(&w));
    cr_assert_eq(pmi_window_advance(&w, 4, &mark), 4); /* not beyond what may */
    cr_assert(pmi_window_is_front_done(&w));
    cr_assert_eq(pmi_window_advance(&w, 6, &mark), 5);
    cr_assert_not(pmi_window_is_front_done(&w));
    pmi_window_free(&w);
}
