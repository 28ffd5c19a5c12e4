/* NumPy's array file: magic, version, a header that is a Python dictionary of three keys, then the values.
 * Format: NumPy Enhancement Proposal 1 and numpy.lib.format. */
#include <math.h>
#include <string.h>

#include "base/matrix.h"
#include "base/mem.h"

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
