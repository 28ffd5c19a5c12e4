#include "scc/classes.h"

#include <stdlib.h>
#include <string.h>

#include "codec/cursor.h"
#include "codec/envelope.h"
#include "codec/writer.h"

#define PAYLOAD_KEYS 8
#define CLASS_WIDTH 4 /* PM_NONE is among them */

pm_status pmi_classes_key(const uint8_t graph[PM_DIGEST_BYTES], pm_effort effort, uint8_t key[PM_DIGEST_BYTES],
                          pm_error *err) {
    uint8_t text[20 + 3 + PM_DIGEST_BYTES] = "phasemill classes";
    text[20] = PM_CLASSES_VERSION;
    text[21] = PM_RECORDER_VERSION;
    text[22] = (uint8_t)effort;
    memcpy(text + 23, graph, PM_DIGEST_BYTES);
    return pmi_digest(PM_SHA256, text, sizeof text, key, err);
}

/* ---- encoding ---- */

pm_status pmi_kept_classes_encode_payload(const pm_kept_classes *kept, pm_buffer *out, pm_error *err) {
    pm_writer w;
    pmi_writer_init(&w, out, err);
    msgpack_pack_map(&w.packer, PAYLOAD_KEYS);
    pmi_writer_text(&w, "key");
    pmi_writer_bin(&w, kept->key, PM_DIGEST_BYTES);
    pmi_writer_text(&w, "sccs");
    pmi_writer_uint(&w, kept->n_sccs);
    pmi_writer_text(&w, "states");
    pmi_writer_uint(&w, kept->n_states);
    pmi_writer_text(&w, "classes");
    pmi_writer_uint(&w, kept->n_classes);
    pmi_writer_text(&w, "as_given");
    pmi_writer_bin(&w, kept->as_given, kept->n_classes);
    pmi_writer_text(&w, "keys");
    pmi_writer_bin(&w, kept->keys, (size_t)kept->n_classes * PM_DIGEST_BYTES);
    pmi_writer_text(&w, "class_of");
    pmi_writer_numbers(&w, kept->class_of, kept->n_sccs, CLASS_WIDTH);
    pmi_writer_text(&w, "names");
    pmi_writer_numbers(&w, kept->names, kept->n_states, pmi_index_width(kept->n_states));
    return w.status;
}

pm_status pmi_kept_classes_encode(const pm_kept_classes *kept, pm_buffer *out, pm_error *err) {
    pm_buffer payload = {0};
    pm_status st = pmi_kept_classes_encode_payload(kept, &payload, err);
    PM_THEN(st, pmi_envelope_write(PM_CLASSES_NAME, PM_CLASSES_VERSION, payload.bytes, payload.size, out, err));
    pmi_buffer_free(&payload);
    return st;
}

/* ---- decoding ---- */

static pm_status read_sizes(pm_cursor *c, pm_kept_classes *out, pm_error *err) {
    static const uint8_t map[1] = {0x80 | PAYLOAD_KEYS};
    uint64_t n_sccs = 0, n_states = 0, n_classes = 0;
    pm_status st = pmi_cursor_expect(c, map, 1, "a map of 8 keys", err);
    PM_THEN(st, pmi_field_digest(c, "key", out->key, err));
    PM_THEN(st, pmi_field_uint(c, "sccs", 0, UINT32_MAX - 1, &n_sccs, err));
    PM_THEN(st, pmi_field_uint(c, "states", n_sccs, UINT32_MAX - 1, &n_states, err));
    PM_THEN(st, pmi_field_uint(c, "classes", 0, n_sccs, &n_classes, err));
    out->n_sccs = (uint32_t)n_sccs;
    out->n_states = (uint32_t)n_states;
    out->n_classes = (uint32_t)n_classes;
    return st;
}

static pm_status read_flags(pm_cursor *c, pm_kept_classes *out, pm_error *err) {
    const uint8_t *bytes = NULL;
    pm_status st = pmi_field_bin(c, "as_given", out->n_classes, &bytes, err);
    for (uint32_t i = 0; st == PM_OK && i < out->n_classes; i++) {
        if (bytes[i] > 1) {
            st = pmi_fail(err, PM_EDATA, "as_given of class %u: expected 0 or 1, found %u", i, bytes[i]);
        }
    }
    PM_TRY(st);
    PM_TRY(PM_NEW(&out->as_given, out->n_classes, "decoding classes", err));
    memcpy(out->as_given, bytes, out->n_classes);
    return PM_OK;
}

static pm_status read_keys(pm_cursor *c, pm_kept_classes *out, pm_error *err) {
    const uint8_t *bytes = NULL;
    PM_TRY(pmi_field_bin(c, "keys", (uint64_t)out->n_classes * PM_DIGEST_BYTES, &bytes, err));
    PM_TRY(PM_NEW(&out->keys, out->n_classes, "decoding classes", err));
    memcpy(out->keys, bytes, out->n_classes * sizeof *out->keys);
    return PM_OK;
}

static pm_status check_classes(const pm_kept_classes *kept, pm_error *err) {
    for (uint32_t i = 0; i < kept->n_sccs; i++) {
        if (kept->class_of[i] >= kept->n_classes && kept->class_of[i] != PM_NONE) {
            return pmi_fail(err, PM_EDATA, "SCC %u: expected a class below %u, found %u", i, kept->n_classes,
                            kept->class_of[i]);
        }
    }
    return PM_OK;
}

pm_status pmi_kept_classes_decode_payload(const uint8_t *bytes, size_t n, pm_kept_classes *out, pm_error *err) {
    pm_cursor c = {bytes, n, 0};
    *out = (pm_kept_classes){0};
    pm_status st = read_sizes(&c, out, err);
    PM_THEN(st, read_flags(&c, out, err));
    PM_THEN(st, read_keys(&c, out, err));
    PM_THEN(st, pmi_field_numbers(&c, "class_of", out->n_sccs, CLASS_WIDTH, &out->class_of, err));
    PM_THEN(st, check_classes(out, err));
    PM_THEN(st, pmi_field_numbers(&c, "names", out->n_states, pmi_index_width(out->n_states), &out->names, err));
    PM_THEN(st, pmi_cursor_end(&c, err));
    if (st != PM_OK) {
        pmi_kept_classes_free(out);
    }
    return st;
}

pm_status pmi_kept_classes_decode(const uint8_t *bytes, size_t n, pm_kept_classes *out, pm_error *err) {
    pm_envelope envelope;
    *out = (pm_kept_classes){0};
    pm_status st = pmi_envelope_open(bytes, n, false, &envelope, err);
    PM_THEN(st, pmi_envelope_expect(&envelope, PM_CLASSES_NAME, PM_CLASSES_VERSION,
                                    "it was written by another phasemill; clear the cache", err));
    PM_THEN(st, pmi_kept_classes_decode_payload(envelope.payload, envelope.size, out, err));
    if (st != PM_OK) {
        pmi_fail_prefix(err, "classes");
    }
    return st;
}

void pmi_kept_classes_free(pm_kept_classes *kept) {
    free(kept->as_given);
    free(kept->keys);
    free(kept->class_of);
    free(kept->names);
    *kept = (pm_kept_classes){0};
}
