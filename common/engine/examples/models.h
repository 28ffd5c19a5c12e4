/* Example models, as graphs. docs/models.md describes each; sources stand beside each function in models.c. */
#ifndef PM_EXAMPLES_MODELS_H
#define PM_EXAMPLES_MODELS_H

#include "graph/graph.h"

typedef struct pm_model_arg {
    const char *name; /* "n" */
    const char *help; /* one line */
    int64_t minimum, maximum, default_value;
} pm_model_arg;

#define PM_MODEL_MAX_ARGS 6

typedef struct pm_model_info {
    const char *name;                     /* "two-locus-arg" */
    const char *help;                     /* one line */
    const char *params;                   /* "coalescence recombination": the names of theta's columns, P words */
    pm_model_arg args[PM_MODEL_MAX_ARGS]; /* ends at name == NULL */
    pm_status (*make)(const int64_t *args, pm_graph **out, pm_error *err); /* by pmi_model_make, which checks */
} pm_model_info;

/* All models; *n is their number. */
const pm_model_info *pmi_models(size_t *n);
/* NULL when there is none of that name. */
const pm_model_info *pmi_model_find(const char *name);

/* The graph. PM_EUSAGE, naming model, argument, range and value, unless every argument is in the range of its row. */
pm_status pmi_model_make(const pm_model_info *model, const int64_t *args, pm_graph **out, pm_error *err);

#endif
