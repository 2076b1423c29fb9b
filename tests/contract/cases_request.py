"""What the tool sees: AC contract section 3."""
from case import Case, Failed, network, given, seen, task

FORM = "Content-Type: application/x-www-form-urlencoded"


def method_case(name, sent, *headers):
    body = b"" if sent == "HEAD" else b"ok"
    return Case(f"method-{name}", "3 method", task=task(method=name), sees=[seen(sent, "/{name}", *headers)],
                gives=given(body=body))


def body_case(name, method, value, body, *headers):
    """`value` is the JSON text of input, None for none."""
    members = "" if value is None else f'"input":{value}'
    octets = body.encode() if isinstance(body, str) else body
    return Case(f"body-{name}", "3 input", task=task(members, method=method),
                sees=[seen(method, "/{name}", *headers, f"Content-Length: {len(octets)}", body=octets)])


def refused(topic, name, members, why, **more):
    return Case(f"refused-{name}", topic, task=task(members, **more), sees=[], gives=Failed(why))


def header_case(name, headers, *lines, **replaced):
    return Case(f"header-{name}", "3 headers", task=task(f'"requestHeaders":{headers}'), sees=[seen("GET", "/{name}", *lines, **replaced)])


def url_case(name, url, target, *headers, **more):
    return Case(f"url-{name}", "3 url", task=task(url=url, **more), sees=[seen("GET", target, *headers)])


METHODS = [
    method_case("get", "GET"),
    method_case("GeT", "GET"),
    method_case("post", "POST", "Content-Length: 0"),
    method_case("Put", "PUT", "Content-Length: 0"),
    method_case("patch", "PATCH", "Content-Length: 0"),
    method_case("DELETE", "DELETE", "Content-Length: 0"),
    method_case("options", "OPTIONS", "Content-Length: 0"),
    method_case("head", "HEAD"),
    method_case("propfind", "PROPFIND", "Content-Length: 0"),
    refused("3 method", "method-spaces", "", "the task's method is none", method="GET /x"),
]

BODIES = [
    body_case("string", "POST", '"a=1&b=2"', "a=1&b=2"),
    body_case("string-put", "PUT", '"x"', "x"),
    body_case("string-delete", "DELETE", '"x"', "x"),
    body_case("string-get", "GET", '"x"', "x"),
    Case("body-string-head", "3 input", task=task('"input":"x"', method="HEAD"),
         sees=[seen("HEAD", "/{name}", "Content-Length: 1", body="x")], answers=b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n",
         gives=given(headers='"X":"y"', body=b"")),
    body_case("umlauts", "POST", '"äöü €"', "äöü €"),
    body_case("escapes", "POST", r'"\u00e4\ud83d\ude00\t\"\\\/\n"', "ä😀\t\"\\/\n"),
    body_case("nul", "POST", r'"a\u0000b"', b"a\0b"),
    body_case("json", "POST", r'"{\"a\": [1, 2.50]}"', '{"a": [1, 2.50]}'),
    body_case("empty", "POST", '""', ""),
    body_case("null", "PUT", "null", ""),
    body_case("absent", "PATCH", None, ""),
    Case("body-empty-get", "3 input", task=task('"input":""')),
    Case("body-null-head", "3 input", task=task('"input":null', method="HEAD"), sees=[seen("HEAD")], gives=given(body=b"")),
    body_case("object", "POST", '{"a":"1 2","b":"x&y"}', "a=1+2&b=x%26y", FORM),
    body_case("object-get", "GET", '{"a":"1"}', "a=1", FORM),
    body_case("object-values", "POST", '{"n":5,"d":2.5,"t":true,"f":false,"none":null,"l":["x",1],"ä":"ö/~"}',
              "n=5&d=2.5&t=True&f=False&l=x&l=1&%C3%A4=%C3%B6%2F~", FORM),
    body_case("object-empty", "POST", "{}", ""),
    Case("body-object-own-type", "3 input",
         task=task('"requestHeaders":{"content-type":"x/y"},"input":{"a":"b"}', method="POST"),
         sees=[seen("POST", "/{name}", "content-type: x/y", "Content-Length: 3", body="a=b")]),
    refused("3 input", "body-number", '"input":5', "the task's input is neither a string nor an object"),
    refused("3 input", "body-array", '"input":["a","b"]', "the task's input is neither a string nor an object"),
    refused("3 input", "body-bool", '"input":true', "the task's input is neither a string nor an object"),
    refused("3 input", "body-half-a-pair", r'"input":"\ud800"', "input holds half of a surrogate pair, which UTF-8 cannot carry"),
    Case("body-large", "3 input", task=task('"input":"' + "z" * 300000 + '"', method="POST"),
         sees=[seen("POST", "/{name}", "Content-Length: 300000", body="z" * 300000)]),
]

