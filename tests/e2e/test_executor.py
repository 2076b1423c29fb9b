"""The executor between a broker and tools: the real program, a broker that does what the test says, recorded tools."""

import gzip
import socket
import subprocess
import time

from executor_stage import (  # broker, place, start and tool are fixtures
    CHUNK, INLINE_MAX, broker, execute, held_is_empty, large, output, place, push, read_stream, ref, start, task, tool)
from tool_server import CLOSE, ToolServer, answer


def test_a_task_goes_through(broker, start, tool):
    start("--executorPoolSize", "7", "--name", "one")
    worker = broker.welcome()
    assert (worker.hello.role, worker.hello.slots, worker.hello.held) == (2, 7, [])
    message, result = execute(broker, worker, 5, task(tool.url("/x"), unknown=9007199254740993))
    assert (message.attempt, message.http_status, message.flags, message.body_bytes) == (1, 200, 0x40, 2)
    assert message.payload.startswith(task(tool.url("/x"), unknown=9007199254740993)[:14])
    assert (result["statusCode"], output(result), result["responseBase64"]) == (200, b"ok", True)
    assert result["unknown"] == 9007199254740993
    held_is_empty(broker)


def test_the_tool_sees_what_the_old_agent_sends(broker, start, tool):
    start()
    worker = broker.welcome()
    common = (f"Host: 127.0.0.1:{tool.port}\r\nUser-Agent: sluice/2.0.0\r\nAccept-Encoding: gzip, deflate\r\n"
              "Accept: */*\r\nConnection: keep-alive\r\n")
    cases = [
        (task(tool.url("/a b?é=[1]#f")), f"GET /a%20b?%C3%A9=%5B1%5D HTTP/1.1\r\n{common}\r\n", b""),
        (task(tool.url("/"), "post"), f"POST / HTTP/1.1\r\n{common}Content-Length: 0\r\n\r\n", b""),
        (task(tool.url("/"), "GET", input="é"), f"GET / HTTP/1.1\r\n{common}Content-Length: 2\r\n\r\n", "é".encode()),
        (task(tool.url("/"), "HEAD", input="b"), f"HEAD / HTTP/1.1\r\n{common}Content-Length: 1\r\n\r\n", b"b"),
        (task(tool.url("/"), "HEAD"), f"HEAD / HTTP/1.1\r\n{common}\r\n", b""),
        (task(tool.url("/"), "DELETE"), f"DELETE / HTTP/1.1\r\n{common}Content-Length: 0\r\n\r\n", b""),
        (task(tool.url("/"), "FOO", input={"a": "1 2", "b": "x&y"}, requestHeaders={"X": "", "Y": "é"}),
         f"FOO / HTTP/1.1\r\n{common}X:\r\nY: é\r\nContent-Type: application/x-www-form-urlencoded\r\n"
         "Content-Length: 13\r\n\r\n", b"a=1+2&b=x%26y"),
    ]
    for number, (payload, head, body) in enumerate(cases, 1):
        execute(broker, worker, number, payload)
        assert (tool.requests[-1].head.decode("latin-1"), tool.requests[-1].body) == (head, body)


def test_a_post_waits_for_claimed(broker, start, tool):
    start()
    worker = broker.welcome()
    push(broker, worker, 1, task(tool.url("/p"), "POST", input="x"))
    push(broker, worker, 2, task(tool.url("/g")))
    broker.expect("CLAIM", number=1)
    broker.until(lambda: tool.requests, what="the GET")  # runs with its CLAIM
    broker.expect("CLAIM", number=1)  # said again, as nobody answered
    assert [request.line for request in tool.requests] == ["GET /g HTTP/1.1"]
    assert broker.take("RESULT") is None  # not before CLAIMED
    broker.send(worker, "CLAIMED", **ref(worker, 1))
    broker.send(worker, "CLAIMED", **ref(worker, 2))
    broker.expect("RESULT", number=1)
    broker.expect("RESULT", number=2)
    broker.expect("RESULT", number=1)  # said again until STORED
    assert len(tool.requests) == 2


def test_denied_aborts(broker, start):
    tool = ToolServer(default=lambda request: None)
    start()
    worker = broker.welcome()
    push(broker, worker, 1, task(tool.url("/")))
    push(broker, worker, 2, task(tool.url("/"), "POST"))
    broker.until(lambda: tool.requests, what="the GET")
    broker.expect("CLAIM", number=1)
    broker.expect("CLAIM", number=2)
    for number in (1, 2):
        broker.send(worker, "DENIED", reason=3, **ref(worker, number))
    broker.until(lambda: tool.closed == 1, what="the end of the connection")
    held_is_empty(broker)
    assert broker.take("RESULT") is None
    assert len(tool.requests) == 1


