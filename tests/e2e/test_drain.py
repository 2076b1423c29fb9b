"""SIGTERM to each program alone and to all of them, under load, with tasks that take no time and tasks that take
an hour."""
import json
import os
import re
import signal
import time

import pytest

from agent import FAST, check_books, until
from fault_tools import PROGRAMS, one_by_one
from test_life import events, heard_from, sluice, task

HOUR_MS = 3600000


def add_slow(mock, task_id, method, **tool):
    """A task that takes longer than any test; a GET may come twice."""
    line = {"task": {"taskId": task_id, "url": "{tool}/" + task_id, "method": method,
                     "expiryTsMs": int(time.time() * 1000) + 2 * HOUR_MS},
            "tool": {"status": 200, "body": "late", "delayMs": HOUR_MS, "repeats": method == "GET", **tool}}
    if method == "POST":
        line["task"]["input"] = "x"
        line["expect"] = {"error": "outcome unknown"}
    mock.post("/_control/tasks", line)


def end(agent, started, name):
    """By SIGTERM, with 0. (One that its own switch has ended is there again, and told again.)"""
    while True:
        process = started[name]
        code = agent.stop(process, expect=None)
        if code != -signal.SIGKILL:
            assert code == 0, agent.log_tail()
            return
        until(lambda: started[name] is not process, f"another {name}")


def doubled(started):
    """How many results may have come twice, by the deaths of an uploader that nobody wanted."""
    return 2 * started.toll["uploader"]


def settled(mock, total):
    """Waits until all but the slow GET are delivered."""
    return until(lambda: (b := mock.books())["delivered"] + b["handed_to_dead"] >= total and b, "all other results")


def test_all_of_them(world):
    """`sluice run`: exit 0 once the time is up; then the GET is run again, and the POST is told of as unknown."""
    mock = world.start_mock("--tasks", 0, "--toolDelayMs", "5-20", "--longPollMs", "300-600",
                            "--acDelayMs", 10)  # enough is left when SIGTERM comes
    agent = world.make_agent(*FAST, "--drainTimeout", 2).start()
    add_slow(mock, "slow-get", "GET")
    add_slow(mock, "slow-post", "POST")
    mock.add(count=300, toolDelayMs="5-20")
    task(agent, "slow-get", "running")
    task(agent, "slow-post", "running")
    mock.wait("delivered>=40")
    agent.stop()
    assert mock.books()["delivered"] < 301
    agent.start()
    books = settled(mock, 301)
    assert books["outcome_unknown"] == 1 and books["reexecuted_unsafe"] == 0 and books["wrong"] == 0
    assert books["ac_max_in_flight"] <= 2
    story = events(task(agent, "slow-get", "running"))
    assert story.count("claimed") == 2 and "lost" in story
    assert not {"started", "connected", "first_byte"} & set(story), story  # they come with a result alone
    agent.stop()


def three_bodies(world, *options):
    """Three POSTs whose answers are there: one body in the spool, for AC fails on it, and two that wait for room."""
    mock = world.start_mock("--tasks", 3, "--methods", "POST", "--bodyBytes", "900000-900000", "--fault", "upload-result:503:1",
                            "--longPollMs", "300-600")
    return mock, world.make_agent(*FAST, "--spoolMb", 1, *options)


def no_room_for_two(status):
    """Not two that have only just come, before the spool was asked."""
    return status["spool"]["waiting"] == 2 and status["spool"]["waits_for"]


def all_three(mock, agent):
    """Not one is thrown away, though the spool is beyond its bound by two."""
    assert len(list((agent.state / "spool").glob("*.body"))) == 3
    mock.config(faults=[])
    if agent.run:
        agent.start()
    books = mock.wait("delivered>=3")
    check_books(books, 3)
    assert books["outcome_unknown"] == 0 and books["error_results"] == 0


def test_answers_that_wait_for_room(world):
    """`sluice run` ends with 0, and has all that the tools have answered."""
    mock, agent = three_bodies(world)
    agent.start()
    status = agent.status_until(no_room_for_two, "two bodies that wait for room")
    number = str(status["spool"]["first_waiting"])
    life = task(agent, number)
    assert life["waits_for"] == "room in the spool" and life["answered"] and "expires_ms" not in life, life
    assert life["body"]["bytes"] > 900000 and (life["body"]["come"], life["body"]["place"]) == (0, 1), life
    page = " ".join(sluice(agent, "task", number).split())
    assert re.search(r"Now the tool has answered; its body of 900\.\d kB waits for room in the spool \(place 1\); it is with executor-1",
                     page), page
    agent.stop()
    all_three(mock, agent)
    agent.stop()


def test_an_executor_whose_answers_wait_for_room(world, request):
    """The same of an executor alone, with the broker killed while it drains: the next one knows of no drain before it is told."""
    mock, agent = three_bodies(world)
    started = agent.keep(*PROGRAMS)
    request.addfinalizer(agent.kill_programs)
    agent.status_until(no_room_for_two, "two bodies that wait for room")
    os.kill(started["broker"].pid, signal.SIGSTOP)
    started["executor"].terminate()
    until(lambda: "sluice-executor event=draining" in agent.log_text(), "the drain")
    started["broker"].kill()
    started["broker"].wait()
    started["broker"] = agent.program("broker")
    assert started["executor"].wait(60) == 0, agent.log_tail()
    all_three(mock, agent)


