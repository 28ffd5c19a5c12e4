/* Entries as files: KEY.trace holds the bytes of a trace, which carry their own key and checksum; KEY.classes holds an
 * envelope, whose checksum does not cover the key. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "support/cache.h"
#include "support/views.h"

/* An import puts this much in one transaction of the cache. */
#define BATCH_BYTES ((size_t)16 << 20)
#define BATCH_ENTRIES 256

/* ---- export ------------------------------------------------------------------------------------------ */

typedef struct export_walk {
    const char *folder;
    size_t written;
} export_walk;

/* Nothing outside of the folder is written, whatever lies in it under the names of entries. */
static pm_status refuse_link(const char *path, pm_error *err) {
    struct stat info;
    if (lstat(path, &info) == 0 && !S_ISREG(info.st_mode)) {
        return pmi_fail(err, PM_ECANTCREAT, "output \"%s\" is there already and is no regular file; remove it", path);
    }
    return PM_OK;
}

static pm_status export_item(void *ctx, const pm_disk_item *item, pm_error *err) {
    export_walk *walk = ctx;
    char key[PM_DIGEST_HEX];
    pmi_hex(item->key, key);
    if (item->damaged) {
        return pmi_fail(err, PM_EDATA, "key %s is damaged; `phasemill cache verify --remove` takes it out", key);
    }
    char *path = NULL;
    if (asprintf(&path, "%s/%s.%s", walk->folder, key, cli_cache_kinds[item->kind]) < 0) {
        return pmi_fail_memory(err, "a path", strlen(walk->folder));
    }
    cli_out *out = NULL;
    pm_status st = refuse_link(path, err);
    PM_THEN(st, cli_out_open(path, &out, err));
    if (st == PM_OK) {
        cli_out_bytes(out, item->bytes, item->size);
    }
    st = cli_out_close(out, st, err);
    walk->written += st == PM_OK;
    free(path);
    return st;
}

pm_status cli_cache_export(cli_cache *cache, pm_error *err) {
    export_walk walk = {.folder = cache->operands[0]};
    if (mkdir(walk.folder, 0777) != 0 && errno != EEXIST) {
        return pmi_fail(err, PM_ECANTCREAT, "folder \"%s\" cannot be made: %s", walk.folder, strerror(errno));
    }
    PM_TRY(pmi_disk_each(cache->disk, export_item, &walk, err));
    return cli_show_count(walk.written, "entries written", err);
}

/* ---- import: which files ------------------------------------------------------------------------------ */

typedef struct path_list {
    char **paths;
    size_t n, capacity;
} path_list;

static void free_paths(path_list *list) {
    for (size_t i = 0; i < list->n; i++) {
        free(list->paths[i]);
    }
    free(list->paths);
}

/* Takes the path over. */
static pm_status add_path(path_list *list, char *path, pm_error *err) {
    if (path == NULL || !pmi_reserve((void **)&list->paths, &list->capacity, list->n + 1, sizeof *list->paths)) {
        free(path);
        return pmi_fail_memory(err, "paths", list->n * sizeof *list->paths);
    }
    list->paths[list->n++] = path;
    return PM_OK;
}

static bool has_ending(const char *path, pm_cache_kind kind) {
    const char *ending = cli_path_ending(path);
    return ending[0] == '.' && strcmp(ending + 1, cli_cache_kinds[kind]) == 0;
}

static int is_entry_file(const struct dirent *entry) {
    return has_ending(entry->d_name, PM_CACHE_TRACE) || has_ending(entry->d_name, PM_CACHE_CLASSES);
}

static pm_status add_folder(path_list *list, const char *folder, pm_error *err) {
    struct dirent **entries;
    int n = scandir(folder, &entries, is_entry_file, alphasort);
    if (n < 0) {
        return pmi_fail(err, PM_ENOINPUT, "folder \"%s\" cannot be read: %s", folder, strerror(errno));
    }
    pm_status st =
        n > 0 ? PM_OK : pmi_fail(err, PM_ENOINPUT, "folder \"%s\" holds no file *.trace or *.classes", folder);
    for (int i = 0; i < n; i++) {
        char *path = NULL;
        PM_THEN(st, add_path(list, asprintf(&path, "%s/%s", folder, entries[i]->d_name) < 0 ? NULL : path, err));
        free(entries[i]);
    }
    free(entries);
    return st;
}

