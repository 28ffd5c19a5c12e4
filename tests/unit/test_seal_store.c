/* Seals on what is in Redis, and the note there that names the cluster's key. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "redis/board.h"
#include "redis/traces.h"
#include "redis_server.h"

#define KEY "0123456789abcdef0123456789abcdef"
#define OTHER "fedcba9876543210fedcba9876543210"
#define SPACE PM_SPACE_RESULT
#define LIMIT ((size_t)1 << 30)

typedef struct bench {
    redis_server server;
    pm_seal *seal, *other;
    pm_error err;
} bench;

static void begin(bench *b) {
    *b = (bench){.seal = NULL};
    redis_server_start(&b->server, NULL);
    cr_assert_eq(pmi_seal_new(KEY, strlen(KEY), &b->seal, &b->err), PM_OK);
    cr_assert_eq(pmi_seal_new(OTHER, strlen(OTHER), &b->other, &b->err), PM_OK);
}

static void end(bench *b) {
    (void)redis_server_check_keys(&b->server);
    redis_server_stop(&b->server);
    pmi_seal_free(b->seal);
    pmi_seal_free(b->other);
}

static pm_redis *open_as(bench *b, const pm_seal *seal) {
    pm_redis_options options = redis_server_options(&b->server);
    pm_redis *r = NULL;
    options.seal = seal;
    cr_assert_eq(pmi_redis_open(&options, &b->server.folder.log, &r, &b->err), PM_OK, "%s", b->err.text);
    return r;
}

static bool says(const bench *b, const char *words) {
    return strstr(b->err.text, words) != NULL;
}

/* ---- the note ---- */

static pm_status check_as(bench *b, const pm_seal *seal) {
    pm_redis *r = open_as(b, seal);
    pm_status st = pmi_redis_check(r, &b->err);
    pmi_redis_close(r);
    return st;
}

Test(seal_store, the_first_key_is_the_cluster_s) {
    bench b;
    begin(&b);
    cr_assert_eq(check_as(&b, NULL), PM_OK);
    cr_assert_eq(redis_server_tell(&b.server, "EXISTS test:cluster-key"), 0);
    cr_assert_eq(check_as(&b, b.seal), PM_OK, "%s", b.err.text);
    cr_assert_eq(check_as(&b, b.seal), PM_OK);
    cr_assert_eq(check_as(&b, b.other), PM_ECONFIG);
    cr_assert(says(&b, pmi_seal_id(b.seal)) && says(&b, pmi_seal_id(b.other)) && says(&b, "test:cluster-key"));
    cr_assert_eq(check_as(&b, NULL), PM_ECONFIG);
    cr_assert(says(&b, pmi_seal_id(b.seal)) && says(&b, "none is set"), "%s", b.err.text);
    cr_assert_eq(redis_server_tell(&b.server, "DEL test:cluster-key"), 1);
    cr_assert_eq(check_as(&b, b.other), PM_OK);
    cr_assert_eq(check_as(&b, b.seal), PM_ECONFIG);
    end(&b);
}

Test(seal_store, a_note_of_somebody) {
    static const char *const writes[] = {"SET test:cluster-key 0123456789ABCDEF PX 9000",
                                         "SET test:cluster-key x PX 9000",
                                         "SET test:cluster-key 0123456789abcdef00 PX 9000", "LPUSH test:cluster-key x"};
    bench b;
    begin(&b);
    for (size_t i = 0; i < sizeof writes / sizeof *writes; i++) {
        (void)redis_server_tell(&b.server, "DEL test:cluster-key");
        (void)redis_server_tell(&b.server, writes[i]);
        cr_assert_eq(check_as(&b, b.seal), PM_ECONFIG, "%s", writes[i]);
        cr_assert(says(&b, "another") && says(&b, "test:cluster-key"), "%s", b.err.text);
        (void)redis_server_tell(&b.server, "PEXPIRE test:cluster-key 9000");
    }
    end(&b);
}