HEADERS = [
    header_case("plain", '{"X-One":"1","x-two":"two words"}', "X-One: 1", "x-two: two words"),
    header_case("empty-value", '{"X-Empty":""}', "X-Empty:"),
    header_case("umlaut", '{"X":"caf\\u00e9"}', "X: café"),
    header_case("twice-by-case", '{"X-A":"1","b":"2","x-a":"3"}', "x-a: 3", "b: 2"),
    header_case("many", "{" + ",".join(f'"X-{i}":"{i}"' for i in range(1000)) + "}", *(f"X-{i}: {i}" for i in range(1000))),
    header_case("absent", "null"),
    header_case("none", "{}"),
    header_case("defaults-replaced", '{"accept":"x/y","USER-AGENT":"me","accept-Encoding":"identity"}',
                accept="accept: x/y", agent="USER-AGENT: me", encoding="accept-Encoding: identity"),
    header_case("connection", '{"connection":"close"}', connection="connection: close"),
    header_case("null-value", '{"X":null,"Accept":null,"y":"z"}', "y: z", accept=""),
    header_case("null-encoding", '{"accept-encoding":null}', encoding="Accept-Encoding: identity"),
    Case("header-host", "3 headers", task=task('"requestHeaders":{"Host":"tool.example"}'), sees=[seen(host="tool.example")]),
    header_case("authorization", '{"Authorization":"Bearer secret"}', "Authorization: Bearer secret"),
    header_case("cookie", '{"Cookie":"a=b; c=d"}', "Cookie: a=b; c=d"),
    Case("header-content-type", "3 headers", task=task('"requestHeaders":{"content-Type":"application/json"},"input":"{}"', method="POST"),
         sees=[seen("POST", "/{name}", "content-Type: application/json", "Content-Length: 2", body="{}")]),
    Case("header-length-is-ours", "3 headers",
         task=task('"requestHeaders":{"content-length":"99","Transfer-Encoding":"chunked","Expect":"100-continue"},'
                   '"input":"abc"', method="POST"),
         sees=[seen("POST", "/{name}", "Content-Length: 3", body="abc")]),
    Case("header-no-expect", "3 headers", task=task('"input":"' + "y" * 2000000 + '"', method="PUT"),
         sees=[seen("PUT", "/{name}", "Content-Length: 2000000", body="y" * 2000000)]),
    Case("header-token-type", "3 token",
         task=task('"requestHeaders":{"content-type":"application/json"},"input":"a=b"', method="POST",
                   url="{tool}/{name}/cxrestapi/auth/identity/connect/token"),
         sees=[seen("POST", "/{name}/cxrestapi/auth/identity/connect/token", FORM, "Content-Length: 3", body="a=b")]),
    refused("3 headers", "header-line-break", '"requestHeaders":{"X":"a\\r\\nY: b"}',
            "a header of the task has a line break or NUL in its value"),
    refused("3 headers", "header-name", '"requestHeaders":{"X Y:":"a"}', "a header of the task has a name that cannot be sent"),
    refused("3 headers", "header-euro", '"requestHeaders":{"X":"€"}', "a header of the task has characters that no header can carry"),
    refused("3 headers", "header-number", '"requestHeaders":{"X":5}', "a value in requestHeaders is no string"),
    refused("3 headers", "header-list", '"requestHeaders":["X"]', "requestHeaders is no object of strings"),
]

