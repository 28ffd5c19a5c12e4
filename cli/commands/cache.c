#include "support/cache.h"

#include <limits.h>
#include <string.h>
#include <time.h>

#include "support/command.h"
#include "support/json_writer.h"
#include "support/options.h"
#include "support/views.h"

pm_status cli_cache_open(const char *dir, size_t limit, const pm_log *log, pm_disk **out, pm_error *err) {
    char *standard = NULL;
    pm_status st = PM_OK;
    if (dir == NULL) {
        st = pmi_disk_default_dir(getenv("XDG_CACHE_HOME"), getenv("HOME"), &standard, err);
    }
    PM_THEN(st, pmi_disk_open(dir == NULL ? standard : dir, limit == 0 ? PM_DISK_DEFAULT_LIMIT : limit, log, out, err));
    free(standard);
    return st;
}

static pm_status run_stat(cli_cache *cache, pm_error *err) {
    pm_disk_stat stat;
    cli_out *out;
    pm_status st = pmi_disk_stat_of(cache->disk, &stat, err);
    PM_THEN(st, cli_out_open(NULL, &out, err));
    PM_TRY(st);
    const struct {
        const char *key, *label;
        uint64_t value;
    } figures[] = {{"entries", "entries", stat.entries},
                   {"traces", "traces", stat.of_kind[PM_CACHE_TRACE]},
                   {"classes", "graphs' classes", stat.of_kind[PM_CACHE_CLASSES]},
                   {"value_bytes", "bytes of values", stat.value_bytes},
                   {"file_bytes", "bytes on disk", stat.file_bytes},
                   {"limit", "limit in bytes", stat.limit}};
    cli_json j = {.out = out};
    if (cache->options.json) {
        cli_json_open(&j, '{');
    }
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
        if (cache->options.json) {
            cli_json_count(cli_json_key(&j, figures[i].key), figures[i].value);
        } else {
            cli_out_format(out, "%-16s %llu\n", figures[i].label, (unsigned long long)figures[i].value);
        }
    }
    if (cache->options.json) {
        cli_json_close(&j, '}');
        cli_out_text(out, "\n");
    }
    return cli_out_close(out, PM_OK, err);
}

/* ---- list -------------------------------------------------------------------------------------------- */

typedef struct listing {
    cli_out *out;
    cli_json json;
    bool as_json;
} listing;

const char *const cli_cache_kinds[PM_CACHE_KINDS] = {[PM_CACHE_TRACE] = "trace", [PM_CACHE_CLASSES] = "classes"};

/* `trace` is NULL for what is no trace, or a damaged one. */
static void list_as_json(listing *l, const char *key, const char *used, const pm_disk_item *item,
                         const cli_trace *trace, bool is_damaged) {
    cli_json *j = &l->json;
    cli_json_open(j, '{');
    cli_json_string(cli_json_key(j, "key"), key);
    cli_json_string(cli_json_key(j, "kind"), cli_cache_kinds[item->kind]);
    cli_json_bool(cli_json_key(j, "damaged"), is_damaged);
    if (trace != NULL) {
        cli_json_count(cli_json_key(j, "states"), trace->trace.n);
        cli_json_count(cli_json_key(j, "flops"), trace->trace.flops);
    }
    cli_json_count(cli_json_key(j, "bytes"), item->size);
    cli_json_string(cli_json_key(j, "last_used"), used);
    cli_json_close(j, '}');
}

static void list_as_text(listing *l, const char *key, const char *used, const pm_disk_item *item,
                         const cli_trace *trace, bool is_damaged) {
    cli_out_format(l->out, "%s %-7s ", key, cli_cache_kinds[item->kind]);
    if (trace == NULL) {
        cli_out_format(l->out, "%10s %14s %12zu  %s\n", is_damaged ? "damaged" : "", "", item->size, used);
        return;
    }
    cli_out_format(l->out, "%10u %14llu %12zu  %s\n", (unsigned)trace->trace.n, (unsigned long long)trace->trace.flops,
                   item->size, used);
}

static pm_status list_item(void *ctx, const pm_disk_item *item, pm_error *err) {
    (void)err;
    listing *l = ctx;
    char key[PM_DIGEST_HEX], used[32] = "";
    pmi_hex(item->key, key);
    time_t seconds = (time_t)item->last_used;
    struct tm parts;
    if (gmtime_r(&seconds, &parts) != NULL) {
        strftime(used, sizeof used, "%Y-%m-%dT%H:%M:%SZ", &parts);
    }
    cli_trace trace = {0};
    bool is_trace = item->kind == PM_CACHE_TRACE, is_damaged = item->damaged;
    if (is_trace && !is_damaged) {
        is_damaged = cli_trace_decode(item->bytes, item->size, &trace, NULL) != PM_OK;
    }
    (l->as_json ? list_as_json : list_as_text)(l, key, used, item, is_trace && !is_damaged ? &trace : NULL, is_damaged);
    pmi_trace_free(&trace.trace);
    return PM_OK;
}

