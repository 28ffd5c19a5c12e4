#include "graph/digest.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "digests are taken of arrays as they lie in memory, which must be little-endian"
#endif

typedef struct piece {
    const void *bytes;
    size_t count, size;
} piece;

pm_status pm_graph_digest(const pm_graph *g, uint8_t digest[PM_DIGEST_BYTES], pm_error *err) {
    static const char tag[] = "phasemill graph 1\n";
    const uint64_t sizes[] = {g->n_vertices, g->state_length, g->n_params,      g->is_discrete, g->n_plain,
                              g->n_constant, g->n_edges,      g->n_start_plain, g->n_starts,    g->n_weights};
    const piece pieces[] = {
        {tag, sizeof tag - 1, 1},
        {sizes, sizeof sizes, 1},
        {g->states, (size_t)g->n_vertices * g->state_length, sizeof *g->states},
        {g->from, g->n_edges, sizeof *g->from},
        {g->to, g->n_edges, sizeof *g->to},
        {g->weight, g->n_edges, sizeof *g->weight},
        {g->start_to, g->n_starts, sizeof *g->start_to},
        {g->start_weight, g->n_starts, sizeof *g->start_weight},
        {g->weights, g->n_weights * (1 + (size_t)g->n_params), sizeof *g->weights},
    };
    pm_hasher *h;
    pm_status st = pm_hasher_new(PM_SHA256, &h, err);
    for (size_t i = 0; st == PM_OK && i < sizeof pieces / sizeof pieces[0]; i++) {
        st = pm_hasher_add(h, pieces[i].bytes, pieces[i].count * pieces[i].size, err);
    }
    if (st == PM_OK) {
        st = pm_hasher_finish(h, digest, err);
    }
    pm_hasher_free(h);
    return st;
}
