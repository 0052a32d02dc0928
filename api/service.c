#include "api/service.h"

#include <stdlib.h>
#include <string.h>

#include "api/model_catalog.h"
#include "api/service_prefix.h"
#include "api/shipped_heads.h"
#include "base/checked.h"
#include "base/fs.h"
#include "base/log.h"

#define DEFAULT_GENERATOR "qwen2.5-1.5b"
#define SMALL_GENERATOR "smollm2-135m"
#define DEFAULT_EMBEDDER "minilm-l6"

static wn_status out_of_memory(wn_error *err)
{
    return wn_error_set(err, WN_NO_MEMORY, "service: out of memory");
}

static void init_prefixes(service_prefixes *p, const wn_service_options *o)
{
    p->memory_bytes = o->prefix_memory_bytes;
    p->disk_bytes = o->prefix_disk_bytes;
    p->corpus_share = o->prefix_corpus_share > 0 ? o->prefix_corpus_share : 1;
    pthread_mutex_init(&p->lock, NULL);
    pthread_mutex_init(&p->save_lock, NULL);
    pthread_cond_init(&p->save_wanted, NULL);
}

wn_status wn_service_open(wn_service **out, const wn_service_options *o, wn_error *err)
{
    wn_service *s = wn_alloc(1, sizeof *s);
    if (!s)
        return out_of_memory(err);
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->embed_lock, NULL);
    init_prefixes(&s->prefixes, o);
    wn_service_slots_init(&s->slots, o->n_parallel);
    s->data_dir = wn_strdup(o->data_dir);
    s->corpora_dir = wn_fs_join(o->data_dir, "corpora");
    const char *generator = o->small ? SMALL_GENERATOR : DEFAULT_GENERATOR;
    s->generator = wn_strdup(o->generator ? o->generator : generator);
    s->embedder_name = wn_strdup(o->embedder ? o->embedder : DEFAULT_EMBEDDER);
    s->isa = wn_strdup(o->isa ? o->isa : "auto");
    s->pdfium = wn_catalog_path(o->data_dir, wn_catalog_find("pdfium"));
    s->n_threads = o->n_threads;
    s->n_ctx = o->n_ctx;
    s->exact = o->exact;
    s->kv_format = o->kv_format;
    s->heads_path = o->heads ? wn_strdup(o->heads) : NULL;
    s->kv_ratio = o->kv_ratio;
    wn_status status = WN_OK;
    if (!s->data_dir || !s->corpora_dir || !s->generator || !s->embedder_name || !s->isa ||
        !s->pdfium || (o->heads && !s->heads_path))
        status = out_of_memory(err);
    if (status == WN_OK)
        status = wn_compute_open(
            &s->compute,
            &(wn_compute_options){.n_threads = s->n_threads, .isa = s->isa, .exact = s->exact},
            err);
    if (status == WN_OK)
        status = wn_fs_make_dirs(s->corpora_dir, err);
    if (status != WN_OK) {
        wn_service_close(s);
        return status;
    }
    *out = s;
    return WN_OK;
}

void wn_service_close(wn_service *s)
{
    if (!s)
        return;
    while (s->corpora) {
        open_corpus *next = s->corpora->next;
        wn_corpus_close(s->corpora->corpus);
        free(s->corpora);
        s->corpora = next;
    }
    wn_parse_pool_close(s->parsers);
    wn_service_slots_close(&s->slots);
    wn_service_prefixes_close(s);
    wn_dms_heads_close(s->heads);
    wn_model_close(s->model);
    wn_embedder_close(s->embedder);
    wn_compute_close(s->embed_compute);
    wn_compute_close(s->compute);
    pthread_mutex_destroy(&s->embed_lock);
    pthread_mutex_destroy(&s->lock);
    free(s->data_dir);
    free(s->corpora_dir);
    free(s->generator);
    free(s->embedder_name);
    free(s->isa);
    free(s->heads_path);
    free(s->pdfium);
    free(s);
}

