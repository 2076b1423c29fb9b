/* Keys as words and lists, and what each is good for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/guard.h"
#include "broker/zap.h"
#include "common/err.h"
#include "common/key_list.h"
#include "common/link_wire.h"

#define HEX  "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"
#define HEX2 "10112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"

static void test_words(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool secret;
        const char *why; /* NULL: good */
    } table[] = {
        {"executor:w1:" HEX, false, NULL},
        {"tool:a-b_c.d:" HEX, false, NULL},
        {"broker:b:" HEX ":" HEX, true, NULL},
        {"", false, "ROLE:NAME:PUBLIC"},
        {"executor:w1", false, "ROLE:NAME:PUBLIC"},
        {"executor::" HEX, false, "name"},
        {"executor:a b:" HEX, false, "name"},
        {"executor:../x:" HEX, false, "name"},
        {"executor:.x:" HEX, false, "name"},
        {"executor:w1:" HEX "0", false, "64 hex"},
        {"executor:w1:0011", false, "64 hex"},
        {"executor:w1:g" HEX, false, "64 hex"},
        {"executor:w1:" HEX ":" HEX, false, "64 hex"}, /* a secret does not belong into a public word */
        {"executor:w1:" HEX, true, "not whole"},
        {"executor:w1:" HEX ":00", true, "not whole"},
        {"uploader:w1:" HEX, false, "broker's machine"},
        {"king:w1:" HEX, false, "no role"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        key_pair_t key;
        char why[KEY_WHY_MAX] = "";
        int err = key_read_word(table[i].text, table[i].secret, &key, why);
        if (!table[i].why) {
            char word[KEY_WORD_MAX];
            assert_int_equal(err, 0);
            key_write_word(&key, table[i].secret, word);
            assert_int_equal(strncasecmp(word, table[i].text, KEY_WORD_MAX), 0);
            continue;
        }
        assert_int_equal(err, ERR_INVALID);
        if (!strstr(why, table[i].why)) fail_msg("%s: %s", table[i].text, why);
        assert_null(strstr(why, "aabbcc"));
    }
}

static listed_key_t listed(const char *word) {
    listed_key_t key;
    char why[KEY_WHY_MAX];
    assert_int_equal(key_read_word(word, false, &key.key, why), 0);
    key.id = key_id(key.key.public_key);
    return key;
}

static void test_who_may_connect_where(void **state) {
    (void)state;
    listed_key_t executor = listed("executor:w1:" HEX), tool = listed("tool:t:" HEX2);
    static const struct {
        const char *domain;
        bool executor, tool;
    } table[] = {{"control", true, true},       {"results-in", true, false}, {"events", false, true},
                 {"tasks-in", false, false},    {"worker:", false, false},   {"", false, false},
                 {"worker:" HEX2, false, true}, {"other", false, false}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char domain[ZAP_DOMAIN_MAX];
        snprintf(domain, sizeof domain, "%s", table[i].domain);
        for (char *c = domain; *c; c++)
            if (*c >= 'A' && *c <= 'F') *c = (char)(*c + 32);
        assert_int_equal(zap_judge(&executor, domain) == NULL, table[i].executor);
        assert_int_equal(zap_judge(&tool, domain) == NULL, table[i].tool);
        assert_string_equal(zap_judge(NULL, domain), "unknown key");
    }
}

