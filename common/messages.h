/* The messages between the programs, as docs/PROTOCOL.md defines them, and their codec.
 *
 * A decoded message borrows its strings from the bytes it was decoded from: those must outlive it. */
#ifndef SLUICE_COMMON_MESSAGES_H
#define SLUICE_COMMON_MESSAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROTOCOL_VERSION 1
#define MSG_HEADER_MAX   65536
#define MSG_HELD_MAX     1024
#define MSG_TASK_ID_MAX  1024
#define MSG_CHUNK_MAX    262144
#define MSG_LIST_MAX     500
#define MSG_LIVES_MAX    20 /* tasks of one taskId that are gone in an answer to FIND, the latest */
#define MSG_BODY_MAX     ((uint64_t)1 << 48)  /* length of a stream: sums of them do not overflow */
#define MSG_WHY_MAX      160                  /* of the reason in RESULT */
#define MSG_WIRE_MAX     (100L * 1024 * 1024) /* ZMQ_MAXMSGSIZE */
#define MSG_CONTROL_MAX  (1024 * 1024)        /* and of the broker's control socket */

#define PROTOCOL_HEARTBEAT_MS 1000
#define PROTOCOL_LOST_MS      5000
#define PROTOCOL_CLAIM_MS     5000
#define PROTOCOL_REPEAT_MS    1000
#define PROTOCOL_GRACE_MS     5000
#define PROTOCOL_LINGER_MS    2000
#define PROTOCOL_HANDSHAKE_MS 5000 /* ZMQ_HANDSHAKE_IVL at the broker */
#define PROTOCOL_TCP_DEAD_MS                                                                                 \
    8000 /* a tcp connection on which nothing is acknowledged for so long is closed */
#define PROTOCOL_HWM          64
#define PROTOCOL_FETCH_WINDOW 64 /* fetches a fetcher may have unanswered */
#define CREDIT_TTL_MS         4000
#define CREDIT_BUDGET_MAX     20
#define GIVEN_UP_TRIES        5 /* of a result: from then on it comes after the others, and stops no fetching */

typedef enum {
    MSG_HELLO = 1,
    MSG_WELCOME = 2,
    MSG_HEARTBEAT = 3,
    MSG_BYE = 4,
    MSG_CONFIG = 5,
    MSG_DRAIN = 6,
    MSG_WANT = 10,
    MSG_GRANT = 11,
    MSG_RENEW = 12,
    MSG_REVOKE = 13,
    MSG_RELEASE = 14,
    MSG_REPORT = 15,
    MSG_ACCEPTED = 20,
    MSG_CLAIM = 21,
    MSG_CLAIMED = 22,
    MSG_DENIED = 23,
    MSG_RETURN = 24,
    MSG_STORED = 25,
    MSG_UPLOADED = 26,
    MSG_GONE = 27,
    MSG_STATUS = 30,
    MSG_STATUS_REPLY = 31,
    MSG_ERROR = 32,
    MSG_FIND = 33,
    MSG_LIST = 34,
    MSG_FOUND = 35,
    MSG_ORDER = 36,
    MSG_ORDERED = 37,
    MSG_FETCHED = 40,
    MSG_TASK = 41,
    MSG_RESULT = 42,
    MSG_CHUNK = 43,
    MSG_EVENT = 44,
    MSG_BODY = 50,
    MSG_CREDIT = 51,
    MSG_ABORT = 52
} msg_type_t;

typedef enum { ROLE_FETCHER = 1, ROLE_EXECUTOR = 2, ROLE_UPLOADER = 3, ROLE_TOOL = 4 } role_t;
typedef enum { STAGE_EXECUTE = 1, STAGE_UPLOAD = 2 } stage_id_t; /* also: fetch and upload, of a credit */
#define CREDIT_FETCH  1
#define CREDIT_UPLOAD 2

typedef enum {
    CALL_GET_TASK = 1,
    CALL_PUT_RESULT = 2,
    CALL_UPLOAD_RESULT = 3,
    CALL_UPLOAD_URL = 4,
    CALL_UPLOAD_LOGS = 5,
    CALL_STORE = 6
} call_t;

typedef enum {
    OUTCOME_DONE = 1,
    OUTCOME_EMPTY = 2,
    OUTCOME_REFUSED = 3,
    OUTCOME_BUSY = 4,
    OUTCOME_LIMITED = 5,
    OUTCOME_DENIED = 6,
    OUTCOME_SERVER = 7,
    OUTCOME_NETWORK = 8,
    OUTCOME_MALFORMED = 9,
    OUTCOME_REDIRECT = 10,
    OUTCOME_NOT_SENT = 11,
    OUTCOME_ABORTED = 12 /* by the agent itself, after it was sent */
} outcome_t;

