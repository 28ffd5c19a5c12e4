/* Times that are mixed in groups, and what their kernels are made of. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "density_chains.h"
#include "density_reference.h"
#include "eval/step.h"

#define N_REFERENCES (sizeof density_references / sizeof *density_references)
#define NEIGHBOURS 24

static const double one = 1.0;

static size_t instruction_sets(pm_isa isas[PM_ISA_COUNT]) {
    size_t n = 0;
    for (int isa = 0; isa < PM_ISA_COUNT; isa++) {
        pm_isa found;
        if (pmi_isa_choose(pmi_isa_name((pm_isa)isa), &found, NULL) == PM_OK) {
            isas[n++] = found;
        }
    }
    return n;
}

Test(mixing, exponentials_are_within_two_units) {
    pm_isa isas[PM_ISA_COUNT];
    size_t n_isas = instruction_sets(isas);
    enum { N = 4096 };
    static double x[N], value[N];
    for (size_t i = 0; i < N; i++) {
        x[i] = i < 8 ? (double)i - 4.0 : 699.9 * sin(1e-3 * (double)(i * i));
    }
    for (size_t k = 0; k < n_isas; k++) {
        memcpy(value, x, sizeof value);
        pmi_mixing_get(isas[k])->exponentials(value, N);
        for (size_t i = 0; i < N; i++) {
            long double expected = expl((long double)x[i]);
            double error = (double)(fabsl(value[i] - expected) / expected);
            cr_expect(error <= 2.0 * 0x1p-52, "exp(%.17g) = %.17g, off by %g", x[i], value[i], error);
        }
    }
}

enum { TIMES = 2 * NEIGHBOURS + 1 };

static double peak_of(const char *name) {
    double peak = 0.0;
    for (size_t i = 0; i < N_REFERENCES; i++) {
        if (strcmp(density_references[i].chain, name) == 0) {
            peak = fmax(peak, density_references[i].pdf);
        }
    }
    return peak;
}

/* Evaluates pdf, cdf with the survival, or both; those not asked for are left. */
static double evaluate_some(const chain *c, pm_isa isa, const double *times, bool pdf, bool cdf, double *out) {
    pm_request r = {.n_theta = 1, .theta = &one, .n_times = TIMES, .times = times, .pdf = pdf, .cdf = cdf};
    pm_result result = {.pdf = out, .cdf = out + TIMES, .survival = cdf ? out + 2 * TIMES : NULL};
    pm_error err = {0};
    cr_assert_eq(pmi_density_evaluate(c->chain, NULL, 0, isa, &r, c->start, &result, NULL, &err), PM_OK, "%s",
                 err.text);
    return result.error_bound + 1e-16; /* the reference is rounded too */
}

/* Groups of neighbours of times that closed forms are known for. */
static void check_among_many(const density_reference *r, pm_isa isa) {
    chain c = chain_named(r->chain, 1);
    double times[TIMES], out[3 * TIMES], peak = 1e-6 * peak_of(r->chain);
    for (int j = 0; j < TIMES; j++) {
        times[j] = r->time * (1.0 + 0.004 * (j - NEIGHBOURS));
    }
    for (int wanted = 1; wanted < 4; wanted++) {
        bool pdf = (wanted & 1) != 0, cdf = (wanted & 2) != 0;
        double bound = evaluate_some(&c, isa, times, pdf, cdf, out), scale = peak;
        for (int j = 0; pdf && j < TIMES; j++) {
            scale = fmax(scale, out[j]);
        }
        if (pdf) {
            cr_expect(fabs(out[NEIGHBOURS] - r->pdf) <= bound * scale, "%s: pdf(%g) = %.17g, expected %.17g", r->chain,
                      r->time, out[NEIGHBOURS], r->pdf);
        }
        if (cdf) {
            double cdf_found = out[TIMES + NEIGHBOURS], survival = out[2 * TIMES + NEIGHBOURS];
            cr_expect(fabs(cdf_found - r->cdf) <= bound && fabs(survival - r->survival) <= bound,
                      "%s: cdf(%g) = %.17g, expected %.17g", r->chain, r->time, cdf_found, r->cdf);
        }
    }
    drop(&c);
}

Test(mixing, times_among_many_are_within_the_bound) {
    pm_isa isas[PM_ISA_COUNT];
    size_t n_isas = instruction_sets(isas);
    for (size_t i = 0; i < N_REFERENCES; i++) {
        for (size_t k = 0; k < n_isas && density_references[i].time > 0.0; k++) {
            check_among_many(&density_references[i], isas[k]);
        }
    }
}
