#include "api/exact_pair.h"

static wn_status open_exact(wn_exact_pair *p, wn_service *s, size_t n_ctx, wn_error *err)
{
    const wn_compute *usual = wn_service_compute(s);
    const wn_compute_options o = {
        .n_threads = wn_compute_n_threads(usual), .isa = wn_compute_isa(usual), .exact = true};
    const wn_dms_point never = {.window = n_ctx};
    wn_session_options so;
    wn_model *model = NULL;
    WN_TRY(wn_service_session_options(s, n_ctx, &so, err));
    so.kv_format = WN_KV_AUTO;
    so.point = &never; /* with heads of the model's own: their channel is cleared all the same */
    WN_TRY(wn_compute_open(&p->exact_compute, &o, err));
    WN_TRY(wn_model_open(&model, p->exact_compute, wn_model_path(p->usual.model), err));
    p->exact.model = model;
    return wn_session_open(&p->exact.session, model, p->exact_compute, &so, err);
}

wn_status wn_exact_pair_open(wn_exact_pair *out, wn_service *s, size_t n_ctx, wn_error *err)
{
    *out = (wn_exact_pair){0};
    WN_TRY(wn_service_generator(s, &out->usual.model, err));
    wn_session_options o;
    WN_TRY(wn_service_session_options(s, n_ctx, &o, err));
    wn_status status =
        wn_session_open(&out->usual.session, out->usual.model, wn_service_compute(s), &o, err);
    if (status == WN_OK)
        status = open_exact(out, s, n_ctx, err);
    if (status != WN_OK)
        wn_exact_pair_close(out);
    return status;
}

void wn_exact_pair_close(wn_exact_pair *p)
{
    wn_session_close(p->usual.session);
    wn_session_close(p->exact.session);
    wn_model_close((wn_model *)p->exact.model);
    wn_compute_close(p->exact_compute);
    *p = (wn_exact_pair){0};
}
