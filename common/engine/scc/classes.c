#include "scc/classes.h"

#include <omp.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "base/machine.h"
#include "codec/cursor.h"
#include "codec/envelope.h"
#include "codec/writer.h"

/* A digest seen before: of an order as given (then `scc` had it first), or a key (then `class` is its number). */
typedef struct seen {
    uint8_t digest[PM_DIGEST_BYTES];
    uint32_t number;
    UT_hash_handle hh;
} seen;

/* SCCs are looked at so many at a time: what can be done for each alone is shared out to threads. */
#define AT_ONCE 2048

typedef struct scc_at_hand {
    uint32_t scc;
    uint32_t twin; /* the SCC that had this order first; itself when it is new */
    pm_topology topology;
    uint8_t order[PM_DIGEST_BYTES];
    pm_canon canon; /* when it is new */
    pm_status status;
    pm_error error;
} scc_at_hand;

typedef struct finder {
    const pm_split *split;
    pm_effort effort;
    const pm_log *log;
    double seconds; /* left to seek canonical orders in, of processor time */
    pm_classes *out;
    seen *orders, *keys;
    int threads;
    uint32_t *local; /* n_vertices for each thread */
    size_t n_local;
    scc_at_hand *hand; /* AT_ONCE */
    size_t n_hand;
    size_t canon_capacity, count_capacity;
} finder;

static seen *find(seen *table, const uint8_t digest[PM_DIGEST_BYTES]) {
    seen *found;
    HASH_FIND(hh, table, digest, PM_DIGEST_BYTES, found);
    return found;
}

static pm_status add(seen **table, const uint8_t digest[PM_DIGEST_BYTES], uint32_t number, pm_error *err) {
    seen *s = pmi_calloc(1, sizeof *s);
    if (s != NULL) {
        memcpy(s->digest, digest, PM_DIGEST_BYTES);
        s->number = number;
        HASH_ADD(hh, *table, digest, PM_DIGEST_BYTES, s);
    }
    if (s == NULL || s->hh.tbl == NULL) {
        free(s);
        return pmi_fail_memory(err, "the table of keys", sizeof *s);
    }
    return PM_OK;
}

static void clear(seen **table) {
    seen *s, *next;
    HASH_ITER(hh, *table, s, next) {
        HASH_DEL(*table, s);
        free(s);
    }
}

static pm_status new_class(finder *f, pm_canon *canon, pm_error *err) {
    pm_classes *out = f->out;
    size_t need = (size_t)out->n_classes + 1;
    PM_TRY(PM_GROW(&out->canon, &f->canon_capacity, need, "the table of SCC classes", err));
    PM_TRY(PM_GROW(&out->n_sccs, &f->count_capacity, need, "the table of SCC classes", err));
    PM_TRY(add(&f->keys, canon->key, out->n_classes, err));
    out->canon[out->n_classes] = *canon;
    out->n_sccs[out->n_classes++] = 0;
    *canon = (pm_canon){0};
    return PM_OK;
}

/* The canonical form of an order that is new may be that of a known class. */
static pm_status classify(finder *f, scc_at_hand *h, pm_error *err) {
    pmi_canon_log(&h->canon, f->log);
    memcpy(f->out->names + f->split->scc_first[h->scc], h->canon.name, h->topology.n * sizeof *h->canon.name);
    const seen *known = find(f->keys, h->canon.key);
    if (known == NULL) {
        f->out->class_of[h->scc] = f->out->n_classes;
        return new_class(f, &h->canon, err);
    }
    f->out->class_of[h->scc] = known->number;
    if (memcmp(f->out->canon[known->number].digest, h->canon.digest, PM_DIGEST_BYTES) != 0) {
        return pmi_fail(err, PM_EDATA,
                        "hash collision: two different SCCs of %u states have one key; please report this",
                        h->topology.n);
    }
    return PM_OK;
}

static void copy_twin(finder *f, const scc_at_hand *h) {
    f->out->class_of[h->scc] = f->out->class_of[h->twin];
    memcpy(f->out->names + f->split->scc_first[h->scc], f->out->names + f->split->scc_first[h->twin],
           h->topology.n * sizeof *f->out->names);
}

/* ---- for each alone ---- */

static void find_order(finder *f, scc_at_hand *h, uint32_t *local) {
    h->status = pmi_topology_of_scc(f->split, h->scc, local, &h->topology, &h->error);
    if (h->status == PM_OK) {
        h->status = pmi_topology_digest(&h->topology, PM_SHA256, h->order, &h->error);
    }
}

