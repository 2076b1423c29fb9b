"""Runs mock-ac and plays the agent towards it, with plain sockets: what its own tests need."""

import base64
import gzip
import http.client
import json
import os
import socket
import ssl
import struct
import subprocess
import urllib.parse
import uuid

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("SLUICE_BUILD", os.path.join(REPOSITORY, "build", "release"))
MOCK_AC = os.environ.get("MOCK_AC", os.path.join(BUILD, "tests", "mock_ac", "mock-ac"))
API = "/api/http-teleport/"
POLL = "get-task?agentId=1700000000_0a1b2c&agentVersion=2.0.0"
JSON = {"Authorization": "Bearer test-key", "Content-Type": "application/json"}
DEADLINE = 60  # of any wait; only a failure takes as long


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.getheaders()
        self.body = response.read()

    def header(self, name):
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def json(self):
        return json.loads(self.body)


class Mock:
    """A running mock-ac; its books are printed at its end."""

    def __init__(self, *options):
        self.process = subprocess.Popen([MOCK_AC, *map(str, options)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read().decode()
        self.ready = json.loads(line)
        self.ac = urllib.parse.urlsplit(self.ready["ac"])
        self.tool = urllib.parse.urlsplit(self.ready["tool"])
        self.clients = []

    def close(self):
        for client in self.clients:
            client.close()
        if self.process.poll() is None:
            self.process.terminate()
        out, err = self.process.communicate(timeout=DEADLINE)
        assert self.process.returncode == 0 and not err, (self.process.returncode, err.decode())
        return json.loads(out) if out else None

    def connect(self):
        """A connection of its own to AC."""
        if self.ac.scheme == "https":
            plain = ssl._create_unverified_context()
            client = http.client.HTTPSConnection(self.ac.hostname, self.ac.port, timeout=DEADLINE, context=plain)
        else:
            client = http.client.HTTPConnection(self.ac.hostname, self.ac.port, timeout=DEADLINE)
        self.clients.append(client)
        return client

    def call(self, method, path, body=None, headers=None, client=None):
        client = client or self.connect()
        client.request(method, path if path.startswith("/") else API + path, body, JSON if headers is None else headers)
        return Answer(client.getresponse())

    def poll(self, client=None):
        """The raw text of a task, or None."""
        answer = self.call("GET", POLL, client=client)
        assert answer.status == 200, (answer.status, answer.body)
        assert answer.body.startswith(b'{"data":') and answer.body.endswith(b"}")
        raw = answer.body[len(b'{"data":'):-1]
        return None if raw == b"null" else raw

    def put(self, result, client=None):
        return self.call("POST", "put-result", result, client=client)

    def raw_ac(self):
        """A bare socket to AC."""
        bare = socket.create_connection((self.ac.hostname, self.ac.port), timeout=DEADLINE)
        self.clients.append(bare)
        return bare

    def send_poll(self):
        """A get-task on a bare socket, sent but not answered."""
        bare = self.raw_ac()
        lines = [f"GET {API}{POLL} HTTP/1.1", "Host: ac"] + [f"{name}: {value}" for name, value in JSON.items()]
        bare.sendall("\r\n".join(lines + ["", ""]).encode())
        return bare

    def execute(self, raw):
        """Asks the tool what the task says."""
        task = json.loads(raw)
        url = urllib.parse.urlsplit(task["url"])
        client = http.client.HTTPConnection(url.hostname, url.port, timeout=DEADLINE)
        try:
            path = url.path + ("?" + url.query if url.query else "")
            body = task.get("input")
            client.request(task["method"].upper(), path, body.encode() if body else None, task.get("requestHeaders", {}))
            return Answer(client.getresponse())
        finally:
            client.close()

    def deliver(self, raw=None, client=None):
        """One task all the way; returns the result that was put."""
        raw = raw or self.poll(client)
        result = result_of(raw, self.execute(raw))
        assert self.put(result, client).status == 200
        return result

    def control(self, method, path, body=None):
        client = http.client.HTTPConnection(self.tool.hostname, self.tool.port, timeout=2 * DEADLINE)
        try:
            client.request(method, "/_control/" + path, body)
            return Answer(client.getresponse())
        finally:
            client.close()

    def books(self):
        return self.control("GET", "books").json()

    def wait(self, condition):
        answer = self.control("GET", f"wait?cond={urllib.parse.quote(condition)}&timeoutMs={DEADLINE * 1000}")
        assert answer.status == 200, f"{condition} did not come: {answer.body.decode()}"
        return answer.json()

    def configure(self, **members):
        answer = self.control("POST", "config", json.dumps(members))
        assert answer.status == 200, answer.body

    def add(self, *lines):
        text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
        answer = self.control("POST", "tasks", text.encode())
        assert answer.status == 200, answer.body
        return answer.json()["added"]

    def task(self, task_id):
        return self.control("GET", "task?id=" + urllib.parse.quote(task_id)).json()


def add_members(raw, **members):
    """The task's text with members behind its own, untouched otherwise."""
    assert raw.rstrip().endswith(b"}")
    return raw.rstrip()[:-1] + b"," + json.dumps(members).encode()[1:]


def result_of(raw, answer, **members):
    result = {"version": "2.0.0", "statusCode": answer.status, "responseHeaders": dict(answer.headers)}
    if answer.body:
        result.update(responseBase64=True, output=base64.b64encode(answer.body).decode())
    result.update(members)
    return add_members(raw, **{name: value for name, value in result.items() if value is not None})


def error_of(raw, text, status=500):
    return add_members(raw, version="2.0.0", statusCode=status, responseHeaders={}, output=text)


def multipart(task, file, file_name, file_type="application/zip", task_type="application/json"):
    """The body and the Content-Type of an upload."""
    mark = uuid.uuid4().hex
    head = f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{file_name}"\r\n' \
           f"Content-Type: {file_type}\r\n\r\n"
    middle = f'\r\n--{mark}\r\nContent-Disposition: form-data; name="task"\r\nContent-Type: {task_type}\r\n\r\n'
    body = head.encode() + file + middle.encode() + task + f"\r\n--{mark}--\r\n".encode()
    return body, {"Authorization": "Bearer test-key", "Content-Type": f"multipart/form-data; boundary={mark}"}


def upload(mock, raw, answer, content=None, file_name=None):
    result = result_of(raw, answer, responseBase64=None, output=None, responseZipped=True)
    name = file_name or f"{json.loads(raw)['taskId']}_{uuid.uuid4().hex}.zip"
    zipped = gzip.compress(answer.body, 1) if content is None else content
    body, headers = multipart(result, zipped, name)
    return mock.call("POST", "upload-result", body, headers)


def reset(bare):
    """Ends a connection with a TCP reset, as the kernel does for a process killed with unread data."""
    bare.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    bare.close()
