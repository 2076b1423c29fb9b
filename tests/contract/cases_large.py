"""Bodies over 512,000 octets: AC contract section 2. The octets are random, so that none get lost in compression, but for
those that are made to be small on the way. Each goes by upload-result, or by a store and put-result."""
import gzip
import random
import zlib

from case import CLOSE, Case, OK, answer, given, moved, network, seen, task

BODY = random.Random(1).randbytes(700001)
TEXT = b'{"finding": "a line like all others"}\n' * 60000
GZIP = gzip.compress(BODY, 1, mtime=0)
SECRET = '"requestHeaders":{"Authorization":"Bearer secret"},"input":"body"'


def headers(**values):
    """The text of responseHeaders."""
    return ",".join(f'"{name.replace("_", "-")}":"{value}"' for name, value in values.items())


def chunked(octets, end=b"0\r\n\r\n", size=50000):
    parts = [octets[i:i + size] for i in range(0, len(octets), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + end


def large(name, status="200 OK", body=BODY, *lines, octets=None, stored=(), **more):
    """`octets` are what the tool sends for the body, when it is encoded."""
    octets = body if octets is None else octets
    given_headers = headers(**{line.split(": ")[0].replace("-", "_"): line.split(": ")[1] for line in lines},
                            Content_Length=len(octets))
    return Case(f"large-{name}", "2 large", answers=answer(status, *lines, body=octets),
                gives=given(int(status[:3]), given_headers, body, stored), **more)


def coded(name, encoding, octets, body, **more):
    lines = ("Content-Type: application/json", f"Content-Encoding: {encoding}")
    return large(name, "200 OK", body, *lines, octets=octets, stored=lines, **more)


def broken(name, answers, why, **more):
    return Case(f"large-broken-{name}", "3 cut short", answers=answers, gives=network("{tool.at}: " + why), **more)


WHOLE = [
    large("404", "404 None"),
    large("401", "401 Who"),
    large("500", "500 Oh", TEXT),
    large("503-typed", "503 No", BODY, "content-type: text/html; charset=utf-8",
          stored=("Content-Type: text/html; charset=utf-8",)),
    large("429", "429 Slow", BODY, "Retry-After: 1"),
    large("206", "206 Part"),
    large("post", task=task('"input":"x"', method="POST"),
          sees=[seen("POST", "/{name}", "Content-Length: 1", body="x")]),
    large("compresses-well", "200 OK", bytes(3000000)),
    large("echo", "200 OK", TEXT, task=task('"n":2.50,"version":"1","responseHeaders":{"x":"y"},"statusCode":5'),
          echo=task('"n":2.50').removesuffix("}")),
    large("task-id", task='{"taskId":"t/ä \\"é\\"","url":"{tool}/{name}","method":"GET"}', task_id='t/ä "é"'),
    coded("gzip", "gzip", GZIP, BODY),
    coded("gzip-unasked", "gzip", GZIP, BODY, task=task('"requestHeaders":{"Accept-Encoding":"identity"}'),
          sees=[seen(encoding="Accept-Encoding: identity")]),
    coded("deflate", "deflate", zlib.compress(TEXT), TEXT),
    coded("small-on-the-way", "gzip", gzip.compress(bytes(1000000), mtime=0), bytes(1000000)),
    coded("one-octet-over", "gzip", gzip.compress(BODY[:512001], mtime=0), BODY[:512001]),
    coded("unknown-encoding", "br", BODY, BODY),
    Case("large-chunked", "2 large", answers=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(BODY),
         gives=given(200, headers(Transfer_Encoding="chunked"), BODY)),
    Case("large-chunked-gzip", "2 large", answers=b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n" +
         chunked(GZIP), gives=given(200, headers(Content_Encoding="gzip", Transfer_Encoding="chunked"), BODY,
                                    ("Content-Encoding: gzip",))),
    Case("large-until-close", "2 large", answers=b"HTTP/1.0 200 OK\r\nX: y\r\n\r\n" + BODY + CLOSE,
         gives=given(200, '"X":"y"', BODY)),
]

HEAD = [
    Case("large-head", "2 large", task=task(method="HEAD"), sees=[seen("HEAD")],
         answers=answer("200 OK", "Content-Length: 5000000000000", length=False),
         gives=given(200, headers(Content_Length="5000000000000"), b"")),
    Case("large-304", "2 large", answers=answer("304 Same", "Content-Length: 5000000000000", length=False),
         gives=given(304, headers(Content_Length="5000000000000"), b"")),
]

REDIRECTS = [
    large("after-a-redirect", "200 OK", BODY, "X: last", task=task(SECRET, method="POST"),
          sees=[seen("POST", "/{name}", "Authorization: Bearer secret", "Content-Length: 4", body="body"),
                seen("POST", "/{name}", "Content-Length: 4", host="{other.at}", body="body")]),
    Case("large-of-a-redirect", "2 large", sees=[seen(), seen("GET", "/{name}/next")],
         answers=[answer("302 Moved", "Location: /{name}/next", body=BODY), OK]),
    Case("large-of-both", "2 large", sees=[seen(), seen("GET", "/{name}/next")],
         answers=[answer("302 Moved", "Location: /{name}/next", body=TEXT), answer("404 None", body=BODY)],
         gives=given(404, headers(Content_Length=len(BODY)), BODY)),
]
REDIRECTS[0].answers = [moved(307, "{other}/{name}"), REDIRECTS[0].answers]

BROKEN = [
    broken("length", b"HTTP/1.1 200 OK\r\nContent-Length: 700002\r\n\r\n" + BODY + CLOSE,
           "reading the answer: transfer closed with 1 bytes remaining to read"),
    broken("chunked", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(BODY, CLOSE),
           "reading the answer: transfer closed with outstanding read data remaining"),
    broken("chunk", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(BODY, b"nonsense\r\n" + CLOSE),
           "reading the answer: .*"),
    broken("gzip-cut", answer("200 OK", "Content-Encoding: gzip", body=GZIP[:-9]),
           "reading the answer: the compressed body is cut short"),
    broken("gzip-checksum", answer("200 OK", "Content-Encoding: gzip", body=GZIP[:-8] + b"\0" * 8),
           "reading the answer: the compressed body is broken"),
    broken("gzip-garbage", answer("200 OK", "Content-Encoding: gzip", body=GZIP + GZIP[:-600000] + b"\xff" * 9),
           "reading the answer: the compressed body is (broken|cut short)"),
]

# Not at the end of the table, where a slot may be busy for long before it comes to this one.
EXPIRES = [
    broken("expires", b"HTTP/1.1 200 OK\r\nContent-Length: 700002\r\n\r\n" + BODY,
           r"(reading|waiting for) the answer: Operation timed out after \d+ milliseconds with \d+ (out of 700002 )?bytes received",
           task=task('"expiryTsMs":{in3000ms}')),
]

CASES = WHOLE + HEAD + REDIRECTS + BROKEN
