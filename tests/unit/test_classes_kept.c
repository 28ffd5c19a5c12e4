#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "digraphs.h"
#include "examples/models.h"
#include "model_fixture.h"
#include "scc/classes.h"
#include "trace/library.h"

/* One value, as a cache. */
typedef struct shelf {
    uint8_t key[PM_DIGEST_BYTES];
    pm_buffer value;
    int gets, puts, removes;
    bool is_damaged;
} shelf;

static pm_status shelf_get(void *ctx, const uint8_t key[PM_DIGEST_BYTES], pm_buffer *value, pm_cache_found *found,
                           pm_error *err) {
    shelf *s = ctx;
    s->gets++;
    bool is_there = s->value.size > 0 && memcmp(s->key, key, PM_DIGEST_BYTES) == 0;
    *found = s->is_damaged ? PM_CACHE_DAMAGED : is_there ? PM_CACHE_FOUND : PM_CACHE_MISSING;
    return *found == PM_CACHE_FOUND ? pmi_buffer_add(value, s->value.bytes, s->value.size, err) : PM_OK;
}

static pm_status shelf_put(void *ctx, const pm_cache_entry *entries, size_t n, pm_error *err) {
    shelf *s = ctx;
    s->puts++;
    cr_assert_eq(n, 1u);
    pmi_buffer_free(&s->value);
    memcpy(s->key, entries[0].key, PM_DIGEST_BYTES);
    return pmi_buffer_add(&s->value, entries[0].bytes, entries[0].size, err);
}

static pm_status shelf_remove(void *ctx, const uint8_t key[PM_DIGEST_BYTES], pm_error *err) {
    (void)key, (void)err;
    shelf *s = ctx;
    s->removes++;
    pmi_buffer_free(&s->value);
    return PM_OK;
}

static void count_errors(void *ctx, pm_log_level level, const char *text) {
    (void)text;
    *(int *)ctx += level == PM_LOG_ERROR;
}

typedef struct fixture {
    pm_analysis analysis;
    shelf shelf;
    pm_trace_cache classes;
    int errors;
    pm_log log;
    pm_library_options options;
} fixture;

/* A path there and back: one SCC. */
static pm_graph *path(uint32_t n) {
    sketch s = sketch_of((size_t)n + 2, 0, false);
    sketch_start(&s, 1, 1);
    for (uint32_t v = 1; v <= n; v++) {
        sketch_edge(&s, v, v + 1, 1);
        if (v > 1) {
            sketch_edge(&s, v, v - 1, 2);
        }
    }
    return sketch_finish(&s);
}

static void fixture_open(fixture *d, uint32_t n) {
    *d = (fixture){.analysis = analysis_of(path(n), PM_EFFORT_FAST)};
    d->classes = (pm_trace_cache){.ctx = &d->shelf, .get = shelf_get, .put = shelf_put, .remove = shelf_remove};
    d->log = (pm_log){.ctx = &d->errors, .line = count_errors};
    d->options = (pm_library_options){.record = {.effort = PM_EFFORT_FAST, .memory = (size_t)1 << 30},
                                      .threads = 1,
                                      .classes = &d->classes,
                                      .log = &d->log};
    cr_assert_eq(pmi_isa_choose(NULL, &d->options.record.isa, NULL), PM_OK);
}

static void fixture_close(fixture *d) {
    pmi_buffer_free(&d->shelf.value);
    pmi_analysis_free(&d->analysis);
}

static void make(fixture *d, uint8_t key[PM_DIGEST_BYTES]) {
    pm_library library;
    pm_error err = {0};
    cr_assert_eq(pmi_library_make(&d->analysis, &d->options, &library, &err), PM_OK, "%s", err.text);
    cr_assert_eq(library.n_classes, 1u);
    memcpy(key, library.classes[0].key, PM_DIGEST_BYTES);
    pmi_library_free(&library);
}

Test(classes_kept, are_found_once_and_then_restored) {
    fixture d;
    uint8_t first[PM_DIGEST_BYTES], second[PM_DIGEST_BYTES];
    fixture_open(&d, PM_CLASSES_KEPT_STATES);
    make(&d, first);
    cr_assert_eq(d.shelf.puts, 1);
    make(&d, second);
    cr_assert_eq(d.shelf.puts, 1);
    cr_assert_arr_eq(first, second, PM_DIGEST_BYTES);
    cr_assert_eq(d.errors, 0);
    fixture_close(&d);
}

