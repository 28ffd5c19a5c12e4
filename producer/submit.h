/* Submitting: a graph becomes a job, and what nobody has recorded becomes units on the topic. */
#ifndef PM_PRODUCER_SUBMIT_H
#define PM_PRODUCER_SUBMIT_H

#include "units/producer.h"

typedef struct pm_submit_options {
    size_t min_size;     /* a graph with fewer states is recorded here, not on the cluster */
    size_t memory;       /* for recording here */
    const char *source;  /* where the graph came from, for people */
    pm_buffer *manifest; /* gets the encoded manifest; NULL: not wanted */
} pm_submit_options;

typedef struct pm_submit_report {
    pm_digest job;
    size_t states, sccs, items, known, uploaded, recorded_here, units, units_by_claim;
} pm_submit_report;

/* Submits a graph whose classes are found: twice is one job. PM_ETEMPORARY when stopped. */
pm_status pmi_submit(pm_producer *p, const pm_analysis *analysis, const pm_submit_options *options,
                     pm_submit_report *report, pm_error *err);

/* ---- where traces are recorded soonest: on this machine, or on the cluster ---- */

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
