/* Small chains and queues. */
#include "examples/models.h"
#include "examples/models_explore.h"

/* Røikjer, Hobolth and Munch 2022, Statistics and Computing 32:103: rabbits jump between two islands at rate 1 (here:
 * once for all rabbits of an island, or for each); floods empty the left and the right island at rates of their own.
 * State: rabbits on the left, rabbits on the right. A jump and a flood that lead to the same state stay two edges. */
enum { JUMP, FLOOD_LEFT, FLOOD_RIGHT };

static pm_status expand_rabbits(const void *model, pm_explorer *x, pm_error *err) {
    bool count = *(const bool *)model;
    pm_status status = PM_OK;
    for (uint32_t side = 0; side < 2 && status == PM_OK; side++) {
        int32_t here = x->state[side];
        if (here == 0) {
            continue;
        }
        pmi_explorer_change(x, side, -1);
        pmi_explorer_change(x, 1 - side, 1);
        status = pmi_explorer_edge(x, JUMP, count ? here : 1, err);
        if (status == PM_OK) {
            pmi_explorer_change(x, side, -here);
            status = pmi_explorer_edge(x, FLOOD_LEFT + side, 1, err);
        }
    }
    return status;
}

pm_status pmi_model_rabbits(const int64_t *args, pm_graph **out, pm_error *err) {
    PM_TRY(pmi_model_check("rabbits", args, err));
    const int32_t initial[2] = {(int32_t)args[0], 0};
    bool count = args[1] != 0;
    return pmi_explore(2, 3, initial, expand_rabbits, &count, out, err);
}

/* Two queues in a row. A customer comes in (arrival), moves on to queue 2 (service_1) and goes home (service_2). When
 * queue 1 is full, or queue 2 is full while queue 1 has a customer to hand on, a customer may find no room and end the
 * process: at rate exit each. State: lengths of the queues; (k1, k2), which no queue reaches, is the absorbing state.
 */
enum { ARRIVAL, SERVICE_1, SERVICE_2, EXIT };

static pm_status expand_tandem(const void *model, pm_explorer *x, pm_error *err) {
    const int32_t *k = model;
    int32_t first = x->state[0], second = x->state[1];
    if (first == k[0]) {
        return PM_OK;
    }
    bool full_1 = first == k[0] - 1, full_2 = second == k[1] - 1;
    pm_status status = PM_OK;
    if (!full_1) {
        pmi_explorer_change(x, 0, 1);
        status = pmi_explorer_edge(x, ARRIVAL, 1, err);
    }
    if (status == PM_OK && first > 0 && !full_2) {
        pmi_explorer_change(x, 0, -1);
        pmi_explorer_change(x, 1, 1);
        status = pmi_explorer_edge(x, SERVICE_1, 1, err);
    }
    if (status == PM_OK && second > 0) {
        pmi_explorer_change(x, 1, -1);
        status = pmi_explorer_edge(x, SERVICE_2, 1, err);
    }
    int blocked = (int)full_1 + (int)(full_2 && first > 0);
    if (status == PM_OK && blocked > 0) {
        pmi_explorer_change(x, 0, k[0] - first);
        pmi_explorer_change(x, 1, k[1] - second);
        status = pmi_explorer_edge(x, EXIT, blocked, err);
    }
    return status;
}

pm_status pmi_model_tandem(const int64_t *args, pm_graph **out, pm_error *err) {
    PM_TRY(pmi_model_check("tandem", args, err));
    const int32_t k[2] = {(int32_t)args[0], (int32_t)args[1]}, initial[2] = {0, 0};
    return pmi_explore(2, 4, initial, expand_tandem, k, out, err);
}

/* State: stages left. */
static pm_status expand_erlang(const void *model, pm_explorer *x, pm_error *err) {
    (void)model;
    if (x->state[0] == 0) {
        return PM_OK;
    }
    pmi_explorer_change(x, 0, -1);
    return pmi_explorer_edge(x, 0, 1, err);
}

pm_status pmi_model_erlang(const int64_t *args, pm_graph **out, pm_error *err) {
    PM_TRY(pmi_model_check("erlang", args, err));
    int32_t initial = (int32_t)args[0];
    return pmi_explore(1, 1, &initial, expand_erlang, NULL, out, err);
}

/* State: individuals, from 1; each gives birth (below n) and dies; 0 is absorbing. */
static pm_status expand_birth_death(const void *model, pm_explorer *x, pm_error *err) {
    int32_t largest = *(const int32_t *)model, here = x->state[0];
    pm_status status = PM_OK;
    if (here > 0 && here < largest) {
        pmi_explorer_change(x, 0, 1);
        status = pmi_explorer_edge(x, 0, here, err);
    }
    if (status == PM_OK && here > 0) {
        pmi_explorer_change(x, 0, -1);
        status = pmi_explorer_edge(x, 1, here, err);
    }
    return status;
}

pm_status pmi_model_birth_death(const int64_t *args, pm_graph **out, pm_error *err) {
    PM_TRY(pmi_model_check("birth-death", args, err));
    int32_t largest = (int32_t)args[0], initial = 1;
    return pmi_explore(1, 2, &initial, expand_birth_death, &largest, out, err);
}

/* State: customers, from 0; k is absorbing. */
static pm_status expand_mm1k(const void *model, pm_explorer *x, pm_error *err) {
    int32_t k = *(const int32_t *)model, here = x->state[0];
    if (here == k) {
        return PM_OK;
    }
    pmi_explorer_change(x, 0, 1);
    pm_status status = pmi_explorer_edge(x, 0, 1, err);
    if (status == PM_OK && here > 0) {
        pmi_explorer_change(x, 0, -1);
        status = pmi_explorer_edge(x, 1, 1, err);
    }
    return status;
}

pm_status pmi_model_mm1k(const int64_t *args, pm_graph **out, pm_error *err) {
    PM_TRY(pmi_model_check("mm1k", args, err));
    int32_t k = (int32_t)args[0], initial = 0;
    return pmi_explore(1, 2, &initial, expand_mm1k, &k, out, err);
}
