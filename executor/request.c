#include "executor/request.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/err.h"
#include "executor/latin1.h"

#define URL_REST 16 /* octets of a URL besides host and target */

static int fail(char *why, const char *text) {
    (void)snprintf(why, REQUEST_WHY_MAX, "%s", text);
    return ERR_INVALID;
}

static bool is_token(const char *text) {
    for (const char *c = text; *c; c++) {
        if (*c <= ' ' || *c == 0x7f || (unsigned char)*c >= 0x80 || strchr("()<>@,;:\\\"/[]?={}", *c))
            return false;
    }
    return text[0] != '\0';
}

static bool is_header_name(const pair_t *header) {
    if (header->name_len == 0 || strchr(" \t\v\f", header->name[0])) return false;
    /* "Content-Length :" would get past those who look for the name, to a server that is lenient. */
    if (header->name[header->name_len - 1] == ' ') return false;
    for (size_t i = 0; i < header->name_len; i++) {
        unsigned char c = (unsigned char)header->name[i];
        if (c == ':' || c == ';' || c < 0x20 || c >= 0x7f) return false;
    }
    return true;
}

/* A header that is null. Two of them the old agent's library cannot leave out: it sends its own. */
static int leave_out(request_t *self, const pair_t *header) {
    if (strcasecmp(header->name, "Accept-Encoding") == 0)
        return header_list_set(&self->headers, "Accept-Encoding", "identity");
    if (strcasecmp(header->name, "User-Agent") == 0)
        return header_list_set(&self->headers, "User-Agent", "sluice/" SLUICE_VERSION);
    if (is_header_name(header)) header_list_remove(&self->headers, header->name);
    return 0;
}

/* The rules of the old agent's library: no line breaks, no white space in front, nothing beyond ISO 8859-1.
 */
static int add_task_header(request_t *self, const pair_t *header, char *why) {
    char *value;
    int err;

    if (!header->value) return leave_out(self, header);
    if (!is_header_name(header)) return fail(why, "a header of the task has a name that cannot be sent");
    if (header->name_len + header->value_len + 4 > REQUEST_TEXT_MAX)
        return fail(why, "a header of the task is too long; the head of a request can have 1 MB");
    if (memchr(header->value, '\r', header->value_len) || memchr(header->value, '\n', header->value_len) ||
        memchr(header->value, '\0', header->value_len))
        return fail(why, "a header of the task has a line break or NUL in its value");
    if (header->value_len > 0 && strchr(" \t\v\f", header->value[0]))
        return fail(why, "a header of the task has white space in front of its value");
    value = latin1_from_utf8(header->value, header->value_len);
    if (!value) return fail(why, "a header of the task has characters that no header can carry");
    err = header_list_set(&self->headers, header->name, value);
    free(value);
    return err == ERR_TOO_LARGE ? fail(why, "the task has too many headers") : err;
}

/* user:password@ of the URL replaces the task's Authorization. */
static int add_credentials(request_t *self, char *why) {
    text_t joined = {0}, value = {0};
    char *user, *password;
    int err = ERR_NOMEM;

    if (!self->url.user) return 0;
    user = latin1_from_utf8(self->url.user, strlen(self->url.user));
    password = latin1_from_utf8(self->url.password, strlen(self->url.password));
    if (!user || !password) {
        err = fail(why, "user or password in the URL have characters that no header can carry");
        goto cleanup;
    }
    text_add_str(&joined, user);
    text_add_str(&joined, ":");
    text_add_str(&joined, password);
    text_add_str(&value, "Basic ");
    text_add_base64(&value, joined.ptr, joined.len);
    if (!joined.failed && !value.failed) err = header_list_set(&self->headers, "Authorization", value.ptr);
cleanup:
    free(user);
    free(password);
    text_clear(&joined);
    text_clear(&value);
    return err;
}

static int add_headers(request_t *self, const task_t_json *task, char *why) {
    int err = header_list_set(&self->headers, "User-Agent", "sluice/" SLUICE_VERSION);

    if (!err) err = header_list_set(&self->headers, "Accept-Encoding", "gzip, deflate");
    if (!err) err = header_list_set(&self->headers, "Accept", "*/*");
    if (!err) err = header_list_set(&self->headers, "Connection", "keep-alive");
    for (size_t i = 0; !err && i < task->header_count; i++)
        err = add_task_header(self, &task->headers[i], why);
    if (!err && strstr(task->url, "/cxrestapi/auth/identity/connect/token"))
        err = header_list_set(&self->headers, "Content-Type", "application/x-www-form-urlencoded");
    if (!err && task->input == INPUT_FORM && !header_list_get(&self->headers, "Content-Type"))
        err = header_list_set(&self->headers, "Content-Type", "application/x-www-form-urlencoded");
    /* The length and the framing of the body are ours to tell; nothing waits for a 100. */
    header_list_remove(&self->headers, "Content-Length");
    header_list_remove(&self->headers, "Transfer-Encoding");
    header_list_remove(&self->headers, "Expect");
    return err;
}

int request_from_task(request_t *self, const task_t_json *task, char why[REQUEST_WHY_MAX]) {
    int err;

    *self = (request_t){0};
    why[0] = '\0';
    if (!is_token(task->method)) return fail(why, "the task's method is none");
    if (task->input == INPUT_OTHER) return fail(why, "the task's input is neither a string nor an object");
    err = url_read(task->url, false, &self->url, why);
    if (!err && strlen(self->url.target) + strlen(self->url.host) + URL_REST > REQUEST_TEXT_MAX)
        err = fail(why, "the URL is too long; the head of a request can have 1 MB");
    if (!err) err = add_headers(self, task, why);
    if (!err) err = add_credentials(self, why);
    self->method = strdup(task->method);
    if (!err && !self->method) err = ERR_NOMEM;
    if (task->input != INPUT_NONE) {
        self->body = task->body ? task->body : "";
        self->body_bytes = task->body_bytes;
    }
    self->send_length = strcmp(task->method, "GET") != 0 && strcmp(task->method, "HEAD") != 0;
    return err;
}

