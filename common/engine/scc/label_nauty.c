#include <nauty/nausparse.h>
#include <nauty/nautinv.h>
#include <nauty/schreier.h>
#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "scc/label.h"

/* nauty recurses once for each vertex that it chooses: 3,000 at most, some hundred bytes each. */
#define STACK_BYTES ((size_t)8 << 20)
/* Up to here the caller's stack does. */
#define SHALLOW_STATES 64

/* nauty's hook takes no context, and what stops it is one flag for the process: one search at a time, one limit. */
static pthread_mutex_t nauty_lock = PTHREAD_MUTEX_INITIALIZER;
static double nauty_limit; /* of pmi_thread_seconds() of the thread that searches */

static void stop_at_limit(graph *g, int *lab, int *ptn, int level, int cells, int tc, int code, int m, int n) {
    (void)g, (void)lab, (void)ptn, (void)level, (void)cells, (void)tc, (void)code, (void)m, (void)n;
    if (pmi_thread_seconds() > nauty_limit) {
        nauty_kill_request = 1;
    }
}

typedef struct task {
    size_t n, edges, words;
    int *lab, *ptn, *orbits;
    size_t *row;
    int *degree, *col;
    graph *dense, *dense_canonical; /* NULL: sparse */
    bool own_stack, symmetric, found;
    double seconds, spent; /* of processor time: that may be spent, that the own thread has spent */
    pm_pool pool;          /* of the arrays */
} task;

static pm_status task_new(const pm_digraph *g, task *t, pm_error *err) {
    size_t n = g->n, edges = g->row[n], words = (n + WORDSIZE - 1) / WORDSIZE;
    bool is_dense = n * words <= 4 * (n + edges);
    *t = (task){.n = n, .edges = edges, .words = words, .own_stack = n > SHALLOW_STATES};
    t->lab = pmi_pool_array(&t->pool, n, sizeof *t->lab);
    t->ptn = pmi_pool_array(&t->pool, n, sizeof *t->ptn);
    t->orbits = pmi_pool_array(&t->pool, n, sizeof *t->orbits);
    if (is_dense) {
        t->dense = pmi_pool_zeros(&t->pool, n * words, sizeof *t->dense);
        t->dense_canonical = pmi_pool_zeros(&t->pool, n * words, sizeof *t->dense_canonical);
    } else {
        t->row = pmi_pool_array(&t->pool, n, sizeof *t->row);
        t->degree = pmi_pool_array(&t->pool, n, sizeof *t->degree);
        t->col = pmi_pool_array(&t->pool, edges, sizeof *t->col);
    }
    pm_status st = pmi_pool_check(&t->pool, err, "the canonical form of an SCC", n * 24 + edges * 4);
    if (st != PM_OK) {
        pmi_pool_free(&t->pool);
    }
    return st;
}

/* Whether every edge has one back; `mark` has n values. */
static bool is_symmetric(const pm_digraph *g, int *mark) {
    memset(mark, -1, g->n * sizeof *mark);
    for (uint32_t v = 0; v < g->n; v++) {
        for (uint32_t e = g->row[v]; e < g->row[v + 1]; e++) {
            mark[g->col[e]] = (int)v;
        }
        for (uint32_t e = g->in_row[v]; e < g->in_row[v + 1]; e++) {
            if (mark[g->in_col[e]] != (int)v) {
                return false;
            }
        }
    }
    return true;
}

static void fill(const pm_digraph *g, const pm_cells *cells, task *t) {
    t->symmetric = is_symmetric(g, t->orbits);
    for (uint32_t v = 0; v < g->n; v++) {
        uint32_t cell = cells->cell[cells->vertex[v]];
        t->lab[v] = (int)cells->vertex[v];
        t->ptn[v] = v + 1 < cell + cells->size[cell];
        if (t->dense == NULL) {
            t->row[v] = g->row[v];
            t->degree[v] = (int)(g->row[v + 1] - g->row[v]);
        }
        for (uint32_t e = g->row[v]; e < g->row[v + 1]; e++) {
            if (t->dense == NULL) {
                t->col[e] = (int)g->col[e];
            } else {
                ADDONEARC(t->dense, v, g->col[e], t->words);
            }
        }
    }
}

