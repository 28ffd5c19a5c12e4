/* What worker and child say to each other over their socket: a task, then its answer. Both are the same program, so
 * that structs travel as they are; the worker still checks what it reads, for a child may have lost its mind. */
#ifndef PM_WORKER_TASK_H
#define PM_WORKER_TASK_H

#include "base/hash.h"

#define PM_KIND_NAME 16 /* bytes of a kind's name with its final zero */

/* Before the message's value, of `size` bytes, as it came from Kafka. The rest is what its headers say it is. */
typedef struct pm_task_head {
    uint64_t size;
    uint8_t job[PM_DIGEST_BYTES], unit[PM_DIGEST_BYTES];
    char kind[PM_KIND_NAME];
} pm_task_head;

typedef struct pm_answer {
    uint64_t items, recorded, known;
    double seconds;   /* of compute */
    uint32_t status;  /* pm_status */
    uint32_t has_scc; /* scc is the key of the SCC at fault */
    uint8_t scc[PM_DIGEST_BYTES];
    char text[PM_ERROR_TEXT];
} pm_answer;

#endif
