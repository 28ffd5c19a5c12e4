/* Replaying dead letters. The letter is taken back before the unit is sent: a unit that dies again at once leaves a new
 * letter of the same key, which must stay. In between the unit is on the board as being sent, so that a collector finds
 * it lost when nobody sends it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "support/dead_letters.h"
#include "units/kinds.h"

#define MOST_BYTES ((size_t)4 << 30) /* of a unit behind a claim check */
#define BATCH 256                    /* letters that are taken back at once */

/* ---- sending ----------------------------------------------------------------------------------------- */

static pm_status open_sender(cli_dead *dead, pm_error *err) {
    return dead->sender != NULL ? PM_OK
                                : pmi_sender_open(&dead->cluster.kafka, PM_DELIVERY_SECONDS, pmi_deliveries_report,
                                                  &dead->sent, &dead->cluster.console.log, &dead->sender, err);
}

/* Sends messages and waits until Kafka has them. */
static pm_status deliver(cli_dead *dead, pm_outgoing *messages, size_t n, pm_error *err) {
    pm_error why = {0};
    size_t arrived = 0;
    pm_status st = pmi_deliveries_begin(&dead->sent, n, err);
    if (st != PM_OK) {
        return st;
    }
    for (size_t i = 0; st == PM_OK && i < n; i++) {
        messages[i].opaque = pmi_deliveries_opaque(&dead->sent, i);
        st = pmi_sender_send(dead->sender, &messages[i], err);
    }
    double patience = pmi_deadline_within(&dead->cluster.deadline, PM_DELIVERY_SECONDS + 5, 0.1);
    pm_status flushed = pmi_sender_flush(dead->sender, patience, &why);
    if (st == PM_OK && flushed != PM_OK) {
        st = pmi_fail(err, flushed, "%s", why.text);
    }
    for (size_t i = 0; i < n; i++) {
        arrived += dead->sent.items[i].arrived;
    }
    if (st == PM_OK && arrived < n) {
        st = pmi_fail(err, PM_ETEMPORARY, "Kafka did not say that it has %zu of %zu messages; try again", n - arrived,
                      n);
    }
    pmi_deliveries_end(&dead->sent);
    return st;
}

/* A later message with its key and no value. */
static pm_outgoing tombstone_of(const cli_letter *letter) {
    return (pm_outgoing){.topic = PM_TOPIC_DEAD, .partition = letter->partition, .key = {letter->key, PM_DIGEST_BYTES}};
}

static pm_status take_back(cli_dead *dead, const cli_letter *letter, pm_error *err) {
    pm_outgoing tombstone = tombstone_of(letter);
    return deliver(dead, &tombstone, 1, err);
}

/* ---- what is in a letter ----------------------------------------------------------------------------- */

/* A unit read out of its letter; all-zero is empty. */
typedef struct unit_in_letter {
    pm_unit_message unit;
    pm_message_memory memory;
    pm_buffer blob;
    pm_unit_items items;
} unit_in_letter;

static void free_unit(unit_in_letter *u) {
    pmi_message_memory_free(&u->memory);
    pmi_unit_items_free(&u->items);
    pmi_buffer_free(&u->blob);
}

/* The unit that waits in Redis behind a claim check. */
static pm_status fetch(cli_dead *dead, const pm_claim_message *claim, unit_in_letter *u, pm_error *err) {
    char hex[PM_DIGEST_HEX];
    pm_blob_found found;
    pmi_hex(claim->blob, hex);
    PM_TRY(pmi_blob_get(dead->cluster.redis, PM_SPACE_BLOB, claim->blob, MOST_BYTES, &u->blob, &found, err));
    if (found != PM_BLOB_FOUND) {
        return pmi_fail(err, PM_EDATA, "its blob %s is %s Redis: submit the graph again, and drop the letter", hex,
                        found == PM_BLOB_MISSING ? "gone from" : "damaged in");
    }
    return pmi_message_decode(&pmi_unit_type, u->blob.bytes, u->blob.size, &u->unit, &u->memory, err);
}

