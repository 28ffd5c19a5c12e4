#include "units/place.h"

#include <math.h>

static pm_unit_place find_on_topic(const pm_unit_signs *signs) {
    if (signs->lags == NULL) {
        return PM_UNIT_UNKNOWN;
    }
    if (signs->partition >= signs->n_lags) {
        return PM_UNIT_LOST;
    }
    const pm_lag *lag = &signs->lags[signs->partition];
    if (signs->offset < lag->low) {
        return PM_UNIT_EXPIRED;
    }
    /* an offset beyond the end is of a topic that was made anew since */
    return signs->offset < lag->high && signs->offset >= lag->committed ? PM_UNIT_QUEUED : PM_UNIT_LOST;
}

pm_unit_place pmi_unit_find(const pm_unit_signs *signs) {
    if (signs->has_ended) {
        return PM_UNIT_ENDED;
    }
    if (signs->is_running) {
        return PM_UNIT_RUNNING;
    }
    if (signs->offset < 0) { /* no clock that was wrong makes it being sent for ever */
        return fabs(signs->since) < PM_SENDING_SECONDS ? PM_UNIT_SENDING : PM_UNIT_LOST;
    }
    return find_on_topic(signs);
}

bool pmi_unit_is_in_flight(pm_unit_place place) {
    return place == PM_UNIT_RUNNING || place == PM_UNIT_SENDING || place == PM_UNIT_UNKNOWN || place == PM_UNIT_QUEUED;
}