static void find_orders(finder *f) {
#pragma omp parallel for schedule(dynamic, 16) num_threads(f->threads) if (f->threads > 1 && f->n_hand > 1)
    for (size_t i = 0; i < f->n_hand; i++) {
        find_order(f, &f->hand[i], f->local + (size_t)omp_get_thread_num() * f->n_local);
    }
}

static void find_canons(finder *f) {
#pragma omp parallel for schedule(dynamic, 1) num_threads(f->threads) if (f->threads > 1 && f->n_hand > 1)
    for (size_t i = 0; i < f->n_hand; i++) {
        scc_at_hand *h = &f->hand[i];
        if (h->status == PM_OK && h->twin == h->scc) {
            double left;
#pragma omp atomic read
            left = f->seconds;
            double begin = left;
            h->status = pmi_canon_find(&h->topology, f->effort, &left, &h->canon, &h->error);
            double spent = begin - left;
#pragma omp atomic update
            f->seconds -= spent;
        }
    }
}

/* ---- in their order ---- */

static pm_status find_twins(finder *f, pm_error *err) {
    pm_status st = PM_OK;
    for (size_t i = 0; st == PM_OK && i < f->n_hand; i++) {
        scc_at_hand *h = &f->hand[i];
        const seen *same = h->status == PM_OK ? find(f->orders, h->order) : NULL;
        h->twin = same != NULL ? same->number : h->scc;
        if (h->status != PM_OK) {
            st = pmi_fail(err, h->status, "%s", h->error.text);
        } else if (same == NULL) {
            st = add(&f->orders, h->order, h->scc, err);
        }
    }
    return st;
}

static pm_status place_all(finder *f, pm_error *err) {
    pm_status st = PM_OK;
    for (size_t i = 0; st == PM_OK && i < f->n_hand; i++) {
        scc_at_hand *h = &f->hand[i];
        if (h->status != PM_OK) {
            st = pmi_fail(err, h->status, "%s", h->error.text);
        } else if (h->twin == h->scc) {
            st = classify(f, h, err);
        } else {
            copy_twin(f, h);
        }
        if (st == PM_OK) {
            f->out->n_sccs[f->out->class_of[h->scc]]++;
        }
    }
    return st;
}

static pm_status work_off(finder *f, pm_error *err) {
    find_orders(f);
    pm_status st = find_twins(f, err);
    if (st == PM_OK) {
        find_canons(f);
        st = place_all(f, err);
    }
    for (size_t i = 0; i < f->n_hand; i++) {
        pmi_topology_free(&f->hand[i].topology);
        pmi_canon_free(&f->hand[i].canon);
    }
    f->n_hand = 0;
    return st;
}

static pm_status find_all(finder *f, pm_error *err) {
    pm_status st = PM_OK;
    for (uint32_t scc = 0; st == PM_OK && scc < f->split->n_sccs; scc++) {
        f->out->class_of[scc] = PM_NONE;
        if (f->split->scc_first[scc + 1] - f->split->scc_first[scc] > 1) {
            f->hand[f->n_hand++] = (scc_at_hand){.scc = scc};
        }
        if (f->n_hand == AT_ONCE) {
            st = work_off(f, err);
        }
    }
    PM_TRY(st);
    return work_off(f, err);
}

pm_status pmi_classes_find(const pm_graph *graph, const pm_split *split, pm_effort effort, unsigned threads,
                           const pm_log *log, pm_classes *out, pm_error *err) {
    *out = (pm_classes){.class_of = pmi_malloc(split->n_sccs, sizeof *out->class_of),
                        .names = pmi_calloc(split->n_transient, sizeof *out->names)};
    finder f = {.split = split,
                .effort = effort,
                .log = log,
                .seconds = PM_CANON_SECONDS,
                .out = out,
                .threads = (int)(threads == 0 ? pmi_processors() : threads),
                .n_local = graph->n_vertices,
                .hand = pmi_malloc(AT_ONCE, sizeof *f.hand)};
    size_t n_local = 0;
    bool fits = pmi_mul(f.n_local, (size_t)f.threads, &n_local);
    f.local = fits ? pmi_malloc(n_local, sizeof *f.local) : NULL;
    pm_status st = PM_OK;
    if (out->class_of == NULL || out->names == NULL || f.local == NULL || f.hand == NULL) {
        st = pmi_fail_memory(err, "the classes of SCCs", (size_t)graph->n_vertices * (8 + 4 * (size_t)f.threads));
    } else {
        st = find_all(&f, err);
    }
    clear(&f.orders);
    clear(&f.keys);
    free(f.local);
    free(f.hand);
    if (st != PM_OK) {
        pmi_classes_free(out);
    }
    return st;
}

