#include <criterion/criterion.h>
#include <string.h>

#include "base/mem.h"
#include "digraphs.h"
#include "memory_cache.h"
#include "model_fixture.h"
#include "trace/codec.h"
#include "trace/library.h"

/* A graph of many SCCs of few shapes, in orders of their own, single states between them, and parallel edges. */
enum { SHAPES = 5, SCCS = 200 };

static const uint32_t sizes[SHAPES] = {2, 5, 6, 9, 14};

static pm_graph *many_sccs(void) {
    pm_random random = {.state = 500};
    bool *edge[SHAPES];
    for (int i = 0; i < SHAPES; i++) {
        edge[i] = draw_strong(&random, sizes[i], sizes[i]);
    }
    sketch s = sketch_of(2 + SCCS / SHAPES * (2 + 5 + 6 + 9 + 14 + SHAPES), 0, false);
    uint32_t first = 1;
    sketch_start(&s, 1, 1);
    for (int c = 0; c < SCCS; c++) {
        uint32_t n = sizes[c % SHAPES], name[14];
        draw_permutation(&random, n, name);
        for (uint32_t e = 0; e < n * n; e++) {
            if (edge[c % SHAPES][e] && e / n != e % n) {
                sketch_edge(&s, first + name[e / n], first + name[e % n], draw_rate(&random, 1));
                if (e % 7 == 0) {
                    sketch_edge(&s, first + name[e / n], first + name[e % n], 2);
                }
            }
        }
        sketch_edge(&s, first + draw_below(&random, n), first + n, 1);
        sketch_edge(&s, first + n, first + n + 1, 1);
        first += n + 1;
    }
    for (int i = 0; i < SHAPES; i++) {
        free(edge[i]);
    }
    return sketch_finish(&s);
}

static void count_errors(void *ctx, pm_log_level level, const char *text) {
    (void)text;
    *(size_t *)ctx += level == PM_LOG_ERROR;
}

typedef struct fixture {
    pm_analysis analysis;
    memory_cache traces, classes;
    pm_trace_cache caches[2];
    size_t errors;
    pm_log log;
    pm_library_options options;
} fixture;

static void fixture_open(fixture *d) {
    memset(d, 0, sizeof *d);
    d->analysis = analysis_of(many_sccs(), PM_EFFORT_BALANCED);
    cr_assert_geq(d->analysis.split.n_transient, (uint32_t)PM_CLASSES_KEPT_STATES);
    d->caches[0] = memory_cache_of(&d->traces);
    d->caches[1] = memory_cache_of(&d->classes);
    d->log = (pm_log){.ctx = &d->errors, .line = count_errors};
    d->options =
        (pm_library_options){.record = {.effort = PM_EFFORT_BALANCED, .memory = 1 << 24, .isa = model_fixture_isa()},
                             .threads = 1,
                             .cache = &d->caches[0],
                             .classes = &d->caches[1],
                             .log = &d->log};
}

static void fixture_close(fixture *d) {
    memory_cache_empty(&d->traces);
    memory_cache_empty(&d->classes);
    pmi_analysis_free(&d->analysis);
}

static pm_library make(fixture *d) {
    pm_library library;
    pm_error err;
    cr_assert_eq(pmi_library_make(&d->analysis, &d->options, &library, &err), PM_OK, "%s", err.text);
    return library;
}

/* Pattern and fill-in of row j, from the dense pictures of both. */
static void check_row(const pm_plan *plan, const bool *edge, uint32_t j) {
    const pm_trace *t = &plan->trace;
    bool in_pattern[14] = {false}, in_fill[14] = {false};
    for (size_t e = t->l_row[j]; e < t->l_row[j + 1]; e++) {
        in_pattern[t->l[e]] = true;
    }
    for (size_t e = t->u_row[j]; e < t->u_row[j + 1]; e++) {
        in_pattern[t->u[e]] = true;
    }
    for (size_t e = plan->fill_row[j]; e < plan->fill_row[j + 1]; e++) {
        cr_assert(in_pattern[plan->fill[e]]);
        in_fill[plan->fill[e]] = true;
    }
    for (uint32_t k = 0; k < t->n; k++) {
        cr_assert_eq(edge[t->pivot[j] * t->n + t->pivot[k]], in_pattern[k] && !in_fill[k]);
    }
}

