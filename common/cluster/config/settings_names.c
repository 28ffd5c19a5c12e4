#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "config/settings_impl.h"

#define FILE_ENDING "-file"
#define LONGEST 63
#define NEAR 3 /* edits */

const pm_setting *pmi_setting_find(const char *name, bool *is_file) {
    for (const pm_setting *setting = pmi_settings_table; setting->name != NULL; setting++) {
        size_t n = strlen(setting->name);
        if (strncmp(name, setting->name, n) != 0) {
            continue;
        }
        *is_file = strcmp(name + n, FILE_ENDING) == 0;
        if (name[n] == '\0' || (*is_file && pmi_setting_has_file(setting))) {
            return setting;
        }
    }
    return NULL;
}

static char folded(char c) {
    return c == '.' || c == '-' ? '_' : (char)tolower((unsigned char)c);
}

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Levenshtein's distance of two short texts. */
static size_t distance(const char *a, const char *b) {
    size_t n = strlen(a), m = strlen(b);
    if (n > LONGEST || m > LONGEST) {
        return SIZE_MAX;
    }
    size_t row[LONGEST + 1];
    for (size_t j = 0; j <= m; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t replaced = diagonal + (folded(a[i - 1]) != folded(b[j - 1]));
            diagonal = row[j];
            row[j] = least(replaced, least(row[j], row[j - 1]) + 1);
        }
    }
    return row[m];
}

const pm_setting *pmi_setting_nearest(const char *name) {
    const pm_setting *nearest = NULL;
    size_t smallest = NEAR + 1;
    for (const pm_setting *setting = pmi_settings_table; setting->name != NULL; setting++) {
        size_t d = distance(name, setting->name);
        if (d < smallest) {
            smallest = d;
            nearest = setting;
        }
    }
    return nearest;
}

void pmi_setting_variable(const char *name, bool is_file, char variable[PM_SETTING_VARIABLE]) {
    int n = snprintf(variable, PM_SETTING_VARIABLE, PM_VARIABLE "%s%s", name, is_file ? "_FILE" : "");
    if (n < 0) {
        variable[0] = '\0';
    }
    for (char *at = variable; *at != '\0'; at++) {
        *at = (char)toupper((unsigned char)folded(*at));
    }
}
