"""The books themselves: each bound is red when a count is one more than the faults explain."""
import argparse
import collections
import contextlib
import functools
import os
import pathlib
import socket
import struct
import subprocess
import sys
import time
import types

import pytest

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(pathlib.Path(__file__).resolve().parent.parent / "e2e")]

import accounts as accounting
import measure
import soak
from fault_tools import PROGRAMS, Toll, check_toll, given_up
from faults import Faults

CLEAN = dict.fromkeys(("wrong", "reexecuted_unsafe", "reexecuted_safe", "reexecuted_faulted", "outcome_unknown", "duplicates",
                       "handed_to_dead", "lost", "ac_too_many", "waiting", "protocol_errors", "ac_requests", "unanswered",
                       "error_results"), 0) | {"wrong_reasons": [], "ac_max_in_flight": 2, "handed": 99, "faults": {}}

JOINED = "T info sluice-broker event=worker_joined name=executor-1 session={} slots=10 kept=0 dropped=0 pid={}\n"
SILENT = 'T info sluice-broker event=worker_gone name=executor-1 session={} tasks=9 why="nothing was heard from it"\n'
BEGUN = "T info sluice-broker event=journal_opened path=x start=2 tasks=9\n"
AWAY = 'T warn sluice-broker event=task_redelivered task=x method=GET why="its executor did not come back"\n'


def agent_of(log):
    return types.SimpleNamespace(log_text=lambda: log, kept=None, kills=dict.fromkeys(PROGRAMS, 0), slots=lambda: 10,
                                 pids=lambda role: [], run=None)


@pytest.mark.parametrize("log, found", [
    (JOINED.format(1, 7) + SILENT.format(1) + JOINED.format(2, 7) + SILENT.format(2), {"7": 2}),
    (JOINED.format(1, 7) + BEGUN + AWAY + AWAY + JOINED.format(9, 7), {"7": 1}),  # it lived
    (JOINED.format(1, 7) + BEGUN + AWAY + JOINED.format(9, 8), {}),               # another: that one was killed
    (JOINED.format(1, 7) + BEGUN + JOINED.format(9, 7) + AWAY, {}),
])
def test_executors_given_up(log, found):
    assert given_up(log) == found


def test_one_that_the_test_stopped_is_counted_once():
    toll = Toll()
    toll.lost_executor(7)
    for _ in range(2):
        toll.count_switched(agent_of(JOINED.format(1, 7) + SILENT.format(1) + JOINED.format(2, 8) + SILENT.format(2)))
    assert toll["executor"] == 2


@pytest.mark.parametrize("died, count, most", [
    ({"fetcher": 1}, "handed_to_dead", 1), ({"fetcher": 1, "machine": 1}, "lost", 9), ({"machine": 1}, "lost", 0),
    ({"uploader": 1}, "duplicates", 2), ({"uploader": 1, "machine": 1}, "duplicates", 10),
    ({"executor": 2}, "outcome_unknown", 20), ({"executor": 1}, "reexecuted_safe", 10), ({"broker": 3}, "reexecuted_safe", 0),
    ({"broker": 1}, "outcome_unknown", 0)])
def test_toll(died, count, most):
    def check(value):
        toll = Toll(died)
        toll.slots = 10
        gone = value if count in ("handed_to_dead", "lost") else 0
        check_toll(CLEAN | {count: value, "delivered": 99 - gone}, 99, toll)
    check(most)
    with pytest.raises(AssertionError):
        check(most + 1)


def soaked(log, counts, outstanding=(), prepare=lambda faults: None):
    """The promises that are broken."""
    faults = Faults(1, None, types.SimpleNamespace(deaf_until=0), None)
    prepare(faults)
    books, found = CLEAN | {"delivered": 99} | counts, accounting.Accounts()
    may = accounting.Explained(agent_of(log), faults, books, {"unreachable": 3})
    accounting.tasks_and_requests(found, books, outstanding, may, 60)
    return found.failures


def killed(role):
    return lambda faults: faults.has_died(role, 7, time.monotonic())


