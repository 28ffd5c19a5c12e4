#include "units/send.h"

#include <string.h>

/* ---- deliveries ---------------------------------------------------------------------------------------- */

pm_status pmi_deliveries_begin(pm_deliveries *deliveries, size_t n, pm_error *err) {
    pmi_deliveries_end(deliveries);
    PM_TRY(PM_GROW(&deliveries->items, &deliveries->capacity, n, "the deliveries of units", err));
    if (n > 0) {
        memset(deliveries->items, 0, n * sizeof *deliveries->items);
    }
    deliveries->n = n;
    return PM_OK;
}

void pmi_deliveries_end(pm_deliveries *deliveries) {
    deliveries->base += deliveries->n;
    deliveries->n = 0;
}

void *pmi_deliveries_opaque(const pm_deliveries *deliveries, size_t i) {
    return (void *)(uintptr_t)(deliveries->base + i + 1);
}

void pmi_deliveries_report(void *ctx, void *opaque, int32_t partition, int64_t offset, pm_status st,
                           const pm_error *err) {
    (void)partition;
    (void)err;
    pm_deliveries *deliveries = ctx;
    uint64_t number = (uint64_t)(uintptr_t)opaque - 1;
    if (st == PM_OK && number >= deliveries->base && number - deliveries->base < deliveries->n) {
        deliveries->items[number - deliveries->base] = (pm_delivery){.arrived = true, .offset = offset};
    }
}

/* ---- units of any kind: bodies into messages, large ones into Redis, records before and after ---------- */

/* Units are sent so many at a time, or so many bytes of messages. */
#define BATCH_UNITS ((size_t)512)
#define BATCH_BYTES ((size_t)32 << 20)

/* A unit on its way. */
typedef struct parcel {
    pm_new_unit *unit;
    pm_digest id;
    pm_buffer value;
    size_t partition;
    bool is_claim;
} parcel;

/* ---- making the message ---- */

static pm_status put_blob(pm_producer *p, const pm_buffer *encoded, pm_digest digest, pm_error *err) {
    pm_status st = pmi_digest(PM_SHA256, encoded->bytes, encoded->size, digest, err);
    PM_TRY(st);
    pm_retry retry = pmi_producer_retry(p, "Redis");
    do {
        pm_blob_item item = {.bytes = encoded->bytes, .size = encoded->size};
        memcpy(item.digest, digest, PM_DIGEST_BYTES);
        st = pmi_blob_put(p->traces->redis, PM_SPACE_BLOB, &item, 1, false, err);
    } while (pmi_retry_again(&retry, st, err));
    return st;
}

/* The unit stays behind in Redis, and a claim on it travels. */
static pm_status make_claim(pm_producer *p, const pm_unit_message *message, parcel *out, pm_error *err) {
    pm_claim_message claim = {.kind = message->kind, .cost = message->cost, .size = out->value.size};
    memcpy(claim.job, message->job, PM_DIGEST_BYTES);
    memcpy(claim.unit, message->unit, PM_DIGEST_BYTES);
    pm_status st = put_blob(p, &out->value, claim.blob, err);
    pmi_buffer_free(&out->value);
    out->is_claim = true;
    PM_TRY(st);
    return pmi_message_encode(&pmi_claim_type, &claim, &out->value, err);
}

static pm_status make_parcel(pm_producer *p, const uint8_t *job, pm_new_unit *unit, parcel *out, pm_error *err) {
    *out = (parcel){.unit = unit};
    PM_TRY(pmi_unit_id(unit->kind->name, job, unit->items, unit->n_items, out->id, err));
    pm_unit_message message = {
        .kind = pmi_span_of(unit->kind->name), .cost = unit->cost, .body = {unit->body.bytes, unit->body.size}};
    memcpy(message.job, job, PM_DIGEST_BYTES);
    memcpy(message.unit, out->id, PM_DIGEST_BYTES);
    pm_status st = pmi_message_encode(&pmi_unit_type, &message, &out->value, err);
    pmi_buffer_free(&unit->body);
    PM_TRY(st);
    if (out->value.size > PM_UNIT_INLINE) {
        PM_TRY(make_claim(p, &message, out, err));
    }
    char name[PM_SEAL_NAME];
    const pm_redis_options *redis = pmi_redis_options_of(p->traces->redis);
    pm_span span = pmi_seal_unit_name(redis->prefix, job, out->id, unit->kind->name, name);
    return pmi_seal_put(redis->seal, &pmi_unit_type, span, 0, &out->value, err);
}

