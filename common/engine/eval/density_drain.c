/* Mass moves to later levels and does not come back: early states are worth their steps for a short time only. Ahead of
 * the front there is nothing, or next to nothing. */
#include <math.h>
#include <string.h>

#include "eval/density_block.h"

static double level_mass(const pm_block *b, unsigned l, uint32_t level) {
    const uint32_t *first = b->job->chain->level_first;
    double sum = 0.0;
    for (size_t i = first[level]; i < first[level + 1]; i++) {
        sum += b->now[i * b->lanes + l];
    }
    return sum;
}

static void clear_states(const pm_block *b, unsigned l, size_t first, size_t last) {
    for (size_t i = first; i < last; i++) {
        b->now[i * b->lanes + l] = 0.0;
        if (b->extended) {
            b->now_low[i * b->lanes + l] = 0.0;
        }
    }
}

/* Half of what may be dropped is for the levels, a part for each; the last one stays. Not while vectors are blended:
 * what the first of them hold there is in the sum. */
void pmi_lane_drain(const pm_block *b, pm_lane *lane, unsigned l) {
    const pm_chain *c = b->job->chain;
    while (lane->level + 1 < c->n_levels) {
        double part = pmi_step_work(c, 0, c->level_first[lane->level + 1]) / pmi_step_work(c, 0, c->n);
        double dropped = lane->dropped + level_mass(b, l, lane->level);
        if (dropped > 0.5 * lane->may_drop * part) {
            return;
        }
        clear_states(b, l, c->level_first[lane->level], c->level_first[lane->level + 1]);
        lane->dropped = dropped;
        lane->level++;
    }
}

/* The part of all steps, or of all time, that has passed. */
static double progress(const pm_block *b, const pm_lane *lane, uint64_t step) {
    double all = b->job->is_discrete ? (double)lane->limit : lane->lambda * pmi_last_time(b->job, lane->theta_row);
    return fmin(1.0, ((double)step + lane->lambda * lane->from) / fmax(all, 1.0));
}

/* The other half is for the front, which refills what is taken from it: a part for each step on the way. */
static void trim_front(pm_block *b, pm_lane *lane, unsigned l, uint64_t step) {
    double budget = 0.5 * lane->may_drop * progress(b, lane, step);
    size_t first = b->job->chain->level_first[lane->level], last = b->step.last;
    while (last > first) {
        double v = b->now[(last - 1) * b->lanes + l];
        if (lane->dropped_ahead + v > budget && v > 0.0) {
            break;
        }
        lane->dropped_ahead += v;
        last--;
    }
    clear_states(b, l, last, b->step.last);
    lane->last = (uint32_t)last;
}

static void clear_slots(pm_block *b, size_t first, size_t last) {
    double *arrays[] = {b->now, b->next, b->now_low, b->next_low};
    for (size_t i = 0; i < (b->extended ? 4 : 2); i++) {
        memset(arrays[i] + first * b->lanes, 0, (last - first) * b->lanes * sizeof(double));
    }
}

void pmi_block_drain(pm_block *b, uint64_t step) {
    const pm_chain *c = b->job->chain;
    uint32_t level = c->n_levels, last = 0;
    for (unsigned l = 0; l < b->count; l++) {
        pm_lane *lane = &b->lane[l];
        if (!lane->done && !lane->waits) {
            if (!lane->goal.is_set) {
                pmi_lane_drain(b, lane, l);
            }
            trim_front(b, lane, l, step);
            level = lane->level < level ? lane->level : level;
            last = lane->last > last ? lane->last : last;
        }
    }
    size_t first = c->level_first[level];
    if (first > b->step.first) {
        clear_slots(b, b->step.first, first);
        b->step.first = first;
    }
    if (last < b->step.last) {
        last = last < b->step.first ? (uint32_t)b->step.first : last;
        clear_slots(b, last, b->step.last);
        b->step.last = last;
    }
}
