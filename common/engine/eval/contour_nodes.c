#include "eval/contour_nodes.h"

#include <math.h>
#include <string.h>

#include "trace/complex.h"

/* Angles of hyperbolas that are tried. */
#define ANGLES 400

/* Hyperbolas: the real part at the vertex, times the last time; parabolas: the same. Rounding errors grow with its
 * exponential, the number of nodes falls with it. */
#define HYPERBOLA_HEIGHT 4.0
#define PARABOLA_HEIGHT 4.0

/* The part of the way to the vertex that a parabola keeps clear of the disc. */
#define CLEARANCE 0.9

/* Times of a window at which step and impulse are looked at, and how much larger they may be in between. */
#define SAMPLES 33
#define BETWEEN_SAMPLES 2.0

/* ---- hyperbolas ---- */

/* s = mu (1 + sin(iu - angle)): its strip of analyticity is `angle` wide towards the right, where it is a line, and
 * pi/2 - sector - angle towards the left. */
typedef struct hyperbola {
    double angle, step, mu, n;
} hyperbola;

/* The errors of both sides of the strip and what is cut off are exp(-digits), or mu is as large as rounding lets it. */
static hyperbola hyperbola_of(double angle, double sector, double ratio, double digits) {
    hyperbola h = {.angle = angle, .n = HUGE_VAL};
    double left = M_PI_2 - sector - angle;
    h.step = 2.0 * M_PI * left / digits;
    double most = 2.0 * M_PI * angle / h.step - digits;
    most = fmin(most, HYPERBOLA_HEIGHT / (1.0 - sin(angle)));
    if (most > 0.0) {
        h.mu = most / ratio;
        h.n = acosh((1.0 + digits / h.mu) / sin(angle)) / h.step;
    }
    return h;
}

static hyperbola best_hyperbola(double sector, double ratio, double digits) {
    hyperbola best = {.n = HUGE_VAL};
    double most = M_PI_2 - sector;
    for (int i = 1; i < ANGLES; i++) {
        hyperbola h = hyperbola_of(most * i / ANGLES, sector, ratio, digits);
        if (h.n < best.n) {
            best = h;
        }
    }
    return best;
}

/* ---- both ---- */

static pm_status contour_new(double ratio, double nodes, pm_contour *out, pm_error *err) {
    *out = (pm_contour){.ratio = ratio};
    bool fits = nodes < 1e12;
    size_t n = fits ? ((size_t)nodes / PM_NODES + 1) * PM_NODES : SIZE_MAX;
    out->s_re = pmi_pool_array(&out->pool, n, sizeof(double));
    out->s_im = pmi_pool_array(&out->pool, n, sizeof(double));
    out->w_re = pmi_pool_array(&out->pool, n, sizeof(double));
    out->w_im = pmi_pool_array(&out->pool, n, sizeof(double));
    out->n = n;
    return pmi_pool_check(&out->pool, err, "the nodes of a contour", n);
}

void pmi_contour_weight(const pm_contour *c, size_t j, double r, double *re, double *im) {
    double size = exp(c->s_re[j] * r), turn = c->s_im[j] * r, cosine = cos(turn), sine = sin(turn);
    *re = size * (c->w_re[j] * cosine - c->w_im[j] * sine);
    *im = size * (c->w_re[j] * sine + c->w_im[j] * cosine);
}

static void find_errors(pm_contour *c) {
    double step_error = 0.0, impulse_error = 0.0;
    for (int i = 0; i < SAMPLES; i++) {
        double r = pow(c->ratio, (double)i / (SAMPLES - 1)), step = 0.0, impulse = 0.0;
        for (size_t j = 0; j < c->n; j++) {
            double re, im, square = c->s_re[j] * c->s_re[j] + c->s_im[j] * c->s_im[j];
            pmi_contour_weight(c, j, r, &re, &im);
            step += (re * c->s_re[j] + im * c->s_im[j]) / square;
            impulse += re;
        }
        step_error = fmax(step_error, fabs(step - 1.0));
        impulse_error = fmax(impulse_error, fabs(impulse));
    }
    c->step_error = BETWEEN_SAMPLES * step_error;
    c->impulse_error = BETWEEN_SAMPLES * impulse_error;
}

/* By symmetry half of the nodes do: real parts count twice. With s' = ds/du, w = step s' / (pi i). */
static void set_node(pm_contour *c, size_t j, double step, double s_re, double s_im, double ds_re, double ds_im) {
    c->s_re[j] = s_re;
    c->s_im[j] = s_im;
    c->w_re[j] = step / M_PI * ds_im;
    c->w_im[j] = -step / M_PI * ds_re;
}

pm_status pmi_contour_hyperbola(double sector, double ratio, double digits, pm_contour *out, pm_error *err) {
    hyperbola h = best_hyperbola(sector, ratio, digits);
    PM_TRY(contour_new(ratio, h.n, out, err));
    for (size_t j = 0; j < out->n; j++) {
        double u = ((double)j + 0.5) * h.step, sine = sin(h.angle), cosine = cos(h.angle);
        set_node(out, j, h.step, h.mu * (1.0 - sine * cosh(u)), h.mu * cosine * sinh(u), -h.mu * sine * sinh(u),
                 h.mu * cosine * cosh(u));
    }
    find_errors(out);
    return PM_OK;
}

/* Towards the left, the strip ends where the parabola comes close to the disc; towards the right nowhere. */
typedef struct parabola {
    double vertex, step, n;
} parabola;

static parabola parabola_of(double rate, double ratio, double digits) {
    parabola p = {.vertex = PARABOLA_HEIGHT / ratio};
    double left = CLEARANCE * fmin(p.vertex, rate);
    p.step = 2.0 * M_PI * left / (digits + PARABOLA_HEIGHT);
    p.n = sqrt(2.0 * rate * (digits + p.vertex)) / p.step;
    return p;
}

double pmi_contour_parabola_nodes(double rate, double ratio, double digits) {
    return parabola_of(rate, ratio, digits).n;
}

pm_status pmi_contour_parabola(double rate, double ratio, double digits, pm_contour *out, pm_error *err) {
    parabola p = parabola_of(rate, ratio, digits);
    PM_TRY(contour_new(ratio, p.n, out, err));
    for (size_t j = 0; j < out->n; j++) {
        double u = ((double)j + 0.5) * p.step;
        set_node(out, j, p.step, p.vertex - u * u / (2.0 * rate), u, -u / rate, 1.0);
    }
    find_errors(out);
    return PM_OK;
}
