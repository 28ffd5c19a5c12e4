#include "console.h"

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

static void show_line(void *ctx, pm_log_level level, const char *text) {
    static const char *const labels[] = {"debug: ", "", "warning: ", "error: "};
    cli_console *console = ctx;
    if (level < console->least) {
        return;
    }
    cli_console_clear(console);
    fprintf(stderr, "phasemill: %s%s\n", labels[level], text);
}

static void draw_bar(cli_console *console, const char *stage, double share, double elapsed) {
    char bar[BAR_WIDTH + 1];
    int full = (int)(share * BAR_WIDTH);
    for (int i = 0; i < BAR_WIDTH; i++) {
        bar[i] = i < full ? '#' : '.';
    }
    bar[BAR_WIDTH] = '\0';
    fprintf(stderr, "\r%-10s [%s] %3.0f %% %6.0f s\033[K", stage, bar, 100 * share, elapsed);
    fflush(stderr);
    console->bar_is_drawn = true;
}

static void show_progress(void *ctx, const char *stage, uint64_t done, uint64_t total) {
    cli_console *console = ctx;
    double now = pm_seconds();
    if (console->stage == NULL || strcmp(console->stage, stage) != 0) {
        cli_console_clear(console);
        console->stage = stage;
        console->stage_start = now;
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
    if (console->is_terminal && now - console->last_shown >= BAR_SECONDS) {
        draw_bar(console, stage, share, now - console->stage_start);
        console->last_shown = now;
    } else if (!console->is_terminal && now - console->last_shown >= LINE_SECONDS) {
        pm_logf(&console->log, PM_LOG_INFO, "%s: %.0f %% after %.0f s", stage, 100 * share, now - console->stage_start);
        console->last_shown = now;
    }
}

void cli_console_init(cli_console *console, bool quiet, bool verbose) {
    *console = (cli_console){
        .least = quiet     ? PM_LOG_ERROR
                 : verbose ? PM_LOG_DEBUG
                           : PM_LOG_INFO,
        .shows_progress = !quiet,
        .is_terminal = isatty(STDERR_FILENO) == 1,
    };
    console->log = (pm_log){.ctx = console, .line = show_line, .progress = show_progress};
}
