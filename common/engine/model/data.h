/* Observations, laid out for likelihoods: distinct times in ascending order, and what was observed at them. */
#ifndef PM_MODEL_DATA_H
#define PM_MODEL_DATA_H

#include "base/mem.h"

typedef enum pm_observed {
    PM_OBSERVED_TIME,     /* times[lower] itself */
    PM_OBSERVED_INTERVAL, /* above times[lower] (or 0 and more, where that is 0), and at most times[upper] */
    PM_OBSERVED_LATER     /* above times[lower] */
} pm_observed;

typedef struct pm_observation {
    pm_observed kind;
    size_t lower, upper;
    double count;
    size_t number; /* of the first such observation that was given */
} pm_observation;

struct pm_data {
    size_t n_given;
    size_t n_times;
    double *times; /* n_times */
    size_t n;      /* distinct observations with a count above 0 */
    pm_observation *observations;
    bool has_exact, has_censored;
    pm_pool pool; /* of all arrays */
};

/* pm_data_load of a file's bytes. */
pm_status pmi_data_parse(const uint8_t *bytes, size_t n, pm_data **out, pm_error *err);

#endif
