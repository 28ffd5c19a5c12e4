#include "support/json_writer.h"

#include <math.h>
#include <string.h>

#include "base/utf8.h"

static void separate(cli_json *j) {
    if (j->needs_comma) {
        cli_out_text(j->out, ", ");
    }
    j->needs_comma = true;
}

void cli_json_open(cli_json *j, char bracket) {
    separate(j);
    cli_out_bytes(j->out, &bracket, 1);
    j->needs_comma = false;
}

void cli_json_close(cli_json *j, char bracket) {
    cli_out_bytes(j->out, &bracket, 1);
    j->needs_comma = true;
}

/* What could steer a terminal is escaped, though JSON asks for that of ASCII's controls only. */
static void write_quoted(cli_json *j, const char *text, size_t n) {
    cli_out_text(j->out, "\"");
    for (size_t at = 0, length; at < n; at += length == 0 ? 1 : length) {
        uint32_t code = pmi_utf8_steers(text + at, n - at, &length);
        if (length == 0) {
            cli_out_text(j->out, "\\ufffd");
        } else if (code != 0) {
            cli_out_format(j->out, "\\u%04x", (unsigned)code);
        } else {
            cli_out_text(j->out, text[at] == '"' || text[at] == '\\' ? "\\" : "");
            cli_out_bytes(j->out, text + at, length);
        }
    }
    cli_out_text(j->out, "\"");
}

cli_json *cli_json_key(cli_json *j, const char *key) {
    separate(j);
    write_quoted(j, key, strlen(key));
    cli_out_text(j->out, ": ");
    j->needs_comma = false;
    return j;
}

void cli_json_number(cli_json *j, double value) {
    separate(j);
    if (isfinite(value)) {
        cli_out_format(j->out, "%.17g", value);
    } else {
        cli_out_text(j->out, "null");
    }
}

void cli_json_count(cli_json *j, uint64_t value) {
    separate(j);
    cli_out_format(j->out, "%llu", (unsigned long long)value);
}

void cli_json_string(cli_json *j, const char *text) {
    separate(j);
    write_quoted(j, text, strlen(text));
}

void cli_json_text(cli_json *j, const char *text) {
    if (text != NULL) {
        cli_json_string(j, text);
        return;
    }
    separate(j);
    cli_out_text(j->out, "null");
}

void cli_json_span(cli_json *j, const char *text, size_t n) {
    separate(j);
    write_quoted(j, text, n);
}

void cli_json_hex(cli_json *j, const void *bytes, size_t n) {
    static const char digits[] = "0123456789abcdef";
    const uint8_t *at = bytes;
    separate(j);
    cli_out_text(j->out, "\"");
    for (size_t i = 0; i < n; i++) {
        const char pair[2] = {digits[at[i] >> 4], digits[at[i] & 15]};
        cli_out_bytes(j->out, pair, sizeof pair);
    }
    cli_out_text(j->out, "\"");
}

void cli_json_integer(cli_json *j, int64_t value) {
    separate(j);
    cli_out_format(j->out, "%lld", (long long)value);
}

void cli_json_bool(cli_json *j, bool value) {
    separate(j);
    cli_out_text(j->out, value ? "true" : "false");
}

/* Brackets that open before element i, and close after it, follow from the dimensions it is the first or last of. */
static size_t dims_at_edge(size_t index, size_t n_dims, const size_t *dims) {
    size_t size = 1;
    size_t edges = 0;
    for (size_t d = n_dims; d > 0; d--) {
        size *= dims[d - 1];
        if (index % size != 0) {
            break;
        }
        edges++;
    }
    return edges;
}

/* An array with an empty dimension: the brackets above it, and empty ones for each of its places. */
static void write_hollow(cli_json *j, size_t n_dims, const size_t *dims) {
    size_t places = 1;
    size_t d = 0;
    for (; d < n_dims && dims[d] != 0; d++) {
        places *= dims[d];
    }
    for (size_t i = 0; i < places; i++) {
        for (size_t e = dims_at_edge(i, d, dims); e > 0; e--) {
            cli_json_open(j, '[');
        }
        cli_json_open(j, '[');
        cli_json_close(j, ']');
        for (size_t e = dims_at_edge(i + 1, d, dims); e > 0; e--) {
            cli_json_close(j, ']');
        }
    }
}

void cli_json_array(cli_json *j, const double *values, size_t n_dims, const size_t *dims) {
    size_t total = 1;
    for (size_t d = 0; d < n_dims; d++) {
        total *= dims[d];
    }
    if (total == 0) {
        write_hollow(j, n_dims, dims);
        return;
    }
    for (size_t i = 0; i < total; i++) {
        for (size_t e = dims_at_edge(i, n_dims, dims); e > 0; e--) {
            cli_json_open(j, '[');
        }
        cli_json_number(j, values[i]);
        for (size_t e = dims_at_edge(i + 1, n_dims, dims); e > 0; e--) {
            cli_json_close(j, ']');
        }
    }
}
