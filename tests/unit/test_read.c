#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "graph/build.h"
#include "graph/write.h"
#include "graphs.h"

static pm_graph *parsed(const char *text, pm_graph_format format) {
    pm_graph *g;
    pm_error err;
    cr_assert_eq(pm_graph_parse(text, strlen(text), format, PM_KIND_AS_GIVEN, &g, &err), PM_OK, "%s", err.text);
    const char *flaw = graph_flaw(g);
    cr_assert_null(flaw, "%s", flaw);
    return g;
}

static void expect_error(const char *text, pm_graph_format format, const char *part) {
    pm_graph *g = NULL;
    pm_error err;
    cr_assert_eq(pm_graph_parse(text, strlen(text), format, PM_KIND_AS_GIVEN, &g, &err), PM_EDATA,
                 "expected an error with \"%s\"", part);
    cr_assert_null(g);
    cr_assert_not_null(strstr(err.text, part), "\"%s\" is not in \"%s\"", part, err.text);
    cr_assert_eq(pm_graph_parse(text, strlen(text), format, PM_KIND_AS_GIVEN, &g, NULL), PM_EDATA);
}

static void expect_refused(const char *old, const char *new, const char *part) {
    char *text = replaced(small_graph_json, old, new);
    expect_error(text, PM_FORMAT_PHASIC, part);
    free(text);
}

static void expect_same(const pm_graph *a, const pm_graph *b) {
    cr_assert_arr_eq(a->digest, b->digest, PM_DIGEST_BYTES);
}

Test(read, every_array_goes_where_it_belongs) {
    pm_graph *g = parsed(small_graph_json, PM_FORMAT_PHASIC);
    cr_assert_eq(g->n_vertices, 4);
    cr_assert_eq(g->state_length, 2);
    cr_assert_eq(g->n_params, 2);
    cr_assert(g->has_start);
    cr_assert_not(g->is_discrete);
    const int32_t states[] = {0, 0, 2, 0, 1, 1, 1, 0};
    cr_assert_arr_eq(g->states, states, sizeof states);
    const uint32_t from[] = {2, 1, 1, 2}, to[] = {3, 3, 2, 1}, start_to[] = {1, 2};
    cr_assert_eq(g->n_edges, 4);
    cr_assert_eq(g->n_plain, 1);
    cr_assert_eq(g->n_constant, 1);
    cr_assert_arr_eq(g->from, from, sizeof from);
    cr_assert_arr_eq(g->to, to, sizeof to);
    cr_assert_eq(g->n_starts, 2);
    cr_assert_arr_eq(g->start_to, start_to, sizeof start_to);
    const double weights[] = {0.5, 0, 0, 0.125, 0, 0, 0, 3, 0, 0, 0, 0.25, 0.75, 0, 0, 0.25, 0, 0};
    cr_assert_eq(g->n_weights, 6);
    cr_assert_arr_eq(g->weights, weights, sizeof weights);
    pm_graph_free(g);
}

/* Counts from the files themselves, taken with another reader. */
Test(read, files_of_phasic) {
    static const struct {
        const char *name;
        uint32_t n, length;
        size_t edges;
        double coefficients; /* sum of all */
    } files[] = {{"phasic-0.32.1-arg3.json", 32, 16, 107, 158}, {"phasic-0.32.1-arg4.json", 110, 25, 519, 850}};
    for (size_t i = 0; i < 2; i++) {
        char path[400];
        snprintf(path, sizeof path, "%s/examples/%s", PM_SOURCE_DIR, files[i].name);
        pm_graph *g;
        pm_error err;
        cr_assert_eq(pm_graph_load(path, PM_FORMAT_PHASIC, PM_KIND_AS_GIVEN, &g, &err), PM_OK, "%s", err.text);
        cr_assert_null(graph_flaw(g));
        cr_assert(g->has_start);
        cr_assert_eq(g->n_vertices, files[i].n);
        cr_assert_eq(g->state_length, files[i].length);
        cr_assert_eq(g->n_params, 2);
        cr_assert_eq(g->n_edges, files[i].edges);
        double sum = 0;
        for (size_t e = 0; e < g->n_edges; e++) {
            sum += pmi_graph_weight(g, g->weight[e], (const double[]){1, 1});
        }
        cr_assert_eq(sum, files[i].coefficients, "%g", sum);
        pm_graph_free(g);
    }
}

