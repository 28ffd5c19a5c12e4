#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "cache/disk_impl.h"
#include "examples/models.h"
#include "model_fixture.h"
#include "redis/traces.h"
#include "redis_server.h"
#include "trace/codec.h"

/* A server, a disk (one of them may be left out), and a graph of nine SCCs of nine shapes with their recorded traces.
 */
typedef struct traces_fixture {
    redis_server server;
    disk_fixture folder;
    pm_traces traces;
    pm_analysis analysis;
    pm_library library;
    uint8_t (*keys)[PM_DIGEST_BYTES];
    pm_buffer *encoded;
    size_t n;
    pm_error err;
} traces_fixture;

#define MUST(call) cr_assert_eq(call, PM_OK, "%s", d->err.text)

static void open_disk(traces_fixture *d) {
    MUST(pmi_disk_open(d->folder.dir, (size_t)1 << 26, &d->folder.log, &d->traces.disk, &d->err));
}

static void record(traces_fixture *d) {
    const pm_library_options options = {
        .record = {.effort = PM_EFFORT_BALANCED, .memory = 1 << 26, .isa = model_fixture_isa()}, .threads = 1};
    pm_graph *graph;
    MUST(pmi_model_make(pmi_model_find("islands"), (const int64_t[]){10, 0}, &graph, &d->err));
    d->analysis = analysis_of(graph, PM_EFFORT_BALANCED);
    MUST(pmi_library_make(&d->analysis, &options, &d->library, &d->err));
    d->n = d->library.n_classes;
    cr_assert_eq(d->n, 9);
    d->keys = calloc(d->n + 1, sizeof *d->keys);
    d->encoded = calloc(d->n, sizeof *d->encoded);
    for (size_t i = 0; i < d->n; i++) {
        memcpy(d->keys[i], d->library.classes[i].key, PM_DIGEST_BYTES);
        MUST(pmi_trace_encode(&d->library.classes[i].plan.trace, d->keys[i], &d->encoded[i], &d->err));
    }
    fixture_key(12345, d->keys[d->n]); /* of no trace */
}

static traces_fixture *begin(bool with_disk) {
    traces_fixture *d = calloc(1, sizeof *d);
    redis_server_start(&d->server, NULL);
    disk_fixture_make(&d->folder);
    d->traces = (pm_traces){.redis = redis_server_open(&d->server), .log = &d->folder.log};
    if (with_disk) {
        open_disk(d);
    }
    record(d);
    return d;
}

static void end(traces_fixture *d) {
    (void)redis_server_check_keys(&d->server);
    pmi_traces_close(&d->traces);
    pmi_disk_close(d->traces.disk);
    pmi_redis_close(d->traces.redis);
    redis_server_stop(&d->server);
    disk_fixture_remove(&d->folder);
    for (size_t i = 0; i < d->n; i++) {
        pmi_buffer_free(&d->encoded[i]);
    }
    free(d->encoded);
    free(d->keys);
    pmi_library_free(&d->library);
    pmi_analysis_free(&d->analysis);
    free(d);
}

static const uint8_t (*keys_of(const traces_fixture *d))[PM_DIGEST_BYTES] {
    return (const uint8_t(*)[PM_DIGEST_BYTES])d->keys;
}

static void put_all(traces_fixture *d, const pm_trace_cache *cache) {
    pm_cache_entry entries[16];
    for (size_t i = 0; i < d->n; i++) {
        entries[i] = (pm_cache_entry){.bytes = d->encoded[i].bytes, .size = d->encoded[i].size};
        memcpy(entries[i].key, d->keys[i], PM_DIGEST_BYTES);
    }
    MUST(cache->put(cache->ctx, entries, d->n, &d->err));
}

/* The i-th trace: right, or not there. */
static bool has(traces_fixture *d, const pm_trace_cache *cache, size_t i) {
    pm_buffer value = {0};
    pm_cache_found found;
    MUST(pmi_buffer_add(&value, "abc", 3, &d->err)); /* get appends */
    MUST(cache->get(cache->ctx, d->keys[i], &value, &found, &d->err));
    bool is_found = found == PM_CACHE_FOUND;
    cr_expect_eq(memcmp(value.bytes, "abc", 3), 0);
    if (is_found) {
        cr_expect_eq(value.size, 3 + d->encoded[i].size);
        cr_expect_eq(memcmp(value.bytes + 3, d->encoded[i].bytes, d->encoded[i].size), 0, "trace %zu", i);
    } else {
        cr_expect_eq(value.size, 3);
    }
    pmi_buffer_free(&value);
    return is_found;
}

