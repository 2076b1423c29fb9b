"""Tools at their worst: never an answer, no end of it, garbage, drips, resets. Each such task ends as an error result at
its expiry at the latest, in bounded memory, and the others do not notice. (On a machine so busy that the time of some is over
before their tool was asked, these are tried again.)"""
import contextlib
import gzip
import json
import os
import pathlib
import socket
import struct
import threading
import time

from agent import BUILD, FAST, until
from fault_tools import Toll, check_toll

EXPIRY_MS = 5000
MEBIBYTE = gzip.compress(bytes(1 << 20), 9)  # members: so many in a row are one body
GIBIBYTE = gzip.compress(MEBIBYTE * 1024, 9)


class BadTool:
    """Answers a path by the function of that name; `asked` has the paths."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.asked = set()
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                octets = connection.recv(65536)
                if not octets:
                    return
                head += octets
            path = head.split()[1].decode().strip("/")
            self.asked.add(path)
            getattr(self, path.split("/")[0])(connection)

    @staticmethod
    def never(connection):
        connection.recv(1)

    @staticmethod
    def endless(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        while True:
            connection.sendall(bytes(1 << 20))

    @staticmethod
    def endless_chunks(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"100000\r\n" + bytes(1 << 20) + b"\r\n")

    @staticmethod
    def endless_small_chunks(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"1\r\nx\r\n" * 100000)

    @staticmethod
    def endless_trailers(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
        while True:
            connection.sendall(b"X: y\r\n" * 100000)

    @staticmethod
    def endless_headers(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.sendall(b"X-More: " + b"y" * 1000 + b"\r\n")

    @staticmethod
    def endless_redirects(connection):
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /endless_redirects/on\r\nContent-Length: 0\r\n\r\n")

    @staticmethod
    def informs_for_ever(connection):
        while True:
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)

    @staticmethod
    def garbage(connection):
        connection.sendall(os.urandom(4096))

    @staticmethod
    def bad_gzip(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4096\r\n\r\n" + os.urandom(4096))

    @staticmethod
    def gzip_bomb(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n")
        while True:
            connection.sendall(MEBIBYTE)

    @staticmethod
    def double_gzip_bomb(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip\r\n\r\n")
        while True:
            connection.sendall(GIBIBYTE)

    @staticmethod
    def bad_chunks(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzzz\r\nno\r\n")

    @staticmethod
    def drips(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            connection.sendall(b"d")
            time.sleep(0.1)  # this is the drip

    @staticmethod
    def drips_headers(connection):
        while True:
            for octet in b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1000:
                connection.sendall(bytes([octet]))
                time.sleep(0.1)

    @staticmethod
    def resets(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + bytes(50000))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    @staticmethod
    def cut_short(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + bytes(50000))

    @staticmethod
    def hangs_up(connection):
        pass


KINDS = [name for name in vars(BadTool) if not name.startswith("_")]


def resident_kb(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmHWM:")[1].split()[0])


def test_tools_at_their_worst(world):
    mock = world.start_mock("--longPollMs", "300-300")
    tool = BadTool()
    agent = world.make_agent(*FAST, "--executorPoolSize", 60, "--uploadToAc", "true").start()
    mock.add(count=40, methods="GET,POST", bodyBytes="100-4000")
    mock.wait("delivered>=40")
    before = resident_kb(agent.pid("executor"))
    begun = time.monotonic()
    paths = {f"{kind}/{method}" for kind in KINDS for method in ("GET", "POST")}
    bad = good = 0
    for tries in range(6):
        left = sorted(paths - tool.asked)
        if not left:
            break
        expiry = int(time.time() * 1000) + EXPIRY_MS
        lines = [json.dumps({"task": {"taskId": f"{path}-{tries}", "url": f"{tool.url}/{path}", "expiryTsMs": expiry,
                                      "method": path.partition("/")[2]}, "expect": {"error": True}}) for path in left]
        mock.post("/_control/tasks", "\n".join(lines).encode())
        bad, good = bad + len(left), 40 + 100 * (tries + 1)
        until(lambda: mock.books()["handed"] >= good - 100 + bad, "all of them handed out")
        mock.add(count=100, methods="GET,POST,PUT", bodyBytes="100-4000")
        mock.wait(f"tool_requests>={good}")
        books = mock.wait(f"delivered>={good + bad}")
    assert not paths - tool.asked, "some were never asked"
    took = time.monotonic() - begun
    grown = resident_kb(agent.pid("executor")) - before
    print(f"{bad} bad tasks in {took:.1f} s, the executor has grown by {grown} KiB")
    toll = Toll()
    toll.count_switched(agent)
    check_toll(books, good + bad, toll)
    assert bad <= books["error_results"] <= bad + toll.most_redone()
    if BUILD.name not in ("asan", "tsan"):  # which keep what is freed
        assert grown < 64 * 1024
    toll.check_starts(agent)
    agent.stop()
    assert not list((agent.state / "spool").iterdir())