Test(read, keys_may_come_in_any_order) {
    pm_graph *g = parsed(small_graph_json, PM_FORMAT_PHASIC);
    pm_graph *other =
        parsed("{\"start_param_edges\": [], \"param_length\": 2, \"param_edges\": [[1, 2, 3, 0], [2, 1, 0, 0.25]],"
               "\"n_vertices\": 4, \"start_edges\": [[1, 0.75], [2, 0.25]], \"constant_edges\": [[1, 3, 0.125]],"
               "\"state_length\": 2, \"edges\": [[2, 3, 0.5]], \"states\": [[0, 0], [2, 0], [1, 1], [1, 0]]}",
               PM_FORMAT_PHASIC);
    expect_same(g, other);
    pm_graph_free(g);
    pm_graph_free(other);
}

Test(read, what_is_ignored_may_be_anything) {
    pm_graph *g = parsed(small_graph_json, PM_FORMAT_PHASIC);
    static const char *const values[] = {"null", "\"text\"", "1.5", "[[], {\"states\": [[1, null, true, \"a\"]]}, 7]",
                                         "{\"edges\": {\"edges\": 1}}"};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char *text = replaced(small_graph_json, "[0, 1, 2, 3]", values[i]);
        pm_graph *same = parsed(text, PM_FORMAT_PHASIC);
        expect_same(g, same);
        pm_graph_free(same);
        free(text);
    }
    pm_graph_free(g);
}

Test(read, graphs_without_parameters_or_columns) {
    pm_graph *g =
        parsed("{\"states\": [[], []], \"edges\": [[0, 1, 2]], \"start_edges\": [[0, 1]], \"param_edges\": [],"
               "\"param_length\": 0, \"state_length\": 0, \"n_vertices\": 2}",
               PM_FORMAT_PHASIC);
    cr_assert_eq(g->n_params, 0);
    cr_assert_eq(g->state_length, 0);
    cr_assert_not(g->has_start);
    pm_graph_free(g);
    g = parsed("{\"states\": [[5], [6]], \"edges\": [[0, 1, 2]], \"start_edges\": [[0, 1]], \"param_edges\": [],"
               "\"param_length\": 3, \"state_length\": 1, \"n_vertices\": 2, \"is_discrete\": true}",
               PM_FORMAT_PHASIC);
    cr_assert_eq(g->n_params, 3);
    cr_assert(g->is_discrete);
    cr_assert_eq(g->weights[0], 2);
    cr_assert_eq(g->weights[4], 1);
    pm_graph_free(g);
}

Test(read, keys_are_checked) {
    expect_refused("\"was_dph\"", "\"was\"", "unknown key \"was\"; expected states, edges, constant_edges");
    expect_refused("\"was_dph\"", "\"edges\"", "key \"edges\" comes twice");
    static const char *const required[] = {"states",       "edges",        "start_edges", "param_edges",
                                           "param_length", "state_length", "n_vertices"};
    for (size_t i = 0; i < sizeof required / sizeof required[0]; i++) {
        char old[40], part[60];
        snprintf(old, sizeof old, "\"%s\": ", required[i]);
        snprintf(part, sizeof part, "key \"%s\" is missing", required[i]);
        /* the value goes to an ignored key, whose own is taken away */
        char *text = replaced(small_graph_json, ", \"dyn_ordering\": false", "");
        char *without = replaced(text, old, "\"dyn_ordering\": ");
        expect_error(without, PM_FORMAT_PHASIC, part);
        free(text);
        free(without);
    }
}

