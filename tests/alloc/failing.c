#include "failing.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *text);

/* The linker's wrappers have no argument to carry this in. */
static atomic_uint_fast64_t n_calls;
static uint64_t fail_at; /* 0: never */
static failing_mode mode;

static bool fails(void) {
    uint64_t call = atomic_fetch_add(&n_calls, 1) + 1;
    return fail_at != 0 && (call == fail_at || (call > fail_at && mode == FAILING_FROM_THEN_ON));
}

void *__wrap_malloc(size_t size) {
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size) {
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size) {
    /* One that shrinks may be ignored by its caller, who still has the larger block. */
    bool shrinks = old != NULL && size <= malloc_usable_size(old);
    return !shrinks && fails() ? NULL : __real_realloc(old, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size) {
    return fails() ? NULL : __real_aligned_alloc(alignment, size);
}

char *__wrap_strdup(const char *text) {
    return fails() ? NULL : __real_strdup(text);
}

static pm_status run(failing_scenario scenario, void *ctx, uint64_t k, failing_mode how, bool *tolerated,
                     pm_error *err) {
    memset(err, 0, sizeof *err);
    *tolerated = false;
    mode = how;
    atomic_store(&n_calls, 0);
    fail_at = k;
    pm_status st = scenario(ctx, tolerated, err);
    fail_at = 0;
    return st;
}

static bool is_fault(const char *name, uint64_t k, failing_mode how, pm_status st, bool tolerated,
                     const pm_error *err) {
    bool good = st == PM_EOSERR ? err->text[0] != 0 : st == PM_OK && tolerated;
    if (!good) {
        printf("not ok %s: allocation %llu %s: status %d, \"%s\"\n", name, (unsigned long long)k,
               how == FAILING_ONCE ? "failed" : "and all later ones failed", (int)st, err->text);
    }
    return !good;
}

int failing_sweep(const char *name, failing_scenario scenario, void *ctx) {
    pm_error err;
    bool tolerated;
    pm_status st = run(scenario, ctx, 0, FAILING_ONCE, &tolerated, &err);
    if (st != PM_OK) {
        printf("not ok %s: fails with nothing in its way: status %d, \"%s\"\n", name, (int)st, err.text);
        return 1;
    }
    int faults = 0;
    uint64_t k = 1;
    for (; faults < 5; k++) {
        st = run(scenario, ctx, k, FAILING_ONCE, &tolerated, &err);
        if (atomic_load(&n_calls) < k) {
            break;
        }
        faults += is_fault(name, k, FAILING_ONCE, st, tolerated, &err);
        st = run(scenario, ctx, k, FAILING_FROM_THEN_ON, &tolerated, &err);
        faults += is_fault(name, k, FAILING_FROM_THEN_ON, st, tolerated, &err);
    }
    if (faults == 0) {
        printf("ok %s: %llu allocations\n", name, (unsigned long long)(k - 1));
    }
    fflush(stdout);
    return faults;
}
