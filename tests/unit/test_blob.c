#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "redis/blob.h"
#include "redis_server.h"
#include "wire/messages.h"

#define SPACE "blob"
#define LIMIT ((size_t)1 << 30)

typedef struct bench {
    redis_server server;
    pm_redis *r;
    pm_error err;
} bench;

static void begin(bench *b) {
    redis_server_start(&b->server, NULL);
    b->r = redis_server_open(&b->server);
}

static void end(bench *b) {
    (void)redis_server_check_keys(&b->server);
    pmi_redis_close(b->r);
    redis_server_stop(&b->server);
}

/* Bytes that follow from `seed`, and that no chunk shares with another. */
static uint8_t *bytes_of(uint64_t seed, size_t size) {
    uint8_t *bytes = malloc(size + 8);
    cr_assert_not_null(bytes);
    pm_random random = {.state = seed};
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = pmi_random_next(&random);
        memcpy(bytes + i, &word, 8);
    }
    return bytes;
}

static pm_status put_one(bench *b, uint64_t key, const uint8_t *bytes, size_t size, bool replace,
                         pm_blob_put_how *how) {
    pm_blob_item item = {.bytes = bytes, .size = size};
    fixture_key(key, item.digest);
    pm_status st = pmi_blob_put(b->r, SPACE, &item, 1, replace, &b->err);
    *how = item.how;
    return st;
}

static pm_blob_put_how put(bench *b, uint64_t key, const uint8_t *bytes, size_t size) {
    pm_blob_put_how how;
    cr_assert_eq(put_one(b, key, bytes, size, false, &how), PM_OK, "%s", b->err.text);
    return how;
}

static pm_blob_found get(bench *b, uint64_t key, size_t limit, pm_buffer *value) {
    uint8_t digest[PM_DIGEST_BYTES];
    pm_blob_found found;
    fixture_key(key, digest);
    value->size = 0;
    cr_assert_eq(pmi_blob_get(b->r, SPACE, digest, limit, value, &found, &b->err), PM_OK, "%s", b->err.text);
    return found;
}

static void expect_value(bench *b, uint64_t key, const uint8_t *bytes, size_t size) {
    pm_buffer value = {0};
    cr_expect_eq(get(b, key, LIMIT, &value), PM_BLOB_FOUND);
    cr_expect_eq(value.size, size);
    cr_expect(size == 0 || memcmp(value.bytes, bytes, size) == 0, "%zu bytes", size);
    pmi_buffer_free(&value);
}

static bool exists(bench *b, uint64_t key) {
    uint8_t digest[1][PM_DIGEST_BYTES];
    bool is_there;
    fixture_key(key, digest[0]);
    cr_assert_eq(pmi_redis_exist(b->r, SPACE, digest, 1, true, &is_there, &b->err), PM_OK, "%s", b->err.text);
    return is_there;
}

/* "test:chunk:{..}:....:i" of a value. */
static void chunk_key(uint64_t key, const uint8_t *bytes, size_t size, int i, char *text, size_t n) {
    uint8_t digest[PM_DIGEST_BYTES], value[PM_DIGEST_BYTES];
    char hex[PM_DIGEST_HEX], value_hex[PM_DIGEST_HEX];
    fixture_key(key, digest);
    (void)pmi_digest(PM_SHA256, bytes, size, value, NULL);
    pmi_hex(digest, hex);
    pmi_hex(value, value_hex);
    (void)snprintf(text, n, "test:chunk:{%s}:%.16s:%d", hex, value_hex, i);
}

static void blob_key(uint64_t key, char *text, size_t n) {
    uint8_t digest[PM_DIGEST_BYTES];
    char hex[PM_DIGEST_HEX];
    fixture_key(key, digest);
    pmi_hex(digest, hex);
    (void)snprintf(text, n, "test:" SPACE ":{%s}", hex);
}

static long long tell(bench *b, const char *verb, const char *key, const char *rest) {
    char command[400];
    (void)snprintf(command, sizeof command, "%s %s%s", verb, key, rest);
    return redis_server_tell(&b->server, command);
}

/* ---- there and back ---- */

