#include "units/dead_letters.h"

#include <string.h>

#include "base/utf8.h"
#include "units/kinds.h"

#define PROGRESS_SECONDS 15.0
#define BATCH 256 /* letters that are taken back at once */

static void free_letter(pm_letter *letter) {
    free((void *)(uintptr_t)letter->value.bytes);
    rd_kafka_headers_destroy(letter->headers);
}

void pmi_letters_free(pm_letters *letters) {
    for (size_t i = 0; i < letters->n; i++) {
        free_letter(&letters->items[i]);
    }
    free(letters->items);
    *letters = (pm_letters){0};
}

static pm_status take(void *ctx, const pm_read_message *m, pm_error *err) {
    pm_letters *letters = ctx;
    if (m->key.size != PM_DIGEST_BYTES) {
        letters->n_strange++;
        return PM_OK;
    }
    uint8_t *bytes = NULL;
    PM_TRY(PM_GROW(&letters->items, &letters->capacity, letters->n + 1, "dead letters", err));
    if (m->value.bytes != NULL) {
        PM_TRY(PM_NEW(&bytes, m->value.size + 1, "dead letters", err));
        memcpy(bytes, m->value.bytes, m->value.size);
    }
    pm_letter *letter = &letters->items[letters->n++];
    *letter = (pm_letter){.partition = m->partition,
                          .offset = m->offset,
                          .time = m->time,
                          .value = {bytes, m->value.size},
                          .headers = m->headers != NULL ? rd_kafka_headers_copy(m->headers) : rd_kafka_headers_new(0),
                          .order = letters->arrived++};
    memcpy(letter->key, m->key.bytes, PM_DIGEST_BYTES);
    return PM_OK;
}

/* ---- the last of each key ---------------------------------------------------------------------------- */

static int by_key(const void *a, const void *b) {
    const pm_letter *x = a, *y = b;
    int c = memcmp(x->key, y->key, PM_DIGEST_BYTES);
    return c != 0 ? c : (x->order > y->order) - (x->order < y->order);
}

static int by_order(const void *a, const void *b) {
    const pm_letter *x = a, *y = b;
    return (x->order > y->order) - (x->order < y->order);
}

static void keep_last_of_each(pm_letters *letters) {
    size_t kept = 0;
    if (letters->n == 0) {
        return;
    }
    qsort(letters->items, letters->n, sizeof *letters->items, by_key);
    for (size_t i = 0; i < letters->n; i++) {
        pm_letter *letter = &letters->items[i];
        bool is_last = i + 1 == letters->n || memcmp(letter->key, letter[1].key, PM_DIGEST_BYTES) != 0;
        if (is_last && letter->value.bytes != NULL) {
            letters->items[kept++] = *letter;
        } else {
            free_letter(letter);
        }
    }
    letters->n = kept;
    qsort(letters->items, kept, sizeof *letters->items, by_order);
}

pm_status pmi_letters_read(pm_letters *letters, pm_reader *reader, const pm_deadline *deadline, pm_error *err) {
    double seconds = pmi_deadline_within(deadline, PROGRESS_SECONDS, 0.1);
    pm_status st = pmi_reader_drain(reader, seconds, take, letters, err);
    keep_last_of_each(letters);
    return st;
}

/* ---- headers ----------------------------------------------------------------------------------------- */

const char *pmi_letter_header(const pm_letter *letter, size_t i) {
    const char *name;
    const void *value;
    size_t size;
    return rd_kafka_header_get_all(letter->headers, i, &name, &value, &size) == 0 ? name : NULL;
}

void pmi_letter_text(const pm_letter *letter, const char *name, char *text, size_t n) {
    const void *value = NULL;
    size_t size = 0;
    bool is_there = rd_kafka_header_get(letter->headers, 0, name, &value, &size) == 0 && value != NULL;
    pmi_span_text((pm_span){value, is_there ? size : 0}, text, n);
    pmi_utf8_mend(text);
    if (text[0] == '\0') {
        memcpy(text, "-", 2);
    }
}

bool pmi_letter_job(const pm_letter *letter, pm_digest job) {
    char hex[PM_DIGEST_HEX + 4];
    pmi_letter_text(letter, "phasemill-job", hex, sizeof hex);
    return pmi_unhex(hex, job);
}

/* ---- sending ----------------------------------------------------------------------------------------- */

static pm_status open_sender(pm_letter_post *post, pm_error *err) {
    return post->sender != NULL ? PM_OK
                                : pmi_sender_open(post->kafka, PM_DELIVERY_SECONDS, pmi_deliveries_report, &post->sent,
                                                  post->log, &post->sender, err);
}