static void place_parcel(pm_producer *p, const uint8_t *job, parcel *one) {
    size_t start = (size_t)job[0] | (size_t)job[1] << 8;
    one->partition = pmi_least_loaded(p->load, p->n_partitions, start);
    p->load[one->partition] += one->unit->cost + 1;
}

static pm_status write_records(pm_producer *p, const uint8_t *job, const parcel *parcels, size_t n,
                               const pm_delivery *deliveries, bool fresh, pm_error *err) {
    pm_unit_record *records = pmi_calloc(n, sizeof *records);
    PM_TRY(records != NULL ? PM_OK : pmi_fail_memory(err, "the records of units", n * sizeof *records));
    double now = pmi_now();
    for (size_t i = 0; i < n; i++) {
        const pm_new_unit *unit = parcels[i].unit;
        records[i] = (pm_unit_record){.kind = pmi_span_of(unit->kind->name),
                                      .cost = unit->cost,
                                      .partition = parcels[i].partition,
                                      .offset = deliveries == NULL ? -1 : deliveries[i].offset,
                                      .time = now,
                                      .items = {(const uint8_t *)unit->items, unit->n_items * PM_DIGEST_BYTES}};
        memcpy(records[i].unit, parcels[i].id, PM_DIGEST_BYTES);
        memcpy(records[i].job, job, PM_DIGEST_BYTES);
    }
    pm_status st;
    pm_retry retry = pmi_producer_retry(p, "Redis");
    do {
        st = pmi_board_place(p->traces->redis, records, n, fresh, err);
    } while (pmi_retry_again(&retry, st, err));
    free(records);
    return st;
}

/* ---- delivery ---- */

static pm_status send_one(pm_producer *p, const uint8_t *job, const parcel *one, void *opaque, pm_error *err) {
    char type[64] = "phasemill.unit.";
    strncat(type, one->unit->kind->name, sizeof type - strlen(type) - 1);
    rd_kafka_headers_t *headers = pmi_headers_new(one->id, type, "submit", pmi_now());
    pmi_headers_add_digest(headers, "phasemill-job", job);
    pmi_headers_add(headers, "phasemill-kind", pmi_span_of(one->unit->kind->name));
    pmi_headers_add(headers, PM_HEADER_REDIS_PREFIX, pmi_span_of(pmi_redis_options_of(p->traces->redis)->prefix));
    pmi_headers_add(headers, "traceparent", pmi_span_of(p->trace));
    pm_outgoing message = {.topic = PM_TOPIC_UNITS,
                           .partition = (int32_t)one->partition,
                           .key = {one->id, PM_DIGEST_BYTES},
                           .value = {one->value.bytes, one->value.size},
                           .headers = headers,
                           .opaque = opaque};
    pm_status st = pmi_sender_send(p->sender, &message, err);
    rd_kafka_headers_destroy(headers);
    return st;
}

/* Sends what has not arrived, and waits for the reports. A message whose report was lost goes twice, harmlessly. */
static pm_status try_delivery(pm_producer *p, const uint8_t *job, const parcel *parcels, size_t n, pm_error *err) {
    pm_status st = PM_OK;
    for (size_t i = 0; st == PM_OK && i < n; i++) {
        if (!p->deliveries->items[i].arrived) {
            st = send_one(p, job, &parcels[i], pmi_deliveries_opaque(p->deliveries, i), err);
            pmi_sender_poll(p->sender);
        }
    }
    pm_error why = {0};
    pm_status flushed =
        pmi_sender_flush(p->sender, pmi_deadline_within(&p->deadline, PM_DELIVERY_SECONDS + 5, 0.1), &why);
    PM_TRY(st);
    if (flushed != PM_OK) {
        return pmi_fail(err, flushed, "%s", why.text);
    }
    return PM_OK;
}

