#include "model/data.h"

#include <math.h>
#include <string.h>

#include "base/number.h"
#include "base/utf8.h"

static double upper_of(const pm_observations *o, size_t i) {
    return o->upper == NULL ? o->time[i] : o->upper[i];
}

static double count_of(const pm_observations *o, size_t i) {
    return o->count == NULL ? 1.0 : o->count[i];
}

/* `first` is the number of the first of them. */
static pm_status check(const pm_observations *o, size_t first, pm_error *err) {
    for (size_t i = 0; i < o->n; i++) {
        double time = o->time[i], upper = upper_of(o, i), count = count_of(o, i);
        if (!(isfinite(time) && time >= 0)) {
            return pmi_fail(err, PM_EDATA, "observation %zu: time %g, expected a finite number, 0 or more", first + i,
                            time);
        }
        if (!(upper >= time)) {
            return pmi_fail(err, PM_EDATA, "observation %zu: upper %g, expected at least its time, %g", first + i,
                            upper, time);
        }
        if (!(isfinite(count) && count >= 0)) {
            return pmi_fail(err, PM_EDATA, "observation %zu: count %g, expected a finite number, 0 or more", first + i,
                            count);
        }
    }
    return PM_OK;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static size_t distinct(double *times, size_t n) {
    size_t kept = 0;
    qsort(times, n, sizeof *times, by_value);
    for (size_t i = 0; i < n; i++) {
        if (kept == 0 || times[i] != times[kept - 1]) {
            times[kept++] = times[i];
        }
    }
    return kept;
}

static size_t find(const pm_data *data, double time) {
    const double *at = bsearch(&time, data->times, data->n_times, sizeof time, by_value);
    return at == NULL ? SIZE_MAX : (size_t)(at - data->times);
}

static int by_what(const void *a, const void *b) {
    const pm_observation *x = a, *y = b;
    if (x->kind != y->kind) {
        return x->kind < y->kind ? -1 : 1;
    }
    if (x->lower != y->lower) {
        return x->lower < y->lower ? -1 : 1;
    }
    if (x->upper != y->upper) {
        return x->upper < y->upper ? -1 : 1;
    }
    return (x->number > y->number) - (x->number < y->number);
}

static void add_observations(const pm_observations *o, pm_data *data) {
    for (size_t i = 0; i < o->n; i++) {
        double upper = upper_of(o, i);
        if (count_of(o, i) == 0) {
            continue;
        }
        pm_observed kind = upper == o->time[i] ? PM_OBSERVED_TIME
                           : isfinite(upper)   ? PM_OBSERVED_INTERVAL
                                               : PM_OBSERVED_LATER;
        data->observations[data->n++] = (pm_observation){.kind = kind,
                                                         .lower = find(data, o->time[i]),
                                                         .upper = isfinite(upper) ? find(data, upper) : 0,
                                                         .count = count_of(o, i),
                                                         .number = i};
        *(kind == PM_OBSERVED_TIME ? &data->has_exact : &data->has_censored) = true;
    }
}

/* Equal ones become one, of the sum of their counts. */
static pm_status put_together(pm_data *data, pm_error *err) {
    size_t kept = 0;
    qsort(data->observations, data->n, sizeof *data->observations, by_what);
    for (size_t i = 0; i < data->n; i++) {
        pm_observation *last = kept == 0 ? NULL : &data->observations[kept - 1], *now = &data->observations[i];
        if (last != NULL && last->kind == now->kind && last->lower == now->lower && last->upper == now->upper) {
            last->count += now->count;
            if (!isfinite(last->count)) {
                return pmi_fail(err, PM_EDATA, "observation %zu: the counts of all that equal it leave the doubles",
                                last->number);
            }
        } else {
            data->observations[kept++] = *now;
        }
    }
    data->n = kept;
    return PM_OK;
}

static pm_status lay_out(const pm_observations *o, pm_data *data, pm_error *err) {
    size_t most = 0;
    bool fits = pmi_mul(o->n, 2, &most);
    data->n_given = o->n;
    data->times = pmi_pool_array(&data->pool, fits ? most : SIZE_MAX, sizeof *data->times);
    data->observations = pmi_pool_array(&data->pool, o->n, sizeof *data->observations);
    PM_TRY(pmi_pool_check(&data->pool, err, "observations", o->n * sizeof *data->observations));
    for (size_t i = 0; i < o->n; i++) {
        if (count_of(o, i) > 0) {
            data->times[data->n_times++] = o->time[i] + 0.0; /* no -0 */
            if (isfinite(upper_of(o, i))) {
                data->times[data->n_times++] = upper_of(o, i) + 0.0;
            }
        }
    }
    data->n_times = distinct(data->times, data->n_times);
    add_observations(o, data);
    return put_together(data, err);
}

pm_status pm_data_new(const pm_observations *observations, pm_data **out, pm_error *err) {
    *out = NULL;
    PM_TRY(check(observations, 0, err));
    pm_data *data = pmi_calloc(1, sizeof *data);
    if (data == NULL) {
        return pmi_fail_memory(err, "observations", sizeof *data);
    }
    pm_status st = lay_out(observations, data, err);
    if (st == PM_OK) {
        *out = data;
    } else {
        pm_data_free(data);
    }
    return st;
}

void pm_data_free(pm_data *data) {
    if (data != NULL) {
        pmi_pool_free(&data->pool);
        free(data);
    }
}

size_t pm_data_n_observations(const pm_data *data) {
    return data->n_given;
}

/* ---- files ---- */

enum { COLUMN_TIME, COLUMN_UPPER, COLUMN_COUNT, COLUMNS };

static const char *const column_names[COLUMNS] = {"time", "upper", "count"};

typedef struct text {
    const char *at;
    size_t n;
} text;

/* The columns of a file as they stand in it, and the values read so far. */
typedef struct table {
    size_t line; /* from 1 */
    size_t n_columns;
    int column[COLUMNS]; /* what each column of the file is */
    bool has[COLUMNS];
    double *values[COLUMNS];
    size_t n, capacity[COLUMNS];
} table;

static text trimmed(text t) {
    while (t.n > 0 && (*t.at == ' ' || *t.at == '\t')) {
        t.at++;
        t.n--;
    }
    while (t.n > 0 && (t.at[t.n - 1] == ' ' || t.at[t.n - 1] == '\t' || t.at[t.n - 1] == '\r')) {
        t.n--;
    }
    return t;
}

/* Takes what comes before `separator`, or the rest, from the front of `from`; false when nothing is left. */
static bool take(text *from, char separator, text *out) {
    if (from->at == NULL) {
        return false;
    }
    const char *end = from->n > 0 ? memchr(from->at, separator, from->n) : NULL;
    *out = (text){from->at, end != NULL ? (size_t)(end - from->at) : from->n};
    *from = end != NULL ? (text){end + 1, from->n - out->n - 1} : (text){NULL, 0};
    *out = trimmed(*out);
    return true;
}

static pm_status read_header(table *t, text line, pm_error *err) {
    text name;
    while (take(&line, ',', &name)) {
        int found = COLUMNS;
        for (int c = 0; c < COLUMNS; c++) {
            if (strlen(column_names[c]) == name.n && memcmp(column_names[c], name.at, name.n) == 0) {
                found = c;
            }
        }
        if (found == COLUMNS || t->has[found]) {
            return pmi_fail(
                err, PM_EDATA,
                "line %zu, column %zu: expected a header with the columns time and, where wanted, upper and "
                "count, each once",
                t->line, t->n_columns + 1);
        }
        t->has[found] = true;
        t->column[t->n_columns++] = found;
    }
    return t->has[COLUMN_TIME] ? PM_OK : pmi_fail(err, PM_EDATA, "line %zu: there is no column time", t->line);
}

/* Whether an upper end is infinite: nothing, inf, or infinity, in any case. */
static bool is_infinite(text value) {
    static const char *const words[] = {"", "inf", "infinity", "+inf"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        bool same = strlen(words[i]) == value.n;
        for (size_t k = 0; same && k < value.n; k++) {
            same = (value.at[k] | 0x20) == (words[i][k] | 0x20);
        }
        if (same) {
            return true;
        }
    }
    return false;
}

static pm_status read_value(const table *t, size_t at, text value, double *out, pm_error *err) {
    if (t->column[at] == COLUMN_UPPER && is_infinite(value)) {
        *out = INFINITY;
        return PM_OK;
    }
    pm_number_fault fault = pmi_number_parse(value.at, value.n, out);
    if (fault == PM_NUMBER_OK) {
        return PM_OK;
    }
    return pmi_fail(err, PM_EDATA, "line %zu, column %zu (%s): expected %s", t->line, at + 1,
                    column_names[t->column[at]], pmi_number_expected(fault));
}

/* The row that was read last is an observation. */
static pm_status check_row(table *t, pm_error *err) {
    size_t at = t->n++;
    const pm_observations row = {.n = 1,
                                 .time = t->values[COLUMN_TIME] + at,
                                 .upper = t->has[COLUMN_UPPER] ? t->values[COLUMN_UPPER] + at : NULL,
                                 .count = t->has[COLUMN_COUNT] ? t->values[COLUMN_COUNT] + at : NULL};
    return check(&row, at, err) == PM_OK ? PM_OK : pmi_fail_prefix(err, "line %zu", t->line);
}

static pm_status read_row(table *t, text line, pm_error *err) {
    text value;
    size_t at = 0;
    for (int c = 0; c < COLUMNS; c++) {
        PM_TRY(PM_GROW(&t->values[c], &t->capacity[c], t->n + 1, "observations", err));
    }
    while (take(&line, ',', &value)) {
        if (at == t->n_columns) {
            return pmi_fail(err, PM_EDATA, "line %zu: more than the %zu columns of the header", t->line, t->n_columns);
        }
        PM_TRY(read_value(t, at, value, &t->values[t->column[at]][t->n], err));
        at++;
    }
    if (at < t->n_columns) {
        return pmi_fail(err, PM_EDATA, "line %zu: %zu columns, expected %zu, as the header has", t->line, at,
                        t->n_columns);
    }
    return check_row(t, err);
}

static pm_status read_table(table *t, const uint8_t *bytes, size_t n, pm_error *err) {
    PM_TRY(pmi_utf8_check_mark(bytes, n, err));
    size_t mark = pmi_utf8_has_mark(bytes, n) ? PM_UTF8_MARK_BYTES : 0;
    text rest = {(const char *)bytes + mark, n - mark}, line;
    if (n > mark && rest.at[rest.n - 1] == '\n') {
        rest.n--;
    }
    if (n == mark) {
        return pmi_fail(err, PM_EDATA, "the file is empty: there is no column time");
    }
    for (t->line = 1; take(&rest, '\n', &line); t->line++) {
        if (t->line == 1) {
            PM_TRY(read_header(t, line, err));
        } else {
            PM_TRY(read_row(t, line, err));
        }
    }
    return PM_OK;
}

pm_status pmi_data_parse(const uint8_t *bytes, size_t n, pm_data **out, pm_error *err) {
    table t = {0};
    *out = NULL;
    pm_status st = read_table(&t, bytes, n, err);
    const pm_observations observations = {.n = t.n,
                                          .time = t.values[COLUMN_TIME],
                                          .upper = t.has[COLUMN_UPPER] ? t.values[COLUMN_UPPER] : NULL,
                                          .count = t.has[COLUMN_COUNT] ? t.values[COLUMN_COUNT] : NULL};
    PM_THEN(st, pm_data_new(&observations, out, err));
    for (int c = 0; c < COLUMNS; c++) {
        free(t.values[c]);
    }
    return st;
}

pm_status pm_data_load(const char *path, pm_data **out, pm_error *err) {
    pm_buffer bytes = {0};
    *out = NULL;
    pm_status st = pmi_file_read(path, &bytes, err);
    if (st == PM_OK) {
        st = pmi_data_parse(bytes.bytes, bytes.size, out, err);
        st = st == PM_OK ? PM_OK : pmi_fail_prefix(err, "file \"%s\"", path);
    }
    pmi_buffer_free(&bytes);
    return st;
}