Test(read, types_are_checked) {
    expect_refused("[[2.0, 3.0, 0.5]]", "null", "edges: found null; expected an array of rows");
    expect_refused("[[2.0, 3.0, 0.5]]", "{}", "edges: found a map; expected an array of rows");
    expect_refused("[[2.0, 3.0, 0.5]]", "true", "edges: found true; expected an array of rows");
    expect_refused("[[2.0, 3.0, 0.5]]", "[[2, 3, 1], 5]",
                   "edges row 1: found the number 5; expected an array of numbers");
    expect_refused("[[2.0, 3.0, 0.5]]", "[[2, 3, \"1\"]]", "edges row 0: found the string \"1\"; expected a number");
    expect_refused("[[2.0, 3.0, 0.5]]", "[[2, [3], 1]]", "edges row 0: found an array; expected a number");
    expect_refused("[[2.0, 3.0, 0.5]]", "[{}]", "edges row 0: found a map; expected an array of numbers");
    expect_refused("\"param_length\": 2", "\"param_length\": \"2\"",
                   "param_length: found the string \"2\"; expected a whole");
    expect_refused("\"param_length\": 2", "\"param_length\": [2]",
                   "param_length: found an array; expected a whole number");
    expect_refused("\"param_length\": 2", "\"param_length\": 2.5", "param_length: found 2.5; expected a whole number");
    expect_refused("\"param_length\": 2", "\"param_length\": -1", "param_length: found -1; expected a whole number");
    expect_refused("\"param_length\": 2", "\"param_length\": 4097",
                   "param_length: found 4097; expected a whole number");
    expect_refused("\"is_discrete\": false", "\"is_discrete\": 0", "is_discrete: found the number 0; expected true or");
    expect_refused("\"was_dph\": false", "\"was_dph\": null", "was_dph: found null; expected true or false");
    expect_refused("\"linear\"", "\"log\"", "weight_mode is \"log\"; expected \"linear\"");
    expect_refused("\"linear\"", "\"linea\"", "weight_mode is \"linea\"");
    expect_refused("\"linear\"", "1", "weight_mode: found the number 1; expected \"linear\"");
    expect_error("[]", PM_FORMAT_PHASIC, "byte 0: 0x5b begins neither a JSON object");
    expect_error("", PM_FORMAT_PHASIC, "byte 0: the input is empty");
    expect_error(" \n\t\r ", PM_FORMAT_PHASIC, "byte 5: the input is empty");
    char spaces[5000];
    memset(spaces, ' ', sizeof spaces - 1);
    spaces[sizeof spaces - 1] = '\0';
    expect_error(spaces, PM_FORMAT_PHASIC, "begins with 4096 bytes of white space");
}

Test(read, shapes_are_checked) {
    expect_refused("[1, 1]", "[1, 1, 1]", "states row 2: found 3 columns; expected 2, as in row 0");
    expect_refused("[1, 1]", "[1]", "states row 2: found 1 columns; expected 2, as in row 0");
    expect_refused("\"n_vertices\": 4", "\"n_vertices\": 5", "states: found 4 rows; expected 5, the n_vertices");
    expect_refused("\"state_length\": 2", "\"state_length\": 3",
                   "states row 0: found 2 columns; expected 3, the state_length");
    expect_refused("[2.0, 3.0, 0.5]", "[2, 3]", "edges row 0: found 2 columns; expected 3 (from, to, weight)");
    expect_refused("[1.0, 3.0, 0.125]", "[1, 3, 1, 1]", "constant_edges row 0: found 4 columns; expected 3");
    expect_refused("[2.0, 0.25]", "[2]", "start_edges row 1: found 1 columns; expected 2 (to, weight)");
    expect_refused(
        "[2.0, 1.0, 0.0, 0.25]", "[2, 1, 0]",
        "param_edges row 1: found 3 columns; expected 4 (from, to and P coefficients), as in param_edges row 0");
    expect_refused(
        "\"start_param_edges\": []", "\"start_param_edges\": [[1, 1]]",
        "start_param_edges row 0: found 2 columns; expected 3 (to and P coefficients), as in param_edges row 0");
    expect_refused("\"param_length\": 2", "\"param_length\": 3",
                   "param_edges row 0: found 4 columns; expected 5 (from, to and P coefficients, param_length is 3)");
    expect_refused("[1.0, 2.0, 3.0, 0.0], [2.0, 1.0, 0.0, 0.25]", "[1]",
                   "param_edges row 0: found 1 columns; expected 2 to");
    expect_error("{\"states\": [], \"edges\": [], \"start_edges\": [[0, 1]], \"param_edges\": [], \"param_length\": 0,"
                 "\"state_length\": 1, \"n_vertices\": 0}",
                 PM_FORMAT_PHASIC, "states: no rows; expected at least one state");
}

