#include "support/console.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/utf8.h"

/* ---- lines ---- */

#define TAIL 24 /* kept free for what ends a line */

typedef struct log_line {
    char text[8 * PM_ERROR_TEXT]; /* what does not fit is left out, and the end tells so: "..." or "cut": true */
    size_t used;
} log_line;

typedef struct log_entry {
    pm_log_level level;
    const char *text;
    const pm_log_field *fields;
    size_t n_fields;
    double time; /* seconds since 1970; below 0: none */
} log_entry;

/* Appends all of it or nothing. */
static bool add(log_line *line, const char *format, ...) PM_PRINTF(2, 3);

static bool add(log_line *line, const char *format, ...) {
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

static void end(log_line *line, const char *tail) {
    size_t n = strlen(tail);
    memcpy(line->text + line->used, tail, n + 1);
    line->used += n;
}

/* A line break would make two lines of one, and other characters steer the terminal. */
static bool add_shown(log_line *line, const char *text) {
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

/* "phasemill: warning: text name=value ...", with the time before it where there is one. */
static void log_as_text(const log_entry *entry, log_line *line) {
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

static bool add_character(log_line *line, const char **at) {
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
static void add_string(log_line *line, const char *text) {
    if (!add(line, "\"")) {
        return;
    }
    bool fits = true;
    while (fits && *text != '\0') {
        fits = add_character(line, &text);
    }
    end(line, "\"");
}

/* {"ts": "2026-01-31T12:00:00.123Z", "level": "warning", "component": ..., "msg": ..., fields} */
static void log_as_json(const log_entry *entry, const char *component, log_line *line) {
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
    log_line line;
    log_as_text(&(log_entry){.level = PM_LOG_INFO, .text = text, .time = -1}, &line);
    fwrite(line.text, 1, line.used, stderr);
}

/* ---- the console ---- */

#define QUIET_SECONDS 1.0 /* work shorter than this shows no progress */
#define BAR_SECONDS 0.1
#define LINE_SECONDS 5.0
#define BAR_WIDTH 30

void cli_console_clear(cli_console *console) {
    if (console->bar_is_drawn) {
        fputs("\r\033[K", stderr);
        console->bar_is_drawn = false;
    }
}

static void show(cli_console *console, const log_entry *entry) {
    if (entry->level < console->min) {
        return;
    }
    cli_console_clear(console);
    log_line line;
    if (console->is_json) {
        log_as_json(entry, console->component, &line);
    } else {
        log_as_text(entry, &line);
    }
    fwrite(line.text, 1, line.used, stderr);
}

static void show_event(void *ctx, pm_log_level level, const char *text, const pm_log_field *fields, size_t n_fields) {
    cli_console *console = ctx;
    show(console, &(log_entry){.level = level,
                               .text = text,
                               .fields = fields,
                               .n_fields = n_fields,
                               .time = console->is_json || console->has_times ? pmi_now() : -1});
}

static void show_line(void *ctx, pm_log_level level, const char *text) {
    show_event(ctx, level, text, NULL, 0);
}

/* "1234 of 5000, 310/s, 12 s left": the rate is of what was done since the stage began. */
static void describe_progress(const cli_console *console, uint64_t done, uint64_t total, double elapsed, char *text,
                              size_t n) {
    double since = done > console->stage_first ? (double)(done - console->stage_first) : 0;
    double rate = elapsed > 0 ? since / elapsed : 0;
    if (rate > 0) {
        snprintf(text, n, "%llu of %llu, %.3g/s, %.0f s left", (unsigned long long)done, (unsigned long long)total,
                 rate, (double)(total - done) / rate);
    } else {
        snprintf(text, n, "%llu of %llu", (unsigned long long)done, (unsigned long long)total);
    }
}

static void draw_bar(cli_console *console, const char *stage, double share, double elapsed, const char *detail) {
    char bar[BAR_WIDTH + 1];
    int full = (int)(share * BAR_WIDTH);
    for (int i = 0; i < BAR_WIDTH; i++) {
        bar[i] = i < full ? '#' : '.';
    }
    bar[BAR_WIDTH] = '\0';
    fprintf(stderr, "\r%-10s [%s] %3.0f %% %6.0f s  %s\033[K", stage, bar, 100 * share, elapsed, detail);
    fflush(stderr);
    console->bar_is_drawn = true;
}

static void show_progress(void *ctx, const char *stage, uint64_t done, uint64_t total) {
    cli_console *console = ctx;
    double now = pmi_seconds();
    if (console->stage == NULL || strcmp(console->stage, stage) != 0) {
        cli_console_clear(console);
        console->stage = stage;
        console->stage_start = now;
        console->stage_first = done;
        console->last_shown = now;
    }
    if (!console->shows_progress || now - console->stage_start < QUIET_SECONDS) {
        return;
    }
    if (done >= total) {
        cli_console_clear(console);
        return;
    }
    double share = (double)done / (double)total;
    char detail[96];
    if (console->is_terminal && now - console->last_shown >= BAR_SECONDS) {
        describe_progress(console, done, total, now - console->stage_start, detail, sizeof detail);
        draw_bar(console, stage, share, now - console->stage_start, detail);
        console->last_shown = now;
    } else if (!console->is_terminal && now - console->last_shown >= LINE_SECONDS) {
        const pm_log_field fields[] = {{"done", NULL, (double)done}, {"total", NULL, (double)total}};
        describe_progress(console, done, total, now - console->stage_start, detail, sizeof detail);
        pmi_log_event(&console->log, PM_LOG_INFO, fields, console->is_json ? 2 : 0, "%s: %.0f %% after %.0f s, %s",
                      stage, 100 * share, now - console->stage_start, detail);
        console->last_shown = now;
    }
}

void cli_console_init(cli_console *console, bool quiet, bool verbose) {
    *console = (cli_console){
        .min = quiet     ? PM_LOG_ERROR
               : verbose ? PM_LOG_DEBUG
                         : PM_LOG_INFO,
        .shows_progress = !quiet,
        .is_terminal = isatty(STDERR_FILENO) == 1,
    };
    console->log = (pm_log){.ctx = console, .line = show_line, .progress = show_progress, .event = show_event};
}

void cli_console_as_json(cli_console *console, const char *component) {
    console->is_json = true;
    console->is_terminal = false;
    console->component = component;
}

void cli_console_with_times(cli_console *console) {
    console->has_times = true;
}

void cli_console_error(cli_console *console, const pm_error *err) {
    const pm_log_field code = {"code", NULL, (double)err->code};
    show_event(console, PM_LOG_ERROR, err->text, &code, console->is_json ? 1 : 0);
}
