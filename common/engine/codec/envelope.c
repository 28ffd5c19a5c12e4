#include "codec/envelope.h"

#include <inttypes.h>
#include <string.h>

#include "codec/cursor.h"
#include "codec/writer.h"

/* More than the heads, the name, the version and the checksum take. */
#define ENVELOPE_OVERHEAD (PM_ENVELOPE_NAME + PM_DIGEST_BYTES + 32)

pm_status pmi_envelope_begin(const char *name, unsigned version, size_t size, pm_buffer *out, pm_error *err) {
    size_t need;
    if (strlen(name) >= PM_ENVELOPE_NAME) {
        return pmi_fail(err, PM_ESOFTWARE, "an envelope's name has at most %d bytes, found \"%s\"",
                        PM_ENVELOPE_NAME - 1, name);
    }
    /* at once, for payloads are large and doubling would copy them again */
    if (!pmi_add(size, out->size + ENVELOPE_OVERHEAD, &need) ||
        !pmi_reserve((void **)&out->bytes, &out->capacity, need, 1)) {
        return pmi_fail_memory(err, "an envelope", size);
    }
    pm_writer w;
    pmi_writer_init(&w, out, err);
    msgpack_pack_array(&w.packer, 4);
    pmi_writer_text(&w, name);
    pmi_writer_uint(&w, version);
    pmi_writer_bin_head(&w, size);
    return w.status;
}

pm_status pmi_envelope_end(size_t size, pm_buffer *out, pm_error *err) {
    uint8_t sum[PM_DIGEST_BYTES];
    PM_TRY(pmi_digest(PM_SHA256, out->bytes + out->size - size, size, sum, err));
    pm_writer w;
    pmi_writer_init(&w, out, err);
    pmi_writer_bin(&w, sum, sizeof sum);
    return w.status;
}

pm_status pmi_envelope_write(const char *name, unsigned version, const uint8_t *payload, size_t size, pm_buffer *out,
                             pm_error *err) {
    size_t before = out->size;
    pm_status st = pmi_envelope_begin(name, version, size, out, err);
    PM_THEN(st, pmi_buffer_add(out, payload, size, err));
    PM_THEN(st, pmi_envelope_end(size, out, err));
    if (st != PM_OK) {
        out->size = before;
    }
    return st;
}

static pm_status read_head(pm_cursor *c, pm_envelope *out, pm_error *err) {
    uint64_t count = 0;
    const uint8_t *name = NULL;
    size_t length = 0;
    pm_status st = pmi_cursor_array(c, &count, "an envelope", err);
    if (st == PM_OK && count != 4) {
        st = pmi_fail(err, PM_EDATA, "byte 0: expected an envelope of 4 elements, found %" PRIu64, count);
    }
    size_t at = c->at;
    PM_TRY(st);
    PM_TRY(pmi_cursor_text(c, &name, &length, "the name", err));
    if (length >= sizeof out->name) {
        return pmi_fail(err, PM_EDATA, "byte %zu: expected a name of at most %zu bytes, found %zu", at,
                        sizeof out->name - 1, length);
    }
    memcpy(out->name, name, length);
    out->name[length] = '\0';
    return pmi_cursor_uint(c, &out->version, "the version", err);
}

static pm_status check_sum(const pm_envelope *e, const uint8_t *sum, size_t sum_size, size_t at, pm_error *err) {
    uint8_t found[PM_DIGEST_BYTES];
    pm_status st = pmi_digest(PM_SHA256, e->payload, e->size, found, err);
    if (st == PM_OK && (sum_size != sizeof found || memcmp(sum, found, sizeof found) != 0)) {
        st = pmi_fail(err, PM_EDATA,
                      "byte %zu: the checksum (SHA-256) of the payload does not match: the bytes are damaged", at);
    }
    return st;
}

pm_status pmi_envelope_open(const uint8_t *bytes, size_t n, bool is_checked, pm_envelope *out, pm_error *err) {
    pm_cursor c = {bytes, n, 0};
    const uint8_t *sum = NULL;
    size_t sum_size = 0;
    *out = (pm_envelope){.payload = NULL};
    pm_status st = read_head(&c, out, err);
    PM_THEN(st, pmi_cursor_bin(&c, &out->payload, &out->size, "the payload", err));
    size_t at = c.at;
    PM_THEN(st, pmi_cursor_bin(&c, &sum, &sum_size, "the checksum", err));
    PM_THEN(st, pmi_cursor_end(&c, err));
    return st == PM_OK && !is_checked ? check_sum(out, sum, sum_size, at, err) : st;
}

pm_status pmi_envelope_expect(const pm_envelope *e, const char *name, unsigned version, const char *remedy,
                              pm_error *err) {
    if (strcmp(e->name, name) != 0) {
        return pmi_fail(err, PM_EDATA, "expected \"%s\", found \"%s\"", name, e->name);
    }
    if (e->version != version) {
        return pmi_fail(err, PM_EDATA, "\"%s\": expected version %u, found %" PRIu64 ": %s", name, version, e->version,
                        remedy);
    }
    return PM_OK;
}