static size_t count(traces_fixture *d, const pm_trace_cache *cache) {
    size_t n = 0;
    for (size_t i = 0; i <= d->n; i++) {
        n += i < d->n ? has(d, cache, i) : 0;
    }
    return n;
}

static size_t on_disk(traces_fixture *d) {
    const pm_trace_cache cache = pmi_disk_cache(d->traces.disk, PM_CACHE_TRACE);
    return count(d, &cache);
}

static void flush(traces_fixture *d) {
    (void)redis_server_tell(&d->server, "FLUSHALL");
}

Test(traces, disk_alone) {
    traces_fixture *d = begin(true);
    const pm_trace_cache cache = pmi_disk_cache(d->traces.disk, PM_CACHE_TRACE);
    cr_expect_eq(count(d, &cache), 0);
    put_all(d, &cache);
    cr_expect_eq(count(d, &cache), d->n);
    MUST(cache.remove(cache.ctx, d->keys[3], &d->err));
    cr_expect_not(has(d, &cache, 3));
    cr_expect_eq(redis_server_tell(&d->server, "DBSIZE"), 0);
    end(d);
}

Test(traces, put_reaches_both) {
    traces_fixture *d = begin(true);
    const pm_trace_cache cache = pmi_traces_cache(&d->traces);
    put_all(d, &cache);
    cr_expect_eq(redis_server_tell(&d->server, "DBSIZE"), (long long)d->n);
    cr_expect_eq(on_disk(d), d->n);
    MUST(cache.remove(cache.ctx, d->keys[0], &d->err));
    MUST(cache.remove(cache.ctx, d->keys[d->n], &d->err)); /* is not there */
    cr_expect_not(has(d, &cache, 0));
    cr_expect_eq(redis_server_tell(&d->server, "DBSIZE"), (long long)d->n - 1);
    cr_expect_eq(on_disk(d), d->n - 1);
    /* the disk is asked first, Redis where it has nothing */
    flush(d);
    cr_expect_eq(count(d, &cache), d->n - 1);
    end(d);
}

Test(traces, what_comes_from_redis_stays_on_disk) {
    traces_fixture *d = begin(true);
    pm_disk *disk = d->traces.disk;
    const pm_trace_cache cache = pmi_traces_cache(&d->traces);
    d->traces.disk = NULL;
    put_all(d, &cache);
    cr_expect_eq(count(d, &cache), d->n);
    d->traces.disk = disk;
    cr_expect_eq(on_disk(d), 0);
    cr_expect(has(d, &cache, 4));
    cr_expect_eq(on_disk(d), 0, "whether it fits is not known yet");
    pmi_traces_settle(&d->traces, true);
    cr_expect_eq(on_disk(d), 1);
    flush(d);
    cr_expect(has(d, &cache, 4));
    cr_expect_not(has(d, &cache, 5));
    end(d);
}

Test(traces, warm_holds_many) {
    for (int with_disk = 0; with_disk < 2; with_disk++) {
        traces_fixture *d = begin(with_disk);
        const pm_trace_cache cache = pmi_traces_cache(&d->traces);
        MUST(pmi_traces_warm(&d->traces, keys_of(d), d->n + 1, &d->err)); /* nothing there yet */
        put_all(d, &cache);
        if (with_disk) { /* some on disk, the others in Redis */
            pmi_disk_close(d->traces.disk);
            disk_fixture_remove(&d->folder);
            disk_fixture_make(&d->folder);
            open_disk(d);
            cr_expect(has(d, &cache, 2));
            pmi_traces_settle(&d->traces, true);
            cr_expect_eq(on_disk(d), 1);
        }
        MUST(pmi_traces_warm(&d->traces, keys_of(d), d->n + 1, &d->err));
        redis_server_kill(&d->server);
        for (size_t i = 0; i < d->n; i++) {
            cr_expect(has(d, &cache, i));
        }
        pmi_traces_settle(&d->traces, true);
        cr_expect_eq(with_disk ? on_disk(d) : d->n, d->n);
        pm_disk *disk = d->traces.disk;
        /* each can be taken once */
        pm_buffer value = {0};
        pm_cache_found found;
        d->traces.disk = NULL;
        cr_expect_eq(cache.get(cache.ctx, d->keys[0], &value, &found, &d->err), PM_EUNAVAILABLE);
        d->traces.disk = disk;
        pmi_buffer_free(&value);
        redis_server_restart(&d->server);
        end(d);
    }
}

