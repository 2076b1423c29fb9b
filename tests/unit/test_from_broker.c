/* The uploader's table of results: which of those that it has claimed is posted next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "uploader/from_broker.h"

static void claim(from_broker_t *results, uint64_t number, uint32_t tries, call_t call) {
    msg_task_t task = {.session = 1,
                       .number = number,
                       .attempt = 1,
                       .stage = STAGE_UPLOAD,
                       .tries = tries,
                       .task_id = str_of("id"),
                       .call = (uint8_t)call};
    zframe_t *payload = zframe_new("{}", 2);
    from_broker_task(results, &task, &payload, 0);
    assert_null(payload);
    msg_t claimed = {.type = MSG_CLAIMED, .ref = {1, number, 1}};
    from_broker_message(results, &claimed, 0);
}

/* Results that AC has failed on many times may be claimed already when one comes that it takes. */
static void test_others_go_before_those_given_up(void **state) {
    (void)state;
    static const struct {
        uint32_t tries;
        call_t call;
    } came[] = {{GIVEN_UP_TRIES, CALL_PUT_RESULT},
                {GIVEN_UP_TRIES + 9, CALL_UPLOAD_RESULT},
                {GIVEN_UP_TRIES - 1, CALL_PUT_RESULT},
                {GIVEN_UP_TRIES, CALL_PUT_RESULT},
                {0, CALL_UPLOAD_RESULT},
                {0, CALL_PUT_RESULT}};
    static const uint64_t all[] = {3, 5, 6, 1, 2, 4}, small[] = {3, 6, 1, 4};
    for (int large = 0; large < 2; large++) {
        from_broker_t *results = from_broker_new(&(from_broker_handler_t){0}, NULL);
        assert_non_null(results);
        for (size_t i = 0; i < sizeof came / sizeof came[0]; i++)
            claim(results, i + 1, came[i].tries, came[i].call);
        size_t count = large ? sizeof all / sizeof all[0] : sizeof small / sizeof small[0];
        assert_int_equal(from_broker_waiting(results, large), count);
        for (size_t i = 0; i < count; i++) {
            result_t *next = from_broker_next(results, large);
            assert_non_null(next);
            assert_int_equal(next->number, large ? all[i] : small[i]);
            next->state = RESULT_POSTING;
        }
        assert_null(from_broker_next(results, large));
        from_broker_destroy(&results);
    }
}

/* Where others come without end it is posted nevertheless, for it has a slot that they could have. */
static void test_those_given_up_have_their_turn(void **state) {
    (void)state;
    from_broker_t *results = from_broker_new(&(from_broker_handler_t){0}, NULL);
    assert_non_null(results);
    claim(results, 1, GIVEN_UP_TRIES, CALL_PUT_RESULT);
    for (uint64_t n = 2; n < (uint64_t)10 * UPLOADER_SLOTS; n++) {
        claim(results, n, 0, CALL_PUT_RESULT);
        uint64_t next = from_broker_next(results, true)->number;
        if (next == 1) {
            assert_in_range(n, UPLOADER_SLOTS, UPLOADER_SLOTS + 2);
            from_broker_destroy(&results);
            return;
        }
        assert_int_equal(next, n);
        from_broker_next(results, true)->state = RESULT_RETURNING;
        msg_t gone = {.type = MSG_GONE, .ref = {1, n, 1}};
        from_broker_message(results, &gone, 0);
    }
    fail();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_others_go_before_those_given_up),
        cmocka_unit_test(test_those_given_up_have_their_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
