#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "digraphs.h"
#include "memory_cache.h"
#include "model_fixture.h"
#include "scc/classes.h"
#include "trace/codec.h"

typedef struct lines {
    int errors, warnings;
    char last[512];
} lines;

static void keep_line(void *ctx, pm_log_level level, const char *text) {
    lines *l = ctx;
    l->errors += level == PM_LOG_ERROR;
    l->warnings += level == PM_LOG_WARNING;
    snprintf(l->last, sizeof l->last, "%s", text);
}

/* What a run needs: a graph of 12 SCCs in 4 shapes, its split, a cache and a log. */
typedef struct fixture {
    pm_analysis analysis;
    memory_cache memory;
    pm_trace_cache cache;
    lines lines;
    pm_log log;
    pm_library_options options;
} fixture;

enum { SCCS = 12, SHAPES = 4 };

static pm_graph *shapes_in_a_row(uint64_t seed) {
    static const uint32_t size[SHAPES] = {2, 5, 9, 14};
    pm_random shape = {.state = 120}, order = {.state = seed};
    bool *edge[SHAPES];
    uint32_t total = 0, first = 1;
    for (int i = 0; i < SHAPES; i++) {
        edge[i] = draw_strong(&shape, size[i], size[i]);
        total += size[i] * SCCS / SHAPES;
    }
    sketch s = sketch_of((size_t)total + 2, 0, false);
    sketch_start(&s, 1, 1);
    for (int c = 0; c < SCCS; c++) {
        uint32_t n = size[c % SHAPES], name[14];
        draw_permutation(&order, n, name);
        for (uint32_t e = 0; e < n * n; e++) {
            if (edge[c % SHAPES][e] && e / n != e % n) {
                sketch_edge(&s, first + name[e / n], first + name[e % n], draw_rate(&order, 1));
            }
        }
        sketch_edge(&s, first, first + n, 1);
        first += n;
    }
    for (int i = 0; i < SHAPES; i++) {
        free(edge[i]);
    }
    return sketch_finish(&s);
}

static void fixture_open(fixture *d, uint64_t seed) {
    memset(d, 0, sizeof *d);
    d->analysis = analysis_of(shapes_in_a_row(seed), PM_EFFORT_BALANCED);
    d->cache = memory_cache_of(&d->memory);
    d->log = (pm_log){.ctx = &d->lines, .line = keep_line};
    d->options =
        (pm_library_options){.record = {.effort = PM_EFFORT_BALANCED, .memory = 1 << 24, .isa = model_fixture_isa()},
                             .threads = 1,
                             .cache = &d->cache,
                             .log = &d->log};
}

static void fixture_close(fixture *d) {
    memory_cache_empty(&d->memory);
    pmi_analysis_free(&d->analysis);
}

static pm_library make(fixture *d) {
    pm_library library;
    pm_error err;
    cr_assert_eq(pmi_library_make(&d->analysis, &d->options, &library, &err), PM_OK, "%s", err.text);
    return library;
}

static void make_and_forget(fixture *d, uint32_t recorded) {
    pm_library library = make(d);
    cr_assert_eq(library.n_recorded, recorded);
    cr_assert_eq(library.n_cached, SHAPES - recorded);
    pmi_library_free(&library);
}

/* The error of a run that must fail, which leaves nothing behind. */
static pm_error refusal(fixture *d, pm_status status) {
    pm_library library;
    pm_error err = {0};
    cr_assert_eq(pmi_library_make(&d->analysis, &d->options, &library, &err), status, "%s", err.text);
    cr_assert_null(library.classes);
    cr_assert_null(library.names);
    return err;
}

