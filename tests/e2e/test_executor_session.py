"""The executor and its session with the broker: a new one, repeated tasks, and the drain."""

import json
import os
import time

import pytest

from executor_stage import (  # broker, place, start and tool are fixtures
    FINISHED, STARTED, UNSTARTED, broker, execute, held_is_empty, place, push, ref, start, task, tool)
from fake_broker import FakeBroker
from tool_server import ToolServer, answer


def test_a_new_session_keeps_what_is_held(broker, start, place):
    tool = ToolServer({"/slow": lambda request: time.sleep(2.5) or answer(body=b"slow")})
    start()
    worker = broker.welcome()
    push(broker, worker, 1, task(tool.url("/slow"), "POST"))
    push(broker, worker, 2, task(tool.url("/never"), "POST"))  # never claimed
    push(broker, worker, 3, task(tool.url("/done")))
    push(broker, worker, 4, task(tool.url("/slow")))
    for number in (1, 2, 3, 4):
        broker.expect("CLAIM", number=number)
    for number in (1, 3):
        broker.send(worker, "CLAIMED", **ref(worker, number))
    broker.expect("RESULT", number=3)
    broker.until(lambda: len(tool.requests) == 3, what="three requests")
    broker.close()
    second = FakeBroker(place, start=2)
    try:
        hello = second.expect("HELLO")
        old = worker.session
        assert sorted(hello.held) == [[old, 1, 1, STARTED], [old, 2, 1, UNSTARTED], [old, 3, 1, FINISHED],
                                      [old, 4, 1, STARTED]]
        worker = second.welcome(hello=hello, drop=[4])
        second.expect("CLAIM", number=2, session=worker.session)
        second.expect("RESULT", number=3, session=worker.session)
        second.send(worker, "STORED", **ref(worker, 3))
        second.send(worker, "CLAIMED", **ref(worker, 2))
        second.expect("RESULT", number=2)
        second.expect("RESULT", number=1)
        for number in (1, 2):
            second.send(worker, "STORED", **ref(worker, number))
        held_is_empty(second)
        assert second.take("CLAIM", number=1) is None and second.take("RESULT", number=4) is None
        assert [request.target for request in tool.requests].count("/never") == 1
    finally:
        second.close()


def test_config_is_applied_before_its_tasks(broker, start, tool):
    start("--executorPoolSize", "2")
    worker = broker.welcome()
    push(broker, worker, 1, task(tool.url("/")), generation=1)
    broker.expect("CLAIM", number=1)
    broker.send(worker, "CLAIMED", **ref(worker, 1))
    broker.watch(0.3)
    assert not tool.requests
    broker.config(worker, generation=1, pool_size=9, debug=1, verify=1)
    assert broker.expect("HELLO").slots == 9


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_task_held_already_does_not_run_again(broker, start, tool, method):
    start()
    worker = broker.welcome()
    for _ in range(2):
        push(broker, worker, 1, task(tool.url("/"), method))
    broker.expect("CLAIM", number=1)
    broker.send(worker, "CLAIMED", **ref(worker, 1))
    broker.expect("RESULT", number=1)
    broker.watch(0.3)
    assert len(tool.requests) == 1


def test_a_task_that_comes_again_after_it_was_stored_is_let_go(broker, start, tool):
    start()
    worker = broker.welcome()
    execute(broker, worker, 1, task(tool.url("/"), "POST"))
    held_is_empty(broker)
    push(broker, worker, 1, task(tool.url("/"), "POST"))
    broker.expect("CLAIM", number=1)
    broker.send(worker, "STORED", **ref(worker, 1))
    held_is_empty(broker)
    assert len(tool.requests) == 1


