#include "wire/seal.h"

#include <inttypes.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "codec/cursor.h"
#include "codec/writer.h"

#define SEALED "phasemill.sealed"
#define VERSION 1
#define ID_BYTES 8
#define SEAL_BYTES (ID_BYTES + PM_DIGEST_BYTES)
/* More than the heads, the name, the version and the seal take. */
#define OVERHEAD (sizeof SEALED + SEAL_BYTES + 24)

/* An array of four, the text of 16 bytes: as all sealed values begin, and no message does. */
static const uint8_t beginning[] = "\x94\xb0" SEALED;
#define N_BEGINNING (sizeof beginning - 1)

static const pm_message_type *const types[] = {&pmi_unit_type,        &pmi_event_type,   &pmi_blob_type,  &pmi_job_type,
                                               &pmi_unit_record_type, &pmi_outcome_type, &pmi_worker_type};
#define N_TYPES (sizeof types / sizeof types[0])

struct pm_seal {
    uint8_t id[ID_BYTES];
    char id_text[PM_SEAL_ID_TEXT];
    EVP_MAC_CTX *of_type[N_TYPES]; /* keyed; begun anew for each use, which costs half of what a copy does */
};

/* ---- keys ---- */

static pm_status libcrypto_failed(pm_error *err) {
    return pmi_fail(err, PM_EOSERR, "libcrypto's HMAC failed: no seal can be made");
}

/* HMAC of a text under the cluster's key. */
static pm_status derive(const char *key, size_t n, const char *text, pm_digest out, pm_error *err) {
    size_t got = 0;
    return EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key, n, (const unsigned char *)text, strlen(text), out,
                     PM_DIGEST_BYTES, &got) != NULL &&
                   got == PM_DIGEST_BYTES
               ? PM_OK
               : libcrypto_failed(err);
}

static pm_status ready_type(const char *key, size_t n, EVP_MAC *method, size_t type, pm_seal *seal, pm_error *err) {
    char label[80], digest[] = "SHA256";
    pm_digest own;
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                                 OSSL_PARAM_construct_end()};
    (void)snprintf(label, sizeof label, "phasemill seal %d %s", VERSION, types[type]->name);
    pm_status st = derive(key, n, label, own, err);
    if (st == PM_OK) {
        seal->of_type[type] = EVP_MAC_CTX_new(method);
        st = seal->of_type[type] != NULL && EVP_MAC_init(seal->of_type[type], own, sizeof own, params) == 1
                 ? PM_OK
                 : libcrypto_failed(err);
    }
    OPENSSL_cleanse(own, sizeof own);
    return st;
}

static void write_hex(const uint8_t id[ID_BYTES], char text[PM_SEAL_ID_TEXT]) {
    for (size_t i = 0; i < ID_BYTES; i++) {
        (void)snprintf(text + 2 * i, 3, "%02x", id[i]);
    }
}

pm_status pmi_seal_new(const char *key, size_t n, pm_seal **out, pm_error *err) {
    pm_digest id;
    *out = NULL;
    if (n < PM_MIN_SEAL_KEY) {
        return pmi_fail(err, PM_ECONFIG,
                        "cluster.key has %zu bytes, expected at least %d; make one with `openssl rand -hex 32`", n,
                        PM_MIN_SEAL_KEY);
    }
    pm_seal *seal = pmi_calloc(1, sizeof *seal);
    PM_TRY(seal != NULL ? PM_OK : pmi_fail_memory(err, "the cluster's key", sizeof *seal));
    EVP_MAC *method = EVP_MAC_fetch(NULL, "HMAC", NULL);
    pm_status st = method != NULL ? derive(key, n, "phasemill key id", id, err) : libcrypto_failed(err);
    for (size_t i = 0; st == PM_OK && i < N_TYPES; i++) {
        st = ready_type(key, n, method, i, seal, err);
    }
    EVP_MAC_free(method);
    if (st != PM_OK) {
        pmi_seal_free(seal);
        return st;
    }
    memcpy(seal->id, id, ID_BYTES);
    write_hex(seal->id, seal->id_text);
    *out = seal;
    return PM_OK;
}

void pmi_seal_free(pm_seal *seal) {
    for (size_t i = 0; seal != NULL && i < N_TYPES; i++) {
        EVP_MAC_CTX_free(seal->of_type[i]);
    }
    free(seal);
}