/* Each instance, renamed, is the digraph of its plan: every edge is in the pattern. */
static void check_instances(const fixture *d, const pm_library *library) {
    uint32_t *local = pmi_malloc(d->analysis.graph->n_vertices, sizeof *local);
    for (uint32_t scc = 0; scc < d->analysis.split.n_sccs; scc++) {
        const pm_scc_instance *instance = &library->instances[scc];
        pm_topology t, renamed;
        uint8_t digest[PM_DIGEST_BYTES];
        cr_assert_not_null(instance->plan);
        cr_assert_eq(pmi_topology_of_scc(&d->analysis.split, scc, local, &t, NULL), PM_OK);
        cr_assert_eq(pmi_topology_rename(&t, instance->name, &renamed, NULL), PM_OK);
        cr_assert_eq(pmi_topology_digest(&renamed, PM_BLAKE2S256, digest, NULL), PM_OK);
        cr_assert_arr_eq(digest, instance->plan->trace.digest, PM_DIGEST_BYTES);
        pmi_topology_free(&t);
        pmi_topology_free(&renamed);
    }
    free(local);
}

Test(library, records_each_shape_once) {
    fixture d;
    fixture_open(&d, 1);
    d.options.cache = NULL;
    pm_library library = make(&d);
    cr_assert_eq(library.n_classes, (uint32_t)SHAPES);
    cr_assert_eq(library.n_recorded, (uint32_t)SHAPES);
    cr_assert_eq(library.n_cached, 0u);
    for (uint32_t c = 0; c < SHAPES; c++) {
        cr_assert_eq(library.classes[c].n_sccs, (uint32_t)(SCCS / SHAPES));
        cr_assert(!library.classes[c].cached);
    }
    check_instances(&d, &library);
    pmi_library_free(&library);
    cr_assert_eq(library.n_classes, 0u);
    fixture_close(&d);
}

Test(library, a_second_run_records_nothing) {
    fixture d, shuffled;
    fixture_open(&d, 1);
    make_and_forget(&d, SHAPES);
    cr_assert_eq(d.memory.n, (size_t)SHAPES);
    cr_assert_eq(d.memory.gets, (size_t)SHAPES);
    cr_assert_eq(d.memory.puts, 1u);
    pm_library library = make(&d);
    cr_assert_eq(library.n_cached, (uint32_t)SHAPES);
    cr_assert_eq(library.n_recorded, 0u);
    check_instances(&d, &library);
    pmi_library_free(&library);
    cr_assert_eq(d.memory.puts, 1u);
    /* neither does a run of the same graph with other numbers, its states in another order */
    fixture_open(&shuffled, 2);
    shuffled.cache.ctx = &d.memory;
    library = make(&shuffled);
    cr_assert_eq(library.n_recorded, 0u);
    check_instances(&shuffled, &library);
    pmi_library_free(&library);
    cr_assert_eq(d.lines.errors + d.lines.warnings, 0);
    fixture_close(&shuffled);
    fixture_close(&d);
}

Test(library, a_trace_from_the_cache_is_the_one_recorded) {
    fixture d;
    fixture_open(&d, 1);
    pm_library first = make(&d), second = make(&d);
    for (uint32_t c = 0; c < SHAPES; c++) {
        const pm_trace *a = &first.classes[c].plan.trace, *b = &second.classes[c].plan.trace;
        cr_assert_arr_eq(first.classes[c].key, second.classes[c].key, PM_DIGEST_BYTES);
        cr_assert_eq(a->flops, b->flops);
        cr_assert_arr_eq(a->pivot, b->pivot, a->n * sizeof *a->pivot);
        cr_assert_arr_eq(a->u_row, b->u_row, (a->n + (size_t)1) * sizeof *a->u_row);
        cr_assert_arr_eq(a->u, b->u, a->u_row[a->n] * sizeof *a->u);
        cr_assert_arr_eq(a->l, b->l, a->l_row[a->n] * sizeof *a->l);
    }
    pmi_library_free(&first);
    pmi_library_free(&second);
    fixture_close(&d);
}

