/* Reading a graph: the events of its file, keys in any order, become rows of a builder as they come. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "codec/events.h"
#include "graph/build.h"

typedef enum key_kind { KEY_STATES, KEY_ROWS, KEY_COUNT, KEY_BOOLEAN, KEY_WEIGHT_MODE, KEY_IGNORED } key_kind;

typedef enum key_name {
    STATES,
    EDGES,
    CONSTANT_EDGES,
    START_EDGES,
    PARAM_EDGES,
    START_PARAM_EDGES,
    PARAM_LENGTH,
    STATE_LENGTH,
    N_VERTICES,
    WEIGHT_MODE,
    IS_DISCRETE,
    VERTEX_INDICES,
    DYN_ORDERING,
    WAS_DPH,
    N_KEYS
} key_name;

typedef struct key_info {
    const char *name;
    key_kind kind;
    bool is_required;
    unsigned n_indices; /* rows: leading columns that number states */
    bool is_param;      /* rows: coefficients follow, else one weight */
} key_info;

static const key_info keys[N_KEYS] = {
    [STATES] = {"states", KEY_STATES, true, 0, false},
    [EDGES] = {"edges", KEY_ROWS, true, 2, false},
    [CONSTANT_EDGES] = {"constant_edges", KEY_ROWS, false, 2, false},
    [START_EDGES] = {"start_edges", KEY_ROWS, true, 1, false},
    [PARAM_EDGES] = {"param_edges", KEY_ROWS, true, 2, true},
    [START_PARAM_EDGES] = {"start_param_edges", KEY_ROWS, false, 1, true},
    [PARAM_LENGTH] = {"param_length", KEY_COUNT, true, 0, false},
    [STATE_LENGTH] = {"state_length", KEY_COUNT, true, 0, false},
    [N_VERTICES] = {"n_vertices", KEY_COUNT, true, 0, false},
    [WEIGHT_MODE] = {"weight_mode", KEY_WEIGHT_MODE, false, 0, false},
    [IS_DISCRETE] = {"is_discrete", KEY_BOOLEAN, false, 0, false},
    [VERTEX_INDICES] = {"vertex_indices", KEY_IGNORED, false, 0, false},
    [DYN_ORDERING] = {"dyn_ordering", KEY_IGNORED, false, 0, false},
    [WAS_DPH] = {"was_dph", KEY_BOOLEAN, false, 0, false},
};

/* Where in the document the reader stands. */
typedef enum place { BEFORE, IN_MAP, IN_ARRAY, IN_ROW, AFTER } place;

typedef struct reader {
    pm_graph_format format;
    pm_graph_kind kind; /* as the caller says */
    pm_builder *builder;
    place at;
    key_name key; /* while in a value */
    bool has_key; /* a key was read, its value comes next */
    bool is_seen[N_KEYS];
    unsigned ignored_depth; /* open arrays and maps of an ignored value */

    double *row; /* numbers of the row being read */
    size_t n_row, row_capacity;
    int32_t *state;
    size_t state_capacity;

    size_t n_rows[N_KEYS];
    uint64_t count[N_KEYS]; /* values of param_length, state_length, n_vertices */
    bool truth[N_KEYS];     /* values of is_discrete, was_dph */
    size_t width;           /* of the states, once there is one */
    bool has_params;        /* a row with coefficients was read: */
    key_name params_key;    /* its array, */
    size_t params_width;    /* its columns */
    size_t n_params;        /* and the P that follows from it */
} reader;

/* "param_edges row 7", or the key alone outside rows. */
static const char *where(const reader *r, char text[64]) {
    if (r->at == IN_ROW || r->at == IN_ARRAY) {
        snprintf(text, 64, "%s row %zu", keys[r->key].name, r->n_rows[r->key]);
    } else {
        snprintf(text, 64, "%s", keys[r->key].name);
    }
    return text;
}

/* ---- keys ---------------------------------------------------------------------------------------------- */

