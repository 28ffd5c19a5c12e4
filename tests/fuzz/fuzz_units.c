/* Reading the SCCs of a record unit from the map of its body; what is accepted must be written as it was read. The keys
 * are set right first: fuzzing could not guess them, and would see nothing behind. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/units.h"

#define MOST_SCCS 64

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* The key of SCC `at` as the reader finds it, which its refusal tells. */
static bool mend_key(const pm_error *err, pm_record_body *body, uint8_t *keys, size_t at) {
    const char *found = strstr(err->text, ", found ");
    char hex[PM_DIGEST_HEX];
    if (strstr(err->text, "expected key ") == NULL || found == NULL) {
        return false;
    }
    memcpy(hex, found + strlen(", found "), sizeof hex - 1);
    hex[sizeof hex - 1] = '\0';
    body->keys.bytes = keys;
    return pmi_unhex(hex, keys + at * PM_DIGEST_BYTES);
}

/* Reads the next SCC, if need be with its key set right. */
static pm_status next(pm_record_reader *reader, uint8_t *keys, pm_canon *scc) {
    pm_error err = {0};
    pm_status st = pmi_record_reader_next(reader, scc, &err);
    return st != PM_OK && mend_key(&err, &reader->body, keys, reader->at) ? pmi_record_reader_next(reader, scc, &err)
                                                                          : st;
}

static void must_be_written_alike(const pm_record_reader *reader, const pm_canon *const *sccs) {
    pm_buffer read = {0}, written = {0};
    if (pmi_message_encode(&pmi_record_type, &reader->body, &read, NULL) != PM_OK ||
        pmi_record_body_write(sccs, reader->n, (pm_effort)reader->body.effort, &written, NULL) != PM_OK ||
        read.size != written.size || memcmp(read.bytes, written.bytes, read.size) != 0) {
        abort();
    }
    pmi_buffer_free(&read);
    pmi_buffer_free(&written);
}

static void read_all(pm_record_reader *reader, uint8_t *keys) {
    pm_canon sccs[MOST_SCCS];
    const pm_canon *pointers[MOST_SCCS];
    size_t n = 0;
    pm_status st = PM_OK;
    while (st == PM_OK && n < reader->n) {
        st = next(reader, keys, &sccs[n]);
        pointers[n] = &sccs[n];
        n += st == PM_OK;
    }
    if (st == PM_OK) {
        must_be_written_alike(reader, pointers);
    }
    for (size_t i = 0; i < n; i++) {
        pmi_canon_free(&sccs[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    pm_buffer body = {0};
    pm_record_reader reader;
    if (pmi_envelope_write(pmi_record_type.name, pmi_record_type.version, bytes, n, &body, NULL) == PM_OK &&
        pmi_record_reader_open((pm_span){body.bytes, body.size}, &reader, NULL) == PM_OK) {
        uint8_t keys[MOST_SCCS * PM_DIGEST_BYTES];
        if (reader.n <= MOST_SCCS) {
            memcpy(keys, reader.body.keys.bytes, reader.body.keys.size);
            read_all(&reader, keys);
        }
        pmi_record_reader_close(&reader);
    }
    pmi_buffer_free(&body);
    return 0;
}