def aborted(elapsed_ms):
    at = time.strftime("%Y-%m-%dT%H:%M:%S.000", time.gmtime())
    return f'{at}Z warn sluice-fetcher event=poll_aborted count=1 elapsed_ms={elapsed_ms} why="x" task_may_be_lost=1\n'


@pytest.mark.parametrize("cut, prepare, most", [(False, killed("fetcher"), 1), (False, killed("uploader"), 0),
                                                (True, killed("broker"), 1), (True, killed("fetcher"), 2)])
def test_soak_lost(cut, prepare, most):
    """A death costs one task that was handed out at its time; one that stood still and lived on has none."""
    def task(at):
        return {"handed_at_us": at * 1e6, "state": "outstanding", "times_executed": 0}
    now, log = time.monotonic(), aborted(9) if cut else ""
    assert not soaked(log, {}, [task(now)] * most, prepare)
    assert soaked(log, {}, [task(now)] * (most + 1), prepare) == ["lost: 1, must be 0"]
    assert soaked(log, {}, [task(now - 60)], prepare) == ["lost: 1, must be 0"]
    assert soaked(log, {}, [task(now) | {"times_executed": 1}], prepare) == ["lost: 1, must be 0"]


@pytest.mark.parametrize("stopped, broken", [(7, []), (8, ["lost: 1, must be 0"])])
def test_soak_lost_by_one_that_stood_still(stopped, broken):
    """What AC hands to a fetcher that is stopped is lost when that is killed, however much later."""
    def prepare(faults):
        faults.standing[stopped] = time.monotonic() - 60
        killed("fetcher")(faults)
    task = {"handed_at_us": (time.monotonic() - 30) * 1e6, "state": "handed_to_dead", "times_executed": 0}
    assert soaked("", {}, [task], prepare) == broken


@pytest.mark.parametrize("counts, prepare, more", [
    ({"reexecuted_safe": 4, "outcome_unknown": 6, "error_results": 6}, killed("executor"), "reexecuted_safe"),
    ({"reexecuted_safe": 4, "reexecuted_faulted": 4}, killed("broker"), "outcome_unknown"),
    ({"duplicates": 2}, killed("uploader"), "duplicates"),
    ({"error_results": 5, "faults": {"tool:reset": 2, "tool:503": 9}}, killed("broker"), "error_results")])
def test_soak_bounds(counts, prepare, more):
    assert not soaked("", counts, prepare=prepare)
    assert soaked("", counts | {more: counts.get(more, 0) + 1}, prepare=prepare)


def test_soak_given_back():
    """Executors that were told to end give up what runs too long, and no more than they have."""
    log = 'T warn sluice-broker event=task_redelivered task=x method=GET why="its executor gave it back"\n'
    ended = lambda faults: setattr(faults, "drained", 1)
    assert not soaked(log * 10, {"reexecuted_safe": 10}, prepare=ended)
    assert soaked(log * 9, {"reexecuted_safe": 10}, prepare=ended) and soaked(log * 11, {"reexecuted_safe": 11}, prepare=ended)
    assert soaked(log, {"reexecuted_safe": 1})


def of_process(**more):
    return {"own_kb": 3000, "fds": 24, "connections": 0} | more


ALL = {(role, pid): of_process(own_kb=3000 + pid) for pid, role in enumerate(measure.RUNNING)}


def stretched(begin, end):
    found = accounting.Accounts()
    accounting.of_the_stretch(found, begin, end, 1000)
    return found.failures


@pytest.mark.parametrize("key, most", [
    ("own_kb", 3002 + 1536), ("fds", 24), ("connections", accounting.CONNECTIONS["executor"])])
def test_stretch(key, most):
    """Each process is measured by itself."""
    assert not stretched(ALL, ALL | {("executor", 2): of_process(**{key: most})})
    assert len(stretched(ALL, ALL | {("executor", 2): of_process(**{key: most + 1})})) == 1


def test_stretch_of_all_that_run():
    fewer = {key: values for key, values in ALL.items() if key != ("executor", 3)}
    assert stretched(ALL, fewer) == ["executor 3: of the stretch: gone, must be there at its end"]
    assert stretched(fewer, ALL) == ["processes measured in it: 4, must be 5"]