static pm_status unknown_key(const char *text, size_t n, pm_error *err) {
    char known[400];
    size_t used = 0;
    for (int k = 0; k < N_KEYS; k++) {
        used += (size_t)snprintf(known + used, sizeof known - used, k == 0 ? "%s" : ", %s", keys[k].name);
    }
    return pmi_fail(err, PM_EDATA, "unknown key \"%.*s\"; expected %s", n > 100 ? 100 : (int)n, text, known);
}

static pm_status on_key(void *ctx, const char *text, size_t n, pm_error *err) {
    reader *r = ctx;
    if (r->ignored_depth > 0) {
        return PM_OK;
    }
    for (int k = 0; k < N_KEYS; k++) {
        if (strlen(keys[k].name) == n && memcmp(keys[k].name, text, n) == 0) {
            if (r->is_seen[k]) {
                return pmi_fail(err, PM_EDATA, "key \"%s\" comes twice", keys[k].name);
            }
            r->is_seen[k] = true;
            r->key = (key_name)k;
            r->has_key = true;
            return PM_OK;
        }
    }
    return unknown_key(text, n, err);
}

/* ---- values in places where they do not belong --------------------------------------------------------- */

static pm_status unexpected(const reader *r, const char *found, pm_error *err) {
    static const char *const values[] = {
        [KEY_STATES] = "an array of rows", [KEY_ROWS] = "an array of rows",  [KEY_COUNT] = "a whole number",
        [KEY_BOOLEAN] = "true or false",   [KEY_WEIGHT_MODE] = "\"linear\"", [KEY_IGNORED] = "any value"};
    char place_text[64];
    if (r->at == BEFORE) {
        return pmi_fail(err, PM_EDATA, "found %s; expected a map with the keys of a graph", found);
    }
    const char *expected = r->at == IN_ROW     ? "a number"
                           : r->at == IN_ARRAY ? "an array of numbers"
                                               : values[keys[r->key].kind];
    return pmi_fail(err, PM_EDATA, "%s: found %s; expected %s", where(r, place_text), found, expected);
}

/* Values of ignored keys, and what lies inside them. */
static bool is_ignored(reader *r) {
    return r->ignored_depth > 0 || (r->at == IN_MAP && r->has_key && keys[r->key].kind == KEY_IGNORED);
}

static bool is_value_of(const reader *r, key_kind kind) {
    return r->at == IN_MAP && r->has_key && keys[r->key].kind == kind;
}

/* ---- parameters ---------------------------------------------------------------------------------------- */

/* Columns in front of the coefficients. */
static size_t leading_columns(const reader *r, key_name key) {
    return keys[key].n_indices + (r->format == PM_FORMAT_PHASIC_021 ? 1 : 0);
}

static const char *layout(const reader *r, key_name key) {
    bool is_old = r->format == PM_FORMAT_PHASIC_021;
    if (key == PARAM_EDGES) {
        return is_old ? "from, to, base weight and P coefficients" : "from, to and P coefficients";
    }
    return is_old ? "to, base weight and P coefficients" : "to and P coefficients";
}

/* Refuses rows of `width` columns when P was said to be `n_params`; the layouts differ by one column. */
static pm_status wrong_width(const reader *r, key_name key, size_t row, size_t width, uint64_t n_params,
                             pm_error *err) {
    size_t columns = leading_columns(r, key);
    bool is_old = r->format == PM_FORMAT_PHASIC_021;
    const char *advice = "";
    if (!is_old && width == columns + n_params + 1) {
        advice =
            "; a file of phasic 0.21 or earlier has one column more, a base weight: read it with --format phasic-0.21";
    } else if (is_old && width + 1 == columns + n_params) {
        advice = "; a file of phasic 0.22 or later has no base weight: read it without --format phasic-0.21";
    }
    return pmi_fail(err, PM_EDATA,
                    "%s row %zu: found %zu columns; expected %" PRIu64 " (%s, param_length is %" PRIu64 ")%s",
                    keys[key].name, row, width, columns + n_params, layout(r, key), n_params, advice);
}

