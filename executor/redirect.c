/* What a redirect makes of a request. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "executor/request.h"

/* 301 turns POST into GET, 302 and 303 everything but HEAD. */
static int change_method(request_t *self, int status) {
    bool to_get = status == 301   ? strcmp(self->method, "POST") == 0
                  : status <= 303 ? strcmp(self->method, "HEAD") != 0
                                  : false;
    char *get;

    if (!to_get) return 0;
    get = strdup("GET");
    if (!get) return ERR_NOMEM;
    free(self->method);
    self->method = get;
    return 0;
}

static void drop_body(request_t *self) {
    self->body = NULL;
    self->body_bytes = 0;
    self->send_length = strcmp(self->method, "POST") == 0 || strcmp(self->method, "PUT") == 0 ||
                        strcmp(self->method, "PATCH") == 0;
    header_list_remove(&self->headers, "Content-Type");
}

int request_redirect(request_t *self, int status, const char *location, char why[REQUEST_WHY_MAX]) {
    url_t url = {0};
    int err;

    why[0] = '\0';
    if (self->redirects >= REQUEST_REDIRECTS_MAX) {
        (void)snprintf(why, REQUEST_WHY_MAX, "more than %d redirects", REQUEST_REDIRECTS_MAX);
        return ERR_TOO_LARGE;
    }
    err = url_resolve(&self->url, location, &url, why);
    if (err) return err;
    err = change_method(self, status);
    if (err) {
        url_clear(&url);
        return err;
    }
    if (status != 307 && status != 308) drop_body(self);
    /* Cookies set on the way go on by curl's own engine, as in the old agent; the task's do not. */
    header_list_remove(&self->headers, "Cookie");
    if (!url_keeps_authorization(&self->url, &url)) {
        header_list_remove(&self->headers, "Authorization");
        self->left = true;
    }
    url_clear(&self->url);
    self->url = url;
    self->redirects++;
    return 0;
}
