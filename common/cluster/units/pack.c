#include "units/pack.h"

#include "base/mem.h"

/* Units for each partition that a job should come to, if it is large enough. */
#define UNITS_PER_PARTITION 2

pm_unit_limits pmi_unit_limits_for(uint64_t total_cost, size_t n_partitions) {
    uint64_t share = total_cost / UNITS_PER_PARTITION / (n_partitions == 0 ? 1 : n_partitions);
    uint64_t cost = share > PM_MAX_UNIT_COST ? PM_MAX_UNIT_COST : share < PM_MIN_UNIT_COST ? PM_MIN_UNIT_COST : share;
    return (pm_unit_limits){.cost = cost, .bytes = PM_UNIT_BODY_BYTES};
}

static int largest_first(const void *a, const void *b) {
    const pm_piece *x = a, *y = b;
    if (x->cost != y->cost) {
        return x->cost > y->cost ? -1 : 1;
    }
    return (x->number > y->number) - (x->number < y->number);
}

typedef struct range {
    size_t first, end;
    uint64_t cost;
} range;

static int dearest_first(const void *a, const void *b) {
    const range *x = a, *y = b;
    if (x->cost != y->cost) {
        return x->cost > y->cost ? -1 : 1;
    }
    return (x->first > y->first) - (x->first < y->first);
}

/* Cuts the sorted pieces into ranges; returns how many. */
static size_t cut(const pm_piece *pieces, size_t n, pm_unit_limits limits, range *ranges) {
    size_t n_ranges = 0, bytes = 0;
    for (size_t i = 0; i < n; i++) {
        range *last = n_ranges > 0 ? &ranges[n_ranges - 1] : NULL;
        bool fits = last != NULL && pieces[i].cost <= limits.cost && last->cost <= limits.cost - pieces[i].cost &&
                    pieces[i].bytes <= limits.bytes && bytes <= limits.bytes - pieces[i].bytes;
        if (!fits) {
            ranges[n_ranges++] = (range){.first = i, .end = i + 1, .cost = pieces[i].cost};
            bytes = pieces[i].bytes;
            continue;
        }
        last->end = i + 1;
        last->cost += pieces[i].cost;
        bytes += pieces[i].bytes;
    }
    return n_ranges;
}

static void fill(const pm_piece *pieces, const range *ranges, size_t n_ranges, pm_packing *out) {
    size_t at = 0;
    for (size_t u = 0; u < n_ranges; u++) {
        out->first[u] = at;
        out->cost[u] = ranges[u].cost;
        for (size_t i = ranges[u].first; i < ranges[u].end; i++) {
            out->numbers[at++] = pieces[i].number;
        }
    }
    out->first[n_ranges] = at;
    out->n_units = n_ranges;
}

pm_status pmi_pack(pm_piece *pieces, size_t n, pm_unit_limits limits, pm_packing *out, pm_error *err) {
    *out = (pm_packing){.numbers = pmi_malloc(n, sizeof *out->numbers), .cost = pmi_malloc(n, sizeof *out->cost)};
    range *ranges = pmi_malloc(n, sizeof *ranges);
    size_t n_firsts;
    if (pmi_add(n, 1, &n_firsts)) {
        out->first = pmi_malloc(n_firsts, sizeof *out->first);
    }
    if (out->numbers == NULL || out->cost == NULL || out->first == NULL || ranges == NULL) {
        pmi_packing_free(out);
        free(ranges);
        return pmi_fail_memory(err, "the packing of units", n * sizeof *ranges);
    }
    if (n > 0) { /* qsort takes no null pointer */
        qsort(pieces, n, sizeof *pieces, largest_first);
    }
    size_t n_ranges = cut(pieces, n, limits, ranges);
    qsort(ranges, n_ranges, sizeof *ranges, dearest_first);
    fill(pieces, ranges, n_ranges, out);
    free(ranges);
    return PM_OK;
}

void pmi_packing_free(pm_packing *packing) {
    free(packing->numbers);
    free(packing->first);
    free(packing->cost);
    *packing = (pm_packing){0};
}

size_t pmi_least_loaded(const uint64_t *load, size_t n, size_t start) {
    size_t best = start % n;
    for (size_t i = 1; i < n; i++) {
        size_t at = (start % n + i) % n;
        if (load[at] < load[best]) {
            best = at;
        }
    }
    return best;
}
