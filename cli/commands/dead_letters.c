#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "support/cluster.h"
#include "support/json_writer.h"
#include "units/dead_letters.h"

#define SHORT_ID 12 /* digits shown, and the least that name a letter are: */
#define MIN_ID 6
#define ERROR_HEADER "__dlq.errors.message"

typedef struct dead_options {
    bool all, json;
    const char *job;
    size_t timeout;
} dead_options;

typedef struct dead_command {
    cli_cluster cluster;
    dead_options options;
    int n_ids;
    char **ids;
    pm_letters letters;
    pm_letter_post post;
} dead_command;

/* ---- choosing ---------------------------------------------------------------------------------------- */

/* Letters picked by their ids' beginnings, by a job, or all. */
typedef struct selection {
    const pm_letter **items;
    size_t n;
} selection;

static bool begins_with(const pm_letter *letter, const char *digits) {
    char hex[PM_DIGEST_HEX];
    pmi_hex(letter->key, hex);
    return strncasecmp(hex, digits, strlen(digits)) == 0;
}

static bool are_digits(const char *text) {
    size_t n = 0;
    while (isxdigit((unsigned char)text[n])) {
        n++;
    }
    return text[n] == '\0' && n >= MIN_ID && n < PM_DIGEST_HEX;
}

static pm_status find_letter(const pm_letters *letters, const char *id, const pm_letter **out, pm_error *err) {
    size_t found = 0;
    if (!are_digits(id)) {
        return pmi_fail(err, PM_EUSAGE, "\"%s\": expected the id of a dead letter, or its first %d or more digits", id,
                        MIN_ID);
    }
    for (size_t i = 0; i < letters->n; i++) {
        if (begins_with(&letters->items[i], id)) {
            *out = &letters->items[i];
            found++;
        }
    }
    if (found != 1) {
        return pmi_fail(err, found == 0 ? PM_ENOINPUT : PM_EUSAGE,
                        found == 0 ? "dead letter %s: not there; see `phasemill dead-letters list`"
                                   : "dead letter %s: more than one begins so; give more digits",
                        id);
    }
    return PM_OK;
}

static pm_status select_by_ids(const dead_command *dead, selection *out, pm_error *err) {
    pm_status st = PM_OK;
    for (int i = 0; st == PM_OK && i < dead->n_ids; i++) {
        const pm_letter *letter = NULL;
        st = find_letter(&dead->letters, dead->ids[i], &letter, err);
        bool is_new = st == PM_OK;
        for (size_t k = 0; is_new && k < out->n; k++) {
            is_new = out->items[k] != letter;
        }
        if (is_new) {
            out->items[out->n++] = letter;
        }
    }
    return st;
}

static pm_status select_by_job(const dead_command *dead, selection *out, pm_error *err) {
    if (!are_digits(dead->options.job)) {
        return pmi_fail(err, PM_EUSAGE, "--job: found \"%s\", expected the id of a job, or its first %d or more digits",
                        dead->options.job, MIN_ID);
    }
    for (size_t i = 0; i < dead->letters.n; i++) {
        char job[PM_DIGEST_HEX + 4];
        pmi_letter_text(&dead->letters.items[i], "phasemill-job", job, sizeof job);
        if (strncasecmp(job, dead->options.job, strlen(dead->options.job)) == 0) {
            out->items[out->n++] = &dead->letters.items[i];
        }
    }
    return PM_OK;
}

static pm_status select_letters(const dead_command *dead, selection *out, pm_error *err) {
    size_t room = dead->letters.n + 1;
    PM_TRY(PM_NEW(&out->items, room, "a list of dead letters", err));
    if (dead->n_ids > 0) {
        return select_by_ids(dead, out, err);
    }
    if (dead->options.job != NULL) {
        return select_by_job(dead, out, err);
    }
    for (size_t i = 0; i < dead->letters.n; i++) {
        out->items[out->n++] = &dead->letters.items[i];
    }
    return PM_OK;
}

/* ---- showing ----------------------------------------------------------------------------------------- */

static void write_row(const pm_letter *letter, cli_out *out) {
    char hex[PM_DIGEST_HEX], job[SHORT_ID + 1], kind[16], attempts[8], error[100], when[PM_TIME_TEXT];
    pmi_hex(letter->key, hex);
    pmi_letter_text(letter, "phasemill-kind", kind, sizeof kind);
    pmi_letter_text(letter, "phasemill-attempts", attempts, sizeof attempts);
    pmi_letter_text(letter, ERROR_HEADER, error, sizeof error);
    pmi_time_text(letter->time, when);
    uint8_t digest[PM_DIGEST_BYTES];
    char full[PM_DIGEST_HEX] = "-";
    if (pmi_letter_job(letter, digest)) {
        pmi_hex(digest, full);
    }
    snprintf(job, sizeof job, "%.*s", SHORT_ID, full);
    cli_out_format(out, "%.*s  %-12s  %-8s  %8s  %.19s  %s\n", SHORT_ID, hex, job, kind, attempts, when, error);
}