def test_answers_are_read_whole(broker, start):
    packed = gzip.compress(b"hello" * 1000)
    tool = ToolServer({
        "/gzip": answer(200, [("Content-Encoding", "gzip"), ("X", "1"), ("x", "caf\xe9"), ("Set-Cookie", "a")], packed),
        "/cut-gzip": answer(200, [("Content-Encoding", "gzip")], packed[:-9]),
        "/no-gzip": answer(200, [("Content-Encoding", "gzip")], b"plain"),
        "/cut": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc" + CLOSE,
        "/chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Trailer: 1\r\n\r\n",
        "/cut-chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n" + CLOSE,
        "/close": b"HTTP/1.1 503 No\r\nX: y\r\n\r\nuntil the end" + CLOSE,
        "/interim": b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 204 No\r\nA: b\r\n\r\n",
        "/304": b"HTTP/1.1 304 No\r\nContent-Length: 10\r\n\r\n",
        "/garbage": b"what is this\r\n\r\n" + CLOSE,
        "/nothing": CLOSE,
        "/full": answer(200, [], b"z" * INLINE_MAX),
        "/over": answer(200, [], b"z" * (INLINE_MAX + 1)),
        "/bomb": answer(200, [("Content-Encoding", "gzip")], gzip.compress(bytes(50 << 20))),
        "/huge-header": answer(200, [("X", "y" * 90000)] * 4, b""),
    })
    start()
    worker = broker.welcome()
    number = iter(range(1, 100))

    def get(path, method="GET"):
        return execute(broker, worker, next(number), task(tool.url(path), method))[1]

    result = get("/gzip")
    assert output(result) == b"hello" * 1000
    assert result["responseHeaders"] == {"Content-Encoding": "gzip", "X": "1, café", "Set-Cookie": "a",
                                         "Content-Length": str(len(packed))}
    assert output(get("/chunked")) == b"abc"
    result = get("/close")
    assert (result["statusCode"], output(result)) == (503, b"until the end")
    result = get("/interim")
    assert (result["statusCode"], result["responseHeaders"], "output" in result) == (204, {"A": "b"}, False)
    result = get("/304")
    assert (result["statusCode"], "output" in result) == (304, False)
    result = get("/gzip", "HEAD")
    assert (result["statusCode"], "output" in result) == (200, False)
    assert output(get("/full")) == b"z" * INLINE_MAX
    for path in ("/cut", "/cut-gzip", "/no-gzip", "/cut-chunked", "/garbage", "/nothing", "/huge-header"):
        result = get(path)
        assert result["statusCode"] == 500
        assert result["output"].startswith(f"Agent Side Error: Network error: 127.0.0.1:{tool.port}: "), path
        assert "responseHeaders" not in result and "responseBase64" not in result
    assert gzip.decompress(large(broker, worker, 101, task(tool.url("/over")), 1)) == b"z" * (INLINE_MAX + 1)
    assert gzip.decompress(large(broker, worker, 102, task(tool.url("/bomb")), 1)) == bytes(50 << 20)
    broker.config(worker, upload_to_ac=0, generation=1)
    assert large(broker, worker, 103, task(tool.url("/over")), 2, generation=1) == b"z" * (INLINE_MAX + 1)


def test_identity_ends_with_its_last_octet(broker, start):
    """Also when that one comes while curl goes on with what it held, after the share of a turn; and so does what is broken."""
    sizes = [100, *range(120_000, 300_000, 10_000)]
    broken = bytearray(gzip.compress(bytes(8 << 20)))
    broken[-8] ^= 1
    tool = ToolServer({f"/{size}": answer(200, [("Transfer-Encoding", "identity")], b"i" * size) for size in sizes} |
                      {"/broken": answer(200, [("Content-Encoding", "gzip")], bytes(broken), length=False)})
    start()
    worker = broker.welcome()
    for number, size in enumerate(sizes):
        assert output(execute(broker, worker, number + 1, task(tool.url(f"/{size}")))[1]) == b"i" * size
    result = execute(broker, worker, 100, task(tool.url("/broken")))[1]
    assert result["output"].endswith("reading the answer: the compressed body is broken")


