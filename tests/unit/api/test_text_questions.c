/* The pure parts of asking about a text: where it is cut, and what is a question. */
#include "tests/test_support.h"

#include "api/text_questions.h"

static void test_parts(void **state)
{
    (void)state;
    char text[2000];
    memset(text, 'x', sizeof text);
    assert_int_equal(wn_text_part(text, 900, 600), 900); /* a short rest is not cut off */
    assert_int_equal(wn_text_part(text, 1000, 600), 600);
    text[310] = ' ';
    assert_int_equal(wn_text_part(text, 1000, 600), 311);
    text[400] = text[500] = ' '; /* the last sentence that ends in the part, not the last word */
    text[399] = '.';
    assert_int_equal(wn_text_part(text, 1000, 600), 401);
    text[450] = '\n';
    assert_int_equal(wn_text_part(text, 1000, 600), 451);
    memset(text, 'x', sizeof text);
    for (size_t i = 299; i + 1 < sizeof text; i += 2) /* no space; 600 is inside a character */
        memcpy(text + i, "\xc3\xa9", 2);
    assert_int_equal(wn_text_part(text, 1999, 600), 599);
}

static void test_every_byte_is_in_a_part(void **state)
{
    (void)state;
    char text[5000];
    unsigned seed = 1;
    for (size_t i = 0; i < sizeof text; i++) {
        seed = seed * 1103515245u + 12345u;
        text[i] = " .\nabcdefgh"[seed / 65536u % 11];
    }
    size_t at = 0, n_parts = 0;
    while (at < sizeof text) {
        const size_t n = wn_text_part(text + at, sizeof text - at, 600);
        assert_true(n > 300 && n <= 900 && n <= sizeof text - at);
        at += n;
        n_parts++;
    }
    assert_true(at == sizeof text && n_parts >= 6 && n_parts <= sizeof text / 300);
}

static void test_question_length(void **state)
{
    (void)state;
    assert_int_equal(wn_question_length("Who wrote the book? Why?\n"), 19);
    assert_int_equal(wn_question_length("\xc3\x96sterreich hat wen?"), 20);
    assert_int_equal(wn_question_length("Who wrote the book.\nWho read it then?"), 0);
    assert_int_equal(wn_question_length("Who wrote the book"), 0);
    assert_int_equal(wn_question_length("Why?"), 0);
    assert_int_equal(wn_question_length(""), 0);
    char text[300];
    memset(text, 'x', sizeof text);
    text[199] = '?';
    assert_int_equal(wn_question_length(text), 200);
    text[199] = 'x';
    text[200] = '?';
    assert_int_equal(wn_question_length(text), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_every_byte_is_in_a_part),
        cmocka_unit_test(test_question_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
