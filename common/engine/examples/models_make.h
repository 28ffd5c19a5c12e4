/* The makers of the example models, one for each row of the table in models.c. Each takes the arguments of its row,
 * in order, and checks them by pmi_model_check. Free *out with pm_graph_free. */
#ifndef PM_EXAMPLES_MODELS_MAKE_H
#define PM_EXAMPLES_MODELS_MAKE_H

#include "examples/models.h"

/* PM_EUSAGE, naming model, argument, range and value, unless every argument is in the range of its row. */
pm_status pmi_model_check(const char *name, const int64_t *args, pm_error *err);

pm_status pmi_model_kingman(const int64_t *args, pm_graph **out, pm_error *err);
pm_status pmi_model_block_coalescent(const int64_t *args, pm_graph **out, pm_error *err);
pm_status pmi_model_two_locus_arg(const int64_t *args, pm_graph **out, pm_error *err);
pm_status pmi_model_isolation_migration(const int64_t *args, pm_graph **out, pm_error *err);
pm_status pmi_model_jsfs(const int64_t *args, pm_graph **out, pm_error *err);
pm_status pmi_model_islands(const int64_t *args, pm_graph **out, pm_error *err);

pm_status pmi_model_rabbits(const int64_t *args, pm_graph **out, pm_error *err);
pm_status pmi_model_tandem(const int64_t *args, pm_graph **out, pm_error *err);
pm_status pmi_model_erlang(const int64_t *args, pm_graph **out, pm_error *err);
pm_status pmi_model_birth_death(const int64_t *args, pm_graph **out, pm_error *err);
pm_status pmi_model_mm1k(const int64_t *args, pm_graph **out, pm_error *err);

pm_status pmi_model_random(const int64_t *args, pm_graph **out, pm_error *err);

#endif
