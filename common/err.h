/* Error codes of the project. Functions return 0 or one of these (negative); outputs are written only on
 * success. */
#ifndef SLUICE_COMMON_ERR_H
#define SLUICE_COMMON_ERR_H

typedef enum {
    ERR_OK = 0,
    ERR_NOMEM = -1,       /* out of memory */
    ERR_INVALID = -2,     /* an argument or input breaks its contract */
    ERR_TOO_LARGE = -3,   /* a size limit is exceeded */
    ERR_MALFORMED = -4,   /* bytes that are not what they should be */
    ERR_VERSION = -5,     /* a version this build does not know */
    ERR_IO = -6,          /* a system call failed; errno tells */
    ERR_FULL = -7,        /* no room now; try again later */
    ERR_NOT_FOUND = -8,   /* no such thing */
    ERR_BUSY = -9,        /* held by somebody else */
    ERR_STATE = -10,      /* not allowed in the present state */
    ERR_CORRUPT = -11,    /* stored data is damaged */
    ERR_UNSUPPORTED = -12 /* understood, but not done by this build */
} err_t;

/* A short text for a code, never NULL. */
const char *err_str(int err);

#endif
