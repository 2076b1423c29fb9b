"""Redirects: AC contract section 3."""
from case import Case, Failed, OK, answer, given, moved, network, seen, task

SECRET = '"requestHeaders":{"Authorization":"Bearer secret","Content-Type":"x/y","X":"kept"},"input":"body"'
SENT = ("Authorization: Bearer secret", "Content-Type: x/y", "X: kept", "Content-Length: 4")
KEPT = ("Authorization: Bearer secret", "X: kept")


KEPT_BODY = ("Content-Type: x/y", "X: kept", "Content-Length: 4")  # without Authorization


def redirect(status, method, then, *headers, body=b"", to="", host="{tool.at}", start="{tool}", name=""):
    """A request with a body and Authorization, redirected to `to`/NAME/next; then the second request."""
    return Case(f"redirect-{name}{status}-{method.lower()}", "3 redirects", task=task(SECRET, url=start + "/{name}", method=method),
                sees=[seen(method, "/{name}", *SENT, body="body", host=start[:-1] + ".at}"),
                      seen(then, "/{name}/next", *headers, body=body, host=host)],
                answers=[moved(status, to + "/{name}/next"), OK])


def elsewhere(name, to, host, start="{tool}"):
    """Every code to another place: Authorization stays behind, and the body as it does on the same host."""
    where = {"to": to, "host": host, "start": start, "name": name + "-"}
    return [redirect(status, "POST", "GET", "X: kept", **where) for status in (301, 302, 303)] + \
           [redirect(status, "POST", "POST", *KEPT_BODY, body="body", **where) for status in (307, 308)] + \
           [redirect(301, "PUT", "PUT", "X: kept", "Content-Length: 0", **where),
            redirect(302, "PUT", "GET", "X: kept", **where),
            redirect(308, "DELETE", "DELETE", *KEPT_BODY, body="body", **where)]