Test(read, values_are_checked) {
    expect_refused("[1, 1]", "[1, 1.5]", "states row 2: column 1 is 1.5; expected a whole number of 32 bits");
    expect_refused("[1, 1]", "[1, 2147483648]",
                   "states row 2: column 1 is 2147483648; expected a whole number of 32 bits");
    expect_refused("[2.0, 3.0, 0.5]", "[2.5, 3, 1]", "edges row 0: from is 2.5; expected the number of a row");
    expect_refused("[2.0, 3.0, 0.5]", "[2, -3, 1]", "edges row 0: to is -3; expected the number of a row");
    expect_refused("[2.0, 3.0, 0.5]", "[2, 4, 1]", "edges row 0: to is 4; expected a row of states, 0 to 3");
    expect_refused("[2.0, 3.0, 0.5]", "[2, 1e300, 1]",
                   "edges row 0: to is 1.0000000000000001e+300; expected the number");
    expect_refused("[2.0, 3.0, 0.5]", "[2, 4294967295, 1]",
                   "edges row 0: to is 4294967295; expected the number of a row");
    expect_refused("[2.0, 3.0, 0.5]", "[2, 3, 1e999]", "edges row 0: the weight is inf; expected a finite number");
    expect_refused("[2.0, 3.0, 0.5]", "[2, 3, NaN]", "malformed JSON");
    expect_refused("[2.0, 3.0, 0.5]", "[2, 3, -0.5]",
                   "edges row 0: the weight is -0.5 at every theta; expected 0 or more");
    expect_refused("[2.0, 1.0, 0.0, 0.25]", "[2, 1, 0, -1e999]", "param_edges row 1: the coefficient 2 is -inf");
    expect_refused("[2.0, 3.0, 0.5]", "[2, 2, 0.5]", "edges row 0: leads from row 2 to itself");
    expect_refused("[2.0, 3.0, 0.5]", "[2, 0, 0.5]",
                   "edges row 0: leads from row 2 into row 0, which is the start vertex");
    expect_refused("[[1.0, 0.75], [2.0, 0.25]]", "[]", "start_edges: no rows");
    expect_refused("[1.0, 0.75]", "[1, -0.75]", "start_edges row 0: the weight is -0.75");
}

/* The same graph in the layout of phasic 0.21. */
static const char old_graph[] =
    "{\"states\": [[0], [2], [1]], \"edges\": [], \"start_edges\": [], \"param_edges\": [[1, 2, 0.5, 3, 4]],"
    "\"start_param_edges\": [[1, 1, 0, 0]], \"param_length\": 2, \"state_length\": 1, \"n_vertices\": 3}";

Test(read, the_old_layout_needs_its_name) {
    pm_graph *g = parsed(old_graph, PM_FORMAT_PHASIC_021);
    const double weights[] = {0.5, 3, 4, 1, 0, 0};
    cr_assert_eq(g->n_weights, 2);
    cr_assert_arr_eq(g->weights, weights, sizeof weights);
    cr_assert_eq(g->n_starts, 1);
    cr_assert_eq(g->n_start_plain, 0);
    pm_graph_free(g);
    expect_error(
        old_graph, PM_FORMAT_PHASIC,
        "param_edges row 0: found 5 columns; expected 4 (from, to and P coefficients, param_length is 2); a file of "
        "phasic 0.21 or earlier has one column more, a base weight: read it with --format phasic-0.21");
    expect_error(small_graph_json, PM_FORMAT_PHASIC_021, "read it without --format phasic-0.21");
}

