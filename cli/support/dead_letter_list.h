/* Dead letters: the messages of a compacted topic, of which the last one of each key counts. */
#ifndef PM_CLI_DEAD_LETTER_LIST_H
#define PM_CLI_DEAD_LETTER_LIST_H

#include "base/clock.h"
#include "base/hash.h"
#include "kafka/reader.h"

/* One dead letter. Spans point into `bytes`. */
typedef struct cli_letter {
    uint8_t key[PM_DIGEST_BYTES]; /* the unit's id, or a digest of its position */
    int32_t partition;            /* on the dead-letters topic */
    int64_t offset;
    double time;
    pm_span value; /* as the unit was; bytes NULL: taken back */
    pm_header headers[PM_MAX_HEADERS];
    size_t n_headers;
    size_t order; /* of arrival */
    uint8_t *bytes;
} cli_letter;

/* All-zero is empty; free with cli_dead_letter_list_free. */
typedef struct cli_dead_letter_list {
    cli_letter *items; /* by time */
    size_t n, capacity, arrived;
    size_t n_strange; /* messages whose key is not of 32 bytes: not ours, left out */
} cli_dead_letter_list;

/* Takes in everything up to the present end of the topic; call again for what came since. */
pm_status cli_dead_letter_list_read(cli_dead_letter_list *letters, pm_reader *reader, const pm_deadline *deadline,
                                    pm_error *err);
void cli_dead_letter_list_free(cli_dead_letter_list *letters);

/* The span of a header; empty when it is not there. */
pm_span cli_letter_header(const cli_letter *letter, const char *name);
/* The same as text, cut at n - 1 bytes, without control characters; "-" when it is not there. */
void cli_letter_text(const cli_letter *letter, const char *name, char *text, size_t n);
/* The job; false when the letter names none. */
bool cli_letter_job(const cli_letter *letter, uint8_t job[PM_DIGEST_BYTES]);

/* True for headers that were added when the unit became a dead letter. */
bool cli_letter_header_is_added(const char *name);

#endif
