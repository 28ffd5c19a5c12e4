#include "base/number.h"

#include <locale.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"

static size_t count_digits(const char *text, size_t n, size_t at) {
    size_t start = at;
    while (at < n && text[at] >= '0' && text[at] <= '9') {
        at++;
    }
    return at - start;
}

static size_t skip_sign(const char *text, size_t n, size_t at) {
    return at < n && (text[at] == '+' || text[at] == '-') ? at + 1 : at;
}

/* Bytes of the number at the start of `text`; 0 when there is none. */
static size_t decimal_length(const char *text, size_t n) {
    size_t at = skip_sign(text, n, 0);
    size_t whole = count_digits(text, n, at);
    at += whole;
    size_t fraction = 0;
    if (at < n && text[at] == '.') {
        fraction = count_digits(text, n, at + 1);
        at += 1 + fraction;
    }
    if (whole + fraction == 0) {
        return 0;
    }
    if (at < n && (text[at] == 'e' || text[at] == 'E')) {
        size_t digits_at = skip_sign(text, n, at + 1);
        size_t exponent = count_digits(text, n, digits_at);
        return exponent == 0 ? 0 : digits_at + exponent;
    }
    return at;
}

static bool has_nonzero_mantissa(const char *text) {
    return strcspn(text, "123456789") < strcspn(text, "eE");
}

pm_number_fault pmi_number_parse(const char *text, size_t n, double *out) {
    if (n == 0 || n > PM_NUMBER_TEXT || decimal_length(text, n) != n) {
        return PM_NUMBER_SYNTAX;
    }
    char copy[PM_NUMBER_TEXT + 1];
    memcpy(copy, text, n);
    copy[n] = '\0';
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (c_locale == (locale_t)0) {
        return PM_NUMBER_SYNTAX;
    }
    double value = strtod_l(copy, NULL, c_locale);
    freelocale(c_locale);
    if (!isfinite(value) || (value == 0 && has_nonzero_mantissa(copy))) {
        return PM_NUMBER_RANGE;
    }
    *out = value;
    return PM_NUMBER_OK;
}

const char *pmi_number_expected(pm_number_fault fault) {
    return fault == PM_NUMBER_RANGE ? "a number that a double can hold" : "a decimal number";
}

/* Reads digits; returns what follows them, NULL when there are none or they overflow. */
static const char *read_digits(const char *text, size_t *out) {
    const char *at = text;
    size_t value = 0;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (!pmi_mul(value, 10, &value) || !pmi_add(value, (size_t)(*at - '0'), &value)) {
            return NULL;
        }
    }
    *out = value;
    return at == text ? NULL : at;
}

bool pmi_count_parse(const char *text, size_t *out) {
    size_t value;
    const char *rest = read_digits(text, &value);
    if (rest == NULL || *rest != '\0') {
        return false;
    }
    *out = value;
    return true;
}

bool pmi_bytes_parse(const char *text, size_t *out) {
    static const char suffixes[] = "KMGT";
    size_t value;
    const char *rest = read_digits(text, &value);
    unsigned shift = 0;
    if (rest != NULL && *rest != '\0') {
        const char *suffix = strchr(suffixes, *rest);
        shift = suffix == NULL ? 0 : 10 * (unsigned)(suffix - suffixes + 1);
        rest = suffix == NULL ? NULL : rest + 1;
    }
    return rest != NULL && *rest == '\0' && pmi_mul(value, (size_t)1 << shift, out);
}
