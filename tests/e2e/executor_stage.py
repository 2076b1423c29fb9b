"""Between a broker and tools: the real program, a broker that does what the test says, recorded tools."""

import base64
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from fake_broker import FakeBroker
from tool_server import ToolServer

BUILD = Path(os.environ.get("SLUICE_BUILD", Path(__file__).parents[2] / "build" / "dev"))
EXECUTE = 1
UNSTARTED, STARTED, FINISHED = 1, 2, 3
INLINE_MAX = 512000
CHUNK = 262144


class Executor:
    """A running sluice-executor."""

    def __init__(self, directory, *options, environment=None):
        inherited = {k: v for k, v in os.environ.items() if not k.lower().endswith(("_proxy", "_bundle"))}
        self.process = subprocess.Popen(
            [BUILD / "bin" / "sluice-executor", "--runtimeDir", str(directory), "--logDir", str(directory / "logs"),
             "--enableStdoutLogging", *options],
            env={**inherited, **(environment or {})}, stderr=subprocess.PIPE, text=True,
        )

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def wait(self, timeout=20):
        self.log = self.process.communicate(timeout=timeout)[1]
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.wait()


@pytest.fixture
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("run", numbered=True)


@pytest.fixture
def broker(place):
    broker = FakeBroker(place)
    yield broker
    broker.close()


@pytest.fixture
def start(place):
    running = []

    def run(*options, **more):
        running.append(Executor(place, *options, **more))
        return running[-1]

    yield run
    for executor in running:
        executor.close()


@pytest.fixture
def tool():
    tool = ToolServer()
    yield tool
    tool.close()


def task(url, method="GET", **members):
    return json.dumps({"taskId": "t", "url": url, "method": method, **members}).encode()


def push(broker, worker, number, payload, **over):
    method = json.loads(payload).get("method")
    idempotent = method.upper() in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE")
    broker.push_task(worker, number, payload, EXECUTE, **{"flags": int(idempotent), **over})


def ref(worker, number, attempt=1):
    return dict(session=worker.session, number=number, attempt=attempt)


def execute(broker, worker, number, payload, timeout=10, **over):
    """A task from TASK to STORED: its RESULT message and the JSON in it."""
    push(broker, worker, number, payload, **over)
    broker.expect("CLAIM", number=number)
    broker.send(worker, "CLAIMED", **ref(worker, number))
    result = broker.expect("RESULT", timeout, number=number)
    broker.send(worker, "STORED", **ref(worker, number))
    return result, json.loads(result.payload)


def held_is_empty(broker):
    count = len(broker.heartbeats)
    broker.until(lambda: len(broker.heartbeats) > count and broker.heartbeats[-1].held == [], 5, "an empty list")


def read_stream(broker, worker, body, window=8):
    """All octets of an announced stream, with credit as the protocol has it."""
    octets = b""
    broker.send(worker, "CREDIT", session=worker.session, stream=body.stream, upto=window * CHUNK)
    while len(octets) < body.length:
        chunk = broker.expect("CHUNK", stream=body.stream)
        assert chunk.offset == len(octets)
        octets += chunk.payload
        assert chunk.last == (len(octets) == body.length)
        broker.send(worker, "CREDIT", session=worker.session, stream=body.stream,
                    upto=min(len(octets) + window * CHUNK, body.length))
    return octets


def large(broker, worker, number, payload, kind, **over):
    """A task with a large body from TASK to STORED: the octets of its stream."""
    push(broker, worker, number, payload, **over)
    broker.expect("CLAIM", number=number)
    broker.send(worker, "CLAIMED", **ref(worker, number))
    body = broker.expect("BODY", number=number)
    assert body.kind == kind
    octets = read_stream(broker, worker, body)
    result = broker.expect("RESULT", number=number)
    members = json.loads(result.payload)
    assert result.flags == 0x50 and "output" not in members and members.get("responseZipped", False) == (kind == 1)
    broker.send(worker, "STORED", **ref(worker, number))
    return octets


def output(result):
    return base64.b64decode(result["output"])
