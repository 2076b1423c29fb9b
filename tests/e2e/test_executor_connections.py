"""Connections from the executor to tools: one for each request, and what is sent and read on it."""

import http.server
import ssl
import threading

import pytest

from certificates import Authority
from executor_stage import broker, execute, output, place, push, ref, start, task, tool  # broker, place, start and tool are fixtures
from tool_server import CLOSE, ToolServer, answer


class Careless(http.server.BaseHTTPRequestHandler):
    """A server of Python's library that answers without reading the request's body."""

    protocol_version = "HTTP/1.1"

    def reply(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.reply(200, f"got {self.path}".encode())

    def do_POST(self):
        self.reply(401, b"no")

    do_PUT = do_DELETE = do_POST

    def log_message(self, *_):
        pass


class Careful(Careless):
    """Reads it."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.reply(201, b"created")


class Quiet:
    def handle_error(self, *_):
        pass


class OneByOne(Quiet, http.server.HTTPServer):
    """Serves one connection at a time, until it ends."""


class Many(Quiet, http.server.ThreadingHTTPServer):
    daemon_threads = True


@pytest.fixture
def serve():
    servers = []

    def run(kind, handler):
        server = kind(("127.0.0.1", 0), handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield run
    for server in servers:
        server.socket.close()


def finish(broker, worker, numbers):
    """The results of tasks that have been pushed."""
    for number in numbers:
        broker.expect("CLAIM", number=number)
        broker.send(worker, "CLAIMED", **ref(worker, number))
    for number in numbers:
        result = broker.expect("RESULT", number=number)
        broker.send(worker, "STORED", **ref(worker, number))
        yield result.http_status


def test_each_request_has_a_connection_of_its_own(broker, start, tool):
    """Each redirect, too; and none is left open."""
    tool.answers["/from"] = answer(307, [("Location", "/to")])
    start("--executorPoolSize", "2")
    worker = broker.welcome()
    for number, method in enumerate(("GET", "POST", "GET", "PUT", "HEAD"), 1):
        execute(broker, worker, number, task(tool.url("/from"), method))
    assert [request.connection for request in tool.requests] == list(range(1, 11))
    broker.until(lambda: tool.closed == 10, what="the end of the connections")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_request_without_an_answer_is_sent_once(broker, start, tool, method):
    start("--executorPoolSize", "1")
    worker = broker.welcome()
    execute(broker, worker, 1, task(tool.url("/")))
    tool.default = CLOSE
    _, result = execute(broker, worker, 2, task(tool.url("/again"), method, input="x"))
    assert "Network error" in result["output"]
    assert [request.target for request in tool.requests] == ["/", "/again"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_body_that_the_tool_leaves_unread(broker, start, serve, method):
    """It is no part of another task's request."""
    at = serve(Many, Careless)
    start("--executorPoolSize", "1")
    worker = broker.welcome()
    execute(broker, worker, 1, task(f"{at}/login", method, input="user=x&pass=y"))
    for number in range(2, 5):
        message, result = execute(broker, worker, number, task(f"{at}/{number}"))
        assert (message.http_status, output(result)) == (200, f"got /{number}".encode())


def test_a_tool_that_serves_one_connection_at_a_time(broker, start, serve):
    at = serve(OneByOne, Careful)
    start("--executorPoolSize", "4")
    worker = broker.welcome()
    execute(broker, worker, 1, task(f"{at}/a"))
    message, _ = execute(broker, worker, 2, task(f"{at}/b", "POST", input="x"))
    assert message.http_status == 201
    for number in range(3, 7):
        push(broker, worker, number, task(f"{at}/{number}"))
    assert list(finish(broker, worker, range(3, 7))) == [200] * 4


def test_octets_after_an_answer_answer_nobody(broker, start, tool):
    taken, sent = threading.Event(), threading.Event()

    def late():
        try:
            yield answer(204, length=False)
            taken.wait(20)
            yield answer(body=b"stray")
        finally:
            sent.set()

    tool.answers["/late"] = lambda request: late()
    start("--executorPoolSize", "1")
    worker = broker.welcome()
    execute(broker, worker, 1, task(tool.url("/late")))
    taken.set()
    assert sent.wait(20)
    assert output(execute(broker, worker, 2, task(tool.url("/")))[1]) == b"ok"


def test_http_1_0_of_an_answer_is_for_that_answer(broker, start, tool):
    """Neither the next task nor the next request of a redirect is sent as HTTP/1.0."""
    old = answer(302, [("Connection", "keep-alive"), ("Location", "/to")]).replace(b"HTTP/1.1", b"HTTP/1.0")
    tool.answers["/from"] = old
    tool.default = answer(headers=[("Connection", "keep-alive")], body=b"ok").replace(b"HTTP/1.1", b"HTTP/1.0")
    start("--executorPoolSize", "1")
    worker = broker.welcome()
    for number in (1, 2):
        execute(broker, worker, number, task(tool.url("/from")))
    assert [request.line for request in tool.requests] == ["GET /from HTTP/1.1", "GET /to HTTP/1.1"] * 2


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_tls_sessions_are_resumed(broker, start, tmp_path, version):
    authority = Authority(tmp_path)
    tool = ToolServer(certificate=authority.issue("tool"))
    tool.tls.minimum_version = tool.tls.maximum_version = version
    start("--toolCaBundle", str(authority.certificate))
    worker = broker.welcome()
    for number in range(1, 5):
        assert output(execute(broker, worker, number, task(tool.url("/"), "POST"))[1]) == b"ok"
    assert (tool.connections, tool.resumed) == (4, 3)
    broker.until(lambda: tool.closed == 4, what="the end of the connections")


HOSTS = [  # what a URL makes of Host
    ("http://[::1]:81/a", "[::1]:81"),
    ("http://tool.example/b", "tool.example"),
    ("http://tool.example:8080/c", "tool.example:8080"),
    ("http://[2001:DB8::1]/d", "[2001:db8::1]"),
    ("http://user:pass@Tool.Example:80/e", "tool.example"),
    ("http://127.1/f", "127.1"),
]


def test_host_by_a_proxy(broker, start):
    """Is the URL's own, whatever went the same way before it."""
    proxy = ToolServer(default=answer(body=b"ok"))
    start("--executorPoolSize", "1", "--inwardProxyHttp", f"http://127.0.0.1:{proxy.port}")
    worker = broker.welcome()
    for number, (url, host) in enumerate(HOSTS + HOSTS[::-1], 1):
        execute(broker, worker, number, task(url))
        assert [value for name, value in proxy.requests[-1].headers if name == "Host"] == [host]
    execute(broker, worker, 90, task("http://tool.example/", requestHeaders={"host": "mine"}))
    assert [value for name, value in proxy.requests[-1].headers if name.lower() == "host"] == ["mine"]


def test_host_after_a_redirect(broker, start, tool):
    other = ToolServer(host="127.0.0.2")
    tool.default = answer(302, [("Location", other.url("/x"))])
    start()
    worker = broker.welcome()
    execute(broker, worker, 1, task(tool.url("/")))
    assert dict(other.requests[0].headers)["Host"] == other.at


@pytest.mark.parametrize("end", [b"", CLOSE], ids=["open", "closed"])
def test_another_protocol_is_not_spoken(broker, start, tool, end):
    """101 is the answer, without a body, whatever comes behind it and whether or not the connection stays."""
    tool.default = answer(101, [("Upgrade", "websocket"), ("Connection", "Upgrade")], length=False) + b"\x81\x02hi" + end
    start()
    worker = broker.welcome()
    message, result = execute(broker, worker, 1, task(tool.url("/"), requestHeaders={"Upgrade": "websocket",
                                                                                    "Connection": "Upgrade"}))
    assert (message.http_status, result["statusCode"], result["responseHeaders"]["Upgrade"]) == (101, 101, "websocket")
    assert "output" not in result and "responseBase64" not in result


def authorizations(request):
    return [value for name, value in request.headers if name.lower() == "proxy-authorization"]


def test_proxy_authorization_of_a_task_ends_with_a_redirect(broker, start, tool):
    """To whichever host; as the old agent has it."""
    tool.answers["/from"] = answer(307, [("Location", "/to")])
    start()
    worker = broker.welcome()
    execute(broker, worker, 1, task(tool.url("/from"), requestHeaders={"proxy-authorization": "p", "X-Key": "k"}))
    assert [authorizations(request) for request in tool.requests] == [["p"], []]
    assert [dict(request.headers)["X-Key"] for request in tool.requests] == ["k", "k"]


@pytest.mark.parametrize("user,sent", [("", "task's"), ("u:p@", "Basic dTpw")], ids=["open", "password"])
def test_proxy_authorization_of_the_proxy_goes_before_a_tasks(broker, start, user, sent):
    proxy = ToolServer()
    start("--inwardProxyHttp", f"http://{user}127.0.0.1:{proxy.port}")
    worker = broker.welcome()
    execute(broker, worker, 1, task("http://tool.example/", requestHeaders={"Proxy-Authorization": "task's"}))
    assert authorizations(proxy.requests[0]) == [sent]
