/* Runs a fuzz target without libFuzzer, in every normal build: each file of its corpus as it is,
 * then a fixed number of mutations of them, the same ones each time.
 *
 *     fuzz_gguf CORPUS_DIR [N_MUTATIONS [SEED]]
 *
 * Inputs end at a page that may not be touched, so that reading one byte too far is a crash even
 * without AddressSanitizer. A crash is the failure; what the target answers is its own business.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/fs.h"

#define INPUT_MAX ((size_t)1 << 20) /* bytes */
#define TIME_MAX_MS 20000.0         /* a slow machine stops early, and says so */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct corpus {
    wn_strbuf *files;
    size_t n, cap;
} corpus;

static uint64_t random_state;

/* xorshift64*: any fixed sequence will do. */
static uint64_t random_next(void)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 2685821657736338717u;
}

static size_t random_below(size_t n)
{
    return n ? (size_t)(random_next() % n) : 0;
}

static wn_status add_file(void *ctx, const wn_fs_entry *entry, wn_error *err)
{
    corpus *c = ctx;
    if (c->n == c->cap) {
        size_t cap = c->cap ? c->cap * 2 : 16;
        wn_strbuf *grown = wn_realloc(c->files, cap, sizeof *grown);
        if (!grown)
            return wn_error_set(err, WN_NO_MEMORY, "out of memory");
        c->files = grown;
        c->cap = cap;
    }
    c->files[c->n] = (wn_strbuf){0};
    return wn_fs_read(&c->files[c->n++], entry->path, INPUT_MAX / 2, err);
}

static void flip_bytes(uint8_t *data, size_t size)
{
    for (size_t n = 1 + random_below(8); n > 0 && size > 0; n--)
        data[random_below(size)] ^= (uint8_t)(1 + random_below(255));
}

/* Counts and sizes are what parsers trust: write an extreme one, little endian, 1 to 8 bytes. */
static void plant_number(uint8_t *data, size_t size)
{
    static const uint64_t numbers[] = {0,
                                       1,
                                       0x7F,
                                       0x80,
                                       0xFF,
                                       0x7FFF,
                                       0xFFFF,
                                       0x7FFFFFFF,
                                       0x80000000,
                                       0xFFFFFFFF,
                                       0x7FFFFFFFFFFFFFFF,
                                       0x8000000000000000,
                                       0xFFFFFFFFFFFFFFFF};
    uint64_t number = numbers[random_below(sizeof numbers / sizeof numbers[0])];
    size_t width = (size_t)1 << random_below(4);
    if (size >= width)
        memcpy(data + random_below(size - width + 1), &number, width);
}

/* A piece of the input is cut out, or written over another place of it. */
static size_t move_piece(uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    size_t from = random_below(size), len = 1 + random_below(size - from);
    if (random_below(2)) {
        memmove(data + from, data + from + len, size - from - len);
        return size - len;
    }
    memmove(data + random_below(size - len + 1), data + from, len);
    return size;
}

/* The head of this input, then the tail of another one. */
static size_t splice(uint8_t *data, size_t size, const wn_strbuf *other)
{
    size_t head = random_below(size + 1), tail = random_below(other->len + 1);
    if (head + tail > INPUT_MAX)
        return size;
    if (tail)
        memcpy(data + head, other->data + other->len - tail, tail);
    return head + tail;
}

static size_t mutate(uint8_t *data, size_t size, const corpus *c)
{
    for (size_t n = 1 + random_below(3); n > 0; n--) {
        switch (random_below(6)) {
        case 0:
            size = random_below(size + 1); /* truncation */
            break;
        case 1:
            size = splice(data, size, &c->files[random_below(c->n)]);
            break;
        case 2:
            size = move_piece(data, size);
            break;
        case 3:
            plant_number(data, size);
            break;
        default:
            flip_bytes(data, size);
            break;
        }
    }
    return size;
}

/* The last byte of the input is the last one of `guarded`'s readable pages. */
static void run_input(uint8_t *guarded, const uint8_t *data, size_t size)
{
    uint8_t *start = guarded + INPUT_MAX - size;
    if (size)
        memcpy(start, data, size);
    (void)LLVMFuzzerTestOneInput(start, size);
}

static size_t run_mutations(const corpus *c, uint8_t *guarded, uint8_t *scratch, size_t wanted)
{
    double start = wn_clock_ms();
    size_t done = 0;
    for (; done < wanted && c->n > 0 && wn_clock_ms() - start < TIME_MAX_MS; done++) {
        const wn_strbuf *file = &c->files[done % c->n];
        if (file->len)
            memcpy(scratch, file->data, file->len);
        run_input(guarded, scratch, mutate(scratch, file->len, c));
    }
    return done;
}

int main(int argc, char **argv)
{
    size_t wanted = argc > 2 ? strtoul(argv[2], NULL, 10) : 2000;
    random_state = argc > 3 ? strtoull(argv[3], NULL, 10) | 1 : 20260727;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *guarded =
        mmap(NULL, INPUT_MAX + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint8_t *scratch = wn_alloc(INPUT_MAX, 1);
    if (argc < 2 || guarded == MAP_FAILED || !scratch ||
        mprotect(guarded + INPUT_MAX, page, PROT_NONE) != 0) {
        fprintf(stderr, "usage: %s CORPUS_DIR [N_MUTATIONS [SEED]]\n", argv[0]);
        return 2;
    }
    corpus c = {0};
    wn_error err = {0};
    if (wn_fs_walk(argv[1], add_file, &c, &err) != WN_OK || c.n == 0) {
        fprintf(stderr, "%s: no corpus: %s\n", argv[1], err.text);
        return 1;
    }
    run_input(guarded, NULL, 0);
    for (size_t i = 0; i < c.n; i++)
        run_input(guarded, (const uint8_t *)wn_strbuf_cstr(&c.files[i]), c.files[i].len);
    size_t done = run_mutations(&c, guarded, scratch, wanted);
    printf("%zu files and %zu of %zu mutations ran\n", c.n, done, wanted);
    for (size_t i = 0; i < c.n; i++)
        wn_strbuf_free(&c.files[i]);
    free(c.files);
    free(scratch);
    munmap(guarded, INPUT_MAX + page);
    return 0;
}