/* The topic may have been deleted: then it is made again, perhaps with fewer partitions, and what arrived is gone. */
static pm_status look_for_topic(pm_producer *p, const uint8_t *job, parcel *parcels, size_t n, pm_status st,
                                pm_error *err) {
    pm_error why;
    size_t before = p->n_partitions;
    if (pmi_producer_mend_topics(p, &why) == PM_OK && p->n_partitions != before) {
        for (size_t i = 0; i < n; i++) {
            place_parcel(p, job, &parcels[i]);
        }
        (void)pmi_deliveries_begin(p->deliveries, n, err);
    }
    return st;
}

static pm_status deliver(pm_producer *p, const uint8_t *job, parcel *parcels, size_t n, pm_error *err) {
    pm_status st = pmi_deliveries_begin(p->deliveries, n, err);
    PM_TRY(st);
    pm_retry retry = pmi_producer_retry(p, "Kafka");
    do {
        st = try_delivery(p, job, parcels, n, err);
        st = st == PM_EUNAVAILABLE ? look_for_topic(p, job, parcels, n, st, err) : st;
    } while (pmi_retry_again(&retry, st, err));
    for (size_t i = 0; st == PM_OK && i < n; i++) {
        if (!p->deliveries->items[i].arrived) {
            st = pmi_fail(err, PM_ETEMPORARY, "unit %s: Kafka did not say that it has it; submit again",
                          PM_HEX(parcels[i].id));
        }
    }
    return st;
}

/* ---- all together ---- */

static pm_status send_batch(pm_producer *p, const uint8_t *job, parcel *parcels, size_t n, bool fresh, pm_error *err) {
    for (size_t i = 0; i < n; i++) {
        place_parcel(p, job, &parcels[i]);
    }
    pm_status st = write_records(p, job, parcels, n, NULL, fresh, err);
    PM_THEN(st, deliver(p, job, parcels, n, err));
    PM_THEN(st, write_records(p, job, parcels, n, p->deliveries->items, false, err));
    pmi_deliveries_end(p->deliveries);
    return st;
}

static int dearest_first(const void *a, const void *b) {
    const pm_new_unit *x = a, *y = b;
    return (x->cost < y->cost) - (x->cost > y->cost);
}

static pm_status send_all(pm_producer *p, const uint8_t *job, pm_new_unit *units, size_t n, bool fresh, parcel *parcels,
                          size_t *n_claims, pm_error *err) {
    pm_status st = PM_OK;
    for (size_t first = 0; st == PM_OK && first < n;) {
        size_t count = 0, bytes = 0;
        while (st == PM_OK && first + count < n && count < BATCH_UNITS && bytes < BATCH_BYTES) {
            st = make_parcel(p, job, &units[first + count], &parcels[count], err);
            bytes += parcels[count].value.size;
            *n_claims += parcels[count].is_claim ? 1 : 0;
            count++;
        }
        PM_THEN(st, send_batch(p, job, parcels, count, fresh, err));
        for (size_t i = 0; i < count; i++) {
            pmi_buffer_free(&parcels[i].value);
        }
        first += count;
    }
    return st;
}

pm_status pmi_send_units(pm_producer *p, const pm_digest job, pm_new_unit *units, size_t n, bool fresh,
                         size_t *n_claims, pm_error *err) {
    size_t claims = 0;
    if (n == 0) {
        return PM_OK;
    }
    parcel *parcels = pmi_malloc(n < BATCH_UNITS ? n : BATCH_UNITS, sizeof *parcels);
    pm_status st = PM_OK;
    if (parcels == NULL) {
        st = pmi_fail_memory(err, "units to send", BATCH_UNITS * sizeof *parcels);
    } else {
        qsort(units, n, sizeof *units, dearest_first);
        st = send_all(p, job, units, n, fresh, parcels, &claims, err);
    }
    for (size_t i = 0; i < n; i++) {
        pmi_buffer_free(&units[i].body);
    }
    free(parcels);
    if (n_claims != NULL) {
        *n_claims += claims;
    }
    return st;
}

/* ---- record units -------------------------------------------------------------------------------------- */

/* Units are made and sent so many at a time: their bodies are in memory no longer. */
#define BODIES_AT_ONCE ((size_t)64)

