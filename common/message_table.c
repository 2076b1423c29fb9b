#include "common/message_table.h"

#define MIB      ((size_t)1024 * 1024)
#define AT(path) offsetof(msg_t, path)
#define U8(n, p)                                                                                             \
    { n, KIND_U8, AT(p), 0, UINT8_MAX }
#define U8R(n, p, a, b)                                                                                      \
    { n, KIND_U8, AT(p), a, b }
#define U16(n, p)                                                                                            \
    { n, KIND_U16, AT(p), 0, UINT16_MAX }
#define U16R(n, p, a, b)                                                                                     \
    { n, KIND_U16, AT(p), a, b }
#define U32(n, p)                                                                                            \
    { n, KIND_U32, AT(p), 0, UINT32_MAX }
#define U64(n, p)                                                                                            \
    { n, KIND_U64, AT(p), 0, UINT64_MAX }
#define U64R(n, p, a, b)                                                                                     \
    { n, KIND_U64, AT(p), a, b }
#define I64(n, p)                                                                                            \
    { n, KIND_I64, AT(p), 0, 0 }
#define STR(n, p, m)                                                                                         \
    { n, KIND_STR, AT(p), 0, m }
#define HELD(n, p)                                                                                           \
    { n, KIND_HELD, AT(p), 0, MSG_HELD_MAX }
#define NUMS(n, p)                                                                                           \
    { n, KIND_NUMS, AT(p), 0, MSG_HELD_MAX }

static const field_t hello[] = {U8R("role", hello.role, 1, 4),
                                U64("instance", hello.instance),
                                U64("place", hello.place),
                                STR("name", hello.name, 64),
                                STR("program_version", hello.program_version, 32),
                                U32("pid", hello.pid),
                                STR("host", hello.host, 64),
                                U16R("slots", hello.slots, 0, 1000),
                                U64("seq", hello.seq),
                                U64("credit", hello.credit),
                                HELD("held", hello.held)};
static const field_t welcome[] = {U64("seq", welcome.seq),
                                  U64("session", welcome.session),
                                  U32("heartbeat_ms", welcome.heartbeat_ms),
                                  U32("lost_ms", welcome.lost_ms),
                                  STR("endpoint", welcome.endpoint, 255),
                                  STR("agent_id", welcome.agent_id, 64),
                                  U64("credit", welcome.credit),
                                  NUMS("drop", welcome.drop)};
static const field_t heartbeat[] = {U64("session", heartbeat.session), U64("seq", heartbeat.seq),
                                    NUMS("held", heartbeat.held)};
static const field_t bye[] = {U64("session", bye.session)};
static const field_t config[] = {U64("session", config.session),
                                 U64("generation", config.generation),
                                 U8R("debug", config.debug, 0, 1),
                                 U8R("verify", config.verify, 0, 1),
                                 U16R("pool_size", config.pool_size, 0, 1000),
                                 U8R("upload_to_ac", config.upload_to_ac, 0, 1),
                                 U32("rate_per_min", config.rate_per_min)};
static const field_t drain[] = {U64("session", drain.session), U8R("mode", drain.mode, 0, 1)};
static const field_t want[] = {U64("session", want.session), U64("seq", want.seq),
                               U8R("stage", want.stage, 1, 2)};
static const field_t grant[] = {U64("session", grant.session), U64("seq", grant.seq),
                                U64("credit", grant.credit),   U8R("stage", grant.stage, 1, 2),
                                U32("ttl_ms", grant.ttl_ms),   U16R("budget", grant.budget, 1, UINT16_MAX)};
static const field_t renew[] = {U64("session", renew.session), U64("seq", renew.seq),
                                U64("credit", renew.credit), U16("used", renew.used)};
static const field_t revoke[] = {U64("session", revoke.session), U64("credit", revoke.credit),
                                 U8R("reason", revoke.reason, 1, 4)};
