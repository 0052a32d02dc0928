#include "ingest/document_title.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "base/fs.h"
#include "base/strbuf.h"

/* The name without folder and extension, its separators as blanks. */
static void name_words(const char *path, wn_strbuf *out)
{
    const char *name = wn_fs_basename(path), *extension = wn_fs_extension(path);
    size_t len = *extension ? (size_t)(extension - 1 - name) : strlen(name);
    for (size_t i = 0; i < len; i++) {
        bool separator = strchr("-_.+ \t", name[i]) != NULL;
        if (!separator)
            wn_strbuf_addc(out, name[i]);
        else if (out->len > 0 && out->data[out->len - 1] != ' ')
            wn_strbuf_addc(out, ' ');
    }
    while (out->len > 0 && out->data[out->len - 1] == ' ')
        wn_strbuf_truncate(out, out->len - 1);
}

static bool is_word(const char *s, size_t len)
{
    size_t letters = 0;
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)s[i] < 0x80 && !isalpha((unsigned char)s[i]))
            return false;
        letters++;
    }
    return letters >= 3;
}

static bool contains(const char *title, const char *word, size_t len)
{
    for (; *title; title++)
        if (strncasecmp(title, word, len) == 0)
            return true;
    return false;
}

/* Does the name say anything that the title does not? */
static bool adds_words(const char *title, const char *words)
{
    while (*words) {
        size_t len = strcspn(words, " ");
        if (is_word(words, len) && !contains(title, words, len))
            return true;
        words += len + strspn(words + len, " ");
    }
    return false;
}

wn_status wn_document_title(char **out, const char *title, const char *path, wn_error *err)
{
    wn_strbuf words = {0}, result = {0};
    name_words(path, &words);
    wn_strbuf_adds(&result, title);
    if (!*title)
        wn_strbuf_adds(&result, wn_strbuf_cstr(&words));
    else if (adds_words(title, wn_strbuf_cstr(&words)))
        wn_strbuf_printf(&result, " (%s)", wn_strbuf_cstr(&words));
    bool failed = wn_strbuf_failed(&words);
    wn_strbuf_free(&words);
    *out = wn_strbuf_detach(&result);
    if (!*out || failed)
        return wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", path);
    return WN_OK;
}
