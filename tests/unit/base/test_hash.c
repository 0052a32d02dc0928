/* SHA-256, HMAC and GMAC against published vectors (FIPS 180-4 examples, RFC 4231, NIST's
 * gcmEncryptExtIV256 with an empty plaintext). */
#include "tests/alloc_failure.h"

#include "base/fs.h"
#include "base/hash.h"

static const char *hex_of(const uint8_t digest[WN_SHA256_BYTES])
{
    static char hex[WN_SHA256_HEX];
    wn_hex(digest, WN_SHA256_BYTES, hex);
    return hex;
}

static const struct {
    const char *text, *hex;
} vectors[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
};

static void test_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        const char *text = vectors[i].text;
        uint8_t digest[WN_SHA256_BYTES];
        WN_ASSERT_OK(wn_sha256_of(text, strlen(text), digest, err));
        assert_string_equal(hex_of(digest), vectors[i].hex);
        for (size_t cut = 0; cut <= strlen(text); cut++) { /* in two pieces, at every border */
            wn_sha256 *h = NULL;
            WN_ASSERT_OK(wn_sha256_open(&h, err));
            WN_ASSERT_OK(wn_sha256_add(h, text, cut, err));
            WN_ASSERT_OK(wn_sha256_add(h, text + cut, strlen(text) - cut, err));
            wn_sha256_close(h, digest);
            assert_string_equal(hex_of(digest), vectors[i].hex);
        }
    }
    uint8_t digest[WN_SHA256_BYTES];
    WN_ASSERT_OK(wn_sha256_of(NULL, 0, digest, err));
    assert_string_equal(hex_of(digest), vectors[0].hex);
}