/* The first row with coefficients says what P is, unless param_length has said it before. */
static pm_status learn_params(reader *r, pm_error *err) {
    size_t columns = leading_columns(r, r->key);
    if (r->is_seen[PARAM_LENGTH] && r->n_row != columns + r->count[PARAM_LENGTH]) {
        return wrong_width(r, r->key, r->n_rows[r->key], r->n_row, r->count[PARAM_LENGTH], err);
    }
    if (r->n_row < columns || r->n_row - columns > PM_MAX_PARAMS) {
        return pmi_fail(err, PM_EDATA, "%s row %zu: found %zu columns; expected %zu to %zu (%s)", keys[r->key].name,
                        r->n_rows[r->key], r->n_row, columns, columns + PM_MAX_PARAMS, layout(r, r->key));
    }
    r->has_params = true;
    r->params_key = r->key;
    r->params_width = r->n_row;
    r->n_params = r->n_row - columns;
    return pmi_builder_set_params(r->builder, (uint32_t)r->n_params, err);
}

static pm_status check_param_width(reader *r, pm_error *err) {
    if (!r->has_params) {
        return learn_params(r, err);
    }
    size_t expected = leading_columns(r, r->key) + r->n_params;
    if (r->n_row == expected) {
        return PM_OK;
    }
    return pmi_fail(err, PM_EDATA, "%s row %zu: found %zu columns; expected %zu (%s), as in %s row 0",
                    keys[r->key].name, r->n_rows[r->key], r->n_row, expected, layout(r, r->key),
                    keys[r->params_key].name);
}

/* ---- rows ---------------------------------------------------------------------------------------------- */

static pm_status row_index(reader *r, size_t column, uint32_t *out, pm_error *err) {
    double v = r->row[column];
    if (!(v >= 0.0 && v < PM_NONE) || v != (double)(uint32_t)v) {
        char place_text[64];
        bool is_from = keys[r->key].n_indices == 2 && column == 0;
        return pmi_fail(err, PM_EDATA, "%s: %s is %.17g; expected the number of a row of states, from 0",
                        where(r, place_text), is_from ? "from" : "to", v);
    }
    *out = (uint32_t)v;
    return PM_OK;
}

/* The constant and the coefficients of the row, as the builder takes them: where the row has no constant, the index in
 * front of the coefficients, which has been read, makes room for a zero. */
static const double *row_coef(reader *r) {
    double *rest = r->row + keys[r->key].n_indices;
    if (!keys[r->key].is_param || r->format == PM_FORMAT_PHASIC_021) {
        return rest;
    }
    rest[-1] = 0.0;
    return rest - 1;
}

static pm_status check_width(reader *r, pm_error *err) {
    if (keys[r->key].is_param) {
        return check_param_width(r, err);
    }
    size_t expected = keys[r->key].n_indices + 1;
    if (r->n_row != expected) {
        char place_text[64];
        return pmi_fail(err, PM_EDATA, "%s: found %zu columns; expected %zu (%s)", where(r, place_text), r->n_row,
                        expected, expected == 3 ? "from, to, weight" : "to, weight");
    }
    return PM_OK;
}

static pm_status add_edge_row(reader *r, pm_error *err) {
    uint32_t from = 0, to = 0;
    unsigned n_indices = keys[r->key].n_indices;
    PM_TRY(check_width(r, err));
    PM_TRY(n_indices == 2 ? row_index(r, 0, &from, err) : PM_OK);
    PM_TRY(row_index(r, n_indices - 1, &to, err));
    const double *coef = row_coef(r);
    switch (r->key) {
    case EDGES:
        return pmi_builder_edge(r->builder, PM_EDGE_PLAIN, from, to, coef, err);
    case CONSTANT_EDGES:
        return pmi_builder_edge(r->builder, PM_EDGE_CONSTANT, from, to, coef, err);
    case PARAM_EDGES:
        return pmi_builder_edge(r->builder, PM_EDGE_PARAM, from, to, coef, err);
    default:
        return pmi_builder_start(r->builder, r->key == START_PARAM_EDGES, to, coef, err);
    }
}

