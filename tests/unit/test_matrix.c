#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "base/matrix.h"
#include "base/number.h"

static pm_matrix csv_of(const char *text) {
    pm_matrix t = {0};
    pm_error err;
    cr_assert_eq(pmi_matrix_parse_csv((const uint8_t *)text, strlen(text), &t, &err), PM_OK, "%s", err.text);
    return t;
}

static void csv_refuses(const char *text, const char *part) {
    pm_matrix t = {0};
    pm_error err = {0};
    cr_assert_eq(pmi_matrix_parse_csv((const uint8_t *)text, strlen(text), &t, &err), PM_EDATA, "accepted: %s", text);
    cr_assert_not_null(strstr(err.text, part), "\"%s\" lacks \"%s\"", err.text, part);
    cr_assert_null(t.data);
}

static void inline_refuses(const char *text, const char *part) {
    pm_matrix t = {0};
    pm_error err = {0};
    cr_assert_eq(pmi_matrix_parse_inline(text, &t, &err), PM_EUSAGE, "accepted: %s", text);
    cr_assert_not_null(strstr(err.text, part), "\"%s\" lacks \"%s\"", err.text, part);
    cr_assert_null(t.data);
}

Test(number, grammar_is_decimal_only) {
    static const char *const good[] = {"0", "-1", "+2.5", ".5", "5.", "1e3", "1E-3", "0e999", "4.9e-324"};
    static const char *const bad[] = {"",    ".",   "-",   "e5", "1e",  "1e+",  "0x10",
                                      "nan", "inf", "1 2", "1,", "--1", "1.2.3"};
    static const char *const range[] = {"1e999", "-1e400", "1e-400"};
    double v;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        cr_assert_eq(pmi_number_parse(good[i], strlen(good[i]), &v), PM_NUMBER_OK, "%s", good[i]);
        cr_assert_eq(v, strtod(good[i], NULL));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_assert_eq(pmi_number_parse(bad[i], strlen(bad[i]), &v), PM_NUMBER_SYNTAX, "%s", bad[i]);
    }
    for (size_t i = 0; i < sizeof range / sizeof *range; i++) {
        cr_assert_eq(pmi_number_parse(range[i], strlen(range[i]), &v), PM_NUMBER_RANGE, "%s", range[i]);
    }
    char lengthy[PM_NUMBER_TEXT + 2];
    memset(lengthy, '1', sizeof lengthy);
    cr_assert_eq(pmi_number_parse(lengthy, sizeof lengthy - 1, &v), PM_NUMBER_SYNTAX);
}

Test(matrix, inline_rows_and_ranges) {
    pm_matrix t;
    cr_assert_eq(pmi_matrix_parse_inline(" 1, 0.5 ;-3,4e2", &t, NULL), PM_OK);
    cr_assert(t.rows == 2 && t.cols == 2);
    cr_assert(t.data[0] == 1 && t.data[1] == 0.5 && t.data[2] == -3 && t.data[3] == 400);
    pmi_matrix_free(&t);
    cr_assert_eq(pmi_matrix_parse_inline("0:10:0.1,20", &t, NULL), PM_OK);
    cr_assert(t.rows == 1 && t.cols == 102);
    for (size_t i = 0; i <= 100; i++) {
        cr_assert_eq(t.data[i], (double)i * 0.1);
    }
    cr_assert_eq(t.data[101], 20);
    pmi_matrix_free(&t);
}

