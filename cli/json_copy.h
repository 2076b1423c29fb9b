/* Writing again what was read of the broker's JSON. */
#ifndef SLUICE_CLI_JSON_COPY_H
#define SLUICE_CLI_JSON_COPY_H

#include <yajl/yajl_gen.h>
#include <yajl/yajl_tree.h>

/* A member's name; its value is to follow. */
void json_put_name(yajl_gen gen, const char *name);
/* The value with all that is in it; numbers as they were written. */
void json_put_value(yajl_gen gen, yajl_val value);

#endif
