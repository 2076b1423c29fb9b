/* One message of each type, with the values of tests/protocol/golden.py. */
#ifndef SLUICE_TESTS_UNIT_MESSAGE_SAMPLES_H
#define SLUICE_TESTS_UNIT_MESSAGE_SAMPLES_H

#include "common/messages.h"

#define S 0x100000002u
#define N 0x200000003u
#define T(text)                                                                                              \
    { (text), sizeof(text) - 1 }

static const msg_held_t sample_held[] = {{S, N, 3, PHASE_STARTED}, {S, N + 1, 1, PHASE_UNSTARTED}};
static const uint64_t sample_nums[] = {N, 7};

static const msg_t samples[] = {
    {.type = MSG_HELLO,
     .hello = {ROLE_EXECUTOR,
               0x0102030405060708,
               300,
               T("exec-1"),
               T("2.0.0"),
               4242,
               T("host-1"),
               10,
               1,
               0,
               {2, sample_held}}},
    {.type = MSG_WELCOME,
     .welcome = {1, S, 1000, 5000, T("ipc:///run/sluice/worker-1"), T("a1"), 9, {2, sample_nums}}},
    {.type = MSG_HEARTBEAT, .heartbeat = {S, 128, {1, sample_nums}}},
    {.type = MSG_BYE, .bye = {S}},
    {.type = MSG_CONFIG, .config = {S, 2, 1, 0, 50, 1, 250}},
    {.type = MSG_DRAIN, .drain = {0, 1}},
    {.type = MSG_WANT, .want = {S, 5, CREDIT_FETCH}},
    {.type = MSG_GRANT, .grant = {S, 5, 0x100000009, CREDIT_UPLOAD, 4000, 20}},
    {.type = MSG_RENEW, .renew = {S, 6, 9, 3}},
    {.type = MSG_REVOKE, .revoke = {S, 9, REVOKE_WANTED}},
    {.type = MSG_RELEASE, .release = {S, 9, 4}},
    {.type = MSG_REPORT, .report = {S, 9, CALL_PUT_RESULT, OUTCOME_SERVER, 503, -1, 70000, T("HTTP 503")}},
    {.type = MSG_ACCEPTED, .accepted = {77, 8, VERDICT_NEW, N}},
    {.type = MSG_CLAIM, .ref = {S, N, 4}},
    {.type = MSG_CLAIMED, .ref = {S, N, 4}},
    {.type = MSG_DENIED, .denied = {S, N, 4, DENIED_OTHER}},
    {.type = MSG_RETURN, .give_back = {S, N, 4, 1}},
    {.type = MSG_STORED, .ref = {S, N, 4}},
    {.type = MSG_UPLOADED,
     .uploaded = {S, N, 4, 9, CALL_PUT_RESULT, OUTCOME_SERVER, 503, -1, 70000, T("HTTP 503")}},
    {.type = MSG_GONE, .ref = {S, N, 4}},
    {.type = MSG_STATUS, .status = {2}},
    {.type = MSG_STATUS_REPLY, .status = {2}},
    {.type = MSG_ERROR, .error = {MSG_ERR_SESSION, MSG_CLAIM, T("no such session")}},
    {.type = MSG_FIND, .find = {2, ORDER_BY_NUMBER, T("8589934595")}},
    {.type = MSG_LIST, .list = {2, N, 100}},
    {.type = MSG_FOUND, .status = {2}},
    {.type = MSG_ORDER, .order = {2, ORDER_DROP, ORDER_BY_EITHER, T("t-1"), 7}},
    {.type = MSG_ORDERED, .ordered = {2, ORDERED_NOT_BURIED, 3, N}},
    {.type = MSG_FETCHED,
     .fetched = {77, 8, 9, T("t-1"), TASK_IDEMPOTENT, T("GET"), T("tool.example"), 1700000300000,
                 1700000000000, T(""), T("")}},
    {.type = MSG_TASK,
     .task = {S, N, 4, STAGE_EXECUTE, TASK_IDEMPOTENT, -5, 2, 6, T("t-1"), CALL_PUT_RESULT}},
    {.type = MSG_RESULT,
     .result = {S, N, 4, 11, RESULT_AGENT, 200, 1234, 512000, -1, 1200, 5, T("cut short")}},
    {.type = MSG_CHUNK, .chunk = {S, N, 4, 11, 262144, 1}},
    {.type = MSG_EVENT, .event = {3, 1700000000001, 200, N, T("task=t-1")}},
    {.type = MSG_BODY, .body = {S, N, 4, 11, 0, 1}},
    {.type = MSG_CREDIT, .credit = {S, 11, 2097152}},
    {.type = MSG_ABORT, .abort = {S, 11, 3}},
};
#define SAMPLES (sizeof samples / sizeof samples[0])

#undef S
#undef N
#undef T

#endif
