#include "eval/density_block.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

/* Steps between two looks at what has drained. */
#define DRAIN_EVERY 32

static void block_free(pm_block *b) {
    free(b->table);
    free(b->keep);
    free(b->now);
    free(b->next);
    free(b->partial);
    free(b->mass);
    free(b->absorbed);
    free(b->chunk_a);
    free(b->chunk_s);
    free(b->chunk_c);
    free(b->inverse);
    free(b->ratio);
    free(b->mode);
    free(b->sums);
}

static pm_status block_new(pm_block *b, pm_error *err) {
    const pm_chain *c = b->job->chain;
    size_t lanes = b->lanes, state = (size_t)c->n * lanes, n_times = b->job->request->n_times;
    double **arrays[] = {&b->table,   &b->keep,    &b->now,     &b->next,    &b->partial, &b->mass, &b->absorbed,
                         &b->chunk_a, &b->chunk_s, &b->chunk_c, &b->inverse, &b->ratio,   &b->mode};
    size_t sizes[] = {c->graph->n_weights * lanes,
                      state,
                      state,
                      state,
                      c->n_blocks * 2 * lanes,
                      lanes,
                      lanes,
                      lanes * PM_CHUNK,
                      lanes * PM_CHUNK,
                      PM_CHUNK,
                      PM_CHUNK + 8,
                      PM_CHUNK,
                      PM_CHUNK};
    size_t n_sums = 0;
    if (!pm_mul(n_times, 3 * lanes, &n_sums)) {
        return pm_fail_memory(err, "the times", SIZE_MAX);
    }
    bool complete = true;
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        *arrays[i] = pm_malloc_aligned(sizes[i], sizeof(double));
        complete = complete && *arrays[i] != NULL;
    }
    b->sums = pm_calloc(n_sums, sizeof *b->sums);
    if (!complete || b->sums == NULL) {
        return pm_fail_memory(err, "densities", (3 * state + n_sums) * sizeof(double));
    }
    b->step = (pm_step){.chain = c, .table = b->table, .keep = b->keep};
    return PM_OK;
}

static void add_up_partials(pm_block *b) {
    size_t lanes = b->lanes;
    memset(b->mass, 0, lanes * sizeof *b->mass);
    memset(b->absorbed, 0, lanes * sizeof *b->absorbed);
    for (size_t i = b->step.first / PM_CHAIN_BLOCK; i < b->job->chain->n_blocks; i++) {
        const double *p = b->partial + i * 2 * lanes;
        for (size_t l = 0; l < lanes; l++) {
            b->mass[l] += p[l];
            b->absorbed[l] += p[lanes + l];
        }
    }
}

static void measure_start(pm_block *b) {
    for (size_t i = 0; i < b->job->chain->n_blocks; i++) {
        double *p = b->partial + i * 2 * b->lanes;
        b->kernels->measure(&b->step, i, b->now, p, p + b->lanes);
    }
    add_up_partials(b);
}

static void take_step(pm_block *b) {
    size_t first = b->step.first / PM_CHAIN_BLOCK, n_blocks = b->job->chain->n_blocks;
    unsigned threads = b->job->step_threads;
    if (threads <= 1) {
        for (size_t i = first; i < n_blocks; i++) {
            double *p = b->partial + i * 2 * b->lanes;
            b->kernels->rows(&b->step, i, b->now, b->next, p, p + b->lanes);
        }
    } else {
#pragma omp parallel num_threads(threads)
        {
            pm_float_mode mode = pm_denormals_flush();
#pragma omp for schedule(static)
            for (size_t i = first; i < n_blocks; i++) {
                double *p = b->partial + i * 2 * b->lanes;
                b->kernels->rows(&b->step, i, b->now, b->next, p, p + b->lanes);
            }
            pm_denormals_restore(mode);
        }
    }
    double *before = b->now;
    b->now = b->next;
    b->next = before;
    add_up_partials(b);
}

/* Chunks end at 64, 128, 256, 512, and then at every 512: the same steps for every block. */
static uint64_t chunk_end(uint64_t k) {
    uint64_t end = 64;
    while (end <= k && end < PM_CHUNK) {
        end *= 2;
    }
    return end <= k ? (k / PM_CHUNK + 1) * PM_CHUNK : end;
}