def test_a_stream_keeps_to_its_credit(broker, start):
    """BODY until CREDIT, chunks as far as it goes, from the start after ABORT and in a new session, then RESULT."""
    tool = ToolServer({"/": answer(200, [], b"0123456789" * 100000)})
    start()
    worker = broker.welcome(config=False)
    broker.config(worker, upload_to_ac=0, generation=1)
    push(broker, worker, 1, task(tool.url("/")), generation=1)
    broker.expect("CLAIM")
    broker.send(worker, "CLAIMED", **ref(worker, 1))
    first = broker.expect("BODY")
    assert (first.number, first.attempt, first.length, first.kind) == (1, 1, 10**6, 2)
    assert broker.expect("BODY").stream == first.stream  # said again until CREDIT
    broker.send(worker, "CREDIT", session=worker.session, stream=first.stream, upto=2 * CHUNK)
    chunks = [broker.expect("CHUNK") for _ in range(2)]
    assert [(c.offset, len(c.payload), c.last) for c in chunks] == [(0, CHUNK, 0), (CHUNK, CHUNK, 0)]
    broker.watch(1.2)
    assert broker.count("CHUNK") == 0 and broker.count("RESULT") == 0
    broker.send(worker, "ABORT", session=worker.session, stream=first.stream, reason=3)
    second = broker.expect("BODY", stream=first.stream + 1)
    assert read_stream(broker, worker, second) == b"0123456789" * 100000
    result = broker.expect("RESULT")
    assert (result.flags, result.body_bytes) == (0x50, 10**6)
    broker.send(worker, "ERROR", code=8, type=42, text="no such session")
    worker = broker.welcome(config=False)
    third = broker.expect("BODY", stream=second.stream + 1)
    assert read_stream(broker, worker, third) == b"0123456789" * 100000
    broker.expect("RESULT", session=worker.session)
    broker.send(worker, "STORED", **ref(worker, 1))
    held_is_empty(broker)


def test_redirects(broker, start):
    other = ToolServer()
    tool = ToolServer({
        "/302": answer(302, [("Location", "/next?a=b c"), ("Set-Cookie", "sid=1; Path=/")], b"moved"),
        "/307": answer(307, [("Location", other.url("/other"))]),
        "/loop": answer(301, [("Location", "loop")]),
        "/ftp": answer(302, [("Location", "ftp://127.0.0.1/x")]),
        "/endless": b"HTTP/1.1 302 X\r\nLocation: /next\r\nContent-Length: 999999999\r\n\r\n" + b"z" * 600000,
    })
    start()
    worker = broker.welcome()
    headers = {"Authorization": "secret", "Content-Type": "x/y", "X": "y"}
    execute(broker, worker, 1, task(tool.url("/302"), "POST", input="body", requestHeaders=headers))
    last = tool.requests[-1]
    assert (last.line, last.body) == ("GET /next?a=b%20c HTTP/1.1", b"")
    seen = dict(last.headers)
    assert (seen["Authorization"], seen["X"], seen["Cookie"]) == ("secret", "y", "sid=1")
    assert "Content-Type" not in seen and "Content-Length" not in seen
    _, result = execute(broker, worker, 2, task(tool.url("/307"), "POST", input="body", requestHeaders=headers))
    assert (other.requests[-1].line, other.requests[-1].body) == ("POST /other HTTP/1.1", b"body")
    assert "Authorization" not in dict(other.requests[-1].headers)
    assert "Cookie" not in dict(other.requests[-1].headers)  # of another task
    assert output(result) == b"ok"
    del tool.requests[:]
    _, result = execute(broker, worker, 3, task(tool.url("/loop")))
    assert "more than 30 redirects" in result["output"] and len(tool.requests) == 31
    _, result = execute(broker, worker, 4, task(tool.url("/ftp")))
    assert result["output"].startswith("Agent Side Error: Error: ") and "http" in result["output"]
    _, result = execute(broker, worker, 5, task(tool.url("/endless")))
    assert output(result) == b"ok"


