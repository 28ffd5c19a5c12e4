/* Mass moves to later levels and does not come back: early states are worth their steps for a short time only. */
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

static void clear_level(pm_block *b, unsigned l, uint32_t level) {
    const uint32_t *first = b->job->chain->level_first;
    for (size_t i = first[level]; i < first[level + 1]; i++) {
        b->now[i * b->lanes + l] = 0.0;
    }
}

static void drain_lane(pm_block *b, unsigned l) {
    pm_lane *lane = &b->lane[l];
    while (lane->level < b->job->chain->n_levels) {
        double dropped = lane->dropped + level_mass(b, l, lane->level);
        if (dropped > lane->may_drop) {
            return;
        }
        clear_level(b, l, lane->level);
        lane->dropped = dropped;
        lane->level++;
    }
}

void pm_block_drain(pm_block *b) {
    const pm_chain *c = b->job->chain;
    uint32_t level = c->n_levels;
    for (unsigned l = 0; l < b->count; l++) {
        if (!b->lane[l].done) {
            drain_lane(b, l);
            level = b->lane[l].level < level ? b->lane[l].level : level;
        }
    }
    size_t first = c->level_first[level], lanes = b->lanes;
    if (first > b->step.first) {
        memset(b->now + b->step.first * lanes, 0, (first - b->step.first) * lanes * sizeof *b->now);
        memset(b->next + b->step.first * lanes, 0, (first - b->step.first) * lanes * sizeof *b->next);
        b->step.first = first;
    }
}
