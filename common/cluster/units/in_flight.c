#include "units/in_flight.h"

#include <math.h>
#include <string.h>

/* ---- where one unit is --------------------------------------------------------------------------------- */

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

/* ---- items by digest ----------------------------------------------------------------------------------- */

static int by_digest(const void *a, const void *b, void *items) {
    const pm_digest *all = items;
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return memcmp(all[x], all[y], PM_DIGEST_BYTES);
}

pm_status pmi_item_index_new(const pm_digest *items, size_t n, pm_item_index *out, pm_error *err) {
    *out = (pm_item_index){.items = items, .n = n, .order = pmi_malloc(n, sizeof *out->order)};
    if (out->order == NULL || n > UINT32_MAX) {
        pmi_item_index_free(out);
        return pmi_fail_memory(err, "the items of a job", n * sizeof *out->order);
    }
    for (size_t i = 0; i < n; i++) {
        out->order[i] = (uint32_t)i;
    }
    qsort_r(out->order, n, sizeof *out->order, by_digest, (void *)(uintptr_t)items);
    return PM_OK;
}

void pmi_item_index_free(pm_item_index *index) {
    free(index->order);
    *index = (pm_item_index){0};
}

size_t pmi_item_find(const pm_item_index *index, const pm_digest digest) {
    size_t low = 0, high = index->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = memcmp(index->items[index->order[middle]], digest, PM_DIGEST_BYTES);
        if (order == 0) {
            return index->order[middle];
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return index->n;
}

/* ---- looking at the board and the topic: who has what -------------------------------------------------- */

/* Waiting for the brokers to say where the group stands. */
#define LAG_SECONDS 10.0
/* Above every load that units add up to. */
#define SHUNNED ((uint64_t)1 << 62)

/* A unit record that has missing items: numbers first_item..+n_items of the look's `numbers`. */
typedef struct seen_unit {
    int64_t offset;
    uint64_t partition;
    double time;
    size_t first_item, n_items;
} seen_unit;

typedef struct look {
    const pm_unit_kind *kind;
    const pm_item_index *index;
    const bool *missing;
    pm_in_flight *out;
    seen_unit *units;
    pm_digest *ids; /* of units */
    bool *ended, *running;
    size_t n_units, unit_capacity, id_capacity;
    uint32_t *numbers;
    size_t n_numbers, number_capacity;
    pm_lag *lags;
} look;

static pm_status add_number(look *l, size_t item, pm_error *err) {
    PM_TRY(PM_GROW(&l->numbers, &l->number_capacity, l->n_numbers + 1, "the items of units", err));
    l->numbers[l->n_numbers++] = (uint32_t)item;
    return PM_OK;
}

static pm_status see_unit(void *ctx, const pm_unit_record *record, pm_error *err) {
    look *l = ctx;
    if (!pmi_span_is(record->kind, l->kind->name)) {
        return PM_OK;
    }
    seen_unit unit = {
        .offset = record->offset, .partition = record->partition, .time = record->time, .first_item = l->n_numbers};
    pm_status st = PM_OK;
    for (size_t at = 0; st == PM_OK && at + PM_DIGEST_BYTES <= record->items.size; at += PM_DIGEST_BYTES) {
        size_t item = pmi_item_find(l->index, record->items.bytes + at);
        if (item < l->index->n && l->missing[item]) {
            st = add_number(l, item, err);
        }
    }
    unit.n_items = l->n_numbers - unit.first_item;
    if (st != PM_OK || unit.n_items == 0) {
        return st;
    }
    PM_TRY(PM_GROW(&l->units, &l->unit_capacity, l->n_units + 1, "the units of a job", err));
    PM_TRY(PM_GROW(&l->ids, &l->id_capacity, l->n_units + 1, "the units of a job", err));
    memcpy(l->ids[l->n_units], record->unit, PM_DIGEST_BYTES);
    l->units[l->n_units++] = unit;
    return PM_OK;
}

/* Heartbeats list few units, and each unit of the job is compared with them through the index of ids. */
typedef struct worker_look {
    look *l;
    const pm_item_index *ids;
} worker_look;

static pm_status see_worker(void *ctx, const pm_worker_message *worker, pm_error *err) {
    (void)err;
    worker_look *w = ctx;
    w->l->out->workers++;
    w->l->out->slots += worker->slots;
    const pm_running_unit *running = worker->units.items;
    for (size_t i = 0; i < worker->units.count; i++) {
        size_t unit = pmi_item_find(w->ids, running[i].unit);
        if (unit < w->l->n_units) {
            w->l->running[unit] = true;
        }
    }
    return PM_OK;
}

static pm_status look_at_workers(pm_producer *p, look *l, pm_error *err) {
    pm_item_index ids;
    PM_TRY(pmi_item_index_new((const pm_digest *)l->ids, l->n_units, &ids, err));
    worker_look w = {.l = l, .ids = &ids};
    pm_status st = pmi_board_workers(p->traces->redis, see_worker, &w, err);
    pmi_item_index_free(&ids);
    return st;
}

static pm_status note_ended(look *l, size_t unit, pm_error *err) {
    pm_in_flight *out = l->out;
    if (out->ended == NULL) {
        PM_TRY(PM_NEW(&out->ended, l->n_units, "the units that have ended", err));
    }
    memcpy(out->ended[out->n_ended++], l->ids[unit], PM_DIGEST_BYTES);
    return PM_OK;
}

/* Whoever takes from this partition may lose the next unit as well: others are sent to first. */
static void shun(pm_producer *p, uint64_t partition) {
    if (partition < p->n_partitions && p->load[partition] < SHUNNED) {
        p->load[partition] += SHUNNED;
    }
}

static pm_status decide(pm_producer *p, look *l, pm_error *err) {
    double now;
    pm_status st = pmi_redis_now(p->traces->redis, &now, err);
    for (size_t u = 0; st == PM_OK && u < l->n_units; u++) {
        const seen_unit *unit = &l->units[u];
        pm_unit_signs signs = {.offset = unit->offset,
                               .partition = unit->partition,
                               .since = now - unit->time,
                               .has_ended = l->ended[u],
                               .is_running = l->running[u],
                               .lags = l->lags,
                               .n_lags = p->n_partitions};
        pm_unit_place place = pmi_unit_find(&signs);
        bool is_held = pmi_unit_is_in_flight(place);
        if (place == PM_UNIT_ENDED) {
            st = note_ended(l, u, err);
        } else if (!is_held) {
            shun(p, unit->partition);
        }
        for (size_t i = 0; i < unit->n_items; i++) {
            bool *held = &l->out->held[l->numbers[unit->first_item + i]];
            *held = *held || is_held;
        }
    }
    return st;
}

static pm_status ask_lags(pm_producer *p, look *l, pm_error *err) {
    free(l->lags);
    PM_TRY(PM_ZEROS(&l->lags, p->n_partitions, "the offsets of the group", err));
    return pmi_group_lag(pmi_sender_handle(p->sender), p->kafka, p->n_partitions, l->lags,
                         pmi_deadline_within(&p->deadline, LAG_SECONDS, 0.1), err);
}

/* A units topic that was deleted is made again: what was on it is then unclaimed. */
static pm_status find_lags(pm_producer *p, look *l, pm_error *err) {
    pm_error why;
    pm_status st = ask_lags(p, l, err);
    if (st == PM_EUNAVAILABLE && pmi_producer_mend_topics(p, &why) == PM_OK) {
        st = ask_lags(p, l, err);
    }
    return st;
}

/* The group's offsets come last: a unit that was finished meanwhile then looks lost although its items are there, which
 * the next sweep sees; the other way round a lost unit would look held. */
static pm_status look_all(pm_producer *p, const uint8_t *job, look *l, pm_error *err) {
    pm_status st = pmi_board_units(p->traces->redis, job, see_unit, l, err);
    PM_TRY(st);
    l->ended = pmi_calloc(l->n_units, sizeof *l->ended);
    l->running = pmi_calloc(l->n_units, sizeof *l->running);
    PM_TRY(l->ended != NULL && l->running != NULL ? PM_OK : pmi_fail_memory(err, "the units of a job", l->n_units));
    if (l->n_units > 0) {
        st = pmi_redis_exist(p->traces->redis, PM_SPACE_OUTCOME, (const pm_digest *)l->ids, l->n_units, false, l->ended,
                             err);
    }
    PM_TRY(st);
    PM_TRY(look_at_workers(p, l, err));
    if (l->n_units > 0) {
        PM_TRY(find_lags(p, l, err));
    }
    return decide(p, l, err);
}

pm_status pmi_in_flight_look(pm_producer *p, const pm_digest job, const pm_unit_kind *kind, const pm_item_index *index,
                             const bool *missing, pm_in_flight *out, pm_error *err) {
    *out = (pm_in_flight){.held = pmi_calloc(index->n, sizeof *out->held)};
    PM_TRY(out->held != NULL ? PM_OK : pmi_fail_memory(err, "the items of a job", index->n));
    look l = {.kind = kind, .index = index, .missing = missing, .out = out};
    pm_status st = look_all(p, job, &l, err);
    out->units = l.n_units;
    free(l.units);
    free(l.ids);
    free(l.ended);
    free(l.running);
    free(l.numbers);
    free(l.lags);
    if (st != PM_OK) {
        pmi_in_flight_free(out);
    }
    return st;
}

void pmi_in_flight_free(pm_in_flight *in_flight) {
    free(in_flight->held);
    free(in_flight->ended);
    *in_flight = (pm_in_flight){0};
}