void request_clear(request_t *self) {
    free(self->method);
    url_clear(&self->url);
    header_list_clear(&self->headers);
    cookies_clear(&self->cookies);
    header_list_wipe(&self->local);
    *self = (request_t){0};
}

bool request_is_head(const request_t *self) {
    return strcmp(self->method, "HEAD") == 0;
}

bool request_idempotent(const request_t *self) {
    static const char *const safe[] = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"};

    for (size_t i = 0; i < sizeof safe / sizeof *safe; i++) {
        if (strcmp(self->method, safe[i]) == 0) return true;
    }
    return false;
}

static int add_line(struct curl_slist **list, const char *line) {
    struct curl_slist *grown = curl_slist_append(*list, line);

    if (!grown) return ERR_NOMEM;
    *list = grown;
    return 0;
}

/* "Name: value"; curl wants "Name;" for an empty value. */
static int add_header_line(struct curl_slist **list, const char *name, const char *value) {
    char small[512], *line = small;
    size_t size = strlen(name) + strlen(value) + 3;
    int err;

    if (size > sizeof small) line = malloc(size);
    if (!line) return ERR_NOMEM;
    (void)snprintf(line, size, value[0] ? "%s: %s" : "%s;", name, value);
    err = add_line(list, line);
    if (line != small) free(line);
    return err;
}

static bool has_header(const request_t *self, const char *name) {
    return header_list_get(&self->headers, name) || header_list_get(&self->local, name);
}

/* curl's own writes a number in full, and to a proxy it has brackets by what went there before. */
static int add_host_line(const request_t *self, struct curl_slist **list) {
    char *host = url_authority(&self->url);
    int err = host ? add_header_line(list, "Host", host) : ERR_NOMEM;

    free(host);
    return err;
}

/* Whether curl gives the request the Proxy-Authorization of its proxy, which a task's would stand beside. */
static bool is_authorized(const request_t *self, const settings_t *settings) {
    return !self->url.https && settings->http.authorizes && request_by_proxy(self, settings)[0];
}

static int make_header_lines(const request_t *self, const settings_t *settings, struct curl_slist **list) {
    bool authorized = is_authorized(self, settings);
    int err = has_header(self, "Host") ? 0 : add_host_line(self, list);

    for (size_t i = 0; !err && i < self->headers.count; i++) {
        const header_t *header = &self->headers.items[i];
        if (header_list_get(&self->local, header->name)) continue;
        if (authorized && strcasecmp(header->name, "Proxy-Authorization") == 0) continue;
        err = add_header_line(list, header->name, header->value);
    }
    for (size_t i = 0; !err && i < self->local.count; i++)
        err = add_header_line(list, self->local.items[i].name, self->local.items[i].value);
    /* A name and a colon keep curl from sending a header of its own. */
    if (!err && !has_header(self, "Content-Type")) err = add_line(list, "Content-Type:");
    if (!err && !has_header(self, "Accept")) err = add_line(list, "Accept:");
    if (!err) err = add_line(list, "Expect:");
    if (!err) err = add_line(list, "Proxy-Connection:");
    return err;
}

static void apply_body(const request_t *self, CURL *easy) {
    /* With NOBODY curl sends no body either: a HEAD with one reads its answer's headers only (response.c). */
    if (request_is_head(self) && !self->body)
        (void)curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    else
        (void)curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    if (self->body || self->send_length) {
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)self->body_bytes);
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, self->body ? self->body : "");
    }
    (void)curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, self->method);
}

static const proxy_t *proxy_of(const request_t *self, const settings_t *settings) {
    return self->url.https ? &settings->https : &settings->http;
}

static void apply_settings(const request_t *self, const settings_t *settings, CURL *easy) {
    proxy_apply(proxy_of(self, settings), easy, self->url.host, url_port(&self->url));
    trust_apply(&settings->trust, easy, settings->verify);
    if (settings->client_cert[0]) (void)curl_easy_setopt(easy, CURLOPT_SSLCERT, settings->client_cert);
    if (settings->client_key[0]) (void)curl_easy_setopt(easy, CURLOPT_SSLKEY, settings->client_key);
    (void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)settings->connect_timeout_ms);
}

const char *request_by_proxy(const request_t *self, const settings_t *settings) {
    const proxy_t *proxy = proxy_of(self, settings);

    return proxy_used(proxy, self->url.host, url_port(&self->url)) ? proxy->where : "";
}

int request_apply(const request_t *self, const settings_t *settings, CURL *easy,
                  struct curl_slist **headers) {
    char *url = url_text(&self->url);
    struct curl_slist *list = NULL;
    CURLcode code = CURLE_OUT_OF_MEMORY;
    int err = url ? make_header_lines(self, settings, &list) : ERR_NOMEM;

    if (!err) code = curl_easy_setopt(easy, CURLOPT_URL, url);
    free(url);
    if (err || code != CURLE_OK) {
        curl_slist_free_all(list);
        return ERR_NOMEM;
    }
    (void)curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, list);
    apply_body(self, easy);
    apply_settings(self, settings, easy);
    *headers = list;
    return 0;
}
