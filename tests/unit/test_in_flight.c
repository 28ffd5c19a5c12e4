#include <criterion/criterion.h>
#include <string.h>

#include "base/random.h"
#include "units/in_flight.h"
#include "units/producer.h"

static const pm_lag partitions[] = {{.committed = 10, .low = 5, .high = 20}, {.committed = -1, .low = 5, .high = 20}};

typedef struct unit_case {
    const char *what;
    pm_unit_place place;
    int64_t offset;
    uint64_t partition;
    double since;
    bool has_ended, is_running, is_unknown; /* is_unknown: Kafka could not be asked */
} unit_case;

static const unit_case cases[] = {
    {.what = "the next of the group", .place = PM_UNIT_QUEUED, .offset = 10, .partition = 0, .since = 1000},
    {.what = "the last on the topic", .place = PM_UNIT_QUEUED, .offset = 19, .partition = 0, .since = 1000},
    {.what = "passed, without a result", .place = PM_UNIT_LOST, .offset = 9, .partition = 0, .since = 1000},
    {.what = "the oldest, passed", .place = PM_UNIT_LOST, .offset = 5, .partition = 0, .since = 1000},
    {.what = "taken away by retention", .place = PM_UNIT_EXPIRED, .offset = 4, .partition = 0, .since = 1000},
    {.what = "nothing committed: the low end is next",
     .place = PM_UNIT_QUEUED,
     .offset = 5,
     .partition = 1,
     .since = 1000},
    {.what = "nothing committed, and below the low end",
     .place = PM_UNIT_EXPIRED,
     .offset = 4,
     .partition = 1,
     .since = 1000},
    {.what = "at the end: of a topic that is gone", .place = PM_UNIT_LOST, .offset = 20, .partition = 0, .since = 0},
    {.what = "beyond the end", .place = PM_UNIT_LOST, .offset = 1000, .partition = 0, .since = 0},
    {.what = "of a partition that is gone", .place = PM_UNIT_LOST, .offset = 12, .partition = 2, .since = 0},
    {.what = "of no partition that can be", .place = PM_UNIT_LOST, .offset = 12, .partition = UINT64_MAX, .since = 0},
    {.what = "Kafka is away", .place = PM_UNIT_UNKNOWN, .offset = 12, .partition = 0, .since = 0, .is_unknown = true},
    {.what = "being sent", .place = PM_UNIT_SENDING, .offset = -1, .partition = 0, .since = PM_SENDING_SECONDS - 1},
    {.what = "being sent, Kafka is away",
     .place = PM_UNIT_SENDING,
     .offset = -1,
     .partition = 0,
     .since = 0,
     .is_unknown = true},
    {.what = "being sent for too long",
     .place = PM_UNIT_LOST,
     .offset = -1,
     .partition = 0,
     .since = PM_SENDING_SECONDS + 1},
    {.what = "being sent for too long, Kafka is away",
     .place = PM_UNIT_LOST,
     .offset = -1,
     .partition = 0,
     .since = PM_SENDING_SECONDS + 1,
     .is_unknown = true},
    {.what = "sent by a clock that is ahead", .place = PM_UNIT_SENDING, .offset = -1, .partition = 2, .since = -5},
    {.what = "sent by a clock that was ahead by hours",
     .place = PM_UNIT_LOST,
     .offset = -1,
     .partition = 2,
     .since = -7200},
    {.what = "a heartbeat counts whatever offsets say",
     .place = PM_UNIT_RUNNING,
     .offset = 3,
     .partition = 0,
     .since = 1000,
     .is_running = true},
    {.what = "a heartbeat, of a partition that is gone",
     .place = PM_UNIT_RUNNING,
     .offset = 3,
     .partition = 7,
     .since = 1000,
     .is_running = true},
    {.what = "a heartbeat, and being sent",
     .place = PM_UNIT_RUNNING,
     .offset = -1,
     .partition = 0,
     .since = 1000,
     .is_running = true},
    {.what = "ended", .place = PM_UNIT_ENDED, .offset = 15, .partition = 0, .since = 0, .has_ended = true},
    {.what = "ended, and a heartbeat from before",
     .place = PM_UNIT_ENDED,
     .offset = 15,
     .partition = 0,
     .since = 0,
     .has_ended = true,
     .is_running = true},
    {.what = "ended, and being sent again",
     .place = PM_UNIT_ENDED,
     .offset = -1,
     .partition = 0,
     .since = 0,
     .has_ended = true},
    {.what = "ended, and expired", .place = PM_UNIT_ENDED, .offset = 1, .partition = 0, .since = 0, .has_ended = true},
};

