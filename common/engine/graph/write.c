#include "graph/write.h"

#include <locale.h>
#include <math.h>
#include <msgpack/pack.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

/* ---- a document written value by value, as JSON or as MessagePack; the first error sticks ---- */

/* A number and its text: graphs have few distinct weights, and finding the shortest text is slow. */
typedef struct doc_number {
    uint64_t bits;
    unsigned n; /* 0: not in use */
    char text[36];
} doc_number;

#define DOC_NUMBERS 1024 /* a power of two */

typedef struct doc {
    const pm_byte_sink *sink;
    pm_error *err;
    pm_status st;
    bool is_json;
    bool needs_comma;  /* JSON */
    msgpack_packer mp; /* MessagePack */
    size_t used;       /* bytes waiting in the buffer */
    uint8_t buffer[65536];
    doc_number numbers[DOC_NUMBERS]; /* JSON: the last number of each hash */
} doc;

_Static_assert(DOC_NUMBERS == 1 << (64 - 54), "the hash has the bits of the table");

/* ---- bytes --------------------------------------------------------------------------------------------- */

static void flush(doc *d) {
    if (d->st == PM_OK && d->used > 0) {
        d->st = d->sink->write(d->sink->ctx, d->buffer, d->used, d->err);
    }
    d->used = 0;
}

/* `n` bytes are never more than a number or a key has. */
static void put(doc *d, const void *bytes, size_t n) {
    if (sizeof d->buffer - d->used < n) {
        flush(d);
    }
    memcpy(d->buffer + d->used, bytes, n);
    d->used += n;
}

static int put_packed(void *ctx, const char *bytes, size_t n) {
    put(ctx, bytes, n);
    return 0;
}

/* Puts what separates a value from the one before it. */
static void put_comma(doc *d) {
    if (d->needs_comma) {
        put(d, ", ", 2);
    }
    d->needs_comma = true;
}

/* ---- containers ---------------------------------------------------------------------------------------- */

/* `bracket`: '[' of an array of n values, '{' of a map of n keys. */
static void doc_open(doc *d, char bracket, size_t n) {
    if (d->is_json) {
        put_comma(d);
        put(d, &bracket, 1);
        d->needs_comma = false;
    } else if (bracket == '{') {
        msgpack_pack_map(&d->mp, n);
    } else {
        msgpack_pack_array(&d->mp, n);
    }
}

static void doc_close(doc *d, char bracket) {
    if (d->is_json) {
        put(d, &bracket, 1);
        d->needs_comma = true;
    }
}

static void doc_text(doc *d, const char *text) {
    size_t n = strlen(text);
    if (d->is_json) {
        put_comma(d);
        put(d, "\"", 1);
        put(d, text, n);
        put(d, "\"", 1);
    } else {
        msgpack_pack_str(&d->mp, n);
        msgpack_pack_str_body(&d->mp, text, n);
    }
}

static void doc_key(doc *d, const char *text) {
    if (!d->is_json) {
        doc_text(d, text);
        return;
    }
    if (d->needs_comma) {
        put(d, ",\n ", 3);
    }
    d->needs_comma = false;
    doc_text(d, text);
    put(d, ": ", 2);
    d->needs_comma = false;
}

/* ---- values -------------------------------------------------------------------------------------------- */