typedef enum { PHASE_UNSTARTED = 1, PHASE_STARTED = 2, PHASE_FINISHED = 3 } phase_t;
typedef enum { REVOKE_PAUSED = 1, REVOKE_WANTED = 2, REVOKE_UNKNOWN = 3, REVOKE_DRAIN = 4 } revoke_t;
typedef enum { VERDICT_NEW = 1, VERDICT_REPEAT = 2, VERDICT_HELD = 3 } verdict_t;
typedef enum {
    DENIED_SESSION = 1,
    DENIED_UNKNOWN = 2,
    DENIED_OTHER = 3,
    DENIED_EXPIRED = 4,
    DENIED_LOST = 5
} denied_t;

typedef enum { ORDER_RETRY = 1, ORDER_DROP = 2 } order_t;
typedef enum { ORDER_BY_EITHER = 0, ORDER_BY_NUMBER = 1, ORDER_BY_ALL = 2 } order_by_t;
typedef enum {
    ORDERED_DONE = 1,
    ORDERED_UNKNOWN = 2,
    ORDERED_NOT_BURIED = 3,
    ORDERED_AMBIGUOUS = 4
} ordered_t;

#define TASK_IDEMPOTENT 0x01u
#define TASK_LOGS       0x02u
#define TASK_CONFIG     0x04u
#define TASK_INVALID    0x08u
#define RESULT_STREAM   0x10u
#define RESULT_AGENT    0x20u /* the agent could not do the request */
#define RESULT_STARTED  0x40u /* the request was begun */

typedef enum { BODY_GZIP = 1, BODY_RAW = 2 } body_kind_t;
typedef enum { ABORT_READER = 1, ABORT_WRITER = 2, ABORT_NO_ROOM = 3, ABORT_STALE = 4 } abort_t;

typedef enum {
    MSG_ERR_SIZE = 1,
    MSG_ERR_MALFORMED = 2,
    MSG_ERR_VERSION = 3,
    MSG_ERR_TYPE = 4,
    MSG_ERR_ARITY = 5,
    MSG_ERR_FIELD = 6,
    MSG_ERR_PAYLOAD = 7,
    MSG_ERR_SESSION = 8,
    MSG_ERR_ROLE = 9,
    MSG_ERR_BUSY = 10,
    MSG_ERR_FULL = 11
} msg_err_t;

/* A text that belongs to somebody else; not terminated. */
typedef struct {
    const char *ptr;
    uint32_t len;
} str_t;

str_t str_of(const char *text); /* NULL gives the empty text */
/* Copies into `buf` of `size` octets, cut to fit, terminated. Returns buf. */
char *str_copy(str_t text, char *buf, size_t size);

typedef struct {
    uint64_t session;
    uint64_t number;
    uint32_t attempt;
    uint8_t phase; /* phase_t */
} msg_held_t;

typedef struct {
    uint32_t count;
    const msg_held_t *items;
} msg_held_list_t;

typedef struct {
    uint32_t count;
    const uint64_t *items;
} msg_nums_t;

typedef struct {
    uint8_t role;
    uint64_t instance, place;
    str_t name, program_version;
    uint32_t pid;
    str_t host;
    uint16_t slots;
    uint64_t seq, credit;
    msg_held_list_t held;
} msg_hello_t;

typedef struct {
    uint64_t seq, session;
    uint32_t heartbeat_ms, lost_ms;
    str_t endpoint, agent_id;
    uint64_t credit;
    msg_nums_t drop;
} msg_welcome_t;

typedef struct {
    uint64_t session, seq;
    msg_nums_t held;
} msg_heartbeat_t;

typedef struct {
    uint64_t session;
} msg_bye_t;

typedef struct {
    uint64_t session, generation;
    uint8_t debug, verify;
    uint16_t pool_size;
    uint8_t upload_to_ac;
    uint32_t rate_per_min;
} msg_config_t;

typedef struct {
    uint64_t session;
    uint8_t mode;
} msg_drain_t;

typedef struct {
    uint64_t session, seq;
    uint8_t stage;
} msg_want_t;

typedef struct {
    uint64_t session, seq, credit;
    uint8_t stage;
    uint32_t ttl_ms;
    uint16_t budget;
} msg_grant_t;

typedef struct {
    uint64_t session, seq, credit;
    uint16_t used;
} msg_renew_t;

typedef struct {
    uint64_t session, credit;
    uint8_t reason;
} msg_revoke_t;

typedef struct {
    uint64_t session, credit;
    uint16_t used;
} msg_release_t;

typedef struct {
    uint64_t session, credit;
    uint8_t call, outcome;
    uint16_t http_status;
    int64_t retry_after_ms;
    uint32_t elapsed_ms;
    str_t reason;
} msg_report_t;

typedef struct {
    uint64_t instance, seq;
    uint8_t verdict;
    uint64_t number;
} msg_accepted_t;

/* CLAIM, CLAIMED, STORED and GONE. */
typedef struct {
    uint64_t session, number;
    uint32_t attempt;
} msg_ref_t;

typedef struct {
    uint64_t session, number;
    uint32_t attempt;
    uint8_t reason;
} msg_denied_t;

typedef struct {
    uint64_t session, number;
    uint32_t attempt;
    uint8_t started;
} msg_return_t;