/* Every message there is, for each kind of key. */
static void test_what_a_key_is_good_for(void **state) {
    (void)state;
    listed_key_t executor = listed("executor:w1:" HEX), tool = listed("tool:t:" HEX2);
    static const msg_type_t for_executors[] = {MSG_HEARTBEAT, MSG_BYE,    MSG_CLAIM, MSG_RETURN,
                                               MSG_BODY,      MSG_RESULT, MSG_CHUNK};
    const session_view_t none = {0, false, 0};
    for (int type = 0; type < 64; type++) {
        msg_t msg = {.type = (msg_type_t)type};
        bool worker = type == MSG_HELLO, asks = type == MSG_STATUS || type == MSG_DRAIN || type == MSG_FIND ||
                                                type == MSG_LIST || type == MSG_ORDER;
        for (size_t i = 0; i < sizeof for_executors / sizeof for_executors[0]; i++)
            worker = worker || type == (int)for_executors[i];
        if (type == MSG_HELLO) msg.hello.role = ROLE_EXECUTOR;
        source_t source = type == MSG_RESULT || type == MSG_CHUNK ? FROM_RESULTS : FROM_CONTROL;
        assert_int_equal(guard_judge(&executor, source, &msg, none) == NULL, worker);
        assert_int_equal(guard_judge(&tool, source, &msg, none) == NULL, asks);
        assert_null(guard_judge(NULL, source, &msg, none)); /* this machine's own */
        assert_non_null(guard_judge(&executor, FROM_TASKS, &msg, none));
    }
    for (role_t role = ROLE_FETCHER; role <= ROLE_TOOL; role++) {
        msg_t hello = {.type = MSG_HELLO, .hello = {.role = (uint8_t)role}};
        assert_int_equal(guard_judge(&executor, FROM_CONTROL, &hello, none) == NULL, role == ROLE_EXECUTOR);
    }
    msg_t drain = {.type = MSG_DRAIN, .drain = {.session = 5, .mode = 1}};
    assert_non_null(guard_judge(&tool, FROM_CONTROL, &drain, none));
    assert_null(guard_judge(&executor, FROM_CONTROL, &drain, none)); /* its own, by which no one pauses */
}

static void test_a_session_belongs_to_its_key(void **state) {
    (void)state;
    listed_key_t executor = listed("executor:w1:" HEX);
    msg_t result = {.type = MSG_RESULT, .result = {.session = 7}};
    assert_int_equal(guard_session_of(&result), 7);
    const struct {
        session_view_t session;
        bool ours, local;
    } table[] = {{{7, true, executor.id}, true, false},
                 {{7, true, 0}, false, true},
                 {{7, true, executor.id + 1}, false, false},
                 {{7, false, 0}, true, true}}; /* over: the core answers */
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        assert_int_equal(guard_judge(&executor, FROM_RESULTS, &result, table[i].session) == NULL,
                         table[i].ours);
        assert_int_equal(guard_judge(NULL, FROM_RESULTS, &result, table[i].session) == NULL, table[i].local);
    }
}

static unsigned revoked_count;

/* Who may use the directory of the sockets and is another user is an executor. */
static void test_other_users(void **state) {
    (void)state;
    static const struct {
        const char *address;
        bool known;
        uint32_t uid;
    } table[] = {{"host:1001:5:77", true, 1001}, {":0:0:1", true, 0}, {"a:b:65534:1:2", true, 65534},
                 {"localhost", false, 0},        {"1:2", false, 0},   {"h:x:1:2", false, 0},
                 {"h:4294967296:1:2", false, 0}, {"", false, 0},      {NULL, false, 0}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        uint32_t uid = 0;
        assert_int_equal(sockets_uid(table[i].address, &uid), table[i].known);
        assert_int_equal(uid, table[i].uid);
    }
    static const char *const tcp[] = {"10.0.0.1", "::1", "fe80::1:2:3:4%eth0"}, *const local[] = {
                                                                                    "host:1001:5:77",
                                                                                    ":0:0:1", "localhost", "",
                                                                                    NULL};
    for (size_t i = 0; i < sizeof tcp / sizeof tcp[0]; i++)
        assert_true(sockets_address(tcp[i]));
    for (size_t i = 0; i < sizeof local / sizeof local[0]; i++)
        assert_false(sockets_address(local[i]));
    listed_key_t user = guard_user(1001), key = listed("executor:w1:" HEX);
    assert_true(guard_is_user(user.id));
    assert_false(guard_is_user(key.id) || guard_is_user(0));
    assert_int_not_equal(user.id, guard_user(1002).id);
    msg_t status = {.type = MSG_STATUS}, claim = {.type = MSG_CLAIM};
    const session_view_t ours = {7, true, user.id}, others = {8, true, 0};
    assert_non_null(guard_judge(&user, FROM_CONTROL, &status, (session_view_t){0, false, 0}));
    assert_null(guard_judge(&user, FROM_CONTROL, &claim, ours));
    assert_non_null(guard_judge(&user, FROM_CONTROL, &claim, others));
}

