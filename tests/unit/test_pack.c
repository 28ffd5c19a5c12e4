#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/random.h"
#include "kafka/sender.h"
#include "units/pack.h"

static pm_packing pack(pm_piece *pieces, size_t n, pm_unit_limits limits) {
    pm_packing p;
    pm_error err;
    cr_assert_eq(pmi_pack(pieces, n, limits, &p, &err), PM_OK, "%s", err.text);
    return p;
}

Test(pack, every_piece_is_in_one_unit_within_the_limits) {
    enum { N = 5000 };
    static pm_piece pieces[N], copy[N];
    pm_random random = {.state = 7};
    for (uint32_t i = 0; i < N; i++) {
        uint64_t cost = pmi_random_next(&random) % 1000;
        cost = i % 100 == 0 ? cost * 1000 : cost;
        pieces[i] = copy[i] = (pm_piece){i, cost, (size_t)(pmi_random_next(&random) % 300) + (i == 77 ? 9999 : 0)};
    }
    pm_unit_limits limits = {.cost = 20000, .bytes = 4000};
    pm_packing p = pack(pieces, N, limits);
    static bool seen[N];
    for (size_t u = 0; u < p.n_units; u++) {
        uint64_t cost = 0;
        size_t bytes = 0, count = p.first[u + 1] - p.first[u];
        cr_assert_gt(count, 0);
        for (size_t i = p.first[u]; i < p.first[u + 1]; i++) {
            uint32_t number = p.numbers[i];
            cr_assert_lt(number, N);
            cr_assert(!seen[number], "piece %u twice", number);
            seen[number] = true;
            cost += copy[number].cost;
            bytes += copy[number].bytes;
        }
        cr_assert_eq(cost, p.cost[u]);
        cr_assert(count == 1 || (cost <= limits.cost && bytes <= limits.bytes), "unit %zu: cost %lu, %zu bytes", u,
                  (unsigned long)cost, bytes);
        cr_assert(u == 0 || p.cost[u] <= p.cost[u - 1], "unit %zu costs more than the one before", u);
    }
    cr_assert_eq(p.first[p.n_units], N);
    pmi_packing_free(&p);
}

Test(pack, the_order_of_the_pieces_does_not_matter) {
    enum { N = 300 };
    pm_piece a[N], b[N];
    for (uint32_t i = 0; i < N; i++) {
        a[i] = (pm_piece){i, i % 7, 10};
        b[N - 1 - i] = a[i];
    }
    pm_unit_limits limits = {.cost = 40, .bytes = 1000};
    pm_packing p = pack(a, N, limits), q = pack(b, N, limits);
    cr_assert_eq(p.n_units, q.n_units);
    cr_assert_arr_eq(p.numbers, q.numbers, N * sizeof *p.numbers);
    cr_assert_arr_eq(p.first, q.first, (p.n_units + 1) * sizeof *p.first);
    pmi_packing_free(&p);
    pmi_packing_free(&q);
}

Test(pack, nothing_makes_no_unit) {
    pm_packing p = pack(NULL, 0, (pm_unit_limits){1, 1});
    cr_assert_eq(p.n_units, 0);
    cr_assert_eq(p.first[0], 0);
    pmi_packing_free(&p);
}

Test(pack, small_jobs_give_every_partition_something_until_units_are_too_small) {
    pm_unit_limits small = pmi_unit_limits_for(4 * 12 * PM_MIN_UNIT_COST, 12);
    cr_assert_eq(small.cost, 2 * PM_MIN_UNIT_COST);
    cr_assert_eq(pmi_unit_limits_for(1, 12).cost, PM_MIN_UNIT_COST);
    cr_assert_eq(pmi_unit_limits_for(UINT64_MAX, 1).cost, PM_MAX_UNIT_COST);
}