Test(blob, values_of_all_sizes) {
    static const size_t sizes[] = {0,
                                   1,
                                   300,
                                   PM_BLOB_PIECE - 1,
                                   PM_BLOB_PIECE,
                                   PM_BLOB_PIECE + 1,
                                   2 * PM_BLOB_PIECE,
                                   (size_t)3 << 20,
                                   (size_t)40 << 20};
    bench b;
    begin(&b);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint8_t *bytes = bytes_of(i, sizes[i]);
        pm_buffer value = {0};
        cr_expect_not(exists(&b, i));
        cr_expect_eq(get(&b, i, LIMIT, &value), PM_BLOB_MISSING);
        cr_expect_eq(put(&b, i, bytes, sizes[i]), PM_BLOB_STORED);
        cr_expect(exists(&b, i));
        expect_value(&b, i, bytes, sizes[i]);
        cr_expect_eq(put(&b, i, bytes, sizes[i]), PM_BLOB_SAME);
        free(bytes);
        pmi_buffer_free(&value);
    }
    cr_expect_eq(redis_server_check_keys(&b.server), 9 + 2 + 2 + 4 + 41);
    cr_expect_eq(b.server.folder.errors + b.server.folder.warnings, 0);
    end(&b);
}

Test(blob, get_appends) {
    bench b;
    begin(&b);
    uint8_t *bytes = bytes_of(1, (size_t)2 << 20), digest[PM_DIGEST_BYTES];
    pm_buffer value = {0};
    pm_blob_found found;
    (void)put(&b, 1, bytes, (size_t)2 << 20);
    cr_assert_eq(pmi_buffer_add(&value, "abc", 3, NULL), PM_OK);
    fixture_key(1, digest);
    cr_assert_eq(pmi_blob_get(b.r, SPACE, digest, LIMIT, &value, &found, &b.err), PM_OK, "%s", b.err.text);
    cr_expect_eq(value.size, 3 + ((size_t)2 << 20));
    cr_expect_eq(memcmp(value.bytes, "abc", 3), 0);
    cr_expect_eq(memcmp(value.bytes + 3, bytes, (size_t)2 << 20), 0);
    pmi_buffer_free(&value);
    free(bytes);
    end(&b);
}

typedef struct gathered {
    size_t n, found, missing, damaged, bytes;
    size_t fail_at;
    bool seen[3000];
} gathered;

static pm_status gather(void *ctx, size_t i, pm_blob_found found, pm_span value, pm_error *err) {
    gathered *g = ctx;
    uint8_t key[PM_DIGEST_BYTES];
    cr_assert_lt(i, 3000);
    cr_expect_not(g->seen[i]);
    g->seen[i] = true;
    g->n++;
    g->found += found == PM_BLOB_FOUND;
    g->missing += found == PM_BLOB_MISSING;
    g->damaged += found == PM_BLOB_DAMAGED;
    g->bytes += value.size;
    fixture_key(i, key);
    cr_expect(found != PM_BLOB_FOUND || fixture_is_value(key, value.bytes, value.size), "%zu", i);
    cr_expect(found == PM_BLOB_FOUND || value.size == 0);
    return g->n == g->fail_at ? pmi_fail(err, PM_EUSAGE, "enough") : PM_OK;
}

