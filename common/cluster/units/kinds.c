#include "units/kinds.h"

#include <string.h>

#include "redis/traces.h"

static pm_status find_record_items(const pm_unit_message *unit, pm_unit_items *out, pm_error *err) {
    pm_record_body body;
    pm_status st = pmi_message_decode(&pmi_record_type, unit->body.bytes, unit->body.size, &body, &out->memory, err);
    out->bytes = st == PM_OK ? body.keys : (pm_span){0};
    return st;
}

static void set_own(pm_unit_items *out, const pm_digest item) {
    memcpy(out->own, item, PM_DIGEST_BYTES);
    out->bytes = (pm_span){out->own, PM_DIGEST_BYTES};
}

static pm_status find_evaluate_items(const pm_unit_message *unit, pm_unit_items *out, pm_error *err) {
    pm_evaluate_body body;
    PM_TRY(pmi_message_decode(&pmi_evaluate_type, unit->body.bytes, unit->body.size, &body, &out->memory, err));
    set_own(out, body.result);
    return PM_OK;
}

static pm_status find_probe_items(const pm_unit_message *unit, pm_unit_items *out, pm_error *err) {
    (void)err;
    set_own(out, unit->unit);
    return PM_OK;
}

const pm_unit_kind pmi_record_units = {
    .name = "record", .space = PM_SPACE_TRACE, .progress = "recording", .find_items = find_record_items};
const pm_unit_kind pmi_evaluate_units = {.name = "evaluate",
                                         .space = PM_SPACE_RESULT,
                                         .progress = "evaluating",
                                         .fails_alone = true,
                                         .find_items = find_evaluate_items};
const pm_unit_kind pmi_probe_units = {.name = "probe", .progress = "probing", .find_items = find_probe_items};

static const pm_unit_kind *find_kind(pm_span name) {
    static const pm_unit_kind *const all[] = {&pmi_record_units, &pmi_evaluate_units, &pmi_probe_units};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (pmi_span_is(name, all[i]->name)) {
            return all[i];
        }
    }
    return NULL;
}

pm_status pmi_unit_items_find(const pm_unit_message *unit, pm_unit_items *out, pm_error *err) {
    *out = (pm_unit_items){0};
    const pm_unit_kind *kind = find_kind(unit->kind);
    if (kind == NULL) {
        return pmi_fail(err, PM_EDATA, "a unit of kind \"%.*s\" is not known here, expected one of: " PM_UNIT_KINDS,
                        (int)unit->kind.size, (const char *)unit->kind.bytes);
    }
    return kind->find_items(unit, out, err);
}

void pmi_unit_items_free(pm_unit_items *items) {
    pmi_message_memory_free(&items->memory);
    *items = (pm_unit_items){0};
}