Test(read, the_layout_is_known_as_soon_as_param_length_is) {
    char *text = replaced(old_graph, "{", "{\"dyn_ordering\": 0, ");
    char *without = replaced(text, ", \"param_length\": 2", "");
    char *first = replaced(without, "\"dyn_ordering\": 0", "\"param_length\": 2");
    pm_graph *g = parsed(first, PM_FORMAT_PHASIC_021);
    pm_graph *same = parsed(old_graph, PM_FORMAT_PHASIC_021);
    expect_same(g, same);
    expect_error(first, PM_FORMAT_PHASIC, "read it with --format phasic-0.21");
    pm_graph_free(g);
    pm_graph_free(same);
    free(text);
    free(without);
    free(first);
    expect_error("{\"state_length\": 2, \"states\": [[1]]}", PM_FORMAT_PHASIC,
                 "byte 34: states row 0: found 1 columns; expected 2, the state_length");
}

Test(read, a_format_that_is_none_is_refused) {
    pm_graph *g;
    cr_assert_eq(pm_graph_parse("{}", 2, (pm_graph_format)7, PM_KIND_AS_GIVEN, &g, NULL), PM_EUSAGE);
}

/* ---- what the graph is ----------------------------------------------------------------------------------- */

static pm_graph *of_kind(const char *text, pm_graph_kind kind) {
    pm_graph *g = NULL;
    pm_error err;
    cr_assert_eq(pm_graph_parse(text, strlen(text), PM_FORMAT_PHASIC, kind, &g, &err), PM_OK, "%s", err.text);
    return g;
}

static void kind_is(const char *text, pm_graph_kind kind, bool is_discrete, bool is_given, bool is_normalized) {
    pm_graph *g = of_kind(text, kind);
    cr_assert_eq(g->is_discrete, is_discrete);
    cr_assert_eq(g->is_kind_given, is_given);
    cr_assert_eq(g->normalizes_rows, is_normalized);
    pm_graph_free(g);
}

static void kind_contradicts(const char *text, pm_graph_kind kind, const char *part) {
    pm_graph *g = NULL;
    pm_error err;
    cr_assert_eq(pm_graph_parse(text, strlen(text), PM_FORMAT_PHASIC, kind, &g, &err), PM_EUSAGE);
    cr_assert_null(g);
    cr_assert_not_null(strstr(err.text, part), "%s", err.text);
}

#define UNSAID_JSON                                                                                                    \
    "{\"states\": [[0], [1], [2]], \"edges\": [[1, 2, 0.25]], \"start_edges\": [[1, 1]], \"param_edges\": [], "        \
    "\"param_length\": 0, \"state_length\": 1, \"n_vertices\": 3"

Test(read, the_file_or_the_caller_says_what_the_graph_is) {
    static const char unsaid[] = UNSAID_JSON "}", discrete[] = UNSAID_JSON ", \"is_discrete\": true}",
                      continuous[] = UNSAID_JSON ", \"is_discrete\": false}",
                      normalized[] = UNSAID_JSON ", \"was_dph\": true}",
                      both[] = UNSAID_JSON ", \"was_dph\": true, \"is_discrete\": true}",
                      neither[] = UNSAID_JSON ", \"was_dph\": false}";
    kind_is(unsaid, PM_KIND_AS_GIVEN, false, false, false);
    kind_is(unsaid, PM_KIND_CONTINUOUS, false, true, false);
    kind_is(unsaid, PM_KIND_DISCRETE, true, true, false);
    kind_is(neither, PM_KIND_AS_GIVEN, false, false, false);
    kind_is(discrete, PM_KIND_AS_GIVEN, true, true, false);
    kind_is(discrete, PM_KIND_DISCRETE, true, true, false);
    kind_is(continuous, PM_KIND_AS_GIVEN, false, true, false);
    kind_is(continuous, PM_KIND_CONTINUOUS, false, true, false);
    kind_is(normalized, PM_KIND_AS_GIVEN, true, true, true);
    kind_is(normalized, PM_KIND_DISCRETE, true, true, true);
    kind_is(both, PM_KIND_AS_GIVEN, true, true, true);
    kind_contradicts(discrete, PM_KIND_CONTINUOUS, "is_discrete is true in the file, but a continuous graph was asked");
    kind_contradicts(continuous, PM_KIND_DISCRETE, "is_discrete is false in the file, but a discrete graph was asked");
    kind_contradicts(normalized, PM_KIND_CONTINUOUS, "was_dph is true in the file, but a continuous graph was asked");
    kind_contradicts(unsaid, (pm_graph_kind)3, "graph kind 3");
    expect_error(UNSAID_JSON ", \"was_dph\": true, \"is_discrete\": false}", PM_FORMAT_PHASIC,
                 "was_dph is true and is_discrete false");
}

