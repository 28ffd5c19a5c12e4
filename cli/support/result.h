/* The result of `run`, and its four forms: a table to read, one JSON object, tidy CSV, one array as .npy. */
#ifndef PM_CLI_RESULT_H
#define PM_CLI_RESULT_H

#include "graph/graph.h"
#include "support/output.h"

/* A row of theta that could not be evaluated. */
typedef struct cli_invalid_row {
    size_t row;
    pm_error error;
} cli_invalid_row;

typedef struct cli_result {
    const pm_graph *graph;
    const pm_request *request;
    pm_result values;         /* NULL for what is not needed; atom is always there */
    bool covariance;          /* was asked for */
    cli_invalid_row *invalid; /* n_invalid rows, whose values are NaN */
    size_t n_invalid, invalid_capacity;
    bool invalid_lost; /* memory for one of them was out */
    pm_model_report model;
    const char *isa;
    unsigned threads;
    double seconds_read, seconds_evaluate;
} cli_result;

typedef enum cli_format {
    CLI_FORMAT_NONE,
    CLI_FORMAT_TABLE,
    CLI_FORMAT_JSON,
    CLI_FORMAT_CSV,
    CLI_FORMAT_NPY
} cli_format;

/* F as shapes have it: 1 without reward vectors. */
size_t cli_result_rewards(const pm_request *request);

/* Whether a form shows variances beside the moments: they are then evaluated as covariances are. */
bool cli_result_shows_spread(cli_format format, size_t n_moments);

/* The row of times that theta row b is evaluated at. */
const double *cli_result_times(const pm_request *request, size_t b);

/* False when the keys of SCCs were not needed, and how many are distinct is not known. */
bool cli_result_sought_keys(const pm_model_report *model);

/* True when some theta row has an atom at zero. */
bool cli_result_has_atom(const cli_result *r);

/* Refuses values that no format can carry (infinity, NaN): an internal error, found before the first byte. */
pm_status cli_result_check(const cli_result *r, pm_error *err);

/* Writers. Failures of the output surface in cli_out_close. */
void cli_result_table(const cli_result *r, cli_out *out);
void cli_result_json(const cli_result *r, cli_out *out);
void cli_result_csv(const cli_result *r, cli_out *out);
/* The one quantity that was asked for; the caller has seen that it is one. */
void cli_result_npy(const cli_result *r, cli_out *out);

#endif