/* Every SCC, renamed, has the edges of its plan: all entries of the pattern that are no fill-in. */
static void check_sound(const fixture *d, const pm_library *library) {
    uint32_t *local = pmi_malloc(d->analysis.graph->n_vertices, sizeof *local);
    for (uint32_t scc = 0; scc < d->analysis.split.n_sccs; scc++) {
        const pm_scc_instance *instance = &library->instances[scc];
        if (d->analysis.split.scc_first[scc + 1] - d->analysis.split.scc_first[scc] == 1) {
            cr_assert_null(instance->plan);
            continue;
        }
        pm_topology t;
        bool edge[14 * 14] = {false};
        cr_assert_eq(pmi_topology_of_scc(&d->analysis.split, scc, local, &t, NULL), PM_OK);
        cr_assert_eq(instance->plan->trace.n, t.n);
        for (uint32_t v = 0; v < t.n; v++) {
            for (size_t e = t.row[v]; e < t.row[v + 1]; e++) {
                edge[instance->name[v] * t.n + instance->name[t.col[e]]] = true;
            }
        }
        for (uint32_t j = 0; j < t.n; j++) {
            check_row(instance->plan, edge, j);
        }
        pmi_topology_free(&t);
    }
    free(local);
}

static void check_recorded(fixture *d, uint32_t recorded) {
    pm_library library = make(d);
    cr_assert_eq(library.n_recorded, recorded);
    cr_assert_eq(library.n_cached, SHAPES - recorded);
    check_sound(d, &library);
    pmi_library_free(&library);
}

Test(library_kept, a_graph_that_was_seen_before_gets_the_same_again) {
    fixture d;
    fixture_open(&d);
    pm_library first = make(&d);
    cr_assert_eq(first.n_recorded, (uint32_t)SHAPES);
    size_t gets = d.traces.gets, class_gets = d.classes.gets;
    pm_library second = make(&d);
    cr_assert_eq(second.n_recorded, 0u);
    cr_assert_eq(second.n_cached, (uint32_t)SHAPES);
    cr_assert_eq(d.traces.gets, gets + SHAPES);
    cr_assert_eq(d.classes.gets, class_gets + 1);
    cr_assert_eq(d.classes.puts, 1u);
    check_sound(&d, &second);
    cr_assert_arr_eq(first.names, second.names, d.analysis.split.n_transient * sizeof *first.names);
    for (uint32_t c = 0; c < SHAPES; c++) {
        cr_assert_arr_eq(first.classes[c].key, second.classes[c].key, PM_DIGEST_BYTES);
        cr_assert_eq(first.classes[c].n_sccs, second.classes[c].n_sccs);
        cr_assert(second.classes[c].cached);
        const pm_plan *a = &first.classes[c].plan, *b = &second.classes[c].plan;
        cr_assert_eq(a->trace.n, b->trace.n);
        cr_assert_arr_eq(a->fill_row, b->fill_row, (a->trace.n + 1) * sizeof *a->fill_row);
        cr_assert_arr_eq(a->fill, b->fill, a->fill_row[a->trace.n] * sizeof *a->fill);
        cr_assert_arr_eq(a->chain_end, b->chain_end, a->trace.n * sizeof *a->chain_end);
    }
    pmi_library_free(&first);
    pmi_library_free(&second);
    fixture_close(&d);
}

Test(library_kept, traces_that_are_missing_are_recorded_again) {
    fixture d;
    fixture_open(&d);
    check_recorded(&d, SHAPES);
    for (uint32_t gone = 1; gone <= SHAPES; gone++) {
        for (uint32_t i = 0; i < gone; i++) {
            free(d.traces.shelves[--d.traces.n].bytes);
        }
        check_recorded(&d, gone);
        check_recorded(&d, 0);
    }
    cr_assert_eq(d.errors, 0u);
    cr_assert_eq(d.classes.puts, 1u);
    fixture_close(&d);
}