Test(read, jobs_are_told_apart_by_what_the_graph_is) {
    static const char *const texts[] = {UNSAID_JSON "}", UNSAID_JSON ", \"is_discrete\": true}",
                                        UNSAID_JSON ", \"was_dph\": true}"};
    for (size_t i = 0; i < 3; i++) {
        pm_graph *a = of_kind(texts[i], PM_KIND_AS_GIVEN), *b = of_kind(texts[(i + 1) % 3], PM_KIND_AS_GIVEN);
        cr_assert_arr_neq(a->digest, b->digest, PM_DIGEST_BYTES);
        pm_graph_free(a);
        pm_graph_free(b);
    }
    pm_graph *said = of_kind(texts[0], PM_KIND_DISCRETE), *same = of_kind(texts[1], PM_KIND_AS_GIVEN);
    expect_same(said, same);
    pm_graph_free(said);
    pm_graph_free(same);
    said = of_kind(texts[0], PM_KIND_CONTINUOUS);
    same = of_kind(texts[0], PM_KIND_AS_GIVEN);
    expect_same(said, same);
    pm_graph_free(said);
    pm_graph_free(same);
}

static bool may_be(const char *text, pm_graph_kind kind, const double *theta, size_t n_theta) {
    pm_graph *g = of_kind(text, kind);
    bool out = pm_graph_may_be_discrete(g, theta, n_theta);
    pm_graph_free(g);
    return out;
}

Test(read, a_graph_that_does_not_say_may_be_discrete) {
    static const char of_theta[] =
        "{\"states\": [[0], [1], [2]], \"edges\": [], \"start_edges\": [[1, 1]], \"param_edges\": [[1, 2, 0.25], "
        "[1, 2, 0.25]], \"param_length\": 1, \"state_length\": 1, \"n_vertices\": 3}";
    static const char rates[] =
        "{\"states\": [[0], [1], [2]], \"edges\": [[1, 2, 0.6], [1, 2, 0.6]], \"start_edges\": [[1, 1]], "
        "\"param_edges\": [], \"param_length\": 0, \"state_length\": 1, \"n_vertices\": 3}";
    const double theta[] = {1, 2, 2.01, -1, 0};
    cr_assert(may_be(UNSAID_JSON "}", PM_KIND_AS_GIVEN, NULL, 0));
    cr_assert_not(may_be(UNSAID_JSON "}", PM_KIND_CONTINUOUS, NULL, 0));
    cr_assert_not(may_be(UNSAID_JSON ", \"is_discrete\": false}", PM_KIND_AS_GIVEN, NULL, 0));
    cr_assert_not(may_be(UNSAID_JSON ", \"is_discrete\": true}", PM_KIND_AS_GIVEN, NULL, 0));
    cr_assert_not(may_be(rates, PM_KIND_AS_GIVEN, NULL, 0));
    cr_assert_not(may_be(of_theta, PM_KIND_AS_GIVEN, theta, 0));
    cr_assert(may_be(of_theta, PM_KIND_AS_GIVEN, theta, 2));
    cr_assert_not(may_be(of_theta, PM_KIND_AS_GIVEN, theta, 3)); /* one row is no row of probabilities */
    cr_assert_not(may_be(of_theta, PM_KIND_AS_GIVEN, theta + 3, 1));
    cr_assert_not(may_be(of_theta, PM_KIND_AS_GIVEN, theta + 4, 1)); /* nothing moves */
}

