/* What the subcommands of `cache` share. */
#ifndef PM_CLI_CACHE_H
#define PM_CLI_CACHE_H

#include "cache/disk.h"
#include "support/console.h"

typedef struct cli_cache_options {
    const char *cache_dir; /* NULL: the default one */
    size_t cache_limit;
    bool json, remove, quiet, verbose;
} cli_cache_options;

typedef struct cli_cache {
    cli_cache_options options;
    cli_console console;
    pm_disk *disk;
    int n_operands;
    char **operands;
} cli_cache;

/* Names of the kinds, which are the endings of exported files too. */
extern const char *const cli_cache_kinds[PM_CACHE_KINDS];

/* Opens the cache in `dir`, or in the default folder when it is NULL. Close with pmi_disk_close. */
pm_status cli_cache_open(const char *dir, size_t limit, const pm_log *log, pm_disk **out, pm_error *err);

/* Writes one trace to standard output. Errors: PM_EUSAGE for what is no key, PM_ENOINPUT for one that is not there. */
pm_status cli_cache_show(pm_disk *disk, const char *hex, bool as_json, pm_error *err);

/* Writes every entry to FOLDER/KEY.trace or FOLDER/KEY.classes, making the folder where it is missing. */
pm_status cli_cache_export(cli_cache *cache, pm_error *err);

/* Takes entries from such files and from folders of them; all are checked before the first is kept. */
pm_status cli_cache_import(cli_cache *cache, pm_error *err);

#endif
