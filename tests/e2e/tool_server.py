"""A tool that records what it sees to the byte, and answers as the test says.

    tool = ToolServer({"/x": b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok"})
    tool.url("/x"), tool.requests[0].head, tool.requests[0].body, tool.connections

An answer is bytes, or a function of the request that returns bytes or yields them piece by piece. None as the answer:
never answer. An answer that ends with CLOSE is followed by the end of the connection.
"""

import contextlib
import re
import socket
import ssl
import threading
import types

CLOSE = b"#CLOSE#"


def answer(status=200, headers=(), body=b"", length=True):
    lines = [f"HTTP/1.1 {status} X".encode()]
    lines += [f"{name}: {value}".encode("latin-1") for name, value in headers]
    if length:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


class FullListener:
    """A place where a connection never comes about: the queue of those that wait is full, and nobody takes one."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.at = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.waiting = [socket.socket() for _ in range(4)]
        for one in self.waiting:
            one.setblocking(False)
            one.connect_ex(self.listener.getsockname())

    def close(self):
        for one in (*self.waiting, self.listener):
            one.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Request:
    def __init__(self, head, body, connection):
        self.head, self.body, self.connection = head, body, connection
        self.line = head.split(b"\r\n")[0].decode("latin-1")
        self.target = self.line.split(" ")[1]
        pairs = [line.partition(b": ") for line in head.split(b"\r\n")[1:] if line]
        self.headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, _, value in pairs]


class ToolServer:
    def __init__(self, answers=None, default=None, certificate=None, host="127.0.0.1", port=0):
        self.answers = answers or {}
        self.default = default or answer(body=b"ok")
        self.requests, self.connections, self.closed = [], 0, 0
        self.resumed = 0  # TLS sessions
        self.tls = None
        if certificate:  # (certificate file, key file), and with a third the CA that clients need a certificate of
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(*certificate[:2])
            if certificate[2:]:
                self.tls.verify_mode = ssl.CERT_REQUIRED
                self.tls.load_verify_locations(certificate[2])
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = socket.create_server((host, port), backlog=128, family=family)
        self.port = self.listener.getsockname()[1]
        self.at = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        self.accepting = threading.Thread(target=self._accept, daemon=True)
        self.accepting.start()

    def url(self, path):
        return f"http{'s' if self.tls else ''}://{self.at}{path}"

    def close(self):
        """Ends the thread first: it could else accept from the descriptor's next owner, another server's listener."""
        with contextlib.suppress(OSError):  # closed before
            self.listener.shutdown(socket.SHUT_RDWR)
        self.accepting.join()
        self.listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True).start()

    def _serve(self, connection, number):
        try:
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
                self.resumed += connection.session_reused
            stream = connection.makefile("rb")
            while self._serve_one(connection, stream, number):
                pass
        except OSError:
            pass
        self.closed += 1
        connection.close()

    def _serve_one(self, connection, stream, number):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = stream.readline()
            if not line:
                if self.tls:
                    connection.unwrap()  # OpenSSL resumes no session of a connection that has ended without
                return False
            head += line
        length = re.search(rb"(?im)^content-length: *(\d+)", head)
        body = stream.read(int(length.group(1))) if length else b""
        request = Request(head, body, number)
        self.requests.append(request)
        reply = self.answers.get(request.target.partition("?")[0], self.default)
        if callable(reply):
            reply = reply(request)
        if reply is None:
            stream.read(1)  # until the other side closes
            return False
        if isinstance(reply, types.GeneratorType):
            for piece in reply:
                connection.sendall(piece)
            return True
        connection.sendall(reply.removesuffix(CLOSE))
        return not reply.endswith(CLOSE)
