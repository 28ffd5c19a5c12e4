/* Matrices: numbers written out on a command line, comma-separated files, and those of NumPy (NEP 1, numpy.lib.format).
 */
#include "base/matrix.h"

#include <math.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/number.h"
#include "base/utf8.h"

/* What one argument may expand to: a slip in a step must not eat the machine's memory. */
#define MAX_VALUES ((size_t)1 << 27)

/* The part of a faulty field that a message shows. */
#define SHOWN 40

typedef struct growing_matrix {
    double *data;
    size_t size, capacity;
    size_t rows, cols;
    size_t row_start; /* where the current row begins in data */
} growing_matrix;

static pm_status add_value(growing_matrix *t, double value, pm_error *err) {
    PM_TRY(PM_GROW(&t->data, &t->capacity, t->size + 1, "a matrix of numbers", err));
    t->data[t->size++] = value;
    return PM_OK;
}

/* `first` is the number of the first row in messages. */
static pm_status end_row(growing_matrix *t, pm_status code, const char *what, size_t first, pm_error *err) {
    size_t cols = t->size - t->row_start;
    if (t->rows > 0 && cols != t->cols) {
        return pmi_fail(err, code, "%s %zu has %zu values, expected %zu as in %s %zu", what, t->rows + first, cols,
                        t->cols, what, first);
    }
    t->cols = cols;
    t->rows++;
    t->row_start = t->size;
    return PM_OK;
}

static pm_status hand_over(growing_matrix *t, pm_status st, pm_matrix *out) {
    if (st == PM_OK) {
        *out = (pm_matrix){.rows = t->rows, .cols = t->cols, .data = t->data};
    } else {
        free(t->data);
    }
    return st;
}

typedef struct field {
    const char *text;
    size_t n;
} field;

/* Fields between separators, in order; an empty text has one empty field. */
typedef struct splitter {
    const char *at, *end;
    char separator;
    bool done;
} splitter;

static splitter split_by(field text, char separator) {
    return (splitter){.at = text.text, .end = text.text + text.n, .separator = separator};
}

