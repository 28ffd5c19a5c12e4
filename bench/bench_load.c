/* Loading graphs from files: phasemill, which reads, checks and builds the graph, against libraries that only parse the
 * same file into their own tree: jansson for JSON, msgpack-c for MessagePack.
 *
 * Usage: bench_load [--rounds N] [--large]
 * Files are generated into $TMPDIR (or /tmp) and removed; each is read once before the time is taken. Seconds are
 * medians of processor time, one thread, the reading of the file included. Every load runs in a child process of its
 * own; memory is the child's peak above what it began with, for one load. --large: 10^6 states and 9.5 million edges
 * instead. */
#include <fcntl.h>
#include <jansson.h>
#include <msgpack.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "graph/write.h"

#define MAX_ROUNDS 101

typedef struct input {
    bench_case bench;
    pm_graph_encoding encoding;
    char path[BENCH_PATH];
} input;

/* What a child hands back, in memory shared with it. */
typedef struct report {
    double seconds[MAX_ROUNDS];
    size_t peak; /* bytes */
    size_t states, edges, file;
} report;

typedef void (*task)(const input *in, report *out);

static pm_status write_bytes(void *ctx, const void *bytes, size_t n, pm_error *err) {
    (void)err;
    if (fwrite(bytes, 1, n, ctx) != n) {
        perror("bench_load: writing the graph");
        exit(PM_EIO);
    }
    return PM_OK;
}

static void generate(const input *in, report *out) {
    pm_graph *graph = bench_graph(&in->bench);
    FILE *file = fopen(in->path, "wb");
    if (file == NULL) {
        perror(in->path);
        exit(PM_ECANTCREAT);
    }
    pm_error err;
    pm_byte_sink sink = {.ctx = file, .write = write_bytes};
    bench_check(pmi_graph_write(graph, in->encoding, &sink, &err), &err);
    out->file = (size_t)ftell(file);
    out->states = graph->n_vertices;
    out->edges = graph->n_edges + graph->n_starts;
    if (fclose(file) != 0) {
        perror(in->path);
        exit(PM_EIO);
    }
    pm_graph_free(graph);
}

static void load_phasemill(const input *in, report *out) {
    (void)out;
    pm_graph *graph;
    pm_error err;
    bench_check(pm_graph_load(in->path, PM_FORMAT_PHASIC, PM_KIND_AS_GIVEN, &graph, &err), &err);
    pm_graph_free(graph);
}

static void load_jansson(const input *in, report *out) {
    (void)out;
    json_error_t error;
    json_t *tree = json_load_file(in->path, 0, &error);
    if (tree == NULL) {
        fprintf(stderr, "jansson: %s\n", error.text);
        exit(EXIT_FAILURE);
    }
    json_decref(tree);
}

static void load_msgpack(const input *in, report *out) {
    (void)out;
    pm_buffer bytes = {0};
    pm_error err;
    bench_check(pmi_file_read(in->path, &bytes, &err), &err);
    msgpack_unpacked tree;
    msgpack_unpacked_init(&tree);
    size_t at = 0;
    if (msgpack_unpack_next(&tree, (const char *)bytes.bytes, bytes.size, &at) != MSGPACK_UNPACK_SUCCESS) {
        fprintf(stderr, "msgpack-c cannot unpack %s\n", in->path);
        exit(EXIT_FAILURE);
    }
    msgpack_unpacked_destroy(&tree);
    pmi_buffer_free(&bytes);
}

static size_t peak_bytes(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (size_t)usage.ru_maxrss * 1024;
}

/* Runs the task `rounds` times in a child; the parent stays small, so that the child's peak is the task's. */
static void in_child(task run, const input *in, size_t rounds, report *out) {
    pid_t child = fork();
    if (child == 0) {
        size_t before = peak_bytes();
        for (size_t i = 0; i < rounds; i++) {
            double begin = pmi_thread_seconds();
            run(in, out);
            out->seconds[i] = pmi_thread_seconds() - begin;
            if (i == 0) {
                out->peak = peak_bytes() - before;
            }
        }
        _exit(0);
    }
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
        fprintf(stderr, "bench_load: %s failed in its process\n", in->path);
        unlink(in->path);
        exit(EXIT_FAILURE);
    }
}

static void print_row(const input *in, const report *made, report *ours, report *peer, size_t rounds) {
    char name[BENCH_NAME];
    double mega = 1e-6 * (double)made->file;
    double our_time = bench_median(ours->seconds, rounds), peer_time = bench_median(peer->seconds, rounds);
    bench_name(&in->bench, name);
    printf("%-20s %8zu %9zu %-11s %8.1f %9.1f %7.1f %7.1f %6.2f  %-9s %9.1f %7.1f %7.1f %6.2f\n", name, made->states,
           made->edges, in->encoding == PM_GRAPH_JSON ? "JSON" : "MessagePack", mega, 1e3 * our_time, mega / our_time,
           1e-6 * (double)ours->peak, (double)ours->peak / (double)made->file,
           in->encoding == PM_GRAPH_JSON ? "jansson" : "msgpack-c", 1e3 * peer_time, mega / peer_time,
           1e-6 * (double)peer->peak, (double)peer->peak / (double)made->file);
    fflush(stdout);
}

static void run(input *in, report *shared, size_t rounds) {
    const char *folder = getenv("TMPDIR");
    int used = snprintf(in->path, sizeof in->path, "%s/bench_load.XXXXXX", folder == NULL ? "/tmp" : folder);
    int fd = used < 0 || (size_t)used >= sizeof in->path ? -1 : mkstemp(in->path);
    if (fd < 0) {
        perror("bench_load: a temporary file");
        exit(PM_ECANTCREAT);
    }
    close(fd);
    in_child(generate, in, 1, shared);
    report made = *shared;
    in_child(load_phasemill, in, rounds, shared);
    report ours = *shared;
    in_child(in->encoding == PM_GRAPH_JSON ? load_jansson : load_msgpack, in, rounds, shared);
    report peer = *shared;
    unlink(in->path);
    print_row(in, &made, &ours, &peer, rounds);
}

int main(int argc, char **argv) {
    static const bench_case small[] = {{"rabbits", {400}, 1}, {"two-locus-arg", {9}, 1}, {"islands", {300}, 1}};
    static const bench_case large[] = {{"random", {20000, 50, 9, 1}, 4}};
    size_t rounds = 7;
    bool is_large = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--large") == 0) {
            is_large = true;
        } else if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc) {
            rounds = (size_t)bench_integer(argv[i], argv[i + 1], 1, MAX_ROUNDS);
            i++;
        } else {
            bench_usage("bench_load [--rounds N] [--large]");
        }
    }
    report *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        perror("bench_load");
        return PM_EOSERR;
    }
    bench_print_machine();
    printf("%-20s %8s %9s %-11s %8s %9s %7s %7s %6s  %-9s %9s %7s %7s %6s\n", "model", "states", "edges", "file", "MB",
           "load ms", "MB/s", "peak MB", "x file", "peer", "parse ms", "MB/s", "peak MB", "x file");
    const bench_case *inputs = is_large ? large : small;
    size_t n = is_large ? sizeof large / sizeof *large : sizeof small / sizeof *small;
    for (size_t i = 0; i < n; i++) {
        for (int encoding = PM_GRAPH_JSON; encoding <= PM_GRAPH_MSGPACK; encoding++) {
            input in = {.bench = inputs[i], .encoding = (pm_graph_encoding)encoding};
            run(&in, shared, is_large ? 1 : rounds);
        }
    }
    return 0;
}
