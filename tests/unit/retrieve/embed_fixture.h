/* Shared by the embedder's tests: a scratch copy of a model folder that can be damaged. */
#ifndef WN_TESTS_EMBED_FIXTURE_H
#define WN_TESTS_EMBED_FIXTURE_H

#include "base/fs.h"
#include "base/strbuf.h"
#include "tests/test_support.h"

#define TINY_DIR WN_SOURCE_DIR "/tests/golden/embed/tiny_cls"

static const char *const tiny_files[] = {"config.json",           "vocab.txt",
                                         "tokenizer_config.json", "sentence_bert_config.json",
                                         "1_Pooling/config.json", "model.safetensors"};
#define N_TINY_FILES (sizeof tiny_files / sizeof tiny_files[0])

static inline void read_file(wn_strbuf *out, const char *dir, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    wn_strbuf_clear(out);
    WN_ASSERT_OK(wn_fs_read(out, path, (size_t)256 << 20, err));
}

static inline void write_file(const char *dir, const char *name, const void *data, size_t len)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

/* A fresh copy of the tiny checkpoint; dir gets its path. Remove with wn_fs_remove_tree. */
static inline void copy_tiny(char dir[64])
{
    strcpy(dir, "/tmp/winnow-embed-XXXXXX");
    assert_non_null(mkdtemp(dir));
    char pooling[128];
    snprintf(pooling, sizeof pooling, "%s/1_Pooling", dir);
    WN_ASSERT_OK(wn_fs_make_dirs(pooling, err));
    wn_strbuf text = {0};
    for (size_t i = 0; i < N_TINY_FILES; i++) {
        read_file(&text, TINY_DIR, tiny_files[i]);
        write_file(dir, tiny_files[i], wn_strbuf_cstr(&text), text.len);
    }
    wn_strbuf_free(&text);
}

/* Replaces the first `from` in a file by `to` (which must be there). */
static inline void edit_file(const char *dir, const char *name, const char *from, const char *to)
{
    wn_strbuf text = {0}, edited = {0};
    read_file(&text, dir, name);
    const char *at = memmem(wn_strbuf_cstr(&text), text.len, from, strlen(from));
    if (!at)
        fail_msg("%s has no %s", name, from);
    size_t before = (size_t)(at - text.data), behind = before + strlen(from);
    wn_strbuf_add(&edited, text.data, before);
    wn_strbuf_adds(&edited, to);
    wn_strbuf_add(&edited, text.data + behind, text.len - behind);
    write_file(dir, name, edited.data, edited.len);
    wn_strbuf_free(&text);
    wn_strbuf_free(&edited);
}

#endif