/* Small ones with some large ones between them; every seventh is not put. */
Test(blob, many_at_once) {
    enum { N = 3000 };
    bench b;
    begin(&b);
    pm_blob_item *items = calloc(N, sizeof *items);
    uint8_t(*digests)[PM_DIGEST_BYTES] = calloc(N, sizeof *digests);
    bool *exist = calloc(N, sizeof *exist);
    size_t n = 0, bytes = 0;
    for (size_t i = 0; i < N; i++) {
        size_t size = i % 700 == 1 ? (size_t)2500000 : i % 100 == 2 ? (size_t)200000 : 100 + i % 400;
        fixture_key(i, digests[i]);
        if (i % 7 == 3) {
            continue;
        }
        uint8_t *value = malloc(size);
        fixture_value(digests[i], value, size);
        items[n] = (pm_blob_item){.bytes = value, .size = size};
        memcpy(items[n++].digest, digests[i], PM_DIGEST_BYTES);
        bytes += size;
    }
    for (int turn = 0; turn < 2; turn++) {
        cr_assert_eq(pmi_blob_put(b.r, SPACE, items, n, false, &b.err), PM_OK, "%s", b.err.text);
        for (size_t i = 0; i < n; i++) {
            cr_assert_eq(items[i].how, turn == 0 ? PM_BLOB_STORED : PM_BLOB_SAME);
        }
    }
    cr_assert_eq(pmi_redis_exist(b.r, SPACE, digests, N, true, exist, &b.err), PM_OK, "%s", b.err.text);
    for (size_t i = 0; i < N; i++) {
        cr_assert_eq(exist[i], i % 7 != 3);
    }
    gathered *g = calloc(1, sizeof *g);
    cr_assert_eq(pmi_blob_get_many(b.r, SPACE, digests, N, LIMIT, gather, g, &b.err), PM_OK, "%s", b.err.text);
    cr_expect_eq(g->n, N);
    cr_expect_eq(g->found, n);
    cr_expect_eq(g->damaged, 0);
    cr_expect_eq(g->bytes, bytes);
    *g = (gathered){.fail_at = 20};
    cr_expect_eq(pmi_blob_get_many(b.r, SPACE, digests, N, LIMIT, gather, g, &b.err), PM_EUSAGE);
    cr_expect_eq(g->n, 20);
    cr_expect(exists(&b, 0), "the connection is in step");
    for (size_t i = 0; i < n; i++) {
        free((void *)items[i].bytes);
    }
    free(g);
    free(items);
    free(digests);
    free(exist);
    end(&b);
}

Test(blob, nothing_is_nothing) {
    bench b;
    begin(&b);
    cr_expect_eq(pmi_blob_put(b.r, SPACE, NULL, 0, false, &b.err), PM_OK);
    cr_expect_eq(pmi_redis_exist(b.r, SPACE, NULL, 0, true, NULL, &b.err), PM_OK);
    cr_expect_eq(pmi_blob_get_many(b.r, SPACE, NULL, 0, LIMIT, gather, NULL, &b.err), PM_OK);
    end(&b);
}

Test(blob, removing) {
    bench b;
    begin(&b);
    uint8_t *bytes = bytes_of(1, (size_t)3 << 20), digest[PM_DIGEST_BYTES];
    (void)put(&b, 1, bytes, 100);
    (void)put(&b, 2, bytes, (size_t)3 << 20);
    for (uint64_t key = 0; key < 3; key++) { /* 0 is not there */
        fixture_key(key, digest);
        cr_expect_eq(pmi_blob_remove(b.r, SPACE, digest, &b.err), PM_OK, "%s", b.err.text);
    }
    cr_expect_eq(redis_server_tell(&b.server, "DBSIZE"), 0);
    char key[200];
    blob_key(5, key, sizeof key);
    tell(&b, "SET", key, " nonsense EX 100");
    fixture_key(5, digest);
    cr_expect_eq(pmi_blob_remove(b.r, SPACE, digest, &b.err), PM_OK, "%s", b.err.text);
    cr_expect_eq(redis_server_tell(&b.server, "DBSIZE"), 0);
    free(bytes);
    end(&b);
}

/* ---- writers ---- */

Test(blob, other_bytes_are_an_alarm) {
    bench b;
    begin(&b);
    uint8_t *one = bytes_of(1, (size_t)3 << 20), *other = bytes_of(2, (size_t)3 << 20);
    static const size_t sizes[] = {50, (size_t)3 << 20};
    for (size_t i = 0; i < 2; i++) {
        cr_expect_eq(put(&b, i, one, sizes[i]), PM_BLOB_STORED);
        cr_expect_eq(put(&b, i, other, sizes[i]), PM_BLOB_DIFFERS);
        cr_expect_eq(b.server.folder.errors, (int)i + 1);
        cr_expect(strstr(b.server.folder.last_error, "SHA-256") != NULL);
        expect_value(&b, i, one, sizes[i]);
        cr_expect_eq(put(&b, i, one, sizes[i]), PM_BLOB_SAME);
        /* a manifest replaces */
        pm_blob_put_how how;
        cr_assert_eq(put_one(&b, i, other, sizes[i], true, &how), PM_OK, "%s", b.err.text);
        cr_expect_eq(how, PM_BLOB_DIFFERS);
        cr_expect_eq(b.server.folder.errors, (int)i + 1);
        expect_value(&b, i, other, sizes[i]);
        cr_assert_eq(put_one(&b, i, other, sizes[i], true, &how), PM_OK);
        cr_expect_eq(how, PM_BLOB_SAME);
    }
    free(one);
    free(other);
    end(&b);
}