Test(pack, units_go_where_the_load_is_least) {
    uint64_t load[5] = {0};
    cr_assert_eq(pmi_least_loaded(load, 5, 13), 3);
    load[3] = 10;
    cr_assert_eq(pmi_least_loaded(load, 5, 13), 4);
    uint64_t costs[] = {9, 8, 7, 6, 5, 4, 3, 2, 1, 1};
    memset(load, 0, sizeof load);
    for (size_t i = 0; i < sizeof costs / sizeof *costs; i++) {
        load[pmi_least_loaded(load, 5, 0)] += costs[i];
    }
    for (size_t i = 0; i < 5; i++) {
        cr_assert(load[i] >= 8 && load[i] <= 11, "partition %zu has %lu", i, (unsigned long)load[i]);
    }
}

static const char *text_of(const rd_kafka_headers_t *h, const char *name) {
    const void *value = NULL;
    size_t size;
    cr_assert_eq(rd_kafka_header_get_last(h, name, &value, &size), RD_KAFKA_RESP_ERR_NO_ERROR, "%s", name);
    return value;
}

Test(headers, texts_are_kept) {
    uint8_t id[PM_DIGEST_BYTES] = {0xab};
    char value[] = "abc";
    rd_kafka_headers_t *h = pmi_headers_new(id, "phasemill.unit.record", "submit", 1.25);
    pmi_headers_add(h, "phasemill-kind", pmi_span_of(value));
    value[0] = 'x';
    cr_assert_eq(rd_kafka_header_cnt(h), 8);
    cr_assert_eq(strlen(text_of(h, "ce_id")), 64);
    cr_assert_eq(memcmp(text_of(h, "ce_id"), "ab00", 4), 0);
    cr_assert_str_eq(text_of(h, "ce_time"), "1970-01-01T00:00:01.250Z");
    cr_assert_str_eq(text_of(h, "ce_source"), "/phasemill/submit");
    cr_assert_str_eq(text_of(h, "phasemill-kind"), "abc");
    pmi_headers_add(h, "__dlq.errors.offset", pmi_span_of("7"));
    pmi_headers_add_digest(h, "phasemill-scc", id);
    rd_kafka_headers_t *own = pmi_headers_of_unit(h);
    cr_assert_eq(rd_kafka_header_cnt(h), 10);
    cr_assert_eq(rd_kafka_header_cnt(own), 8);
    cr_assert_str_eq(text_of(own, "phasemill-kind"), "abc");
    rd_kafka_headers_destroy(own);
    rd_kafka_headers_destroy(h);
    own = pmi_headers_of_unit(NULL);
    cr_assert_eq(rd_kafka_header_cnt(own), 0);
    rd_kafka_headers_destroy(own);
}

Test(headers, traceparent) {
    char drawn[PM_TRACEPARENT], again[PM_TRACEPARENT];
    pm_error err;
    cr_assert_eq(pmi_traceparent_draw(drawn, &err), PM_OK);
    cr_assert_eq(pmi_traceparent_draw(again, &err), PM_OK);
    cr_assert(pmi_traceparent_is_valid(drawn), "%s", drawn);
    cr_assert_str_neq(drawn, again);
    cr_assert(pmi_traceparent_is_valid("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
    static const char *const wrong[] = {"",
                                        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
                                        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 ",
                                        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                                        "00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                                        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
                                        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
                                        "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        cr_assert(!pmi_traceparent_is_valid(wrong[i]), "%s", wrong[i]);
    }
}

Test(clock, times_of_day) {
    char text[PM_TIME_TEXT];
    pmi_time_text(951827696.5, text); /* the 29th of February 2000 */
    cr_assert_str_eq(text, "2000-02-29T12:34:56.500Z");
    pmi_time_text(-5, text);
    cr_assert_str_eq(text, "1970-01-01T00:00:00.000Z");
    pmi_time_text(1e300, text);
    cr_assert_str_eq(text, "9999-12-31T23:59:59.000Z");
    cr_assert_gt(pmi_now(), 1.7e9);
}