/* What turns out not to fit is removed by whoever asked for it, and never reaches the disk; no more does the last one
 * of a series that failed. */
Test(traces, what_does_not_fit_stays_off_the_disk) {
    for (int is_warm = 0; is_warm < 2; is_warm++) {
        traces_fixture *d = begin(true);
        const pm_trace_cache cache = pmi_traces_cache(&d->traces);
        pm_disk *disk = d->traces.disk;
        d->traces.disk = NULL;
        put_all(d, &cache);
        d->traces.disk = disk;
        if (is_warm) {
            MUST(pmi_traces_warm(&d->traces, keys_of(d), d->n, &d->err));
        }
        cr_expect(has(d, &cache, 0));
        cr_expect(has(d, &cache, 1));
        MUST(cache.remove(cache.ctx, d->keys[1], &d->err));
        cr_expect(has(d, &cache, 2));
        pmi_traces_settle(&d->traces, false);
        cr_expect_eq(on_disk(d), 1);
        const pm_trace_cache on_disk_alone = pmi_disk_cache(disk, PM_CACHE_TRACE);
        cr_expect(has(d, &on_disk_alone, 0));
        cr_expect_eq(redis_server_tell(&d->server, "DBSIZE"), (long long)d->n - 1);
        end(d);
    }
}

Test(traces, warm_again_after_a_fault) {
    traces_fixture *d = begin(false);
    const pm_trace_cache cache = pmi_traces_cache(&d->traces);
    put_all(d, &cache);
    MUST(pmi_traces_warm(&d->traces, keys_of(d), 4, &d->err));
    redis_server_kill(&d->server);
    cr_expect_eq(pmi_traces_warm(&d->traces, keys_of(d), d->n, &d->err), PM_EUNAVAILABLE);
    redis_server_restart(&d->server); /* has lost all */
    MUST(pmi_traces_warm(&d->traces, keys_of(d), d->n, &d->err));
    cr_expect_eq(count(d, &cache), 4);
    /* removing takes out of what is held as well */
    put_all(d, &cache);
    MUST(pmi_traces_warm(&d->traces, keys_of(d), d->n, &d->err));
    MUST(cache.remove(cache.ctx, d->keys[1], &d->err));
    cr_expect_not(has(d, &cache, 1));
    cr_expect(has(d, &cache, 2));
    end(d);
}

/* More than one batch, more than one size of the table; taken out and held again. */
Test(traces, warm_thousands) {
    enum { N = 2000 };
    traces_fixture *d = begin(true);
    uint8_t(*keys)[PM_DIGEST_BYTES] = calloc(N, sizeof *keys);
    pm_blob_item *items = calloc(N, sizeof *items);
    uint8_t *bytes = calloc(N, 100);
    const pm_trace_cache cache = pmi_traces_cache(&d->traces);
    for (uint64_t i = 0; i < N; i++) {
        fixture_key(i, keys[i]);
        items[i] = (pm_blob_item){.bytes = bytes + 100 * i, .size = 1 + i % 100};
        memcpy(items[i].digest, keys[i], PM_DIGEST_BYTES);
        fixture_value(keys[i], bytes + 100 * i, 1 + i % 100);
    }
    MUST(pmi_blob_put(d->traces.redis, PM_SPACE_TRACE, items, N, false, &d->err));
    for (int turn = 0; turn < 2; turn++) {
        MUST(pmi_traces_warm(&d->traces, (const uint8_t(*)[PM_DIGEST_BYTES])keys, N, &d->err));
        flush(d);
        for (size_t i = 0; i < N; i++) {
            pm_buffer value = {0};
            pm_cache_found found;
            MUST(cache.get(cache.ctx, keys[i], &value, &found, &d->err));
            cr_assert_eq(found, PM_CACHE_FOUND);
            cr_assert(value.size == 1 + i % 100 && fixture_is_value(keys[i], value.bytes, value.size));
            pmi_buffer_free(&value);
        }
        pmi_traces_settle(&d->traces, true);
    }
    pm_disk_stat stat;
    MUST(pmi_disk_stat_of(d->traces.disk, &stat, &d->err));
    cr_expect_eq(stat.entries, N);
    free(keys);
    free(items);
    free(bytes);
    end(d);
}

