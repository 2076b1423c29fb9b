"""kill -9 and kill -STOP of each program at random moments under load. SLUICE_KILLS and SLUICE_KILL_SEED choose how many
and when; SLUICE_STOP_S how long a program stands still (30 s; over 7 s is longer than every time-out)."""
import os
import random
import re
import signal
import time

from agent import until
from fault_tools import FAST, MIX, PROGRAMS, Toll, check_toll, kill_all, settle, side_by_side
from recovery_times import recover

KILLS = int(os.environ.get("SLUICE_KILLS", "3"))
SEED = int(os.environ.get("SLUICE_KILL_SEED", "1"))
STOP_S = float(os.environ.get("SLUICE_STOP_S", "30"))
RECOVERY_S = 30  # five leases' time: only a machine at its worst needs a third of it


def feed(mock, count):
    mock.add(count=count, methods=MIX["methods"], toolDelayMs=MIX["toolDelayMs"], bodyBytes=MIX["bodyBytes"])
    mock.add(count=2, methods="GET,POST", bodyBytes="600000-900000")
    return count + 2


def kill_at_random(world, victim):
    pick = random.Random(f"{victim} {SEED}")
    mock = world.start_mock("--longPollMs", "500-500", "--acDelayMs", 1)
    agent = world.make_agent(*FAST, "--executors", 2).start()
    agent.joined("fetcher", "executor", "uploader")
    toll, total = Toll(), 0
    for _ in range(KILLS):
        name = victim if victim in PROGRAMS else pick.choice(PROGRAMS)
        total += feed(mock, 60)
        mock.wait(f"delivered>={total - pick.randint(20, 60) - toll.most_unread()}")
        time.sleep(pick.uniform(0, 0.05))  # the moment is to be any
        former = agent.kill(name)
        if name == "executor":
            toll.lost_executor(former)
        else:
            toll[name] += 1
        agent.restarted(name, former)
    books = settle(agent, mock, total, toll)
    check_toll(books, total, toll)
    agent.stop()


def test_killed_at_any_moment():
    """Each program alone, and all of them in turn."""
    side_by_side(kill_at_random, [*PROGRAMS, "any", "any other"])


def stop_and_continue(world, victim):
    """Longer than every time-out: a credit's holder is ended by its switch, any other finds its session gone."""
    mock = world.start_mock("--tasks", 40, "--longPollMs", "60000-60000", "--toolDelayMs", "20-200", "--methods",
                            "GET,POST", "--acDelayMs", 1)
    agent = world.make_agent(*FAST, "--executors", 2, "--drainTimeout", 5).start()
    mock.wait("ac_polls_waiting>=1" if victim == "fetcher" else "delivered>=10")
    toll = Toll()
    stopped = agent.kill(victim, signal.SIGSTOP)
    mock.add(count=20, methods="GET,POST")
    end = time.monotonic() + STOP_S
    until(lambda: time.monotonic() > end or agent.pids(victim)[:1] not in ([], [stopped]), "its end or the time's", STOP_S + 30)
    if stopped in agent.pids(victim):
        os.kill(stopped, signal.SIGCONT)
    else:
        toll[victim] += 1  # by its own switch
        agent.kills[victim] += 1
        assert victim in ("fetcher", "uploader")
    if victim == "executor":
        toll.lost_executor(stopped)
    books = settle(agent, mock, 60, toll)
    check_toll(books, 60, toll)
    agent.stop()
    return toll[victim]


def test_work_goes_on_after_a_kill():
    """Each program, idle and under load; recovery_times.py measures it on a quiet machine."""
    def run(world, case):
        agent, took = recover(world, *case)
        print(*case, f"{took:.2f} s")
        kill_all(agent)  # a drain would wait for the long poll
        assert took < RECOVERY_S
        first = re.search(f"program_killed program=sluice-{case[0]} .*", agent.log_text())[0]
        assert "signal=9 starts_again_in_ms=100" in first  # what does not depend on the machine
    side_by_side(run, [(name, busy) for name in PROGRAMS for busy in (False, True)])


def stop_holder_of_upload(world, _):
    """The uploader in the middle of a request: ended by its switch."""
    mock = world.start_mock("--tasks", 5, "--fault", "put-result:stall:1:60000:x1", "--longPollMs", "500-500")
    agent = world.make_agent(*FAST).start()
    mock.wait("faults_injected>=1")
    former = agent.kill("uploader", signal.SIGSTOP)
    agent.restarted("uploader", former)
    agent.kills["uploader"] += 1
    toll = Toll(["uploader"])
    check_toll(settle(agent, mock, 5, toll), 5, toll)
    agent.stop()


def stop_all(world, _):
    """All four stand still and go on: nobody takes the others for dead."""
    mock = world.start_mock("--tasks", 60, "--toolDelayMs", "20-100", "--longPollMs", "500-500", "--methods", "GET,POST")
    agent = world.make_agent(*FAST).start()
    mock.wait("delivered>=20")
    stopped = {name: agent.kill(name, signal.SIGSTOP) for name in PROGRAMS}
    end = time.monotonic() + STOP_S
    until(lambda: time.monotonic() > end, "the time's end", STOP_S + 30)
    toll = Toll()
    for name, pid in stopped.items():
        if pid in agent.pids(name):
            os.kill(pid, signal.SIGCONT)
        else:
            toll[name] += 1
            agent.kills[name] += 1
    check_toll(settle(agent, mock, 60, toll), 60, toll)
    agent.stop()


STOPS = {**dict.fromkeys(PROGRAMS, stop_and_continue), "all at once": stop_all, "a request": stop_holder_of_upload}


def test_stopped():
    """Each program alone, all at once, and the uploader in a request."""
    ended = dict(zip(STOPS, side_by_side(lambda world, case: STOPS[case](world, case), STOPS)))
    assert ended["fetcher"] >= 1, "the holder of a long poll outlived its lease"  # a starved successor may end likewise
    assert ended["broker"] == 0