/* What all lanes need to mix the steps k..end-1. Pois(k; k) is above 0.36 / sqrt(k). */
static void tabulate_steps(pm_block *b, uint64_t k, uint64_t end) {
    size_t n = (size_t)(end - k);
    for (size_t j = 0; j < n + 8; j++) {
        double step = (double)(k + j);
        b->inverse[j] = step > 0.0 ? 1.0 / step : 0.0;
    }
    for (size_t j = 0; j < n; j++) {
        double step = (double)(k + j), product = b->inverse[j + 1];
        for (size_t i = 2; i <= 8; i++) {
            product *= b->inverse[j + i];
        }
        b->ratio[j] = product;
        b->mode[j] = step > 0.0 ? 0.36 / sqrt(step) : 1.0;
    }
}

static void record_steps(pm_block *b, uint64_t end) {
    for (size_t j = 0; b->chunk + j < end; j++) {
        for (unsigned l = 0; l < b->lanes; l++) {
            b->chunk_a[(size_t)l * PM_CHUNK + j] = b->absorbed[l];
            b->chunk_s[(size_t)l * PM_CHUNK + j] = b->mass[l];
        }
        take_step(b);
        if ((b->chunk + j + 1) % DRAIN_EVERY == 0) {
            pm_block_drain(b);
        }
    }
}

/* s_k for a step of the chunk or the one that follows it. */
static double mass_at(const pm_block *b, unsigned l, uint64_t k, uint64_t end) {
    return k < end ? b->chunk_s[(size_t)l * PM_CHUNK + (size_t)(k - b->chunk)] : b->mass[l];
}

/* Takes the chunk's steps into account. A lane is judged at its own limit and where chunks end for everybody, so
 * that what else is in the block does not show. */
static pm_status follow_chunk(pm_block *b, unsigned l, uint64_t end, pm_error *err) {
    pm_lane *lane = &b->lane[l];
    pm_status st = PM_OK;
    while (st == PM_OK && !lane->done && lane->at < end) {
        uint64_t until = lane->limit < end ? lane->limit : end;
        pm_lane_take(b, l, until);
        lane->mass = mass_at(b, l, until, end);
        if (until == lane->limit || until == chunk_end(until - 1)) {
            st = pm_lane_judge(b, lane, err);
        }
    }
    return st;
}

static uint64_t steps_wanted(const pm_block *b) {
    uint64_t most = 0;
    for (unsigned l = 0; l < b->count; l++) {
        if (!b->lane[l].done && b->lane[l].limit > most) {
            most = b->lane[l].limit;
        }
    }
    return most;
}

static pm_status run_steps(pm_block *b, pm_error *err) {
    pm_status st = PM_OK;
    measure_start(b);
    for (uint64_t wanted; st == PM_OK && (wanted = steps_wanted(b)) > 0;) {
        uint64_t end = chunk_end(b->chunk);
        if (wanted < end) {
            end = wanted;
        }
        tabulate_steps(b, b->chunk, end);
        record_steps(b, end);
        for (unsigned l = 0; l < b->count && st == PM_OK; l++) {
            st = follow_chunk(b, l, end, err);
        }
        b->chunk = end;
        pm_density_progress_tell(b->job->progress, fmin(1.0, (double)end / (double)wanted), b->count);
    }
    return st;
}

static pm_status finish_lanes(pm_block *b, uint64_t *steps, double *bound, pm_error *err) {
    pm_status st = PM_OK;
    for (unsigned l = 0; l < b->count && st == PM_OK; l++) {
        double own = 0.0;
        st = pm_lane_finish(b, &b->lane[l], &own, err);
        *bound = fmax(*bound, own);
        *steps = b->lane[l].at > *steps ? b->lane[l].at : *steps;
    }
    return st;
}

pm_status pm_density_block(const pm_density_job *job, size_t first, size_t count, unsigned lanes, uint64_t *steps,
                           double *bound, pm_error *err) {
    pm_block b = {
        .job = job, .first = first, .count = count, .lanes = lanes, .kernels = pm_step_kernels_get(job->isa, lanes)};
    *steps = 0;
    *bound = 0.0;
    pm_float_mode mode = pm_denormals_flush();
    pm_status st = block_new(&b, err);
    if (st == PM_OK) {
        st = pm_block_setup(&b, err);
    }
    if (st == PM_OK) {
        for (unsigned l = 0; l < count; l++) {
            pm_lane_open(&b, l);
        }
        st = run_steps(&b, err);
    }
    if (st == PM_OK) {
        st = finish_lanes(&b, steps, bound, err);
    }
    block_free(&b);
    pm_denormals_restore(mode);
    return st;
}
