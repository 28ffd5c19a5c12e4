#include <criterion/criterion.h>
#include <string.h>

#include "base/random.h"
#include "producer/hands.h"
#include "producer/sent.h"

static const pm_lag lag = {.committed = 10, .low = 5, .high = 20};

static bool held(int64_t offset, double since, bool has_ended, bool is_running, const pm_lag *where) {
    pm_unit_signs signs = {
        .offset = offset, .since = since, .has_ended = has_ended, .is_running = is_running, .lag = where};
    return pm_unit_is_in_hands(&signs);
}

Test(hands, on_the_topic_and_not_passed_by_the_group) {
    cr_assert(held(10, 1000, false, false, &lag));
    cr_assert(held(19, 1000, false, false, &lag));
    cr_assert(!held(9, 1000, false, false, &lag), "passed, without a result");
}

Test(hands, a_group_that_has_committed_nothing_begins_at_the_low_end) {
    pm_lag fresh = {.committed = -1, .low = 5, .high = 20};
    cr_assert(held(5, 1000, false, false, &fresh));
    cr_assert(!held(4, 1000, false, false, &fresh), "taken away by retention");
}

Test(hands, an_offset_beyond_the_topic_is_of_a_topic_that_is_gone) {
    cr_assert(!held(20, 0, false, false, &lag));
    cr_assert(!held(12, 0, false, false, NULL));
}

Test(hands, being_sent_for_a_while_only) {
    cr_assert(held(-1, PM_SENDING_SECONDS - 1, false, false, &lag));
    cr_assert(!held(-1, PM_SENDING_SECONDS + 1, false, false, &lag));
    cr_assert(held(-1, -5, false, false, NULL), "a sender whose clock is ahead");
    cr_assert(!held(-1, -7200, false, false, NULL), "of the future, and not for ever");
}

Test(hands, a_heartbeat_holds_whatever_the_offsets_say) {
    cr_assert(held(3, 1000, false, true, &lag));
    cr_assert(held(-1, 1000, false, true, NULL));
}

Test(hands, what_has_ended_is_held_by_nobody) {
    cr_assert(!held(15, 0, true, false, &lag));
    cr_assert(!held(15, 0, true, true, &lag));
    cr_assert(!held(-1, 0, true, false, &lag));
}

Test(hands, items_are_found_by_digest) {
    enum { N = 1000 };
    static uint8_t items[N][PM_DIGEST_BYTES], other[PM_DIGEST_BYTES];
    pm_random random = {.state = 3};
    for (size_t i = 0; i < N; i++) {
        for (size_t j = 0; j < PM_DIGEST_BYTES; j += 8) {
            uint64_t word = j == 0 ? i / 3 : pm_random_next(&random); /* many begin alike */
            memcpy(items[i] + j, &word, 8);
        }
    }
    pm_item_index index;
    pm_error err;
    cr_assert_eq(pm_item_index_new((const uint8_t(*)[PM_DIGEST_BYTES])items, N, &index, &err), PM_OK);
    for (size_t i = 0; i < N; i++) {
        cr_assert_eq(pm_item_find(&index, items[i]), i);
    }
    cr_assert_eq(pm_item_find(&index, other), N);
    memset(other, 0xff, sizeof other);
    cr_assert_eq(pm_item_find(&index, other), N);
    pm_item_index_free(&index);
    cr_assert_eq(pm_item_index_new(NULL, 0, &index, &err), PM_OK);
    cr_assert_eq(pm_item_find(&index, other), 0);
    pm_item_index_free(&index);
}

Test(sent, reports_of_earlier_batches_touch_nothing) {
    pm_sent sent = {0};
    pm_error err = {0};
    cr_assert_eq(pm_sent_begin(&sent, 3, &err), PM_OK);
    void *late = pm_sent_opaque(&sent, 1), *first = pm_sent_opaque(&sent, 0);
    pm_sent_report(&sent, first, 0, 77, PM_OK, NULL);
    cr_assert(sent.deliveries[0].arrived && sent.deliveries[0].offset == 77);
    pm_sent_report(&sent, late, 0, 0, PM_ETEMPORARY, &err);
    cr_assert(!sent.deliveries[1].arrived);
    cr_assert_eq(pm_sent_begin(&sent, 2, &err), PM_OK);
    pm_sent_report(&sent, late, 0, 99, PM_OK, NULL);
    cr_assert(!sent.deliveries[0].arrived && !sent.deliveries[1].arrived);
    pm_sent_report(&sent, pm_sent_opaque(&sent, 1), 0, 5, PM_OK, NULL);
    cr_assert(sent.deliveries[1].arrived && sent.deliveries[1].offset == 5);
    pm_sent_end(&sent);
    free(sent.deliveries);
}
