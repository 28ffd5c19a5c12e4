#include "base/deadline.h"

#include <math.h>

#include "base/clock.h"

pm_deadline pmi_deadline_in(double seconds) {
    double now = pmi_seconds();
    return (pm_deadline){.begun = now, .at = seconds > 0 ? now + seconds : 0};
}

double pmi_deadline_left(const pm_deadline *deadline) {
    return deadline->at == 0 ? INFINITY : fmax(deadline->at - pmi_seconds(), 0.0);
}

double pmi_deadline_within(const pm_deadline *deadline, double seconds, double least) {
    return fmax(fmin(seconds, pmi_deadline_left(deadline)), least);
}
