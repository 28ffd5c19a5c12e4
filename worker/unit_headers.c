#include "worker/unit_headers.h"

#include <stdio.h>
#include <string.h>

/* The last header of that name as text; empty when there is none, or it is no text. */
static pm_span find(const rd_kafka_headers_t *headers, const char *name) {
    const void *value = NULL;
    size_t size = 0;
    if (headers == NULL || rd_kafka_header_get_last(headers, name, &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        value == NULL) {
        return (pm_span){0};
    }
    return (pm_span){value, size};
}

static bool read_digest(pm_span text, pm_digest digest) {
    char hex[PM_DIGEST_HEX];
    if (text.size != PM_DIGEST_HEX - 1) {
        return false;
    }
    memcpy(hex, text.bytes, text.size);
    hex[text.size] = '\0';
    return pmi_unhex(hex, digest);
}

static bool read_kind(pm_span text, char kind[PM_KIND_NAME]) {
    bool fits = text.size > 0 && text.size < PM_KIND_NAME;
    for (size_t i = 0; fits && i < text.size; i++) {
        fits = text.bytes[i] >= 'a' && text.bytes[i] <= 'z';
    }
    if (fits) {
        memcpy(kind, text.bytes, text.size);
    }
    return fits;
}

static void read_trace(pm_span text, pm_unit_headers *out) {
    char parent[PM_TRACEPARENT];
    if (text.size == PM_TRACEPARENT - 1 && memchr(text.bytes, '\0', text.size) == NULL) {
        memcpy(parent, text.bytes, text.size);
        parent[text.size] = '\0';
        if (pmi_traceparent_is_valid(parent)) {
            memcpy(out->traceparent, parent, sizeof parent);
            memcpy(out->trace, parent + 3, 32);
        }
    }
}

/* A message that does not say which unit it is still needs a name of its own among the dead letters. */
static pm_status name_by_position(const char *topic, int32_t partition, int64_t offset, pm_digest unit, pm_error *err) {
    char position[PM_TOPIC_NAME + 64];
    int n = snprintf(position, sizeof position, "%s/%d/%lld", topic, (int)partition, (long long)offset);
    return n < 0 || (size_t)n >= sizeof position
               ? pmi_fail(err, PM_ESOFTWARE, "the name of a message's position does not fit")
               : pmi_digest(PM_SHA256, position, (size_t)n, unit, err);
}

static pm_status wrong(const char *name, const char *expected, pm_span found, pm_error *err) {
    char text[80];
    pmi_span_text(found, text, sizeof text);
    return found.bytes == NULL
               ? pmi_fail(err, PM_EDATA, "the message has no header %s (%s): it was not sent by phasemill submit", name,
                          expected)
               : pmi_fail(err, PM_EDATA, "the message's header %s: expected %s, found \"%s\"", name, expected, text);
}

pm_status pmi_unit_headers_parse(const rd_kafka_headers_t *headers, const char *topic, int32_t partition,
                                 int64_t offset, pm_unit_headers *out, pm_error *err) {
    *out = (pm_unit_headers){.has_job = false};
    pm_span job = find(headers, "phasemill-job"), unit = find(headers, "ce_id"), kind = find(headers, "phasemill-kind");
    pm_span version = find(headers, "phasemill-version");
    out->has_job = read_digest(job, out->job);
    out->has_unit = read_digest(unit, out->unit);
    bool has_kind = read_kind(kind, out->kind);
    read_trace(find(headers, "traceparent"), out);
    pmi_span_text(find(headers, PM_HEADER_REDIS_PREFIX), out->redis_prefix, sizeof out->redis_prefix);
    if (!out->has_unit) {
        pm_status st = name_by_position(topic, partition, offset, out->unit, err);
        return st == PM_OK ? wrong("ce_id", "a unit's id of 64 hexadecimal digits", unit, err) : st;
    }
    if (!out->has_job) {
        return wrong("phasemill-job", "a job's id of 64 hexadecimal digits", job, err);
    }
    if (version.size != 1 || version.bytes[0] != '1') {
        return wrong("phasemill-version", "1, the version that this phasemill reads", version, err);
    }
    return has_kind ? PM_OK : wrong("phasemill-kind", "a name of lower-case letters", kind, err);
}

pm_status pmi_unit_headers_read(const rd_kafka_message_t *message, pm_unit_headers *out, pm_error *err) {
    rd_kafka_headers_t *headers = NULL;
    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        headers = NULL;
    }
    return pmi_unit_headers_parse(headers, rd_kafka_topic_name(message->rkt), message->partition, message->offset, out,
                                  err);
}

pm_status pmi_unit_headers_disown(const rd_kafka_message_t *message, pm_unit_headers *unit_headers, pm_error *err) {
    unit_headers->has_job = false;
    unit_headers->has_unit = false;
    return name_by_position(rd_kafka_topic_name(message->rkt), message->partition, message->offset, unit_headers->unit,
                            err);
}
