/* What librdkafka's error codes mean to us. For the files of this folder. */
#ifndef PM_KAFKA_FAULT_H
#define PM_KAFKA_FAULT_H

#include "kafka/kafka.h"

/* PM_EPERMISSION; PM_EDATA (too large); PM_ECONFIG (refused, and the same again will be: a setting of the topic or of
 * this client, or a clock); PM_EUNAVAILABLE (no broker, no topic); PM_ESOFTWARE; else PM_ETEMPORARY. */
pm_status pmi_kafka_status(rd_kafka_resp_err_t code);

/* Writes "WHAT: reason" with the status of the code. `reason` NULL: librdkafka's own words. */
pm_status pmi_kafka_fail(pm_error *err, rd_kafka_resp_err_t code, const char *reason, const char *what, ...)
    PM_PRINTF(4, 5);

/* True for words of a broker that will not change by asking again: a refused log-in, a certificate, a missing right. A
 * connection that broke in the middle of a log-in is none. */
bool pmi_kafka_is_refusal(rd_kafka_resp_err_t code, const char *reason);

/* Takes note of an error that librdkafka told: of the handle itself (its error callback), or on a queue. */
void pmi_kafka_note(pm_kafka_health *health, rd_kafka_t *rk, rd_kafka_resp_err_t code, const char *reason);

/* PM_OK, or health->fatal copied to `err`. */
pm_status pmi_kafka_check(const pm_kafka_health *health, pm_error *err);

/* Sets the callbacks and the opaque of a handle whose faults `health` gathers. */
void pmi_kafka_watch(rd_kafka_conf_t *conf, pm_kafka_health *health);

#endif
