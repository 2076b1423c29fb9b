#include "common/err.h"

const char *err_str(int err) {
    switch (err) {
    case ERR_OK:
        return "no error";
    case ERR_NOMEM:
        return "out of memory";
    case ERR_INVALID:
        return "invalid argument";
    case ERR_TOO_LARGE:
        return "too large";
    case ERR_MALFORMED:
        return "malformed";
    case ERR_VERSION:
        return "unknown version";
    case ERR_IO:
        return "input/output error";
    case ERR_FULL:
        return "no room";
    case ERR_NOT_FOUND:
        return "not found";
    case ERR_BUSY:
        return "busy";
    case ERR_STATE:
        return "not allowed now";
    case ERR_CORRUPT:
        return "damaged data";
    case ERR_UNSUPPORTED:
        return "not supported";
    default:
        return "unknown error";
    }
}
