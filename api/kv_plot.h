/* The table of eval kv (kv_table.h) as a plot: divergence over the ratio of bytes, a curve through
 * the heads' operating points for each length, the baselines as marks of their own.
 *
 *     WN_TRY(wn_kv_plot_write("kv.svg", "smollm2, int8", cases, n_cases, &lengths, err));
 */
#ifndef WN_API_KV_PLOT_H
#define WN_API_KV_PLOT_H

#include "api/kv_table.h"

wn_status wn_kv_plot_write(const char *path, const char *title, const wn_kv_case *cases,
                           size_t n_cases, const wn_kv_lengths *lengths, wn_error *err);

#endif
