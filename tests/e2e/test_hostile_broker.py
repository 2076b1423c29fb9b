"""A broker that sends what it should not: fetcher, executor and uploader stay up, tell of it once, and work when it behaves."""
import json
import os
import random

import pytest
import zmq

from fake_ac import FakeAC
from fake_broker import FIELDS, FakeBroker
from hostile import garbage, message
from tool_server import ToolServer
from workers import Program

DOWN = ["HEARTBEAT", "CONFIG", "DRAIN", "GRANT", "REVOKE", "ACCEPTED", "CLAIMED", "DENIED", "STORED", "GONE", "CREDIT",
        "ABORT", "TASK", "HELLO", "WANT", "UPLOADED", "STATUS_REPLY", "EVENT", "RESULT", "CHUNK", "FETCHED", "BODY"]
TASK_STAGE = {"sluice-executor": 1, "sluice-uploader": 2}
RESULT = json.dumps({"taskId": "t", "statusCode": 200, "output": "eA==", "responseBase64": True}).encode()


class Stage:
    def __init__(self, directory):
        self.directory = directory
        (directory / "run").mkdir()
        self.ac, self.tool = FakeAC(lambda _: (200, {}, b'{"data": null}')), ToolServer()
        self.broker = FakeBroker(directory / "run")
        self.program = None

    def start(self, name):
        options = ["--runtimeDir", self.directory / "run", "--stateDir", self.directory / "state"]
        if name != "sluice-executor":
            options += ["--serverUrl", self.ac.url]
        self.program = Program(name, self.directory, *options)
        return self.broker.welcome()

    def send(self, worker, frames):
        try:
            self.broker.router.send_multipart([worker.peer, *frames], zmq.NOBLOCK)
        except zmq.ZMQError as error:  # not there just now
            assert error.errno in (zmq.EHOSTUNREACH, zmq.EAGAIN), error

    def welcome_again(self):
        """Whatever the worker has come to believe: it is told that it is wrong, and begins anew."""
        self.broker.inbox.clear()
        hello = self.broker.until(lambda: self.again() or self.broker.take("HELLO"), what="a new HELLO")
        return self.broker.welcome(hello=hello)

    def again(self):
        for worker in list(self.broker.workers.values()):
            self.broker.send(worker, "ERROR", code=8, type=3, text="no such session")
        return None

    def close(self):
        if self.program:
            self.program.stop()
        self.broker.close()
        self.ac.close()
        self.tool.close()


@pytest.fixture
def stage(tmp_path):
    made = Stage(tmp_path)
    yield made
    made.close()


def grant_wanted(broker, worker, stage):
    """Each WANT gets its GRANT: on a busy machine one may be said again, and then the answer to the former is too late."""
    want = broker.take("WANT")
    if want:
        broker.grant(worker, want.seq, 99 + want.seq, stage=stage)


def works(stage, name, worker):
    """What the worker is there for."""
    broker = stage.broker
    if name == "sluice-fetcher":
        broker.until(lambda: grant_wanted(broker, worker, 1) or stage.ac.requests, what="a poll")
        return
    payload = RESULT
    if name == "sluice-executor":
        payload = json.dumps({"taskId": "t", "url": stage.tool.url("/bytes/5"), "method": "GET"}).encode()
    broker.push_task(worker, 4711, payload, TASK_STAGE[name])
    broker.expect("CLAIM", number=4711)
    broker.send(worker, "CLAIMED", session=worker.session, number=4711, attempt=1)
    if name == "sluice-executor":
        assert broker.expect("RESULT", number=4711).http_status == 200
        return
    uploaded = broker.until(lambda: grant_wanted(broker, worker, 2) or broker.take("UPLOADED", number=4711), what="UPLOADED")
    assert uploaded.outcome == 1


@pytest.mark.parametrize("name", ["sluice-fetcher", "sluice-executor", "sluice-uploader"])
def test_garbage_from_the_broker(stage, name):
    worker = stage.start(name)
    rng = random.Random(2)
    for turn in range(1500):
        stage.send(worker, garbage(rng, DOWN))
        down = rng.choice(DOWN)
        stage.send(worker, [message(down, session=worker.session, credit=rng.getrandbits(8), number=rng.getrandbits(4),
                                    seq=rng.getrandbits(3), upto=rng.getrandbits(63), mode=0, ttl_ms=4000, pool_size=0, debug=0)])
        if worker.push:
            frames = [message("TASK", session=worker.session, number=rng.getrandbits(3), stage=rng.choice([0, 1, 2, 255]),
                              attempt=rng.getrandbits(2), call=rng.choice([0, 1, 2, 3, 4, 5, 6, 255]),
                              remaining_ms=rng.choice([-2 ** 63, 0, 1000, 2 ** 63 - 1])),
                      rng.choice([b"", b"{}", b"[]", b"{", os.urandom(50), b'{"taskId":1}', RESULT])]
            try:
                worker.push.send_multipart(rng.choice([frames, garbage(rng, DOWN)]), zmq.NOBLOCK)
            except zmq.Again:
                pass
        if turn % 50 == 0:
            stage.broker.auto_heartbeat = False
            raw_pump(stage.broker)
            assert not stage.program.dead(), stage.program.log[-3000:]
    stage.broker.auto_heartbeat = True
    worker = stage.welcome_again()
    works(stage, name, worker)
    assert not stage.program.dead()
    assert 3 <= len(stage.program.log.splitlines()) < 600, stage.program.log


def raw_pump(broker):
    """Reads what the worker says, of whatever kind."""
    for socket in (broker.router, broker.tasks_in, broker.results_in):
        while socket.poll(0):
            socket.recv_multipart()


@pytest.mark.parametrize("ttl_ms", [0, 1, 2 ** 32 - 1])
@pytest.mark.parametrize("name", ["sluice-fetcher", "sluice-uploader"])
def test_leases_without_sense(stage, name, ttl_ms):
    """A lease that is over before it begins, or lasts for weeks."""
    worker = stage.start(name)
    if name == "sluice-uploader":
        stage.broker.push_task(worker, 1, RESULT, 2)
        stage.broker.expect("CLAIM", number=1)
        stage.broker.send(worker, "CLAIMED", session=worker.session, number=1, attempt=1)
    want = stage.broker.expect("WANT")
    stage.broker.grant(worker, want.seq, 5, stage=want.stage, ttl_ms=ttl_ms)
    stage.broker.expect("RELEASE", credit=5)
    assert not stage.program.dead()
    assert ttl_ms > 1 or not stage.ac.requests