/* Who looks writes nothing; who has found it right once is not disturbed by what somebody writes later. */
Test(seal_store, looked_at_once) {
    bench b;
    begin(&b);
    pm_redis *r = open_as(&b, b.seal);
    cr_assert_eq(pmi_redis_see_key(r, &b.err), PM_OK);
    cr_assert_eq(redis_server_tell(&b.server, "EXISTS test:cluster-key"), 0);
    cr_assert_eq(pmi_redis_check(r, &b.err), PM_OK);
    (void)redis_server_tell(&b.server, "SET test:cluster-key x PX 9000");
    cr_assert_eq(pmi_redis_check(r, &b.err), PM_OK);
    cr_assert_eq(pmi_redis_see_key(r, &b.err), PM_ECONFIG);
    pmi_redis_close(r);
    end(&b);
}

/* ---- values ---- */

static void put(bench *b, pm_redis *r, uint64_t key, size_t size, uint8_t byte) {
    uint8_t *bytes = malloc(size);
    cr_assert_not_null(bytes);
    memset(bytes, byte, size);
    pm_blob_item item = {.bytes = bytes, .size = size};
    fixture_key(key, item.digest);
    cr_assert_eq(pmi_blob_put(r, SPACE, &item, 1, false, &b->err), PM_OK, "%s", b->err.text);
    free(bytes);
}

static pm_blob_found get(bench *b, pm_redis *r, uint64_t key) {
    uint8_t digest[PM_DIGEST_BYTES];
    pm_buffer value = {0};
    pm_blob_found found;
    fixture_key(key, digest);
    cr_assert_eq(pmi_blob_get(r, SPACE, digest, LIMIT, &value, &found, &b->err), PM_OK, "%s", b->err.text);
    pmi_buffer_free(&value);
    return found;
}

typedef struct sight {
    pm_blob_found found[3];
    size_t sizes[3];
} sight;

static pm_status see(void *ctx, size_t i, pm_blob_found found, pm_span value, pm_error *err) {
    sight *s = ctx;
    (void)err;
    s->found[i] = found;
    s->sizes[i] = value.size;
    return PM_OK;
}

Test(seal_store, blobs) {
    bench b;
    begin(&b);
    pm_redis *r = open_as(&b, b.seal), *other = open_as(&b, b.other), *bare = open_as(&b, NULL);
    uint8_t keys[3][PM_DIGEST_BYTES];
    sight s;
    put(&b, r, 1, 100, 'a');
    put(&b, r, 2, PM_BLOB_PIECE, 'b');         /* as much as stays inside */
    put(&b, r, 3, 3 * PM_BLOB_PIECE + 1, 'c'); /* in chunks */
    (void)redis_server_check_keys(&b.server);  /* none is over 1 MiB */
    for (uint64_t key = 1; key <= 3; key++) {
        fixture_key(key, keys[key - 1]);
        cr_assert_eq(get(&b, r, key), PM_BLOB_FOUND);
    }
    cr_assert_eq(pmi_blob_get_many(r, SPACE, (const uint8_t(*)[PM_DIGEST_BYTES])keys, 3, LIMIT, see, &s, &b.err),
                 PM_OK);
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(s.found[i], PM_BLOB_FOUND);
    }
    cr_assert(s.sizes[0] == 100 && s.sizes[1] == PM_BLOB_PIECE && s.sizes[2] == 3 * PM_BLOB_PIECE + 1);
    put(&b, r, 1, 100, 'a'); /* the same again is no alarm */
    cr_assert_eq(get(&b, other, 1), PM_BLOB_DAMAGED);
    cr_assert_eq(get(&b, r, 1), PM_BLOB_MISSING); /* what is refused is removed */
    cr_assert_eq(get(&b, bare, 3), PM_BLOB_DAMAGED);
    put(&b, bare, 1, 100, 'x');
    cr_assert_eq(get(&b, bare, 1), PM_BLOB_FOUND);
    cr_assert_eq(pmi_blob_get_many(r, SPACE, (const uint8_t(*)[PM_DIGEST_BYTES])keys, 3, LIMIT, see, &s, &b.err),
                 PM_OK);
    cr_assert(s.found[0] == PM_BLOB_DAMAGED && s.found[1] == PM_BLOB_FOUND && s.found[2] == PM_BLOB_MISSING);
    put(&b, bare, 1, 100, 'x');
    put(&b, r, 1, 100, 'a'); /* in the place of what has no seal */
    cr_assert_eq(get(&b, r, 1), PM_BLOB_FOUND);
    pmi_redis_close(r);
    pmi_redis_close(other);
    pmi_redis_close(bare);
    end(&b);
}