Test(traces, known_uploads_what_only_the_disk_has) {
    traces_fixture *d = begin(true);
    bool known[16];
    size_t uploaded;
    const pm_trace_cache cache = pmi_traces_cache(&d->traces);
    MUST(pmi_traces_known(&d->traces, keys_of(d), d->n + 1, known, &uploaded, &d->err));
    for (size_t i = 0; i <= d->n; i++) {
        cr_expect_not(known[i]);
    }
    put_all(d, &cache);
    MUST(pmi_traces_known(&d->traces, keys_of(d), d->n + 1, known, &uploaded, &d->err));
    cr_expect_eq(uploaded, 0);
    cr_expect(known[0] && known[d->n - 1] && !known[d->n]);
    flush(d);
    MUST(pmi_traces_known(&d->traces, keys_of(d), d->n + 1, known, &uploaded, &d->err));
    cr_expect_eq(uploaded, d->n);
    cr_expect(known[0] && known[d->n - 1] && !known[d->n]);
    cr_expect_eq(redis_server_tell(&d->server, "DBSIZE"), (long long)d->n);
    pm_disk *disk = d->traces.disk;
    d->traces.disk = NULL;
    cr_expect_eq(count(d, &cache), d->n);
    MUST(pmi_traces_known(&d->traces, keys_of(d), d->n + 1, known, NULL, &d->err));
    cr_expect(known[0] && !known[d->n]);
    d->traces.disk = disk;
    end(d);
}

/* Sound bytes that are no trace, or another's, must not become everybody's. */
Test(traces, a_wrong_trace_on_disk_is_not_uploaded) {
    traces_fixture *d = begin(true);
    pm_cache_entry entries[2] = {{.bytes = d->encoded[1].bytes, .size = d->encoded[1].size},
                                 {.bytes = (const uint8_t *)"nonsense", .size = 8}};
    bool known[16];
    size_t uploaded;
    memcpy(entries[0].key, d->keys[0], PM_DIGEST_BYTES);
    memcpy(entries[1].key, d->keys[1], PM_DIGEST_BYTES);
    MUST(pmi_disk_put(d->traces.disk, entries, 2, &d->err));
    MUST(pmi_traces_known(&d->traces, keys_of(d), d->n, known, &uploaded, &d->err));
    cr_expect(!known[0] && !known[1] && uploaded == 0);
    cr_expect_eq(d->folder.errors, 2);
    cr_expect_eq(redis_server_tell(&d->server, "DBSIZE"), 0);
    MUST(pmi_traces_known(&d->traces, keys_of(d), d->n, known, &uploaded, &d->err));
    cr_expect_eq(d->folder.errors, 2, "removed, so said once");
    end(d);
}

Test(traces, damage_in_redis) {
    traces_fixture *d = begin(false);
    const pm_trace_cache cache = pmi_traces_cache(&d->traces);
    char key[PM_REDIS_KEY], command[300];
    pm_buffer value = {0};
    pm_cache_found found;
    put_all(d, &cache);
    (void)pmi_redis_key(d->traces.redis, PM_SPACE_TRACE, d->keys[2], key);
    (void)snprintf(command, sizeof command, "SETRANGE %s 100 ALTERED", key);
    (void)redis_server_tell(&d->server, command);
    MUST(pmi_traces_warm(&d->traces, keys_of(d), d->n, &d->err));
    MUST(cache.get(cache.ctx, d->keys[2], &value, &found, &d->err));
    cr_expect_eq(found, PM_CACHE_MISSING, "warm has removed it");
    cr_expect_eq(d->server.folder.warnings, 1);
    cr_expect(has(d, &cache, 3));
    put_all(d, &cache);
    (void)redis_server_tell(&d->server, command);
    MUST(cache.get(cache.ctx, d->keys[2], &value, &found, &d->err));
    cr_expect_eq(found, PM_CACHE_DAMAGED);
    cr_expect_eq(value.size, 0);
    pmi_buffer_free(&value);
    end(d);
}