/* ---- files --------------------------------------------------------------------------------------------- */

static void write_file(char path[32], const char *text, size_t n) {
    strcpy(path, "/tmp/pm-read-XXXXXX");
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    cr_assert_eq(write(fd, text, n), (ssize_t)n);
    close(fd);
}

Test(read, files_are_named_in_errors) {
    pm_graph *g;
    pm_error err;
    cr_assert_eq(pm_graph_load("/nowhere/graph.json", PM_FORMAT_PHASIC, PM_KIND_AS_GIVEN, &g, &err), PM_ENOINPUT);
    cr_assert_str_eq(err.text, "/nowhere/graph.json: cannot be opened: No such file or directory");
    cr_assert_eq(pm_graph_load("/tmp", PM_FORMAT_PHASIC, PM_KIND_AS_GIVEN, &g, &err), PM_ENOINPUT);
    cr_assert_str_eq(err.text, "/tmp: is a folder; expected a graph file");
    char path[32], expected[200];
    write_file(path, "{\"states\": [[1], 2]}", 20);
    cr_assert_eq(pm_graph_load(path, PM_FORMAT_PHASIC, PM_KIND_AS_GIVEN, &g, &err), PM_EDATA);
    snprintf(expected, sizeof expected, "%s: byte 18: states row 1: found the number 2; expected an array of numbers",
             path);
    cr_assert_str_eq(err.text, expected);
    unlink(path);
}

Test(read, standard_input_is_a_dash) {
    pm_graph *g, *same = parsed(small_graph_json, PM_FORMAT_PHASIC);
    pm_error err;
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    size_t n = strlen(small_graph_json);
    cr_assert_eq(write(ends[1], "  ", 2), 2);
    cr_assert_eq(write(ends[1], small_graph_json, n), (ssize_t)n);
    close(ends[1]);
    dup2(ends[0], STDIN_FILENO);
    cr_assert_eq(pm_graph_load("-", PM_FORMAT_PHASIC, PM_KIND_AS_GIVEN, &g, &err), PM_OK, "%s", err.text);
    expect_same(g, same);
    pm_graph_free(g);
    pm_graph_free(same);
    cr_assert_eq(pm_graph_load("-", PM_FORMAT_PHASIC, PM_KIND_AS_GIVEN, &g, &err), PM_EDATA);
    cr_assert_str_eq(err.text, "standard input: byte 0: the input is empty; expected a graph as JSON or MessagePack");
}

Test(read, a_byte_order_mark_is_passed_over) {
    pm_graph *g, *same = parsed(small_graph_json, PM_FORMAT_PHASIC);
    char *text = malloc(strlen(small_graph_json) + 8);
    strcpy(stpcpy(text, "\xef\xbb\xbf\n"), small_graph_json);
    g = parsed(text, PM_FORMAT_PHASIC);
    expect_same(g, same);
    pm_graph_free(g);
    pm_graph_free(same);
    free(text);
    expect_error("\xef\xbb\xbf", PM_FORMAT_PHASIC, "byte 3: the input is empty");
    expect_error("\xef\xbb\xbf[", PM_FORMAT_PHASIC, "byte 3: 0x5b begins neither");
    expect_error("\xef\xbb{", PM_FORMAT_PHASIC, "byte 0: 0xef begins neither");
    expect_error("\xef\xbb\xbf{\"states\": 1}", PM_FORMAT_PHASIC, "byte 15: states: found the number 1");
    expect_error("\xef\xbb\xbf\xef\xbb\xbf{}", PM_FORMAT_PHASIC, "byte 3: 0xef begins neither");
    expect_error("\xff\xfe{", PM_FORMAT_PHASIC, "byte 0: begins with the byte order mark of UTF-16; expected UTF-8");
    expect_error("\xfe\xff", PM_FORMAT_PHASIC, "byte 0: begins with the byte order mark of UTF-16; expected UTF-8");
}

