/* AC's own calls and its store: the handlers of the AC listener. */
#ifndef MOCK_AC_AC_API_H
#define MOCK_AC_AC_API_H

#include "books.h"
#include "faults.h"
#include "limits.h"
#include "loop.h"
#include "server.h"
#include "settings.h"
#include "store.h"
#include "tasks.h"

typedef struct ac_api ac_api_t;

/* All borrowed. */
typedef struct {
    loop_t *loop;
    books_t *books;
    tasks_t *tasks;
    faults_t *faults;
    limits_t *limits;
    store_t *store;
    const settings_t *settings;
    const char *api_key;
    const char *env_name; /* what calls have to name; NULL: anything */
    const char *base_url; /* of this listener, for presigned URLs */
    uint64_t seed;
} ac_api_options_t;

ac_api_t *ac_api_new(const ac_api_options_t *options);
void ac_api_destroy(ac_api_t **self);

/* For server_new, with the ac_api_t as context. */
extern const server_handlers_t ac_api_handlers;

/* Tasks may have come, or may be handed out again: answers the polls that wait. */
void ac_api_wake(ac_api_t *self);

#endif