static const field_t release[] = {U64("session", release.session), U64("credit", release.credit),
                                  U16("used", release.used)};
static const field_t report[] = {
    U64("session", report.session),         U64("credit", report.credit),
    U8R("call", report.call, 1, 6),         U8R("outcome", report.outcome, 1, 12),
    U16("http_status", report.http_status), I64("retry_after_ms", report.retry_after_ms),
    U32("elapsed_ms", report.elapsed_ms),   STR("reason", report.reason, 200)};
static const field_t accepted[] = {U64("instance", accepted.instance), U64("seq", accepted.seq),
                                   U8R("verdict", accepted.verdict, 1, 3), U64("number", accepted.number)};
static const field_t ref[] = {U64("session", ref.session), U64("number", ref.number),
                              U32("attempt", ref.attempt)};
static const field_t denied[] = {U64("session", denied.session), U64("number", denied.number),
                                 U32("attempt", denied.attempt), U8R("reason", denied.reason, 1, 5)};
static const field_t give_back[] = {U64("session", give_back.session), U64("number", give_back.number),
                                    U32("attempt", give_back.attempt),
                                    U8R("started", give_back.started, 0, 1)};
static const field_t uploaded[] = {
    U64("session", uploaded.session),         U64("number", uploaded.number),
    U32("attempt", uploaded.attempt),         U64("credit", uploaded.credit),
    U8R("call", uploaded.call, 1, 6),         U8R("outcome", uploaded.outcome, 1, 12),
    U16("http_status", uploaded.http_status), I64("retry_after_ms", uploaded.retry_after_ms),
    U32("elapsed_ms", uploaded.elapsed_ms),   STR("reason", uploaded.reason, 200)};
static const field_t status[] = {U64("seq", status.seq)};
static const field_t find[] = {U64("seq", find.seq), U8R("by", find.by, 0, 1),
                               STR("task", find.task, MSG_TASK_ID_MAX)};
static const field_t list[] = {U64("seq", list.seq), U64("after", list.after),
                               U16R("max", list.max, 1, MSG_LIST_MAX)};
static const field_t order[] = {U64("seq", order.seq), U8R("action", order.action, 1, 2),
                                U8R("by", order.by, 0, 2), STR("task", order.task, MSG_TASK_ID_MAX),
                                U64("after", order.after)};
static const field_t ordered[] = {U64("seq", ordered.seq), U8R("verdict", ordered.verdict, 1, 4),
                                  U32("count", ordered.count), U64("number", ordered.number)};
static const field_t error[] = {U16("code", error.code), U8("type", error.type),
                                STR("text", error.text, 200)};
static const field_t fetched[] = {
    U64("instance", fetched.instance),     U64("seq", fetched.seq),
    U64("credit", fetched.credit),         STR("task_id", fetched.task_id, MSG_TASK_ID_MAX),
    U16("flags", fetched.flags),           STR("method", fetched.method, 32),
    STR("host", fetched.host, 255),        I64("expiry_ms", fetched.expiry_ms),
    I64("fetched_ms", fetched.fetched_ms), STR("config", fetched.config, 1024),
    STR("error", fetched.error, 500)};
static const field_t task[] = {U64("session", task.session),
                               U64("number", task.number),
                               U32("attempt", task.attempt),
                               U8R("stage", task.stage, 1, 2),
                               U16("flags", task.flags),
                               I64("remaining_ms", task.remaining_ms),
                               U64("generation", task.generation),
                               U32("tries", task.tries),
                               STR("task_id", task.task_id, MSG_TASK_ID_MAX),
                               U8R("call", task.call, 1, 6)};
static const field_t result[] = {
    U64("session", result.session),       U64("number", result.number),
    U32("attempt", result.attempt),       U64("stream", result.stream),
    U16("flags", result.flags),           U16("http_status", result.http_status),
    U32("tool_ms", result.tool_ms),       U64("body_bytes", result.body_bytes),
    I64("connect_ms", result.connect_ms), I64("first_byte_ms", result.first_byte_ms),
    U32("ended_ms", result.ended_ms),     STR("reason", result.reason, MSG_WHY_MAX)};
