"""Every crash point, alone and in pairs of processes: a program dies right there, and the books still hold.

The points are those that a run of the scenario comes by (with the programs of tests/crash), so a new one is walked by
itself; one in the code that the scenario does not reach fails the test. SLUICE_CRASH_SEED and SLUICE_CRASH_PAIRS (a
number, or "all"; SLUICE_CRASH_PART=0/40, the first of 40 parts of them) choose the pairs and at which hit each point kills;
SLUICE_CRASH_ONLY=broker/commit.after:3,... runs one case alone."""
import collections
import contextlib
import os
import pathlib
import random
import re
import signal

import pytest

from agent import BUILD, TimeOut, until
from fault_tools import FAST, PROGRAMS, Toll, check_toll, settle, side_by_side

CRASH_BIN = BUILD / "tests/crash/bin"
SOURCE = pathlib.Path(__file__).resolve().parents[2]
SEED = int(os.environ.get("SLUICE_CRASH_SEED", "1"))
PAIRS = os.environ.get("SLUICE_CRASH_PAIRS", "24")
PART, PARTS = map(int, os.environ.get("SLUICE_CRASH_PART", "0/1").split("/"))
TASKS = 14
AT_ONCE = 10
RARE = ("REVOKE", "RENEW", "REPORT", "DENIED", "RETURN", "ABORT", "ERROR")  # not in every run
IDLE = ("HEARTBEAT", "EVENT", "STATUS", "STATUS_REPLY")  # nothing is committed or acknowledged by these

pytestmark = pytest.mark.skipif(not CRASH_BIN.exists(), reason="built without SLUICE_CRASH_POINTS")


def literal_points():
    """The points written out in the sources, as (folder, name)."""
    found = set()
    for folder in ("common", *PROGRAMS):
        for path in (SOURCE / folder).glob("*.c"):
            found |= {(folder, name) for name in re.findall(r'CRASH_POINT\("([^"]+)"\)', path.read_text())}
    return found


def begin(world, directory, points=()):
    """An agent that will meet these points."""
    directory.mkdir(exist_ok=True)
    to_ac = not any(point.split("/")[1].startswith("store.") for point in points)
    mock = world.start_mock("--longPollMs", "200-200", "--seed", SEED)
    agent = world.make_agent(*FAST, "--uploadToAc", str(to_ac).lower())
    agent.bin = CRASH_BIN
    agent.environment = {"SLUICE_CRASH_DIR": str(directory), "SLUICE_CRASH": ",".join(points)}
    return mock, agent.start()


def fill_inbox(mock, agent):
    """The broker stands still for a moment while tasks come: the fetcher saves them. A poll that waited may be over by the
    time at which the broker stands, and no other follows then: it goes on and stops again."""
    inbox = agent.state / "inbox"
    for _ in range(10):
        until(lambda: mock.books()["ac_polls_waiting"] > 0, "an idle poll")
        with contextlib.suppress(ProcessLookupError, TimeOut):
            broker = agent.kill("broker", signal.SIGSTOP)
            try:
                if mock.books()["ac_polls_waiting"] > 0:
                    mock.add(count=2, methods="GET,POST")
                    until(lambda: any(inbox.iterdir()), "a task in the inbox", 1)
                    return
            finally:
                os.kill(broker, signal.SIGCONT)


def work(mock, agent):
    """Comes by all points: small and large bodies, and the inbox. Returns the number of tasks."""
    mock.add(count=TASKS - 4, methods="GET,POST,PUT,PATCH", toolDelayMs="0-30", bodyBytes="100-3000")
    fill_inbox(mock, agent)
    mock.add(count=2, methods="POST", bodyBytes="1300000-1300000")
    return mock.books()["tasks_total"]


def has_ended(path):
    """Whether somebody died at the point, and has been seen to be dead."""
    return path.exists() and path.read_text() and not pathlib.Path("/proc", path.read_text()).exists()


