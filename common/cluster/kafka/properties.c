#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kafka/kafka.h"

bool pmi_property_is_secret(const char *name) {
    static const char *const parts[] = {"password", "secret", "key.pem", "oauthbearer.config", "kinit.cmd"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (strcasestr(name, parts[i]) != NULL) {
            return true;
        }
    }
    return false;
}

void pmi_properties_list(pm_property_visit visit, void *ctx) {
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    if (file == NULL) {
        return;
    }
    rd_kafka_conf_properties_show(file);
    if (fclose(file) == 0) {
        visit(ctx, text);
    }
    free(text);
}
