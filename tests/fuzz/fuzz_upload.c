/* What leaves with a large body: the multipart of upload-result, and what is read of upload-url's answer and
 * of the result for the store. The first octet is the length of a task's id, which follows; the rest is the
 * file, and the texts. */
#include <curl/curl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/ac_door_private.h"
#include "exchange.h"
#include "fuzz.h"
#include "uploader/body_file.h"

#define INPUT_MAX 32768

static void must(bool holds) {
    if (!holds) abort();
}

/* Moves over `text`, which has to be there. */
static void expect(const char **at, const char *end, const void *text, size_t size) {
    must((size_t)(end - *at) >= size && memcmp(*at, text, size) == 0);
    *at += size;
}

static void expect_text(const char **at, const char *end, const char *text) {
    expect(at, end, text, strlen(text));
}

/* Two parts and nothing else; no octet of the name ends a line or the name. */
static void check(const char *request, size_t size, const uint8_t *file, size_t file_bytes) {
    const char *end = request + size, *body = memmem(request, size, "\r\n\r\n", 4);
    must(body != NULL);
    const char *at = body + 4, *mark = memmem(request, (size_t)(body - request), "boundary=", 9);
    char boundary[80];
    must(mark && sscanf(mark + 9, "%70[^\r\n ]", boundary) == 1);
    expect_text(&at, end, "--");
    expect_text(&at, end, boundary);
    expect_text(&at, end, "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"");
    while (at < end && *at != '"') {
        must(*at != '\r' && *at != '\n');
        at++;
    }
    expect_text(&at, end, "\"\r\nContent-Type: application/zip\r\n\r\n");
    expect(&at, end, file, file_bytes);
    expect_text(&at, end, "\r\n--");
    expect_text(&at, end, boundary);
    expect_text(
        &at, end,
        "\r\nContent-Disposition: form-data; name=\"task\"\r\nContent-Type: application/json\r\n\r\n");
    expect(&at, end, file, file_bytes);
    expect_text(&at, end, "\r\n--");
    expect_text(&at, end, boundary);
    expect_text(&at, end, "--\r\n");
    must(at == end);
}

static void upload(const char *task_id, const uint8_t *file, size_t file_bytes) {
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    char name[BODY_NAME_SIZE];
    ac_file_t part;
    size_t size;
    CURL *easy = curl_easy_init();
    int fd = memfd_create("file", MFD_CLOEXEC);
    must(easy && fd >= 0 && write(fd, file, file_bytes) == (ssize_t)file_bytes);
    body_file_name(task_id, "_", ".zip", name);
    const ac_request_t request = {.call = CALL_UPLOAD_RESULT,
                                  .file_name = name,
                                  .json = file,
                                  .json_bytes = file_bytes,
                                  .fd = fd,
                                  .file_bytes = (int64_t)file_bytes};
    must(ac_file_begin(&part, easy, &request) == 0);
    char *octets;
    (void)curl_easy_setopt(easy, CURLOPT_URL, "http://ac.example/upload-result");
    must(exchange_request(easy, answer, sizeof answer - 1, &octets, &size) == CURLE_OK);
    check(octets, size, file, file_bytes);
    free(octets);
    ac_file_end(&part, easy);
    curl_easy_cleanup(easy);
    (void)close(fd);
}

static void read_texts(const uint8_t *data, size_t size) {
    char *text = malloc(size ? size : 1), *put = NULL, *get = NULL; /* of its own size */
    must(text != NULL);
    if (size) memcpy(text, data, size);
    if (presigned_read(text, size, &put, &get) == 0) must(put[0] && get[0]);
    free(put);
    free(get);
    free(result_header(text, size, "Content-Type"));
    free(result_header(text, size, "Content-Encoding"));
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bool begun;
    char task_id[256];
    if (!begun) {
        must(curl_global_init(CURL_GLOBAL_ALL) == CURLE_OK);
        (void)signal(SIGPIPE, SIG_IGN);
    }
    begun = true;
    if (size < 1 || size > INPUT_MAX || data[0] > size - 1) return 0;
    size_t id_bytes = data[0];
    memcpy(task_id, data + 1, id_bytes);
    task_id[id_bytes] = '\0';
    data += 1 + id_bytes;
    size -= 1 + id_bytes;
    upload(task_id, data, size);
    read_texts(data, size);
    return 0;
}
