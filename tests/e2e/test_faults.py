"""The whole pipeline with processes killed, drained and restarted; test_fault_*.py has the rest."""
import pytest

from agent import FAST
from fault_tools import PROGRAMS, Toll, check_toll, kill_all, settle


@pytest.mark.parametrize("bind", [[], [f"--{option}=tcp://127.0.0.1:{{port}}" for option in ("bind", "broker")]],
                         ids=["ipc", "tcp"])
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
    toll = Toll()  # not even a GET twice, nor a result
    books = settle(agent, mock, 500, toll)
    agent.stop()
    check_toll(books, 500, toll)


def test_a_pause_outlives_the_broker(world):
    """AC wants one of minutes: the next broker keeps to it as well."""
    mock = world.start_mock("--fault", "put-result:429retry:1:600:x1")
    agent = world.make_agent(*FAST).start()
    agent.joined("fetcher", "executor", "uploader")
    mock.add(count=1, methods="POST")
    until = agent.status_until(lambda s: s["gate"]["paused_until_ms"], "a pause")["gate"]["paused_until_ms"]
    former = agent.kill("broker")
    agent.restarted("broker", former)
    after = agent.joined("fetcher", "executor", "uploader")["gate"]["paused_until_ms"]
    assert abs(after - until) < 1000
    asked = [mock.books()[key] for key in ("ac_get_task", "ac_put_result")]
    mock.add(count=1, methods="GET")
    agent.status_until(lambda s: s["gate"]["waiting_for"].startswith("the end of the pause"), "the gate")
    assert [mock.books()[key] for key in ("ac_get_task", "ac_put_result")] == asked
    assert mock.books()["delivered"] == 0
    agent.stop()


def test_each_restarted_alone(world):
    """SIGTERM and a new start of each program, one after the other, under load."""
    mock = world.start_mock("--tasks", 600, "--toolDelayMs", "20-100")
    agent = world.make_agent(*FAST)
    programs = agent.keep(*PROGRAMS)
    goal = 60
    for name in ("executor", "uploader", "fetcher", "broker"):
        mock.wait(f"delivered>={goal}")
        agent.stop(programs[name])
        programs[name] = agent.program(name)
        goal += 120
    toll = Toll()
    books = settle(agent, mock, 600, toll)
    check_toll(books, 600, toll)


def test_all_killed(world):
    """Everything killed at once and started again: the journal has it all."""
    mock = world.start_mock("--tasks", 300, "--toolDelayMs", "20-100", "--methods", "GET,PUT")
    agent = world.make_agent(*FAST).start()
    mock.wait("delivered>=100")
    toll = Toll(kill_all(agent))
    agent.start()
    books = settle(agent, mock, 300, toll)
    agent.stop()
    check_toll(books, 300, toll)


def test_drain(world):
    """SIGTERM under load: exit 0, and the rest goes on at the next start."""
    mock = world.start_mock("--tasks", 200, "--toolDelayMs", "20-100")
    agent = world.make_agent(*FAST).start()
    mock.wait("delivered>=60")
    agent.stop()
    agent.start()
    toll = Toll()
    books = settle(agent, mock, 200, toll)
    agent.stop()
    check_toll(books, 200, toll)
