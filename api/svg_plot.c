#include "api/svg_plot.h"

#include <math.h>
#include <stdio.h>

#define WIDTH 860
#define HEIGHT 520
#define LEFT 76
#define RIGHT 640 /* the legend is to the right of it */
#define TOP 48
#define BOTTOM 460
#define MARK 4.5 /* half of a mark's size */

/* Okabe and Ito's, which people with any colour vision tell apart; grey first. */
static const char *const palette[] = {"#666666", "#0072b2", "#d55e00", "#009e73",
                                      "#cc79a7", "#e69f00", "#56b4e9", "#000000"};

static const char *colour_of(const wn_plot_series *s)
{
    return palette[s->colour % (sizeof palette / sizeof *palette)];
}

static bool is_drawn(const wn_plot_point *p)
{
    return isfinite(p->x) && isfinite(p->y) && p->y > 0 && p->x >= 1;
}

wn_plot_frame wn_plot_frame_of(const wn_plot *p)
{
    static const double steps[] = {0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 1000, 1e4, 1e5};
    wn_plot_frame f = {.x_step = steps[0]};
    double x_max = 1.5, y_min = INFINITY, y_max = 0;
    for (size_t i = 0; i < p->n_series; i++)
        for (size_t k = 0; k < p->series[i].n; k++) {
            const wn_plot_point *q = &p->series[i].points[k];
            if (!is_drawn(q))
                continue;
            x_max = fmax(x_max, q->x);
            y_min = fmin(y_min, q->y);
            y_max = fmax(y_max, q->y);
        }
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if ((x_max - 1) / f.x_step > 12)
            f.x_step = steps[i];
    f.x_max = 1 + f.x_step * ceil((x_max - 1) / f.x_step * (1 - 1e-12));
    if (y_max == 0)
        y_min = y_max = 1;
    f.decade_min = (int)floor(log10(y_min));
    f.decade_max = (int)ceil(log10(y_max));
    f.decade_max += f.decade_max == f.decade_min;
    return f;
}

double wn_plot_x(const wn_plot_frame *f, double x)
{
    return LEFT + (RIGHT - LEFT) * (x - 1) / (f->x_max - 1);
}

double wn_plot_y(const wn_plot_frame *f, double y)
{
    return BOTTOM -
           (BOTTOM - TOP) * (log10(y) - f->decade_min) / (double)(f->decade_max - f->decade_min);
}

static void add_text(wn_strbuf *out, double x, double y, const char *more, const char *text)
{
    wn_strbuf_printf(out, "<text x=\"%.1f\" y=\"%.1f\"%s>", x, y, more);
    for (const char *c = text; *c; c++)
        if (*c == '<')
            wn_strbuf_adds(out, "&lt;");
        else if (*c == '&')
            wn_strbuf_adds(out, "&amp;");
        else if ((unsigned char)*c >= ' ')
            wn_strbuf_addc(out, *c);
    wn_strbuf_adds(out, "</text>\n");
}

static void add_rule(wn_strbuf *out, double x1, double y1, double x2, double y2, const char *colour)
{
    wn_strbuf_printf(out, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>\n",
                     x1, y1, x2, y2, colour);
}

static void add_axes(const wn_plot_frame *f, wn_strbuf *out)
{
    char number[32];
    for (int d = f->decade_min; d <= f->decade_max; d++) {
        const double y = wn_plot_y(f, pow(10, d));
        add_rule(out, LEFT, y, RIGHT, y, "#cccccc");
        snprintf(number, sizeof number, "%g", pow(10, d));
        add_text(out, LEFT - 8, y + 4, " text-anchor=\"end\"", number);
        for (int k = 2; d < f->decade_max && k < 10; k++)
            add_rule(out, LEFT - 4, wn_plot_y(f, k * pow(10, d)), LEFT,
                     wn_plot_y(f, k * pow(10, d)), "#333333");
    }
    const int n = (int)lround((f->x_max - 1) / f->x_step);
    for (int i = 0; i <= n; i++) {
        const double x = wn_plot_x(f, 1 + i * f->x_step);
        add_rule(out, x, BOTTOM, x, BOTTOM + 5, "#333333");
        snprintf(number, sizeof number, "%g", 1 + i * f->x_step);
        add_text(out, x, BOTTOM + 20, " text-anchor=\"middle\"", number);
    }
    add_rule(out, LEFT, TOP, LEFT, BOTTOM, "#333333");
    add_rule(out, LEFT, BOTTOM, RIGHT, BOTTOM, "#333333");
}

