/* Every message decoder: the first octet says whether a payload is there, the rest is the header. What is
 * accepted can be encoded again, and reads the same. */
#include <stdlib.h>
#include <string.h>

#include "common/messages.h"
#include "fuzz.h"

static void must(bool holds) {
    if (!holds) abort();
}

static void check_again(const msg_t *msg, int64_t payload_bytes) {
    static msg_scratch_t scratch;
    char *once = NULL, *twice = NULL;
    size_t once_bytes = 0, twice_bytes = 0;
    msg_t read;

    must(msg_encode(msg, &once, &once_bytes) == 0);
    must(msg_decode(once, once_bytes, payload_bytes, &read, &scratch) == 0);
    must(read.type == msg->type);
    must(msg_encode(&read, &twice, &twice_bytes) == 0);
    must(once_bytes == twice_bytes && memcmp(once, twice, once_bytes) == 0);
    free(once);
    free(twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static msg_scratch_t scratch;
    char *header;
    msg_t msg;

    if (size < 1) return 0;
    int64_t payload_bytes = data[0] == 0 ? -1 : data[0];
    header = malloc(size); /* of its own size, so that an octet read too far is seen */
    must(header != NULL);
    memcpy(header, data + 1, size - 1);
    if (msg_decode(header, size - 1, payload_bytes, &msg, &scratch) == 0)
        check_again(&msg, payload_bytes);
    else
        must(scratch.text[0] != '\0');
    free(header);
    return 0;
}
