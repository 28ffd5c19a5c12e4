#include "support/dead_letter_list.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "support/output.h"

#define PROGRESS_SECONDS 15.0

void cli_dead_letter_list_free(cli_dead_letter_list *letters) {
    for (size_t i = 0; i < letters->n; i++) {
        free(letters->items[i].bytes);
    }
    free(letters->items);
    *letters = (cli_dead_letter_list){0};
}

/* ---- taking in --------------------------------------------------------------------------------------- */

static size_t message_size(const pm_read_message *m) {
    size_t size = m->value.size + 1;
    for (size_t i = 0; i < m->n_headers; i++) {
        size += strlen(m->headers[i].name) + 1 + m->headers[i].value.size;
    }
    return size;
}

static pm_span keep_span(uint8_t **at, pm_span span) {
    if (span.size > 0) {
        memcpy(*at, span.bytes, span.size);
    }
    pm_span kept = {*at, span.size};
    *at += span.size;
    return kept;
}

static void copy_message(cli_letter *letter, const pm_read_message *m) {
    uint8_t *at = letter->bytes;
    letter->value = m->value.bytes == NULL ? (pm_span){0} : keep_span(&at, m->value);
    letter->n_headers = m->n_headers;
    for (size_t i = 0; i < m->n_headers; i++) {
        const char *name = m->headers[i].name;
        pm_span kept = keep_span(&at, (pm_span){(const uint8_t *)name, strlen(name) + 1});
        letter->headers[i].name = (const char *)kept.bytes;
        letter->headers[i].value = keep_span(&at, m->headers[i].value);
    }
}

static pm_status take(void *ctx, const pm_read_message *m, pm_error *err) {
    cli_dead_letter_list *letters = ctx;
    if (m->key.size != PM_DIGEST_BYTES) {
        letters->n_strange++;
        return PM_OK;
    }
    size_t size = message_size(m);
    uint8_t *bytes = pmi_malloc(size, 1);
    if (bytes == NULL ||
        !pmi_reserve((void **)&letters->items, &letters->capacity, letters->n + 1, sizeof *letters->items)) {
        free(bytes);
        return pmi_fail_memory(err, "dead letters", size);
    }
    cli_letter *letter = &letters->items[letters->n++];
    *letter = (cli_letter){
        .partition = m->partition, .offset = m->offset, .time = m->time, .order = letters->arrived++, .bytes = bytes};
    memcpy(letter->key, m->key.bytes, PM_DIGEST_BYTES);
    copy_message(letter, m);
    return PM_OK;
}

/* ---- the last of each key ---------------------------------------------------------------------------- */

static int by_key(const void *a, const void *b) {
    const cli_letter *x = a, *y = b;
    int c = memcmp(x->key, y->key, PM_DIGEST_BYTES);
    return c != 0 ? c : (x->order > y->order) - (x->order < y->order);
}

static int by_order(const void *a, const void *b) {
    const cli_letter *x = a, *y = b;
    return (x->order > y->order) - (x->order < y->order);
}

static void keep_last_of_each(cli_dead_letter_list *letters) {
    size_t kept = 0;
    if (letters->n == 0) {
        return;
    }
    qsort(letters->items, letters->n, sizeof *letters->items, by_key);
    for (size_t i = 0; i < letters->n; i++) {
        cli_letter *letter = &letters->items[i];
        bool is_last = i + 1 == letters->n || memcmp(letter->key, letter[1].key, PM_DIGEST_BYTES) != 0;
        if (is_last && letter->value.bytes != NULL) {
            letters->items[kept++] = *letter;
        } else {
            free(letter->bytes);
        }
    }
    letters->n = kept;
    qsort(letters->items, kept, sizeof *letters->items, by_order);
}

pm_status cli_dead_letter_list_read(cli_dead_letter_list *letters, pm_reader *reader, const pm_deadline *deadline,
                                    pm_error *err) {
    double seconds = pmi_deadline_within(deadline, PROGRESS_SECONDS, 0.1);
    pm_status st = pmi_reader_drain(reader, seconds, take, letters, err);
    keep_last_of_each(letters);
    return st;
}

/* ---- headers ----------------------------------------------------------------------------------------- */

pm_span cli_letter_header(const cli_letter *letter, const char *name) {
    for (size_t i = 0; i < letter->n_headers; i++) {
        if (strcmp(letter->headers[i].name, name) == 0) {
            return letter->headers[i].value;
        }
    }
    return (pm_span){0};
}

void cli_letter_text(const cli_letter *letter, const char *name, char *text, size_t n) {
    pmi_span_text(cli_letter_header(letter, name), text, n);
    cli_make_plain(text);
    if (text[0] == '\0') {
        memcpy(text, "-", 2);
    }
}

bool cli_letter_job(const cli_letter *letter, uint8_t job[PM_DIGEST_BYTES]) {
    char hex[PM_DIGEST_HEX + 4];
    cli_letter_text(letter, "phasemill-job", hex, sizeof hex);
    return pmi_unhex(hex, job);
}

bool cli_letter_header_is_added(const char *name) {
    static const char *const added[] = {"phasemill-attempts", "phasemill-attempt", "phasemill-scc"};
    for (size_t i = 0; i < sizeof added / sizeof *added; i++) {
        if (strcmp(name, added[i]) == 0) {
            return true;
        }
    }
    return strncmp(name, "__dlq.", 6) == 0;
}