/* Sends messages and waits until Kafka has them. */
static pm_status deliver(pm_letter_post *post, pm_outgoing *messages, size_t n, pm_error *err) {
    pm_error why = {0};
    size_t arrived = 0;
    PM_TRY(pmi_deliveries_begin(&post->sent, n, err));
    pm_status st = PM_OK;
    for (size_t i = 0; st == PM_OK && i < n; i++) {
        messages[i].opaque = pmi_deliveries_opaque(&post->sent, i);
        st = pmi_sender_send(post->sender, &messages[i], err);
    }
    double patience = pmi_deadline_within(post->deadline, PM_DELIVERY_SECONDS + 5, 0.1);
    pm_status flushed = pmi_sender_flush(post->sender, patience, &why);
    if (st == PM_OK && flushed != PM_OK) {
        st = pmi_fail(err, flushed, "%s", why.text);
    }
    for (size_t i = 0; i < n; i++) {
        arrived += post->sent.items[i].arrived;
    }
    if (st == PM_OK && arrived < n) {
        st = pmi_fail(err, PM_ETEMPORARY, "Kafka did not say that it has %zu of %zu messages; try again", n - arrived,
                      n);
    }
    pmi_deliveries_end(&post->sent);
    return st;
}

/* A later message with its key and no value. */
static pm_outgoing tombstone_of(const pm_letter *letter) {
    return (pm_outgoing){.topic = PM_TOPIC_DEAD, .partition = letter->partition, .key = {letter->key, PM_DIGEST_BYTES}};
}