static pm_status find_pieces(const pm_classes *classes, const uint32_t *numbers, size_t n, pm_piece **out,
                             uint64_t *total, pm_error *err) {
    pm_piece *pieces = pmi_malloc(n, sizeof *pieces);
    PM_TRY(pieces != NULL ? PM_OK : pmi_fail_memory(err, "the SCCs to send", n * sizeof *pieces));
    *total = 0;
    for (size_t i = 0; i < n; i++) {
        const pm_topology *t = &classes->canon[numbers[i]].topology;
        size_t n_edges = t->row[t->n];
        pieces[i] = (pm_piece){.number = numbers[i],
                               .cost = pmi_record_cost(t->n, n_edges),
                               .bytes = PM_DIGEST_BYTES + 5 + 4 * ((size_t)t->n + n_edges)};
        *total += pieces[i].cost;
    }
    *out = pieces;
    return PM_OK;
}

pm_status pmi_pack_classes(const pm_producer *p, const pm_classes *classes, const uint32_t *numbers, size_t n,
                           pm_packing *out, pm_error *err) {
    pm_piece *pieces = NULL;
    uint64_t total = 0;
    *out = (pm_packing){0};
    PM_TRY(find_pieces(classes, numbers, n, &pieces, &total, err));
    pm_status st = pmi_pack(pieces, n, pmi_unit_limits_for(total, p->n_partitions), out, err);
    free(pieces);
    return st;
}

/* What the units of one turn borrow from: the digests of their items, and the SCCs of the unit at hand. */
typedef struct turn {
    pm_new_unit units[BODIES_AT_ONCE];
    size_t n;
    pm_digest *items;
    const pm_canon **canons;
} turn;

static pm_status fill_turn(turn *t, const pm_classes *classes, pm_effort effort, const pm_packing *packing,
                           size_t first, size_t end, pm_error *err) {
    size_t base = packing->first[first];
    t->n = 0;
    for (size_t u = first; u < end; u++) {
        size_t count = packing->first[u + 1] - packing->first[u];
        for (size_t i = 0; i < count; i++) {
            const pm_canon *canon = &classes->canon[packing->numbers[packing->first[u] + i]];
            memcpy(t->items[packing->first[u] - base + i], canon->key, PM_DIGEST_BYTES);
            t->canons[i] = canon;
        }
        pm_new_unit *unit = &t->units[t->n++];
        *unit = (pm_new_unit){
            .kind = &pmi_record_units,
            .items = (const pm_digest *)(t->items + (packing->first[u] - base)),
            .n_items = count,
            .cost = packing->cost[u],
        };
        PM_TRY(pmi_record_body_write(t->canons, count, effort, &unit->body, err));
    }
    return PM_OK;
}

pm_status pmi_send_packing(pm_producer *p, const pm_digest job, const pm_classes *classes, pm_effort effort,
                           const pm_packing *packing, size_t *n_claims, pm_error *err) {
    size_t n = packing->first[packing->n_units];
    turn *t = pmi_calloc(1, sizeof *t);
    pm_status st = PM_OK;
    if (t != NULL) {
        t->items = pmi_malloc(n, sizeof *t->items);
        t->canons = pmi_malloc(n, sizeof *t->canons);
    }
    if (t == NULL || t->items == NULL || t->canons == NULL) {
        st = pmi_fail_memory(err, "units to send", n * sizeof *t->items);
    }
    for (size_t first = 0; st == PM_OK && first < packing->n_units; first += BODIES_AT_ONCE) {
        size_t end = packing->n_units - first < BODIES_AT_ONCE ? packing->n_units : first + BODIES_AT_ONCE;
        st = fill_turn(t, classes, effort, packing, first, end, err);
        PM_THEN(st, pmi_send_units(p, job, t->units, t->n, true, n_claims, err));
        for (size_t i = 0; i < t->n; i++) {
            pmi_buffer_free(&t->units[i].body);
        }
    }
    if (t != NULL) {
        free(t->items);
        free(t->canons);
    }
    free(t);
    return st;
}

pm_status pmi_send_classes(pm_producer *p, const pm_digest job, const pm_classes *classes, pm_effort effort,
                           const uint32_t *numbers, size_t n, size_t *n_units, size_t *n_claims, pm_error *err) {
    pm_packing packing;
    pm_status st = pmi_pack_classes(p, classes, numbers, n, &packing, err);
    if (st == PM_OK) {
        *n_units += packing.n_units;
        st = pmi_send_packing(p, job, classes, effort, &packing, n_claims, err);
    }
    pmi_packing_free(&packing);
    return st;
}