@pytest.fixture
def programs(world, request):
    """The programs one by one; each can be ended alone."""
    yield from one_by_one(world, request, drain_timeout=2)


def test_an_executor(programs):
    """What may be repeated goes to the other executor, a POST's outcome is unknown; the tasks at the tool meanwhile pass."""
    mock, agent, started = programs
    add_slow(mock, "slow-get", "GET")
    add_slow(mock, "slow-post", "POST")
    holder = task(agent, "slow-get", "running")["worker"]["pid"]
    task(agent, "slow-post", "running")
    assert holder == started["executor"].pid
    other = agent.program("executor")
    agent.status_until(lambda s: sum(w["role"] == "executor" for w in s["workers"]) == 2, "the second executor")
    mock.add(count=100, toolDelayMs="5-20")
    mock.wait("delivered>=20")
    agent.stop(started["executor"])
    books = settled(mock, 101)
    assert books["outcome_unknown"] == 1 and books["reexecuted_unsafe"] == 0 and books["wrong"] == 0
    again = until(lambda: (t := task(agent, "slow-get"))["state"] == "running" and t, "the GET with the other executor")
    assert again["worker"]["pid"] == other.pid
    assert books["duplicates"] <= doubled(started)


@pytest.mark.parametrize("name", ["fetcher", "uploader", "broker"])
def test_another(programs, name):
    """It ends with 0, under load, and the tasks that run all the while are not touched."""
    mock, agent, started = programs
    add_slow(mock, "slow-get", "GET")
    add_slow(mock, "slow-post", "POST")
    task(agent, "slow-get", "running")
    task(agent, "slow-post", "running")
    mock.add(count=150, toolDelayMs="5-20")
    mock.wait("delivered>=30")
    end(agent, started, name)
    started[name] = agent.program(name)
    books = settled(mock, 150)
    assert books["delivered"] + books["handed_to_dead"] == 150 and books["lost"] == 2, books  # the slow ones
    assert books["handed_to_dead"] <= started.toll["fetcher"] and books["duplicates"] <= doubled(started)
    assert books["wrong"] == 0 and books["ac_max_in_flight"] <= 2
    assert books["reexecuted_safe"] == 0 and books["reexecuted_unsafe"] == 0 and books["outcome_unknown"] == 0
    for slow in ("slow-get", "slow-post"):
        assert task(agent, slow)["state"] == "running"


def test_uploads_under_way_are_finished(world):
    """The uploader's own drain: it gives AC what it is posting and all else that it has claimed, once."""
    mock = world.start_mock("--tasks", 12, "--longPollMs", "300-600")
    agent = world.make_agent(*FAST, "--drainTimeout", 60)
    started = agent.keep("broker", "fetcher", "executor")
    agent.status_until(lambda s: s["results"]["waiting"] == 12, "twelve results")
    mock.config(acDelayMs=3000)
    started["uploader"] = agent.program("uploader")
    status = agent.status_until(lambda s: s["results"]["uploading"] > 6, "claims")
    its = status["counters"]["delivered"] + status["results"]["uploading"]
    heard_from(agent, "uploader", 2)  # it knows that they are its
    until(lambda: mock.books()["ac_put_result"] > 0 and mock.books()["ac_in_flight"] > 0, "a request under way")
    assert mock.books()["delivered"] + 2 < its, "there are more than a request for each credit"
    mock.config(acDelayMs=0)
    end(agent, started, "uploader")
    books = mock.books()
    assert books["delivered"] >= its or started.toll["uploader"], json.dumps(books)
    started["uploader"] = agent.program("uploader")
    books = mock.wait("delivered>=12")
    check_books(books, 12)
    assert books["duplicates"] <= doubled(started) and books["ac_clients_gone"] <= started.toll.total(), json.dumps(books)
    agent.kill_programs()


def test_a_poll_under_way_is_finished(world):
    """The fetcher's own drain: AC's long poll ends by itself, and its task is not lost."""
    mock = world.start_mock("--tasks", 0, "--longPollMs", "30000")
    agent = world.make_agent(*FAST)
    started = agent.keep(*PROGRAMS)
    mock.wait("ac_polls_waiting>=1")
    gone = mock.books()["ac_clients_gone"]
    fetcher = started["fetcher"]
    fetcher.terminate()
    until(lambda: "sluice-fetcher event=draining polling=1" in agent.log_text(), "the drain")
    mock.add(count=1)
    assert fetcher.wait(60) == 0
    books = mock.wait("delivered>=1")
    check_books(books, 1)
    assert books["ac_clients_gone"] == gone
    until(lambda: sluice(agent, "resume") == "fetching is on, but no fetcher is connected\n", "the word that nobody fetches")
    assert "Fetching on, but no fetcher is connected" in " ".join(sluice(agent, "status").split())
    agent.kill_programs()