void pmi_classes_free(pm_classes *classes) {
    for (uint32_t c = 0; c < classes->n_classes; c++) {
        pmi_canon_free(&classes->canon[c]);
    }
    free(classes->canon);
    free(classes->n_sccs);
    free(classes->class_of);
    free(classes->names);
    *classes = (pm_classes){0};
}

typedef struct restorer {
    const pm_split *split;
    pm_effort effort;
    const uint8_t *as_given;
    pm_classes *out;
    uint32_t *local, *mark; /* n_vertices each; mark[name] == scc + 1: the name is taken */
} restorer;

static bool is_permutation(restorer *r, uint32_t scc, const uint32_t *names, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        if (names[i] >= n || r->mark[names[i]] == scc + 1) {
            return false;
        }
        r->mark[names[i]] = scc + 1;
    }
    return true;
}

static bool same_digraph(const pm_topology *a, const pm_topology *b) {
    return a->n == b->n && memcmp(a->row, b->row, ((size_t)a->n + 1) * sizeof *a->row) == 0 &&
           memcmp(a->col, b->col, a->row[a->n] * sizeof *a->col) == 0;
}

/* The first SCC of a class makes its canonical form; all others must have the same. */
static pm_status place(restorer *r, uint32_t scc, pm_topology *renamed, pm_error *err) {
    uint32_t c = r->out->class_of[scc];
    pm_canon *canon = &r->out->canon[c];
    if (r->out->n_sccs[c]++ == 0) {
        canon->topology = *renamed;
        canon->as_given = r->as_given[c] != 0;
        *renamed = (pm_topology){0};
        return pmi_canon_identify(canon, r->effort, err);
    }
    if (!same_digraph(renamed, &canon->topology)) {
        return pmi_fail(err, PM_EDATA, "SCC %u, renamed, is not the digraph of its class %u", scc, c);
    }
    return PM_OK;
}

static pm_status restore(restorer *r, uint32_t scc, pm_error *err) {
    uint32_t n = r->split->scc_first[scc + 1] - r->split->scc_first[scc], c = r->out->class_of[scc];
    if (n == 1) {
        return c == PM_NONE ? PM_OK
                            : pmi_fail(err, PM_EDATA, "SCC %u: a single state has class %u, expected none", scc, c);
    }
    if (c >= r->out->n_classes) {
        return pmi_fail(err, PM_EDATA, "SCC %u: class %u, expected one below %u", scc, c, r->out->n_classes);
    }
    const uint32_t *names = r->out->names + r->split->scc_first[scc];
    if (!is_permutation(r, scc, names, n)) {
        return pmi_fail(err, PM_EDATA, "SCC %u: its canonical numbers are no permutation of 0..%u", scc, n - 1);
    }
    pm_topology topology = {0}, renamed = {0};
    pm_status st = pmi_topology_of_scc(r->split, scc, r->local, &topology, err);
    PM_THEN(st, pmi_topology_rename(&topology, names, &renamed, err));
    PM_THEN(st, place(r, scc, &renamed, err));
    pmi_topology_free(&topology);
    pmi_topology_free(&renamed);
    return st;
}

static pm_status restore_all(restorer *r, pm_error *err) {
    pm_status st = PM_OK;
    for (uint32_t scc = 0; st == PM_OK && scc < r->split->n_sccs; scc++) {
        st = restore(r, scc, err);
    }
    for (uint32_t c = 0; st == PM_OK && c < r->out->n_classes; c++) {
        if (r->out->n_sccs[c] == 0) {
            st = pmi_fail(err, PM_EDATA, "class %u of %u has no SCC", c, r->out->n_classes);
        }
    }
    return st;
}