def walk(world, points):
    """One run in which each of the points kills once. Returns those that did not come by."""
    directory = world.folder / "crash"
    names = [point.split("/")[1].split(":")[0] for point in points]
    toll = Toll(point.split("/")[0].removeprefix("sluice-") for point in points)
    mock, agent = begin(world, directory, points)
    agent.kills.update(toll)
    fired = lambda: all(has_ended(directory / name) for name in names)
    books = settle(agent, mock, work(mock, agent), toll)
    for _ in range(6):
        if fired():
            break
        fill_inbox(mock, agent)
        mock.add(count=4, methods="GET,POST", bodyBytes="100-700000")
        books = settle(agent, mock, mock.books()["tasks_total"], toll)
    if not fired():  # what is said at the end
        agent.stop(expect=None)
        agent.start()
        mock.add(count=4)
        books = settle(agent, mock, mock.books()["tasks_total"], toll)
    agent.stop(expect=0 if fired() else None)
    check_toll(books, books["tasks_total"], toll)
    assert not list((agent.state / "inbox").iterdir())
    assert not list((agent.state / "spool").iterdir())
    return [point for point, name in zip(points, names) if not (directory / name).exists()]


@pytest.fixture(scope="module")
def hits():
    """How often the scenario comes by each "PROGRAM/POINT"."""
    def record(world, points):
        directory = world.folder / "crash"
        directory.mkdir()
        (directory / "hits").touch()
        mock, agent = begin(world, directory, points)
        settle(agent, mock, work(mock, agent), Toll())
        agent.stop()
        return collections.Counter((directory / "hits").read_text().split())
    to_ac, to_store = side_by_side(record, [[], ["nobody/store.answered"]])
    return to_ac | collections.Counter({point: n for point, n in to_store.items() if "/store." in point})


def test_every_point_in_the_code_is_walked(hits):
    reached = {tuple(point.split("/")) for point in hits}
    for folder, name in sorted(literal_points()):
        programs = PROGRAMS if folder == "common" else (folder,)
        assert any((f"sluice-{program}", name) in reached for program in programs), f"nothing comes by {folder}: {name}"


def test_nothing_that_ships_has_points():
    names = {name for _, name in literal_points()}
    for program in PROGRAMS:
        shipped, test = ((folder / f"sluice-{program}").read_bytes() for folder in (BUILD / "bin", CRASH_BIN))
        assert b"SLUICE_CRASH" in test and any(name.encode() in test for name in names)
        assert b"SLUICE_CRASH" not in shipped and not any(name.encode() in shipped for name in names)
    assert b"SLUICE_CRASH" not in (BUILD / "bin/sluice").read_bytes()


def points_of(hits, pick):
    """Every point, at a hit that the scenario surely reaches again."""
    return [f"{point}:{pick.randint(1, max(1, hits[point] // 3))}" for point in sorted(hits)
            if point.rpartition(".")[2] not in IDLE]


def test_each_point_alone(hits):
    cases = [[point] for point in points_of(hits, random.Random(SEED))]
    if "SLUICE_CRASH_ONLY" in os.environ:
        cases = [os.environ["SLUICE_CRASH_ONLY"].split(",")]
    missed = sum(side_by_side(walk, cases, AT_ONCE), [])
    print("not come by:", missed)
    assert all(point.split(":")[0].rpartition(".")[2] in RARE for point in missed), f"nobody died at {missed}"


def test_pairs_of_processes(hits):
    """A point of one program and a point of another, both in the same run."""
    pick = random.Random(SEED)
    points = points_of(hits, pick)
    pairs = [[a, b] for a in points for b in points if a.split("/")[0] < b.split("/")[0]]
    pairs = pick.sample(pairs, len(pairs) if PAIRS == "all" else int(PAIRS))[PART::PARTS]
    missed = sum(side_by_side(walk, pairs, AT_ONCE), [])
    print(f"{len(pairs)} pairs, {len(missed)} of {2 * len(pairs)} points did not come by: {missed}")