static void write_object(const pm_letter *letter, cli_json *j) {
    char hex[PM_DIGEST_HEX], when[PM_TIME_TEXT], text[PM_MAX_TEXT + 8];
    const char *name;
    pmi_hex(letter->key, hex);
    pmi_time_text(letter->time, when);
    cli_json_open(j, '{');
    cli_json_string(cli_json_key(j, "id"), hex);
    cli_json_string(cli_json_key(j, "time"), when);
    cli_json_count(cli_json_key(j, "bytes"), letter->value.size);
    cli_json_open(cli_json_key(j, "headers"), '{');
    for (size_t i = 0; (name = pmi_letter_header(letter, i)) != NULL; i++) {
        pmi_letter_text(letter, name, text, sizeof text);
        cli_json_string(cli_json_key(j, name), text);
    }
    cli_json_close(j, '}');
    cli_json_close(j, '}');
}

static void write_letter(const pm_letter *letter, cli_out *out) {
    char hex[PM_DIGEST_HEX], when[PM_TIME_TEXT], text[PM_MAX_TEXT + 8];
    const char *name;
    pmi_hex(letter->key, hex);
    pmi_time_text(letter->time, when);
    cli_out_format(out, "%-28s %s\n%-28s %s\n%-28s %zu\n", "id", hex, "time", when, "bytes", letter->value.size);
    for (size_t i = 0; (name = pmi_letter_header(letter, i)) != NULL; i++) {
        pmi_letter_text(letter, name, text, sizeof text);
        size_t width = strlen(name);
        cli_out_shown(out, name);
        cli_out_format(out, "%*s ", width < 28 ? (int)(28 - width) : 0, "");
        cli_out_shown(out, text);
        cli_out_text(out, "\n");
    }
}

static pm_status run_list(dead_command *dead, const selection *chosen, pm_error *err) {
    cli_out *out;
    PM_TRY(cli_out_open(NULL, &out, err));
    cli_json j = {.out = out};
    if (dead->options.json) {
        cli_json_open(&j, '[');
    } else if (chosen->n > 0) {
        cli_out_format(out, "%-12s  %-12s  %-8s  %8s  %-19s  %s\n", "id", "job", "kind", "attempts", "time", "error");
    }
    for (size_t i = 0; i < chosen->n; i++) {
        if (dead->options.json) {
            write_object(chosen->items[i], &j);
        } else {
            write_row(chosen->items[i], out);
        }
    }
    if (dead->options.json) {
        cli_json_close(&j, ']');
        cli_out_text(out, "\n");
    }
    return cli_out_close(out, PM_OK, err);
}

static pm_status run_show(dead_command *dead, const selection *chosen, pm_error *err) {
    cli_out *out;
    PM_TRY(cli_out_open(NULL, &out, err));
    cli_json j = {.out = out};
    if (dead->options.json) {
        write_object(chosen->items[0], &j);
        cli_out_text(out, "\n");
    } else {
        write_letter(chosen->items[0], out);
    }
    return cli_out_close(out, PM_OK, err);
}

static pm_status run_replay(dead_command *dead, const selection *chosen, pm_error *err) {
    pm_status st = pmi_letters_replay(&dead->post, chosen->items, chosen->n, err);
    return st == PM_OK
               ? cli_show_count(chosen->n, chosen->n == 1 ? "dead letter replayed" : "dead letters replayed", err)
               : st;
}

static pm_status run_drop(dead_command *dead, const selection *chosen, pm_error *err) {
    PM_TRY(pmi_letters_drop(&dead->post, chosen->items, chosen->n, err));
    return cli_show_count(chosen->n, chosen->n == 1 ? "dead letter dropped" : "dead letters dropped", err);
}

/* ---- dispatch ---------------------------------------------------------------------------------------- */

typedef struct subcommand {
    cli_subcommand base; /* its operands: ids */
    bool needs_choice, needs_redis;
    pm_status (*run)(dead_command *dead, const selection *chosen, pm_error *err);
} subcommand;