static pm_status take_back(pm_letter_post *post, const pm_letter *letter, pm_error *err) {
    pm_outgoing tombstone = tombstone_of(letter);
    return deliver(post, &tombstone, 1, err);
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
static pm_status fetch(pm_letter_post *post, const pm_claim_message *claim, unit_in_letter *u, pm_error *err) {
    pm_blob_found found;
    PM_TRY(pmi_blob_get(post->redis, PM_SPACE_BLOB, claim->blob, PM_BLOB_READ, &u->blob, &found, err));
    if (found != PM_BLOB_FOUND) {
        return pmi_fail(err, PM_EDATA, "its blob %s is %s Redis: submit the graph again, and drop the letter",
                        PM_HEX(claim->blob), found == PM_BLOB_MISSING ? "gone from" : "damaged in");
    }
    return pmi_message_decode(&pmi_unit_type, u->blob.bytes, u->blob.size, &u->unit, &u->memory, err);
}

/* The message, out of its seal: the letter's headers say of what, and are believed no further than it fits. */
static pm_status open_letter(const pm_letter_post *post, const pm_letter *letter, pm_span *message, pm_error *err) {
    char hex[PM_DIGEST_HEX + 4], kind[24], name[PM_SEAL_NAME];
    pm_digest job = {0}, unit = {0};
    const pm_redis_options *redis = pmi_redis_options_of(post->redis);
    pmi_letter_text(letter, "phasemill-kind", kind, sizeof kind);
    pmi_letter_text(letter, "ce_id", hex, sizeof hex);
    bool is_named = pmi_letter_job(letter, job) && pmi_unhex(hex, unit);
    pm_span place = pmi_seal_unit_name(redis->prefix, job, unit, kind, name);
    pm_status st =
        pmi_seal_open(redis->seal, &pmi_unit_type, place, letter->value.bytes, letter->value.size, message, err);
    return st == PM_EDATA && !is_named ? pmi_fail_prefix(err, "its headers name no unit of a job") : st;
}

static pm_status read_letter(pm_letter_post *post, const pm_letter *letter, unit_in_letter *u, pm_error *err) {
    pm_span message;
    PM_TRY(open_letter(post, letter, &message, err));
    pm_claim_message claim;
    pm_message_memory memory = {0};
    pm_error ignored;
    bool is_claim =
        pmi_message_decode(&pmi_claim_type, message.bytes, message.size, &claim, &memory, &ignored) == PM_OK;
    pmi_message_memory_free(&memory);
    PM_TRY(is_claim ? fetch(post, &claim, u, err)
                    : pmi_message_decode(&pmi_unit_type, message.bytes, message.size, &u->unit, &u->memory, err));
    if (memcmp(u->unit.unit, letter->key, PM_DIGEST_BYTES) != 0) {
        return pmi_fail(err, PM_EDATA, "the unit in it has another id");
    }
    return pmi_unit_items_find(&u->unit, &u->items, err);
}

/* ---- replay ------------------------------------------------------------------------------------------ */

/* The letter as it was, after all. */
static void put_back(pm_letter_post *post, const pm_letter *letter) {
    pm_error err;
    pm_outgoing message = {.topic = PM_TOPIC_DEAD,
                           .partition = letter->partition,
                           .key = {letter->key, PM_DIGEST_BYTES},
                           .value = letter->value,
                           .headers = letter->headers};
    if (deliver(post, &message, 1, &err) != PM_OK) {
        pmi_logf(post->log, PM_LOG_ERROR,
                 "dead letter %s was taken back and could not be put back: %s; submit its graph again",
                 PM_HEX(letter->key), err.text);
    }
}

static pm_status send_unit(pm_letter_post *post, const pm_letter *letter, int32_t partition, int64_t *offset,
                           pm_error *err) {
    rd_kafka_headers_t *headers = pmi_headers_of_unit(letter->headers);
    pm_outgoing message = {.topic = PM_TOPIC_UNITS,
                           .partition = partition,
                           .key = {letter->key, PM_DIGEST_BYTES},
                           .value = letter->value,
                           .headers = headers};
    pm_status st = deliver(post, &message, 1, err);
    rd_kafka_headers_destroy(headers);
    PM_TRY(st);
    *offset = post->sent.items[0].offset;
    return PM_OK;
}

/* Ids are digests: their bytes spread evenly. */
static size_t choose_partition(const pm_letter *letter, size_t n_partitions) {
    return ((size_t)letter->key[0] | (size_t)letter->key[1] << 8) % n_partitions;
}

/* The letter is taken back before the unit is sent, which may die again at once and leave a new letter of the same key.
 * In between the unit is "being sent": a collector finds it lost when nobody sends it. */
static pm_status replay_unit(pm_letter_post *post, const pm_letter *letter, const unit_in_letter *u,
                             size_t n_partitions, pm_error *err) {
    pm_redis *redis = post->redis;
    pm_unit_record record = {.kind = u->unit.kind,
                             .cost = u->unit.cost,
                             .partition = choose_partition(letter, n_partitions),
                             .offset = -1,
                             .items = u->items.bytes};
    memcpy(record.unit, u->unit.unit, PM_DIGEST_BYTES);
    memcpy(record.job, u->unit.job, PM_DIGEST_BYTES);
    PM_TRY(pmi_board_forgive(redis, record.job, record.unit, err));
    PM_TRY(pmi_board_place(redis, &record, 1, true, err));
    PM_TRY(take_back(post, letter, err));
    pm_status st = send_unit(post, letter, (int32_t)record.partition, &record.offset, err);
    if (st != PM_OK) {
        put_back(post, letter);
        return st;
    }
    PM_TRY(pmi_board_place(redis, &record, 1, false, err));
    const pm_log_field fields[] = {{"unit", PM_HEX(record.unit), 0},
                                   {"job", PM_HEX(record.job), 0},
                                   {"partition", NULL, (double)record.partition},
                                   {"offset", NULL, (double)record.offset}};
    pmi_log_event(post->log, PM_LOG_DEBUG, fields, 4, "replayed");
    return PM_OK;
}

static pm_status replay(pm_letter_post *post, const pm_letter *letter, size_t n_partitions, pm_error *err) {
    unit_in_letter u = {0};
    pm_status st = read_letter(post, letter, &u, err);
    PM_THEN(st, replay_unit(post, letter, &u, n_partitions, err));
    free_unit(&u);
    if (st != PM_OK) {
        pmi_fail_prefix(err, "dead letter %s", PM_HEX(letter->key));
    }
    return st;
}

pm_status pmi_letters_replay(pm_letter_post *post, const pm_letter *const *letters, size_t n, pm_error *err) {
    size_t n_partitions = 0;
    pm_status st = open_sender(post, err);
    PM_THEN(st, pmi_topics_ensure(pmi_sender_handle(post->sender), post->kafka, true, post->log, &n_partitions, err));
    size_t refused = 0;
    for (size_t i = 0; st == PM_OK && i < n; i++) {
        st = post->limit(post->ctx, err);
        PM_THEN(st, replay(post, letters[i], n_partitions, err));
        if (st == PM_EDATA && n > 1) { /* one letter that nobody should have written does not keep the others */
            pmi_logf(post->log, PM_LOG_ERROR, "%s", err->text);
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

static pm_status drop_some(pm_letter_post *post, const pm_letter *const *letters, size_t n, pm_error *err) {
    pm_outgoing tombstones[BATCH];
    for (size_t i = 0; i < n; i++) {
        tombstones[i] = tombstone_of(letters[i]);
    }
    PM_TRY(post->limit(post->ctx, err));
    return deliver(post, tombstones, n, err);
}

pm_status pmi_letters_drop(pm_letter_post *post, const pm_letter *const *letters, size_t n, pm_error *err) {
    PM_TRY(open_sender(post, err));
    for (size_t first = 0; first < n; first += BATCH) {
        PM_TRY(drop_some(post, letters + first, n - first < BATCH ? n - first : BATCH, err));
    }
    return PM_OK;
}

void pmi_letter_post_close(pm_letter_post *post) {
    pmi_sender_close(post->sender);
    free(post->sent.items);
}
