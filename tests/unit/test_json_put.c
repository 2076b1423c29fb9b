/* The broker's JSON: whatever octets a text has, the document can be read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <yajl/yajl_tree.h>

#include "broker/json_put.h"

static void test_texts(void **state) {
    (void)state;
    static const struct {
        const char *text, *read;
    } table[] = {{"", ""},
                 {"caf\xc3\xa9 \"x\" \\ \x01", "caf\xc3\xa9 \"x\" \\ \x01"},
                 {"cut \xc3", "cut ?"}, /* in a character */
                 {"\xff\xfe\xed\xa0\x80 x", "????? x"}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char why[128], json[256];
        yajl_gen g = json_begin();
        assert_non_null(g);
        (void)yajl_gen_map_open(g);
        json_text(g, "a", table[i].text);
        json_str(g, "b", str_of(table[i].text));
        json_text(g, "c", "after it");
        (void)yajl_gen_map_close(g);
        doc_t *doc = json_doc(g);
        assert_non_null(doc);
        assert_true(doc_size(doc) < sizeof json);
        memcpy(json, doc_data(doc), doc_size(doc));
        json[doc_size(doc)] = '\0';
        yajl_val root = yajl_tree_parse(json, why, sizeof why);
        assert_non_null(root);
        assert_int_equal(root->u.object.len, 3);
        assert_string_equal(YAJL_GET_STRING(root->u.object.values[0]), table[i].read);
        assert_string_equal(YAJL_GET_STRING(root->u.object.values[1]), table[i].read);
        yajl_tree_free(root);
        yajl_gen_free(g);
        doc_destroy(&doc);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