pm_status pmi_classes_restore(const pm_graph *graph, const pm_split *split, pm_effort effort, const uint8_t *as_given,
                              uint32_t n_classes, const uint32_t *class_of, const uint32_t *names, pm_classes *out,
                              pm_error *err) {
    *out = (pm_classes){0};
    if (n_classes > split->n_nontrivial) {
        return pmi_fail(err, PM_EDATA, "%u classes, expected at most %u: the SCCs of at least 2 states", n_classes,
                        split->n_nontrivial);
    }
    *out = (pm_classes){.n_classes = n_classes,
                        .canon = pmi_calloc(n_classes, sizeof *out->canon),
                        .n_sccs = pmi_calloc(n_classes, sizeof *out->n_sccs),
                        .class_of = pmi_malloc(split->n_sccs, sizeof *out->class_of),
                        .names = pmi_malloc(split->n_transient, sizeof *out->names)};
    restorer r = {.split = split,
                  .effort = effort,
                  .as_given = as_given,
                  .out = out,
                  .local = pmi_malloc(graph->n_vertices, sizeof *r.local),
                  .mark = pmi_calloc(graph->n_vertices, sizeof *r.mark)};
    pm_status st = PM_OK;
    if (out->canon == NULL || out->n_sccs == NULL || out->class_of == NULL || out->names == NULL || r.local == NULL ||
        r.mark == NULL) {
        out->n_classes = out->canon == NULL ? 0 : n_classes;
        st = pmi_fail_memory(err, "the classes of SCCs", (size_t)graph->n_vertices * 16);
    } else {
        memcpy(out->class_of, class_of, split->n_sccs * sizeof *class_of);
        memcpy(out->names, names, split->n_transient * sizeof *names);
        st = restore_all(&r, err);
    }
    free(r.local);
    free(r.mark);
    if (st != PM_OK) {
        pmi_classes_free(out);
    }
    return st;
}

/* ---- as they are kept ---- */

#define PAYLOAD_KEYS 8
#define CLASS_WIDTH 4 /* PM_NONE is among them */

pm_status pmi_classes_key(const uint8_t graph[PM_DIGEST_BYTES], pm_effort effort, uint8_t key[PM_DIGEST_BYTES],
                          pm_error *err) {
    uint8_t text[20 + 3 + PM_DIGEST_BYTES] = "phasemill classes";
    text[20] = PM_CLASSES_VERSION;
    text[21] = PM_RECORDER_VERSION;
    text[22] = (uint8_t)effort;
    memcpy(text + 23, graph, PM_DIGEST_BYTES);
    return pmi_digest(PM_SHA256, text, sizeof text, key, err);
}

/* ---- encoding ---- */

pm_status pmi_kept_classes_encode_payload(const pm_kept_classes *kept, pm_buffer *out, pm_error *err) {
    pm_writer w;
    pmi_writer_init(&w, out, err);
    msgpack_pack_map(&w.packer, PAYLOAD_KEYS);
    pmi_writer_text(&w, "key");
    pmi_writer_bin(&w, kept->key, PM_DIGEST_BYTES);
    pmi_writer_text(&w, "sccs");
    pmi_writer_uint(&w, kept->n_sccs);
    pmi_writer_text(&w, "states");
    pmi_writer_uint(&w, kept->n_states);
    pmi_writer_text(&w, "classes");
    pmi_writer_uint(&w, kept->n_classes);
    pmi_writer_text(&w, "as_given");
    pmi_writer_bin(&w, kept->as_given, kept->n_classes);
    pmi_writer_text(&w, "keys");
    pmi_writer_bin(&w, kept->keys, (size_t)kept->n_classes * PM_DIGEST_BYTES);
    pmi_writer_text(&w, "class_of");
    pmi_writer_numbers(&w, kept->class_of, kept->n_sccs, CLASS_WIDTH);
    pmi_writer_text(&w, "names");
    pmi_writer_numbers(&w, kept->names, kept->n_states, pmi_index_width(kept->n_states));
    return w.status;
}

pm_status pmi_kept_classes_encode(const pm_kept_classes *kept, pm_buffer *out, pm_error *err) {
    pm_buffer payload = {0};
    pm_status st = pmi_kept_classes_encode_payload(kept, &payload, err);
    PM_THEN(st, pmi_envelope_write(PM_CLASSES_NAME, PM_CLASSES_VERSION, payload.bytes, payload.size, out, err));
    pmi_buffer_free(&payload);
    return st;
}

/* ---- decoding ---- */