def test_drain(broker, start):
    tool = ToolServer({"/short": lambda request: time.sleep(0.5) or answer()}, default=lambda request: None)
    executor = start("--drainTimeout", "1")
    worker = broker.welcome()
    push(broker, worker, 1, task(tool.url("/stalled"), "POST", input="x"))
    push(broker, worker, 2, task(tool.url("/stalled")))
    push(broker, worker, 3, task(tool.url("/short")))
    push(broker, worker, 4, task(tool.url("/never"), "PATCH"))
    for number in (1, 2, 3, 4):
        broker.expect("CLAIM", number=number)
    for number in (1, 2, 3):
        broker.send(worker, "CLAIMED", **ref(worker, number))
    broker.until(lambda: len(tool.requests) == 3, what="three requests")
    executor.terminate()
    broker.watch(0.2)
    push(broker, worker, 5, task(tool.url("/late")))
    broker.expect("CLAIM", number=5)
    for number in (4, 5):
        broker.send(worker, "CLAIMED", **ref(worker, number))
        assert broker.expect("RETURN", number=number).started == 0
        broker.send(worker, "GONE", **ref(worker, number))
    assert json.loads(broker.expect("RESULT", number=3).payload)["statusCode"] == 200
    assert broker.expect("RETURN", number=2).started == 1
    unknown = broker.expect("RESULT", number=1)
    assert (json.loads(unknown.payload)["output"]
            == "Agent Side Error: Error: outcome unknown: executor stopped during POST; not repeated")
    for number in (1, 3):
        broker.send(worker, "STORED", **ref(worker, number))
    assert broker.take("BYE") is None
    broker.send(worker, "GONE", **ref(worker, 2))
    broker.expect("BYE")
    assert executor.wait() == 0
    assert len(tool.requests) == 3


def test_drain_without_a_broker(broker, start, tool):
    idle = start("--drainTimeout", "1")
    broker.welcome()
    broker.close()
    idle.terminate()
    assert idle.wait(5) == 0


def test_drain_that_cannot_deliver(broker, start, tool):
    executor = start("--drainTimeout", "1")
    worker = broker.welcome()
    push(broker, worker, 1, task(tool.url("/")))
    broker.expect("CLAIM", number=1)
    broker.send(worker, "CLAIMED", **ref(worker, 1))
    broker.expect("RESULT", number=1)
    broker.close()
    executor.terminate()
    assert executor.wait(15) == 1
    assert "drain_incomplete" in executor.log


def test_drain_with_a_body_that_has_no_room(broker, start):
    """It says that it drains, whenever it asks for room; and when there is none to the end, that this was why."""
    tool = ToolServer({"/": answer(200, [], b"0123456789" * 100000)})
    executor = start("--drainTimeout", "1")
    worker = broker.welcome()
    push(broker, worker, 1, task(tool.url("/")))
    broker.expect("CLAIM", number=1)
    broker.send(worker, "CLAIMED", **ref(worker, 1))
    broker.expect("BODY", number=1)
    assert broker.count("DRAIN") == 0
    executor.terminate()
    drain = broker.expect("DRAIN")
    assert (drain.session, drain.mode) == (worker.session, 1)
    broker.expect("BODY", number=1)
    broker.until(lambda: executor.process.poll() is not None, what="the end")
    assert executor.wait() == 1
    assert 'held=1 bodies_without_room=1 reason="the broker\'s disk has no room for large bodies"' in executor.log
    assert broker.count("DRAIN") > 1, "not said again"


def test_many_tasks_in_few_slots_leave_nothing_behind(broker, start, tool):
    executor = start("--executorPoolSize", "5")
    worker = broker.welcome()
    files = f"/proc/{executor.process.pid}/fd"
    for number in range(1, 301):
        push(broker, worker, number, task(tool.url(f"/{number}"), "POST" if number % 3 == 0 else "GET"))
        if number % 5:
            continue
        for one in range(number - 4, number + 1):
            broker.expect("CLAIM", number=one)
            broker.send(worker, "CLAIMED", **ref(worker, one))
        for one in range(number - 4, number + 1):
            broker.expect("RESULT", number=one)
            broker.send(worker, "STORED", **ref(worker, one))
    held_is_empty(broker)
    assert len(tool.requests) == 300
    assert len(os.listdir(files)) < 60
    executor.terminate()
    broker.expect("BYE")
    assert executor.wait() == 0, executor.log