Test(library, threads_record_the_same) {
    fixture d;
    fixture_open(&d, 1);
    d.options.cache = NULL;
    pm_library one = make(&d);
    d.options.threads = 4;
    pm_library four = make(&d);
    for (uint32_t c = 0; c < SHAPES; c++) {
        const pm_trace *a = &one.classes[c].plan.trace, *b = &four.classes[c].plan.trace;
        cr_assert_arr_eq(one.classes[c].key, four.classes[c].key, PM_DIGEST_BYTES);
        cr_assert_arr_eq(a->pivot, b->pivot, a->n * sizeof *a->pivot);
    }
    pmi_library_free(&one);
    pmi_library_free(&four);
    fixture_close(&d);
}

Test(library, a_damaged_entry_is_logged_removed_and_recorded_again) {
    fixture d;
    fixture_open(&d, 1);
    make_and_forget(&d, SHAPES);
    for (size_t i = 0; i < SHAPES; i++) {
        memory_shelf *s = memory_cache_find(&d.memory, d.memory.shelves[0].key);
        char hex[PM_DIGEST_HEX];
        pmi_hex(s->key, hex);
        s->bytes[s->size * (i + 1) / (SHAPES + 1)] ^= 0x40;
        d.lines = (lines){0};
        d.memory.removes = 0;
        make_and_forget(&d, 1);
        cr_assert_eq(d.lines.errors, 1);
        cr_assert(strstr(d.lines.last, hex) != NULL, "%s", d.lines.last);
        cr_assert(strstr(d.lines.last, "damaged") != NULL, "%s", d.lines.last);
        cr_assert_eq(d.memory.removes, 1u);
        cr_assert_eq(d.memory.n, (size_t)SHAPES);
        make_and_forget(&d, 0);
    }
    fixture_close(&d);
}

/* The store itself may notice, and has removed the entry then. */
Test(library, an_entry_that_the_cache_calls_damaged_is_recorded_again) {
    fixture d;
    fixture_open(&d, 1);
    make_and_forget(&d, SHAPES);
    d.memory.says_damaged = true;
    make_and_forget(&d, SHAPES);
    cr_assert_eq(d.lines.errors, 0, "the store has said so");
    cr_assert_eq(d.memory.n, (size_t)SHAPES);
    d.options.strict_cache = true;
    pm_error err = refusal(&d, PM_EDATA);
    cr_assert(strstr(err.text, "--strict-cache") != NULL, "%s", err.text);
    fixture_close(&d);
}

Test(library, strict_refuses_a_damaged_entry) {
    fixture d;
    fixture_open(&d, 1);
    make_and_forget(&d, SHAPES);
    d.memory.shelves[2].bytes[40] ^= 1;
    d.options.strict_cache = true;
    char hex[PM_DIGEST_HEX];
    pmi_hex(d.memory.shelves[2].key, hex);
    pm_error err = refusal(&d, PM_EDATA);
    cr_assert(strstr(err.text, hex) != NULL && strstr(err.text, "--strict-cache is on") != NULL, "%s", err.text);
    cr_assert_eq(d.memory.removes, 0u);
    fixture_close(&d);
}

/* A whole and valid trace that was stored under another key: damage of the store. */
Test(library, an_entry_of_another_key_is_recorded_again) {
    fixture d;
    fixture_open(&d, 1);
    make_and_forget(&d, SHAPES);
    uint8_t *bytes = d.memory.shelves[0].bytes;
    size_t size = d.memory.shelves[0].size;
    d.memory.shelves[0].bytes = d.memory.shelves[1].bytes;
    d.memory.shelves[0].size = d.memory.shelves[1].size;
    d.memory.shelves[1].bytes = bytes;
    d.memory.shelves[1].size = size;
    make_and_forget(&d, 2);
    cr_assert_eq(d.lines.errors, 2);
    cr_assert(strstr(d.lines.last, "another key") != NULL, "%s", d.lines.last);
    make_and_forget(&d, 0);
    fixture_close(&d);
}

/* Well made, under the right key, and of another SCC: only the digest inside, or the pattern, tells. It is dropped and
 * recorded again, like one that is damaged. */