static pm_status wrong_state_length(size_t row, size_t width, uint64_t expected, const char *source, pm_error *err) {
    return pmi_fail(err, PM_EDATA, "states row %zu: found %zu columns; expected %" PRIu64 ", %s", row, width, expected,
                    source);
}

static pm_status learn_state_length(reader *r, pm_error *err) {
    if (r->is_seen[STATE_LENGTH] && r->n_row != r->count[STATE_LENGTH]) {
        return wrong_state_length(0, r->n_row, r->count[STATE_LENGTH], "the state_length", err);
    }
    if (r->n_row > UINT32_MAX || !pmi_reserve((void **)&r->state, &r->state_capacity, r->n_row, sizeof *r->state)) {
        return pmi_fail_memory(err, "a state", r->n_row);
    }
    r->width = r->n_row;
    return pmi_builder_set_state_length(r->builder, (uint32_t)r->n_row, err);
}

static pm_status add_state_row(reader *r, pm_error *err) {
    size_t row = r->n_rows[STATES];
    if (row == 0) {
        PM_TRY(learn_state_length(r, err));
    } else if (r->n_row != r->width) {
        return wrong_state_length(row, r->n_row, r->width, "as in row 0", err);
    }
    for (size_t i = 0; i < r->n_row; i++) {
        double v = r->row[i];
        if (!(v >= INT32_MIN && v <= INT32_MAX) || v != (double)(int32_t)v) {
            return pmi_fail(err, PM_EDATA, "states row %zu: column %zu is %.17g; expected a whole number of 32 bits",
                            row, i, v);
        }
        r->state[i] = (int32_t)v;
    }
    return pmi_builder_state(r->builder, r->state, NULL, err);
}

/* ---- events: containers -------------------------------------------------------------------------------- */

static pm_status on_open(void *ctx, bool is_map, pm_error *err) {
    reader *r = ctx;
    if (is_ignored(r)) {
        r->ignored_depth++;
    } else if (is_map && r->at == BEFORE) {
        r->at = IN_MAP;
    } else if (!is_map && (is_value_of(r, KEY_STATES) || is_value_of(r, KEY_ROWS))) {
        r->at = IN_ARRAY;
    } else if (!is_map && r->at == IN_ARRAY) {
        r->at = IN_ROW;
        r->n_row = 0;
    } else {
        return unexpected(r, is_map ? "a map" : "an array", err);
    }
    return PM_OK;
}

static pm_status on_close(void *ctx, bool is_map, pm_error *err) {
    reader *r = ctx;
    pm_status st = PM_OK;
    if (r->ignored_depth > 0) {
        r->ignored_depth--;
    } else if (is_map || r->at == IN_ARRAY) {
        r->at = is_map ? AFTER : IN_MAP;
    } else {
        st = r->key == STATES ? add_state_row(r, err) : add_edge_row(r, err);
        r->at = IN_ARRAY;
        r->n_rows[r->key]++;
    }
    return st;
}

/* ---- events: values ------------------------------------------------------------------------------------ */

static pm_status set_count(reader *r, double v, pm_error *err) {
    const double most = r->key == PARAM_LENGTH ? PM_MAX_PARAMS : PM_NONE - 1;
    if (!(v >= 0.0 && v <= most) || v != (double)(uint32_t)v) {
        return pmi_fail(err, PM_EDATA, "%s: found %.17g; expected a whole number from 0 to %.0f", keys[r->key].name, v,
                        most);
    }
    r->count[r->key] = (uint64_t)v;
    return PM_OK;
}

