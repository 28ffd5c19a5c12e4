/* JSON by yajl's stream parser. yajl does not check its own allocations: it is given allocators that leave it by
 * longjmp when memory is out, and that keep a list of the blocks, so that all of them are freed then. */
#include <errno.h>
#include <locale.h>
#include <setjmp.h>
#include <stdalign.h>
#include <string.h>
#include <yajl/yajl_parse.h>

#include "base/mem.h"
#include "codec/events.h"

#define CHUNK ((size_t)65536)
/* the longest exact decimal form of a double has 1,077 characters */
#define NUMBER_LENGTH 1100

typedef struct ring {
    struct ring *prev, *next;
} ring;

typedef struct block {
    ring ring;
    alignas(max_align_t) unsigned char bytes[];
} block;

typedef struct json_reader {
    const pm_source *source;
    const pm_event_sink *sink;
    pm_error *err;
    pm_status st; /* of the sink */
    unsigned depth;
    bool has_begun;    /* an array or a map was opened: at depth 0 again, the document is over */
    locale_t c_locale; /* decimal points whatever the program's locale is */
    yajl_handle yajl;
    ring ring; /* head of the ring of yajl's allocations */
    jmp_buf out_of_memory;
    size_t wanted; /* bytes that were not to be had */
    uint8_t *chunk;
    uint64_t before; /* bytes read before the chunk */
} json_reader;

/* ---- yajl's memory ------------------------------------------------------------------------------------- */

static void *give_up(json_reader *j, size_t size) {
    j->wanted = size;
    longjmp(j->out_of_memory, 1);
}

static void enter_ring(json_reader *j, ring *l) {
    l->next = &j->ring;
    l->prev = j->ring.prev;
    l->prev->next = l;
    l->next->prev = l;
}

static void leave_ring(ring *l) {
    l->prev->next = l->next;
    l->next->prev = l->prev;
}

static void *take(void *ctx, size_t size) {
    json_reader *j = ctx;
    size_t bytes;
    block *b = pmi_add(size, sizeof *b, &bytes) ? malloc(bytes) : NULL;
    if (b == NULL) {
        return give_up(j, size);
    }
    enter_ring(j, &b->ring);
    return b->bytes;
}

static void give(void *ctx, void *pointer) {
    (void)ctx;
    if (pointer != NULL) {
        block *b = (block *)((unsigned char *)pointer - offsetof(block, bytes));
        leave_ring(&b->ring);
        free(b);
    }
}

static void *retake(void *ctx, void *pointer, size_t size) {
    json_reader *j = ctx;
    if (pointer == NULL) {
        return take(ctx, size);
    }
    block *b = (block *)((unsigned char *)pointer - offsetof(block, bytes));
    size_t bytes;
    leave_ring(&b->ring);
    block *moved = pmi_add(size, sizeof *b, &bytes) ? realloc(b, bytes) : NULL;
    if (moved == NULL) {
        enter_ring(j, &b->ring);
        return give_up(j, size);
    }
    enter_ring(j, &moved->ring);
    return moved->bytes;
}

/* ---- yajl's callbacks: 1 goes on, 0 stops -------------------------------------------------------------- */

static int keep(json_reader *j, pm_status st) {
    j->st = st;
    return st == PM_OK;
}

static int on_null(void *ctx) {
    json_reader *j = ctx;
    return keep(j, j->sink->null(j->sink->ctx, j->err));
}

static int on_boolean(void *ctx, int value) {
    json_reader *j = ctx;
    return keep(j, j->sink->boolean(j->sink->ctx, value != 0, j->err));
}

static int on_string(void *ctx, const unsigned char *text, size_t n) {
    json_reader *j = ctx;
    return keep(j, j->sink->string(j->sink->ctx, (const char *)text, n, j->err));
}

static int on_key(void *ctx, const unsigned char *text, size_t n) {
    json_reader *j = ctx;
    return keep(j, j->sink->key(j->sink->ctx, (const char *)text, n, j->err));
}

static int open(json_reader *j, bool is_map) {
    if (j->depth == PM_EVENT_DEPTH) {
        return keep(j, pmi_fail(j->err, PM_EDATA, "arrays and maps are nested deeper than %d", PM_EVENT_DEPTH));
    }
    j->depth++;
    j->has_begun = true;
    return keep(j, j->sink->open(j->sink->ctx, is_map, j->err));
}

static int close(json_reader *j, bool is_map) {
    j->depth--;
    return keep(j, j->sink->close(j->sink->ctx, is_map, j->err));
}

static int on_begin_map(void *ctx) {
    return open(ctx, true);
}

static int on_end_map(void *ctx) {
    return close(ctx, true);
}

static int on_begin_array(void *ctx) {
    return open(ctx, false);
}

static int on_end_array(void *ctx) {
    return close(ctx, false);
}

/* ---- numbers ------------------------------------------------------------------------------------------- */

typedef struct decimal {
    bool negative;
    bool is_short; /* digits and perhaps a point, so few that `digits` holds them exactly */
    bool has_point;
    unsigned fraction; /* digits behind the point */
    int64_t digits;
} decimal;

static decimal scan_decimal(const char *text, size_t n) {
    decimal d = {.negative = text[0] == '-'};
    size_t start = d.negative ? 1 : 0;
    if (n - start > 18) {
        return d;
    }
    for (size_t i = start; i < n; i++) {
        if (text[i] == '.') {
            d.has_point = true;
        } else if (text[i] >= '0' && text[i] <= '9') {
            d.digits = d.digits * 10 + (text[i] - '0');
            d.fraction += d.has_point;
        } else {
            return d;
        }
    }
    d.is_short = true;
    return d;
}