URLS = [
    url_case("illegal", "{tool}/{name}/a b/é?q=a b|c[1]&ü=\\\"<>^`{}", "/{name}/a%20b/%C3%A9?q=a%20b%7Cc%5B1%5D&%C3%BC=%22%3C%3E%5E%60%7B%7D"),
    url_case("escapes-stay", "{tool}/{name}/a%20b%2Fc%3Fd?x=%26%3D%C3%A9", "/{name}/a%20b%2Fc%3Fd?x=%26%3D%C3%A9"),
    url_case("escapes-of-letters", "{tool}/{name}/%41%7E?%62", "/{name}/A~?b"),
    url_case("broken-escape", "{tool}/{name}/100%?50%", "/{name}/100%25?50%25"),
    url_case("fragment", "{tool}/{name}?a=b#frag", "/{name}?a=b"),
    url_case("no-path", "{tool}?case={name}", "/?case={name}"),
    url_case("empty-query", "{tool}/{name}?", "/{name}"),
    url_case("plus-and-subdelims", "{tool}/{name}/a+b;c=d,e!$&'()*@:?a+b=/?:@;", "/{name}/a+b;c=d,e!$&'()*@:?a+b=/?:@;"),
    url_case("dots", "{tool}/{name}/a/../b/./c", "/{name}/b/c"),
    url_case("double-slash", "{tool}/{name}//a///b", "/{name}//a///b"),
    url_case("capital-scheme", "HTTP://{tool.at}/{name}", "/{name}"),
    url_case("spaces-in-front", "  {tool}/{name}", "/{name}"),
    url_case("json-escapes", "{tool}\\/{name}\\u002fx\\u00fc", "/{name}/x%C3%BC"),
    url_case("credentials", "http://user:p%40ss@{tool.at}/{name}", "/{name}", "Authorization: Basic dXNlcjpwQHNz",
             members='"requestHeaders":{"Authorization":"Bearer theirs"}'),
    refused("3 url", "url-credentials-nul", "", "user or password in the URL have a NUL character", url="http://u:p%00q@{tool.at}/{name}"),
    Case("url-ipv6", "3 url", needs="ipv6", task=task(url="{six}/{name}"), sees=[seen(host="{six.at}")]),
    refused("3 url", "url-scheme", "", "the URL's scheme is not supported; only http and https are", url="ftp://127.0.0.1/x"),
    refused("3 url", "url-file", "", "the URL's scheme is not supported; only http and https are", url="file:///etc/passwd"),
    refused("3 url", "url-no-scheme", "", "the URL has no scheme; it must begin with http:// or https://", url="tool.example/x"),
    refused("3 url", "url-no-host", "", "the URL names no host, or one that cannot be read", url="http:///x"),
    refused("3 url", "url-port", "", "the URL's port is no number up to 65535", url="http://127.0.0.1:99999/x"),
]

FAILURES = [
    Case("expires-while-running", "3 time-outs", task=task('"expiryTsMs":{in1500ms}'), answers=None,
         gives=network(r"{tool.at}: waiting for the answer: Operation timed out after \d+ milliseconds with 0 bytes received")),
    Case("expired", "3 time-outs", task=task('"expiryTsMs":1700000000000'), sees=[],
         gives=Failed(r"task expired \d+ ms ago, before it was sent to the tool")),
    Case("expired-at-zero", "3 time-outs", task=task('"expiryTsMs":0'), sees=[],
         gives=Failed(r"task expired \d+ ms ago, before it was sent to the tool")),
    Case("no-connection-in-time", "3 time-outs", task=task(url="{full}/{name}?secret"), sees=[],
         gives=network(r"{full.at}: connecting: .*[Tt]ime.*")),
    Case("refused-connection", "2 errors", task=task(url="{dead}/{name}?secret"), sees=[],
         gives=network(r"{dead.at}: connecting: .*Connection refused")),
    Case("unknown-host", "2 errors", task=task(url="http://no-such-host.invalid/{name}?secret"), sees=[],
         gives=network(r"no-such-host\.invalid:80: looking up the name: Could not resolve host: no-such-host\.invalid")),
    Case("tls-failure", "2 errors", task=task(url="{tls}/{name}"), sees=[],
         gives=network(r"{tls.at}: TLS handshake: SSL certificate problem: self-signed certificate")),
]

CASES = FAILURES + METHODS + BODIES + HEADERS + URLS
