"""What the tool answers and what AC receives of it, and how the task is echoed: AC contract section 2."""
import gzip
import zlib

from case import CLOSE, Case, Failed, answer, given, network, seen, task

TEXT = b"hello " * 100
GZIP, ZLIB = gzip.compress(TEXT, mtime=0), zlib.compress(TEXT)
RAW = zlib.compressobj(wbits=-15)
RAW = RAW.compress(TEXT) + RAW.flush()


def sized(size):
    return Case(f"size-{size}", "2 result", answers=answer(body=bytes(range(256)) * (size // 256) + b"e" * (size % 256)),
                gives=given(200, f'"Content-Length":"{size}"', bytes(range(256)) * (size // 256) + b"e" * (size % 256)))


def coded(name, encoding, octets, body=TEXT, **more):
    return Case(f"coded-{name}", "3 decoding", answers=answer("200 OK", f"Content-Encoding: {encoding}", body=octets),
                gives=given(200, f'"Content-Encoding":"{encoding}","Content-Length":"{len(octets)}"', body), **more)


def broken(name, answers, why, **more):
    return Case(f"broken-{name}", "3 cut short", answers=answers, gives=network("{tool.at}: " + why), **more)


def echoed(name, members, echo=None):
    """`echo` is what comes back in place of `members`."""
    whole = task(members)
    return Case(f"echo-{name}", "2 echo", task=whole, echo=None if echo is None else task(echo).removesuffix("}"))


def invalid(name, raw, why):
    return Case(f"invalid-{name}", "1 get-task", task=raw, sees=[], gives=Failed(why))


SIZES = [sized(size) for size in (0, 1, 511999, 512000, 512001, 3000000)]

CODED = [
    coded("gzip", "gzip", GZIP),
    coded("x-gzip", "x-gzip", GZIP),
    coded("capitals", "GZIP", GZIP),
    coded("zlib", "deflate", ZLIB),
    coded("raw-deflate", "deflate", RAW),
    coded("two-members", "gzip", GZIP + GZIP, TEXT + TEXT),
    coded("both", "deflate, gzip", gzip.compress(ZLIB, mtime=0)),
    coded("empty", "gzip", b"", b""),
    coded("unknown", "br", b"whatever", b"whatever"),
    coded("unasked", "gzip", GZIP, task=task('"requestHeaders":{"Accept-Encoding":"identity"}'),
          sees=[seen(encoding="Accept-Encoding: identity")]),
    coded("full-size", "gzip", gzip.compress(b"x" * 512000, mtime=0), b"x" * 512000),
    coded("error-status", "gzip", GZIP),
]

ANSWERS = [
    Case("answer-chunked", "2 result", answers=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n"
         b"X-Trailer: no\r\n\r\n", gives=given(200, '"Transfer-Encoding":"chunked"', b"abcde")),
    Case("answer-chunked-gzip", "2 result", answers=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n%x\r\n"
         % len(GZIP) + GZIP + b"\r\n0\r\n\r\n", gives=given(200, '"Transfer-Encoding":"chunked","Content-Encoding":"gzip"', TEXT)),
    Case("answer-until-close", "2 result", answers=b"HTTP/1.0 200 OK\r\nX: y\r\n\r\nto the end" + CLOSE,
         gives=given(200, '"X":"y"', b"to the end")),
    Case("answer-204", "2 result", answers=answer("204 None", "X: y", length=False), gives=given(204, '"X":"y"', b"")),
    Case("answer-304", "2 result", answers=answer("304 Same", "Content-Length: 10", 'ETag: "e"', length=False),
         gives=given(304, '"Content-Length":"10","ETag":"\\"e\\""', b"")),
    Case("answer-head", "2 result", task=task(method="HEAD"), sees=[seen("HEAD")],
         answers=answer("200 OK", "Content-Length: 1000000", "Content-Encoding: gzip", length=False),
         gives=given(200, '"Content-Length":"1000000","Content-Encoding":"gzip"', b"")),
    Case("answer-interim", "2 result", answers=b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" +
         answer("200 OK", "A: b", body=b"ok"), gives=given(200, '"A":"b","Content-Length":"2"')),
    Case("answer-404", "2 result", answers=answer("404 Not Found", body=b"no"), gives=given(404, '"Content-Length":"2"', b"no")),
    Case("answer-500", "2 result", answers=answer("500 Oh", body=b"oh"), gives=given(500, '"Content-Length":"2"', b"oh")),
    Case("answer-503-large", "2 result", answers=answer("503 No", body=b"n" * 512000), gives=given(503, '"Content-Length":"512000"', b"n" * 512000)),
    Case("answer-401", "2 result", answers=answer("401 Who", "WWW-Authenticate: Basic realm=x", body=b"ok"),
         gives=given(401, '"WWW-Authenticate":"Basic realm=x","Content-Length":"2"')),
    Case("answer-429", "2 result", answers=answer("429 Slow", "Retry-After: 1", body=b"ok"),
         gives=given(429, '"Retry-After":"1","Content-Length":"2"')),
    Case("answer-without-reason", "2 result", answers=b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok"),
    Case("answer-status-after-spaces", "2 result", answers=b"HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\nok"),
    Case("answer-same-length-twice", "2 headers", answers=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
         gives=given(headers='"Content-Length":"2, 2"')),
    Case("answer-chunked-whatever-its-length", "2 headers",
         answers=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 7\r\n\r\n2\r\nok\r\n0\r\n\r\n",
         gives=given(headers='"Transfer-Encoding":"chunked","Content-Length":"7"')),
    *[Case(f"answer-identity-{name}", "2 result", answers=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: %d\r\n\r\n"
           % len(body) + body + more, gives=given(200, f'"Transfer-Encoding":"identity","Content-Length":"{len(body)}"', body))
      for name, body, more in (("empty", b"", b""), ("short", b"ok", b""), ("and-more", b"ok", b"more"), ("long", b"x" * 512000, b""))],
    Case("answer-identity-head", "2 result", task=task(method="HEAD"), sees=[seen("HEAD")],
         answers=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n",
         gives=given(200, '"Transfer-Encoding":"identity","Content-Length":"2"', b"")),
    Case("answer-binary", "2 result", answers=answer(body=b"\xff\xfe\0\x80"), gives=given(200, '"Content-Length":"4"', b"\xff\xfe\0\x80")),
    Case("answer-headers-joined", "2 headers",
         answers=answer("200 OK", "Set-Cookie: a=1; Path=/", "x-Two: 1", "Set-Cookie: b=2", "X-two: 2", "X-TWO: 3", body=b"ok"),
         gives=given(200, '"Set-Cookie":"a=1; Path=/, b=2","x-Two":"1, 2, 3","Content-Length":"2"')),
    Case("answer-header-texts", "2 headers", answers=answer("200 OK", "X-Empty:", "X-Umlaut: caf\xe9", 'X-Quote: "a\\b"', "X-Spaces:   a  b  ",
                                                    "x-lOWER: MiXed", body=b"ok"),
         gives=given(200, '"X-Empty":"","X-Umlaut":"café","X-Quote":"\\"a\\\\b\\"","X-Spaces":"a  b  ","x-lOWER":"MiXed",'
                     '"Content-Length":"2"')),
]

BROKEN = [
    broken("length", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc" + CLOSE,
           "reading the answer: transfer closed with 7 bytes remaining to read"),
    broken("chunked", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n" + CLOSE,
           "reading the answer: transfer closed with outstanding read data remaining"),
    broken("gzip", answer("200 OK", "Content-Encoding: gzip", body=b"no gzip"),
           "reading the answer: the compressed body is broken"),
    broken("gzip-cut", answer("200 OK", "Content-Encoding: gzip", body=GZIP[:-9]),
           "reading the answer: the compressed body is cut short"),
    broken("gzip-checksum", answer("200 OK", "Content-Encoding: gzip", body=GZIP[:-8] + b"\0" * 8),
           "reading the answer: the compressed body is broken"),
    broken("nothing", CLOSE, "waiting for the answer: Empty reply from server", task=task(method="POST"),
           sees=[seen("POST", "/{name}", "Content-Length: 0")]),  # of its own connection: a GET may come again
    broken("garbage", b"what is this\r\n\r\n" + CLOSE, ".*HTTP/0.9.*"),
    broken("identity", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nok" + CLOSE,
           "reading the answer: the body is cut short"),
    broken("headers", b"HTTP/1.1 200 OK\r\nX: y" + CLOSE, "reading the answer: it ends before its headers do"),
    broken("headers-end", b"HTTP/1.1 200 OK\r\nX: y\r\n" + CLOSE, "reading the answer: it ends before its headers do"),
    *[broken(f"length-{name}", b"HTTP/1.1 200 OK\r\n" + lines + b"\r\nok" + CLOSE,
             "reading the answer: its Content-Length is no number, or is there twice and differs")
      for name, lines in (("twice", b"Content-Length: 3\r\nContent-Length: 2\r\n"), ("list", b"Content-Length: 2, 3\r\n"),
                          ("hexadecimal", b"Content-Length: 0x2\r\n"))],
]

ECHOED = [
    echoed("numbers", '"a":9007199254740993,"b":2.50,"c":1E+400,"d":-0,"e":0.10000000000000000555,"f":' + "9" * 400),
    echoed("texts", r'"a":"\u00e9\ud83d\ude00\/\b","b":"é😀/","c":"\ud800","d":"\u0000","\u0065\"":"e"'),
    echoed("values", '"t":true,"f":false,"n":null,"o":{},"l":[],"nested":{"a":[1,{"b":[ null , 2.0]}], "c" : "d"}'),
    echoed("white-space", ' "a" : 1 ,\n\t"b":{ "c" :\r\n [ ] } ', '"a" : 1,"b":{ "c" :\r\n [ ] }'),
    echoed("twice", '"a":1,"a":2,"taskId":"{name}"'),
    echoed("deep", '"deep":' + "[" * 100000 + "]" * 100000),
    echoed("large", '"large":"' + "x" * 1000000 + '"'),
    echoed("many", ",".join(f'"m{i}":{i}' for i in range(20000))),
    echoed("replaced", '"version":"1.1.13","a":1,"statusCode":5,"responseHeaders":{"x":"y"},"responseBase64":false,"output":"old","b":2',
           '"a":1,"b":2'),
    Case("echo-last-of-two-counts", "2 echo", task=task('"method":"PUT"'), sees=[seen("PUT", "/{name}", "Content-Length: 0")]),
    Case("echo-task-id", "2 echo", task='{"taskId":"t/ä \\u00e9\\"","url":"{tool}/{name}","method":"GET"}', task_id='t/ä é"'),
    Case("echo-error", "2 echo", task=task('"input":1,"output":"old","n":2.50,"responseHeaders":{"x":"y"}'), sees=[],
         echo=task('"input":1,"n":2.50,"responseHeaders":{"x":"y"}').removesuffix("}"),
         gives=Failed("the task's input is neither a string nor an object")),
]

INVALID = [
    invalid("no-url", '{"taskId":"{name}","method":"GET","a":2.50}', "the task has no url, or it is no string"),
    invalid("no-method", '{"taskId":"{name}","url":"{tool}/{name}"}', "the task has no method, or it is no string"),
    invalid("url-number", '{"taskId":"{name}","url":5,"method":"GET"}', "the task has no url, or it is no string"),
    invalid("method-null", '{"taskId":"{name}","url":"{tool}/{name}","method":null}', "the task has no method, or it is no string"),
    invalid("url-empty", '{"taskId":"{name}","url":"","method":"GET"}', "the task's url is empty or holds a NUL character"),
    invalid("expiry-text", task('"expiryTsMs":"soon"'), "expiryTsMs is no number"),
]

CASES = SIZES + CODED + ANSWERS + BROKEN + ECHOED + INVALID