const char *wn_service_data_dir(const wn_service *s)
{
    return s->data_dir;
}

const char *wn_service_corpora_dir(const wn_service *s)
{
    return s->corpora_dir;
}

wn_compute *wn_service_compute(wn_service *s)
{
    return s->compute;
}

wn_kv_format wn_service_kv_format(const wn_service *s)
{
    return wn_model_kv_format(s->model, s->compute, s->kv_format);
}

static wn_status load_model(wn_service *s, wn_error *err)
{
    char *path = NULL;
    WN_TRY(wn_catalog_resolve(s->data_dir, s->generator, &path, err));
    wn_status status = wn_model_open(&s->model, s->compute, path, err);
    free(path);
    return status;
}

wn_status wn_service_generator(wn_service *s, const wn_model **out, wn_error *err)
{
    pthread_mutex_lock(&s->lock);
    wn_status status = s->model ? WN_OK : load_model(s, err);
    if (status == WN_OK)
        *out = s->model;
    pthread_mutex_unlock(&s->lock);
    return status;
}

wn_status wn_service_open_heads(const wn_service *s, const wn_model *model, wn_dms_heads **out,
                                wn_error *err)
{
    char *shipped = NULL;
    if (s->heads_path && strcmp(s->heads_path, "auto") == 0)
        WN_TRY(wn_shipped_heads(s->generator, &shipped, err));
    wn_status status = wn_dms_heads_open(out, model, shipped ? shipped : s->heads_path, err);
    free(shipped);
    return status;
}

/* Off: the heads stay, with a window that nothing leaves. A model that has them in its own q was
 * trained with that channel cleared, and a side-car that does not fit is refused all the same. */
static wn_status load_heads(wn_service *s, const wn_model *model, wn_error *err)
{
    const wn_dms_point off = {.window = wn_model_config_of(model)->n_ctx}, *point = &off;
    if (s->heads_loaded)
        return WN_OK;
    WN_TRY(wn_service_open_heads(s, model, &s->heads, err));
    wn_status status = WN_OK;
    if (s->heads && s->kv_ratio != 1)
        point = s->heads->points;
    if (s->heads && s->kv_ratio > 1 && s->heads->kind == WN_DMS_LINEAR)
        status = wn_dms_point_pick(s->heads, s->kv_ratio, &point, err);
    if (status != WN_OK) {
        wn_dms_heads_close(s->heads);
        s->heads = NULL;
        return status;
    }
    s->point = *point;
    s->heads_loaded = true;
    return WN_OK;
}

wn_status wn_service_session_options(wn_service *s, size_t n_ctx, wn_session_options *out,
                                     wn_error *err)
{
    const wn_model *model = NULL;
    WN_TRY(wn_service_generator(s, &model, err));
    WN_TRY(load_heads(s, model, err));
    *out = (wn_session_options){.n_ctx = n_ctx,
                                .kv_format = s->kv_format,
                                .heads = s->heads,
                                .point = &s->point,
                                .resume = true};
    return WN_OK;
}

wn_status wn_service_embedder_locked(wn_service *s, wn_embedder **out, wn_error *err)
{
    if (!s->embedder) {
        char *path = NULL;
        WN_TRY(wn_catalog_resolve(s->data_dir, s->embedder_name, &path, err));
        wn_status status = WN_OK;
        if (!s->embed_compute)
            status = wn_compute_open(
                &s->embed_compute,
                &(wn_compute_options){.n_threads = s->n_threads, .isa = s->isa, .exact = s->exact},
                err);
        if (status == WN_OK)
            status = wn_embedder_open(&s->embedder, s->embed_compute, path, err);
        free(path);
        WN_TRY(status);
    }
    *out = s->embedder;
    return WN_OK;
}

#define WARM_TOKENS 32 /* a question's */