def test_what_cannot_be_done_is_told(broker, start, tool):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        dead = unused.getsockname()[1]
    stalled = ToolServer(default=lambda request: None)
    wide = ToolServer(default=answer(headers=[("X-Wide", "v" * 200000)]))
    start("--connectTimeout", "1")
    worker = broker.welcome()
    cases = [
        (task("http://user:pass@127.0.0.1:%d/p?key=secret" % dead), {}, "Network error: 127.0.0.1:%d: connecting" % dead),
        (task("http://no-such-host.invalid/?key=secret"), {}, "Network error: no-such-host.invalid:80: looking up"),
        (task(tool.url("/")), {"remaining_ms": 0}, "Error: the task expired before it was sent"),
        (task(tool.url("/")), {"remaining_ms": -5}, "Error: the task expired before it was sent"),
        (task(stalled.url("/?key=secret")), {"remaining_ms": 300}, "waiting for the answer: "),
        (task("ftp://127.0.0.1/"), {}, "Error: the URL's scheme"),
        (task(tool.url("/"), input=5), {}, "Error: the task's input"),
        (task(tool.url("/"), requestHeaders={"secret": "a\r\nb: c"}), {}, "Error: a header of the task"),
        (b'{"taskId":"t","method":"GET"}', {}, "no url"),
        (task(tool.url("/").replace("http:", "https:")), {}, "TLS handshake"),
        (task(tool.url("/"), requestHeaders={"a": "secret" * 100000, "b": "secret" * 100000}), {},
         "the request's head is larger than 1 MB, which cannot be sent"),
        (task(tool.url("/") + "?" + "secret" * 200000), {}, "the request's head is larger than 1 MB"),
        (task(wide.url("/")), {}, "reading the answer: one of its headers is larger than 100 KB"),
    ]
    for number, (payload, over, words) in enumerate(cases, 1):
        message, result = execute(broker, worker, number, payload, **over)
        begun = "Network error: " in result["output"] or "request's head" in result["output"]
        assert message.flags == (0x60 if begun else 0x20) and result["statusCode"] == 500
        why = result["output"].removeprefix("Agent Side Error: ").removeprefix("Error: ")
        assert len(message.reason) > 10 and why.startswith(message.reason[:70]) and why.endswith(message.reason[-70:])
        assert result["output"].startswith("Agent Side Error: ") and words in result["output"], result["output"]
        assert "secret" not in result["output"] and "pass" not in result["output"]
    assert not [request for request in tool.requests if request.line.startswith("GET / HTTP")]


def make_certificate(directory):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", directory / "key.pem", "-out", directory / "cert.pem"],
        check=True, capture_output=True,
    )


def test_certificates_are_verified(broker, start, tmp_path):
    make_certificate(tmp_path)
    tool = ToolServer(certificate=(tmp_path / "cert.pem", tmp_path / "key.pem"))
    payload = task(tool.url("/"))
    refused = start("--name", "strict")
    worker = broker.welcome()
    _, result = execute(broker, worker, 1, payload)
    refused.close()
    assert result["output"].startswith(f"Agent Side Error: Network error: 127.0.0.1:{tool.port}: TLS handshake: ")
    assert "certificate" in result["output"] and not tool.requests
    trusting = start("--toolCaBundle", str(tmp_path / "cert.pem"))
    worker = broker.welcome()
    for number in (2, 3):
        assert output(execute(broker, worker, number, payload)[1]) == b"ok"
    trusting.close()
    start("--verify", "false")
    worker = broker.welcome()
    assert output(execute(broker, worker, 4, payload)[1]) == b"ok"
    broker.config(worker, verify=1)  # may turn it on, never off
    broker.config(worker, verify=0)
    broker.watch(0.2)
    assert "certificate" in execute(broker, worker, 5, task(tool.url("/"), "POST"))[1]["output"]


def test_proxies(broker, start, tool):
    proxy = ToolServer(default=answer(body=b"by proxy"))
    start("--inwardProxyHttp", f"http://u:p@127.0.0.1:{proxy.port}", environment={"no_proxy": "127.0.0.1"})
    worker = broker.welcome()
    assert output(execute(broker, worker, 1, task(tool.url("/a b")))[1]) == b"by proxy"
    assert proxy.requests[0].line == f"GET http://127.0.0.1:{tool.port}/a%20b HTTP/1.1"
    names = [name for name, _ in proxy.requests[0].headers]
    assert sorted(names) == ["Accept", "Accept-Encoding", "Connection", "Host", "Proxy-Authorization", "User-Agent"]


def test_proxies_of_the_environment(broker, start, tool):
    proxy = ToolServer(default=answer(body=b"by proxy"))
    url = f"http://127.0.0.1:{proxy.port}"
    first = start(environment={"HTTP_PROXY": url})
    worker = broker.welcome()
    assert output(execute(broker, worker, 1, task(tool.url("/")))[1]) == b"by proxy"
    first.close()
    start(environment={"http_proxy": url, "NO_PROXY": "localhost,127.0.0.1"})
    worker = broker.welcome()
    assert output(execute(broker, worker, 2, task(tool.url("/")))[1]) == b"ok"
