#include "upload.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "mem.h"

#define FORM_BUFFER_BYTES 65536
#define PIECE_BYTES       65536
#define HEAD_BYTES        (1u << 20)
#define GZIP_ONLY         (15 + 16)

struct upload {
    struct MHD_PostProcessor *form;
    tasks_t *tasks;
    via_t via;
    bool broken; /* the form cannot be read */
    buf_t error;
    buf_t task_json;
    bool has_task;
    bool has_file;
    const body_t *body; /* what the file must hold; NULL when it names no task */
    z_stream gzip;
    bool gzip_open;
    bool gzip_end;
    apart_t file;
    buf_t head;
    char piece[PIECE_BYTES];
};

bool is_hex32(span_t text) {
    static const char HEX[] = "0123456789abcdefABCDEF";
    for (size_t i = 0; i < text.len; i++)
        if (!strchr(HEX, text.data[i])) return false;
    return text.len == 32;
}

static void complain(upload_t *self, const char *text) {
    if (!self->error.len) buf_text(&self->error, text);
}

/* The file is named {taskId}_{32 hex}.zip; returns the task it belongs to, or NULL. */
static task_t *task_of_file(const upload_t *self, const char *name) {
    size_t len = name ? strlen(name) : 0;
    if (len < 38 || strcmp(name + len - 4, ".zip") != 0 || name[len - 37] != '_') return NULL;
    if (!is_hex32((span_t){name + len - 36, 32})) return NULL;
    return tasks_by_id(self->tasks, (span_t){name, len - 37});
}

static void open_file(upload_t *self, const char *name, const char *type) {
    self->has_file = true;
    self->file = (apart_t){.present = true, .matches = true};
    if (!type || strcmp(type, "application/zip") != 0)
        complain(self, "part file is not of type application/zip");
    if (self->via == VIA_UPLOAD_LOGS) return;
    const task_t *task = task_of_file(self, name);
    if (task)
        self->body = plan_expected(task_plan(task), task_method(task));
    else
        complain(self, "part file is not named {taskId}_{32 hex}.zip");
    self->gzip_open = inflateInit2(&self->gzip, GZIP_ONLY) == Z_OK;
}

static void compare(upload_t *self, span_t piece) {
    if (!self->body || !body_matches(self->body, self->file.len, piece)) self->file.matches = false;
    self->file.len += piece.len;
}

static void inflate_piece(upload_t *self, const char *data, size_t len) {
    char *copy = mem_copy(data, len);
    self->gzip.next_in = (unsigned char *)copy;
    self->gzip.avail_in = (unsigned)len;
    while (self->gzip_open && !self->gzip_end) {
        self->gzip.next_out = (unsigned char *)self->piece;
        self->gzip.avail_out = sizeof self->piece;
        int status = inflate(&self->gzip, Z_NO_FLUSH);
        compare(self, (span_t){self->piece, sizeof self->piece - self->gzip.avail_out});
        if (status == Z_STREAM_END)
            self->gzip_end = true;
        else if (status != Z_OK || (self->gzip.avail_in == 0 && self->gzip.avail_out > 0))
            break;
    }
    if (self->gzip_end && self->gzip.avail_in > 0)
        complain(self, "part file has bytes behind its gzip stream");
    free(copy);
}

static void file_data(upload_t *self, const char *data, size_t len) {
    size_t room = HEAD_BYTES - self->head.len;
    buf_add(&self->head, data, len < room ? len : room);
    if (self->via == VIA_UPLOAD_LOGS)
        self->file.len += len;
    else if (self->gzip_end && len)
        complain(self, "part file has bytes behind its gzip stream");
    else
        inflate_piece(self, data, len);
}

static enum MHD_Result on_part(void *ctx, enum MHD_ValueKind kind, const char *key, const char *filename,
                               const char *type, const char *encoding, const char *data, uint64_t offset,
                               size_t len) {
    (void)kind;
    (void)encoding;
    upload_t *self = ctx;
    if (key && strcmp(key, "file") == 0) {
        if (offset == 0 && !self->has_file) open_file(self, filename, type);
        file_data(self, data, len);
    } else if (key && strcmp(key, "task") == 0) {
        if (self->via == VIA_UPLOAD_RESULT && (!type || strcmp(type, "application/json") != 0))
            complain(self, "part task is not of type application/json");
        if (filename) complain(self, "part task has a file name");
        self->has_task = true;
        buf_add(&self->task_json, data, len);
    } else {
        complain(self, "the form has a part that is neither file nor task");
    }
    return MHD_YES;
}

upload_t *upload_new(const request_t *request, tasks_t *tasks, via_t via) {
    const char *type = request_header(request, "Content-Type");
    if (!type || strncmp(type, "multipart/form-data", 19) != 0) return NULL;
    upload_t *self = mem_new(1, sizeof *self);
    self->tasks = tasks;
    self->via = via;
    self->form = MHD_create_post_processor(request_connection(request), FORM_BUFFER_BYTES, on_part, self);
    if (!self->form) upload_destroy(&self);
    return self;
}

void upload_destroy(upload_t **self) {
    if (!*self) return;
    if ((*self)->form) MHD_destroy_post_processor((*self)->form);
    if ((*self)->gzip_open) inflateEnd(&(*self)->gzip);
    buf_free(&(*self)->error);
    buf_free(&(*self)->task_json);
    buf_free(&(*self)->head);
    free(*self);
    *self = NULL;
}

void upload_data(upload_t *self, span_t piece) {
    if (!self->broken && MHD_post_process(self->form, piece.data, piece.len) != MHD_YES) self->broken = true;
}

bool upload_finish(upload_t *self, buf_t *error) {
    if (MHD_destroy_post_processor(self->form) != MHD_YES) self->broken = true;
    self->form = NULL;
    if (self->broken) complain(self, "the form cannot be read");
    if (!self->has_file || !self->has_task) complain(self, "the form lacks a part file or task");
    bool zip = self->head.len > 4 && memcmp(self->head.data, "PK\3\4", 4) == 0;
    self->file.whole = self->via == VIA_UPLOAD_LOGS ? zip : self->gzip_end;
    buf_add(error, self->error.data, self->error.len);
    return !self->error.len;
}

span_t upload_task_json(const upload_t *self) {
    return span_buf(&self->task_json);
}

apart_t upload_file(const upload_t *self) {
    return self->file;
}

span_t upload_file_head(const upload_t *self) {
    return span_buf(&self->head);
}
