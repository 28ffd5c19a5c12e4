#include "examples/models.h"

#include <string.h>

/* The largest arguments keep the rows below 2^32 - 1 where a formula gives their number; the explorer refuses more. */
static const pm_model_info models[] = {
    {.name = "kingman",
     .help = "Kingman's coalescent, by number of lineages: time to the most recent common ancestor",
     .params = "coalescence",
     .args = {{"n", "sampled lineages", 2, 10000000, 10}},
     .make = pmi_model_kingman},
    {.name = "block-coalescent",
     .help = "Kingman's coalescent, lineages counted by their number of descendants: the site frequency spectrum",
     .params = "coalescence",
     .args = {{"n", "sampled lineages", 2, 100, 10}},
     .make = pmi_model_block_coalescent},
    {.name = "rabbits",
     .help = "rabbits that jump between two islands until floods have drowned them all",
     .params = "jump flood_left flood_right",
     .args = {{"n", "rabbits, all on the left island", 1, 65535, 10},
              {"count", "jumps from an island happen at the rate of 0: one rabbit, 1: each rabbit", 0, 1, 0}},
     .make = pmi_model_rabbits},
    {.name = "two-locus-arg",
     .help = "ancestral recombination graph of two loci: time until one lineage is ancestral to all samples",
     .params = "coalescence recombination",
     .args = {{"n", "sampled lineages", 2, 20, 4},
              {"count", "a type of lineage recombines at the rate of 0: one lineage, as phasic, 1: each lineage", 0, 1,
               0}},
     .make = pmi_model_two_locus_arg},
    {.name = "isolation-migration",
     .help = "two populations with migration, lineages counted by their descendants in each sample",
     .params = "coalescence migration_back migration_forth",
     .args = {{"n1", "lineages sampled in population 1", 1, 20, 3},
              {"n2", "lineages sampled in population 2", 1, 20, 3}},
     .make = pmi_model_isolation_migration},
    {.name = "islands",
     .help = "structured coalescent of two islands, by number of lineages on each",
     .params = "coalescence_1 coalescence_2 migration_12 migration_21",
     .args = {{"n", "sampled lineages", 2, 65535, 10}, {"second", "how many of them start on island 2", 0, 65535, 0}},
     .make = pmi_model_islands},
    {.name = "jsfs",
     .help = "joint site frequency spectrum of two islands: isolation-migration with coalescence rates of their own",
     .params = "coalescence_1 coalescence_2 migration_12 migration_21",
     .args = {{"n1", "lineages sampled on island 1", 1, 20, 3}, {"n2", "lineages sampled on island 2", 1, 20, 3}},
     .make = pmi_model_jsfs},
    {.name = "tandem",
     .help = "two queues in a row: time until a customer leaves because the next queue is full",
     .params = "arrival service_1 service_2 exit",
     .args = {{"k1", "lengths of queue 1: 0 to k1 - 1", 2, 65535, 30},
              {"k2", "lengths of queue 2: 0 to k2 - 1", 2, 65535, 30}},
     .make = pmi_model_tandem},
    {.name = "random",
     .help = "a chain of random strongly connected components",
     .params = "inside exit",
     .args = {{"sccs", "components", 1, 100000000, 20},
              {"size", "states of each", 1, 100000000, 50},
              {"extra", "random edges inside the component, for each state, beyond a cycle", 0, 1000, 1},
              {"seed", "of the random numbers", 0, INT64_MAX, 1}},
     .make = pmi_model_random},
    {.name = "erlang",
     .help = "k exponential stages in a row; k = 1 is the exponential distribution",
     .params = "rate",
     .args = {{"k", "stages", 1, 10000000, 5}},
     .make = pmi_model_erlang},
    {.name = "birth-death",
     .help = "linear birth and death process from one individual: time to extinction",
     .params = "birth death",
     .args = {{"n", "the largest population", 1, 10000000, 20}},
     .make = pmi_model_birth_death},
    {.name = "mm1k",
     .help = "M/M/1 queue from empty: time until it holds k customers",
     .params = "arrival service",
     .args = {{"k", "customers", 1, 10000000, 30}},
     .make = pmi_model_mm1k},
};

const pm_model_info *pmi_models(size_t *n) {
    *n = sizeof models / sizeof models[0];
    return models;
}

const pm_model_info *pmi_model_find(const char *name) {
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        if (strcmp(models[i].name, name) == 0) {
            return &models[i];
        }
    }
    return NULL;
}

pm_status pmi_model_check(const char *name, const int64_t *args, pm_error *err) {
    const pm_model_info *info = pmi_model_find(name);
    if (info == NULL) {
        return pmi_fail(err, PM_ESOFTWARE, "the model %s is not in the table of models", name);
    }
    for (const pm_model_arg *arg = info->args; arg->name != NULL; arg++, args++) {
        if (*args < arg->minimum || *args > arg->maximum) {
            return pmi_fail(err, PM_EUSAGE, "model %s: %s (%s) is %lld: expected %lld to %lld", name, arg->name,
                            arg->help, (long long)*args, (long long)arg->minimum, (long long)arg->maximum);
        }
    }
    return PM_OK;
}