static void test_million(void **state)
{
    (void)state;
    wn_sha256 *h = NULL;
    uint8_t digest[WN_SHA256_BYTES];
    char thousand[1000];
    memset(thousand, 'a', sizeof thousand);
    WN_ASSERT_OK(wn_sha256_open(&h, err));
    for (int i = 0; i < 1000; i++)
        WN_ASSERT_OK(wn_sha256_add(h, thousand, sizeof thousand, err));
    wn_sha256_close(h, digest);
    assert_string_equal(hex_of(digest),
                        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    WN_ASSERT_OK(wn_sha256_open(&h, err));
    wn_sha256_close(h, NULL);
    wn_sha256_close(NULL, NULL);
}

static void test_file(void **state)
{
    (void)state;
    char path[] = "/tmp/winnow-test-hash-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    uint8_t digest[WN_SHA256_BYTES], whole[WN_SHA256_BYTES];
    WN_ASSERT_OK(wn_sha256_of_file(path, digest, err));
    assert_string_equal(hex_of(digest), vectors[0].hex);
    size_t size = 200003;
    char *data = wn_alloc(size, 1);
    for (size_t i = 0; i < size; i++)
        data[i] = (char)(i * 31);
    WN_ASSERT_OK(wn_fs_write_atomic(path, data, size, err));
    WN_ASSERT_OK(wn_sha256_of_file(path, digest, err));
    WN_ASSERT_OK(wn_sha256_of(data, size, whole, err));
    assert_memory_equal(digest, whole, WN_SHA256_BYTES);
    free(data);
    unlink(path);
    assert_int_equal(wn_sha256_of_file(path, digest, NULL), WN_NOT_FOUND);
    assert_int_equal(wn_sha256_of_file("/tmp", digest, NULL), WN_IO);
    assert_memory_equal(digest, whole, WN_SHA256_BYTES); /* untouched on failure */
}

static void test_hmac(void **state)
{
    (void)state;
    uint8_t key[131], mac[WN_SHA256_BYTES];
    memset(key, 0x0b, 20);
    WN_ASSERT_OK(wn_hmac_sha256(key, 20, "Hi There", 8, mac, err));
    assert_string_equal(hex_of(mac),
                        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    WN_ASSERT_OK(wn_hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, mac, err));
    assert_string_equal(hex_of(mac),
                        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof key);
    WN_ASSERT_OK(wn_hmac_sha256(
        key, sizeof key, "Test Using Larger Than Block-Size Key - Hash Key First", 54, mac, err));
    assert_string_equal(hex_of(mac),
                        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void from_hex(const char *hex, uint8_t *out)
{
    for (; hex[0] && hex[1]; hex += 2, out++) {
        const char byte[] = {hex[0], hex[1], '\0'};
        *out = (uint8_t)strtoul(byte, NULL, 16);
    }
}

typedef struct gmac_case {
    uint8_t key[WN_GMAC_KEY_BYTES], nonce[WN_GMAC_NONCE_BYTES];
    const uint8_t *text;
    size_t len;
} gmac_case;

/* In two pieces; whether the tag is this one. */
static bool has_tag(const gmac_case *c, size_t cut, const char *hex)
{
    wn_gmac *g = NULL;
    uint8_t tag[WN_GMAC_BYTES], expected[WN_GMAC_BYTES];
    from_hex(hex, expected);
    WN_ASSERT_OK(wn_gmac_open(&g, c->key, c->nonce, err));
    WN_ASSERT_OK(wn_gmac_add(g, c->text, cut, err));
    WN_ASSERT_OK(wn_gmac_add(g, c->text + cut, c->len - cut, err));
    WN_ASSERT_OK(wn_gmac_tag(g, tag, err));
    wn_gmac_close(g);
    return memcmp(tag, expected, sizeof tag) == 0;
}

/* The first tag is NIST's, the others OpenSSL's. */
static void test_gmac(void **state)
{
    (void)state;
    uint8_t published[16], text[100];
    gmac_case c = {.text = published, .len = sizeof published};
    from_hex("78dc4e0aaf52d935c3c01eea57428f00ca1fd475f5da86a49c8dd73d68c8e223", c.key);
    from_hex("d79cf22d504cc793c3fb6c8a", c.nonce);
    from_hex("b96baa8c1c75a671bfb2d08d06be5f36", published);
    assert_true(has_tag(&c, 16, "3e5d486aa2e30b22e040b85723a06e76"));
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (uint8_t)(i * 7);
    c.text = text;
    c.len = 0;
    assert_true(has_tag(&c, 0, "d2cd4e348970b211c5f1276aaa76e2e1"));
    c.len = 1;
    assert_true(has_tag(&c, 0, "515594bf1170bcda26717e1931876961"));
    c.len = sizeof text;
    for (size_t cut = 0; cut <= sizeof text; cut++)
        assert_true(has_tag(&c, cut, "116347fb5821594e70f763e3b32f4e02"));
    for (size_t i = 0; i < sizeof text * 8; i++) { /* each single bit counts */
        text[i / 8] ^= (uint8_t)(1u << i % 8);
        assert_false(has_tag(&c, i % sizeof text, "116347fb5821594e70f763e3b32f4e02"));
        text[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    c.nonce[11]++;
    assert_false(has_tag(&c, 50, "116347fb5821594e70f763e3b32f4e02"));
    wn_gmac_close(NULL);
}

static void test_compare_and_hex(void **state)
{
    (void)state;
    uint8_t a[40], b[40];
    for (size_t i = 0; i < sizeof a; i++)
        a[i] = b[i] = (uint8_t)(i * 7);
    assert_true(wn_equal_constant_time(a, b, sizeof a));
    assert_true(wn_equal_constant_time(NULL, NULL, 0));
    for (size_t i = 0; i < sizeof a * 8; i++) { /* each single bit counts */
        b[i / 8] ^= (uint8_t)(1u << i % 8);
        assert_false(wn_equal_constant_time(a, b, sizeof a));
        b[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    char hex[9];
    wn_hex((const uint8_t[]){0x00, 0x0f, 0xa5, 0xff}, 4, hex);
    assert_string_equal(hex, "000fa5ff");
    wn_hex(NULL, 0, hex);
    assert_string_equal(hex, "");
}

static void test_random(void **state)
{
    (void)state;
    uint8_t a[32] = {0}, b[32] = {0}, zero[32] = {0};
    WN_ASSERT_OK(wn_random_bytes(a, sizeof a, err));
    WN_ASSERT_OK(wn_random_bytes(b, sizeof b, err));
    assert_memory_not_equal(a, b, sizeof a);
    assert_memory_not_equal(a, zero, sizeof a);
}

static wn_status hash_once(void *ctx, wn_error *err)
{
    (void)ctx;
    uint8_t digest[WN_SHA256_BYTES] = {0};
    wn_gmac *g = NULL;
    WN_TRY(wn_gmac_open(&g, digest, digest, err));
    wn_gmac_close(g);
    return wn_sha256_of_file("/etc/passwd", digest, err);
}

static void test_each_alloc_fails(void **state)
{
    (void)state;
    wn_test_each_alloc_fails(hash_once, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors), cmocka_unit_test(test_million),
        cmocka_unit_test(test_file),    cmocka_unit_test(test_hmac),
        cmocka_unit_test(test_gmac),    cmocka_unit_test(test_compare_and_hex),
        cmocka_unit_test(test_random),  cmocka_unit_test(test_each_alloc_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
