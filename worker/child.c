#include "worker/child.h"

#include <errno.h>
#include <malloc.h>
#include <string.h>
#include <unistd.h>

#include "base/machine.h"

/* Freed memory goes back to the system after units that took so much more than there was. */
#define TRIM_BYTES ((size_t)32 << 20)

typedef struct child {
    const pm_child_options *options;
    pm_log log; /* lines with worker, slot and unit */
    size_t slot;
    int fd;
    char unit[PM_DIGEST_HEX];
    pm_child_context context;
    bool tried_disk;
    pm_buffer value, blob;
} child;

static void log_line(void *ctx, pm_log_level level, const char *text) {
    const child *c = ctx;
    const pm_log_field fields[] = {{.name = "worker", .text = c->options->worker},
                                   {.name = "slot", .number = (double)c->slot},
                                   {"unit", c->unit, 0}};
    pmi_log_event(c->options->log, level, fields, c->unit[0] != '\0' ? 3 : 2, "%s", text);
}

/* ---- what a unit is ---- */

static pm_status agree(const pm_task_head *head, pm_span kind, const uint8_t *job, const uint8_t *unit, pm_error *err) {
    const char *what = NULL;
    if (strlen(head->kind) != kind.size || memcmp(head->kind, kind.bytes, kind.size) != 0) {
        what = "kind";
    } else if (memcmp(head->job, job, PM_DIGEST_BYTES) != 0) {
        what = "job";
    } else if (memcmp(head->unit, unit, PM_DIGEST_BYTES) != 0) {
        what = "unit";
    }
    return what == NULL
               ? PM_OK
               : pmi_fail(err, PM_EDATA, "the message's %s is not what its header phasemill-%s says", what, what);
}

/* The unit behind a claim check, into c->blob. */
static pm_status fetch_claim(child *c, const pm_task_head *head, pm_error *err) {
    pm_claim_message claim;
    pm_message_memory borrowed = {0};
    pm_blob_found found = PM_BLOB_MISSING;
    pm_status st = pmi_message_decode(&pmi_claim_type, c->value.bytes, c->value.size, &claim, &borrowed, err);
    PM_THEN(st, agree(head, claim.kind, claim.job, claim.unit, err));
    if (st == PM_OK && (claim.size == 0 || claim.size > PM_UNIT_UNPACKED)) {
        st = pmi_fail(err, PM_EDATA, "claim check: a unit of %llu bytes, expected 1 to %zu",
                      (unsigned long long)claim.size, PM_UNIT_UNPACKED);
    }
    if (st == PM_OK) {
        pm_retry retry = pmi_child_patience(&c->context);
        do {
            c->blob.size = 0;
            st = pmi_blob_get(c->context.traces.redis, PM_SPACE_BLOB, claim.blob, claim.size, &c->blob, &found, err);
        } while (pmi_retry_again(&retry, st, err));
    }
    pm_digest digest = {0};
    if (st == PM_OK && found == PM_BLOB_FOUND) {
        st = pmi_digest(PM_SHA256, c->blob.bytes, c->blob.size, digest, err);
    }
    bool is_whole = c->blob.size == claim.size && memcmp(digest, claim.blob, PM_DIGEST_BYTES) == 0;
    if (st == PM_OK && (found != PM_BLOB_FOUND || !is_whole)) {
        char hex[PM_DIGEST_HEX];
        pmi_hex(claim.blob, hex);
        st = found == PM_BLOB_MISSING
                 ? pmi_fail(err, PM_ENOINPUT,
                            "the unit's blob %s of %llu bytes is gone from Redis; submit the job again", hex,
                            (unsigned long long)claim.size)
                 : pmi_fail(err, PM_EDATA, "the unit's blob %s in Redis was altered: it is not the %llu bytes sent",
                            hex, (unsigned long long)claim.size);
    }
    pmi_message_memory_free(&borrowed);
    return st;
}

static pm_status fetch(child *c, const pm_task_head *head, pm_unit_message *unit, pm_message_memory *borrowed,
                       pm_error *err) {
    pm_envelope envelope;
    const pm_buffer *bytes = &c->value;
    PM_TRY(pmi_envelope_open(c->value.bytes, c->value.size, false, &envelope, err));
    if (strcmp(envelope.name, pmi_claim_type.name) == 0) {
        PM_TRY(fetch_claim(c, head, err));
        bytes = &c->blob;
    }
    PM_TRY(pmi_message_decode(&pmi_unit_type, bytes->bytes, bytes->size, unit, borrowed, err));
    return agree(head, unit->kind, unit->job, unit->unit, err);
}

/* The trace cache on disk is a help, not a need. */
static void open_disk(child *c) {
    const pm_child_options *o = c->options;
    pm_error why = {0};
    if (!c->tried_disk && o->cache_dir != NULL &&
        pmi_disk_open(o->cache_dir, o->cache_limit, &c->log, &c->context.traces.disk, &why) != PM_OK) {
        c->context.traces.disk = NULL;
        pmi_logf(&c->log, PM_LOG_WARNING, "traces are not kept on disk: %s", why.text);
    }
    c->tried_disk = true;
}