static pm_status run_list(cli_cache *cache, pm_error *err) {
    listing l = {.as_json = cache->options.json};
    PM_TRY(cli_out_open(NULL, &l.out, err));
    l.json.out = l.out;
    if (l.as_json) {
        cli_json_open(&l.json, '[');
    } else {
        cli_out_format(l.out, "%-64s %-7s %10s %14s %12s  %s\n", "key", "kind", "states", "flops", "bytes",
                       "last used");
    }
    pm_status st = pmi_disk_each(cache->disk, list_item, &l, err);
    if (l.as_json) {
        cli_json_close(&l.json, ']');
        cli_out_text(l.out, "\n");
    }
    return cli_out_close(l.out, st, err);
}

/* ---- show -------------------------------------------------------------------------------------------- */

pm_status cli_cache_show(pm_disk *disk, const char *hex, bool as_json, pm_error *err) {
    uint8_t key[PM_DIGEST_BYTES];
    if (!pmi_unhex(hex, key)) {
        return pmi_fail(err, PM_EUSAGE, "\"%s\": expected a key of 64 hexadecimal digits, as `cache list` shows", hex);
    }
    pm_buffer value = {0};
    pm_cache_found found;
    pm_status st = pmi_disk_get(disk, PM_CACHE_TRACE, key, &value, &found, err);
    if (st == PM_OK && found != PM_CACHE_FOUND) {
        st = found == PM_CACHE_MISSING
                 ? pmi_fail(err, PM_ENOINPUT, "key %s: not in the cache; see `phasemill cache list`", hex)
                 : pmi_fail(err, PM_EDATA, "key %s: the entry was damaged and is removed; a run records it again", hex);
    }
    cli_trace trace = {0};
    PM_THEN(st, cli_trace_decode(value.bytes, value.size, &trace, err));
    cli_out *out = NULL;
    PM_THEN(st, cli_out_open(NULL, &out, err));
    if (st == PM_OK) {
        cli_trace_write(&trace, as_json, out);
    }
    st = cli_out_close(out, st, err);
    pmi_trace_free(&trace.trace);
    pmi_buffer_free(&value);
    return st;
}

static pm_status run_show(cli_cache *cache, pm_error *err) {
    return cli_cache_show(cache->disk, cache->operands[0], cache->options.json, err);
}

/* ---- verify ------------------------------------------------------------------------------------------ */

typedef struct damaged_entry {
    pm_cache_kind kind;
    uint8_t key[PM_DIGEST_BYTES];
} damaged_entry;

typedef struct verification {
    const pm_log *log;
    size_t entries;
    damaged_entry *damaged;
    size_t n_damaged, capacity;
} verification;

static pm_status note_damage(verification *v, const pm_disk_item *item, const char *why, pm_error *err) {
    char hex[PM_DIGEST_HEX];
    pmi_hex(item->key, hex);
    pmi_logf(v->log, PM_LOG_ERROR, "key %s: %s", hex, why);
    PM_TRY(PM_GROW(&v->damaged, &v->capacity, v->n_damaged + 1, "damaged keys", err));
    damaged_entry *d = &v->damaged[v->n_damaged++];
    d->kind = item->kind;
    memcpy(d->key, item->key, PM_DIGEST_BYTES);
    return PM_OK;
}

/* What is wrong with a value whose checksum is right; PM_OK when nothing is. */
static pm_status check_value(const pm_disk_item *item, pm_error *why) {
    cli_trace trace = {0};
    pm_envelope envelope;
    if (item->kind != PM_CACHE_TRACE) {
        return pmi_envelope_open(item->bytes, item->size, false, &envelope, why);
    }
    pm_status st = cli_trace_decode(item->bytes, item->size, &trace, why);
    if (st == PM_OK && memcmp(trace.key, item->key, PM_DIGEST_BYTES) != 0) {
        st = pmi_fail(why, PM_EDATA, "it holds the trace of another key");
    }
    pmi_trace_free(&trace.trace);
    return st;
}

static pm_status verify_item(void *ctx, const pm_disk_item *item, pm_error *err) {
    verification *v = ctx;
    pm_error why;
    v->entries++;
    if (item->damaged) {
        return note_damage(v, item, "its bytes do not match their checksum", err);
    }
    return check_value(item, &why) == PM_OK ? PM_OK : note_damage(v, item, why.text, err);
}