/* The message, out of its seal: the letter's headers say of what, and are believed no further than it fits. */
static pm_status open_letter(const cli_dead *dead, const cli_letter *letter, pm_span *message, pm_error *err) {
    char hex[PM_DIGEST_HEX + 4], kind[24], name[PM_SEAL_NAME];
    uint8_t job[PM_DIGEST_BYTES] = {0}, unit[PM_DIGEST_BYTES] = {0};
    const pm_redis_options *redis = &dead->cluster.redis_options;
    cli_letter_text(letter, "phasemill-kind", kind, sizeof kind);
    cli_letter_text(letter, "ce_id", hex, sizeof hex);
    bool is_named = cli_letter_job(letter, job) && pmi_unhex(hex, unit);
    pm_span place = pmi_seal_unit_name(redis->prefix, job, unit, kind, name);
    pm_status st =
        pmi_seal_open(redis->seal, &pmi_unit_type, place, letter->value.bytes, letter->value.size, message, err);
    return st == PM_EDATA && !is_named ? pmi_fail_prefix(err, "its headers name no unit of a job") : st;
}

static pm_status read_letter(cli_dead *dead, const cli_letter *letter, unit_in_letter *u, pm_error *err) {
    pm_span message;
    pm_status st = open_letter(dead, letter, &message, err);
    if (st != PM_OK) {
        return st;
    }
    pm_claim_message claim;
    pm_message_memory memory = {0};
    pm_error ignored;
    bool is_claim =
        pmi_message_decode(&pmi_claim_type, message.bytes, message.size, &claim, &memory, &ignored) == PM_OK;
    pmi_message_memory_free(&memory);
    if (is_claim) {
        st = fetch(dead, &claim, u, err);
    } else {
        st = pmi_message_decode(&pmi_unit_type, message.bytes, message.size, &u->unit, &u->memory, err);
    }
    PM_TRY(st);
    if (memcmp(u->unit.unit, letter->key, PM_DIGEST_BYTES) != 0) {
        return pmi_fail(err, PM_EDATA, "the unit in it has another id");
    }
    return pmi_unit_items_find(&u->unit, &u->items, err);
}

/* ---- replay ------------------------------------------------------------------------------------------ */

/* The letter as it was, after all. */
static void put_back(cli_dead *dead, const cli_letter *letter) {
    pm_error err;
    pm_outgoing message = {.topic = PM_TOPIC_DEAD,
                           .partition = letter->partition,
                           .key = {letter->key, PM_DIGEST_BYTES},
                           .value = letter->value,
                           .headers = letter->headers,
                           .n_headers = letter->n_headers};
    if (deliver(dead, &message, 1, &err) != PM_OK) {
        char hex[PM_DIGEST_HEX];
        pmi_hex(letter->key, hex);
        pmi_logf(&dead->cluster.console.log, PM_LOG_ERROR,
                 "dead letter %s was taken back and could not be put back: %s; submit its graph again", hex, err.text);
    }
}

static pm_status send_unit(cli_dead *dead, const cli_letter *letter, int32_t partition, int64_t *offset,
                           pm_error *err) {
    pm_header headers[PM_MAX_HEADERS];
    size_t n = 0;
    for (size_t i = 0; i < letter->n_headers; i++) {
        if (!cli_letter_header_is_added(letter->headers[i].name)) {
            headers[n++] = letter->headers[i];
        }
    }
    pm_outgoing message = {.topic = PM_TOPIC_UNITS,
                           .partition = partition,
                           .key = {letter->key, PM_DIGEST_BYTES},
                           .value = letter->value,
                           .headers = headers,
                           .n_headers = n};
    PM_TRY(deliver(dead, &message, 1, err));
    *offset = dead->sent.items[0].offset;
    return PM_OK;
}

/* Ids are digests: their bytes spread evenly. */
static size_t choose_partition(const cli_letter *letter, size_t n_partitions) {
    return ((size_t)letter->key[0] | (size_t)letter->key[1] << 8) % n_partitions;
}