/* The first question does not wait for memory that the system has to clear first. */
static wn_status warm_up(wn_session *session, wn_error *err)
{
    static const int32_t ids[WARM_TOKENS];
    if (wn_session_capacity(session) < WARM_TOKENS)
        return WN_OK;
    WN_TRY(wn_session_append(session, ids, WARM_TOKENS, NULL, NULL, err));
    wn_session_truncate(session, 0);
    return WN_OK;
}

wn_status wn_service_load(wn_service *s, wn_error *err)
{
    WN_TRY(wn_service_slots_open(s, err));
    WN_TRY(warm_up(s->slots.items[0].session, err));
    wn_service_prefixes_prepare(s);
    const char *name = NULL;
    size_t dim = 0;
    return wn_service_embedder_info(s, &name, &dim, err);
}

wn_status wn_service_embedder_info(wn_service *s, const char **name, size_t *dim, wn_error *err)
{
    wn_embedder *e = NULL;
    pthread_mutex_lock(&s->embed_lock);
    wn_status status = wn_service_embedder_locked(s, &e, err);
    if (status == WN_OK) {
        *name = wn_embedder_name(e);
        *dim = wn_embedder_dim(e);
    }
    pthread_mutex_unlock(&s->embed_lock);
    return status;
}

wn_status wn_service_embed(void *service, const char *const *texts, const size_t *lens, size_t n,
                           float *out, wn_error *err)
{
    wn_service *s = service;
    wn_embedder *e = NULL;
    pthread_mutex_lock(&s->embed_lock);
    wn_status status = wn_service_embedder_locked(s, &e, err);
    if (status == WN_OK)
        status = wn_embedder_embed(e, WN_EMBED_PASSAGE, texts, lens, n, out, err);
    pthread_mutex_unlock(&s->embed_lock);
    return status;
}

size_t wn_service_count_tokens(void *service, const char *text, size_t len)
{
    wn_service *s = service;
    return wn_embedder_count_tokens(s->embedder, text, len); /* immutable: no lock */
}

/* Corpora ------------------------------------------------------------------------------------- */

static open_corpus *find_open(wn_service *s, const char *name, bool writable)
{
    for (open_corpus *c = s->corpora; c; c = c->next)
        if (!c->doomed && c->writable == writable && strcmp(c->name, name) == 0)
            return c;
    return NULL;
}

static wn_status open_entry(wn_service *s, const char *name, unsigned mode, open_corpus **out,
                            wn_error *err)
{
    open_corpus *c = wn_alloc(1, sizeof *c);
    if (!c)
        return out_of_memory(err);
    wn_status status = wn_corpus_set_open(&c->corpus, s->corpora_dir, name, mode, err);
    if (status != WN_OK) {
        free(c);
        return status;
    }
    strncpy(c->name, name, sizeof c->name - 1);
    c->writable = (mode & WN_CORPUS_WRITE) != 0;
    c->next = s->corpora;
    s->corpora = c;
    *out = c;
    return WN_OK;
}

/* Takes the entry out of the list and closes it. */
static void close_entry(wn_service *s, open_corpus *c)
{
    for (open_corpus **link = &s->corpora; *link; link = &(*link)->next) {
        if (*link == c) {
            *link = c->next;
            break;
        }
    }
    wn_corpus_close(c->corpus);
    free(c);
}

/* One that another process has deleted is no longer handed out. */
static bool take_deleted(wn_service *s, char name[sizeof s->corpora->name])
{
    pthread_mutex_lock(&s->lock);
    open_corpus *c = s->corpora;
    while (c && (c->doomed || c->writable || wn_corpus_is_there(c->corpus)))
        c = c->next;
    if (c) {
        memcpy(name, c->name, sizeof c->name);
        c->doomed = true;
        if (c->refs == 0)
            close_entry(s, c);
    }
    pthread_mutex_unlock(&s->lock);
    return c != NULL;
}

void wn_service_notice_deletions(wn_service *s)
{
    char name[sizeof s->corpora->name];
    while (take_deleted(s, name)) {
        wn_error err = {0};
        if (wn_service_prefix_drop(s, name, 0, NULL, &err) != WN_OK)
            wn_log(WN_LOG_WARN, "api", "corpus %s was deleted, its prefixes are not: %s", name,
                   err.text);
    }
}

