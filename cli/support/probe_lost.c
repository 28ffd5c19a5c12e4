/* Probes that nobody has any more: their topic was deleted, or made again, after Kafka had taken them. */
#include "base/clock.h"
#include "base/mem.h"
#include "support/probe.h"
#include "units/in_flight.h"

/* A look reads the records of all units: only when so long nothing has ended. */
#define STALL_SECONDS 5.0
/* What one look reads here and there is not of one moment. */
#define STRIKES 2

/* Flags of the units that have been sent and not ended, by number. */
static void mark_missing(const cli_probe *probe, bool *missing) {
    for (size_t i = 0; i < probe->n_sent; i++) {
        missing[i] = !probe->units[probe->places[i]].has_ended;
    }
}

/* Numbers of the units that were unclaimed at each of the last looks. */
static size_t find_lost(cli_probe *probe, const bool *missing, const bool *held, size_t *numbers) {
    size_t n = 0;
    for (size_t i = 0; i < probe->n_sent; i++) {
        cli_probe_unit *unit = &probe->units[probe->places[i]];
        unit->strikes = missing[i] && !held[i] ? unit->strikes + 1 : 0;
        if (unit->strikes >= STRIKES) {
            unit->strikes = 0;
            numbers[n++] = i;
        }
    }
    return n;
}

static pm_status look(cli_probe *probe, bool *missing, size_t *numbers, size_t *n_lost, pm_error *err) {
    pm_item_index index;
    pm_in_flight hands;
    const uint8_t(*items)[PM_DIGEST_BYTES] = (const uint8_t(*)[PM_DIGEST_BYTES])probe->items;
    pm_status st = pmi_item_index_new(items, probe->n_sent, &index, err);
    if (st != PM_OK) {
        return st;
    }
    mark_missing(probe, missing);
    st = pmi_in_flight_look(&probe->cluster->producer, probe->job, &pmi_probe_units, &index, missing, &hands, err);
    if (st == PM_OK) {
        *n_lost = find_lost(probe, missing, hands.held, numbers);
        pmi_in_flight_free(&hands);
    }
    pmi_item_index_free(&index);
    return st;
}

pm_status cli_probe_find_lost(cli_probe *probe, size_t **lost, size_t *n_lost, pm_error *err) {
    double now = pmi_seconds();
    *lost = NULL;
    *n_lost = 0;
    if (now < probe->looked + STALL_SECONDS || now < probe->last_ended + STALL_SECONDS) {
        return PM_OK;
    }
    bool *missing = pmi_calloc(probe->n_sent, sizeof *missing);
    size_t *numbers = pmi_malloc(probe->n_sent, sizeof *numbers);
    pm_status st = missing != NULL && numbers != NULL
                       ? look(probe, missing, numbers, n_lost, err)
                       : pmi_fail_memory(err, "unclaimed units", probe->n_sent * sizeof *numbers);
    free(missing);
    probe->looked = now;
    *lost = numbers;
    if (*n_lost > 0) {
        pmi_logf(&probe->cluster->console.log, PM_LOG_WARNING,
                 "%zu units have not ended and are unclaimed; they are sent again", *n_lost);
    }
    return st;
}
