#include <amd.h>
#include <msgpack.h>
#include <nauty/nauty.h>
#include <omp.h>
#include <openssl/crypto.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <yajl/yajl_version.h>
/* needs stdio.h */
#include <scotch.h>

#include "phasemill.h"

typedef struct version_text {
    char *text;
    size_t n, used;
} version_text;

static void add_text(version_text *v, const char *s, size_t length) {
    size_t room = v->n - v->used - 1;
    size_t k = length < room ? length : room;
    memcpy(v->text + v->used, s, k);
    v->used += k;
    v->text[v->used] = '\0';
}

static void add_line(version_text *v, const char *name, const char *version, size_t length) {
    add_text(v, name, strlen(name));
    add_text(v, " ", 1);
    add_text(v, version, length);
    add_text(v, "\n", 1);
}

static void add_number(version_text *v, const char *name, int major, int minor, int patch) {
    char text[48];
    int n = snprintf(text, sizeof text, "%d.%d.%d", major, minor, patch);
    add_line(v, name, text, n > 0 && (size_t)n < sizeof text ? (size_t)n : 0);
}

void pm_versions(char *text, size_t n) {
    if (n == 0) {
        return;
    }
    version_text v = {text, n, 0};
    text[0] = '\0';
    int yajl = yajl_version();
    add_line(&v, "phasemill", PM_VERSION, strlen(PM_VERSION));
    add_number(&v, "yajl", yajl / 10000, yajl / 100 % 100, yajl % 100);
    add_line(&v, "msgpack-c", msgpack_version(), strlen(msgpack_version()));
    add_line(&v, "SQLite", sqlite3_libversion(), strlen(sqlite3_libversion()));
    add_line(&v, "libcrypto", OpenSSL_version(OPENSSL_VERSION), strlen(OpenSSL_version(OPENSSL_VERSION)));
    add_line(&v, "nauty", NAUTYVERSION, strcspn(NAUTYVERSION, " "));
    add_number(&v, "AMD", AMD_MAIN_VERSION, AMD_SUB_VERSION, AMD_SUBSUB_VERSION);
    add_number(&v, "SCOTCH", SCOTCH_VERSION, SCOTCH_RELEASE, SCOTCH_PATCHLEVEL);
    /* OpenMP names its version by the month of the specification. */
    char month[16];
    int length = snprintf(month, sizeof month, "%d", _OPENMP);
    add_line(&v, "OpenMP", month, length > 0 ? (size_t)length : 0);
}
