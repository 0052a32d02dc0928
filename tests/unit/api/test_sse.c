#include <pthread.h>

#include "api/sse.h"
#include "tests/test_support.h"

static const char *read_all(wn_sse_stream *s, char *buf, size_t cap)
{
    size_t len = 0;
    for (size_t n; (n = wn_sse_read(s, buf + len, cap - len - 1, 60000)) > 0;)
        len += n;
    buf[len] = '\0';
    return buf;
}

static void events_as_text(void **state)
{
    (void)state;
    char buf[256];
    wn_sse_stream *s = NULL;
    WN_ASSERT_OK(wn_sse_open(&s, 1000, err));
    assert_int_equal(wn_sse_send(s, "token", "{\"text\":\"a\"}"), WN_OK);
    assert_int_equal(wn_sse_send(s, NULL, "[DONE]"), WN_OK);
    assert_int_equal(wn_sse_send(s, "x", "one\ntwo\r\nthree\r"), WN_OK);
    wn_sse_end(s);
    assert_int_equal(wn_sse_send(s, "late", "x"), WN_CANCELLED);
    assert_string_equal(read_all(s, buf, sizeof buf),
                        "event: token\ndata: {\"text\":\"a\"}\n\n"
                        "data: [DONE]\n\n"
                        "event: x\ndata: one\ndata: two\ndata: three\ndata: \n\n");
    wn_sse_release(s);
}

static void small_reads_lose_nothing(void **state)
{
    (void)state;
    char all[64] = "", one[2] = "";
    wn_sse_stream *s = NULL;
    WN_ASSERT_OK(wn_sse_open(&s, 1000, err));
    assert_int_equal(wn_sse_send(s, NULL, "ab"), WN_OK);
    assert_int_equal(wn_sse_read(s, all, 3, 60000), 3);
    assert_int_equal(wn_sse_send(s, NULL, "cd"), WN_OK); /* moves what is unread */
    wn_sse_end(s);
    for (size_t len = 3; wn_sse_read(s, one, 1, 60000) == 1; len++)
        all[len] = one[0];
    assert_string_equal(all, "data: ab\n\ndata: cd\n\n");
    wn_sse_release(s);
}

static void silence_makes_pings(void **state)
{
    (void)state;
    char buf[64] = "";
    wn_sse_stream *s = NULL;
    WN_ASSERT_OK(wn_sse_open(&s, 1000, err));
    assert_int_equal(wn_sse_read(s, buf, sizeof buf, 1), 8);
    assert_string_equal(buf, ": ping\n\n");
    wn_sse_release(s);
}

static void lagging_reader_is_cut(void **state)
{
    (void)state;
    char buf[64];
    wn_sse_stream *s = NULL;
    WN_ASSERT_OK(wn_sse_open(&s, 40, err));
    assert_int_equal(wn_sse_send(s, NULL, "0123456789"), WN_OK);
    assert_int_equal(wn_sse_send(s, NULL, "0123456789"), WN_OK);
    assert_int_equal(wn_sse_send(s, NULL, "0123456789"), WN_LIMIT);
    assert_int_equal(wn_sse_send(s, NULL, "x"), WN_CANCELLED);
    assert_int_equal(wn_sse_read(s, buf, sizeof buf, 60000), 0);
    wn_sse_release(s);
}

static void abandoned_stream_stops_its_maker(void **state)
{
    (void)state;
    wn_sse_stream *s = NULL;
    WN_ASSERT_OK(wn_sse_open(&s, 1000, err));
    wn_sse_retain(s);
    wn_sse_abandon(s);
    wn_sse_release(s);
    assert_int_equal(wn_sse_send(s, NULL, "x"), WN_CANCELLED);
    assert_true(wn_sse_ended(s));
    wn_sse_release(s);
}

#define MANY 2000

static void *send_many(void *arg)
{
    for (int i = 0; i < MANY; i++)
        if (wn_sse_send(arg, NULL, "0123456789") != WN_OK)
            return arg;
    wn_sse_end(arg);
    return NULL;
}

static void threads_pass_everything(void **state)
{
    (void)state;
    char buf[300];
    size_t total = 0;
    pthread_t maker;
    void *failed = NULL;
    wn_sse_stream *s = NULL;
    WN_ASSERT_OK(wn_sse_open(&s, 1 << 20, err));
    assert_int_equal(pthread_create(&maker, NULL, send_many, s), 0);
    for (size_t n; (n = wn_sse_read(s, buf, sizeof buf, 60000)) > 0;)
        total += n;
    pthread_join(maker, &failed);
    assert_null(failed);
    assert_int_equal(total, MANY * strlen("data: 0123456789\n\n"));
    wn_sse_release(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(events_as_text),
                                       cmocka_unit_test(small_reads_lose_nothing),
                                       cmocka_unit_test(silence_makes_pings),
                                       cmocka_unit_test(lagging_reader_is_cut),
                                       cmocka_unit_test(abandoned_stream_stops_its_maker),
                                       cmocka_unit_test(threads_pass_everything)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
