/* A small plot as SVG: lines and marks, x linear from 1, y logarithmic, axes with numbers, a
 * legend. Text and shapes alone: no script, no style sheet, nothing from elsewhere.
 *
 *     wn_plot p = {.title = "t", .x_label = "x", .y_label = "y", .series = s, .n_series = 2};
 *     wn_svg_plot(&p, &buffer);            // check the buffer for failure
 *
 * Pure functions; any thread.
 */
#ifndef WN_API_SVG_PLOT_H
#define WN_API_SVG_PLOT_H

#include "base/strbuf.h"

typedef enum wn_plot_mark {
    WN_MARK_CIRCLE,
    WN_MARK_SQUARE,
    WN_MARK_TRIANGLE,
    WN_MARK_DIAMOND,
    WN_MARK_CROSS
} wn_plot_mark;

typedef struct wn_plot_point {
    double x, y; /* y <= 0 and what is no finite number is not drawn */
} wn_plot_point;

typedef struct wn_plot_series {
    const char *label; /* UTF-8; NULL: not in the legend */
    const wn_plot_point *points;
    size_t n;
    bool line; /* the points are joined in their order */
    wn_plot_mark mark;
    size_t colour; /* an index into the palette, modulo its size; 0 is grey */
} wn_plot_series;

typedef struct wn_plot {
    const char *title, *x_label, *y_label; /* UTF-8 */
    const wn_plot_series *series;
    size_t n_series;
} wn_plot;

void wn_svg_plot(const wn_plot *p, wn_strbuf *out);

/* Where things are, in pixels from the top left; exposed for tests. */
typedef struct wn_plot_frame {
    double x_max;               /* the axis runs from 1 to there, a whole number of steps */
    double x_step;              /* between its numbers */
    int decade_min, decade_max; /* y from 10^min to 10^max */
} wn_plot_frame;
wn_plot_frame wn_plot_frame_of(const wn_plot *p);
double wn_plot_x(const wn_plot_frame *f, double x);
double wn_plot_y(const wn_plot_frame *f, double y);

#endif