const char *pmi_seal_id(const pm_seal *seal) {
    return seal->id_text;
}

/* ---- the seal of a value ---- */

static pm_status find_type(const pm_message_type *type, size_t *out, pm_error *err) {
    for (size_t i = 0; i < N_TYPES; i++) {
        if (types[i] == type) {
            *out = i;
            return PM_OK;
        }
    }
    return pmi_fail(err, PM_ESOFTWARE, "%s: there are no seals of this type", type->name);
}

static pm_status make(const pm_seal *seal, const pm_message_type *type, pm_span name, pm_span value,
                      uint8_t out[SEAL_BYTES], pm_error *err) {
    size_t number = 0, got = 0;
    uint8_t length[8];
    for (size_t i = 0; i < sizeof length; i++) {
        length[i] = (uint8_t)((uint64_t)name.size >> (8 * i));
    }
    PM_TRY(find_type(type, &number, err));
    memcpy(out, seal->id, ID_BYTES);
    EVP_MAC_CTX *mac = seal->of_type[number];
    bool is_made = EVP_MAC_init(mac, NULL, 0, NULL) == 1 && EVP_MAC_update(mac, length, sizeof length) == 1 &&
                   EVP_MAC_update(mac, name.bytes, name.size) == 1 &&
                   EVP_MAC_update(mac, value.bytes, value.size) == 1 &&
                   EVP_MAC_final(mac, out + ID_BYTES, &got, PM_DIGEST_BYTES) == 1 && got == PM_DIGEST_BYTES;
    return is_made ? PM_OK : libcrypto_failed(err);
}

/* ---- sealing ---- */

static pm_status write_head(size_t size, pm_buffer *out, pm_error *err) {
    pm_writer w;
    pmi_writer_init(&w, out, err);
    msgpack_pack_array(&w.packer, 4);
    pmi_writer_text(&w, SEALED);
    pmi_writer_uint(&w, VERSION);
    pmi_writer_bin_head(&w, size);
    return w.status;
}

/* The value moves on by the head's size; memory for all was taken before. */
static pm_status wrap(const uint8_t *mark, const pm_buffer *head, size_t from, pm_buffer *out, pm_error *err) {
    size_t size = out->size - from, need;
    if (!pmi_add(out->size, OVERHEAD, &need) || !pmi_reserve((void **)&out->bytes, &out->capacity, need, 1)) {
        return pmi_fail_memory(err, "a sealed value", size);
    }
    memmove(out->bytes + from + head->size, out->bytes + from, size);
    memcpy(out->bytes + from, head->bytes, head->size);
    out->size += head->size;
    pm_writer w;
    pmi_writer_init(&w, out, err);
    pmi_writer_bin(&w, mark, SEAL_BYTES);
    return w.status;
}

pm_status pmi_seal_put(const pm_seal *seal, const pm_message_type *type, pm_span name, size_t from, pm_buffer *out,
                       pm_error *err) {
    uint8_t mark[SEAL_BYTES];
    pm_buffer head = {0};
    if (seal == NULL) {
        return PM_OK;
    }
    size_t size = out->size - from;
    pm_span value = {size > 0 ? out->bytes + from : NULL, size};
    pm_status st = make(seal, type, name, value, mark, err);
    PM_THEN(st, write_head(size, &head, err));
    PM_THEN(st, wrap(mark, &head, from, out, err));
    pmi_buffer_free(&head);
    return st;
}

/* ---- opening ---- */

static bool looks_sealed(const uint8_t *bytes, size_t n) {
    return n >= N_BEGINNING && memcmp(bytes, beginning, N_BEGINNING) == 0;
}

static pm_status take_apart(const uint8_t *bytes, size_t n, pm_span *inside, pm_span *mark, pm_error *err) {
    pm_cursor c = {bytes, n, N_BEGINNING};
    uint64_t version = 0;
    pm_status st = pmi_cursor_uint(&c, &version, "the version of the seal", err);
    if (st == PM_OK && version != VERSION) {
        st =
            pmi_fail(err, PM_EDATA, "expected a seal of version %d, found %" PRIu64 ": run the same version everywhere",
                     VERSION, version);
    }
    PM_THEN(st, pmi_cursor_bin(&c, &inside->bytes, &inside->size, "the sealed value", err));
    size_t at = c.at;
    PM_TRY(st);
    PM_TRY(pmi_cursor_bin(&c, &mark->bytes, &mark->size, "the seal", err));
    if (mark->size != SEAL_BYTES) {
        return pmi_fail(err, PM_EDATA, "byte %zu: expected a seal of %d bytes, found %zu", at, SEAL_BYTES, mark->size);
    }
    return pmi_cursor_end(&c, err);
}

