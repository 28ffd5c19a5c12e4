#include "kafka/headers.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"

/* Copies n bytes and a final zero; NULL when there is no room. */
static char *keep(pm_headers *h, const void *bytes, size_t n) {
    if (n >= sizeof h->text - h->used) {
        h->is_full = true;
        return NULL;
    }
    char *at = h->text + h->used;
    if (n > 0) {
        memcpy(at, bytes, n);
    }
    at[n] = '\0';
    h->used += n + 1;
    return at;
}

void pmi_headers_add(pm_headers *h, const char *name, pm_span value) {
    if (h->n == PM_MAX_HEADERS) {
        h->is_full = true;
        return;
    }
    const char *kept_name = keep(h, name, strlen(name)), *kept = keep(h, value.bytes, value.size);
    if (kept_name != NULL && kept != NULL) {
        h->list[h->n++] = (pm_header){kept_name, {(const uint8_t *)kept, value.size}};
    }
}

void pmi_headers_add_digest(pm_headers *h, const char *name, const uint8_t digest[PM_DIGEST_BYTES]) {
    char hex[PM_DIGEST_HEX];
    pmi_hex(digest, hex);
    pmi_headers_add(h, name, pmi_span_of(hex));
}

void pmi_headers_begin(pm_headers *h, const uint8_t id[PM_DIGEST_BYTES], const char *type, const char *source,
                       double time) {
    h->n = 0;
    h->used = 0;
    h->is_full = false;
    char from[256], at[PM_TIME_TEXT];
    int n = snprintf(from, sizeof from, "/phasemill/%s", source);
    h->is_full = n < 0 || (size_t)n >= sizeof from;
    pmi_time_text(time, at);
    pmi_headers_add(h, "content-type", pmi_span_of("application/msgpack"));
    pmi_headers_add(h, "ce_specversion", pmi_span_of("1.0"));
    pmi_headers_add_digest(h, "ce_id", id);
    pmi_headers_add(h, "ce_type", pmi_span_of(type));
    pmi_headers_add(h, "ce_source", pmi_span_of(from));
    pmi_headers_add(h, "ce_time", pmi_span_of(at));
    pmi_headers_add(h, "phasemill-version", pmi_span_of("1"));
}

pm_status pmi_headers_status(const pm_headers *h, pm_error *err) {
    return h->is_full ? pmi_fail(err, PM_ESOFTWARE, "internal error: a message's headers do not fit") : PM_OK;
}

/* ---- traceparent ---- */

static bool all_hex(const char *text, size_t n, bool *is_zero) {
    *is_zero = true;
    for (size_t i = 0; i < n; i++) {
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f'))) {
            return false;
        }
        *is_zero = *is_zero && text[i] == '0';
    }
    return true;
}

bool pmi_traceparent_is_valid(const char *text) {
    bool no_trace, no_span, no_flags;
    return strlen(text) == PM_TRACEPARENT - 1 && strncmp(text, "00-", 3) == 0 && text[35] == '-' && text[52] == '-' &&
           all_hex(text + 3, 32, &no_trace) && all_hex(text + 36, 16, &no_span) && all_hex(text + 53, 2, &no_flags) &&
           !no_trace && !no_span;
}

pm_status pmi_traceparent_draw(char text[PM_TRACEPARENT], pm_error *err) {
    uint8_t bytes[24];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes) {
        return pmi_fail(err, PM_EOSERR, "the system gives no random bytes: %s", strerror(errno));
    }
    bytes[15] |= 1; /* neither id may be zero */
    bytes[23] |= 1;
    char hex[49];
    for (size_t i = 0; i < sizeof bytes; i++) {
        snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
    }
    snprintf(text, PM_TRACEPARENT, "00-%.32s-%.16s-01", hex, hex + 32);
    return PM_OK;
}
