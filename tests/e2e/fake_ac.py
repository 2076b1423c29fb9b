"""A small AC for tests: plain sockets, one thread a connection, and books.

`answer` is called with each request, in the connection's thread, and returns (status, headers, body), CLOSE (the
connection is closed without an answer) or HOLD (nothing is answered until `release()` or the client goes).
"""

import socket
import threading
import time

CLOSE, HOLD = "close", "hold"


class Request:
    def __init__(self, method, target, version, headers, body, connection):
        self.method, self.target, self.version, self.headers, self.body = method, target, version, headers, body
        self.connection, self.at = connection, time.monotonic()
        self.ended = None  # when it was answered, or its client went


class FakeAC:
    def __init__(self, answer=None):
        self.answer = answer or (lambda request: (200, {}, b'{"data": null}'))
        self.version = "HTTP/1.1"  # in which it answers
        self.requests = []  # in order of arrival
        self.connections = 0
        self.in_flight = self.most_in_flight = 0
        self.lock = threading.Lock()
        self.released = threading.Event()
        self.stopped = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.sockets = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.stopped = True
        self.released.set()
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self.close_connections()

    def close_connections(self):
        for connection in self.sockets:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def release(self):
        self.released.set()

    def _accept(self):
        while not self.stopped:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.connections += 1
                self.sockets.append(connection)
                number = self.connections
            threading.Thread(target=self._serve, args=(connection, number), daemon=True).start()

    def _read(self, connection, number, buffer):
        while b"\r\n\r\n" not in buffer:
            data = connection.recv(65536)
            if not data:
                return None, buffer
            buffer += data
        head, _, buffer = buffer.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        method, target, version = lines[0].split(" ")
        headers = {}
        for line in lines[1:]:
            key, _, value = line.partition(":")
            headers[key.strip().lower()] = value.strip()
        size = int(headers.get("content-length", 0))
        while len(buffer) < size:
            data = connection.recv(65536)
            if not data:
                return None, buffer
            buffer += data
        return Request(method, target, version, headers, buffer[:size], number), buffer[size:]

    def _hold(self, connection):
        """Waits for release() or for the client to go; True when the client has gone."""
        connection.settimeout(0.01)
        try:
            while not self.released.is_set():
                try:
                    if not connection.recv(1, socket.MSG_PEEK):
                        return True
                except TimeoutError:
                    pass
                except OSError:
                    return True
        finally:
            try:
                connection.settimeout(None)
            except OSError:
                pass
        return False

    def _serve(self, connection, number):
        buffer = b""
        try:
            while True:
                request, buffer = self._read(connection, number, buffer)
                if request is None:
                    return
                with self.lock:
                    self.requests.append(request)
                    self.in_flight += 1
                    self.most_in_flight = max(self.most_in_flight, self.in_flight)
                answer = self.answer(request)
                gone = answer == HOLD and self._hold(connection)
                request.ended = time.monotonic()
                with self.lock:
                    self.in_flight -= 1
                if answer == CLOSE or gone:
                    return
                if answer == HOLD:
                    answer = (200, {}, b'{"data": null}')
                status, headers, body = answer
                lines = [f"{self.version} {status} Whatever"]
                lines += [f"{key}: {value}" for key, value in headers.items()]
                if status != 204:
                    lines.append(f"Content-Length: {len(body)}")
                connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        except OSError:
            pass
        finally:
            connection.close()
