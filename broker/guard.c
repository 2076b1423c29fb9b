#include "broker/guard.h"

#include "broker/broker.h"
#include "common/err.h"
#include "common/log.h"

uint64_t guard_session_of(const msg_t *msg) {
    switch (msg->type) {
    case MSG_RESULT:
        return msg->result.session;
    case MSG_CHUNK:
        return msg->chunk.session;
    default:
        return core_session_of(msg);
    }
}

static const char *judge_executor(source_t source, const msg_t *msg) {
    static const char not_so[] = "an executor's key may not send this";
    if (source == FROM_TASKS) return not_so;
    switch (msg->type) {
    case MSG_HELLO:
        return msg->hello.role == ROLE_EXECUTOR ? NULL
                                                : "the key is for executors, and HELLO is from another role";
    case MSG_HEARTBEAT:
    case MSG_BYE:
    case MSG_CLAIM:
    case MSG_RETURN:
    case MSG_BODY:
    case MSG_RESULT:
    case MSG_CHUNK:
        return NULL;
    case MSG_DRAIN:
        return msg->drain.session != 0 ? NULL : not_so;
    default:
        return not_so;
    }
}

static const char *judge_tool(const msg_t *msg) {
    bool may = msg->type == MSG_STATUS || msg->type == MSG_FIND || msg->type == MSG_LIST ||
               msg->type == MSG_ORDER || (msg->type == MSG_DRAIN && msg->drain.session == 0);
    return may ? NULL : "a tool's key may send STATUS, FIND, LIST, ORDER and DRAIN only";
}

#define USERS 0xffffffff00000000u

listed_key_t guard_user(uint32_t uid) {
    return (listed_key_t){.id = USERS | uid, .key = {.role = KEY_EXECUTOR}};
}

bool guard_is_user(uint64_t key) {
    return (key & USERS) == USERS;
}

const char *guard_judge(const listed_key_t *key, source_t source, const msg_t *msg, session_view_t session) {
    uint64_t id = key ? key->id : 0;
    const char *why = !key                            ? NULL
                      : key->key.role == KEY_EXECUTOR ? judge_executor(source, msg)
                      : key->key.role == KEY_TOOL     ? judge_tool(msg)
                                                      : "the key is for no peer";
    if (!why && session.known && session.key != id) why = "the session was begun under another key";
    return why;
}

/* A peer whose key was revoked is told in a way that ends its session; its HELLO tells it why. */
static void refuse_revoked(broker_t *self, source_t source, received_t *got, const msg_t *msg) {
    msg_err_t code = msg->type == MSG_HELLO ? MSG_ERR_ROLE : MSG_ERR_SESSION;
    broker_refuse(self, source, got, code, (unsigned)msg->type,
                  "the key is not allowed any more; at the broker: sluice key allow");
}

bool broker_admits(broker_t *self, source_t source, received_t *got, const msg_t *msg, uint64_t *key) {
    const listed_key_t user = guard_user(got->uid);
    const listed_key_t *found = got->by_other                ? &user
                                : got->user && self->keyring ? keyring_find_hex(self->keyring, got->user)
                                                             : NULL;
    session_view_t session = {.session = guard_session_of(msg)};
    if (got->user && !found) {
        refuse_revoked(self, source, got, msg);
        return false;
    }
    if (self->keyring || found) session.known = core_session_key(self->core, session.session, &session.key);
    const char *why = got->by_other && got->uid == SOCKETS_NOBODY ? "its user is not known"
                                                                  : guard_judge(found, source, msg, session);
    *key = found ? found->id : 0;
    if (!why) return true;
    if (got->by_other)
        why =
            "another user's processes may be executors only; ask as the user who runs the agent, or as root";
    broker_refuse(self, source, got, MSG_ERR_ROLE, (unsigned)msg->type, why);
    return false;
}

typedef struct {
    broker_t *broker;
    int err;
    bool tool;
} revocation_t;

static void on_revoked(void *ctx, const listed_key_t *key) {
    revocation_t *it = ctx;
    it->tool = it->tool || key->key.role == KEY_TOOL;
    log_warn("key_revoked", "name=%s role=%s", key->key.name, key_role_name(key->key.role));
    if (!it->err)
        it->err = core_step(it->broker->core, &(event_t){.kind = EV_KEY_REVOKED, .key = key->id},
                            broker_now(), it->broker->effects);
}

int broker_reload_keys(broker_t *self) {
    revocation_t it = {self, 0, false};
    char why[KEY_WHY_MAX], quoted[LOG_QUOTED_MAX];
    if (keyring_reload(self->keyring, &it, on_revoked, why) != 0) {
        log_error("keys_unchanged", "why=%s", log_quote(why, quoted));
        return 0;
    }
    log_info("keys_read", "allowed=%zu", keyring_count(self->keyring));
    if (it.tool && sockets_renew_events(self->sockets) != 0) {
        log_error("events_failed", "remark=\"the socket cannot be bound again\"");
        return ERR_IO;
    }
    return it.err;
}
