/* "The documents do not say": our own fixed sentence, and recognising a model's. */
#ifndef WN_GENERATE_REFUSAL_H
#define WN_GENERATE_REFUSAL_H

#include <stdbool.h>
#include <stddef.h>

#define WN_NO_ANSWER_TEXT "The documents do not say."

/* Does this sentence say that the passages do not hold the answer? English phrases; false when in
 * doubt. Pure function. */
bool wn_sentence_is_refusal(const char *sentence, size_t len);

#endif