static pm_status number_outside_rows(reader *r, double v, pm_error *err) {
    if (is_ignored(r)) {
        return PM_OK;
    }
    if (is_value_of(r, KEY_COUNT)) {
        return set_count(r, v, err);
    }
    char found[64];
    snprintf(found, sizeof found, "the number %.17g", v);
    return unexpected(r, found, err);
}

static inline pm_status add_number(reader *r, double value, pm_error *err) {
    if (r->at != IN_ROW) {
        return number_outside_rows(r, value, err);
    }
    if (r->n_row == r->row_capacity) {
        PM_TRY(PM_GROW(&r->row, &r->row_capacity, r->n_row + 1, "a row", err));
    }
    r->row[r->n_row++] = value;
    return PM_OK;
}

static pm_status on_real(void *ctx, double value, pm_error *err) {
    return add_number(ctx, value, err);
}

/* Whole numbers beyond 2^53 round as they would in a file that wrote them with a point. */
static pm_status on_integer(void *ctx, int64_t value, pm_error *err) {
    return add_number(ctx, (double)value, err);
}

static pm_status on_boolean(void *ctx, bool value, pm_error *err) {
    reader *r = ctx;
    if (is_value_of(r, KEY_BOOLEAN)) {
        r->truth[r->key] = value;
        return PM_OK;
    }
    return is_ignored(r) ? PM_OK : unexpected(r, value ? "true" : "false", err);
}

static pm_status on_null(void *ctx, pm_error *err) {
    return is_ignored(ctx) ? PM_OK : unexpected(ctx, "null", err);
}

static pm_status on_string(void *ctx, const char *text, size_t n, pm_error *err) {
    reader *r = ctx;
    int cut = n > 60 ? 60 : (int)n;
    if (is_ignored(r)) {
        return PM_OK;
    }
    if (!is_value_of(r, KEY_WEIGHT_MODE)) {
        char found[96];
        snprintf(found, sizeof found, "the string \"%.*s\"", cut, text);
        return unexpected(r, found, err);
    }
    if (n == strlen("linear") && memcmp(text, "linear", n) == 0) {
        return PM_OK;
    }
    return pmi_fail(err, PM_EDATA,
                    "weight_mode is \"%.*s\"; expected \"linear\": only weights that are linear in theta can be read",
                    cut, text);
}

static pm_status on_bytes(void *ctx, const uint8_t *bytes, size_t n, pm_error *err) {
    (void)bytes;
    (void)n;
    return is_ignored(ctx) ? PM_OK : unexpected(ctx, "a byte string", err);
}

/* ---- the reader ---------------------------------------------------------------------------------------- */

static void reader_free(reader *r) {
    if (r != NULL) {
        pmi_builder_free(r->builder);
        free(r->row);
        free(r->state);
        free(r);
    }
}

static pm_status reader_new(pm_graph_format format, pm_graph_kind kind, reader **out, pm_error *err) {
    *out = NULL;
    if (format != PM_FORMAT_PHASIC && format != PM_FORMAT_PHASIC_021) {
        return pmi_fail(err, PM_EUSAGE, "graph format %d: expected PM_FORMAT_PHASIC or PM_FORMAT_PHASIC_021",
                        (int)format);
    }
    if (kind != PM_KIND_AS_GIVEN && kind != PM_KIND_CONTINUOUS && kind != PM_KIND_DISCRETE) {
        return pmi_fail(err, PM_EUSAGE,
                        "graph kind %d: expected PM_KIND_AS_GIVEN, PM_KIND_CONTINUOUS or PM_KIND_DISCRETE", (int)kind);
    }
    reader *r;
    PM_TRY(PM_ZEROS(&r, 1, "a graph reader", err));
    r->format = format;
    r->kind = kind;
    pm_status st = pmi_builder_new(0, 0, false, &r->builder, err);
    if (st != PM_OK) {
        reader_free(r);
        r = NULL;
    }
    *out = r;
    return st;
}

