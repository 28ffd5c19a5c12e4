/* Matrices as text: numbers written out on a command line, and comma-separated files. Those of NumPy: matrix_npy.c. */
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
    if (!pmi_reserve((void **)&t->data, &t->capacity, t->size + 1, sizeof *t->data)) {
        return pmi_fail_memory(err, "a matrix of numbers", t->size * sizeof *t->data);
    }
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
