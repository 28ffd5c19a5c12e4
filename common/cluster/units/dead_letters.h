/* Dead letters: the messages of a compacted topic, of which the last one of each key counts. */
#ifndef PM_UNITS_DEAD_LETTERS_H
#define PM_UNITS_DEAD_LETTERS_H

#include "kafka/reader.h"
#include "units/producer.h"

/* One dead letter, which owns what it points to. */
typedef struct pm_letter {
    pm_digest key;     /* the unit's id, or a digest of its position */
    int32_t partition; /* on the dead-letters topic */
    int64_t offset;
    double time;
    pm_span value; /* as the unit was; bytes NULL: taken back */
    rd_kafka_headers_t *headers;
    size_t order; /* of arrival */
} pm_letter;

/* All-zero is empty; free with pmi_letters_free. */
typedef struct pm_letters {
    pm_letter *items; /* by time */
    size_t n, capacity, arrived;
    size_t n_strange; /* messages whose key is not of 32 bytes: not ours, left out */
} pm_letters;

/* Takes in everything up to the present end of the topic; call again for what came since. */
pm_status pmi_letters_read(pm_letters *letters, pm_reader *reader, const pm_deadline *deadline, pm_error *err);
void pmi_letters_free(pm_letters *letters);

/* The name of the i-th header; NULL when there are fewer. */
const char *pmi_letter_header(const pm_letter *letter, size_t i);
/* The first header of that name as text, cut at n - 1 bytes, without control characters; "-" when it is not there. */
void pmi_letter_text(const pm_letter *letter, const char *name, char *text, size_t n);
/* The job; false when the letter names none. */
bool pmi_letter_job(const pm_letter *letter, pm_digest job);

/* What letters are replayed and dropped through. Close with pmi_letter_post_close. */
typedef struct pm_letter_post {
    const pm_kafka_options *kafka;
    pm_redis *redis; /* NULL: letters are only dropped */
    const pm_deadline *deadline;
    const pm_log *log;
    pm_status (*limit)(void *ctx, pm_error *err); /* called before each letter, or batch: sets the deadline anew */
    void *ctx;
    pm_sender *sender; /* opened on request */
    pm_deliveries sent;
} pm_letter_post;
void pmi_letter_post_close(pm_letter_post *post);

/* Sends the units of n letters anew, then takes the letters back. Writes what was done to the log. PM_EDATA for letters
 * that cannot be replayed, when all others were. */
pm_status pmi_letters_replay(pm_letter_post *post, const pm_letter *const *letters, size_t n, pm_error *err);
/* Takes the letters back. */
pm_status pmi_letters_drop(pm_letter_post *post, const pm_letter *const *letters, size_t n, pm_error *err);

#endif