static pm_status read_sizes(pm_cursor *c, pm_kept_classes *out, pm_error *err) {
    static const uint8_t map[1] = {0x80 | PAYLOAD_KEYS};
    uint64_t n_sccs = 0, n_states = 0, n_classes = 0;
    pm_status st = pmi_cursor_expect(c, map, 1, "a map of 8 keys", err);
    PM_THEN(st, pmi_field_digest(c, "key", out->key, err));
    PM_THEN(st, pmi_field_uint(c, "sccs", 0, UINT32_MAX - 1, &n_sccs, err));
    PM_THEN(st, pmi_field_uint(c, "states", n_sccs, UINT32_MAX - 1, &n_states, err));
    PM_THEN(st, pmi_field_uint(c, "classes", 0, n_sccs, &n_classes, err));
    out->n_sccs = (uint32_t)n_sccs;
    out->n_states = (uint32_t)n_states;
    out->n_classes = (uint32_t)n_classes;
    return st;
}

static pm_status read_flags(pm_cursor *c, pm_kept_classes *out, pm_error *err) {
    const uint8_t *bytes = NULL;
    pm_status st = pmi_field_bin(c, "as_given", out->n_classes, &bytes, err);
    for (uint32_t i = 0; st == PM_OK && i < out->n_classes; i++) {
        if (bytes[i] > 1) {
            st = pmi_fail(err, PM_EDATA, "as_given of class %u: expected 0 or 1, found %u", i, bytes[i]);
        }
    }
    PM_TRY(st);
    PM_TRY(PM_NEW(&out->as_given, out->n_classes, "decoding classes", err));
    memcpy(out->as_given, bytes, out->n_classes);
    return PM_OK;
}

static pm_status read_keys(pm_cursor *c, pm_kept_classes *out, pm_error *err) {
    const uint8_t *bytes = NULL;
    PM_TRY(pmi_field_bin(c, "keys", (uint64_t)out->n_classes * PM_DIGEST_BYTES, &bytes, err));
    PM_TRY(PM_NEW(&out->keys, out->n_classes, "decoding classes", err));
    memcpy(out->keys, bytes, out->n_classes * sizeof *out->keys);
    return PM_OK;
}

static pm_status check_classes(const pm_kept_classes *kept, pm_error *err) {
    for (uint32_t i = 0; i < kept->n_sccs; i++) {
        if (kept->class_of[i] >= kept->n_classes && kept->class_of[i] != PM_NONE) {
            return pmi_fail(err, PM_EDATA, "SCC %u: expected a class below %u, found %u", i, kept->n_classes,
                            kept->class_of[i]);
        }
    }
    return PM_OK;
}

pm_status pmi_kept_classes_decode_payload(const uint8_t *bytes, size_t n, pm_kept_classes *out, pm_error *err) {
    pm_cursor c = {bytes, n, 0};
    *out = (pm_kept_classes){0};
    pm_status st = read_sizes(&c, out, err);
    PM_THEN(st, read_flags(&c, out, err));
    PM_THEN(st, read_keys(&c, out, err));
    PM_THEN(st, pmi_field_numbers(&c, "class_of", out->n_sccs, CLASS_WIDTH, &out->class_of, err));
    PM_THEN(st, check_classes(out, err));
    PM_THEN(st, pmi_field_numbers(&c, "names", out->n_states, pmi_index_width(out->n_states), &out->names, err));
    PM_THEN(st, pmi_cursor_end(&c, err));
    if (st != PM_OK) {
        pmi_kept_classes_free(out);
    }
    return st;
}

pm_status pmi_kept_classes_decode(const uint8_t *bytes, size_t n, pm_kept_classes *out, pm_error *err) {
    pm_envelope envelope;
    *out = (pm_kept_classes){0};
    pm_status st = pmi_envelope_open(bytes, n, false, &envelope, err);
    PM_THEN(st, pmi_envelope_expect(&envelope, PM_CLASSES_NAME, PM_CLASSES_VERSION,
                                    "it was written by another phasemill; clear the cache", err));
    PM_THEN(st, pmi_kept_classes_decode_payload(envelope.payload, envelope.size, out, err));
    if (st != PM_OK) {
        pmi_fail_prefix(err, "classes");
    }
    return st;
}

void pmi_kept_classes_free(pm_kept_classes *kept) {
    free(kept->as_given);
    free(kept->keys);
    free(kept->class_of);
    free(kept->names);
    *kept = (pm_kept_classes){0};
}
