#include <string.h>

#include "support/cluster.h"
#include "support/json_writer.h"

#define REACH_SECONDS 10.0
#define DESTROY_SECONDS 0.5 /* of librdkafka's threads */
#define METADATA_SECONDS 10.0

typedef struct topics_options {
    bool check, json;
    size_t timeout;
} topics_options;

#define FIELD(name) offsetof(topics_options, name)

static const cli_option options[] = {
    {"check", CLI_FLAG, FIELD(check), 0, 0, NULL},
    {"json", CLI_FLAG, FIELD(json), 0, 0, NULL},
    {"timeout", CLI_COUNT, FIELD(timeout), 1, 1000000, NULL},
    {0},
};

static void write_topic(const rd_kafka_metadata_topic_t *topic, cli_json *j, cli_out *out) {
    int replicas = topic->partition_cnt > 0 ? topic->partitions[0].replica_cnt : 0;
    if (j == NULL) {
        cli_out_format(out, "%-32s %4d partitions %3d replicas\n", topic->topic, topic->partition_cnt, replicas);
        return;
    }
    cli_json_open(j, '{');
    cli_json_string(cli_json_key(j, "topic"), topic->topic);
    cli_json_count(cli_json_key(j, "partitions"), (uint64_t)topic->partition_cnt);
    cli_json_count(cli_json_key(j, "replicas"), (uint64_t)replicas);
    cli_json_close(j, '}');
}

static void write_topics(const pm_kafka_options *kafka, const struct rd_kafka_metadata *metadata, bool as_json,
                         cli_out *out) {
    cli_json j = {.out = out};
    if (as_json) {
        cli_json_open(&j, '[');
    }
    for (pm_topic topic = 0; topic < PM_N_TOPICS; topic++) {
        char name[PM_TOPIC_NAME];
        pmi_topic_name(kafka, topic, name);
        for (int i = 0; i < metadata->topic_cnt; i++) {
            if (strcmp(metadata->topics[i].topic, name) == 0) {
                write_topic(&metadata->topics[i], as_json ? &j : NULL, out);
            }
        }
    }
    if (as_json) {
        cli_json_close(&j, ']');
        cli_out_text(out, "\n");
    }
}

static pm_status show(rd_kafka_t *rk, cli_cluster *c, bool as_json, pm_error *err) {
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t code = rd_kafka_metadata(rk, 1, NULL, &metadata,
                                                 (int)(1e3 * pmi_deadline_within(&c->deadline, METADATA_SECONDS, 0.1)));
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return pmi_fail(err, PM_ETEMPORARY, "the list of topics: %s; try again", rd_kafka_err2str(code));
    }
    cli_out *out = NULL;
    pm_status st = cli_cluster_limit(c, 0, err);
    PM_THEN(st, cli_out_open(NULL, &out, err));
    if (st == PM_OK) {
        write_topics(&c->kafka, metadata, as_json, out);
    }
    rd_kafka_metadata_destroy(metadata);
    return cli_out_close(out, st, err);
}

static pm_status ensure(cli_cluster *c, const topics_options *o, rd_kafka_t *rk, pm_kafka_health *health,
                        pm_error *err) {
    size_t n_partitions = 0;
    PM_TRY(pmi_kafka_reach(rk, &c->kafka, health, pmi_deadline_within(&c->deadline, REACH_SECONDS, 0.1), err));
    PM_TRY(pmi_topics_ensure(rk, &c->kafka, o->check, &c->console.log, &n_partitions, err));
    return show(rk, c, o->json, err);
}

static pm_status open_and_ensure(cli_cluster *c, const topics_options *o, pm_error *err) {
    rd_kafka_t *rk = NULL;
    pm_kafka_health *health;
    PM_TRY(PM_ZEROS(&health, 1, "a handle's health", err));
    pm_status st = cli_cluster_kafka_options(c, err);
    if (st == PM_OK) {
        health->log = &c->console.log;
        cli_cluster_waits_for(c, "Kafka");
        st = cli_cluster_limit(c, (double)o->timeout, err);
    }
    PM_THEN(st, pmi_kafka_new(&c->kafka, RD_KAFKA_PRODUCER, NULL, NULL, health, &rk, err));
    if (st == PM_OK) {
        st = ensure(c, o, rk, health, err);
        cli_cluster_limit_closing(c, st, err);
    }
    if (rk == NULL || pmi_kafka_destroy(rk, 0, DESTROY_SECONDS, &c->console.log)) {
        free(health);
    }
    return st;
}

pm_status cli_main_topics(const cli_command *self, int argc, char **argv, pm_error *err) {
    cli_cluster c = {0};
    topics_options o = {.timeout = CLI_TIMEOUT};
    cli_operands operands = {.what = "nothing"};
    bool is_done;
    pm_status st = cli_cluster_parse(&c, self, argc, argv, options, &o, &operands, &is_done, err);
    PM_THEN(st, !is_done ? open_and_ensure(&c, &o, err) : PM_OK);
    return cli_cluster_close(&c, st, err);
}