/* No file may grow: what is put on disk fails; said once, and once more when it works again. */
static void let_files_grow(bool may) {
    struct rlimit limit;
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = may ? limit.rlim_max : 0;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

Test(traces, a_disk_that_fails) {
    traces_fixture *d = begin(true);
    const pm_trace_cache cache = pmi_traces_cache(&d->traces);
    (void)signal(SIGXFSZ, SIG_IGN);
    let_files_grow(false);
    for (int turn = 0; turn < 3; turn++) {
        put_all(d, &cache);
        cr_expect_eq(d->folder.warnings, 1);
    }
    cr_expect(d->traces.is_disk_failing[1]);
    let_files_grow(true);
    d->traces.disk->writing.until = 0; /* a minute later */
    put_all(d, &cache);
    cr_expect_not(d->traces.is_disk_failing[1]);
    cr_expect_eq(d->folder.warnings, 1);
    cr_expect_eq(on_disk(d), d->n);
    end(d);
}

/* An entry beyond the disk's limit is left out with a warning of the disk's own; Redis has it. */
Test(traces, a_disk_too_small) {
    traces_fixture *d = begin(false);
    const pm_trace_cache cache = pmi_traces_cache(&d->traces);
    MUST(pmi_disk_open(d->folder.dir, 64, &d->folder.log, &d->traces.disk, &d->err));
    put_all(d, &cache);
    cr_expect_eq(on_disk(d), 0);
    cr_expect_eq(count(d, &cache), d->n);
    end(d);
}

Test(traces, a_library_through_both) {
    traces_fixture *d = begin(true);
    const pm_trace_cache cache = pmi_traces_cache(&d->traces);
    pm_library_options options = {
        .record = {.effort = PM_EFFORT_BALANCED, .memory = 1 << 26, .isa = model_fixture_isa()},
        .threads = 2,
        .cache = &cache};
    pm_library library;
    MUST(pmi_library_make(&d->analysis, &options, &library, &d->err));
    cr_expect(library.n_recorded == 9 && library.n_cached == 0);
    pmi_library_free(&library);
    /* another machine: no disk, and nothing may be recorded */
    pm_disk *disk = d->traces.disk;
    d->traces.disk = NULL;
    options.cached_only = true;
    MUST(pmi_traces_warm(&d->traces, keys_of(d), d->n, &d->err));
    MUST(pmi_library_make(&d->analysis, &options, &library, &d->err));
    cr_expect(library.n_recorded == 0 && library.n_cached == 9);
    pmi_library_free(&library);
    flush(d);
    cr_expect_eq(pmi_library_make(&d->analysis, &options, &library, &d->err), PM_EUNAVAILABLE);
    d->traces.disk = disk;
    end(d);
}

Test(traces, a_server_that_is_gone) {
    traces_fixture *d = begin(true);
    const pm_trace_cache cache = pmi_traces_cache(&d->traces);
    pm_cache_entry entry = {.bytes = d->encoded[0].bytes, .size = d->encoded[0].size};
    bool known[16];
    pm_buffer value = {0};
    pm_cache_found found;
    memcpy(entry.key, d->keys[0], PM_DIGEST_BYTES);
    redis_server_kill(&d->server);
    cr_expect_eq(cache.put(cache.ctx, &entry, 1, &d->err), PM_EUNAVAILABLE);
    cr_expect_eq(cache.get(cache.ctx, d->keys[0], &value, &found, &d->err), PM_EUNAVAILABLE);
    cr_expect_eq(cache.remove(cache.ctx, d->keys[0], &d->err), PM_EUNAVAILABLE);
    cr_expect_eq(pmi_traces_known(&d->traces, keys_of(d), d->n, known, NULL, &d->err), PM_EUNAVAILABLE);
    cr_expect_eq(pmi_traces_warm(&d->traces, keys_of(d), d->n, &d->err), PM_EUNAVAILABLE);
    cr_expect_eq(on_disk(d), 0, "the disk does not have what the cluster has not");
    pmi_buffer_free(&value);
    redis_server_restart(&d->server);
    end(d);
}
