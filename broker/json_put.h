/* Members of the JSON objects that the broker answers tools with. */
#ifndef SLUICE_BROKER_JSON_PUT_H
#define SLUICE_BROKER_JSON_PUT_H

#include <stdbool.h>
#include <stdint.h>
#include <yajl/yajl_gen.h>

#include "broker/doc.h"
#include "common/messages.h"

/* A document to be, freed by yajl_gen_free(). NULL when out of memory. */
yajl_gen json_begin(void);
void json_key(yajl_gen g, const char *name);
void json_text(yajl_gen g, const char *name, const char *text); /* NULL: null */
void json_str(yajl_gen g, const char *name, str_t text);
void json_number(yajl_gen g, const char *name, int64_t value);
void json_bool(yajl_gen g, const char *name, bool value);
/* A member that is an object; ended by yajl_gen_map_close(). */
void json_open(yajl_gen g, const char *name);
/* All that was written, as new memory; NULL when out of it. */
doc_t *json_doc(yajl_gen g);

#endif