Test(blob, chunks_of_an_interrupted_writer_are_kept) {
    bench b;
    begin(&b);
    uint8_t *bytes = bytes_of(1, (size_t)5 << 20);
    char key[200];
    (void)put(&b, 1, bytes, (size_t)5 << 20);
    blob_key(1, key, sizeof key);
    tell(&b, "DEL", key, ""); /* as if the writer had died before the blob */
    chunk_key(1, bytes, (size_t)5 << 20, 2, key, sizeof key);
    tell(&b, "DEL", key, "");
    redis_server_tell(&b.server, "CONFIG RESETSTAT");
    cr_expect_eq(put(&b, 1, bytes, (size_t)5 << 20), PM_BLOB_STORED);
    expect_value(&b, 1, bytes, (size_t)5 << 20);
    free(bytes);
    end(&b);
}

/* ---- lives ---- */

Test(blob, reading_and_asking_refresh) {
    bench b;
    begin(&b);
    uint8_t *bytes = bytes_of(1, (size_t)2 << 20);
    char blob[200], chunk[200];
    (void)put(&b, 1, bytes, (size_t)2 << 20);
    blob_key(1, blob, sizeof blob);
    chunk_key(1, bytes, (size_t)2 << 20, 1, chunk, sizeof chunk);
    cr_expect_gt(tell(&b, "TTL", chunk, ""), 7000);
    cr_expect_gt(tell(&b, "TTL", blob, ""), 3500);
    cr_expect_lt(tell(&b, "TTL", blob, ""), 3601);
    tell(&b, "EXPIRE", blob, " 50");
    tell(&b, "EXPIRE", chunk, " 50");
    cr_expect(exists(&b, 1));
    cr_expect_gt(tell(&b, "TTL", blob, ""), 3500);
    tell(&b, "EXPIRE", blob, " 50");
    expect_value(&b, 1, bytes, (size_t)2 << 20);
    cr_expect_gt(tell(&b, "TTL", blob, ""), 3500);
    cr_expect_gt(tell(&b, "TTL", chunk, ""), 7000);
    tell(&b, "EXPIRE", blob, " 50");
    tell(&b, "EXPIRE", chunk, " 50");
    cr_expect_eq(put(&b, 1, bytes, (size_t)2 << 20), PM_BLOB_SAME);
    cr_expect_gt(tell(&b, "TTL", blob, ""), 3500);
    cr_expect_gt(tell(&b, "TTL", chunk, ""), 7000);
    free(bytes);
    end(&b);
}

/* ---- damage ---- */

/* Damaged: refused, said, removed with its chunks, and can be put again. */
static void expect_damage(bench *b, uint64_t key, const uint8_t *bytes, size_t size, size_t limit) {
    pm_buffer value = {0};
    int before = b->server.folder.warnings;
    cr_expect_eq(get(b, key, limit, &value), PM_BLOB_DAMAGED);
    cr_expect_eq(value.size, 0);
    cr_expect_eq(b->server.folder.warnings, before + 1);
    cr_expect_eq(get(b, key, limit, &value), PM_BLOB_MISSING);
    cr_expect_eq(put(b, key, bytes, size), PM_BLOB_STORED);
    expect_value(b, key, bytes, size);
    pmi_buffer_free(&value);
}

Test(blob, damaged_chunks) {
    bench b;
    begin(&b);
    size_t size = (size_t)4 << 20;
    uint8_t *bytes = bytes_of(1, size);
    char first[200], last[200];
    (void)put(&b, 1, bytes, size);
    chunk_key(1, bytes, size, 0, first, sizeof first);
    chunk_key(1, bytes, size, 4, last, sizeof last);
    tell(&b, "DEL", last, "");
    expect_damage(&b, 1, bytes, size, LIMIT);
    tell(&b, "SETRANGE", first, " 1000 altered");
    expect_damage(&b, 1, bytes, size, LIMIT);
    tell(&b, "APPEND", last, " x");
    expect_damage(&b, 1, bytes, size, LIMIT);
    tell(&b, "DEL", first, "");
    tell(&b, "SADD", first, " x");
    tell(&b, "EXPIRE", first, " 100");
    expect_damage(&b, 1, bytes, size, LIMIT);
    free(bytes);
    end(&b);
}