CASES = [
    redirect(301, "POST", "GET", *KEPT),
    redirect(301, "PUT", "PUT", *KEPT, "Content-Length: 0"),
    redirect(301, "DELETE", "DELETE", *KEPT),
    redirect(302, "POST", "GET", *KEPT),
    redirect(302, "PUT", "GET", *KEPT),
    redirect(302, "DELETE", "GET", *KEPT),
    redirect(303, "PATCH", "GET", *KEPT),
    redirect(307, "POST", "POST", *SENT, body="body"),
    redirect(307, "PUT", "PUT", *SENT, body="body"),
    redirect(308, "PUT", "PUT", *SENT, body="body"),
    *elsewhere("port", "{other}", "{other.at}"),
    *elsewhere("host", "http://localhost:{tool.port}", "localhost:{tool.port}"),
    *elsewhere("to-https", "{private}", "{private.at}"),
    *elsewhere("to-http", "{tool}", "{tool.at}", "{private}"),
    Case("redirect-302-head", "3 redirects", task=task(method="HEAD"), sees=[seen("HEAD"), seen("HEAD", "/{name}/next")],
         answers=[answer("302 Moved", "Location: /{name}/next", "Content-Length: 7", length=False), OK],
         gives=given(body=b"")),
    Case("redirect-other-host", "3 redirects", task=task(SECRET, method="POST"),
         sees=[seen("POST", "/{name}", *SENT, body="body"),
               seen("POST", "/{name}", "Content-Type: x/y", "X: kept", "Content-Length: 4", host="{other.at}", body="body")],
         answers=[moved(307, "{other}/{name}"), OK]),
    Case("redirect-drops-the-tasks-cookie", "3 redirects", task=task('"requestHeaders":{"Cookie":"a=b"}'),
         sees=[seen("GET", "/{name}", "Cookie: a=b"), seen("GET", "/{name}/next")],
         answers=[moved(302, "/{name}/next"), OK]),
    Case("redirect-cookie-set", "3 redirects", sees=[seen(), seen("GET", "/{name}/next", "Cookie: sid=1")],
         answers=[answer("302 Moved", "Location: /{name}/next", "Set-Cookie: sid=1; Path=/"), OK]),
    Case("redirect-cookies", "3 redirects",
         sees=[seen(), seen("GET", "/{name}/next", 'Cookie: deep=1; a=3; b=caf\xe9; q="x; alone; __Host-c=4')],
         answers=[answer("302 Moved", "Location: /{name}/next", "Set-Cookie: a=1; path=/", "Set-Cookie: b=caf\xe9", 'Set-Cookie: q="x;y"',
                         "Set-Cookie: alone", "Set-Cookie: deep=1; Path=/{name}", "Set-Cookie: gone=1; Max-Age=0",
                         "Set-Cookie: old=1; Expires=Wed, 09 Jun 2021 10:18:14 GMT", "Set-Cookie: tls=1; Secure",
                         "Set-Cookie: theirs=1; Domain=tool.example", "Set-Cookie: elsewhere=1; Path=/elsewhere",
                         "Set-Cookie: =none", "Set-Cookie: __Host-c=4", "Set-Cookie: a=3; Path=/"), OK]),
    # A run before this one had a Host header of its own; its cookies must not follow another task to another host.
    Case("redirect-cookie-stays-with-its-host", "3 redirects",
         sees=[seen(), seen("GET", "/{name}/next", host="localhost:{tool.port}")],
         answers=[answer("302 Moved", "Location: http://localhost:{tool.port}/{name}/next", "Set-Cookie: sid=1"), OK]),
    Case("redirect-cookie-goes-with-the-host-header", "3 redirects", task=task('"requestHeaders":{"Host":"tool.example"}'),
         sees=[seen(host="tool.example"), seen("GET", "/{name}/next", "Cookie: sid=1", host="tool.example")],
         answers=[answer("302 Moved", "Location: /{name}/next", "Set-Cookie: sid=1; Domain=tool.example"), OK]),
    Case("redirect-escaped-dots", "3 redirects", task=task(url="{tool}/{name}/a/b"), sees=[seen("GET", "/{name}/a/b"), seen("GET", "/{name}/c")],
         answers=[moved(302, "%2e%2e/c"), OK]),
    Case("redirect-up-to-a-folder", "3 redirects", task=task(url="{tool}/{name}/a/b"), sees=[seen("GET", "/{name}/a/b"), seen("GET", "/{name}/")],
         answers=[moved(302, "../?"), OK]),
    Case("redirect-empty-query", "3 redirects", task=task(url="{tool}/{name}?a=b"), sees=[seen("GET", "/{name}?a=b")] * 2,
         answers=[moved(302, "?"), OK]),
    Case("redirect-scheme-without-host", "3 redirects", sees=[seen(), seen("GET", "/{name}/next")],
         answers=[moved(302, "http:/{name}/next"), OK]),
    Case("redirect-no-host", "3 redirects", sees=[seen(), seen("GET", "/{name}/next")],
         answers=[moved(302, "///{name}/next"), OK]),
    Case("redirect-relative", "3 redirects", task=task(url="{tool}/{name}/a/b?c=d"),
         sees=[seen("GET", "/{name}/a/b?c=d"), seen("GET", "/{name}/a/x%20y?z=%C3%A9")],
         answers=[moved(302, "x y?z=%c3%a9"), OK]),
    Case("redirect-network-path", "3 redirects", sees=[seen(), seen("GET", "/{name}/there", host="{other.at}")],
         answers=[moved(301, "//{other.at}/{name}/there"), OK]),
    Case("redirect-keeps-no-fragment", "3 redirects", sees=[seen(), seen("GET", "/{name}/next")],
         answers=[moved(301, "/{name}/next#frag"), OK]),
    Case("redirect-30-times", "3 redirects", sees=[seen()] * 31, answers=[moved(301, "/{name}")] * 30 + [OK]),
    Case("redirect-in-a-loop", "3 redirects", sees=[seen()] * 31, answers=moved(302, "/{name}"),
         gives=network("{tool.at}: more than 30 redirects")),
    Case("redirect-other-scheme", "3 redirects", sees=[seen()], answers=moved(302, "ftp://127.0.0.1/x"),
         gives=Failed("{tool.at}: the URL's scheme is not supported; only http and https are")),
    Case("redirect-to-a-file", "3 redirects", task=task(SECRET, method="POST"), sees=[seen("POST", "/{name}", *SENT, body="body")],
         answers=moved(307, "file:///etc/passwd"),
         gives=Failed("{tool.at}: the URL's scheme is not supported; only http and https are")),
    Case("redirect-https-to-a-file", "3 redirects", task=task(url="{private}/{name}"), sees=[seen(host="{private.at}")],
         answers=moved(302, "file://localhost/etc/passwd"),
         gives=Failed("{private.at}: the URL's scheme is not supported; only http and https are")),
    Case("redirect-to-a-certificate-of-nobody", "3 redirects", task=task(SECRET, method="POST"),
         sees=[seen("POST", "/{name}", *SENT, body="body")], answers=moved(307, "{tls}/{name}"),
         gives=network("{tls.at}: TLS handshake: SSL certificate problem: self-signed certificate")),
    Case("redirect-without-location", "3 redirects", answers=answer("302 Found", body=b"where?"),
         gives=given(302, '"Content-Length":"6"', b"where?")),
    Case("redirect-300-is-an-answer", "3 redirects", answers=answer("300 Choices", "Location: /{name}/next", body=b"x"),
         gives=given(300, '"Location":"/{name}/next","Content-Length":"1"', b"x")),
    Case("redirect-headers-are-the-last", "2 headers", sees=[seen(), seen("GET", "/{name}/next")],
         answers=[answer("302 Moved", "Location: /{name}/next", "X-First: 1", body=b"first"),
                  answer("404 None", "X-Last: 2", body=b"last")],
         gives=given(404, '"X-Last":"2","Content-Length":"4"', b"last")),
    Case("redirect-to-where-nobody-listens", "3 redirects", sees=[seen()], answers=moved(302, "{dead}/x"),
         gives=network(r"{dead.at}: connecting: .*Connection refused")),
]