static pm_status work(child *c, const pm_task_head *head, pm_unit_result *result, pm_error *err) {
    pm_unit_message unit;
    pm_message_memory borrowed = {0};
    pm_status st = fetch(c, head, &unit, &borrowed, err);
    if (st == PM_OK) {
        pm_unit_work do_work = pmi_unit_work_of(unit.kind);
        if (do_work == NULL) {
            st = pmi_fail(err, PM_EDATA, "a unit of kind \"%.*s\" is not known here, expected one of: " PM_UNIT_KINDS,
                          (int)unit.kind.size, (const char *)unit.kind.bytes);
        } else {
            open_disk(c);
            st = do_work(&c->context, &unit, result, err);
        }
    }
    pmi_message_memory_free(&borrowed);
    return st;
}

/* ---- the socket ---- */

static bool read_all(int fd, void *bytes, size_t n) {
    uint8_t *at = bytes;
    while (n > 0) {
        ssize_t got = read(fd, at, n);
        if (got == 0 || (got < 0 && errno != EINTR)) {
            return false;
        }
        at += got > 0 ? got : 0;
        n -= got > 0 ? (size_t)got : 0;
    }
    return true;
}

static bool write_all(int fd, const void *bytes, size_t n) {
    const uint8_t *at = bytes;
    while (n > 0) {
        ssize_t sent = write(fd, at, n);
        if (sent < 0 && errno != EINTR) {
            return false;
        }
        at += sent > 0 ? sent : 0;
        n -= sent > 0 ? (size_t)sent : 0;
    }
    return true;
}

static bool receive(child *c, pm_task_head *head) {
    if (!read_all(c->fd, head, sizeof *head)) {
        return false;
    }
    head->kind[PM_KIND_NAME - 1] = '\0';
    pmi_hex(head->unit, c->unit);
    if (!pmi_reserve((void **)&c->value.bytes, &c->value.capacity, head->size, 1)) {
        return false;
    }
    c->value.size = head->size;
    return read_all(c->fd, c->value.bytes, c->value.size);
}

static bool serve(child *c) {
    pm_task_head head;
    if (!receive(c, &head)) {
        return false;
    }
    size_t before = pmi_data_bytes();
    pm_unit_result result = {0};
    pm_error err = {0};
    pmi_progress_page_begin(c->context.page, 0);
    pm_status st = pmi_limit_data(c->context.memory, &err);
    PM_THEN(st, work(c, &head, &result, &err));
    pmi_progress_page_phase(c->context.page, PM_PHASE_IDLE);
    pm_answer answer = {
        .result = result, .status = (uint32_t)st, .seconds = pmi_progress_page_computed(c->context.page)};
    memcpy(answer.text, err.text, sizeof answer.text);
    if (pmi_limit_data(0, &err) != PM_OK) {
        pmi_logf(&c->log, PM_LOG_WARNING, "%s", err.text);
    }
    if (c->value.capacity > TRIM_BYTES || c->blob.capacity > TRIM_BYTES || pmi_data_bytes() > before + TRIM_BYTES) {
        pmi_buffer_free(&c->value);
        pmi_buffer_free(&c->blob);
        malloc_trim(0);
    }
    return write_all(c->fd, &answer, sizeof answer);
}

static pm_status open_bench(child *c, pm_error *err) {
    PM_TRY(pmi_redis_open(c->options->redis, &c->log, &c->context.traces.redis, err));
    return pmi_program_cache_new(c->options->unit_memory / 4, &c->context.models, err);
}

static void close_bench(child *c) {
    pmi_program_cache_free(c->context.models);
    pmi_traces_close(&c->context.traces);
    pmi_redis_close(c->context.traces.redis);
    pmi_disk_close(c->context.traces.disk);
    pmi_buffer_free(&c->value);
    pmi_buffer_free(&c->blob);
}

int pmi_child_run(void *ctx, size_t slot, int fd) {
    const pm_child_options *o = ctx;
    child c = {.options = o, .slot = slot, .fd = fd};
    c.log = (pm_log){.ctx = &c, .line = log_line};
    c.context = (pm_child_context){.isa = o->isa, .memory = o->unit_memory, .page = &o->pages[slot], .log = &c.log};
    c.context.traces.log = &c.log;
    pm_error err = {0};
    if (open_bench(&c, &err) == PM_OK) {
        while (serve(&c)) {
        }
    } else {
        pmi_logf(&c.log, PM_LOG_ERROR, "a compute child cannot begin: %s", err.text);
    }
    close_bench(&c);
    close(fd);
    return err.code == PM_OK ? 0 : (int)err.code;
}
