#include <criterion/criterion.h>
#include <string.h>

#include "base/clock.h"
#include "redis_fixture.h"
#include "units/producer.h"

Test(workers, are_counted_and_awaited_within_the_deadline) {
    redis_fixture d;
    size_t workers = 7, slots = 7;
    redis_fixture_begin(&d);
    pm_traces traces = {.redis = d.r};
    pm_producer p = {.traces = &traces, .deadline = pmi_deadline_in(0.5)};
    double begun = pmi_seconds();
    MUST(pmi_count_workers(d.r, &workers, &slots, &d.err));
    cr_expect(workers == 0 && slots == 0);
    MUST(pmi_wait_for_workers(&p, &workers, &slots, &d.err));
    cr_expect_eq(workers, 0u);
    double took = pmi_seconds() - begun;
    cr_expect(took >= 0.4 && took < 5, "%g s", took);
    pm_worker_message worker = {.id = pmi_span_of("host-1-a"),
                                .host = pmi_span_of("host"),
                                .version = pmi_span_of("0.1.0"),
                                .state = pmi_span_of("running"),
                                .slots = 3};
    MUST(pmi_board_beat(d.r, &worker, &d.err));
    MUST(pmi_wait_for_workers(&p, &workers, &slots, &d.err));
    cr_expect(workers == 1 && slots == 3);
    redis_fixture_end(&d);
}