def left(**more):
    journal = {"rows": {"task": 0, "history": 9}, "used_bytes": 4096, "history_bytes": 4096, "free_bytes": 0,
               "file_bytes": 8192, "wal_bytes": 0}
    return {"processes": {"broker": of_process()}, "spool": [], "runtime": 3, "buried": 0,
            "journal": journal | {key: value for key, value in more.items() if key in journal}} | \
        {key: value for key, value in more.items() if key not in journal}


@pytest.mark.parametrize("well, broken", [
    ({"spool": []}, {"spool": ["body"]}), ({"runtime": 3}, {"runtime": 4}), ({"buried": 0}, {"buried": 1}),
    ({"wal_bytes": 0}, {"wal_bytes": 1}), ({"used_bytes": 4096 + (64 << 10)}, {"used_bytes": 4097 + (64 << 10)}),
    ({"free_bytes": 8 << 20}, {"free_bytes": (8 << 20) + 1}),
    ({"free_bytes": 9 << 20, "history_bytes": 9 << 20}, {"free_bytes": (9 << 20) + 4097, "history_bytes": 9 << 20}),
    ({"rows": {"task": 0, "history": 10256}}, {"rows": {"task": 1, "history": 10256}}),
    ({"rows": {"task": 0, "history": 10256}}, {"rows": {"task": 0, "history": 10257}}),
    ({"processes": {"broker": of_process(fds=28)}}, {"processes": {"broker": of_process(fds=29)}}),
    ({"processes": {"broker": of_process(own_kb=3000 + 10240)}}, {"processes": {"broker": of_process(own_kb=3001 + 10240)}})])
def test_what_is_left(well, broken):
    def failures(more):
        found = accounting.Accounts()
        accounting.what_is_left(found, left(), left(**more))
        return found.failures
    assert not failures(well)
    assert len(failures(broken)) == 1


def test_connections_that_nobody_closes():
    """Whatever the other side did to them."""
    before = measure.of_process(os.getpid())
    with socket.create_server(("127.0.0.1", 0)) as server, contextlib.ExitStack() as held:
        for linger in (None, 0, 1):
            held.enter_context(socket.create_connection(server.getsockname()))
            other, _ = server.accept()
            if linger is not None:
                other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", linger == 0, 0))
                other.close()
            else:
                held.enter_context(other)
        for local in socket.socketpair():
            held.enter_context(local)
        after = measure.of_process(os.getpid())
    assert after["connections"] - before["connections"] == 1 + 3 + 1  # the server, and one that it holds
    assert after["fds"] - before["fds"] == 2


def test_one_that_has_ended():
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(OSError):
        measure.of_process(process.pid)  # not yet waited for
    process.wait()


def test_everybody_has_to_meet_a_fault():
    found = accounting.Accounts()
    met = collections.Counter([*PROGRAMS, "AC", "tool"])
    accounting.who_met_a_fault(found, met)
    assert not found.failures
    for name in met:
        found = accounting.Accounts()
        accounting.who_met_a_fault(found, met - collections.Counter([name]))
        assert found.failures == [f"{name}: faults met: 0, at least 1"]


@pytest.mark.parametrize("begin", [lambda faults: None, lambda faults: faults.servers_only()])
def test_the_first_faults_are_on_everybody(begin):
    """Also when one has no process just now."""
    mock = types.SimpleNamespace(deaf_until=0)
    for seed in range(20):
        faults = Faults(seed, agent_of(""), mock, lambda text: None)
        faults.restart_agent = lambda: None
        begin(faults)
        wanted, done, here = list(faults.first), [], False

        def obey(name):
            done.append(name)
            if here:
                faults.met[name] += 1
        faults.first = [functools.partial(obey, number) for number in range(len(wanted))]
        for now in range(0, 10000, 1000):
            here = now >= 2000
            faults.step(now) if faults.first else None
        assert done == [0, 0, *range(len(wanted))]


@pytest.mark.parametrize("text", ["0", "-3", "0.49", "nan", "inf", "x"])
def test_minutes_that_prove_nothing(text):
    with pytest.raises((argparse.ArgumentTypeError, ValueError)):
        soak.minutes(text)
    assert soak.minutes("0.5") == 0.5
