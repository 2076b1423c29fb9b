/* The way to a server, hop by hop. */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/doctor.h"
#include "cli/status_page.h"
#include "common/clock.h"
#include "common/proxy.h"
#include "common/trust.h"

#define NAMES_MAX     256
#define CERT_WARN_DAY 21

typedef struct {
    const target_t *target;
    char host[256]; /* without brackets */
    char port[8];
    bool https;
    proxy_t proxy;
    trust_t trust;
    bool by_proxy;
} way_t;

/* --- the URL --- */

static bool read_url(way_t *way) {
    char *scheme = NULL, *host = NULL, *port = NULL;
    CURLU *url = curl_url();
    bool ok = url && curl_url_set(url, CURLUPART_URL, way->target->url, CURLU_URLENCODE) == CURLUE_OK &&
              curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
              curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
              curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
              (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0) &&
              strlen(host) < sizeof way->host && strlen(port) < sizeof way->port;
    if (ok) {
        size_t len = strlen(host);
        bool bracketed = host[0] == '[' && len > 2;
        (void)snprintf(way->host, sizeof way->host, "%.*s", (int)(bracketed ? len - 2 : len),
                       host + (bracketed ? 1 : 0));
        (void)snprintf(way->port, sizeof way->port, "%s", port);
        way->https = strcmp(scheme, "https") == 0;
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(url);
    return ok;
}

/* --- names --- */

/* The addresses of one family into `list`; getaddrinfo's code. */
static int look_up(const char *host, int family, char list[NAMES_MAX]) {
    struct addrinfo hints = {.ai_family = family, .ai_socktype = SOCK_STREAM}, *found = NULL;
    int rc = getaddrinfo(host, NULL, &hints, &found);
    size_t used = 0;
    list[0] = '\0';
    for (struct addrinfo *at = found; rc == 0 && at; at = at->ai_next) {
        char address[NI_MAXHOST];
        if (getnameinfo(at->ai_addr, at->ai_addrlen, address, sizeof address, NULL, 0, NI_NUMERICHOST) != 0)
            continue;
        if (used + strlen(address) + 3 > NAMES_MAX) break;
        used += (size_t)snprintf(list + used, NAMES_MAX - used, "%s%s", used ? ", " : "", address);
    }
    if (found) freeaddrinfo(found);
    return rc;
}

static bool is_address(const char *host) {
    unsigned char octets[16];
    return inet_pton(AF_INET, host, octets) == 1 || inet_pton(AF_INET6, host, octets) == 1;
}

static bool temporary(int rc) {
    return rc == EAI_AGAIN || rc == EAI_FAIL;
}

static bool check_name(report_t *report, const target_t *target, const char *host) {
    char v4[NAMES_MAX], v6[NAMES_MAX];
    if (is_address(host)) {
        report_add(report, FOUND_OK, "name", "", "%s is an address; nothing to look up", host);
        return true;
    }
    int rc4 = look_up(host, AF_INET, v4), rc6 = look_up(host, AF_INET6, v6);
    if (rc4 != 0 && rc6 != 0) {
        report_add(report, FOUND_FAILURE, "name",
                   "check the spelling, /etc/resolv.conf, and that this machine may ask that name server",
                   "%s: no address (A: %s; AAAA: %s)", host, gai_strerror(rc4), gai_strerror(rc6));
        return false;
    }
    if (rc4 == 0 && temporary(rc6) && !target->ipv4_fallback)
        report_add(
            report, FOUND_WARNING, "name",
            "the name server does not answer for IPv6, which can make look-ups fail: set --ipv4Fallback",
            "%s: A %s; AAAA: %s", host, v4, gai_strerror(rc6));
    else
        report_add(report, FOUND_OK, "name", "", "%s: A %s; AAAA %s", host, rc4 == 0 ? v4 : "none",
                   rc6 == 0 ? v6 : "none");
    return true;
}

/* --- the proxy --- */

static bool choose_proxy(report_t *report, way_t *way) {
    const target_t *target = way->target;
    const char *given = way->https ? target->proxy_https : target->proxy_http, *why = "";
    if (proxy_choose(&way->proxy, given, way->https, &why) != 0) {
        report_add(report, FOUND_FAILURE, "proxy", "it must be like http://proxy.example:3128",
                   "the proxy %s is no URL: %s", given[0] ? "of the options" : "of the environment", why);
        return false;
    }
    way->by_proxy = proxy_used(&way->proxy, way->host, (unsigned)strtoul(way->port, NULL, 10));
    if (way->by_proxy)
        report_add(report, FOUND_OK, "proxy", "", "%s, from %s", way->proxy.where,
                   given[0] ? "the options" : "the environment");
    else
        report_add(report, FOUND_OK, "proxy", "", "none%s",
                   way->proxy.url[0] ? ": no_proxy names this host" : "");
    return true;
}

/* --- the connection --- */

typedef struct {
    char subject[160], issuer[160];
    int64_t expires_s; /* 0: unknown */
} certificate_t;

/* The value of "NAME:VALUE" when that is the line's name. */
static bool field(const char *line, const char *name, char *value, size_t size) {
    size_t len = strlen(name);
    if (strncmp(line, name, len) != 0 || line[len] != ':') return false;
    (void)snprintf(value, size, "%s", line + len + 1);
    return true;
}

/* The server's own certificate, the first of the chain. */
static bool read_certificate(CURL *easy, certificate_t *certificate) {
    struct curl_certinfo *chain = NULL;
    char expires[64] = "";
    *certificate = (certificate_t){0};
    if (curl_easy_getinfo(easy, CURLINFO_CERTINFO, &chain) != CURLE_OK || !chain || chain->num_of_certs < 1)
        return false;
    for (struct curl_slist *at = chain->certinfo[0]; at; at = at->next) {
        (void)field(at->data, "Subject", certificate->subject, sizeof certificate->subject);
        (void)field(at->data, "Issuer", certificate->issuer, sizeof certificate->issuer);
        (void)field(at->data, "Expire date", expires, sizeof expires);
    }
    struct tm tm = {0};
    if (strptime(expires, "%b %d %H:%M:%S %Y GMT", &tm)) certificate->expires_s = (int64_t)timegm(&tm);
    return true;
}

/* Not where an executor would not connect. */
static curl_socket_t open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *address) {
    if (purpose != CURLSOCKTYPE_IPCXN || !doctor_policy_lets_out(ctx, &address->addr)) return CURL_SOCKET_BAD;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static CURL *make_easy(const way_t *way, bool verify, char error[CURL_ERROR_SIZE]) {
    const target_t *target = way->target;
    CURL *easy = curl_easy_init();
    if (!easy) return NULL;
    error[0] = '\0';
    (void)curl_easy_setopt(easy, CURLOPT_URL, target->url);
    (void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error);
    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, (long)target->connect_timeout_s);
    (void)curl_easy_setopt(easy, CURLOPT_CERTINFO, 1L);
    if (target->client_cert[0]) (void)curl_easy_setopt(easy, CURLOPT_SSLCERT, target->client_cert);
    if (target->client_key[0]) (void)curl_easy_setopt(easy, CURLOPT_SSLKEY, target->client_key);
    if (target->tool && !way->by_proxy) {
        (void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
        (void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, target->tool);
    }
    proxy_apply(&way->proxy, easy, way->host, (unsigned)strtoul(way->port, NULL, 10));
    trust_apply(&way->trust, easy, verify);
    return easy;
}

static const char *connect_advice(const way_t *way, CURLcode code) {
    switch (code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
        return "check the proxy's name";
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
        return way->by_proxy
                   ? "check that the proxy runs, and that a firewall lets this machine reach it"
                   : "check host and port, and that a firewall lets this machine out; if only a proxy gets "
                     "out, name it in the options";
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
        return way->by_proxy
                   ? "the proxy refuses: check its rules, and the user and password in its URL"
                   : "something on the way closes the connection: a firewall, or a proxy that must be named";
    case CURLE_SSL_CACERT_BADFILE:
        return "the certificates to trust cannot be read: check the path, and that it is PEM";
    case CURLE_SSL_CERTPROBLEM:
        return "the client certificate or its key cannot be used: check --clientCert and --clientKey";
    default:
        return way->https ? "check that this port speaks TLS, and what stands between"
                          : "check what stands between";
    }
}

static const char *trust_advice(const target_t *target) {
    return strcmp(target->ca_option, "caBundle") == 0 ? "if the issuer is your company's (a proxy that opens "
                                                        "TLS), give its certificates with --caBundle; "
                                                        "else the server's certificate has to be renewed"
                                                      : "if the issuer is your company's, give its "
                                                        "certificates with --toolCaBundle; else the server's "
                                                        "certificate has to be renewed";
}

/* Why a certificate is not believed, with what it says itself, read once more without verifying. */
static void untrusted(report_t *report, const way_t *way, const char *why) {
    char error[CURL_ERROR_SIZE];
    certificate_t certificate = {0};
    CURL *easy = make_easy(way, false, error);
    if (easy) {
        (void)curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
        if (curl_easy_perform(easy) == CURLE_OK) (void)read_certificate(easy, &certificate);
        curl_easy_cleanup(easy);
    }
    report_add(report, FOUND_FAILURE, "TLS certificate", trust_advice(way->target), "%s%s%s%s%s", why,
               certificate.subject[0] ? "; it is for " : "", certificate.subject,
               certificate.issuer[0] ? ", issued by " : "", certificate.issuer);
}

static void check_certificate(report_t *report, const way_t *way, CURL *easy) {
    certificate_t certificate;
    char when[32] = "unknown";
    if (!read_certificate(easy, &certificate)) {
        report_add(report, FOUND_WARNING, "TLS certificate",
                   "see what stands between: it speaks TLS by itself",
                   "the connection stands, but shows no certificate");
        return;
    }
    int64_t days = (certificate.expires_s - clock_wall_ms() / 1000) / 86400;
    time_t expires = (time_t)certificate.expires_s;
    struct tm tm;
    if (certificate.expires_s && gmtime_r(&expires, &tm)) (void)strftime(when, sizeof when, "%Y-%m-%d", &tm);
    if (!way->target->verify)
        report_add(
            report, FOUND_WARNING, "TLS certificate", "remove --verify false",
            "not verified, so that anybody on the way can read the key; for %s, issued by %s, until %s",
            certificate.subject, certificate.issuer, when);
    else if (certificate.expires_s && days < CERT_WARN_DAY)
        report_add(report, FOUND_WARNING, "TLS certificate",
                   "see that the server's certificate is renewed in time",
                   "verified, but ends on %s, in %lld days; for %s, issued by %s", when, (long long)days,
                   certificate.subject, certificate.issuer);
    else
        report_add(report, FOUND_OK, "TLS certificate", "", "verified; for %s, issued by %s, until %s",
                   certificate.subject, certificate.issuer, when);
}

static bool check_connection(report_t *report, const way_t *way) {
    char error[CURL_ERROR_SIZE], took[PAGE_SHORT_MAX];
    CURL *easy = make_easy(way, way->target->verify, error);
    if (!easy) {
        report_add(report, FOUND_FAILURE, "connection", "try again", "out of memory");
        return false;
    }
    (void)curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
    int64_t began_ms = clock_boot_ms();
    CURLcode code = curl_easy_perform(easy);
    int64_t took_ms = clock_boot_ms() - began_ms;
    const char *why = error[0] ? error : curl_easy_strerror(code);
    char *address = NULL;
    (void)curl_easy_getinfo(easy, CURLINFO_PRIMARY_IP, &address);
    if (code == CURLE_OK) {
        report_add(report, took_ms > 5000 ? FOUND_WARNING : FOUND_OK, "connection",
                   took_ms > 5000 ? "the network or the server is slow" : "", "%s%s to %s:%s stands after %s",
                   way->https ? "TLS" : "TCP", way->by_proxy ? " through the proxy" : "", way->host,
                   way->port, page_span(took_ms, took));
        if (way->https) check_certificate(report, way, easy);
    } else if (code == CURLE_PEER_FAILED_VERIFICATION) {
        report_add(report, FOUND_OK, "connection", "", "%s:%s answers%s%s", way->host, way->port,
                   address && address[0] ? " at " : "", address ? address : "");
        untrusted(report, way, why);
    } else {
        report_add(report, FOUND_FAILURE, "connection", connect_advice(way, code), "%s:%s%s%s: %s", way->host,
                   way->port, way->by_proxy ? " through the proxy " : "",
                   way->by_proxy ? way->proxy.where : "", why);
    }
    curl_easy_cleanup(easy);
    return code == CURLE_OK;
}

/* --- the whole way --- */

static bool begin(report_t *report, way_t *way) {
    const target_t *target = way->target;
    if (!read_url(way)) {
        report_add(report, FOUND_FAILURE, "URL", "it must be http://HOST or https://HOST",
                   "the URL of %s is none", target->what);
        return false;
    }
    if (trust_choose(&way->trust, target->ca_bundle) != 0) {
        report_add(report, FOUND_FAILURE, "URL", "try again", "out of memory");
        return false;
    }
    return choose_proxy(report, way);
}

static void end(way_t *way) {
    proxy_clear(&way->proxy);
    trust_clear(&way->trust);
}

/* The host to look up here: behind a proxy the name is the proxy's to look up. */
static bool check_lookup(report_t *report, const way_t *way) {
    if (!way->by_proxy) return check_name(report, way->target, way->host);
    char host[PROXY_WHERE_MAX];
    (void)snprintf(host, sizeof host, "%s", way->proxy.where);
    char *colon = strrchr(host, ':');
    if (colon) *colon = '\0';
    return check_name(report, way->target, host);
}

bool doctor_net(report_t *report, const target_t *target) {
    way_t way = {.target = target};
    bool ok = begin(report, &way) && check_lookup(report, &way) && check_connection(report, &way);
    end(&way);
    return ok;
}

static size_t drop(const char *data, size_t size, size_t count, void *ctx) {
    (void)data, (void)ctx;
    return size * count;
}

void doctor_tool(report_t *report, const target_t *target) {
    way_t way = {.target = target};
    char error[CURL_ERROR_SIZE], took[PAGE_SHORT_MAX];
    CURL *easy = NULL;
    if (begin(report, &way) && check_lookup(report, &way) &&
        doctor_policy(report, target->tool, way.by_proxy) && check_connection(report, &way))
        easy = make_easy(&way, target->verify, error);
    if (easy) {
        long status = 0;
        (void)curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
        (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, drop);
        (void)curl_easy_setopt(easy, CURLOPT_TIMEOUT, (long)target->connect_timeout_s + 30);
        int64_t began_ms = clock_boot_ms();
        CURLcode code = curl_easy_perform(easy);
        int64_t took_ms = clock_boot_ms() - began_ms;
        (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        if (code != CURLE_OK)
            report_add(report, FOUND_FAILURE, "answer", "the tool takes the connection, but does not answer",
                       "HEAD: %s", error[0] ? error : curl_easy_strerror(code));
        else
            report_add(report, status >= 500 ? FOUND_WARNING : FOUND_OK, "answer",
                       status >= 500 ? "the tool itself has a fault, or what stands before it" : "",
                       "HEAD without credentials: status %ld after %s", status, page_span(took_ms, took));
        curl_easy_cleanup(easy);
    }
    end(&way);
}