static pm_status remove_damaged(cli_cache *cache, const verification *v, pm_error *err) {
    for (size_t i = 0; i < v->n_damaged; i++) {
        bool removed;
        PM_TRY(pmi_disk_remove(cache->disk, v->damaged[i].kind, v->damaged[i].key, &removed, err));
    }
    return PM_OK;
}

static pm_status run_verify(cli_cache *cache, pm_error *err) {
    verification v = {.log = &cache->console.log};
    pm_status st = pmi_disk_each(cache->disk, verify_item, &v, err);
    PM_THEN(st, cache->options.remove ? remove_damaged(cache, &v, err) : PM_OK);
    if (st == PM_OK && v.n_damaged > 0) {
        st = pmi_fail(err, PM_EDATA, "%zu of %zu entries are damaged%s", v.n_damaged, v.entries,
                      cache->options.remove ? " and were removed" : "; --remove takes them out");
    }
    free(v.damaged);
    PM_TRY(st);
    return cli_show_count(v.entries, "entries, all sound", err);
}

static pm_status run_clear(cli_cache *cache, pm_error *err) {
    size_t removed = 0;
    PM_TRY(pmi_disk_clear(cache->disk, &removed, err));
    return cli_show_count(removed, "entries removed", err);
}

/* ---- dispatch ---------------------------------------------------------------------------------------- */

typedef struct subcommand {
    cli_subcommand base;
    bool has_json;
    pm_status (*run)(cli_cache *cache, pm_error *err);
} subcommand;

static const subcommand subcommands[] = {
    {{"stat", 0, 0, "nothing"}, true, run_stat},
    {{"list", 0, 0, "nothing"}, true, run_list},
    {{"show", 1, 1, "KEY"}, true, run_show},
    {{"verify", 0, 0, "nothing"}, false, run_verify},
    {{"clear", 0, 0, "nothing"}, false, run_clear},
    {{"export", 1, 1, "FOLDER"}, false, cli_cache_export},
    {{"import", 1, INT_MAX - 1, "FOLDER or FILE"}, false, cli_cache_import},
};

#define FIELD(name) offsetof(cli_cache_options, name)

static const cli_option options[] = {
    {"cache-dir", CLI_TEXT, FIELD(cache_dir), 0, 0, NULL},
    {"cache-limit", CLI_BYTES, FIELD(cache_limit), 0, 0, NULL},
    {"json", CLI_FLAG, FIELD(json), 0, 0, NULL},
    {"remove", CLI_FLAG, FIELD(remove), 0, 0, NULL},
    {"quiet", CLI_FLAG, FIELD(quiet), 0, 0, NULL},
    {"verbose", CLI_FLAG, FIELD(verbose), 0, 0, NULL},
    {0},
};

static pm_status check_options(const subcommand *sub, const cli_cache_options *o, pm_error *err) {
    if (o->json && !sub->has_json) {
        return pmi_fail(err, PM_EUSAGE, "cache %s: --json is for stat, list and show", sub->base.name);
    }
    if (o->remove && sub->run != run_verify) {
        return pmi_fail(err, PM_EUSAGE, "cache %s: --remove is for verify", sub->base.name);
    }
    return PM_OK;
}

pm_status cli_main_cache(const cli_command *self, int argc, char **argv, pm_error *err) {
    cli_cache cache = {0};
    const void *found = NULL;
    pm_error unknown;
    cli_operands operands = {.what = "nothing", .max = INT_MAX};
    pm_status named = cli_subcommand_find("cache", subcommands, sizeof subcommands / sizeof *subcommands,
                                          sizeof *subcommands, argc > 1 ? argv[1] : NULL, &found, &unknown);
    const subcommand *sub = found;
    if (sub != NULL) {
        operands = (cli_operands){.min = sub->base.min + 1, .max = sub->base.max + 1, .what = sub->base.what};
    }
    bool help;
    PM_TRY(cli_parse(argc, argv, options, &cache.options, &operands, &help, err));
    if (help) {
        return cli_show_help(self, err);
    }
    if (named != PM_OK) {
        return pmi_fail(err, named, "%s", unknown.text);
    }
    PM_TRY(check_options(sub, &cache.options, err));
    cache.operands = operands.values + 1;
    cache.n_operands = operands.n - 1;
    cli_console_init(&cache.console, cache.options.quiet, cache.options.verbose);
    pm_status st =
        cli_cache_open(cache.options.cache_dir, cache.options.cache_limit, &cache.console.log, &cache.disk, err);
    PM_THEN(st, sub->run(&cache, err));
    pmi_disk_close(cache.disk);
    return st;
}