static pm_status list_paths(const cli_cache *cache, path_list *list, pm_error *err) {
    for (int i = 0; i < cache->n_operands; i++) {
        struct stat info;
        const char *path = cache->operands[i];
        bool is_folder = stat(path, &info) == 0 && S_ISDIR(info.st_mode);
        PM_TRY(is_folder ? add_folder(list, path, err) : add_path(list, strdup(path), err));
    }
    return PM_OK;
}

/* ---- import: their entries ----------------------------------------------------------------------------- */

static pm_status check_trace(const pm_buffer *bytes, pm_cache_entry *entry, pm_error *err) {
    cli_trace trace = {0};
    pm_status st = cli_trace_decode(bytes->bytes, bytes->size, &trace, err);
    memcpy(entry->key, trace.key, PM_DIGEST_BYTES);
    pmi_trace_free(&trace.trace);
    return st;
}

/* Their key is the file's name. */
static pm_status check_classes(const char *path, const pm_buffer *bytes, pm_cache_entry *entry, pm_error *err) {
    pm_envelope envelope;
    char hex[PM_DIGEST_HEX];
    const char *slash = strrchr(path, '/'), *name = slash == NULL ? path : slash + 1;
    (void)snprintf(hex, sizeof hex, "%s", name);
    if (strlen(name) != strlen(hex) + strlen(cli_path_ending(name)) || !pmi_unhex(hex, entry->key)) {
        return pmi_fail(err, PM_EDATA, "its name is not KEY.classes, with a key of 64 hexadecimal digits");
    }
    return pmi_envelope_open(bytes->bytes, bytes->size, false, &envelope, err);
}

/* The bytes of a file, once they have proved to be a sound entry. */
static pm_status read_entry(const char *path, pm_buffer *bytes, pm_cache_entry *entry, pm_error *err) {
    struct stat info;
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode)) {
        return pmi_fail(err, PM_ENOINPUT, "\"%s\" is no regular file", path);
    }
    PM_TRY(pmi_file_read(path, bytes, err));
    entry->kind = has_ending(path, PM_CACHE_CLASSES) ? PM_CACHE_CLASSES : PM_CACHE_TRACE;
    pm_status st =
        entry->kind == PM_CACHE_TRACE ? check_trace(bytes, entry, err) : check_classes(path, bytes, entry, err);
    entry->bytes = bytes->bytes;
    entry->size = bytes->size;
    return st == PM_OK ? PM_OK : pmi_fail_prefix(err, "file \"%s\"", path);
}

static pm_status check_all(const path_list *list, pm_error *err) {
    for (size_t i = 0; i < list->n; i++) {
        pm_buffer bytes = {0};
        pm_cache_entry entry;
        pm_status st = read_entry(list->paths[i], &bytes, &entry, err);
        pmi_buffer_free(&bytes);
        PM_TRY(st);
    }
    return PM_OK;
}

typedef struct batch {
    pm_cache_entry entries[BATCH_ENTRIES];
    pm_buffer buffers[BATCH_ENTRIES];
    size_t n, bytes;
} batch;

static pm_status put_batch(pm_disk *disk, batch *b, pm_status st, pm_error *err) {
    PM_THEN(st, b->n > 0 ? pmi_disk_put(disk, b->entries, b->n, err) : PM_OK);
    for (size_t i = 0; i < b->n; i++) {
        pmi_buffer_free(&b->buffers[i]);
    }
    b->n = 0;
    b->bytes = 0;
    return st;
}

static pm_status put_all(pm_disk *disk, const path_list *list, batch *b, pm_error *err) {
    pm_status st = PM_OK;
    for (size_t i = 0; st == PM_OK && i < list->n; i++) {
        pm_buffer *bytes = &b->buffers[b->n];
        st = read_entry(list->paths[i], bytes, &b->entries[b->n], err);
        b->n++;
        b->bytes += bytes->size;
        if (st == PM_OK && (b->n == BATCH_ENTRIES || b->bytes >= BATCH_BYTES)) {
            st = put_batch(disk, b, st, err);
        }
    }
    return put_batch(disk, b, st, err);
}

pm_status cli_cache_import(cli_cache *cache, pm_error *err) {
    path_list list = {0};
    batch *b;
    PM_TRY(PM_ZEROS(&b, 1, "a batch of entries", err));
    pm_status st = list_paths(cache, &list, err);
    PM_THEN(st, check_all(&list, err));
    PM_THEN(st, put_all(cache->disk, &list, b, err));
    PM_THEN(st, cli_show_count(list.n, "entries imported", err));
    free(b);
    free_paths(&list);
    return st;
}