static void add_mark(const wn_plot_series *s, double x, double y, wn_strbuf *out)
{
    const char *colour = colour_of(s);
    const double r = MARK;
    switch (s->mark) {
    case WN_MARK_CIRCLE:
        wn_strbuf_printf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"%s\"/>\n", x, y, r,
                         colour);
        return;
    case WN_MARK_SQUARE:
        wn_strbuf_printf(out, "<path d=\"M%.1f %.1fh%.1fv%.1fh%.1fz\"", x - r, y - r, 2 * r, 2 * r,
                         -2 * r);
        break;
    case WN_MARK_TRIANGLE:
        wn_strbuf_printf(out, "<path d=\"M%.1f %.1fl%.1f %.1fh%.1fz\"", x, y - r, r, 2 * r, -2 * r);
        break;
    case WN_MARK_DIAMOND:
        wn_strbuf_printf(out, "<path d=\"M%.1f %.1fl%.1f %.1fl%.1f %.1fl%.1f %.1fz\"", x, y - r, r,
                         r, -r, r, -r, -r);
        break;
    case WN_MARK_CROSS:
        wn_strbuf_printf(out, "<path d=\"M%.1f %.1fl%.1f %.1fm0 %.1fl%.1f %.1f\"", x - r, y - r,
                         2 * r, 2 * r, -2 * r, -2 * r, 2 * r);
        break;
    }
    wn_strbuf_printf(out, " fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\"/>\n", colour);
}

static void add_series(const wn_plot_frame *f, const wn_plot_series *s, wn_strbuf *out)
{
    bool open = false;
    for (size_t i = 0; s->line && i < s->n; i++) {
        if (!is_drawn(&s->points[i]))
            continue;
        wn_strbuf_adds(out, open ? " " : "<polyline points=\"");
        wn_strbuf_printf(out, "%.1f,%.1f", wn_plot_x(f, s->points[i].x),
                         wn_plot_y(f, s->points[i].y));
        open = true;
    }
    if (open)
        wn_strbuf_printf(out, "\" fill=\"none\" stroke=\"%s\" stroke-width=\"2\"/>\n",
                         colour_of(s));
    for (size_t i = 0; i < s->n; i++)
        if (is_drawn(&s->points[i]))
            add_mark(s, wn_plot_x(f, s->points[i].x), wn_plot_y(f, s->points[i].y), out);
}

static void add_legend(const wn_plot *p, wn_strbuf *out)
{
    double y = TOP + 8;
    for (size_t i = 0; i < p->n_series; i++) {
        const wn_plot_series *s = &p->series[i];
        if (!s->label)
            continue;
        if (s->line)
            add_rule(out, RIGHT + 24, y, RIGHT + 48, y, colour_of(s));
        add_mark(s, RIGHT + 36, y, out);
        add_text(out, RIGHT + 56, y + 4, "", s->label);
        y += 22;
    }
}

void wn_svg_plot(const wn_plot *p, wn_strbuf *out)
{
    const wn_plot_frame f = wn_plot_frame_of(p);
    char turned[64];
    snprintf(turned, sizeof turned, " text-anchor=\"middle\" transform=\"rotate(-90 20 %d)\"",
             (TOP + BOTTOM) / 2);
    wn_strbuf_printf(out,
                     "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
                     "height=\"%d\" font-family=\"sans-serif\" font-size=\"13\">\n"
                     "<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n",
                     WIDTH, HEIGHT, WIDTH, HEIGHT, WIDTH, HEIGHT);
    add_text(out, LEFT, 26, " font-size=\"15\"", p->title);
    add_axes(&f, out);
    for (size_t i = 0; i < p->n_series; i++)
        add_series(&f, &p->series[i], out);
    add_text(out, (LEFT + RIGHT) / 2, BOTTOM + 44, " text-anchor=\"middle\"", p->x_label);
    add_text(out, 20, (TOP + BOTTOM) / 2, turned, p->y_label);
    add_legend(p, out);
    wn_strbuf_adds(out, "</svg>\n");
}