static pm_status long_number(json_reader *j, const char *text, size_t n) {
    char copy[NUMBER_LENGTH + 1];
    if (n > NUMBER_LENGTH) {
        return pmi_fail(j->err, PM_EDATA, "a number of %zu characters; expected at most %d", n, NUMBER_LENGTH);
    }
    memcpy(copy, text, n);
    copy[n] = '\0';
    size_t mantissa = strcspn(copy, "eE");
    if (mantissa == n && memchr(copy, '.', n) == NULL) {
        errno = 0;
        long long value = strtoll(copy, NULL, 10);
        if (errno == 0 && (value != 0 || copy[0] != '-')) {
            return j->sink->integer(j->sink->ctx, value, j->err);
        }
    }
    double value = strtod_l(copy, NULL, j->c_locale);
    if (value == 0.0 && strcspn(copy, "123456789") < mantissa) {
        return pmi_fail(j->err, PM_EDATA, "the number %.40s is nearer to zero than any double but zero", copy);
    }
    return j->sink->real(j->sink->ctx, value, j->err);
}

/* Nearly all numbers of a graph are short: digits below 2^53 and a power of ten up to 10^22 are doubles, so that
 * one division rounds once, which is what strtod would give. */
static int on_number(void *ctx, const char *text, size_t n) {
    static const double tens[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8, 1e9,
                                  1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18};
    json_reader *j = ctx;
    decimal d = scan_decimal(text, n);
    if (d.is_short && !d.has_point && (d.digits != 0 || !d.negative)) {
        return keep(j, j->sink->integer(j->sink->ctx, d.negative ? -d.digits : d.digits, j->err));
    }
    if (d.is_short && d.digits <= (int64_t)1 << 53) {
        double value = (double)d.digits / tens[d.fraction];
        return keep(j, j->sink->real(j->sink->ctx, d.negative ? -value : value, j->err));
    }
    return keep(j, long_number(j, text, n));
}

/* ---- reading ------------------------------------------------------------------------------------------- */

static pm_status at_byte(json_reader *j, uint64_t byte, pm_status st) {
    if (j->err != NULL) {
        pmi_fail_prefix(j->err, "byte %llu", (unsigned long long)byte);
    }
    return st;
}

/* The byte at which yajl stopped, which lies before or at the end of what it has consumed. */
static bool is_at(const json_reader *j, size_t consumed, size_t chunk_size, char c) {
    return (consumed < chunk_size && j->chunk[consumed] == (uint8_t)c) ||
           (consumed > 0 && consumed <= chunk_size && j->chunk[consumed - 1] == (uint8_t)c);
}

static pm_status parse_failed(json_reader *j, yajl_status status, size_t chunk_size, bool at_end) {
    size_t consumed = at_end ? 0 : yajl_get_bytes_consumed(j->yajl);
    if (status == yajl_status_client_canceled) {
        return at_byte(j, j->before + consumed, j->st);
    }
    unsigned char *text = yajl_get_error(j->yajl, 0, NULL, 0);
    int n = (int)strcspn((const char *)text, "\n");
    bool is_cut = at_end && !(j->has_begun && j->depth == 0);
    bool is_constant = is_at(j, consumed, chunk_size, 'N') || is_at(j, consumed, chunk_size, 'I');
    pm_status st =
        pmi_fail(j->err, PM_EDATA, "%s (%.*s)%s", is_cut ? "unexpected end of the JSON text" : "malformed JSON", n,
                 (const char *)text, is_constant ? "; NaN and Infinity are no numbers in JSON" : "");
    yajl_free_error(j->yajl, text);
    return at_byte(j, j->before + consumed, st);
}

static pm_status feed(json_reader *j) {
    for (;;) {
        size_t got = 0;
        PM_TRY(j->source->read(j->source->ctx, j->chunk, CHUNK, &got, j->err));
        yajl_status status = got == 0 ? yajl_complete_parse(j->yajl) : yajl_parse(j->yajl, j->chunk, got);
        if (status != yajl_status_ok) {
            return parse_failed(j, status, got, got == 0);
        }
        if (got == 0) {
            return PM_OK;
        }
        j->before += got;
    }
}

static pm_status run(json_reader *j) {
    static const yajl_callbacks callbacks = {.yajl_null = on_null,
                                             .yajl_boolean = on_boolean,
                                             .yajl_number = on_number,
                                             .yajl_string = on_string,
                                             .yajl_start_map = on_begin_map,
                                             .yajl_map_key = on_key,
                                             .yajl_end_map = on_end_map,
                                             .yajl_start_array = on_begin_array,
                                             .yajl_end_array = on_end_array};
    yajl_alloc_funcs memory = {.malloc = take, .realloc = retake, .free = give, .ctx = j};
    if (setjmp(j->out_of_memory) != 0) {
        return pmi_fail_memory(j->err, "the JSON parser", j->wanted);
    }
    j->yajl = yajl_alloc(&callbacks, &memory, j);
    return feed(j);
}

pm_status pmi_json_read(const pm_source *source, const pm_event_sink *sink, pm_error *err) {
    json_reader j = {.source = source, .sink = sink, .err = err};
    j.ring.prev = j.ring.next = &j.ring;
    j.chunk = pmi_malloc(CHUNK, 1);
    j.c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    pm_status st =
        j.chunk == NULL || j.c_locale == (locale_t)0 ? pmi_fail_memory(err, "the JSON parser", CHUNK) : run(&j);
    while (j.ring.next != &j.ring) {
        give(&j, ((block *)j.ring.next)->bytes);
    }
    if (j.c_locale != (locale_t)0) {
        freelocale(j.c_locale);
    }
    free(j.chunk);
    return st;
}