static const subcommand subcommands[] = {
    {{"list", 0, 0, "no ID"}, false, false, run_list},
    {{"show", 1, 1, "one ID"}, false, false, run_show},
    {{"replay", 0, INT_MAX - 1, "one of ID..., --job JOB and --all"}, true, true, run_replay},
    {{"drop", 0, INT_MAX - 1, "one of ID..., --job JOB and --all"}, true, false, run_drop},
};

#define FIELD(name) offsetof(dead_options, name)

static const cli_option options[] = {
    {"all", CLI_FLAG, FIELD(all), 0, 0, NULL},
    {"job", CLI_TEXT, FIELD(job), 0, 0, NULL},
    {"json", CLI_FLAG, FIELD(json), 0, 0, NULL},
    {"timeout", CLI_COUNT, FIELD(timeout), 1, 1000000, NULL},
    {0},
};

static pm_status check_request(const subcommand *sub, const dead_command *dead, pm_error *err) {
    const dead_options *o = &dead->options;
    int choices = (dead->n_ids > 0) + o->all + (o->job != NULL);
    if (dead->n_ids < sub->base.min || dead->n_ids > sub->base.max || (sub->needs_choice && choices != 1)) {
        return pmi_fail(err, PM_EUSAGE, "dead-letters %s: expected %s; see `phasemill dead-letters --help`",
                        sub->base.name, sub->base.what);
    }
    if (!sub->needs_choice && (o->all || (o->job != NULL && sub->base.min == 1))) {
        return pmi_fail(err, PM_EUSAGE, "dead-letters %s: --all and --job are for replay and drop, --job also for list",
                        sub->base.name);
    }
    return PM_OK;
}

static pm_status read_letters(dead_command *dead, pm_error *err) {
    pm_reader *reader = NULL;
    PM_TRY(cli_cluster_open_reader(&dead->cluster, PM_TOPIC_DEAD, true, &reader, err));
    pm_status st = pmi_letters_read(&dead->letters, reader, &dead->cluster.deadline, err);
    pmi_reader_close(reader);
    return st;
}

static pm_status limit(void *ctx, pm_error *err) {
    dead_command *dead = ctx;
    return cli_cluster_limit(&dead->cluster, (double)dead->options.timeout, err);
}

static pm_status serve(dead_command *dead, const subcommand *sub, pm_error *err) {
    selection chosen = {0};
    pm_status st = cli_cluster_kafka_options(&dead->cluster, err);
    PM_THEN(st, cli_cluster_limit(&dead->cluster, (double)dead->options.timeout, err));
    PM_THEN(st, sub->needs_redis ? cli_cluster_open_redis(&dead->cluster, err) : PM_OK);
    cli_cluster_waits_for(&dead->cluster, sub->needs_redis ? "Kafka or Redis" : "Kafka");
    PM_THEN(st, read_letters(dead, err));
    PM_THEN(st, select_letters(dead, &chosen, err));
    PM_THEN(st, !sub->needs_choice ? cli_cluster_limit(&dead->cluster, 0, err) : PM_OK);
    dead->post = (pm_letter_post){.kafka = &dead->cluster.kafka,
                                  .redis = dead->cluster.redis,
                                  .deadline = &dead->cluster.deadline,
                                  .log = &dead->cluster.console.log,
                                  .limit = limit,
                                  .ctx = dead};
    PM_THEN(st, sub->run(dead, &chosen, err));
    free(chosen.items);
    pmi_letters_free(&dead->letters);
    if (dead->post.sender != NULL) {
        cli_cluster_limit_closing(&dead->cluster, st, err);
    }
    pmi_letter_post_close(&dead->post);
    return st;
}

pm_status cli_main_dead_letters(const cli_command *self, int argc, char **argv, pm_error *err) {
    dead_command dead = {.options = {.timeout = CLI_TIMEOUT}};
    cli_operands operands = {.min = 0, .max = INT_MAX, .what = "list, show, replay or drop"};
    bool is_done;
    pm_status st = cli_cluster_parse(&dead.cluster, self, argc, argv, options, &dead.options, &operands, &is_done, err);
    if (st == PM_OK && !is_done) {
        const void *sub = NULL;
        dead.n_ids = operands.n > 0 ? operands.n - 1 : 0;
        dead.ids = operands.values + 1;
        st = cli_subcommand_find("dead-letters", subcommands, sizeof subcommands / sizeof *subcommands,
                                 sizeof *subcommands, operands.n > 0 ? operands.values[0] : NULL, &sub, err);
        PM_THEN(st, check_request(sub, &dead, err));
        PM_THEN(st, serve(&dead, sub, err));
    }
    return cli_cluster_close(&dead.cluster, st, err);
}
