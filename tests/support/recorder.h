/* A sink of events that writes them down, and a source that gives its bytes in pieces. */
#ifndef RECORDER_H
#define RECORDER_H

#include "codec/events.h"

typedef struct recorder {
    char text[4096]; /* "{ key: 1 2.5r 'string' [ ] } ", N: null, T, F; #3: three bytes */
    size_t used;
    double last; /* the last number */
    size_t n_events;
    size_t refuse_at; /* refuses that event with PM_EUSAGE "refused"; counted from 1, 0: none */
} recorder;

pm_event_sink recorder_sink(recorder *r);

typedef struct piecewise {
    pm_source inner;
    size_t piece;
} piecewise;

pm_source piecewise_source(piecewise *p);

#endif