/* An undirected graph needs no invariant that looks at the other direction, which is what costs most. */
static optionblk options_of(const task *t) {
    DEFAULTOPTIONS_GRAPH(undirected);
    DEFAULTOPTIONS_DIGRAPH(directed);
    DEFAULTOPTIONS_SPARSEGRAPH(sparse_undirected);
    DEFAULTOPTIONS_SPARSEDIGRAPH(sparse_directed);
    optionblk options = t->dense != NULL ? (t->symmetric ? undirected : directed)
                                         : (t->symmetric ? sparse_undirected : sparse_directed);
    options.getcanon = TRUE;
    options.defaultptn = FALSE;
    options.schreier = TRUE;
    options.usernodeproc = stop_at_limit;
    return options;
}

static bool run_dense(task *t) {
    optionblk options = options_of(t);
    statsblk stats;
    densenauty(t->dense, t->lab, t->ptn, t->orbits, &options, &stats, (int)t->words, (int)t->n, t->dense_canonical);
    return stats.errstatus == 0;
}

static bool run_sparse(task *t) {
    optionblk options = options_of(t);
    statsblk stats;
    sparsegraph canonical = {0};
    sparsegraph g = {.nv = (int)t->n,
                     .nde = t->edges,
                     .v = t->row,
                     .d = t->degree,
                     .e = t->col,
                     .vlen = t->n,
                     .dlen = t->n,
                     .elen = t->edges};
    sparsenauty(&g, t->lab, t->ptn, t->orbits, &options, &stats, &canonical);
    SG_FREE(canonical);
    return stats.errstatus == 0;
}

static void *run(void *argument) {
    task *t = argument;
    nauty_limit = pmi_thread_seconds() + t->seconds;
    t->found = t->dense != NULL ? run_dense(t) : run_sparse(t);
    if (t->own_stack) { /* what nauty keeps for a thread ends with it */
        nauty_freedyn();
        naugraph_freedyn();
        nausparse_freedyn();
        schreier_freedyn();
        t->spent = pmi_thread_seconds();
    }
    return NULL;
}

/* On a stack of its own, which ends in a page that may not be touched. */
static pm_status run_aside(task *t, pm_error *err) {
    pthread_attr_t attributes;
    pthread_t thread;
    int failed = pthread_attr_init(&attributes);
    if (failed == 0) {
        failed = pthread_attr_setstacksize(&attributes, STACK_BYTES);
        failed = failed == 0 ? pthread_create(&thread, &attributes, run, t) : failed;
        pthread_attr_destroy(&attributes);
    }
    if (failed != 0) {
        return pmi_fail(err, PM_EOSERR, "no thread for the canonical form of an SCC: %s", strerror(failed));
    }
    pthread_join(thread, NULL);
    return PM_OK;
}

pm_status pmi_label_nauty(const pm_digraph *g, const pm_cells *cells, double *limit, uint32_t *order, bool *found,
                          pm_error *err) {
    task t;
    pm_status st = task_new(g, &t, err);
    PM_TRY(st);
    fill(g, cells, &t);
    pthread_mutex_lock(&nauty_lock);
    nauty_kill_request = 0;
    t.seconds = *limit - pmi_thread_seconds();
    if (t.own_stack) {
        st = run_aside(&t, err);
    } else {
        run(&t);
    }
    pthread_mutex_unlock(&nauty_lock);
    *limit -= t.spent;
    *found = t.found;
    for (uint32_t i = 0; st == PM_OK && t.found && i < g->n; i++) {
        order[i] = (uint32_t)t.lab[i];
    }
    pmi_pool_free(&t.pool);
    return st;
}