Test(hands, every_place_of_a_unit) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const unit_case *c = &cases[i];
        pm_unit_signs signs = {.offset = c->offset,
                               .partition = c->partition,
                               .since = c->since,
                               .has_ended = c->has_ended,
                               .is_running = c->is_running,
                               .lags = c->is_unknown ? NULL : partitions,
                               .n_lags = sizeof partitions / sizeof *partitions};
        cr_expect_eq(pmi_unit_find(&signs), c->place, "%s: %d", c->what, (int)pmi_unit_find(&signs));
    }
}

Test(hands, whom_a_unit_is_sent_for_again) {
    const pm_unit_place held[] = {PM_UNIT_RUNNING, PM_UNIT_SENDING, PM_UNIT_UNKNOWN, PM_UNIT_QUEUED};
    const pm_unit_place free_ones[] = {PM_UNIT_ENDED, PM_UNIT_EXPIRED, PM_UNIT_LOST};
    for (size_t i = 0; i < sizeof held / sizeof *held; i++) {
        cr_expect(pmi_unit_is_in_flight(held[i]), "%d", (int)held[i]);
    }
    for (size_t i = 0; i < sizeof free_ones / sizeof *free_ones; i++) {
        cr_expect(!pmi_unit_is_in_flight(free_ones[i]), "%d", (int)free_ones[i]);
    }
}

Test(hands, items_are_found_by_digest) {
    enum { N = 1000 };
    static uint8_t items[N][PM_DIGEST_BYTES], other[PM_DIGEST_BYTES];
    pm_random random = {.state = 3};
    for (size_t i = 0; i < N; i++) {
        for (size_t j = 0; j < PM_DIGEST_BYTES; j += 8) {
            uint64_t word = j == 0 ? i / 3 : pmi_random_next(&random); /* many begin alike */
            memcpy(items[i] + j, &word, 8);
        }
    }
    pm_item_index index;
    pm_error err;
    cr_assert_eq(pmi_item_index_new((const uint8_t(*)[PM_DIGEST_BYTES])items, N, &index, &err), PM_OK);
    for (size_t i = 0; i < N; i++) {
        cr_assert_eq(pmi_item_find(&index, items[i]), i);
    }
    cr_assert_eq(pmi_item_find(&index, other), N);
    memset(other, 0xff, sizeof other);
    cr_assert_eq(pmi_item_find(&index, other), N);
    pmi_item_index_free(&index);
    cr_assert_eq(pmi_item_index_new(NULL, 0, &index, &err), PM_OK);
    cr_assert_eq(pmi_item_find(&index, other), 0);
    pmi_item_index_free(&index);
}

Test(sent, reports_of_earlier_batches_touch_nothing) {
    pm_deliveries sent = {0};
    pm_error err = {0};
    cr_assert_eq(pmi_deliveries_begin(&sent, 3, &err), PM_OK);
    void *late = pmi_deliveries_opaque(&sent, 1), *first = pmi_deliveries_opaque(&sent, 0);
    pmi_deliveries_report(&sent, first, 0, 77, PM_OK, NULL);
    cr_assert(sent.items[0].arrived && sent.items[0].offset == 77);
    pmi_deliveries_report(&sent, late, 0, 0, PM_ETEMPORARY, &err);
    cr_assert(!sent.items[1].arrived);
    cr_assert_eq(pmi_deliveries_begin(&sent, 2, &err), PM_OK);
    pmi_deliveries_report(&sent, late, 0, 99, PM_OK, NULL);
    cr_assert(!sent.items[0].arrived && !sent.items[1].arrived);
    pmi_deliveries_report(&sent, pmi_deliveries_opaque(&sent, 1), 0, 5, PM_OK, NULL);
    cr_assert(sent.items[1].arrived && sent.items[1].offset == 5);
    pmi_deliveries_end(&sent);
    free(sent.items);
}