pm_status pmi_seal_peel(const uint8_t *bytes, size_t n, pm_span *inside, char id[PM_SEAL_ID_TEXT], pm_error *err) {
    pm_span mark = {0};
    id[0] = '\0';
    *inside = (pm_span){bytes, n};
    if (!looks_sealed(bytes, n)) {
        return PM_OK;
    }
    PM_TRY(take_apart(bytes, n, inside, &mark, err));
    write_hex(mark.bytes, id);
    return PM_OK;
}

static pm_status check(const pm_seal *seal, const pm_message_type *type, pm_span name, pm_span inside, pm_span mark,
                       pm_error *err) {
    uint8_t expected[SEAL_BYTES];
    if (memcmp(mark.bytes, seal->id, ID_BYTES) != 0) {
        char id[PM_SEAL_ID_TEXT];
        write_hex(mark.bytes, id);
        return pmi_fail(err, PM_EDATA,
                        "its seal is of a cluster.key that is not the one here (%s, here %s): all that share a cluster "
                        "need the same",
                        id, seal->id_text);
    }
    PM_TRY(make(seal, type, name, inside, expected, err));
    if (CRYPTO_memcmp(mark.bytes, expected, SEAL_BYTES) != 0) {
        return pmi_fail(err, PM_EDATA, "its seal does not fit: it was altered, or belongs to another name");
    }
    return PM_OK;
}

pm_status pmi_seal_open(const pm_seal *seal, const pm_message_type *type, pm_span name, const uint8_t *bytes, size_t n,
                        pm_span *inside, pm_error *err) {
    pm_span value = {bytes, n}, mark = {0};
    *inside = (pm_span){0};
    bool is_sealed = looks_sealed(bytes, n);
    pm_status st = PM_OK;
    if (is_sealed && seal == NULL) {
        st = pmi_fail(err, PM_EDATA, "it has a seal, and no cluster.key is set here: set that of the cluster");
    } else if (!is_sealed && seal != NULL) {
        st = pmi_fail(err, PM_EDATA, "it has no seal: whoever wrote it has no cluster.key");
    } else if (is_sealed) {
        st = take_apart(bytes, n, &value, &mark, err);
        PM_THEN(st, check(seal, type, name, value, mark, err));
    }
    PM_TRY(st);
    *inside = value;
    return PM_OK;
}

/* ---- messages ---- */

pm_status pmi_sealed_encode(const pm_seal *seal, pm_span name, const pm_message_type *type, const void *message,
                            pm_buffer *out, pm_error *err) {
    size_t before = out->size;
    pm_status st = pmi_message_encode(type, message, out, err);
    if (st == PM_OK) {
        st = pmi_seal_put(seal, type, name, before, out, err);
        out->size = st == PM_OK ? out->size : before;
    }
    return st;
}

pm_status pmi_sealed_decode(const pm_seal *seal, pm_span name, const pm_message_type *type, const uint8_t *bytes,
                            size_t n, void *message, pm_message_memory *memory, pm_error *err) {
    pm_span inside;
    *memory = (pm_message_memory){.n_lists = 0};
    pm_status st = pmi_seal_open(seal, type, name, bytes, n, &inside, err);
    return st == PM_OK ? pmi_message_decode(type, inside.bytes, inside.size, message, memory, err)
                       : pmi_fail_prefix(err, "%s", type->name);
}

/* ---- names ---- */

pm_span pmi_seal_unit_name(const char *prefix, const pm_digest job, const pm_digest unit, const char *kind,
                           char name[PM_SEAL_NAME]) {
    char unit_hex[PM_DIGEST_HEX];
    pmi_hex(unit, unit_hex);
    (void)snprintf(name, PM_SEAL_NAME, "%.64s:units:{%s}:%s:%.16s", prefix, unit_hex, PM_HEX(job), kind);
    return pmi_span_of(name);
}

pm_span pmi_seal_event_name(const char *prefix, char name[PM_SEAL_NAME]) {
    (void)snprintf(name, PM_SEAL_NAME, "%.64s:events", prefix);
    return pmi_span_of(name);
}