typedef struct {
    uint64_t session, number;
    uint32_t attempt;
    uint64_t credit;
    uint8_t call, outcome;
    uint16_t http_status;
    int64_t retry_after_ms;
    uint32_t elapsed_ms;
    str_t reason;
} msg_uploaded_t;

typedef struct {
    uint64_t seq;
} msg_status_t; /* STATUS, STATUS_REPLY and FOUND */

typedef struct {
    uint64_t seq;
    uint8_t by; /* order_by_t, but for all */
    str_t task;
} msg_find_t;

typedef struct {
    uint64_t seq, after;
    uint16_t max;
} msg_list_t;

typedef struct {
    uint64_t seq;
    uint8_t action, by; /* order_t, order_by_t */
    str_t task;
    uint64_t after;
} msg_order_t;

typedef struct {
    uint64_t seq;
    uint8_t verdict; /* ordered_t */
    uint32_t count;
    uint64_t number;
} msg_ordered_t;

typedef struct {
    uint16_t code;
    uint8_t type;
    str_t text;
} msg_error_t;

typedef struct {
    uint64_t instance, seq, credit;
    str_t task_id;
    uint16_t flags;
    str_t method, host;
    int64_t expiry_ms, fetched_ms;
    str_t config, error;
} msg_fetched_t;

typedef struct {
    uint64_t session, number;
    uint32_t attempt;
    uint8_t stage;
    uint16_t flags;
    int64_t remaining_ms;
    uint64_t generation;
    uint32_t tries;
    str_t task_id;
    uint8_t call;
} msg_task_t;

typedef struct {
    uint64_t session, number;
    uint32_t attempt;
    uint64_t stream; /* by which the body went before; 0 without RESULT_STREAM */
    uint16_t flags, http_status;
    uint32_t tool_ms;
    uint64_t body_bytes;
    int64_t connect_ms, first_byte_ms;
    uint32_t ended_ms;
    str_t reason; /* why the agent could not do it; "" when the tool answered */
} msg_result_t;

typedef struct {
    uint64_t session, number;
    uint32_t attempt;
    uint64_t stream, offset;
    uint8_t last;
} msg_chunk_t;

typedef struct {
    uint64_t seq;
    int64_t at_ms;
    uint8_t kind;
    uint64_t number;
    str_t text;
} msg_event_t;

typedef struct {
    uint64_t session, number;
    uint32_t attempt;
    uint64_t stream, length;
    uint8_t kind;
} msg_body_t;

typedef struct {
    uint64_t session, stream, upto;
} msg_credit_t;

typedef struct {
    uint64_t session, stream;
    uint8_t reason;
} msg_abort_t;

typedef struct {
    msg_type_t type;
    union {
        msg_hello_t hello;
        msg_welcome_t welcome;
        msg_heartbeat_t heartbeat;
        msg_bye_t bye;
        msg_config_t config;
        msg_drain_t drain;
        msg_want_t want;
        msg_grant_t grant;
        msg_renew_t renew;
        msg_revoke_t revoke;
        msg_release_t release;
        msg_report_t report;
        msg_accepted_t accepted;
        msg_ref_t ref; /* CLAIM, CLAIMED, STORED, GONE */
        msg_denied_t denied;
        msg_return_t give_back;
        msg_uploaded_t uploaded;
        msg_status_t status;
        msg_error_t error;
        msg_find_t find;
        msg_list_t list;
        msg_order_t order;
        msg_ordered_t ordered;
        msg_fetched_t fetched;
        msg_task_t task;
        msg_result_t result;
        msg_chunk_t chunk;
        msg_event_t event;
        msg_body_t body;
        msg_credit_t credit;
        msg_abort_t abort;
    };
} msg_t;

/* Room for the lists of a decoded message, and the place and text of an error. Reusable; about 24 KiB. */
typedef struct {
    msg_held_t held[MSG_HELD_MAX];
    uint64_t nums[MSG_HELD_MAX];
    msg_err_t error; /* after a failure: the code of the ERROR to send */
    uint8_t type;    /* the type byte if it could be read, else 0 */
    char text[200];  /* after a failure: what was wrong and what would be right */
} msg_scratch_t;

/* The message's name in capitals ("HELLO"), "?" for an unknown type. */
const char *msg_type_name(unsigned type);
/* Whether the type carries a payload frame, and the most octets it may have. */
bool msg_has_payload(msg_type_t type, size_t *max_bytes);

/* Packs the header into newly allocated memory, freed by the caller with free().
 * ERR_INVALID when a field breaks its bounds (scratch-free; a programmer's error), ERR_NOMEM. */
int msg_encode(const msg_t *msg, char **bytes, size_t *size);

/* Unpacks and checks a header as PROTOCOL section 2 demands. `payload_bytes` is the payload's size, or -1 for
 * none. Returns 0, or ERR_TOO_LARGE, ERR_VERSION, ERR_MALFORMED or ERR_NOMEM with `scratch` filled in. Lists
 * of `msg` live in `scratch`, strings in `bytes`. */
int msg_decode(const void *bytes, size_t size, int64_t payload_bytes, msg_t *msg, msg_scratch_t *scratch);

#endif
