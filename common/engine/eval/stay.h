/* What stays in a state of a discrete chain where its row adds up to one but for a rounding. */
#ifndef PM_EVAL_STAY_H
#define PM_EVAL_STAY_H

#include "eval/chain.h"
#include "eval/extended.h"

/* Staying with this probability, or less, is summed without rounding: sums of pairs would know it to few digits. */
#define PM_SMALL_STAY 0x1p-20

/* For one state at a time: a term for each coefficient of each out-edge. */
typedef struct pm_stay_room {
    double *coef, *x;
} pm_stay_room;

/* Errors: PM_ENOMEM. Free with pmi_stay_room_free, also after a failure. */
pm_status pmi_stay_room_new(const pm_chain *chain, pm_stay_room *room, pm_error *err);
void pmi_stay_room_free(pm_stay_room *room);

/* One minus the probabilities of leaving `state` at theta, rounded once (graph/exact.h); below zero where these exceed
 * one. */
pm_pair pmi_exact_stay(const pm_chain *chain, const double *theta, uint32_t state, pm_stay_room *room);

#endif
