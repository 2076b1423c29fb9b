"""Answers to large bodies that do not come to an end: the uploader waits for them as long as it has to, and no longer. Its
clock is put forward (tests/fault/clock_ahead.c)."""
import json
import os

import pytest

from agent import BUILD
from fake_ac import HOLD
from needs import built
from uploader_stage import NETWORK, stage  # stage is a fixture

LIBRARY = BUILD / "tests/fault/clock_ahead.so"
HOUR_MS = 3600_000


@pytest.fixture
def up(stage):
    """A stage with an uploader, a result with a body, and a clock."""
    built(LIBRARY)
    stage.clock = stage.directory / "clock"
    stage.clock.touch()
    spool = stage.directory / "run/spool"
    spool.mkdir()
    (spool / "1.body").write_bytes(bytes(600_000))
    stage.start(env={"LD_PRELOAD": str(LIBRARY), "CLOCK_AHEAD": str(stage.clock)})
    stage.worker = stage.broker.welcome(heartbeat_ms=100, lost_ms=HOUR_MS)  # its session does not end by the clock
    return stage


def let_it_turn(up):
    count = len(up.broker.heartbeats)
    up.broker.until(lambda: len(up.broker.heartbeats) > count + 1)


def put_forward(up, seconds):
    """The uploader has seen what was so far, and sees what the time is."""
    let_it_turn(up)
    os.truncate(up.clock, seconds)
    let_it_turn(up)


def test_of_ac(up):
    up.ac.answer = lambda _: HOLD
    up.claimed(up.worker, 1, call=3)
    up.granted(up.worker, ttl_ms=HOUR_MS)
    request = up.broker.until(lambda: up.ac.requests)[0]
    put_forward(up, 890)
    assert up.broker.count("UPLOADED") == 0 and not request.ended
    put_forward(up, 910)
    uploaded = up.broker.expect("UPLOADED")
    assert (uploaded.call, uploaded.outcome, uploaded.credit) == (3, NETWORK, 7)
    assert "time-out: no whole answer" in uploaded.reason
    up.broker.until(lambda: request.ended)
    assert up.broker.expect("RELEASE").used == 1


def test_of_the_store(up):
    """The next body goes on its way."""
    urls = json.dumps({"data": {"putUrl": f"{up.ac.url}/put", "getUrl": "http://get"}}).encode()
    up.ac.answer = lambda request: (200, {}, urls) if request.method == "GET" else HOLD
    up.claimed(up.worker, 1, call=4)
    up.granted(up.worker, ttl_ms=HOUR_MS)
    up.broker.expect("RELEASE")
    put = up.broker.until(lambda: up.ac.requests[1:])[0]
    put_forward(up, 350)
    assert up.broker.count("UPLOADED") == 0 and not put.ended
    put_forward(up, 370)
    uploaded = up.broker.expect("UPLOADED")
    assert (uploaded.call, uploaded.outcome) == (6, NETWORK)
    assert "the store at" in uploaded.reason and "time-out: no whole answer" in uploaded.reason
    up.broker.until(lambda: put.ended)
    up.claimed(up.worker, 1, call=4, attempt=2)
    up.granted(up.worker, 8, ttl_ms=HOUR_MS)
    assert up.broker.until(lambda: up.ac.requests[3:])[0].method == "PUT"