/* Sizes that were said against those that were found. */
static pm_status check_sizes(reader *r, pm_error *err) {
    if (r->n_rows[STATES] != r->count[N_VERTICES]) {
        return pmi_fail(err, PM_EDATA, "states: found %zu rows; expected %" PRIu64 ", the n_vertices",
                        r->n_rows[STATES], r->count[N_VERTICES]);
    }
    if (r->n_rows[STATES] > 0 && r->width != r->count[STATE_LENGTH]) {
        return wrong_state_length(0, r->width, r->count[STATE_LENGTH], "the state_length", err);
    }
    if (r->has_params && r->n_params != r->count[PARAM_LENGTH]) {
        return wrong_width(r, r->params_key, 0, r->params_width, r->count[PARAM_LENGTH], err);
    }
    return pmi_builder_set_params(r->builder, (uint32_t)r->count[PARAM_LENGTH], err);
}

/* What the file says of being discrete, and what the caller says, must be one. Normalized rows are probabilities. */
static pm_status set_kind(reader *r, pm_error *err) {
    bool by_file = r->is_seen[IS_DISCRETE], by_caller = r->kind != PM_KIND_AS_GIVEN;
    bool is_discrete = by_file ? r->truth[IS_DISCRETE] : r->truth[WAS_DPH];
    bool says_discrete = by_caller ? r->kind == PM_KIND_DISCRETE : is_discrete;
    if (says_discrete != is_discrete && (by_file || is_discrete)) {
        return pmi_fail(err, PM_EUSAGE, "%s is %s in the file, but a %s graph was asked for; one of the two is wrong",
                        by_file ? "is_discrete" : "was_dph", is_discrete ? "true" : "false",
                        says_discrete ? "discrete" : "continuous");
    }
    pmi_builder_set_kind(r->builder, says_discrete, by_file || by_caller || is_discrete, r->truth[WAS_DPH]);
    return PM_OK;
}

static pm_status reader_finish(reader *r, pm_graph **out, pm_error *err) {
    *out = NULL;
    for (int k = 0; k < N_KEYS; k++) {
        if (keys[k].is_required && !r->is_seen[k]) {
            return pmi_fail(err, PM_EDATA, "key \"%s\" is missing", keys[k].name);
        }
    }
    PM_TRY(check_sizes(r, err));
    PM_TRY(set_kind(r, err));
    return pmi_builder_finish(r->builder, out, err);
}

/* Bytes that were read to see what the document is, then those of the source itself. */
typedef struct peeked {
    const pm_source *source;
    size_t at, size;
    uint8_t bytes[4096];
} peeked;

static pm_status read_peeked(void *ctx, uint8_t *bytes, size_t capacity, size_t *got, pm_error *err) {
    peeked *p = ctx;
    if (p->at == p->size) {
        return p->source->read(p->source->ctx, bytes, capacity, got, err);
    }
    size_t left = p->size - p->at;
    *got = left < capacity ? left : capacity;
    memcpy(bytes, p->bytes + p->at, *got);
    p->at += *got;
    return PM_OK;
}