static void test_plain_links_stay_here(void **state) {
    (void)state;
    static const char *const here[] = {"tcp://127.0.0.1:5670", "tcp://127.9.9.9:1", "tcp://localhost:1",
                                       "tcp://[::1]:5670"},
                             *const elsewhere[] = {"tcp://127.example:5670", "tcp://127.0.0.1.example:1",
                                                   "tcp://0.0.0.0:1", "tcp://[::]:1", "tcp://host:1"};
    for (size_t i = 0; i < sizeof here / sizeof here[0]; i++)
        assert_null(wire_base_fault(here[i], false));
    for (size_t i = 0; i < sizeof elsewhere / sizeof elsewhere[0]; i++) {
        assert_non_null(wire_base_fault(elsewhere[i], false));
        assert_null(wire_base_fault(elsewhere[i], true));
    }
}

static void on_revoked(void *ctx, const listed_key_t *key) {
    (void)ctx;
    assert_string_equal(key->key.name, "w1");
    revoked_count++;
}

static void test_list(void **state) {
    (void)state;
    char dir[] = "/tmp/sluice-keys.XXXXXX", why[KEY_WHY_MAX], path[64];
    assert_non_null(mkdtemp(dir));
    listed_key_t first = listed("executor:w1:" HEX), second = listed("tool:t:" HEX2),
                 same = listed("tool:w1:" HEX2);
    key_list_t list;
    assert_int_equal(key_list_read(dir, &list, why), 0); /* none yet */
    assert_int_equal(list.count, 0);
    assert_int_equal(key_list_add(&list, &first.key, why), 0);
    assert_int_equal(key_list_add(&list, &first.key, why), ERR_INVALID);
    assert_int_equal(key_list_add(&list, &same.key, why), ERR_INVALID); /* the name is taken */
    assert_int_equal(key_list_add(&list, &second.key, why), 0);
    assert_int_equal(key_list_write(dir, &list, why), 0);
    keyring_t *ring;
    assert_int_equal(keyring_open(dir, &ring, why), 0);
    assert_int_equal(keyring_count(ring), 2);
    assert_string_equal(keyring_find_hex(ring, HEX)->key.name, "w1");
    assert_string_equal(keyring_find_id(ring, second.id)->key.name, "t");
    key_pair_t removed;
    assert_int_equal(key_list_remove(&list, "nobody", &removed), ERR_NOT_FOUND);
    assert_int_equal(key_list_remove(&list, "w1", &removed), 0);
    assert_int_equal(key_list_write(dir, &list, why), 0);
    key_list_clear(&list);
    assert_int_equal(keyring_reload(ring, NULL, on_revoked, why), 0);
    assert_int_equal(revoked_count, 1);
    assert_null(keyring_find(ring, first.key.public_key));
    snprintf(path, sizeof path, "%s/allowed", dir);
    FILE *file = fopen(path, "a");
    fputs("executor:w9:12\n", file);
    fclose(file);
    assert_int_equal(keyring_reload(ring, NULL, on_revoked, why), ERR_INVALID); /* as a whole or not at all */
    assert_non_null(strstr(why, "line 3"));
    assert_int_equal(keyring_count(ring), 1);
    keyring_close(&ring);
    assert_int_equal(keyring_open(dir, &ring, why), ERR_INVALID);
    assert_int_equal(chmod(path, 0666), 0);
    assert_int_equal(key_list_read(dir, &list, why), ERR_INVALID);
    assert_non_null(strstr(why, "by everybody (mode 0666)"));
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(key_list_read(dir, &list, why), ERR_INVALID); /* at once */
    unlink(path);
    assert_int_equal(key_file_write(dir, "x.key", "one", false, why), 0);
    assert_int_equal(key_file_write(dir, "x.key", "two", false, why),
                     ERR_BUSY); /* a secret is never overwritten */
    snprintf(path, sizeof path, "%s/x.key", dir);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    unlink(path);
    assert_int_equal(rmdir(dir), 0); /* and nothing is left over */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_who_may_connect_where),
        cmocka_unit_test(test_what_a_key_is_good_for),
        cmocka_unit_test(test_a_session_belongs_to_its_key),
        cmocka_unit_test(test_other_users),
        cmocka_unit_test(test_plain_links_stay_here),
        cmocka_unit_test(test_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
