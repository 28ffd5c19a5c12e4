/* What a worker tells of a unit: log lines, events, dead letters, the record of its end. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "worker/state.h"

void pmi_held_log(const pm_worker *w, const pm_held *h, pm_log_level level, const char *format, ...) {
    char text[PM_ERROR_TEXT];
    va_list arguments;
    va_start(arguments, format);
    int written = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    const pm_log_field fields[] = {
        {.name = "worker", .text = w->options->id},
        {.name = "job", .text = h->unit_headers.has_job ? PM_HEX(h->unit_headers.job) : "unknown"},
        {.name = "unit", .text = PM_HEX(h->unit_headers.unit)},
        {.name = "kind", .text = h->unit_headers.kind},
        {.name = "attempt", .number = (double)h->attempt.begun},
        {.name = "topic", .text = rd_kafka_topic_name(h->taken.message->rkt)},
        {.name = "partition", .number = (double)h->taken.partition},
        {.name = "offset", .number = (double)h->taken.offset},
        {.name = "seconds", .number = h->seconds},
        {.name = "trace", .text = h->unit_headers.trace},
    };
    size_t n = sizeof fields / sizeof fields[0];
    pmi_log_event(w->options->log, level, fields, h->unit_headers.trace[0] != '\0' ? n : n - 1, "%s",
                  written < 0 ? format : text);
}

static pm_status send_event(pm_worker *w, const pm_held *h, const char *type, pm_error *err) {
    pm_event_message event = {.type = pmi_span_of(type),
                              .kind = pmi_span_of(h->unit_headers.kind),
                              .worker = pmi_span_of(w->options->id),
                              .time = pmi_now(),
                              .seconds = h->seconds,
                              .items = h->result.items,
                              .recorded = h->result.recorded,
                              .known = h->result.known,
                              .error = pmi_span_of(h->error.code == PM_OK ? "" : h->error.text)};
    memcpy(event.job, h->unit_headers.job, PM_DIGEST_BYTES);
    memcpy(event.unit, h->unit_headers.unit, PM_DIGEST_BYTES);
    char name[64], attempt[24];
    snprintf(name, sizeof name, "phasemill.event.%s", type);
    snprintf(attempt, sizeof attempt, "%llu", (unsigned long long)h->attempt.begun);
    rd_kafka_headers_t *headers = pmi_headers_new(h->unit_headers.unit, name, w->options->id, event.time);
    pmi_headers_add_digest(headers, "phasemill-job", h->unit_headers.job);
    pmi_headers_add(headers, "phasemill-kind", event.kind);
    pmi_headers_add(headers, "phasemill-attempt", pmi_span_of(attempt));
    if (h->unit_headers.traceparent[0] != '\0') {
        pmi_headers_add(headers, "traceparent", pmi_span_of(h->unit_headers.traceparent));
    }
    pm_buffer value = {0};
    char place[PM_SEAL_NAME];
    const pm_redis_options *redis = w->options->redis;
    pm_status st =
        pmi_sealed_encode(redis->seal, pmi_seal_event_name(redis->prefix, place), &pmi_event_type, &event, &value, err);
    if (st == PM_OK) {
        pm_outgoing message = {.topic = PM_TOPIC_EVENTS,
                               .key = {h->unit_headers.job, PM_DIGEST_BYTES},
                               .value = {value.bytes, value.size},
                               .headers = headers};
        st = pmi_sender_send(w->sender, &message, err);
    }
    rd_kafka_headers_destroy(headers);
    pmi_buffer_free(&value);
    return st;
}

void pmi_held_tell(pm_worker *w, const pm_held *h, const char *type) {
    pm_error err = {0};
    if (send_event(w, h, type, &err) != PM_OK) {
        pmi_held_log(w, h, PM_LOG_DEBUG, "its event was not sent; collectors will find out by themselves: %s",
                     err.text);
    }
}

pm_status pmi_held_bury(pm_worker *w, pm_held *h, pm_error *err) {
    char partition[16], offset[24], attempts[24];
    rd_kafka_headers_t *of_message = NULL;
    (void)rd_kafka_message_headers(h->taken.message, &of_message);
    rd_kafka_headers_t *headers = pmi_headers_of_unit(of_message);
    snprintf(partition, sizeof partition, "%d", (int)h->taken.partition);
    snprintf(offset, sizeof offset, "%lld", (long long)h->taken.offset);
    snprintf(attempts, sizeof attempts, "%llu", (unsigned long long)h->attempt.begun);
    pmi_headers_add(headers, "__dlq.errors.topic", pmi_span_of(rd_kafka_topic_name(h->taken.message->rkt)));
    pmi_headers_add(headers, "__dlq.errors.partition", pmi_span_of(partition));
    pmi_headers_add(headers, "__dlq.errors.offset", pmi_span_of(offset));
    pmi_headers_add(headers, "__dlq.errors.group", pmi_span_of(w->options->kafka->group));
    pmi_headers_add(headers, "__dlq.errors.message", pmi_span_of(h->error.text));
    pmi_headers_add(headers, "phasemill-attempts", pmi_span_of(attempts));
    if (h->result.has_scc) {
        pmi_headers_add_digest(headers, "phasemill-scc", h->result.scc);
    }
    static const uint8_t nothing[1];
    pm_span value = h->taken.value.bytes == NULL ? (pm_span){nothing, 0} : h->taken.value; /* none is a tombstone */
    pm_outgoing message = {.topic = PM_TOPIC_DEAD,
                           .key = {h->unit_headers.unit, PM_DIGEST_BYTES},
                           .value = value,
                           .headers = headers,
                           .opaque = h};
    pm_status st = pmi_sender_send(w->sender, &message, err);
    rd_kafka_headers_destroy(headers);
    return st;
}

pm_status pmi_held_write_end(pm_worker *w, const pm_held *h, pm_error *err) {
    pm_outcome_message outcome = {.kind = pmi_span_of(h->unit_headers.kind),
                                  .code = (uint64_t)h->error.code,
                                  .error = pmi_span_of(h->error.code == PM_OK ? "" : h->error.text),
                                  .scc = h->result.has_scc ? (pm_span){h->result.scc, PM_DIGEST_BYTES} : (pm_span){0},
                                  .attempts = h->attempt.begun,
                                  .worker = pmi_span_of(w->options->id),
                                  .topic = pmi_span_of(rd_kafka_topic_name(h->taken.message->rkt)),
                                  .partition = (uint64_t)h->taken.partition,
                                  .offset = h->taken.offset,
                                  .time = pmi_now(),
                                  .seconds = h->seconds};
    memcpy(outcome.unit, h->unit_headers.unit, PM_DIGEST_BYTES);
    memcpy(outcome.job, h->unit_headers.job, PM_DIGEST_BYTES);
    return pmi_board_end(w->redis, &outcome, h->result.items, err);
}