Test(blob, damaged_blobs) {
    bench b;
    begin(&b);
    uint8_t *bytes = bytes_of(1, 3000);
    char key[200];
    blob_key(1, key, sizeof key);
    for (size_t at = 0; at < 3000; at += 37) { /* also in the head and in the digests */
        char rest[64];
        (void)snprintf(rest, sizeof rest, " %zu %s", at, "ALTERED");
        (void)put(&b, 1, bytes, 3000);
        tell(&b, "SETRANGE", key, rest);
        expect_damage(&b, 1, bytes, 3000, LIMIT);
        (void)tell(&b, "DEL", key, "");
    }
    static const char *const values[] = {" nonsense EX 100", " \"\" EX 100", " 1 EX 100"};
    for (size_t i = 0; i < 3; i++) {
        tell(&b, "SET", key, values[i]);
        expect_damage(&b, 1, bytes, 3000, LIMIT);
    }
    (void)tell(&b, "DEL", key, "");
    tell(&b, "SADD", key, " x");
    expect_damage(&b, 1, bytes, 3000, LIMIT);
    /* putting over a damaged one puts it right */
    tell(&b, "SETRANGE", key, " 100 ALTERED");
    int before = b.server.folder.warnings;
    cr_expect_eq(put(&b, 1, bytes, 3000), PM_BLOB_STORED);
    cr_expect_eq(b.server.folder.warnings, before + 1);
    expect_value(&b, 1, bytes, 3000);
    free(bytes);
    end(&b);
}

/* What a blob says of itself is not believed: encoded whole, with other sizes and counts. */
Test(blob, lying_blobs) {
    bench b;
    begin(&b);
    uint8_t *bytes = bytes_of(1, 3000), digest[PM_DIGEST_BYTES];
    static const struct {
        uint64_t size, chunks;
        size_t inside;
    } lies[] = {{3001, 0, 3000}, {2999, 0, 3000},    {3000, 1, 3000},         {3000, 1, 0},
                {0, 0, 3000},    {3000000, 2, 3000}, {1ULL << 39, 528000, 0}, {1ULL << 62, 4432406249473ULL, 0}};
    fixture_key(1, digest);
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        pm_blob_message blob = {.size = lies[i].size, .chunks = lies[i].chunks, .bytes = {bytes, lies[i].inside}};
        pm_buffer encoded = {0};
        char key[PM_REDIS_KEY];
        redisReply *reply;
        (void)pmi_digest(PM_SHA256, bytes, 3000, blob.digest, NULL);
        if (pmi_message_encode(&pmi_blob_type, &blob, &encoded, &b.err) != PM_OK) {
            pmi_buffer_free(&encoded);
            continue; /* its table refuses to write it, and so to read it */
        }
        const pm_span argv[] = {pmi_span_of("SET"),
                                pmi_redis_key(b.r, SPACE, digest, key),
                                {encoded.bytes, encoded.size},
                                pmi_span_of("EX"),
                                pmi_span_of("100")};
        cr_assert_eq(pmi_redis_call(b.r, argv, 5, &reply, &b.err), PM_OK, "%s", b.err.text);
        freeReplyObject(reply);
        expect_damage(&b, 1, bytes, 3000, LIMIT);
        cr_assert_eq(pmi_blob_remove(b.r, SPACE, digest, &b.err), PM_OK);
        pmi_buffer_free(&encoded);
    }
    free(bytes);
    end(&b);
}

Test(blob, values_over_the_limit_are_damage) {
    bench b;
    begin(&b);
    uint8_t *bytes = bytes_of(1, (size_t)3 << 20);
    (void)put(&b, 1, bytes, 1000);
    (void)put(&b, 2, bytes, (size_t)3 << 20);
    expect_damage(&b, 1, bytes, 1000, 999);
    expect_damage(&b, 2, bytes, (size_t)3 << 20, ((size_t)3 << 20) - 1);
    free(bytes);
    end(&b);
}