/* A value with its own seal under the name of another. */
Test(seal_store, blobs_that_were_moved) {
    bench b;
    begin(&b);
    pm_redis *r = open_as(&b, b.seal);
    char one[PM_REDIS_KEY], two[PM_REDIS_KEY], command[2 * PM_REDIS_KEY + 16];
    uint8_t digest[PM_DIGEST_BYTES];
    put(&b, r, 1, 100, 'a');
    fixture_key(1, digest);
    (void)pmi_redis_key(r, SPACE, digest, one);
    fixture_key(2, digest);
    (void)pmi_redis_key(r, SPACE, digest, two);
    (void)snprintf(command, sizeof command, "RENAME %s %s", one, two);
    (void)redis_server_tell(&b.server, command);
    cr_assert_eq(get(&b, r, 2), PM_BLOB_DAMAGED);
    put(&b, r, 2, 100, 'a');
    fixture_key(2, digest);
    (void)pmi_redis_key(r, PM_SPACE_TRACE, digest, one); /* another space */
    (void)snprintf(command, sizeof command, "RENAME %s %s", two, one);
    (void)redis_server_tell(&b.server, command);
    pm_buffer value = {0};
    pm_blob_found found;
    cr_assert_eq(pmi_blob_get(r, PM_SPACE_TRACE, digest, LIMIT, &value, &found, &b.err), PM_OK);
    cr_assert_eq(found, PM_BLOB_DAMAGED);
    pmi_buffer_free(&value);
    pmi_redis_close(r);
    end(&b);
}

/* ---- the board ---- */

Test(seal_store, outcomes_and_failures) {
    bench b;
    begin(&b);
    pm_redis *r = open_as(&b, b.seal), *bare = open_as(&b, NULL);
    pm_outcome_message out = {.kind = pmi_span_of("record"), .code = PM_EDATA, .error = pmi_span_of("e")}, back;
    pm_stored note = {0};
    fixture_key(1, out.unit);
    fixture_key(2, out.job);
    cr_assert_eq(pmi_board_end(bare, &out, 1, &b.err), PM_OK, "%s", b.err.text);
    cr_assert_eq(pmi_board_failure(r, out.job, &back, &note, &b.err), PM_EDATA);
    cr_assert(says(&b, "no seal") && says(&b, "test:failed:{"), "%s", b.err.text);
    cr_assert_eq(pmi_board_outcome(r, out.unit, &back, &note, &b.err), PM_EDATA);
    cr_assert_eq(pmi_board_forgive(r, out.job, out.unit, &b.err), PM_OK);
    cr_assert_eq(pmi_board_end(r, &out, 1, &b.err), PM_OK);
    cr_assert_eq(pmi_board_failure(r, out.job, &back, &note, &b.err), PM_OK, "%s", b.err.text);
    cr_assert(note.found && back.code == PM_EDATA);
    cr_assert_eq(pmi_board_outcome(bare, out.unit, &back, &note, &b.err), PM_EDATA);
    pmi_stored_free(&note);
    pmi_redis_close(r);
    pmi_redis_close(bare);
    end(&b);
}
