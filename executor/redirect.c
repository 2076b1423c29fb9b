/* What a redirect makes of a request. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "common/err.h"
#include "executor/latin1.h"
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

/* The host of the task's own Host header goes for cookies too. */
static cookie_place_t place_of(const request_t *self) {
    const char *host = header_list_get(&self->headers, "Host");

    return (cookie_place_t){host && host[0] ? host : self->url.host, self->url.target, self->url.https};
}

int request_take_cookies(request_t *self, const pair_t *headers, size_t count) {
    cookie_place_t place = place_of(self);
    int err = 0;

    for (size_t i = 0; !err && i < count; i++) {
        if (strcasecmp(headers[i].name, "Set-Cookie") != 0) continue;
        err = cookies_take(&self->cookies, &place, headers[i].value, time(NULL));
    }
    return err;
}

/* The task's own Cookie was for the first request alone. */
static int replace_cookie(request_t *self) {
    cookie_place_t place = place_of(self);
    text_t text = {0};
    char *value = NULL;
    int err = cookies_write(&self->cookies, &place, time(NULL), &text);

    header_list_remove(&self->headers, "Cookie");
    if (!err && text.len > 0) {
        value = latin1_from_utf8(text.ptr, text.len);
        err = value ? header_list_set(&self->headers, "Cookie", value) : ERR_NOMEM;
    }
    free(value);
    text_clear(&text);
    return err;
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
    header_list_remove(&self->headers, "Proxy-Authorization");
    if (!url_keeps_authorization(&self->url, &url)) {
        header_list_remove(&self->headers, "Authorization");
        self->left = true;
    }
    url_clear(&self->url);
    self->url = url;
    self->redirects++;
    return replace_cookie(self);
}
