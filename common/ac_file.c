#include <errno.h>
#include <unistd.h>

#include "common/ac_door_private.h"
#include "common/err.h"

static size_t read_file(char *buf, size_t size, size_t count, void *ctx) {
    ac_file_t *self = ctx;
    int64_t left = self->bytes - self->at;
    size_t most = size * count;
    if (left == 0) return 0;
    if ((int64_t)most > left) most = (size_t)left;
    ssize_t n;
    do
        n = pread(self->fd, buf, most, (off_t)self->at);
    while (n < 0 && errno == EINTR);
    if (n <= 0) return CURL_READFUNC_ABORT; /* shorter than it was, or unreadable */
    self->at += n;
    return (size_t)n;
}

/* Without a way back: curl sends a file once, and whoever wants it sent again starts a request anew. */
int ac_file_begin(ac_file_t *self, CURL *easy, const ac_request_t *request) {
    *self = (ac_file_t){.mime = curl_mime_init(easy), .fd = request->fd, .bytes = request->file_bytes};
    curl_mimepart *file = self->mime ? curl_mime_addpart(self->mime) : NULL;
    curl_mimepart *task = self->mime ? curl_mime_addpart(self->mime) : NULL;
    if (file && task && curl_mime_name(file, "file") == CURLE_OK &&
        curl_mime_filename(file, request->file_name) == CURLE_OK &&
        curl_mime_type(file, "application/zip") == CURLE_OK &&
        curl_mime_data_cb(file, (curl_off_t)self->bytes, read_file, NULL, NULL, self) == CURLE_OK &&
        curl_mime_name(task, "task") == CURLE_OK && curl_mime_type(task, "application/json") == CURLE_OK &&
        curl_mime_data(task, request->json, request->json_bytes) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_MIMEPOST, self->mime) == CURLE_OK)
        return 0;
    ac_file_end(self, easy);
    return ERR_NOMEM;
}

void ac_file_end(ac_file_t *self, CURL *easy) {
    if (!self->mime) return;
    (void)curl_easy_setopt(easy, CURLOPT_MIMEPOST, NULL);
    curl_mime_free(self->mime);
    self->mime = NULL;
}