/* A whole trace of another SCC of five or six states, put under the key. */
static void put_wrong_trace(fixture *d, const pm_trace_class *class, const pm_trace_class *other) {
    pm_buffer bytes = {0};
    cr_assert_eq(pmi_trace_encode(&other->plan.trace, class->key, &bytes, NULL), PM_OK);
    memory_cache_replace(&d->traces, class->key, bytes.bytes, bytes.size);
    pmi_buffer_free(&bytes);
}

Test(library_kept, a_trace_of_another_scc_is_removed_and_recorded_again) {
    fixture d;
    fixture_open(&d);
    pm_library library = make(&d);
    size_t wrong = 0;
    for (uint32_t a = 0; a < SHAPES; a++) {
        for (uint32_t b = 0; b < SHAPES; b++) {
            if (a != b) {
                put_wrong_trace(&d, &library.classes[a], &library.classes[b]);
                check_recorded(&d, 1);
                cr_assert_eq(d.errors, ++wrong);
            }
        }
    }
    d.options.strict_cache = true;
    put_wrong_trace(&d, &library.classes[0], &library.classes[1]);
    pm_library none;
    pm_error err;
    cr_assert_eq(pmi_library_make(&d.analysis, &d.options, &none, &err), PM_EDATA);
    cr_assert_not_null(strstr(err.text, "--strict-cache"), "%s", err.text);
    pmi_library_free(&library);
    fixture_close(&d);
}

/* Whatever one entry of what is kept becomes: the library is sound, and when it was not taken from what is kept, that
 * was logged. */
Test(library_kept, altered_entries_are_noticed_or_as_good) {
    pm_random random = {.state = 501};
    size_t n_noticed = 0, n_sound = 0;
    fixture d;
    fixture_open(&d);
    check_recorded(&d, SHAPES);
    uint8_t key[PM_DIGEST_BYTES];
    memcpy(key, d.classes.shelves[0].key, sizeof key);
    for (int turn = 0; turn < 400; turn++) {
        pm_kept_classes kept;
        pm_buffer bytes = {0};
        memory_shelf *s = memory_cache_find(&d.classes, key);
        cr_assert_eq(pmi_kept_classes_decode(s->bytes, s->size, &kept, NULL), PM_OK);
        uint32_t at = draw_below(&random, kept.n_states), scc = draw_below(&random, kept.n_sccs);
        if (turn % 4 == 0) {
            kept.names[at] = draw_below(&random, 16);
        } else if (turn % 4 == 1) {
            kept.class_of[scc] = draw_below(&random, SHAPES + 1);
            kept.class_of[scc] = kept.class_of[scc] == SHAPES ? PM_NONE : kept.class_of[scc];
        } else if (turn % 4 == 2) {
            uint32_t other = at > 0 ? at - 1 : 1, name = kept.names[at];
            kept.names[at] = kept.names[other];
            kept.names[other] = name;
        } else {
            memcpy(kept.keys[draw_below(&random, SHAPES)], kept.keys[draw_below(&random, SHAPES)], PM_DIGEST_BYTES);
        }
        cr_assert_eq(pmi_kept_classes_encode(&kept, &bytes, NULL), PM_OK);
        memory_cache_replace(&d.classes, key, bytes.bytes, bytes.size);
        size_t errors = d.errors, puts = d.classes.puts;
        check_recorded(&d, 0);
        cr_assert_eq(d.errors - errors, d.classes.puts - puts);
        n_noticed += d.errors - errors;
        n_sound += d.errors == errors ? 1 : 0;
        pmi_buffer_free(&bytes);
        pmi_kept_classes_free(&kept);
    }
    cr_assert_gt(n_noticed, 150u);
    cr_assert_gt(n_sound, 10u);
    fixture_close(&d);
}
