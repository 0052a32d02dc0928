/* Recognises a model's "the documents do not say" (refusal.h). */
#include "generate/refusal.h"

#include <string.h>

#define MAX_BYTES 400 /* nobody needs more words to say that they do not know */

/* Lower case, apostrophes straightened, runs of other bytes kept. */
static void fold(const char *in, size_t len, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        if (len - i >= 3 && memcmp(in + i, "\xE2\x80\x99", 3) == 0) {
            out[n++] = '\'';
            i += 2;
        } else {
            out[n++] = in[i] >= 'A' && in[i] <= 'Z' ? (char)(in[i] - 'A' + 'a') : in[i];
        }
    }
    out[n] = '\0';
}

static bool has_any(const char *text, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strstr(text, list[i]))
            return true;
    return false;
}

bool wn_sentence_is_refusal(const char *sentence, size_t len)
{
    static const char *const whole[] = {"i don't know",
                                        "i do not know",
                                        "i'm not sure",
                                        "i cannot answer",
                                        "i can't answer",
                                        "unable to answer",
                                        "not enough information",
                                        "no information about",
                                        "no information on",
                                        "no information is provided",
                                        "cannot be determined from"};
    static const char *const subject[] = {"passage",  "document",   "context", "provided",
                                          "the text", "given text", "source",  "information"};
    static const char *const verb[] = {
        "not say",        "n't say",     "not contain", "n't contain",   "not mention",
        "n't mention",    "not provide", "n't provide", "not specif",    "n't specif",
        "not state",      "n't state",   "not include", "n't include",   "not answer",
        "n't answer",     "not give",    "n't give",    "not available", "not explicitly",
        "no information", "no mention",  "not discuss", "n't discuss",   "no answer",
        "not directly",   "not found in"};
    char text[MAX_BYTES + 1];
    if (len > MAX_BYTES)
        return false;
    fold(sentence, len, text);
    return has_any(text, whole, sizeof whole / sizeof *whole) ||
           (has_any(text, subject, sizeof subject / sizeof *subject) &&
            has_any(text, verb, sizeof verb / sizeof *verb));
}
