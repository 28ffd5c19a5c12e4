#include "support/console.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

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

static void show(cli_console *console, const cli_log_entry *entry) {
    if (entry->level < console->min) {
        return;
    }
    cli_console_clear(console);
    cli_log_line line;
    if (console->is_json) {
        cli_log_as_json(entry, console->component, &line);
    } else {
        cli_log_as_text(entry, &line);
    }
    fwrite(line.text, 1, line.used, stderr);
}

static void show_event(void *ctx, pm_log_level level, const char *text, const pm_log_field *fields, size_t n_fields) {
    cli_console *console = ctx;
    show(console, &(cli_log_entry){.level = level,
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
