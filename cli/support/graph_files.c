#include "support/graph_files.h"

#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/log.h"
#include "support/output.h"

pm_status cli_read_format(int bits, pm_graph_format *out, pm_error *err) {
    int both = CLI_READ_PHASIC | CLI_READ_PHASIC_021;
    if ((bits & both) == both) {
        return pmi_fail(err, PM_EUSAGE, "--format: found both phasic and phasic-0.21, expected one");
    }
    *out = (bits & CLI_READ_PHASIC_021) != 0 ? PM_FORMAT_PHASIC_021 : PM_FORMAT_PHASIC;
    return PM_OK;
}

pm_status cli_read_kind(bool discrete, bool continuous, pm_graph_kind *out, pm_error *err) {
    if (discrete && continuous) {
        return pmi_fail(err, PM_EUSAGE, "--discrete contradicts --continuous");
    }
    *out = discrete ? PM_KIND_DISCRETE : continuous ? PM_KIND_CONTINUOUS : PM_KIND_AS_GIVEN;
    return PM_OK;
}

void cli_warn_kind(const pm_graph *graph, const char *source, bool is_job, const double *theta, size_t n_theta,
                   const pm_log *log) {
    if (pm_graph_may_be_discrete(graph, theta, n_theta)) {
        pmi_logf(
            log, PM_LOG_WARNING,
            "%s%s: has no is_discrete, and the weights out of every state add up to at most 1: taken as continuous "
            "(weights are rates); %s --continuous, or --discrete if they are probabilities of a step",
            is_job ? "job " : "", strcmp(source, "-") == 0 ? "standard input" : source,
            is_job ? "submit again with" : "say");
    }
}

pm_status cli_name_graph(pm_status st, const char *path, pm_error *err) {
    if (st == PM_EDATA) {
        pmi_fail_prefix(err, "%s", strcmp(path, "-") == 0 ? "standard input" : path);
    }
    return st;
}

const cli_choice cli_encodings[] = {{"json", CLI_WRITE_JSON}, {"msgpack", CLI_WRITE_MSGPACK}, {0}};

static int encoding_of_ending(const char *path) {
    static const cli_choice endings[] = {
        {".json", CLI_WRITE_JSON}, {".msgpack", CLI_WRITE_MSGPACK}, {".mpk", CLI_WRITE_MSGPACK}, {0}};
    for (const cli_choice *e = endings; path != NULL && e->name != NULL; e++) {
        if (strcasecmp(cli_path_ending(path), e->name) == 0) {
            return e->value;
        }
    }
    return 0;
}

pm_status cli_choose_encoding(const char *option, int chosen, const char *path, pm_graph_encoding *out, pm_error *err) {
    int ending = encoding_of_ending(path);
    if (chosen != 0 && ending != 0 && chosen != ending) {
        return pmi_fail(err, PM_EUSAGE, "output \"%s\": its ending contradicts %s", path, option);
    }
    if (chosen == 0 && ending == 0 && path != NULL) {
        return pmi_fail(err, PM_EUSAGE, "output \"%s\": expected an ending .json, .msgpack or .mpk, or %s", path,
                        option);
    }
    *out = (chosen | ending) == CLI_WRITE_MSGPACK ? PM_GRAPH_MSGPACK : PM_GRAPH_JSON;
    return PM_OK;
}

static pm_status write_piece(void *ctx, const void *bytes, size_t n, pm_error *err) {
    cli_out *out = ctx;
    cli_out_bytes(out, bytes, n);
    return cli_out_status(out, err);
}

pm_status cli_write_graph(const pm_graph *graph, pm_graph_encoding encoding, const char *path, pm_error *err) {
    if (path == NULL && encoding == PM_GRAPH_MSGPACK && isatty(STDOUT_FILENO) == 1) {
        return pmi_fail(err, PM_EUSAGE, "MessagePack is not for a terminal: name a file or send it through a pipe");
    }
    cli_out *out;
    pm_status st = cli_out_open(path, &out, err);
    if (st == PM_OK) {
        const pm_byte_sink sink = {.ctx = out, .write = write_piece};
        st = pmi_graph_write(graph, encoding, &sink, err);
    }
    return cli_out_close(out, st, err);
}