Test(classes_kept, of_small_graphs_are_not) {
    fixture d;
    uint8_t key[PM_DIGEST_BYTES];
    fixture_open(&d, PM_CLASSES_KEPT_STATES - 1);
    make(&d, key);
    cr_assert_eq(d.shelf.gets + d.shelf.puts, 0);
    fixture_close(&d);
}

/* Encodes the kept classes again after `change`: a value that is whole, and wrong. */
static void forge(shelf *s, void (*change)(pm_kept_classes *)) {
    pm_kept_classes kept;
    cr_assert_eq(pmi_kept_classes_decode(s->value.bytes, s->value.size, &kept, NULL), PM_OK);
    change(&kept);
    pmi_buffer_free(&s->value);
    cr_assert_eq(pmi_kept_classes_encode(&kept, &s->value, NULL), PM_OK);
    pmi_kept_classes_free(&kept);
}

static void other_key(pm_kept_classes *kept) {
    kept->key[0] ^= 1;
}

static void name_twice(pm_kept_classes *kept) {
    kept->names[1] = kept->names[0];
}

static void no_class(pm_kept_classes *kept) {
    for (uint32_t i = 0; i < kept->n_sccs; i++) {
        kept->class_of[i] = PM_NONE;
    }
}

static void fewer_states(pm_kept_classes *kept) {
    kept->n_states--;
}

Test(classes_kept, that_are_damaged_are_found_again) {
    static void (*const changes[])(pm_kept_classes *) = {other_key, name_twice, no_class, fewer_states};
    fixture d;
    uint8_t first[PM_DIGEST_BYTES], again[PM_DIGEST_BYTES];
    fixture_open(&d, PM_CLASSES_KEPT_STATES);
    make(&d, first);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        forge(&d.shelf, changes[i]);
        make(&d, again);
        cr_assert_arr_eq(first, again, PM_DIGEST_BYTES);
        cr_assert_eq(d.errors, (int)i + 1);
        cr_assert_eq(d.shelf.removes, (int)i + 1);
        cr_assert_eq(d.shelf.puts, (int)i + 2);
    }
    d.options.strict_cache = true;
    forge(&d.shelf, name_twice);
    pm_library library;
    pm_error err;
    cr_assert_eq(pmi_library_make(&d.analysis, &d.options, &library, &err), PM_EDATA);
    cr_assert_not_null(strstr(err.text, "--strict-cache"), "%s", err.text);
    fixture_close(&d);
}

/* Renumbering that is a permutation, and no isomorphism, gives another digraph, whose key is another one. */
static void swap_names(pm_kept_classes *kept) {
    uint32_t name = kept->names[3];
    kept->names[3] = kept->names[0];
    kept->names[0] = name;
}

static void wrong_trace(pm_kept_classes *kept) {
    kept->keys[0][31] ^= 1;
}

Test(classes_kept, cannot_put_a_trace_under_a_key_that_is_not_its_own) {
    static void (*const changes[])(pm_kept_classes *) = {swap_names, wrong_trace};
    fixture d;
    uint8_t first[PM_DIGEST_BYTES], forged[PM_DIGEST_BYTES];
    fixture_open(&d, PM_CLASSES_KEPT_STATES);
    make(&d, first);
    for (int i = 0; i < 2; i++) {
        forge(&d.shelf, changes[i]);
        make(&d, forged);
        cr_assert_arr_eq(first, forged, PM_DIGEST_BYTES);
        cr_assert_eq(d.errors, i + 1);
    }
    fixture_close(&d);
}

Test(classes_kept, every_byte_counts) {
    fixture d;
    uint8_t key[PM_DIGEST_BYTES];
    fixture_open(&d, PM_CLASSES_KEPT_STATES);
    make(&d, key);
    pm_kept_classes kept;
    for (size_t i = 0; i < d.shelf.value.size; i++) {
        d.shelf.value.bytes[i] ^= 0x10;
        cr_assert_eq(pmi_kept_classes_decode(d.shelf.value.bytes, d.shelf.value.size, &kept, NULL), PM_EDATA);
        d.shelf.value.bytes[i] ^= 0x10;
        cr_assert_eq(pmi_kept_classes_decode(d.shelf.value.bytes, i, &kept, NULL), PM_EDATA);
    }
    fixture_close(&d);
}
