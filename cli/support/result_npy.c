/* NumPy's array file, version 1: float64, C order, values from a multiple of 64 bytes on. */
#include <stdio.h>
#include <string.h>

#include "support/result.h"

#define PREFIX 10 /* magic, version, length of the header's text */

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the values are written as they are in memory, under '<f8'"
#endif

static void write_array(cli_out *out, const double *values, size_t n_dims, const size_t *dims) {
    char shape[96] = "";
    size_t total = 1;
    for (size_t d = 0, used = 0; d < n_dims; d++) {
        int n = snprintf(shape + used, sizeof shape - used, "%zu, ", dims[d]);
        used += n < 0 ? 0 : (size_t)n;
        total *= dims[d];
    }
    char text[256];
    int n = snprintf(text, sizeof text, "{'descr': '<f8', 'fortran_order': False, 'shape': (%s), }", shape);
    size_t used = n < 0 ? 0 : (size_t)n;
    size_t padded = (PREFIX + used + 1 + 63) / 64 * 64 - PREFIX;
    memset(text + used, ' ', padded - used);
    text[padded - 1] = '\n';
    const uint8_t prefix[PREFIX] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (uint8_t)padded, (uint8_t)(padded >> 8)};
    cli_out_bytes(out, prefix, sizeof prefix);
    cli_out_bytes(out, text, padded);
    cli_out_bytes(out, values, total * sizeof *values);
}

void cli_result_npy(const cli_result *r, cli_out *out) {
    const pm_request *q = r->request;
    size_t f = cli_result_rewards(q);
    if (r->values.moments != NULL) {
        const size_t with_rewards[3] = {q->n_theta, f, q->n_moments};
        const size_t without[2] = {q->n_theta, q->n_moments};
        write_array(out, r->values.moments, q->n_rewards > 0 ? 3 : 2, q->n_rewards > 0 ? with_rewards : without);
    } else if (r->values.covariance != NULL) {
        const size_t dims[3] = {q->n_theta, f, f};
        write_array(out, r->values.covariance, 3, dims);
    } else {
        const size_t dims[2] = {q->n_theta, q->n_times};
        write_array(out, r->values.pdf != NULL ? r->values.pdf : r->values.cdf, 2, dims);
    }
}