static bool is_space(uint8_t c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static pm_status peek_more(peeked *p, size_t *got, pm_error *err) {
    pm_status st = p->source->read(p->source->ctx, p->bytes + p->size, sizeof p->bytes - p->size, got, err);
    p->size += st == PM_OK ? *got : 0;
    return st;
}

/* A byte order mark of UTF-8 becomes white space, so that places in messages are those of the file. */
static pm_status peek_byte_order_mark(peeked *p, pm_error *err) {
    size_t got = 1;
    while (got > 0 && p->size < PM_UTF8_MARK_BYTES) {
        PM_TRY(peek_more(p, &got, err));
    }
    if (pmi_utf8_has_mark(p->bytes, p->size)) {
        memset(p->bytes, ' ', PM_UTF8_MARK_BYTES);
    }
    return pmi_utf8_check_mark(p->bytes, p->size, err);
}

/* Reads until a byte that is no white space has come; *first is its place. */
static pm_status peek(peeked *p, size_t *first, pm_error *err) {
    *first = 0;
    pm_status st = peek_byte_order_mark(p, err);
    while (st == PM_OK && *first < p->size && is_space(p->bytes[*first])) {
        (*first)++;
    }
    while (st == PM_OK && *first == p->size) {
        size_t got = 0;
        if (p->size == sizeof p->bytes) {
            return pmi_fail(err, PM_EDATA, "begins with %zu bytes of white space; expected a graph", p->size);
        }
        st = peek_more(p, &got, err);
        if (st == PM_OK && got == 0) {
            return pmi_fail(err, PM_EDATA, "byte %zu: the input is empty; expected a graph as JSON or MessagePack",
                            p->size);
        }
        while (*first < p->size && is_space(p->bytes[*first])) {
            (*first)++;
        }
    }
    return st;
}

static bool begins_msgpack_map(uint8_t c) {
    return (c >= 0x80 && c <= 0x8f) || c == 0xde || c == 0xdf;
}

static pm_status read_document(const pm_source *source, const pm_event_sink *sink, pm_error *err) {
    peeked p = {.source = source};
    const pm_source whole = {.ctx = &p, .read = read_peeked};
    size_t first;
    PM_TRY(peek(&p, &first, err));
    if (p.bytes[first] == '{') {
        return pmi_json_read(&whole, sink, err);
    }
    if (first == 0 && begins_msgpack_map(p.bytes[0])) {
        return pmi_msgpack_read(&whole, sink, err);
    }
    return pmi_fail(
        err, PM_EDATA,
        "byte %zu: 0x%02x begins neither a JSON object ('{') nor a MessagePack map (0x80 to 0x8f, 0xde, 0xdf)", first,
        p.bytes[first]);
}

static pm_status read_graph(const pm_source *source, pm_graph_format format, pm_graph_kind kind, pm_graph **out,
                            pm_error *err) {
    reader *r;
    PM_TRY(reader_new(format, kind, &r, err));
    const pm_event_sink sink = {.ctx = r,
                                .open = on_open,
                                .close = on_close,
                                .key = on_key,
                                .null = on_null,
                                .boolean = on_boolean,
                                .integer = on_integer,
                                .real = on_real,
                                .string = on_string,
                                .bytes = on_bytes};
    pm_status st = read_document(source, &sink, err);
    PM_THEN(st, reader_finish(r, out, err));
    reader_free(r);
    return st;
}

pm_status pm_graph_parse(const void *bytes, size_t n, pm_graph_format format, pm_graph_kind kind, pm_graph **out,
                         pm_error *err) {
    *out = NULL;
    pm_memory_source memory = {.bytes = bytes, .size = n};
    pm_source source = pmi_source_memory(&memory);
    return read_graph(&source, format, kind, out, err);
}

static pm_status open_file(const char *path, int *fd, pm_error *err) {
    struct stat info;
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0) {
        return pmi_fail(err, PM_ENOINPUT, "%s: cannot be opened: %s", path, strerror(errno));
    }
    if (fstat(*fd, &info) == 0 && S_ISDIR(info.st_mode)) {
        close(*fd);
        return pmi_fail(err, PM_ENOINPUT, "%s: is a folder; expected a graph file", path);
    }
    return PM_OK;
}

pm_status pm_graph_load(const char *path, pm_graph_format format, pm_graph_kind kind, pm_graph **out, pm_error *err) {
    *out = NULL;
    bool is_stdin = strcmp(path, "-") == 0;
    int fd = STDIN_FILENO;
    PM_TRY(is_stdin ? PM_OK : open_file(path, &fd, err));
    pm_source source = pmi_source_fd(&fd);
    pm_status st = read_graph(&source, format, kind, out, err);
    if (st != PM_OK && err != NULL) {
        pmi_fail_prefix(err, "%s", is_stdin ? "standard input" : path);
    }
    if (!is_stdin) {
        close(fd);
    }
    return st;
}