/* Counts that a loop adding the step, or a plain floor, gets wrong. */
Test(matrix, range_counts_are_robust) {
    static const struct {
        const char *text;
        size_t count;
    } cases[] = {{"0:0.3:0.1", 4},     {"0:1:0.3", 4},     {"5:5:1", 1},          {"1:0:-0.25", 5},
                 {"0:1:1e-5", 100001}, {"0.1:0.7:0.1", 7}, {"1e-300:1e-300:1", 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pm_matrix t;
        cr_assert_eq(pmi_matrix_parse_inline(cases[i].text, &t, NULL), PM_OK, "%s", cases[i].text);
        cr_assert_eq(t.cols, cases[i].count, "%s: %zu", cases[i].text, t.cols);
        pmi_matrix_free(&t);
    }
}

Test(matrix, inline_errors_name_row_and_value) {
    inline_refuses("", "row 0, value 0");
    inline_refuses("1,x", "row 0, value 1: found \"x\"");
    inline_refuses("1,2;3", "row 1 has 1 values, expected 2");
    inline_refuses("1,2;", "row 1, value 0");
    inline_refuses("1,,2", "row 0, value 1");
    inline_refuses("nan", "found \"nan\"");
    inline_refuses("1e999", "a double can hold");
    inline_refuses("1:2", "start:end:step");
    inline_refuses("1:2:3:4", "start:end:step");
    inline_refuses("0:1:0", "a step that leads");
    inline_refuses("0:1:-1", "a step that leads");
    inline_refuses("0:1e30:1e-30", "a step that leads");
    inline_refuses("theta.txt", "ends in .csv or .npy");
}

Test(matrix, csv_rows) {
    pm_matrix t = csv_of("\xef\xbb\xbf"
                         "1, 2\r\n3,\t4e-1\r\n");
    cr_assert(t.rows == 2 && t.cols == 2);
    cr_assert(t.data[0] == 1 && t.data[1] == 2 && t.data[2] == 3 && t.data[3] == 0.4);
    pmi_matrix_free(&t);
    t = csv_of("1,2\r\n3,4\r\n\r\n \t\n\n");
    cr_assert(t.rows == 2 && t.cols == 2 && t.data[3] == 4);
    pmi_matrix_free(&t);
    t = csv_of("7");
    cr_assert(t.rows == 1 && t.cols == 1 && t.data[0] == 7);
    pmi_matrix_free(&t);
}

Test(matrix, csv_errors_name_line_and_column) {
    csv_refuses("", "empty");
    csv_refuses("\xef\xbb\xbf", "empty");
    csv_refuses(" \r\n\n", "empty");
    csv_refuses("\n1,2\n", "line 1, column 1");
    csv_refuses("\xff\xfe,", "UTF-16; expected UTF-8");
    csv_refuses("\xfe\xff", "UTF-16; expected UTF-8");
    csv_refuses("a,b\n1,2\n", "line 1, column 1: found \"a\"");
    csv_refuses("1,2\n3,b\n", "line 2, column 2: found \"b\"");
    csv_refuses("1,2\n\n3,4\n", "line 2, column 1");
    csv_refuses("1,2\n3\n", "line 2 has 1 values, expected 2");
    csv_refuses("1,2,\n", "line 1, column 3");
    csv_refuses("1,inf\n", "found \"inf\"");
    csv_refuses("1;2\n", "found \"1;2\"");
    pm_error err;
    pm_matrix t;
    cr_assert_eq(pmi_matrix_parse_csv((const uint8_t *)"1\0,2", 4, &t, &err), PM_EDATA);
}

/* A version 1 file whose header is the given text. */
static size_t npy_of(const char *header, const void *values, size_t n, uint8_t bytes[512]) {
    size_t length = strlen(header);
    memcpy(bytes, "\x93NUMPY\x01\x00", 8);
    bytes[8] = (uint8_t)length;
    bytes[9] = 0;
    memcpy(bytes + 10, header, length);
    memcpy(bytes + 10 + length, values, n);
    return 10 + length + n;
}

static pm_matrix npy_matrix(const char *header, const void *values, size_t n) {
    uint8_t bytes[512];
    size_t size = npy_of(header, values, n, bytes);
    pm_matrix t = {0};
    pm_error err;
    cr_assert_eq(pmi_matrix_parse_npy(bytes, size, &t, &err), PM_OK, "%s", err.text);
    return t;
}

static void npy_refuses(const char *header, const void *values, size_t n, const char *part) {
    uint8_t bytes[512];
    size_t size = npy_of(header, values, n, bytes);
    pm_matrix t = {0};
    pm_error err = {0};
    cr_assert_eq(pmi_matrix_parse_npy(bytes, size, &t, &err), PM_EDATA, "accepted: %s", header);
    cr_assert_not_null(strstr(err.text, part), "\"%s\" lacks \"%s\"", err.text, part);
    cr_assert_null(t.data);
}

Test(matrix, npy_orders_and_types) {
    static const double values[6] = {1, 2, 3, 4, 5, 6};
    pm_matrix t = npy_matrix("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }   \n", values, sizeof values);
    cr_assert(t.rows == 2 && t.cols == 3 && t.data[1] == 2 && t.data[3] == 4);
    pmi_matrix_free(&t);
    t = npy_matrix("{'descr': '<f8', 'fortran_order': True, 'shape': (2, 3), }", values, sizeof values);
    cr_assert(t.rows == 2 && t.cols == 3 && t.data[1] == 3 && t.data[3] == 2);
    pmi_matrix_free(&t);
    static const uint8_t big_endian[8] = {0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 7};
    t = npy_matrix("{'shape': (2,), 'fortran_order': False, 'descr': '>i4'}", big_endian, 8);
    cr_assert(t.rows == 1 && t.cols == 2 && t.data[0] == -2 && t.data[1] == 7);
    pmi_matrix_free(&t);
    static const uint8_t least[1] = {0x80};
    t = npy_matrix("{'descr': '|i1', 'fortran_order': False, 'shape': (1,), }", least, 1);
    cr_assert_eq(t.data[0], -128);
    pmi_matrix_free(&t);
    static const float narrow[1] = {0.25F};
    t = npy_matrix("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1), }", narrow, sizeof narrow);
    cr_assert_eq(t.data[0], 0.25);
    pmi_matrix_free(&t);
    t = npy_matrix("{'descr': '<f8', 'fortran_order': False, 'shape': (0, 3), }", values, 0);
    cr_assert(t.rows == 0 && t.cols == 3);
    pmi_matrix_free(&t);
}

Test(matrix, npy_faults) {
    static const double one = 1, infinite = INFINITY;
    static const int64_t inexact = ((int64_t)1 << 53) + 1, most_negative = INT64_MIN;
    npy_refuses("{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }", &one, 8, "expected 1 x 2 values");
    npy_refuses("{'descr': '<f8', 'fortran_order': False, 'shape': (), }", &one, 8, "without dimensions");
    npy_refuses("{'descr': '<f8', 'fortran_order': False, 'shape': (1,1,1), }", &one, 8, "more than 2 dimensions");
    npy_refuses("{'descr': '<f8', 'fortran_order': False, 'shape': (4611686018427387904,4,), }", &one, 8,
                "values of 8");
    npy_refuses("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999,), }", &one, 8, "fits");
    npy_refuses("{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }", &one, 8, "type '<c8'");
    npy_refuses("{'descr': '<f2', 'fortran_order': False, 'shape': (1,), }", &one, 2, "type '<f2'");
    npy_refuses("{'descr': [('a','<f8')], 'fortran_order': False, 'shape': (1,), }", &one, 8, "byte 20");
    npy_refuses("{'descr': '<f8', 'fortran_order': False, }", &one, 8, "'shape'");
    npy_refuses("{'descr': '<f8', 'descr': '<f8', 'fortran_order': False, 'shape': (1,)}", &one, 8, "each once");
    npy_refuses("{'descr': '<f8', 'fortran_order': Maybe, 'shape': (1,), }", &one, 8, "True or False");
    npy_refuses("{'descr': '<f8', 'fortran_order': False, 'shape': (1,), } x", &one, 8, "blanks");
    npy_refuses("{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }", &infinite, 8, "row 0, column 0");
    npy_refuses("{'descr': '<i8', 'fortran_order': False, 'shape': (1,), }", &inexact, 8, "row 0, column 0");
    npy_refuses("{'descr': '<i8', 'fortran_order': False, 'shape': (1,), }", &most_negative, 8, "row 0, column 0");
}

Test(matrix, npy_cut_anywhere_is_refused) {
    static const double values[2] = {1, 2};
    uint8_t bytes[512];
    size_t size = npy_of("{'descr': '<f8', 'fortran_order': False, 'shape': (1, 2), }\n", values, sizeof values, bytes);
    for (size_t n = 0; n < size; n++) {
        pm_matrix t = {0};
        cr_assert_eq(pmi_matrix_parse_npy(bytes, n, &t, NULL), PM_EDATA, "cut at %zu", n);
    }
    bytes[6] = 4;
    pm_matrix t = {0};
    cr_assert_eq(pmi_matrix_parse_npy(bytes, size, &t, NULL), PM_EDATA);
}

Test(matrix, files_are_told_by_their_ending) {
    cr_assert(pmi_matrix_is_path("a.csv") && pmi_matrix_is_path("dir/B.NPY"));
    cr_assert(!pmi_matrix_is_path("1,2") && !pmi_matrix_is_path(".csv") && !pmi_matrix_is_path("a.csv.gz"));
    pm_matrix t = {0};
    pm_error err;
    cr_assert_eq(pmi_matrix_read("/nonexistent/x.csv", &t, &err), PM_ENOINPUT);
    cr_assert_not_null(strstr(err.text, "/nonexistent/x.csv"));
}

Test(versions, names_every_library) {
    char text[1024];
    pm_versions(text, sizeof text);
    static const char *const names[] = {"phasemill " PM_VERSION "\n",
                                        "\nyajl 2.",
                                        "\nmsgpack-c ",
                                        "\nSQLite 3.",
                                        "\nlibcrypto ",
                                        "\nnauty 2.",
                                        "\nAMD 2.",
                                        "\nSCOTCH 7.",
                                        "\nOpenMP 20"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        cr_assert_not_null(strstr(text, names[i]), "\"%s\" not in:\n%s", names[i], text);
    }
    char small[12];
    pm_versions(small, sizeof small);
    cr_assert_str_eq(small, "phasemill 0");
}