static const field_t chunk[] = {U64("session", chunk.session), U64("number", chunk.number),
                                U32("attempt", chunk.attempt), U64("stream", chunk.stream),
                                U64("offset", chunk.offset),   U8R("last", chunk.last, 0, 1)};
static const field_t event[] = {U64("seq", event.seq), I64("at_ms", event.at_ms), U8("kind", event.kind),
                                U64("number", event.number), STR("text", event.text, 500)};
static const field_t body[] = {U64("session", body.session),
                               U64("number", body.number),
                               U32("attempt", body.attempt),
                               U64("stream", body.stream),
                               U64R("length", body.length, 0, MSG_BODY_MAX),
                               U8R("kind", body.kind, 1, 2)};
static const field_t credit[] = {U64("session", credit.session), U64("stream", credit.stream),
                                 U64("upto", credit.upto)};
static const field_t abort_fields[] = {U64("session", abort.session), U64("stream", abort.stream),
                                       U8R("reason", abort.reason, 1, 4)};

#define LAYOUT(type, fields, payload)                                                                        \
    [type] = {type, #type, payload, sizeof(fields) / sizeof(fields[0]), fields}

static const layout_t layouts[] = {
    LAYOUT(MSG_HELLO, hello, 0),
    LAYOUT(MSG_WELCOME, welcome, 0),
    LAYOUT(MSG_HEARTBEAT, heartbeat, 0),
    LAYOUT(MSG_BYE, bye, 0),
    LAYOUT(MSG_CONFIG, config, 0),
    LAYOUT(MSG_DRAIN, drain, 0),
    LAYOUT(MSG_WANT, want, 0),
    LAYOUT(MSG_GRANT, grant, 0),
    LAYOUT(MSG_RENEW, renew, 0),
    LAYOUT(MSG_REVOKE, revoke, 0),
    LAYOUT(MSG_RELEASE, release, 0),
    LAYOUT(MSG_REPORT, report, 0),
    LAYOUT(MSG_ACCEPTED, accepted, 0),
    LAYOUT(MSG_CLAIM, ref, 0),
    LAYOUT(MSG_CLAIMED, ref, 0),
    LAYOUT(MSG_DENIED, denied, 0),
    LAYOUT(MSG_RETURN, give_back, 0),
    LAYOUT(MSG_STORED, ref, 0),
    LAYOUT(MSG_UPLOADED, uploaded, 0),
    LAYOUT(MSG_GONE, ref, 0),
    LAYOUT(MSG_STATUS, status, 0),
    LAYOUT(MSG_STATUS_REPLY, status, 16 * MIB),
    LAYOUT(MSG_ERROR, error, 0),
    LAYOUT(MSG_FIND, find, 0),
    LAYOUT(MSG_LIST, list, 0),
    LAYOUT(MSG_FOUND, status, 16 * MIB),
    LAYOUT(MSG_ORDER, order, 0),
    LAYOUT(MSG_ORDERED, ordered, 0),
    LAYOUT(MSG_FETCHED, fetched, 64 * MIB),
    LAYOUT(MSG_TASK, task, 96 * MIB),
    LAYOUT(MSG_RESULT, result, 96 * MIB),
    LAYOUT(MSG_CHUNK, chunk, MSG_CHUNK_MAX),
    LAYOUT(MSG_EVENT, event, 0),
    LAYOUT(MSG_BODY, body, 0),
    LAYOUT(MSG_CREDIT, credit, 0),
    LAYOUT(MSG_ABORT, abort_fields, 0),
};

const layout_t *layout_of(unsigned type) {
    bool known = type < sizeof layouts / sizeof layouts[0] && layouts[type].name;
    return known ? &layouts[type] : NULL;
}
