/* Metadata filters: what matches, what is refused. */
#include "base/json.h"
#include "base/strbuf.h"
#include "retrieve/metadata_filter.h"
#include "tests/test_support.h"

static const char attributes[] = "{\"year\":2020,\"score\":1.5,\"lang\":\"en\",\"draft\":false,"
                                 "\"date\":\"2024-05-01\"}";

static bool matches(const char *filter, const char *with)
{
    json_t *json = NULL;
    wn_metadata_filter *f = NULL;
    WN_ASSERT_OK(wn_json_parse(&json, filter, strlen(filter), "filter", err));
    WN_ASSERT_OK(wn_metadata_filter_parse(&f, json, err));
    json_decref(json); /* the filter keeps nothing of it */
    bool hit = wn_metadata_filter_match(f, with);
    wn_metadata_filter_free(f);
    return hit;
}

static void comparisons(void **state)
{
    (void)state;
    const struct {
        const char *type, *key, *value;
        bool hit;
    } cases[] = {
        {"eq", "year", "2020", true},
        {"eq", "year", "2020.0", true},
        {"eq", "year", "\"2020\"", false}, /* another type */
        {"eq", "lang", "\"en\"", true},
        {"eq", "draft", "false", true},
        {"eq", "draft", "0", false},
        {"eq", "absent", "1", false},
        {"ne", "year", "2020", false},
        {"ne", "year", "2021", true},
        {"ne", "year", "\"2020\"", true},
        {"ne", "absent", "1", true},
        {"gt", "year", "2019", true},
        {"gt", "year", "2020", false},
        {"gte", "year", "2020", true},
        {"gte", "score", "1.5000001", false},
        {"lt", "score", "2", true},
        {"lt", "score", "1.5", false},
        {"lte", "score", "1.5", true},
        {"lt", "absent", "5", false},
        {"gt", "lang", "5", false},
        {"gte", "date", "\"2024-05-01\"", true},
        {"lt", "date", "\"2024-10\"", true},
        {"in", "lang", "[\"de\",\"en\"]", true},
        {"in", "year", "[2019,2021]", false},
        {"in", "absent", "[1]", false},
        {"nin", "lang", "[\"de\",\"fr\"]", true},
        {"nin", "lang", "[\"en\"]", false},
        {"nin", "absent", "[1]", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[160];
        snprintf(text, sizeof text, "{\"type\":\"%s\",\"key\":\"%s\",\"value\":%s}", cases[i].type,
                 cases[i].key, cases[i].value);
        if (matches(text, attributes) != cases[i].hit)
            fail_msg("%s should %smatch", text, cases[i].hit ? "" : "not ");
    }
    assert_true(matches("{\"type\":\"ne\",\"key\":\"a\",\"value\":1}", "{}"));
    assert_false(matches("{\"type\":\"eq\",\"key\":\"a\",\"value\":1}", "{}"));
    assert_true(matches("{\"type\":\"gt\",\"key\":\"a\",\"value\":9007199254740992}",
                        "{\"a\":9007199254740993}")); /* integers are compared as such */
}

#define EN "{\"type\":\"eq\",\"key\":\"lang\",\"value\":\"en\"}"
#define Y21 "{\"type\":\"eq\",\"key\":\"year\",\"value\":2021}"
#define AND(...) "{\"type\":\"and\",\"filters\":[" __VA_ARGS__ "]}"
#define OR(...) "{\"type\":\"or\",\"filters\":[" __VA_ARGS__ "]}"

static void compounds(void **state)
{
    (void)state;
    assert_true(matches(AND(EN), attributes));
    assert_false(matches(AND(EN "," Y21), attributes));
    assert_true(matches(OR(Y21 "," EN), attributes));
    assert_false(matches(OR(Y21), attributes));
    /* The nodes behind a decided one are walked over, not evaluated in its place. */
    assert_true(matches(AND(OR(EN "," Y21) "," OR(Y21 "," AND(EN "," EN)) "," EN), attributes));
    assert_false(matches(AND(OR(EN "," Y21) "," Y21 "," EN), attributes));
}

static void refuse(const char *filter, const char *text)
{
    json_t *json = NULL;
    wn_metadata_filter *f = NULL;
    wn_error why = {0};
    WN_ASSERT_OK(wn_json_parse(&json, filter, strlen(filter), "filter", err));
    assert_int_equal(wn_metadata_filter_parse(&f, json, &why), WN_INVALID);
    assert_null(f);
    if (!strstr(why.text, text))
        fail_msg("%s: \"%s\" should say \"%s\"", filter, why.text, text);
    json_decref(json);
}

static void nested(wn_strbuf *b, int depth)
{
    for (int i = 1; i < depth; i++)
        wn_strbuf_adds(b, "{\"type\":\"or\",\"filters\":[");
    wn_strbuf_adds(b, EN);
    for (int i = 1; i < depth; i++)
        wn_strbuf_adds(b, "]}");
}

static void malformed(void **state)
{
    (void)state;
    refuse("[]", "object");
    refuse("{}", "type must be");
    refuse("{\"type\":\"like\",\"key\":\"a\",\"value\":1}", "not like");
    refuse("{\"type\":7,\"key\":\"a\",\"value\":1}", "type must be");
    refuse("{\"type\":\"eq\",\"value\":1}", "key");
    refuse("{\"type\":\"eq\",\"key\":\"\",\"value\":1}", "key");
    refuse("{\"type\":\"eq\",\"key\":\"a\"}", "a: value must be");
    refuse("{\"type\":\"eq\",\"key\":\"a\",\"value\":null}", "a: value must be");
    refuse("{\"type\":\"eq\",\"key\":\"a\",\"value\":[1]}", "a: value must be");
    refuse("{\"type\":\"gt\",\"key\":\"a\",\"value\":true}", "booleans");
    refuse("{\"type\":\"in\",\"key\":\"a\",\"value\":1}", "array");
    refuse("{\"type\":\"in\",\"key\":\"a\",\"value\":[]}", "array");
    refuse("{\"type\":\"nin\",\"key\":\"a\",\"value\":[1,{}]}", "value[1]");
    refuse("{\"type\":\"and\"}", "and needs");
    refuse("{\"type\":\"or\",\"filters\":[]}", "or needs");
    refuse("{\"type\":\"or\",\"filters\":[1]}", "object");
    wn_metadata_filter *f = NULL;
    assert_int_equal(wn_metadata_filter_parse(&f, NULL, NULL), WN_INVALID);

    wn_strbuf b = {0};
    nested(&b, 8);
    assert_true(matches(wn_strbuf_cstr(&b), attributes));
    wn_strbuf_clear(&b);
    nested(&b, 9);
    refuse(wn_strbuf_cstr(&b), "8 levels");
    for (int n = 63; n <= 64; n++) { /* with the `or` itself 64 and 65 nodes */
        wn_strbuf_clear(&b);
        wn_strbuf_adds(&b, "{\"type\":\"or\",\"filters\":[");
        for (int i = 0; i < n; i++)
            wn_strbuf_printf(&b, "%s%s", i ? "," : "", EN);
        wn_strbuf_adds(&b, "]}");
        if (n == 63)
            assert_true(matches(wn_strbuf_cstr(&b), attributes));
        else
            refuse(wn_strbuf_cstr(&b), "64 conditions");
    }
    wn_strbuf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(comparisons), cmocka_unit_test(compounds),
                                       cmocka_unit_test(malformed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
