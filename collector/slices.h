/* Slices of a batch of theta: cut by cost, told apart by content, put together again. Pure: no server in here. */
#ifndef PM_COLLECTOR_SLICES_H
#define PM_COLLECTOR_SLICES_H

#include "model/model.h"
#include "wire/messages.h"

/* Rows first..first+n-1 of the batch. */
typedef struct pm_slice {
    size_t first, n;
    double seconds; /* estimated, of one core */
    pm_digest key;
} pm_slice;

typedef struct pm_slices {
    size_t n;
    pm_slice *slices;
} pm_slices;

/* Checks every row of theta as far as its weights and start distribution go, and estimates the seconds of one core that
 * each takes. Errors: those of pm_evaluate that need no evaluation, naming the row. */
pm_status pmi_slice_costs(const pm_model *model, const pm_request *request, const pm_result *result, double *seconds,
                          pm_error *err);

/* Cuts the batch: slices of a multiple of 16 rows (the lanes of a block), fewer where rows take long; at least about 50
 * ms each, at most half a second where the batch is large; by batch and request alone, so that the same request has the
 * same slices. Keys are not set. Free with pmi_slices_free. */
pm_status pmi_slices_cut(const pm_model *model, const pm_request *request, const double *seconds, pm_slices *out,
                         pm_error *err);
void pmi_slices_free(pm_slices *slices);

/* The part of the request that a slice is. */
pm_request pmi_slice_request(const pm_request *request, size_t n_params, const pm_slice *slice);

/* Appends the unit's body, and sets the slice's key (pmi_result_key). */
pm_status pmi_slice_body(const pm_model *model, const pm_request *request, pm_slice *slice, pm_buffer *body,
                         pm_error *err);

/* Copies the untrusted, checked arrays of a slice to their rows; steps and error_bound grow. Errors: PM_EDATA. */
pm_status pmi_slice_take(const pm_request *request, const pm_slice *slice, const pm_result_message *message,
                         pm_result *result, pm_error *err);

#endif
