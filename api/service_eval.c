#include <stdio.h>
#include <unistd.h>

#include "api/service_internal.h"
#include "base/fs.h"

wn_status wn_service_eval_retrieval(wn_service *s, const char *dir,
                                    const wn_ir_eval_options *options, wn_ir_report *report,
                                    wn_error *err)
{
    char corpus[4096];
    snprintf(corpus, sizeof corpus, "%s/tmp/eval-%ld", s->data_dir, (long)getpid());
    WN_TRY(wn_fs_remove_tree(corpus, err)); /* of a process long gone with our number */
    wn_embedder *e = NULL;
    pthread_mutex_lock(&s->embed_lock);
    wn_status status = wn_service_embedder_locked(s, &e, err);
    if (status == WN_OK)
        status = wn_ir_eval_beir(dir, corpus, e, options, report, err);
    pthread_mutex_unlock(&s->embed_lock);
    return status;
}
