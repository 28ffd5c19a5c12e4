/* What the files of config/ share. */
#ifndef PM_CONFIG_SETTINGS_IMPL_H
#define PM_CONFIG_SETTINGS_IMPL_H

#include <stdio.h>

#include "config/settings.h"

#define PM_VARIABLE "PHASEMILL_"
#define PM_VARIABLE_KAFKA_X "PHASEMILL_KAFKA_X_"

#define PM_SETTING_VARIABLE (PM_SETTING_NAME_TEXT + 16)

/* A setting as it was given: NULLs when it is not set. */
typedef struct pm_setting_given {
    const char *text, *origin;
} pm_setting_given;

/* Every text that was ever given: values of later sources replace pointers, not memory. */
typedef struct pm_settings_memory {
    char **texts;
    size_t n_texts, text_capacity;
    const char **property_origins; /* for each property */
    size_t property_capacity, origin_capacity;
    bool has_inline_key; /* a key stands in the file of settings itself */
} pm_settings_memory;

/* A copy that lives as long as `s`. */
pm_status pmi_settings_keep(pm_settings *s, const char *text, size_t n, const char **out, pm_error *err);

/* PM_EUSAGE for a flag, PM_ECONFIG for file and environment. */
pm_status pmi_origin_code(const char *origin);

/* The value that stands in the file `path`, kept. `setting` NULL: of a property called `name`. */
pm_status pmi_settings_keep_file(pm_settings *s, const pm_setting *setting, const char *name, const char *path,
                                 const char *origin, const char **out, pm_error *err);
/* A file that holds a key is private: no rights of others, no writing by its group. */
pm_status pmi_settings_check_private(FILE *file, const char *name, const char *path, const char *origin, pm_error *err);

/* The setting of that name, or of NAME-file (*is_file); NULL when there is none. */
const pm_setting *pmi_setting_find(const char *name, bool *is_file);

/* The setting whose name is nearest to `name`, however its words are joined; NULL when none is near. */
const pm_setting *pmi_setting_nearest(const char *name);

/* PHASEMILL_REDIS_ADDRESS of "redis.address". */
void pmi_setting_variable(const char *name, bool is_file, char variable[PM_SETTING_VARIABLE]);

#endif