static pm_status replay_unit(cli_dead *dead, const cli_letter *letter, const unit_in_letter *u, size_t n_partitions,
                             pm_error *err) {
    pm_redis *redis = dead->cluster.redis;
    pm_unit_record record = {.kind = u->unit.kind,
                             .cost = u->unit.cost,
                             .partition = choose_partition(letter, n_partitions),
                             .offset = -1,
                             .items = u->items.bytes};
    memcpy(record.unit, u->unit.unit, PM_DIGEST_BYTES);
    memcpy(record.job, u->unit.job, PM_DIGEST_BYTES);
    pm_status st = pmi_board_forgive(redis, record.job, record.unit, err);
    PM_THEN(st, pmi_board_place(redis, &record, 1, true, err));
    PM_THEN(st, take_back(dead, letter, err));
    if (st != PM_OK) {
        return st;
    }
    st = send_unit(dead, letter, (int32_t)record.partition, &record.offset, err);
    if (st != PM_OK) {
        put_back(dead, letter);
        return st;
    }
    PM_TRY(pmi_board_place(redis, &record, 1, false, err));
    char unit[PM_DIGEST_HEX], job[PM_DIGEST_HEX];
    pmi_hex(record.unit, unit);
    pmi_hex(record.job, job);
    const pm_log_field fields[] = {{"unit", unit, 0},
                                   {"job", job, 0},
                                   {"partition", NULL, (double)record.partition},
                                   {"offset", NULL, (double)record.offset}};
    pmi_log_event(&dead->cluster.console.log, PM_LOG_DEBUG, fields, 4, "replayed");
    return PM_OK;
}

static pm_status replay(cli_dead *dead, const cli_letter *letter, size_t n_partitions, pm_error *err) {
    unit_in_letter u = {0};
    pm_status st = read_letter(dead, letter, &u, err);
    PM_THEN(st, replay_unit(dead, letter, &u, n_partitions, err));
    free_unit(&u);
    if (st != PM_OK) {
        char hex[PM_DIGEST_HEX];
        pmi_hex(letter->key, hex);
        pmi_fail_prefix(err, "dead letter %s", hex);
    }
    return st;
}

pm_status cli_dead_replay(cli_dead *dead, const cli_letter *const *letters, size_t n, pm_error *err) {
    size_t n_partitions = 0;
    pm_status st = open_sender(dead, err);
    PM_THEN(st, pmi_topics_ensure(pmi_sender_handle(dead->sender), &dead->cluster.kafka, true,
                                  &dead->cluster.console.log, &n_partitions, err));
    size_t refused = 0;
    for (size_t i = 0; st == PM_OK && i < n; i++) {
        st = cli_cluster_limit(&dead->cluster, (double)dead->options.timeout, err);
        st = st == PM_OK ? replay(dead, letters[i], n_partitions, err) : st;
        if (st == PM_EDATA && n > 1) { /* one letter that nobody should have written does not keep the others */
            pmi_logf(&dead->cluster.console.log, PM_LOG_ERROR, "%s", err->text);
            refused++;
            st = PM_OK;
        }
    }
    return st == PM_OK && refused > 0 ? pmi_fail(err, PM_EDATA,
                                                 "%zu of %zu dead letters cannot be replayed and stay; `phasemill "
                                                 "dead-letters drop` takes them back",
                                                 refused, n)
                                      : st;
}

static pm_status drop_some(cli_dead *dead, const cli_letter *const *letters, size_t n, pm_error *err) {
    pm_outgoing tombstones[BATCH];
    for (size_t i = 0; i < n; i++) {
        tombstones[i] = tombstone_of(letters[i]);
    }
    PM_TRY(cli_cluster_limit(&dead->cluster, (double)dead->options.timeout, err));
    return deliver(dead, tombstones, n, err);
}

pm_status cli_dead_drop(cli_dead *dead, const cli_letter *const *letters, size_t n, pm_error *err) {
    PM_TRY(open_sender(dead, err));
    for (size_t first = 0; first < n; first += BATCH) {
        PM_TRY(drop_some(dead, letters + first, n - first < BATCH ? n - first : BATCH, err));
    }
    return PM_OK;
}
