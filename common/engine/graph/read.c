#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "graph/read_sink.h"

/* Bytes that were read to see what the document is, then those of the source itself. */
typedef struct peeked {
    const pm_source *source;
    size_t at, size;
    uint8_t bytes[4096];
} peeked;

static pm_status read_peeked(void *ctx, uint8_t *bytes, size_t capacity, size_t *got, pm_error *err) {
    peeked *p = ctx;
    if (p->at == p->size) {
        return p->source->read(p->source->ctx, bytes, capacity, got, err);
    }
    size_t left = p->size - p->at;
    *got = left < capacity ? left : capacity;
    memcpy(bytes, p->bytes + p->at, *got);
    p->at += *got;
    return PM_OK;
}

static bool is_space(uint8_t c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static pm_status peek_more(peeked *p, size_t *got, pm_error *err) {
    pm_status st = p->source->read(p->source->ctx, p->bytes + p->size, sizeof p->bytes - p->size, got, err);
    p->size += st == PM_OK ? *got : 0;
    return st;
}

/* A byte order mark of UTF-8 becomes white space, so that places in messages are those of the file. */
static pm_status peek_byte_order_mark(peeked *p, pm_error *err) {
    size_t got = 1;
    while (got > 0 && p->size < PM_UTF8_MARK_BYTES) {
        PM_TRY(peek_more(p, &got, err));
    }
    if (pmi_utf8_has_mark(p->bytes, p->size)) {
        memset(p->bytes, ' ', PM_UTF8_MARK_BYTES);
    }
    return pmi_utf8_check_mark(p->bytes, p->size, err);
}

/* Reads until a byte that is no white space has come; *first is its place. */
static pm_status peek(peeked *p, size_t *first, pm_error *err) {
    *first = 0;
    pm_status st = peek_byte_order_mark(p, err);
    while (st == PM_OK && *first < p->size && is_space(p->bytes[*first])) {
        (*first)++;
    }
    while (st == PM_OK && *first == p->size) {
        size_t got = 0;
        if (p->size == sizeof p->bytes) {
            return pmi_fail(err, PM_EDATA, "begins with %zu bytes of white space; expected a graph", p->size);
        }
        st = peek_more(p, &got, err);
        if (st == PM_OK && got == 0) {
            return pmi_fail(err, PM_EDATA, "byte %zu: the input is empty; expected a graph as JSON or MessagePack",
                            p->size);
        }
        while (*first < p->size && is_space(p->bytes[*first])) {
            (*first)++;
        }
    }
    return st;
}

static bool begins_msgpack_map(uint8_t c) {
    return (c >= 0x80 && c <= 0x8f) || c == 0xde || c == 0xdf;
}

static pm_status read_document(const pm_source *source, const pm_event_sink *sink, pm_error *err) {
    peeked p = {.source = source};
    const pm_source whole = {.ctx = &p, .read = read_peeked};
    size_t first;
    PM_TRY(peek(&p, &first, err));
    if (p.bytes[first] == '{') {
        return pmi_json_read(&whole, sink, err);
    }
    if (first == 0 && begins_msgpack_map(p.bytes[0])) {
        return pmi_msgpack_read(&whole, sink, err);
    }
    return pmi_fail(
        err, PM_EDATA,
        "byte %zu: 0x%02x begins neither a JSON object ('{') nor a MessagePack map (0x80 to 0x8f, 0xde, 0xdf)", first,
        p.bytes[first]);
}

static pm_status read_graph(const pm_source *source, pm_graph_format format, pm_graph_kind kind, pm_graph **out,
                            pm_error *err) {
    pm_graph_reader *reader;
    PM_TRY(pmi_graph_reader_new(format, kind, &reader, err));
    pm_event_sink sink = pmi_graph_reader_sink(reader);
    pm_status st = read_document(source, &sink, err);
    PM_THEN(st, pmi_graph_reader_finish(reader, out, err));
    pmi_graph_reader_free(reader);
    return st;
}

pm_status pm_graph_parse(const void *bytes, size_t n, pm_graph_format format, pm_graph_kind kind, pm_graph **out,
                         pm_error *err) {
    *out = NULL;
    pm_memory_source memory = {.bytes = bytes, .size = n};
    pm_source source = pmi_source_memory(&memory);
    return read_graph(&source, format, kind, out, err);
}

static pm_status open_file(const char *path, int *fd, pm_error *err) {
    struct stat info;
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0) {
        return pmi_fail(err, PM_ENOINPUT, "%s: cannot be opened: %s", path, strerror(errno));
    }
    if (fstat(*fd, &info) == 0 && S_ISDIR(info.st_mode)) {
        close(*fd);
        return pmi_fail(err, PM_ENOINPUT, "%s: is a folder; expected a graph file", path);
    }
    return PM_OK;
}

pm_status pm_graph_load(const char *path, pm_graph_format format, pm_graph_kind kind, pm_graph **out, pm_error *err) {
    *out = NULL;
    bool is_stdin = strcmp(path, "-") == 0;
    int fd = STDIN_FILENO;
    PM_TRY(is_stdin ? PM_OK : open_file(path, &fd, err));
    pm_source source = pmi_source_fd(&fd);
    pm_status st = read_graph(&source, format, kind, out, err);
    if (st != PM_OK && err != NULL) {
        pmi_fail_prefix(err, "%s", is_stdin ? "standard input" : path);
    }
    if (!is_stdin) {
        close(fd);
    }
    return st;
}
