#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "api/qa_eval.h"
#include "base/checked.h"
#include "base/strbuf.h"

static bool is_article(const char *word, size_t len)
{
    return (len == 1 && *word == 'a') || (len == 2 && memcmp(word, "an", 2) == 0) ||
           (len == 3 && memcmp(word, "the", 3) == 0);
}

/* Words in lower case, without ASCII punctuation and articles, joined by single blanks, with a
 * blank at both ends so that a containment test sees whole words. */
static char *normalise(const char *text)
{
    wn_strbuf clean = {0}, out = {0};
    for (const char *c = text; *c; c++)
        if (!ispunct((unsigned char)*c))
            wn_strbuf_addc(&clean, (char)tolower((unsigned char)*c));
    wn_strbuf_addc(&out, ' ');
    const char *p = wn_strbuf_cstr(&clean);
    while (*p) {
        size_t len = strcspn(p, " \t\r\n");
        if (len > 0 && !is_article(p, len)) {
            wn_strbuf_add(&out, p, len);
            wn_strbuf_addc(&out, ' ');
        }
        p += len;
        p += strspn(p, " \t\r\n");
    }
    wn_strbuf_free(&clean);
    return wn_strbuf_detach(&out);
}

bool wn_qa_contains(const char *answer, const json_t *answers)
{
    char *text = normalise(answer);
    bool found = false;
    for (size_t i = 0; text && !found && i < json_array_size(answers); i++) {
        const char *gold = json_string_value(json_array_get(answers, i));
        char *wanted = gold ? normalise(gold) : NULL;
        found = wanted && strlen(wanted) > 1 && strstr(text, wanted);
        free(wanted);
    }
    free(text);
    return found;
}

/* How often the word w[0..len) stands in the normalised text. */
static size_t occurrences(const char *text, const char *word, size_t len)
{
    size_t n = 0;
    for (const char *p = text + 1; *p;) {
        size_t l = strcspn(p, " ");
        n += l == len && memcmp(p, word, len) == 0;
        p += l + (p[l] == ' ');
    }
    return n;
}

static double f1_of(const char *a, const char *b)
{
    size_t n_a = 0, n_b = 0, common = 0;
    for (const char *p = a + 1; *p; n_a++) {
        size_t len = strcspn(p, " "), before = 0;
        /* the k-th time a word comes it needs a k-th partner in b */
        for (const char *q = a + 1; q < p;) {
            size_t l = strcspn(q, " ");
            before += l == len && memcmp(q, p, len) == 0;
            q += l + 1;
        }
        common += occurrences(b, p, len) > before;
        p += len + 1;
    }
    for (const char *p = b + 1; *p; n_b++)
        p += strcspn(p, " ") + 1;
    return common ? 2.0 * (double)common / (double)(n_a + n_b) : 0;
}

double wn_qa_f1(const char *answer, const json_t *answers)
{
    char *text = normalise(answer);
    double best = 0;
    for (size_t i = 0; text && i < json_array_size(answers); i++) {
        const char *gold = json_string_value(json_array_get(answers, i));
        char *wanted = gold ? normalise(gold) : NULL;
        double f1 = wanted ? f1_of(text, wanted) : 0;
        best = f1 > best ? f1 : best;
        free(wanted);
    }
    free(text);
    return best;
}
