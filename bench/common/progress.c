/* progress.c -- one line of progress. (bench) */
#include "bench/common/progress.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BAR 24

static bool shown;

static int terminal_width(void)
{
    const char *term = getenv("TERM");
    struct winsize size;
    if (!isatty(STDERR_FILENO) || !term || strcmp(term, "dumb") == 0)
        return 0;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}

void progress_show(double done, double total, const char *text)
{
    const int width = terminal_width();
    char bar[BAR + 8] = "";
    if (width == 0)
        return;
    if (total > 0) {
        const double share = done / total;
        const int full = share >= 1 ? BAR : share <= 0 ? 0 : (int)(share * BAR);
        bar[0] = '[';
        for (int i = 0; i < BAR; i++)
            bar[1 + i] = i < full ? '#' : '.';
        strcpy(bar + 1 + BAR, "] ");
    }
    const char *no = getenv("NO_COLOR");
    const char *dim = no && no[0] ? "" : "\033[2m", *plain = no && no[0] ? "" : "\033[0m";
    const int room = width - (int)strlen(bar) - 1;
    fprintf(stderr, "\r\033[K%s%s%s%.*s", dim, bar, plain, room > 0 ? room : 0, text);
    fflush(stderr);
    shown = true;
}

void progress_clear(void)
{
    if (shown)
        fputs("\r\033[K", stderr);
    shown = false;
}
