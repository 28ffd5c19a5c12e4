/* The program of a graph: all traces stitched, with the edges they read, in the order of the replay.
 *
 * Transient states have *positions* 0..n-1: SCC by SCC, sinks first, in pivot order inside each SCC. Every edge leads
 * to a position of its own SCC, to one of a smaller SCC, or into absorption. */
#ifndef PM_TRACE_PROGRAM_H
#define PM_TRACE_PROGRAM_H

#include "base/mem.h"
#include "trace/kernel.h"
#include "trace/trace.h"

typedef struct pm_component {
    uint32_t first, n;   /* positions first..first+n-1 */
    uint32_t level;      /* longest way to absorption, counted in SCCs: SCCs of one level do not read each other */
    const pm_plan *plan; /* NULL when n is 1 */
} pm_component;

/* SCCs with the same factors at every theta (trace/factor_class.h), and where these lie among those of all classes. */
typedef struct pm_factor_class {
    uint32_t component; /* the first of them, whose rows are factored */
    uint32_t n_members;
    size_t u, l, row;
} pm_factor_class;

typedef struct pm_program {
    uint32_t n; /* transient states */
    uint32_t n_components;
    pm_component *components; /* sinks first */
    uint32_t *vertex;         /* n: the row of each position */
    uint32_t *position;       /* of each row of the graph; PM_NONE for start, absorbing and unreachable rows */

    size_t *inner_row;   /* n + 1; edges inside the SCC: target as a local row, weight */
    size_t *inner_again; /* n: from here to the end of the row, edges whose target came before */
    uint32_t *inner_col, *inner_weight;
    size_t *exit_row; /* n + 1; edges to smaller SCCs: target position, weight */
    uint32_t *exit_to, *exit_weight;
    size_t *absorb_row; /* n + 1; edges into absorption: weight */
    uint32_t *absorb_weight;
    size_t *loop_row; /* n + 1; self-loops of a discrete graph: weight. NULL when continuous */
    uint32_t *loop_weight;

    uint32_t n_levels;
    uint32_t *by_level;    /* n_components: components, sorted by level */
    uint32_t *level_first; /* n_levels + 1: into by_level */

    uint32_t n_classes;
    pm_factor_class *classes;
    uint32_t *class_of;                  /* of each component; PM_NONE: it is factored by itself */
    size_t class_u, class_l, class_rows; /* slots of the factors of all classes */

    uint32_t largest; /* states of the largest SCC */
    size_t largest_u, largest_l;
    bool is_long;     /* so long or wide that doubles do not keep 13 digits */
    double roundings; /* the most that follow one another on the way to a solution, about */
    uint64_t flops;   /* of one theta: one factorisation and solve of all SCCs, and their exits */
    pm_pool pool;     /* of all arrays */
} pm_program;

/* The numbering of one SCC: what stitching needs to know of it. */
typedef struct pm_scc_instance {
    const pm_plan *plan;  /* NULL for a single state */
    const uint32_t *name; /* canonical number of each member; not read for a single state */
} pm_scc_instance;

/* Stitches; `instances` has split->n_sccs entries, and each SCC renamed by its instance is the topology of its plan.
 * The plans must outlive the program. Free with pmi_program_free, also after a failure. */
pm_status pmi_program_stitch(const pm_graph *graph, const pm_split *split, const pm_scc_instance *instances,
                             pm_program *out, pm_error *err);
void pmi_program_free(pm_program *program);

/* The kernels' view of one component. */
pm_scc_view pmi_program_view(const pm_program *program, uint32_t component);

#endif
