/* report_svg.c -- the sweep as a plot: time and memory by sequence length. (bench)
 * Both axes are logarithmic, so that a power law is a line: its slope is the power. */
#include "bench/common/report.h"

#include <math.h>
#include <string.h>

#define WIDTH 1040
#define HEIGHT 500
#define PANEL_W 400
#define PANEL_H 300
#define TOP 104
#define FLASH_COLOUR "#0b62a4"
#define STANDARD_COLOUR "#c7502b"

typedef struct panel {
    const char *title, *unit;
    double left;           /* x of its frame */
    double x0, x1, y0, y1; /* ranges */
    double (*value)(const measure_side *side);
} panel;

static double time_of(const measure_side *side) { return side->ms.median; }
static double memory_of(const measure_side *side) { return (double)side->bytes / (1 << 20); }

static double length_of(const measure_result *r)
{
    const sizes n = sizes_of(&r->desc);
    return n.sq > n.sk ? n.sq : n.sk;
}

static double x_of(const panel *p, double length)
{
    return p->left + PANEL_W * (log2(length) - log2(p->x0)) / (log2(p->x1) - log2(p->x0));
}

static double y_of(const panel *p, double value)
{
    const double share = (log10(value) - log10(p->y0)) / (log10(p->y1) - log10(p->y0));
    return TOP + PANEL_H * (1 - share);
}

/* Text with the characters that XML reserves replaced. */
static void put_text(FILE *f, const char *text)
{
    for (; *text; text++) {
        if (*text == '<')
            fputs("&lt;", f);
        else if (*text == '>')
            fputs("&gt;", f);
        else if (*text == '&')
            fputs("&amp;", f);
        else if ((unsigned char)*text >= 0x20)
            fputc(*text, f);
    }
}

static bool usable(const measure_result *r, const measure_side *side, const panel *p)
{
    return side->ran && p->value(side) > 0 && length_of(r) > 0;
}

/* Ranges that hold all points, to whole powers: of 2 in x, of 10 in y. */
static bool set_ranges(panel *p, const report *r)
{
    double x0 = INFINITY, x1 = 0, y0 = INFINITY, y1 = 0;
    for (int i = 0; i < r->n; i++) {
        const measure_side *const sides[] = {&r->results[i].flash, &r->results[i].standard};
        for (int s = 0; s < 2; s++) {
            if (!usable(&r->results[i], sides[s], p))
                continue;
            const double x = length_of(&r->results[i]), y = p->value(sides[s]);
            x0 = fmin(x0, x), x1 = fmax(x1, x), y0 = fmin(y0, y), y1 = fmax(y1, y);
        }
    }
    if (x1 == 0)
        return false;
    /* A little room beside the points, and never an empty range. */
    p->x0 = x0 / 1.25;
    p->x1 = x1 * 1.25;
    p->y0 = pow(10, floor(log10(y0 * 0.98)));
    p->y1 = pow(10, ceil(log10(y1 * 1.02)));
    return true;
}

static const char *tick_label(double value, char text[24])
{
    if (value >= 1e6 || value < 1e-3)
        snprintf(text, 24, "%.0e", value);
    else
        snprintf(text, 24, "%g", value);
    return text;
}

static void draw_y_ticks(FILE *f, const panel *p)
{
    char label[24];
    const double right = p->left + PANEL_W;
    for (double decade = p->y0; decade < p->y1 * 1.001; decade *= 10) {
        const double y = y_of(p, decade);
        fprintf(f, "<line x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f' class='grid'/>\n", p->left, y,
                right, y);
        fprintf(f, "<text x='%.1f' y='%.1f' class='tick' text-anchor='end'>%s</text>\n",
                p->left - 8, y + 4.5, tick_label(decade, label));
        for (int m = 2; m < 10 && decade * m < p->y1; m++)
            fprintf(f, "<line x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f' class='axis'/>\n", p->left,
                    y_of(p, decade * m), p->left + 4, y_of(p, decade * m));
    }
}

static void draw_x_ticks(FILE *f, const panel *p)
{
    for (double length = exp2(ceil(log2(p->x0))); length <= p->x1; length *= 2) {
        const double x = x_of(p, length);
        fprintf(f, "<line x1='%.1f' y1='%d' x2='%.1f' y2='%d' class='grid'/>\n", x, TOP, x,
                TOP + PANEL_H);
        fprintf(f, "<text x='%.1f' y='%d' class='tick' text-anchor='middle'>", x,
                TOP + PANEL_H + 20);
        if (length >= 1024)
            fprintf(f, "%gk</text>\n", length / 1024);
        else
            fprintf(f, "%g</text>\n", length);
    }
}

static void draw_frame(FILE *f, const panel *p)
{
    fprintf(f, "<rect x='%.1f' y='%d' width='%d' height='%d' class='frame'/>\n", p->left, TOP,
            PANEL_W, PANEL_H);
    fprintf(f, "<text x='%.1f' y='%d' class='head'>%s</text>\n", p->left, TOP - 12, p->title);
    fprintf(f,
            "<text x='%.1f' y='%d' class='label' text-anchor='middle'>sequence length "
            "(tokens)</text>\n",
            p->left + PANEL_W / 2.0, TOP + PANEL_H + 44);
    fprintf(f,
            "<text transform='translate(%.1f %.1f) rotate(-90)' class='label' "
            "text-anchor='middle'>%s</text>\n",
            p->left - 54, TOP + PANEL_H / 2.0, p->unit);
}