wn_status wn_service_corpus(wn_service *s, const char *name, unsigned mode, wn_corpus **out,
                            wn_error *err)
{
    wn_service_notice_deletions(s);
    if (!wn_corpus_name_valid(name))
        return wn_error_set(err, WN_INVALID,
                            "corpus name \"%.64s\": use 1 to 64 of a-z, 0-9, _ and -, beginning "
                            "with a letter or digit",
                            name);
    pthread_mutex_lock(&s->lock);
    open_corpus *c = find_open(s, name, (mode & WN_CORPUS_WRITE) != 0);
    wn_status status = c ? WN_OK : open_entry(s, name, mode, &c, err);
    if (status == WN_OK) {
        c->refs++;
        *out = c->corpus;
    }
    pthread_mutex_unlock(&s->lock);
    return status;
}

void wn_service_corpus_release(wn_service *s, wn_corpus *corpus)
{
    if (!corpus)
        return;
    pthread_mutex_lock(&s->lock);
    for (open_corpus *c = s->corpora; c; c = c->next) {
        if (c->corpus != corpus)
            continue;
        c->refs--;
        if (c->refs == 0 && (c->writable || c->doomed))
            close_entry(s, c);
        break;
    }
    pthread_mutex_unlock(&s->lock);
}

/* To the front of the list; what was not asked for longest goes. */
static size_t count_asked(service_asked *asked, uint64_t which)
{
    size_t i = 0;
    while (i < SERVICE_ASKED - 1 && asked[i].n && asked[i].which != which)
        i++;
    const size_t before = asked[i].n && asked[i].which == which ? asked[i].n : 0;
    memmove(asked + 1, asked, i * sizeof *asked);
    asked[0] = (service_asked){which, before + 1};
    return before;
}

size_t wn_service_count_question(wn_service *s, const wn_corpus *corpus, uint64_t generation,
                                 uint64_t which)
{
    size_t n = 0;
    pthread_mutex_lock(&s->lock);
    for (open_corpus *c = s->corpora; c; c = c->next) {
        if (c->corpus != corpus)
            continue;
        if (c->generation != generation)
            memset(c->asked, 0, sizeof c->asked);
        c->generation = generation;
        n = count_asked(c->asked, which);
    }
    pthread_mutex_unlock(&s->lock);
    return n;
}

bool wn_service_corpus_changed(wn_service *s, const wn_corpus *corpus, uint64_t generation)
{
    bool changed = false;
    pthread_mutex_lock(&s->lock);
    for (open_corpus *c = s->corpora; c; c = c->next) {
        if (c->corpus != corpus)
            continue;
        changed = c->tended != generation;
        c->tended = generation;
    }
    pthread_mutex_unlock(&s->lock);
    return changed;
}

bool wn_service_corpus_is_gone(wn_service *s, const wn_corpus *corpus)
{
    bool gone = false;
    pthread_mutex_lock(&s->lock);
    for (const open_corpus *c = s->corpora; c; c = c->next)
        gone = gone || (c->corpus == corpus && c->doomed);
    pthread_mutex_unlock(&s->lock);
    return gone;
}

wn_status wn_service_corpus_delete(wn_service *s, const char *name, wn_error *err)
{
    pthread_mutex_lock(&s->lock);
    wn_status status = WN_OK;
    open_corpus *reader = find_open(s, name, false), *writer = find_open(s, name, true);
    if (writer)
        status = wn_error_set(err, WN_BUSY, "corpus \"%s\" is being written", name);
    else
        status = wn_corpus_set_delete(s->corpora_dir, name, err);
    if (status == WN_OK && reader) {
        reader->doomed = true;
        if (reader->refs == 0)
            close_entry(s, reader);
    }
    pthread_mutex_unlock(&s->lock);
    return status == WN_OK ? wn_service_prefix_drop(s, name, 0, NULL, err) : status;
}
