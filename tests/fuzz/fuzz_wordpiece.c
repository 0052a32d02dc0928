/* Any text through WordPiece: never more than max ids, offsets in order and inside the text, and a
 * smaller max gives a prefix. The vocabulary is a small one, written here. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "retrieve/wordpiece.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char vocabulary[] =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\nb\ne\n##a\n##b\n##e\nab\n##ab\naba\n!\n.\n\xE4\xB8\xAD\n"
    "\xE1\x84\x80\n##\xE1\x85\xA1\n0\n##0\n";

static wn_wordpiece *open_vocabulary(void)
{
    char dir[] = "/tmp/winnow-fuzz-wordpiece-XXXXXX";
    wn_wordpiece *w = NULL;
    char *path = mkdtemp(dir) ? wn_fs_join(dir, "vocab.txt") : NULL;
    if (!path || wn_fs_write_atomic(path, vocabulary, sizeof vocabulary - 1, NULL) != WN_OK ||
        wn_wordpiece_open(&w, dir, NULL) != WN_OK)
        abort();
    free(path);
    wn_fs_remove_tree(dir, NULL);
    return w;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static wn_wordpiece *w;
    int32_t *all = NULL, *some = NULL;
    size_t *offsets = NULL, n_all = 0, n_some = 0;
    if (!w)
        w = open_vocabulary();
    if (wn_wordpiece_encode(w, (const char *)data, size, SIZE_MAX, &all, &offsets, &n_all, NULL) !=
        WN_OK)
        return 0;
    for (size_t i = 0; i < n_all; i++) {
        if (offsets[i] >= size || (size_t)all[i] >= wn_wordpiece_n_vocab(w))
            abort();
    }
    size_t max = n_all / 2;
    if (wn_wordpiece_encode(w, (const char *)data, size, max, &some, NULL, &n_some, NULL) ==
            WN_OK &&
        (n_some != max || memcmp(all, some, max * sizeof *all) != 0))
        abort();
    free(all);
    free(some);
    free(offsets);
    return 0;
}
