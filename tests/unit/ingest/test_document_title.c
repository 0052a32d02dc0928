#include "tests/test_support.h"

#include "ingest/document_title.h"

static void check(const char *title, const char *path, const char *expected)
{
    char *got = NULL;
    WN_ASSERT_OK(wn_document_title(&got, title, path, err));
    assert_string_equal(got, expected);
    free(got);
}

static void test_names_add_what_titles_lack(void **state)
{
    (void)state;
    check("What Is Ownership?", "/a/ch04-01-what-is-ownership.md", "What Is Ownership?");
    check("PDF Example Document", "/a/zen-of-python.pdf", "PDF Example Document (zen of python)");
    check("", "/a/state_of_the_union-1962.txt", "state of the union 1962");
    check("", "README", "README");
    check("", ".hidden", "hidden");
    check("Super Bowl 50", "p00_00.md", "Super Bowl 50");
    check("Report", "/x.y/2024..q3__report.final.pdf", "Report (2024 q3 report final)");
    check("Größe", "größe.html", "Größe");
    check("ÄRGER", "ärger.html", "ÄRGER (ärger)"); /* only ASCII letters are folded */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_names_add_what_titles_lack)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
