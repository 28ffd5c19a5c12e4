#include "support/console.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/utf8.h"

#define TAIL 24 /* kept free for what ends a line */

/* Appends all of it or nothing. */
static bool add(cli_log_line *line, const char *format, ...) PM_PRINTF(2, 3);

static bool add(cli_log_line *line, const char *format, ...) {
    size_t room = sizeof line->text - line->used - TAIL;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line->text + line->used, room, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= room) {
        return false;
    }
    line->used += (size_t)n;
    return true;
}

static void end(cli_log_line *line, const char *tail) {
    size_t n = strlen(tail);
    memcpy(line->text + line->used, tail, n + 1);
    line->used += n;
}

/* A line break would make two lines of one, and other characters steer the terminal. */
static bool add_shown(cli_log_line *line, const char *text) {
    size_t left = strlen(text);
    bool fits = true;
    while (fits && left > 0) {
        char shown[PM_UTF8_SHOWN];
        size_t taken = pmi_utf8_show(text, left, shown);
        fits = add(line, "%s", shown);
        text += taken;
        left -= taken;
    }
    return fits;
}

void cli_log_as_text(const cli_log_entry *entry, cli_log_line *line) {
    static const char *const labels[] = {"debug: ", "", "warning: ", "error: "};
    line->used = 0;
    if (entry->time >= 0) {
        char time[PM_TIME_TEXT];
        pmi_time_text(entry->time, time);
        add(line, "%s ", time);
    }
    add(line, "phasemill: %s", labels[entry->level]);
    bool fits = add_shown(line, entry->text);
    for (size_t i = 0; fits && i < entry->n_fields; i++) {
        const pm_log_field *f = &entry->fields[i];
        fits = f->text != NULL ? add(line, " %s=", f->name) && add_shown(line, f->text)
                               : add(line, " %s=%.12g", f->name, f->number);
    }
    end(line, fits ? "\n" : "...\n");
}

static bool add_character(cli_log_line *line, const char **at) {
    const char *c = *at;
    size_t n;
    uint32_t code = pmi_utf8_steers(c, strnlen(c, 4), &n);
    *at += n == 0 ? 1 : n;
    if (n == 0) {
        return add(line, "\\ufffd");
    }
    if (code != 0) {
        return add(line, "\\u%04x", (unsigned)code);
    }
    return add(line, *c == '"' || *c == '\\' ? "\\%.*s" : "%.*s", (int)n, c);
}

/* A string, cut where the line is full: the quote after it always fits. */
static void add_string(cli_log_line *line, const char *text) {
    if (!add(line, "\"")) {
        return;
    }
    bool fits = true;
    while (fits && *text != '\0') {
        fits = add_character(line, &text);
    }
    end(line, "\"");
}

void cli_log_as_json(const cli_log_entry *entry, const char *component, cli_log_line *line) {
    static const char *const levels[] = {"debug", "info", "warning", "error"};
    char time[PM_TIME_TEXT];
    pmi_time_text(entry->time, time);
    line->used = 0;
    add(line, "{\"ts\": \"%s\", \"level\": \"%s\", \"component\": \"%s\", \"msg\": ", time, levels[entry->level],
        component);
    add_string(line, entry->text);
    bool fits = true;
    for (size_t i = 0; fits && i < entry->n_fields; i++) {
        const pm_log_field *f = &entry->fields[i];
        size_t before = line->used;
        if (f->text != NULL && (fits = strlen(f->text) * 6 + strlen(f->name) + TAIL < sizeof line->text - before)) {
            add(line, ", \"%s\": ", f->name);
            add_string(line, f->text);
        } else if (f->text == NULL) {
            fits = isfinite(f->number) ? add(line, ", \"%s\": %.15g", f->name, f->number)
                                       : add(line, ", \"%s\": null", f->name);
        }
    }
    end(line, fits ? "}\n" : ", \"cut\": true}\n");
}

void cli_log_last_words(const char *text) {
    cli_log_line line;
    cli_log_as_text(&(cli_log_entry){.level = PM_LOG_INFO, .text = text, .time = -1}, &line);
    fwrite(line.text, 1, line.used, stderr);
}