Test(library, a_trace_that_does_not_fit_is_dropped) {
    fixture d;
    fixture_open(&d, 1);
    pm_library library = make(&d);
    for (int how = 0; how < 2; how++) {
        for (uint32_t c = 0; c < SHAPES; c++) {
            pm_trace trace = library.classes[c].plan.trace;
            const uint8_t *key = library.classes[c].key;
            uint32_t *pivots = malloc(trace.n * sizeof *pivots);
            pm_buffer bytes = {0};
            for (uint32_t i = 0; i < trace.n; i++) {
                pivots[i] = trace.pivot[(i + 1) % trace.n];
            }
            trace.digest[31] ^= how == 0;
            trace.pivot = how == 0 ? trace.pivot : pivots;
            cr_assert_eq(pmi_trace_encode(&trace, key, &bytes, NULL), PM_OK);
            memory_cache_empty(&d.memory);
            size_t removes = d.memory.removes;
            pm_cache_entry entry = {.bytes = bytes.bytes, .size = bytes.size};
            memcpy(entry.key, key, PM_DIGEST_BYTES);
            cr_assert_eq(d.cache.put(&d.memory, &entry, 1, NULL), PM_OK);
            pm_library again = make(&d);
            bool fits = how == 1 && d.memory.removes == removes; /* a ring may be read from any of its states */
            cr_assert(fits || d.memory.removes == removes + 1, "shape %u", c);
            cr_assert_eq(again.n_recorded, (uint32_t)(fits ? SHAPES - 1 : SHAPES));
            check_instances(&d, &again);
            pmi_library_free(&again);
            pmi_buffer_free(&bytes);
            free(pivots);
        }
    }
    pmi_library_free(&library);
    fixture_close(&d);
}

Test(library, a_cache_that_cannot_be_written_is_a_warning) {
    fixture d;
    fixture_open(&d, 1);
    d.memory.refuses_put = true;
    pm_library library = make(&d);
    cr_assert_eq(library.n_recorded, (uint32_t)SHAPES);
    check_instances(&d, &library);
    cr_assert_eq(d.lines.warnings, 1);
    cr_assert_eq(d.lines.errors, 0);
    cr_assert(strstr(d.lines.last, "4 new traces are not kept: the disk is full") != NULL, "%s", d.lines.last);
    pmi_library_free(&library);
    fixture_close(&d);
}

Test(library, a_cache_that_cannot_be_read_is_an_error) {
    fixture d;
    fixture_open(&d, 1);
    d.memory.fails_get = true;
    pm_error err = refusal(&d, PM_EIO);
    cr_assert_str_eq(err.text, "the cache cannot be read");
    fixture_close(&d);
}

Test(library, an_scc_that_does_not_fit_is_named_and_nothing_is_kept) {
    fixture d;
    fixture_open(&d, 1);
    d.options.record.memory = 12 * 30; /* enough for the two smaller shapes */
    pm_error err = refusal(&d, PM_EOSERR);
    unsigned n;
    char hex[PM_DIGEST_HEX];
    cr_assert_eq(sscanf(err.text, "recording the SCC %64s of %u states: an SCC of ", hex, &n), 2, "%s", err.text);
    cr_assert_eq(n, 14u);
    cr_assert_eq(d.memory.puts, 0u);
    fixture_close(&d);
}

Test(library, of_single_states_is_empty) {
    sketch s = sketch_of(3, 0, false);
    sketch_start(&s, 1, 1);
    sketch_edge(&s, 1, 2, 1);
    pm_analysis analysis = analysis_of(sketch_finish(&s), PM_EFFORT_FAST);
    pm_library library;
    pm_library_options options = {.record = {.memory = 1000, .isa = model_fixture_isa()}, .threads = 3};
    cr_assert_eq(pmi_library_make(&analysis, &options, &library, NULL), PM_OK);
    cr_assert_eq(library.n_classes, 0u);
    cr_assert_null(library.instances[0].plan);
    pmi_library_free(&library);
    pmi_analysis_free(&analysis);
}