static bool next_field(splitter *s, field *out) {
    if (s->done) {
        return false;
    }
    const char *stop = s->at;
    while (stop < s->end && *stop != s->separator) {
        stop++;
    }
    *out = (field){s->at, (size_t)(stop - s->at)};
    s->done = stop == s->end;
    s->at = s->done ? stop : stop + 1;
    return true;
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

static field trimmed(field f) {
    while (f.n > 0 && is_blank(f.text[0])) {
        f.text++;
        f.n--;
    }
    while (f.n > 0 && is_blank(f.text[f.n - 1])) {
        f.n--;
    }
    return f;
}

/* The bytes of a field fit for a message: cut, and what is not printable ASCII replaced. */
static const char *shown(field f, char copy[SHOWN + 4]) {
    size_t k = f.n < SHOWN ? f.n : SHOWN;
    for (size_t i = 0; i < k; i++) {
        copy[i] = '?';
        if (f.text[i] >= ' ' && f.text[i] <= '~') {
            copy[i] = f.text[i];
        }
    }
    memcpy(copy + k, f.n > SHOWN ? "..." : "", f.n > SHOWN ? 4 : 1);
    return copy;
}

/* ---- written out ------------------------------------------------------------------------------------- */

/* How many steps lie between the ends: rounded where the quotient is whole up to rounding errors. */
static bool range_steps(const double part[3], size_t *steps) {
    double quotient = (part[1] - part[0]) / part[2];
    if (!(quotient >= 0) || quotient > (double)MAX_VALUES) {
        return false;
    }
    double whole = nearbyint(quotient);
    bool is_whole = fabs(quotient - whole) <= 1e-9 * (whole > 1 ? whole : 1);
    *steps = (size_t)(is_whole ? whole : floor(quotient));
    return true;
}

static pm_status add_range(growing_matrix *t, const double part[3], pm_error *err) {
    size_t steps = 0;
    if (part[2] == 0 || !range_steps(part, &steps)) {
        return pmi_fail(err, PM_EUSAGE,
                        "range %g:%g:%g: expected a step that leads from the start to the end in at most %zu values",
                        part[0], part[1], part[2], MAX_VALUES);
    }
    pm_status st = PM_OK;
    for (size_t i = 0; i <= steps && st == PM_OK; i++) {
        st = add_value(t, part[0] + (double)i * part[2], err);
    }
    return st;
}

static pm_status add_item(growing_matrix *t, field item, pm_error *err) {
    char copy[SHOWN + 4];
    double part[3] = {0};
    size_t n_parts = 0;
    splitter parts = split_by(item, ':');
    field one;
    while (n_parts < 3 && next_field(&parts, &one)) {
        one = trimmed(one);
        pm_number_fault fault = pmi_number_parse(one.text, one.n, &part[n_parts]);
        if (fault != PM_NUMBER_OK) {
            return pmi_fail(err, PM_EUSAGE, "found \"%s\", expected %s", shown(item, copy), pmi_number_expected(fault));
        }
        n_parts++;
    }
    if (!parts.done || n_parts == 2) {
        return pmi_fail(err, PM_EUSAGE, "found \"%s\", expected a range start:end:step", shown(item, copy));
    }
    return n_parts == 1 ? add_value(t, part[0], err) : add_range(t, part, err);
}

static pm_status add_inline_row(growing_matrix *t, field row, pm_error *err) {
    splitter items = split_by(row, ',');
    field item;
    pm_status st = PM_OK;
    for (size_t i = 0; st == PM_OK && next_field(&items, &item); i++) {
        st = add_item(t, item, err);
        if (st != PM_OK) {
            pmi_fail_prefix(err, "row %zu, value %zu", t->rows, i);
        } else if (t->size > MAX_VALUES) {
            st = pmi_fail(err, PM_EUSAGE, "more than %zu values: give them in a file", MAX_VALUES);
        }
    }
    PM_TRY(st);
    return end_row(t, PM_EUSAGE, "row", 0, err);
}

pm_status pmi_matrix_parse_inline(const char *text, pm_matrix *out, pm_error *err) {
    growing_matrix t = {0};
    field whole = {text, strlen(text)};
    splitter rows = split_by(whole, ';');
    field row;
    pm_status st = PM_OK;
    while (st == PM_OK && next_field(&rows, &row)) {
        st = add_inline_row(&t, row, err);
    }
    if (st == PM_EUSAGE) {
        char copy[SHOWN + 4];
        pmi_fail_prefix(err, "\"%s\" (numbers, not a file: a file's name ends in .csv or .npy)", shown(whole, copy));
    }
    return hand_over(&t, st, out);
}

/* ---- comma-separated --------------------------------------------------------------------------------- */

static pm_status add_csv_line(growing_matrix *t, field line, pm_error *err) {
    splitter fields = split_by(line, ',');
    field one;
    pm_status st = PM_OK;
    for (size_t column = 1; st == PM_OK && next_field(&fields, &one); column++) {
        one = trimmed(one);
        double value;
        pm_number_fault fault = pmi_number_parse(one.text, one.n, &value);
        if (fault == PM_NUMBER_OK) {
            st = add_value(t, value, err);
        } else {
            char copy[SHOWN + 4];
            st = pmi_fail(err, PM_EDATA, "line %zu, column %zu: found \"%s\", expected %s%s", t->rows + 1, column,
                          shown(one, copy), pmi_number_expected(fault),
                          t->rows == 0 ? " (a header line is not allowed)" : "");
        }
    }
    PM_TRY(st);
    return end_row(t, PM_EDATA, "line", 1, err);
}

/* Blank lines at the end are none. */
static field without_blank_end(field f) {
    while (f.n > 0 && (is_blank(f.text[f.n - 1]) || f.text[f.n - 1] == '\n' || f.text[f.n - 1] == '\r')) {
        f.n--;
    }
    return f;
}

pm_status pmi_matrix_parse_csv(const uint8_t *bytes, size_t n, pm_matrix *out, pm_error *err) {
    pm_status st = pmi_utf8_check_mark(bytes, n, err);
    PM_TRY(st);
    size_t mark = pmi_utf8_has_mark(bytes, n) ? PM_UTF8_MARK_BYTES : 0;
    field whole = without_blank_end((field){(const char *)bytes + mark, n - mark});
    if (whole.n == 0) {
        return pmi_fail(err, PM_EDATA, "the file is empty, expected rows of comma-separated numbers");
    }
    growing_matrix t = {0};
    splitter lines = split_by(whole, '\n');
    field line;
    while (st == PM_OK && next_field(&lines, &line)) {
        if (line.n > 0 && line.text[line.n - 1] == '\r') {
            line.n--;
        }
        st = add_csv_line(&t, line, err);
    }
    return hand_over(&t, st, out);
}

/* ---- arguments and files ----------------------------------------------------------------------------- */

void pmi_matrix_free(pm_matrix *matrix) {
    free(matrix->data);
    *matrix = (pm_matrix){0};
}

static bool ends_with(const char *text, const char *ending) {
    size_t n = strlen(text);
    size_t k = strlen(ending);
    return n > k && strcasecmp(text + n - k, ending) == 0;
}

bool pmi_matrix_is_path(const char *text) {
    return ends_with(text, ".csv") || ends_with(text, ".npy");
}

pm_status pmi_matrix_read(const char *text, pm_matrix *out, pm_error *err) {
    if (!pmi_matrix_is_path(text)) {
        return pmi_matrix_parse_inline(text, out, err);
    }
    pm_buffer bytes = {0};
    pm_status st = pmi_file_read(text, &bytes, err);
    if (st == PM_OK) {
        st = ends_with(text, ".npy") ? pmi_matrix_parse_npy(bytes.bytes, bytes.size, out, err)
                                     : pmi_matrix_parse_csv(bytes.bytes, bytes.size, out, err);
        st = st == PM_OK ? PM_OK : pmi_fail_prefix(err, "file \"%s\"", text);
    }
    pmi_buffer_free(&bytes);
    return st;
}

/* ---- NumPy's array file: magic, version, a header that is a Python dictionary of three keys, then the values ---- */

/* Integers beyond this are not all doubles. */
#define EXACT_INTEGER ((uint64_t)1 << 53)

typedef struct npy_header {
    char kind; /* 'f', 'i', 'u' */
    size_t width;
    bool is_big_endian, is_fortran;
    size_t n_dims;
    size_t dims[2];
    bool has_descr, has_order, has_shape;
} npy_header;

typedef struct reader {
    const uint8_t *bytes;
    size_t size; /* end of the header */
    size_t at;
    pm_error *err;
} reader;

static pm_status header_fault(reader *r, const char *expected) {
    return pmi_fail(r->err, PM_EDATA, "byte %zu of the .npy header: expected %s", r->at, expected);
}

static void skip_blanks(reader *r) {
    while (r->at < r->size && (r->bytes[r->at] == ' ' || r->bytes[r->at] == '\n')) {
        r->at++;
    }
}

static bool take(reader *r, char c) {
    skip_blanks(r);
    if (r->at < r->size && r->bytes[r->at] == (uint8_t)c) {
        r->at++;
        return true;
    }
    return false;
}

static bool take_word(reader *r, const char *word) {
    size_t n = strlen(word);
    skip_blanks(r);
    if (r->size - r->at >= n && memcmp(r->bytes + r->at, word, n) == 0) {
        r->at += n;
        return true;
    }
    return false;
}

/* A quoted string of at most 15 characters, without escapes. */
static bool take_string(reader *r, char text[16]) {
    char quote = take(r, '\'') ? '\'' : '"';
    if (quote == '"' && !take(r, '"')) {
        return false;
    }
    for (size_t n = 0; n < 16 && r->at < r->size; n++) {
        char c = (char)r->bytes[r->at++];
        if (c == quote) {
            text[n] = '\0';
            return true;
        }
        text[n] = c;
    }
    return false;
}

static pm_status read_descr(reader *r, npy_header *h) {
    char text[16];
    skip_blanks(r);
    size_t start = r->at;
    if (!take_string(r, text) || strlen(text) != 3 || strchr("<>|=", text[0]) == NULL) {
        r->at = start;
        return header_fault(r, "a plain type of one number, such as '<f8'");
    }
    h->kind = text[1];
    h->width = (size_t)(text[2] - '0');
    h->is_big_endian = text[0] == '>';
    bool is_known = h->kind == 'f' ? h->width == 4 || h->width == 8
                                   : (h->kind == 'i' || h->kind == 'u') &&
                                         (h->width == 1 || h->width == 2 || h->width == 4 || h->width == 8);
    if (!is_known || (text[0] == '|' && h->width != 1)) {
        return pmi_fail(r->err, PM_EDATA,
                        "type '%s' in the .npy header: expected float64, float32 or integers (save with "
                        "numpy.asarray(x, dtype=float))",
                        text);
    }
    return PM_OK;
}

static pm_status read_dim(reader *r, size_t *out) {
    skip_blanks(r);
    size_t start = r->at, value = 0;
    while (r->at < r->size && r->bytes[r->at] >= '0' && r->bytes[r->at] <= '9') {
        size_t digit = (size_t)(r->bytes[r->at] - '0');
        if (!pmi_mul(value, 10, &value) || !pmi_add(value, digit, &value)) {
            return header_fault(r, "a shape that fits this machine");
        }
        r->at++;
    }
    *out = value;
    return r->at > start ? PM_OK : header_fault(r, "a whole number of the shape");
}

static pm_status read_shape(reader *r, npy_header *h) {
    if (!take(r, '(')) {
        return header_fault(r, "'(' of the shape");
    }
    while (!take(r, ')')) {
        if (h->n_dims == 2) {
            return pmi_fail(r->err, PM_EDATA, "the array has more than 2 dimensions, expected rows and columns");
        }
        PM_TRY(read_dim(r, &h->dims[h->n_dims]));
        h->n_dims++;
        if (!take(r, ',') && !(r->at < r->size && r->bytes[r->at] == ')')) {
            return header_fault(r, "',' or ')' in the shape");
        }
    }
    if (h->n_dims == 0) {
        return pmi_fail(r->err, PM_EDATA,
                        "the array is a single number without dimensions, expected 1 or 2 dimensions");
    }
    return PM_OK;
}

static pm_status read_order(reader *r, npy_header *h) {
    h->is_fortran = take_word(r, "True");
    return h->is_fortran || take_word(r, "False") ? PM_OK : header_fault(r, "True or False for 'fortran_order'");
}

static pm_status read_entry(reader *r, npy_header *h) {
    char key[16];
    if (!take_string(r, key) || !take(r, ':')) {
        return header_fault(r, "a key and ':'");
    }
    bool *seen = strcmp(key, "descr") == 0           ? &h->has_descr
                 : strcmp(key, "fortran_order") == 0 ? &h->has_order
                 : strcmp(key, "shape") == 0         ? &h->has_shape
                                                     : NULL;
    if (seen == NULL || *seen) {
        return header_fault(r, "'descr', 'fortran_order' and 'shape', each once");
    }
    *seen = true;
    if (seen == &h->has_shape) {
        return read_shape(r, h);
    }
    return seen == &h->has_descr ? read_descr(r, h) : read_order(r, h);
}

static pm_status read_dictionary(reader *r, npy_header *h) {
    if (!take(r, '{')) {
        return header_fault(r, "'{'");
    }
    while (!take(r, '}')) {
        PM_TRY(read_entry(r, h));
        if (!take(r, ',') && !(r->at < r->size && r->bytes[r->at] == '}')) {
            return header_fault(r, "',' or '}'");
        }
    }
    skip_blanks(r);
    if (!h->has_descr || !h->has_order || !h->has_shape || r->at != r->size) {
        return header_fault(r, "'descr', 'fortran_order', 'shape', then blanks up to the values");
    }
    return PM_OK;
}

/* Finds where the header's text begins and ends. */
static pm_status find_header(const uint8_t *bytes, size_t n, size_t *start, size_t *end, pm_error *err) {
    if (n < 10 || memcmp(bytes, "\x93NUMPY", 6) != 0) {
        return pmi_fail(err, PM_EDATA, "byte 0: expected the magic bytes of a .npy file (save with numpy.save)");
    }
    if (bytes[6] < 1 || bytes[6] > 3) {
        return pmi_fail(err, PM_EDATA, "byte 6: .npy version %u, expected 1, 2 or 3", bytes[6]);
    }
    size_t length_bytes = bytes[6] == 1 ? 2 : 4;
    *start = 8 + length_bytes;
    size_t length = 0;
    for (size_t i = 0; i < length_bytes && n >= *start; i++) {
        length |= (size_t)bytes[8 + i] << (8 * i);
    }
    if (n < *start || length > n - *start) {
        return pmi_fail(err, PM_EDATA, "byte 8: a .npy header of %zu bytes in a file of %zu bytes", length, n);
    }
    *end = *start + length;
    return PM_OK;
}

static uint64_t load_bits(const uint8_t *bytes, size_t width, bool is_big_endian) {
    uint64_t bits = 0;
    for (size_t i = 0; i < width; i++) {
        size_t shift = 8 * (is_big_endian ? width - 1 - i : i);
        bits |= (uint64_t)bytes[i] << shift;
    }
    return bits;
}

/* False when the value is not finite or has no exact double. */
static bool load_value(const npy_header *h, const uint8_t *bytes, double *out) {
    uint64_t bits = load_bits(bytes, h->width, h->is_big_endian);
    if (h->kind == 'f' && h->width == 8) {
        memcpy(out, &bits, sizeof *out);
        return isfinite(*out);
    }
    if (h->kind == 'f') {
        uint32_t low = (uint32_t)bits;
        float narrow;
        memcpy(&narrow, &low, sizeof narrow);
        *out = (double)narrow;
        return isfinite(*out);
    }
    uint64_t sign = (uint64_t)1 << (8 * h->width - 1);
    bool is_negative = h->kind == 'i' && (bits & sign) != 0;
    uint64_t magnitude = is_negative ? (sign - 1 - (bits & (sign - 1))) + 1 : bits;
    *out = is_negative ? -(double)magnitude : (double)magnitude;
    return magnitude <= EXACT_INTEGER;
}

static pm_status load_values(const npy_header *h, const uint8_t *bytes, pm_matrix *out, pm_error *err) {
    for (size_t r = 0; r < out->rows; r++) {
        for (size_t c = 0; c < out->cols; c++) {
            size_t at = h->is_fortran ? c * out->rows + r : r * out->cols + c;
            if (!load_value(h, bytes + at * h->width, &out->data[r * out->cols + c])) {
                return pmi_fail(err, PM_EDATA, "row %zu, column %zu: expected a finite number that a double can hold",
                                r, c);
            }
        }
    }
    return PM_OK;
}

pm_status pmi_matrix_parse_npy(const uint8_t *bytes, size_t n, pm_matrix *out, pm_error *err) {
    size_t start = 0, end = 0;
    PM_TRY(find_header(bytes, n, &start, &end, err));
    npy_header h = {0};
    reader r = {.bytes = bytes, .size = end, .at = start, .err = err};
    PM_TRY(read_dictionary(&r, &h));
    pm_matrix matrix = {.rows = h.n_dims == 1 ? 1 : h.dims[0], .cols = h.n_dims == 1 ? h.dims[0] : h.dims[1]};
    size_t count, size;
    if (!pmi_mul(matrix.rows, matrix.cols, &count) || !pmi_mul(count, h.width, &size) || size != n - end) {
        return pmi_fail(err, PM_EDATA, "byte %zu: expected %zu x %zu values of %zu bytes, found %zu bytes", end,
                        matrix.rows, matrix.cols, h.width, n - end);
    }
    PM_TRY(PM_NEW(&matrix.data, count, "a matrix of numbers", err));
    pm_status st = load_values(&h, bytes + end, &matrix, err);
    if (st != PM_OK) {
        pmi_matrix_free(&matrix);
        return st;
    }
    *out = matrix;
    return PM_OK;
}
