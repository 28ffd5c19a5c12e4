/* SHA-256 goes by libcrypto's own functions of it: an EVP digest looks its algorithm up under locks and allocates,
 * which for the many digests of some hundred bytes here takes longer than the digest. They are deprecated since 3.0 in
 * favour of EVP, not for what they compute. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "base/hash.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdatomic.h>
#include <string.h>

#include "base/mem.h"

struct pm_hasher {
    EVP_MD_CTX *md; /* NULL: SHA-256, in `sha` */
    SHA256_CTX sha;
    bool finished; /* the next call begins a new message */
};

/* Looked up once for the process, constant from then on: EVP_blake2s256() would be looked up again at every digest. */
static _Atomic(EVP_MD *) blake2s;

/* NULL: no memory for it; the next call tries again. */
static const EVP_MD *find_blake2s(void) {
    EVP_MD *found = atomic_load(&blake2s);
    if (found == NULL) {
        found = EVP_MD_fetch(NULL, "BLAKE2S-256", NULL);
        EVP_MD *other = NULL;
        if (found != NULL && !atomic_compare_exchange_strong(&blake2s, &other, found)) {
            EVP_MD_free(found);
            found = other;
        }
    }
    return found;
}

static pm_status libcrypto_failed(pm_error *err, const char *call) {
    return pmi_fail(err, PM_EOSERR, "libcrypto's %s failed: the digest cannot be computed", call);
}

pm_status pmi_hasher_new(pm_digest_kind kind, pm_hasher **out, pm_error *err) {
    *out = NULL;
    pm_hasher *h;
    PM_TRY(PM_ZEROS(&h, 1, "a digest", err));
    if (kind == PM_SHA256) {
        h->finished = true;
        *out = h;
        return PM_OK;
    }
    const EVP_MD *method = find_blake2s();
    h->md = EVP_MD_CTX_new();
    if (h->md == NULL || method == NULL || EVP_DigestInit_ex2(h->md, method, NULL) != 1) {
        pmi_hasher_free(h);
        return libcrypto_failed(err, "EVP_DigestInit_ex2");
    }
    *out = h;
    return PM_OK;
}

/* Without a kind libcrypto keeps the one it has, and need not look it up again. */
static pm_status begin_message(pm_hasher *h, pm_error *err) {
    if (h->finished && (h->md == NULL ? SHA256_Init(&h->sha) : EVP_DigestInit_ex2(h->md, NULL, NULL)) != 1) {
        return libcrypto_failed(err, h->md == NULL ? "SHA256_Init" : "EVP_DigestInit_ex2");
    }
    h->finished = false;
    return PM_OK;
}

pm_status pmi_hasher_add(pm_hasher *h, const void *bytes, size_t n, pm_error *err) {
    PM_TRY(begin_message(h, err));
    if ((h->md == NULL ? SHA256_Update(&h->sha, bytes, n) : EVP_DigestUpdate(h->md, bytes, n)) != 1) {
        PM_TRY(libcrypto_failed(err, h->md == NULL ? "SHA256_Update" : "EVP_DigestUpdate"));
    }
    return PM_OK;
}

pm_status pmi_hasher_finish(pm_hasher *h, uint8_t digest[PM_DIGEST_BYTES], pm_error *err) {
    unsigned n = PM_DIGEST_BYTES;
    pm_status st = begin_message(h, err);
    if (st == PM_OK && ((h->md == NULL ? SHA256_Final(digest, &h->sha) : EVP_DigestFinal_ex(h->md, digest, &n)) != 1 ||
                        n != PM_DIGEST_BYTES)) {
        st = libcrypto_failed(err, h->md == NULL ? "SHA256_Final" : "EVP_DigestFinal_ex");
    }
    h->finished = st == PM_OK;
    return st;
}

void pmi_hasher_free(pm_hasher *h) {
    if (h != NULL) {
        EVP_MD_CTX_free(h->md);
        free(h);
    }
}

pm_status pmi_digest(pm_digest_kind kind, const void *bytes, size_t n, uint8_t digest[PM_DIGEST_BYTES], pm_error *err) {
    if (kind == PM_SHA256) {
        pm_hasher sha = {.finished = true};
        pm_status added = pmi_hasher_add(&sha, bytes, n, err);
        return added == PM_OK ? pmi_hasher_finish(&sha, digest, err) : added;
    }
    pm_hasher *h;
    pm_status st = pmi_hasher_new(kind, &h, err);
    PM_THEN(st, pmi_hasher_add(h, bytes, n, err));
    PM_THEN(st, pmi_hasher_finish(h, digest, err));
    pmi_hasher_free(h);
    return st;
}

void pmi_hex(const uint8_t digest[PM_DIGEST_BYTES], char text[PM_DIGEST_HEX]) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < PM_DIGEST_BYTES; i++) {
        text[2 * i] = digits[digest[i] >> 4];
        text[2 * i + 1] = digits[digest[i] & 15];
    }
    text[PM_DIGEST_HEX - 1] = '\0';
}

static int hex_value(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool pmi_unhex(const char *text, uint8_t digest[PM_DIGEST_BYTES]) {
    if (strlen(text) != PM_DIGEST_HEX - 1) {
        return false;
    }
    for (size_t i = 0; i < PM_DIGEST_BYTES; i++) {
        int high = hex_value(text[2 * i]);
        int low = hex_value(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        digest[i] = (uint8_t)(high * 16 + low);
    }
    return true;
}
