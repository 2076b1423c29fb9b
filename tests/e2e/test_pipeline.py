"""The whole pipeline on real processes and real HTTP, in health."""
import itertools
import time

import pytest

from agent import FAST, check_books, until


@pytest.mark.parametrize("bind", [[], [f"--{option}=tcp://127.0.0.1:{{port}}" for option in ("bind", "broker")]],
                         ids=["ipc", "tcp"])
def test_small_tasks(world, bind, free_port):
    """2,000 small tasks: each delivered once, to the byte, over few AC connections."""
    mock = world.start_mock("--tasks", 2000, "--methods", "GET,POST,PUT,DELETE,PATCH,HEAD")
    bind = [word.format(port=free_port) for word in bind]
    agent = world.make_agent(*FAST, "--executorPoolSize", 10, *bind).start()
    check = mock.wait("delivered>=2000")
    agent.stop()
    check_books(check, 2000)
    books = mock.books()
    assert books["duplicates"] == 0
    assert books["reexecuted_safe"] == 0
    assert books["ac_connections_opened"] < 10


def test_slow_tools_many_slots(world):
    """Tools that take 300 ms and 50 slots: never a third AC request."""
    mock = world.start_mock("--tasks", 500, "--toolDelayMs", "300-300", "--acDelayMs", 2)
    agent = world.make_agent(*FAST, "--executorPoolSize", 50).start()
    books = mock.wait("delivered>=500")
    agent.stop()
    check_books(books, 500)
    assert books["tool_max_in_flight"] > 10
    assert books["tool_max_in_flight"] <= 50


def test_one_ac_request_at_a_time(world):
    mock = world.start_mock("--tasks", 200)
    agent = world.make_agent(*FAST, "--acMaxConcurrent", 1).start()
    books = mock.wait("delivered>=200")
    agent.stop()
    check_books(books, 200, max_in_flight=1)


def test_no_executor_no_poll(world):
    """With no executor the fetcher asks AC for nothing; with one it does."""
    mock = world.start_mock("--tasks", 20)
    agent = world.make_agent(*FAST)
    for name in ("broker", "fetcher", "uploader"):
        agent.program(name)
    agent.joined("fetcher", "uploader")
    status = agent.status_until(lambda s: s["fetch"]["paused"], "a paused fetch")
    assert status["fetch"]["reason"] == "no executor is connected"
    # the fetcher asks for a credit each second: several of its requests must have been left open
    heard = time.monotonic() + 3
    agent.status_until(lambda s: time.monotonic() > heard, "three seconds of heartbeats")
    assert mock.books()["ac_requests"] == 0
    agent.program("executor")
    check_books(mock.wait("delivered>=20"), 20)


def test_stopped_uploader_stops_fetching(world):
    """Without an uploader fetching stops at 80 of 100 results, and goes on when they have drained."""
    mock = world.start_mock("--tasks", 400)
    agent = world.make_agent(*FAST)
    for name in ("broker", "fetcher", "executor"):
        agent.program(name)
    reason = "the response queue is at its threshold"
    agent.status_until(lambda s: s["fetch"]["reason"] == reason and s["tasks"]["running"] == 0 and
                       s["tasks"]["ready"] == 0, "a full response queue")
    polls = mock.books()["ac_get_task"]
    results = agent.status()["results"]["waiting"]
    assert 80 <= results <= 100
    heard = time.monotonic() + 3
    agent.status_until(lambda s: time.monotonic() > heard, "three seconds of heartbeats")
    assert mock.books()["ac_get_task"] == polls, "a poll while the response queue was full"
    agent.program("uploader")
    check_books(mock.wait("delivered>=400"), 400)


def test_fetching_keeps_to_slots_and_lookahead(world):
    """With tools that never get done, no more tasks are taken than slots and lookahead hold."""
    mock = world.start_mock("--tasks", 300, "--toolDelayMs", "30000-30000", "--methods", "GET")
    agent = world.make_agent(*FAST, "--executorPoolSize", 10, "--drainTimeout", 0).start()
    agent.status_until(lambda s: s["fetch"]["reason"] == "ready tasks reach the lookahead" and
                       s["tasks"]["running"] == 10, "a full pipeline")
    heard = time.monotonic() + 2
    agent.status_until(lambda s: time.monotonic() > heard, "two seconds of heartbeats")
    assert mock.books()["handed"] == 20


@pytest.mark.parametrize("order", list(itertools.permutations(["broker", "fetcher", "executor", "uploader"]))[::5],
                         ids="-".join)
def test_any_order_of_start(world, order):
    mock = world.start_mock("--tasks", 40)
    agent = world.make_agent(*FAST)
    for name in order:
        process = agent.program(name)
        until(lambda: (agent.name_of_pid(process.pid)) == "sluice-" + name, f"the start of {name}")
    check_books(mock.wait("delivered>=40"), 40)
