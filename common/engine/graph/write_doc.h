/* A document written value by value, as JSON or as MessagePack. Errors stick: the first one is kept, and what comes
 * after it is not written. */
#ifndef PM_GRAPH_WRITE_DOC_H
#define PM_GRAPH_WRITE_DOC_H

#include <msgpack/pack.h>

#include "graph/write.h"

/* A number and its text: graphs have few distinct weights, and finding the shortest text is slow. */
typedef struct pm_doc_number {
    uint64_t bits;
    unsigned n; /* 0: not in use */
    char text[36];
} pm_doc_number;

#define PM_DOC_NUMBERS 1024 /* a power of two */

typedef struct pm_doc {
    const pm_byte_sink *sink;
    pm_error *err;
    pm_status st;
    bool is_json;
    bool needs_comma;  /* JSON */
    msgpack_packer mp; /* MessagePack */
    size_t used;       /* bytes waiting in the buffer */
    uint8_t buffer[65536];
    pm_doc_number numbers[PM_DOC_NUMBERS]; /* JSON: the last number of each hash */
} pm_doc;

/* `d` must be all-zero. */
void pmi_doc_begin(pm_doc *d, pm_graph_encoding encoding, const pm_byte_sink *sink, pm_error *err);
void pmi_doc_open_map(pm_doc *d, size_t n); /* n keys follow, each with its value */
void pmi_doc_close_map(pm_doc *d);
void pmi_doc_key(pm_doc *d, const char *text);
void pmi_doc_open_array(pm_doc *d, size_t n); /* n values follow */
void pmi_doc_close_array(pm_doc *d);
void pmi_doc_integer(pm_doc *d, int64_t value);
/* Finite. JSON: the shortest of 15, 16 or 17 digits that reads back as the same double, always with a point or an
 * exponent. The thread's locale must have the decimal point of "C". */
void pmi_doc_real(pm_doc *d, double value);
void pmi_doc_boolean(pm_doc *d, bool value);
void pmi_doc_text(pm_doc *d, const char *text); /* without characters that JSON escapes */
/* Hands the rest to the sink; returns the first error. */
pm_status pmi_doc_end(pm_doc *d);

#endif