Test(blob, damage_among_many) {
    bench b;
    begin(&b);
    uint8_t digests[4][PM_DIGEST_BYTES], value[100];
    char key[200];
    for (uint64_t i = 0; i < 4; i++) {
        fixture_key(i, digests[i]);
        fixture_value(digests[i], value, sizeof value);
        (void)put(&b, i, value, sizeof value);
    }
    blob_key(2, key, sizeof key);
    tell(&b, "SETRANGE", key, " 100 ALTERED");
    gathered *g = calloc(1, sizeof *g);
    cr_assert_eq(pmi_blob_get_many(b.r, SPACE, (const uint8_t(*)[PM_DIGEST_BYTES])digests, 4, LIMIT, gather, g, &b.err),
                 PM_OK, "%s", b.err.text);
    cr_expect_eq(g->found, 3);
    cr_expect_eq(g->damaged, 1);
    cr_expect_eq(b.server.folder.warnings, 1);
    free(g);
    end(&b);
}

/* ---- faults ---- */

Test(blob, a_full_server_and_room_again) {
    bench b;
    begin(&b);
    size_t size = (size_t)5 << 20;
    uint8_t *bytes = bytes_of(1, size);
    pm_blob_put_how how;
    redis_server_tell(&b.server, "CONFIG SET maxmemory 3mb");
    cr_expect_eq(put_one(&b, 1, bytes, size, false, &how), PM_ETEMPORARY);
    cr_expect(strstr(b.err.text, "OOM") != NULL, "%s", b.err.text);
    cr_expect_not(exists(&b, 1), "no blob without its chunks");
    redis_server_tell(&b.server, "CONFIG SET maxmemory 0");
    cr_expect_eq(put(&b, 1, bytes, size), PM_BLOB_STORED);
    expect_value(&b, 1, bytes, size);
    free(bytes);
    end(&b);
}

Test(blob, a_server_killed_and_restarted) {
    bench b;
    begin(&b);
    uint8_t *bytes = bytes_of(1, (size_t)3 << 20), digest[1][PM_DIGEST_BYTES];
    pm_blob_put_how how;
    pm_buffer value = {0};
    pm_blob_found found;
    bool exist;
    fixture_key(1, digest[0]);
    const uint8_t(*digests)[PM_DIGEST_BYTES] = (const uint8_t(*)[PM_DIGEST_BYTES])digest;
    (void)put(&b, 1, bytes, (size_t)3 << 20);
    redis_server_kill(&b.server);
    cr_expect_eq(put_one(&b, 1, bytes, (size_t)3 << 20, false, &how), PM_EUNAVAILABLE);
    cr_expect_eq(pmi_blob_get(b.r, SPACE, digest[0], LIMIT, &value, &found, &b.err), PM_EUNAVAILABLE);
    cr_expect_eq(pmi_redis_exist(b.r, SPACE, digests, 1, true, &exist, &b.err), PM_EUNAVAILABLE);
    cr_expect_eq(pmi_blob_remove(b.r, SPACE, digest[0], &b.err), PM_EUNAVAILABLE);
    cr_expect_eq(pmi_blob_get_many(b.r, SPACE, digests, 1, LIMIT, gather, NULL, &b.err), PM_EUNAVAILABLE);
    cr_expect_eq(value.size, 0);
    redis_server_restart(&b.server);
    cr_expect_not(exists(&b, 1)); /* this server keeps nothing on disk */
    cr_expect_eq(put(&b, 1, bytes, (size_t)3 << 20), PM_BLOB_STORED);
    expect_value(&b, 1, bytes, (size_t)3 << 20);
    pmi_buffer_free(&value);
    free(bytes);
    end(&b);
}

/* Two connections write and read the same keys at once. */
Test(blob, two_writers) {
    bench b;
    begin(&b);
    pm_redis *second = redis_server_open(&b.server), *first = b.r;
    uint8_t *bytes = bytes_of(1, (size_t)3 << 20);
    cr_expect_eq(put(&b, 1, bytes, (size_t)3 << 20), PM_BLOB_STORED);
    b.r = second;
    cr_expect_eq(put(&b, 1, bytes, (size_t)3 << 20), PM_BLOB_SAME);
    expect_value(&b, 1, bytes, (size_t)3 << 20);
    b.r = first;
    expect_value(&b, 1, bytes, (size_t)3 << 20);
    pmi_redis_close(second);
    free(bytes);
    end(&b);
}