/* Results are in the order of their lengths: the line goes from point to point. */
static void draw_line(FILE *f, const report *r, const panel *p, bool flash)
{
    const char *colour = flash ? FLASH_COLOUR : STANDARD_COLOUR;
    fprintf(f,
            "<polyline fill='none' stroke='%s' stroke-width='2.2' stroke-linejoin='round'%s "
            "points='",
            colour, flash ? "" : " stroke-dasharray='7 4'");
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < r->n; i++) {
            const measure_result *m = &r->results[i];
            const measure_side *side = flash ? &m->flash : &m->standard;
            if (!usable(m, side, p))
                continue;
            const double x = x_of(p, length_of(m)), y = y_of(p, p->value(side));
            if (pass == 0)
                fprintf(f, "%.1f,%.1f ", x, y);
            else if (flash)
                fprintf(f, "<circle cx='%.1f' cy='%.1f' r='4' fill='%s'/>\n", x, y, colour);
            else
                fprintf(f, "<rect x='%.1f' y='%.1f' width='7' height='7' fill='%s'/>\n", x - 3.5,
                        y - 3.5, colour);
        }
        if (pass == 0)
            fputs("'/>\n", f);
    }
}

/* What all problems share: the words of the first that the others have too. */
static void put_common_words(FILE *f, const report *r)
{
    char first[CLFLASH_PROBLEM_BYTES];
    snprintf(first, sizeof first, "%s", r->results[0].problem);
    bool any = false;
    for (char *next, *word = first; *word; word = next) {
        next = word + strcspn(word, " ");
        if (*next)
            *next++ = '\0';
        bool common = r->n == 1 || strncmp(word, "sq", 2) != 0;
        for (int i = 1; i < r->n && common; i++) {
            const char *at = r->results[i].problem;
            const size_t n = strlen(word);
            for (common = false; at && !common; at = strchr(at, ' ') ? strchr(at, ' ') + 1 : NULL)
                common = strncmp(at, word, n) == 0 && (at[n] == ' ' || at[n] == '\0');
        }
        if (!common)
            continue;
        if (any)
            fputc(' ', f);
        put_text(f, word);
        any = true;
    }
}

static void draw_titles(FILE *f, const report *r)
{
    fprintf(f,
            "<rect width='%d' height='%d' fill='#ffffff'/>\n<text x='84' y='34' class='title'>"
            "Exact attention: ",
            WIDTH, HEIGHT);
    put_common_words(f, r);
    fputs("</text>\n<text x='84' y='57' class='sub'>", f);
    put_text(f, r->info->name);
    fputs(", driver ", f);
    put_text(f, r->info->driver);
    fprintf(f, "; clflash %s</text>\n", clflash_version());
}

static void draw_legend(FILE *f, const report *r)
{
    const int y = HEIGHT - 22;
    char engine[64] = "flash";
    for (int i = 0; i < r->n; i++)
        if (r->results[i].flash.ran)
            snprintf(engine, sizeof engine, "flash attention (%s)",
                     r->results[i].flash.info.engine);
    fprintf(f,
            "<line x1='300' y1='%d' x2='340' y2='%d' stroke='%s' stroke-width='2.2'/>"
            "<circle cx='320' cy='%d' r='4' fill='%s'/>\n<text x='350' y='%d' class='label'>",
            y, y, FLASH_COLOUR, y, FLASH_COLOUR, y + 5);
    put_text(f, engine);
    fprintf(f,
            "</text>\n<line x1='590' y1='%d' x2='630' y2='%d' stroke='%s' stroke-width='2.2' "
            "stroke-dasharray='7 4'/><rect x='606.5' y='%.1f' width='7' height='7' fill='%s'/>\n"
            "<text x='640' y='%d' class='label'>standard attention</text>\n",
            y, y, STANDARD_COLOUR, y - 3.5, STANDARD_COLOUR, y + 5);
}

bool report_svg(const report *r, FILE *file)
{
    panel panels[] = {
        {.title = "Device time of one call", .unit = "milliseconds", .left = 84,  .value = time_of  },
        {.title = "Device memory",           .unit = "MiB",          .left = 592, .value = memory_of},
    };
    fprintf(file,
            "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %d %d' width='%d' "
            "height='%d' font-family='DejaVu Sans, Helvetica, Arial, sans-serif'>\n"
            "<style>.title{font-size:18px;font-weight:bold}.sub{font-size:13px;fill:#555}"
            ".head{font-size:14px;font-weight:bold}.label{font-size:13px}"
            ".tick{font-size:12px;fill:#333}.grid{stroke:#ddd}.axis{stroke:#444}"
            ".frame{fill:none;stroke:#444}</style>\n",
            WIDTH, HEIGHT, WIDTH, HEIGHT);
    if (r->n > 0) {
        draw_titles(file, r);
        draw_legend(file, r);
    }
    for (int i = 0; i < 2 && r->n > 0 && set_ranges(&panels[i], r); i++) {
        draw_y_ticks(file, &panels[i]);
        draw_x_ticks(file, &panels[i]);
        draw_frame(file, &panels[i]);
        draw_line(file, r, &panels[i], false);
        draw_line(file, r, &panels[i], true);
    }
    fputs("</svg>\n", file);
    return !ferror(file);
}
