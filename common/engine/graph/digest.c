#include "graph/digest.h"

#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "digests are taken of arrays as they lie in memory, which must be little-endian"
#endif

#define PACKED 4096

/* Bytes that hold every bit of `bits`, the bitwise or of all numbers. */
static unsigned width_of(uint32_t bits) {
    return bits < 1u << 8 ? 1 : bits < 1u << 16 ? 2 : bits < 1u << 24 ? 3 : 4;
}

static inline void pack_width(const uint32_t *numbers, size_t count, unsigned width, uint8_t *out) {
    for (size_t i = 0; i < count; i++) {
        for (unsigned k = 0; k < width; k++) {
            out[i * width + k] = (uint8_t)(numbers[i] >> 8 * k);
        }
    }
}

/* One loop for each width, so that the compiler knows it. */
static void pack(const uint32_t *numbers, size_t count, unsigned width, uint8_t *out) {
    switch (width) {
    case 1:
        pack_width(numbers, count, 1, out);
        break;
    case 2:
        pack_width(numbers, count, 2, out);
        break;
    case 3:
        pack_width(numbers, count, 3, out);
        break;
    default:
        memcpy(out, numbers, count * sizeof *numbers);
    }
}

/* Indices are small and labels smaller: most of their bytes would be zeros, and hashing is what takes the time. */
static pm_status add_packed(pm_hasher *h, const uint32_t *numbers, size_t count, unsigned width, pm_error *err) {
    uint8_t packed[4 * PACKED] = {(uint8_t)width};
    PM_TRY(pmi_hasher_add(h, packed, 1, err));
    for (size_t i = 0; i < count; i += PACKED) {
        size_t n = count - i < PACKED ? count - i : PACKED;
        pack(numbers + i, n, width, packed);
        PM_TRY(pmi_hasher_add(h, packed, n * width, err));
    }
    return PM_OK;
}

static pm_status add_unsigned(pm_hasher *h, const uint32_t *numbers, size_t count, pm_error *err) {
    uint32_t bits = 0;
    for (size_t i = 0; i < count; i++) {
        bits |= numbers[i];
    }
    return add_packed(h, numbers, count, width_of(bits), err);
}

static pm_status add_signed(pm_hasher *h, const int32_t *numbers, size_t count, pm_error *err) {
    uint32_t bits = 0;
    for (size_t i = 0; i < count; i++) {
        /* the magnitude, doubled to make room for the sign */
        bits |= (uint32_t)(numbers[i] ^ (numbers[i] >> 31)) << 1;
    }
    return add_packed(h, (const uint32_t *)numbers, count, width_of(bits), err);
}

static pm_status add_sizes(pm_hasher *h, const pm_graph *g, pm_error *err) {
    static const char tag[] = "phasemill graph 1\n";
    const uint64_t kind = g->normalizes_rows ? 2 : g->is_discrete ? 1 : 0;
    const uint64_t sizes[] = {g->n_vertices, g->state_length, g->n_params,      kind,        g->n_plain,
                              g->n_constant, g->n_edges,      g->n_start_plain, g->n_starts, g->n_weights};
    PM_TRY(pmi_hasher_add(h, tag, sizeof tag - 1, err));
    return pmi_hasher_add(h, sizes, sizeof sizes, err);
}

static pm_status add_arrays(pm_hasher *h, const pm_graph *g, pm_error *err) {
    const struct {
        const uint32_t *numbers;
        size_t count;
    } arrays[] = {{g->from, g->n_edges},
                  {g->to, g->n_edges},
                  {g->weight, g->n_edges},
                  {g->start_to, g->n_starts},
                  {g->start_weight, g->n_starts}};
    pm_status st = add_signed(h, g->states, (size_t)g->n_vertices * g->state_length, err);
    for (size_t i = 0; st == PM_OK && i < sizeof arrays / sizeof arrays[0]; i++) {
        st = add_unsigned(h, arrays[i].numbers, arrays[i].count, err);
    }
    size_t n_coefs = g->n_weights * (1 + (size_t)g->n_params);
    PM_TRY(st);
    return pmi_hasher_add(h, g->weights, n_coefs * sizeof *g->weights, err);
}

pm_status pmi_graph_digest(const pm_graph *g, uint8_t digest[PM_DIGEST_BYTES], pm_error *err) {
    pm_hasher *h;
    pm_status st = pmi_hasher_new(PM_SHA256, &h, err);
    PM_THEN(st, add_sizes(h, g, err));
    PM_THEN(st, add_arrays(h, g, err));
    PM_THEN(st, pmi_hasher_finish(h, digest, err));
    pmi_hasher_free(h);
    return st;
}
