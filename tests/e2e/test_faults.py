"""The whole pipeline with processes killed, stopped, drained and restarted, and AC at its worst."""
import os
import signal

import pytest

from agent import FAST, check_books, until


def test_stopped_fetcher_is_ended_by_its_switch(world):
    mock = world.start_mock("--tasks", 0, "--longPollMs", "10000-13000")
    agent = world.make_agent(*FAST).start()
    mock.wait("ac_in_flight>=1")
    former = agent.kill("fetcher", signal.SIGSTOP)
    agent.restarted("fetcher", former)
    mock.add(count=50)
    books = mock.wait("delivered>=50")
    agent.stop()
    check_books(books, 50)


def test_stopped_uploader_is_ended_by_its_switch(world):
    mock = world.start_mock("--tasks", 50, "--fault", "put-result:stall:1:60000")
    agent = world.make_agent(*FAST).start()
    mock.wait("ac_put_result>=1")
    former = agent.kill("uploader", signal.SIGSTOP)
    agent.restarted("uploader", former)
    mock.config(faults=[])
    books = mock.wait("delivered>=50")
    agent.stop()
    check_books(books, 50)


@pytest.mark.parametrize("bind", [[], ["--bind", "tcp://127.0.0.1:{port}"]], ids=["ipc", "tcp"])
def test_killed_broker(world, bind, free_port):
    """kill -9 of the broker in the middle: nothing lost, nothing doubled, not even a GET."""
    mock = world.start_mock("--tasks", 500, "--toolDelayMs", "20-200", "--acDelayMs", 2)
    bind = [word.format(port=free_port) for word in bind]
    agent = world.make_agent(*FAST, "--executors", 2, *bind).start()
    mock.wait("delivered>=150")
    former = agent.kill("broker")
    agent.restarted("broker", former)
    mock.wait("delivered>=300")
    agent.kill("broker")
    books = mock.wait("delivered>=500")
    agent.stop()
    check_books(books, 500)
    assert books["reexecuted_safe"] == 0
    assert books["outcome_unknown"] == 0
    assert books["duplicates"] == 0


@pytest.mark.parametrize("victim", ["executor", "uploader", "fetcher"])
def test_killed_worker(world, victim):
    mock = world.start_mock("--tasks", 300, "--toolDelayMs", "20-200", "--acDelayMs", 2)
    agent = world.make_agent(*FAST, "--executors", 2).start()
    mock.wait("delivered>=100")
    agent.kill(victim)
    # at most one task may have gone to a connection that died with the fetcher
    until(lambda: (b := mock.books())["delivered"] + b["handed_to_dead"] >= 300, "all tasks' ends")
    books = mock.books()
    agent.stop()
    check_books(books, 300 - books["handed_to_dead"])
    assert books["handed_to_dead"] <= (1 if victim == "fetcher" else 0)
    assert books["duplicates"] <= (1 if victim == "uploader" else 0)
    limit = 10 if victim == "executor" else 0
    assert books["reexecuted_safe"] <= limit and books["outcome_unknown"] <= limit


def test_each_restarted_alone(world):
    """SIGTERM and a new start of each program, one after the other, under load."""
    mock = world.start_mock("--tasks", 600, "--toolDelayMs", "20-100")
    agent = world.make_agent(*FAST)
    programs = {name: agent.program(name) for name in ("broker", "fetcher", "executor", "uploader")}
    goal = 60
    for name in ("executor", "uploader", "fetcher", "broker"):
        mock.wait(f"delivered>={goal}")
        agent.stop(programs[name])
        programs[name] = agent.program(name)
        goal += 120
    books = mock.wait("delivered>=600")
    check_books(books, 600)
    assert books["reexecuted_safe"] == 0 and books["duplicates"] == 0 and books["outcome_unknown"] == 0


def test_all_killed(world):
    """Everything killed at once and started again: the journal has it all."""
    mock = world.start_mock("--tasks", 300, "--toolDelayMs", "20-100", "--methods", "GET,PUT")
    agent = world.make_agent(*FAST).start()
    mock.wait("delivered>=100")
    children = [pid for name in ("fetcher", "executor", "uploader", "broker") for pid in agent.pids(name)]
    agent.run.kill()
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    agent.run.wait()
    agent.start()
    until(lambda: (b := mock.books())["delivered"] + b["handed_to_dead"] >= 300, "all tasks' ends")
    books = mock.books()
    agent.stop()
    check_books(books, 300 - books["handed_to_dead"])
    assert books["duplicates"] <= 1


def test_ac_at_its_worst(world):
    """5xx, 429 of both kinds, resets, half answers: everything is delivered in the end."""
    mock = world.start_mock("--tasks", 60)
    mock.config(addFaults=["put-result:500:0.1", "put-result:429conc:0.05", "put-result:429rate:0.05:1",
                           "put-result:reset:0.05", "get-task:503:0.05", "get-task:half:0.05"])
    agent = world.make_agent(*FAST).start()
    mock.wait("delivered>=20", deadline=120)
    mock.config(faults=[])
    until(lambda: (b := mock.books())["delivered"] + b["handed_to_dead"] >= 60, "all tasks' ends", 120)
    books = mock.books()
    agent.stop()
    assert books["wrong"] == 0 and books["reexecuted_unsafe"] == 0
    assert books["ac_max_in_flight"] <= 2 and books["ac_too_many"] == 0


def test_drain(world):
    """SIGTERM under load: exit 0, and the rest goes on at the next start."""
    mock = world.start_mock("--tasks", 200, "--toolDelayMs", "20-100")
    agent = world.make_agent(*FAST).start()
    mock.wait("delivered>=60")
    agent.stop()
    agent.start()
    books = mock.wait("delivered>=200")
    agent.stop()
    check_books(books, 200)
    assert books["reexecuted_safe"] == 0 and books["duplicates"] == 0 and books["outcome_unknown"] == 0
