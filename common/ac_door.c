#include "common/ac_door.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/ac_door_private.h"
#include "common/err.h"

#define AC_PATH "/api/http-teleport/"

static char *join(const char *a, const char *b, const char *c) {
    size_t size = strlen(a) + strlen(b) + strlen(c) + 1;
    char *text = malloc(size);
    if (text) snprintf(text, size, "%s%s%s", a, b, c);
    return text;
}

static bool add_header(struct curl_slist **list, const char *line) {
    struct curl_slist *longer = curl_slist_append(*list, line);
    if (longer) *list = longer;
    return longer != NULL;
}

static bool add_headers(struct curl_slist **list, const char *authorization) {
    return add_header(list, authorization) && add_header(list, "Accept: */*") &&
           add_header(list, "Accept-Encoding: gzip, deflate") && add_header(list, "Connection: keep-alive") &&
           add_header(list, "Expect:");
}

static bool make_headers(ac_door_t *self, const char *api_key) {
    char *line = join("Authorization: Bearer ", api_key, "");
    bool ok = line && add_headers(&self->headers, line) &&
              add_header(&self->headers, "Content-Type: application/json") &&
              add_headers(&self->file_headers, line);
    if (line) explicit_bzero(line, strlen(line));
    free(line);
    return ok;
}

/* Host and port of the server, for reasons, and whether it is https. */
static bool read_server(ac_door_t *self, const char *server_url) {
    char *scheme = NULL, *host = NULL, *port = NULL;
    CURLU *url = curl_url();
    bool ok = url && curl_url_set(url, CURLUPART_URL, server_url, 0) == CURLUE_OK &&
              curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
              curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
              curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK;
    if (ok) {
        self->https = strcmp(scheme, "https") == 0;
        ok = self->https || strcmp(scheme, "http") == 0;
        snprintf(self->host, sizeof self->host, "%.255s", host);
        self->port = (unsigned)strtoul(port, NULL, 10);
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(url);
    return ok;
}

static bool has_control(const char *text) {
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f) return true;
    return false;
}

ac_door_t *ac_door_new(const config_t *config, http_t *http, const char **why) {
    ac_door_t *self = calloc(1, sizeof *self);
    *why = "out of memory";
    if (!self) return NULL;
    self->http = http;
    self->verify = config->verify;
    self->ipv4_fallback = config->ipv4_fallback;
    self->read_timeout_s = config->read_timeout_s;
    if (!read_server(self, config->server_url)) {
        *why = "the server URL must be http://HOST or https://HOST";
    } else if (has_control(config->api_key)) {
        *why = "the API key has a control character";
    } else {
        const char *proxy = self->https ? config->outgoing_proxy_https : config->outgoing_proxy_http;
        self->base = join(config->server_url, AC_PATH, "");
        self->env_name = strdup(config->env_name);
        if (self->base && self->env_name && trust_choose(&self->trust, config->ca_bundle) == 0 &&
            make_headers(self, config->api_key) && proxy_choose(&self->proxy, proxy, self->https, why) == 0)
            *why = NULL;
    }
    if (*why) ac_door_destroy(&self);
    return self;
}

static void free_headers(struct curl_slist *list) {
    for (struct curl_slist *at = list; at; at = at->next)
        explicit_bzero(at->data, strlen(at->data));
    curl_slist_free_all(list);
}

void ac_door_destroy(ac_door_t **self_p) {
    ac_door_t *self = *self_p;
    if (!self) return;
    free_headers(self->headers);
    free_headers(self->file_headers);
    free(self->base);
    free(self->env_name);
    proxy_clear(&self->proxy);
    trust_clear(&self->trust);
    free(self);
    *self_p = NULL;
}

void ac_door_verify(ac_door_t *self) {
    self->verify = true;
}

/* Adds "&name=value" with the value percent-encoded. */
static char *add_query(char *url, const char *mark, const char *name, const char *value) {
    char *escaped = curl_easy_escape(NULL, value, 0);
    char *pair = url && escaped ? join(mark, name, escaped) : NULL;
    char *longer = pair ? join(url, pair, "") : NULL;
    curl_free(escaped);
    free(pair);
    free(url);
    return longer;
}

char *ac_door_url(const ac_door_t *self, const ac_request_t *request) {
    char *url = join(self->base, ac_call_name(request->call), "");
    if (request->call == CALL_GET_TASK) {
        url = add_query(url, "?", "agentId=", request->agent_id);
        url = add_query(url, "&", "agentVersion=", SLUICE_VERSION);
        if (self->env_name[0]) url = add_query(url, "&", "envName=", self->env_name);
    } else if (request->call == CALL_UPLOAD_URL) {
        url = add_query(url, "?", "fileName=", request->file_name);
    } else if (request->call == CALL_UPLOAD_LOGS && self->env_name[0]) {
        url = add_query(url, "?", "envName=", self->env_name);
    }
    return url;
}