/* A document of several windows, whose pieces end everywhere. */
Test(read, a_file_larger_than_the_windows) {
    pm_builder *b;
    const int32_t zero = 0, one = 1;
    cr_assert_eq(pmi_builder_new(1, 1, false, &b, NULL), PM_OK);
    for (int i = 0; i < 5000; i++) {
        cr_assert_eq(pmi_builder_state(b, i == 0 ? &zero : &one, NULL, NULL), PM_OK);
    }
    for (uint32_t i = 1; i < 4999; i++) {
        const double coef[] = {0, 1.0 / i};
        cr_assert_eq(pmi_builder_edge(b, PM_EDGE_PARAM, i, i + 1, coef, NULL), PM_OK);
    }
    cr_assert_eq(pmi_builder_start(b, false, 1, (const double[]){1}, NULL), PM_OK);
    pm_graph *g;
    cr_assert_eq(pmi_builder_finish(b, &g, NULL), PM_OK);
    pmi_builder_free(b);
    for (int encoding = PM_GRAPH_JSON; encoding <= PM_GRAPH_MSGPACK; encoding++) {
        pm_buffer bytes = {0};
        pm_byte_sink sink = buffer_sink(&bytes);
        cr_assert_eq(pmi_graph_write(g, (pm_graph_encoding)encoding, &sink, NULL), PM_OK);
        cr_assert_gt(bytes.size, 70000);
        char path[32];
        write_file(path, (const char *)bytes.bytes, bytes.size);
        pm_graph *same;
        pm_error err;
        cr_assert_eq(pm_graph_load(path, PM_FORMAT_PHASIC, PM_KIND_AS_GIVEN, &same, &err), PM_OK, "%s", err.text);
        expect_same(g, same);
        unlink(path);
        pm_graph_free(same);
        pmi_buffer_free(&bytes);
    }
    pm_graph_free(g);
}

/* ---- damage -------------------------------------------------------------------------------------------- */

/* Each prefix is refused; each file with one byte changed is refused or is a graph as good as any. */
static void expect_damage_noticed(const uint8_t *bytes, size_t n, size_t tail) {
    uint8_t *copy = malloc(n);
    size_t n_read = 0;
    for (size_t cut = 0; cut + tail < n; cut++) {
        pm_graph *g;
        cr_assert_eq(pm_graph_parse(bytes, cut, PM_FORMAT_PHASIC, PM_KIND_AS_GIVEN, &g, NULL), PM_EDATA, "cut at %zu",
                     cut);
    }
    for (size_t at = 0; at < n; at++) {
        memcpy(copy, bytes, n);
        for (int change = 1; change < 256; change += change < 8 || change > 250 ? 1 : 11) {
            pm_graph *g;
            pm_error err = {.code = PM_OK};
            copy[at] = (uint8_t)(bytes[at] ^ change);
            pm_status st = pm_graph_parse(copy, n, PM_FORMAT_PHASIC, PM_KIND_AS_GIVEN, &g, &err);
            cr_assert(st == PM_OK || (st == PM_EDATA && err.code == PM_EDATA && g == NULL), "byte %zu: %d", at,
                      (int)st);
            const char *flaw = st == PM_OK ? graph_flaw(g) : NULL;
            cr_assert_null(flaw, "byte %zu is %02x: %s", at, copy[at], flaw);
            n_read += st == PM_OK;
            pm_graph_free(g);
        }
    }
    cr_assert_gt(n_read, 0, "changes of digits leave a graph");
    free(copy);
}

Test(read, damaged_json_is_noticed) {
    expect_damage_noticed((const uint8_t *)small_graph_json, strlen(small_graph_json), 0);
}

Test(read, damaged_msgpack_is_noticed) {
    pm_graph *g = parsed(small_graph_json, PM_FORMAT_PHASIC);
    pm_buffer bytes = {0};
    pm_byte_sink sink = buffer_sink(&bytes);
    cr_assert_eq(pmi_graph_write(g, PM_GRAPH_MSGPACK, &sink, NULL), PM_OK);
    expect_damage_noticed(bytes.bytes, bytes.size, 0);
    pmi_buffer_free(&bytes);
    pm_graph_free(g);
}
