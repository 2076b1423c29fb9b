/* Who may connect to which encrypted socket: the answers to ZeroMQ's questions (RFC 27, ZAP) about keys.
 * Asked in the broker's own loop. A socket's domain says what it is: "control", "results-in", "events", or
 * "worker:PUBLIC" for the PUSH of a worker with that key. */
#ifndef SLUICE_BROKER_ZAP_H
#define SLUICE_BROKER_ZAP_H

#include "broker/keyring.h"
#include "common/link_wire.h"

typedef struct zap_t zap_t;

#define ZAP_DOMAIN_MAX (sizeof "worker:" + KEY_HEX_SIZE)

/* Before any encrypted socket is bound. `keyring` is borrowed. NULL: no socket, or out of memory. */
zap_t *zap_new(const keyring_t *keyring);
void zap_destroy(zap_t **self);
/* Where the questions come. */
inlet_t *zap_inlet(zap_t *self);
/* Answers what has been asked, if the inlet is unread; logs what it refuses, a key once a minute. */
void zap_turn(zap_t *self, int64_t now_ms);

/* Why the key (NULL: not an allowed one) may not connect there; NULL when it may. */
const char *zap_judge(const listed_key_t *key, const char *domain);

#endif
