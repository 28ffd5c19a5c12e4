/* Where a graph's traces are recorded soonest: on this machine, or on the cluster. */
#ifndef PM_PRODUCER_CHOICE_H
#define PM_PRODUCER_CHOICE_H

#include "units/producer.h"

/* Recording that takes less on this machine is not worth asking the cluster for. */
#define PM_WORTH_ASKING_SECONDS 2.0

typedef struct pm_choice {
    bool on_cluster;
    size_t workers, slots; /* that are alive; without slots nothing else is set */
    double here, there;    /* estimated seconds */
} pm_choice;

/* Seconds of one processor that recording takes at most: SCCs that turn out to be alike are recorded once. */
double pmi_choice_most_seconds(const pm_analysis *analysis);

/* Compares `threads` threads here with the cluster's slots, for traces that neither Redis nor the disk has. */
pm_status pmi_choose(const pm_producer *p, const pm_analysis *analysis, unsigned threads, pm_choice *out,
                     pm_error *err);

#endif
