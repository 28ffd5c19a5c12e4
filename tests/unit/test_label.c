#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "digraphs.h"
#include "families.h"
#include "scc/canon.h"
#include "scc/label.h"

static bool is_full(void) {
    return getenv("PM_TEST_FULL") != NULL;
}

static pm_topology shuffled(const pm_topology *t, pm_random *random) {
    pm_topology other;
    uint32_t *name = pmi_malloc(t->n, sizeof *name);
    draw_permutation(random, t->n, name);
    cr_assert_eq(pmi_topology_rename(t, name, &other, NULL), PM_OK);
    free(name);
    return other;
}

/* Copies with other names of states have the canonical form of the first. */
static void check_family(const family *f, uint32_t size, int copies) {
    pm_random random = {.state = 40};
    pm_topology t = family_topology(f, size);
    pm_canon first;
    for (int copy = 0; copy <= copies; copy++) {
        pm_topology other = shuffled(&t, &random);
        pm_canon canon;
        pm_error err = {0};
        double begin = pmi_seconds();
        cr_assert_eq(pmi_canon_find(&other, PM_EFFORT_FAST, NULL, &canon, &err), PM_OK, "%s", err.text);
        cr_expect_not(canon.as_given, "%s %u: no canonical form in %.1f s", f->name, size, pmi_seconds() - begin);
        if (copy > 0 && !canon.as_given && !first.as_given) {
            cr_expect(same_topology(&canon.topology, &first.topology), "%s %u: copy %d differs", f->name, size, copy);
            cr_expect_arr_eq(canon.key, first.key, PM_DIGEST_BYTES);
            pmi_canon_free(&canon);
        } else if (copy > 0) {
            pmi_canon_free(&canon);
        } else {
            first = canon;
        }
        pmi_topology_free(&other);
    }
    pmi_canon_free(&first);
    pmi_topology_free(&t);
}

Test(label, families_with_other_names_have_one_form) {
    for (size_t i = 0; i < n_families; i++) {
        check_family(&families[i], families[i].size, 3);
        check_family(&families[i], families[i].size / 5 + 4, 5);
    }
}

Test(label, large_families_take_seconds, .timeout = 900) {
    for (size_t i = 0; is_full() && i < n_families; i++) {
        check_family(&families[i], families[i].large, 1);
    }
}
