/* What a connection may bring, by its key: an executor's key is good for an executor's messages of its own
 * sessions, a tool's for questions and orders. Local connections (ipc, plain tcp on loopback) may bring
 * anything, but for those of another user, whom the group of the runtime directory has let in: these are
 * executors, and count as if the user had a key.
 */
#ifndef SLUICE_BROKER_GUARD_H
#define SLUICE_BROKER_GUARD_H

#include "broker/keyring.h"
#include "broker/sockets.h"

/* Whose session a message names. */
typedef struct {
    uint64_t session; /* 0: the message names none */
    bool known;
    uint64_t key; /* the key of the known session, 0 for a local one */
} session_view_t;

/* What stands for the key of a local user in sessions; no key begins like that. */
listed_key_t guard_user(uint32_t uid);
bool guard_is_user(uint64_t key);
/* Why not; NULL when it may. `key` is NULL for a local connection. */
const char *guard_judge(const listed_key_t *key, source_t source, const msg_t *msg, session_view_t session);
/* The session that a message to the broker names; 0 for none. */
uint64_t guard_session_of(const msg_t *msg);

#endif