/* Writes the decimal digits of `value` so that they end at `end`; returns where they begin. */
static char *digits_before(char *end, uint64_t value) {
    do {
        *--end = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    return end;
}

static void put_whole(doc *d, uint64_t magnitude, bool is_negative, const char *tail) {
    char text[32];
    char *end = text + sizeof text - 4;
    char *begin = digits_before(end, magnitude);
    if (is_negative) {
        *--begin = '-';
    }
    size_t n_tail = strlen(tail);
    memcpy(end, tail, n_tail);
    put(d, begin, (size_t)(end - begin) + n_tail);
}

static void doc_integer(doc *d, int64_t value) {
    if (!d->is_json) {
        msgpack_pack_int64(&d->mp, value);
        return;
    }
    put_comma(d);
    put_whole(d, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, value < 0, "");
}

static unsigned print_shortest(char text[36], double value) {
    int n = 0;
    for (int digits = 15; digits <= 17; digits++) {
        n = snprintf(text, 34, "%.*g", digits, value);
        if (digits == 17 || strtod(text, NULL) == value) {
            break;
        }
    }
    if (strpbrk(text, ".e") == NULL) {
        memcpy(text + n, ".0", 3);
        n += 2;
    }
    return (unsigned)n;
}

static void put_shortest(doc *d, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    doc_number *number = &d->numbers[(bits * 0x9e3779b97f4a7c15u) >> 54];
    if (number->n == 0 || number->bits != bits) {
        number->bits = bits;
        number->n = print_shortest(number->text, value);
    }
    put(d, number->text, number->n);
}

/* Finite. JSON: the shortest of 15, 16 or 17 digits that reads back as the same double, always with a point or an
 * exponent. The thread's locale must have the decimal point of "C". */
static void doc_real(doc *d, double value) {
    if (!d->is_json) {
        msgpack_pack_double(&d->mp, value);
        return;
    }
    put_comma(d);
    double magnitude = fabs(value);
    if (magnitude < 1e15 && magnitude == (double)(uint64_t)magnitude) {
        put_whole(d, (uint64_t)magnitude, signbit(value), ".0");
    } else {
        put_shortest(d, value);
    }
}

static void doc_boolean(doc *d, bool value) {
    if (d->is_json) {
        put_comma(d);
        put(d, value ? "true" : "false", value ? 4 : 5);
    } else if (value) {
        msgpack_pack_true(&d->mp);
    } else {
        msgpack_pack_false(&d->mp);
    }
}

/* ---- the graph ---- */

/* Rows of one array of the graph, edges or starts: file rows `first` to `end`. */
typedef struct span {
    const pm_graph *g;
    const uint32_t *from; /* NULL: starts */
    const uint32_t *to, *weight;
    size_t first, end;
} span;

static const double *coef_of(const span *s, size_t row) {
    return s->g->weights + (size_t)s->weight[row] * (1 + (size_t)s->g->n_params);
}

static bool has_coefficients(const span *s, size_t row) {
    const double *coef = coef_of(s, row);
    for (size_t k = 1; k <= s->g->n_params; k++) {
        if (coef[k] != 0.0) {
            return true;
        }
    }
    return false;
}

/* Param rows with a constant are split: which of them leave a constant, and which something for the param array. */
static bool leaves_constant(const span *s, size_t row) {
    return coef_of(s, row)[0] != 0.0;
}

static bool leaves_params(const span *s, size_t row) {
    return !leaves_constant(s, row) || has_coefficients(s, row);
}

static size_t count(const span *s, bool (*test)(const span *, size_t)) {
    size_t n = 0;
    for (size_t i = s->first; i < s->end; i++) {
        n += test(s, i);
    }
    return n;
}

/* Apart, each of the two edges must be as good as their sum: both weights may not be negative at any theta. */
static pm_status check_split(const span *s, const char *name, pm_error *err) {
    for (size_t i = s->first; i < s->end; i++) {
        const double *coef = coef_of(s, i);
        bool is_negative = coef[0] < 0.0;
        for (size_t k = 1; k <= s->g->n_params; k++) {
            is_negative = is_negative || coef[k] < 0.0;
        }
        if (leaves_constant(s, i) && has_coefficients(s, i) && is_negative) {
            return pmi_fail(
                err, PM_EDATA,
                "%s row %zu: has the base weight %.17g beside coefficients, one of them negative; this layout "
                "would need two parallel edges, whose weights may not be negative by themselves",
                name, i - s->first, coef[0]);
        }
    }
    return PM_OK;
}

/* ---- arrays -------------------------------------------------------------------------------------------- */

static void write_ends(doc *d, const span *s, size_t row, size_t n_numbers) {
    doc_open(d, '[', (s->from == NULL ? 1 : 2) + n_numbers);
    if (s->from != NULL) {
        doc_integer(d, s->from[row]);
    }
    doc_integer(d, s->to[row]);
}

static void write_constant_rows(doc *d, const span *s, bool is_split) {
    for (size_t i = s->first; d->st == PM_OK && i < s->end; i++) {
        if (is_split && !leaves_constant(s, i)) {
            continue;
        }
        write_ends(d, s, i, 1);
        doc_real(d, coef_of(s, i)[0]);
        doc_close(d, ']');
    }
}

/* Constant rows, and behind them what the param rows leave. */
static void write_constants(doc *d, const char *key, const span *plain, const span *params) {
    doc_key(d, key);
    doc_open(d, '[', plain->end - plain->first + count(params, leaves_constant));
    write_constant_rows(d, plain, false);
    write_constant_rows(d, params, true);
    doc_close(d, ']');
}

static void write_params(doc *d, const char *key, const span *s) {
    doc_key(d, key);
    doc_open(d, '[', count(s, leaves_params));
    for (size_t i = s->first; d->st == PM_OK && i < s->end; i++) {
        if (!leaves_params(s, i)) {
            continue;
        }
        const double *coef = coef_of(s, i);
        write_ends(d, s, i, s->g->n_params);
        for (size_t k = 1; k <= s->g->n_params; k++) {
            doc_real(d, coef[k]);
        }
        doc_close(d, ']');
    }
    doc_close(d, ']');
}

static void write_states(doc *d, const pm_graph *g) {
    doc_key(d, "states");
    doc_open(d, '[', g->n_vertices);
    for (size_t i = 0; d->st == PM_OK && i < g->n_vertices; i++) {
        const int32_t *state = g->states + i * g->state_length;
        doc_open(d, '[', g->state_length);
        for (size_t k = 0; k < g->state_length; k++) {
            doc_integer(d, state[k]);
        }
        doc_close(d, ']');
    }
    doc_close(d, ']');
    doc_key(d, "vertex_indices");
    doc_open(d, '[', g->n_vertices);
    for (size_t i = 0; d->st == PM_OK && i < g->n_vertices; i++) {
        doc_integer(d, (int64_t)i);
    }
    doc_close(d, ']');
}

static void write_edges(doc *d, const pm_graph *g, const span *params, const span *start_params) {
    const span plain = {g, g->from, g->to, g->weight, 0, g->n_plain};
    const span constant = {g, g->from, g->to, g->weight, g->n_plain, g->n_plain + g->n_constant};
    const span starts = {g, NULL, g->start_to, g->start_weight, 0, g->n_start_plain}, none = {0};
    write_constants(d, "edges", &plain, &none);
    write_constants(d, "constant_edges", &constant, params);
    write_constants(d, "start_edges", &starts, start_params);
    write_params(d, "param_edges", params);
    write_params(d, "start_param_edges", start_params);
}

static void write_sizes(doc *d, const pm_graph *g) {
    doc_key(d, "param_length");
    doc_integer(d, g->n_params);
    doc_key(d, "state_length");
    doc_integer(d, g->state_length);
    doc_key(d, "n_vertices");
    doc_integer(d, g->n_vertices);
    doc_key(d, "weight_mode");
    doc_text(d, "linear");
    doc_key(d, "dyn_ordering");
    doc_boolean(d, false);
    if (g->is_kind_given) {
        doc_key(d, "is_discrete");
        doc_boolean(d, g->is_discrete);
    }
    doc_key(d, "was_dph");
    doc_boolean(d, g->normalizes_rows);
}

#define N_KEYS 14

static pm_status write_graph(doc *d, const pm_graph *g, pm_error *err) {
    const span params = {g, g->from, g->to, g->weight, g->n_plain + g->n_constant, g->n_edges};
    const span start_params = {g, NULL, g->start_to, g->start_weight, g->n_start_plain, g->n_starts};
    PM_TRY(check_split(&params, "param_edges", err));
    PM_TRY(check_split(&start_params, "start_param_edges", err));
    doc_open(d, '{', g->is_kind_given ? N_KEYS : N_KEYS - 1); /* nobody said is_discrete: nor is it said here */
    write_states(d, g);
    write_edges(d, g, &params, &start_params);
    write_sizes(d, g);
    doc_close(d, '}');
    if (d->is_json) {
        put(d, "\n", 1);
    }
    flush(d);
    return d->st;
}

pm_status pmi_graph_write(const pm_graph *g, pm_graph_encoding encoding, const pm_byte_sink *sink, pm_error *err) {
    doc *d = pmi_calloc(1, sizeof *d);
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    pm_status st = PM_OK;
    if (d == NULL || c_locale == (locale_t)0) {
        st = pmi_fail_memory(err, "a buffer for writing", sizeof *d);
    } else {
        /* numbers are printed with a point in every locale of the program; this changes the calling thread only */
        locale_t before = uselocale(c_locale);
        d->sink = sink;
        d->err = err;
        d->is_json = encoding == PM_GRAPH_JSON;
        msgpack_packer_init(&d->mp, d, put_packed);
        st = write_graph(d, g, err);
        uselocale(before);
    }
    if (c_locale != (locale_t)0) {
        freelocale(c_locale);
    }
    free(d);
    return st;
}
