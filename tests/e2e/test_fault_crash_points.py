"""Every crash point, alone and in pairs of processes: a program dies right there, and the books still hold.

The points are those that a run of the scenario (crash_scenario.py) comes by with the programs of tests/crash, so a new one is
walked by itself; one in the code that the scenario does not come by fails the test, and so does a type of message.
SLUICE_CRASH_SEED chooses the pairs, and at which hit each point kills; SLUICE_CRASH_PAIRS=all walks all pairs
(SLUICE_CRASH_PART=0/40, the first of 40 parts of them); SLUICE_CRASH_ONLY=sluice-broker/commit.after:3,... runs one case alone."""
import collections
import os
import pathlib
import random
import re

import pytest

from agent import BUILD
from crash_scenario import STEPS, begin_by_hand, end_executor, end_uploader, look, pause_and_resume, use
from fault_tools import FAST, PROGRAMS, Toll, check_toll, is_idle, settle, side_by_side
from needs import built
from older_journal import older_journal

CRASH_BIN = BUILD / "tests/crash/bin"
SOURCE = pathlib.Path(__file__).resolve().parents[2]
SEED = int(os.environ.get("SLUICE_CRASH_SEED", "1"))
PAIRS = os.environ.get("SLUICE_CRASH_PAIRS", "cover")
PART, PARTS = map(int, os.environ.get("SLUICE_CRASH_PART", "0/1").split("/"))
AT_ONCE = 14
# Nothing is committed or acknowledged by these.
IDLE = ("HEARTBEAT", "EVENT", "STATUS", "STATUS_REPLY", "FIND", "LIST", "FOUND", "ERROR")
BY_HAND = ("ORDER", "ORDERED", "DRAIN", "PAUSE")  # walked in each step: a drop and a retry, a resume and a pause
# Elsewhere they come by chance.
SURE = {"REVOKE": [pause_and_resume], "RENEW": [pause_and_resume, end_uploader], "DENIED": [end_executor],
        "TASK_GONE": [begin_by_hand]}

WORKERS = {
    "fetcher": ("HELLO BYE WANT RENEW RELEASE REPORT FETCHED", "WELCOME CONFIG DRAIN GRANT REVOKE ACCEPTED"),
    "executor": ("HELLO BYE CLAIM RETURN RESULT BODY CHUNK",
                 "WELCOME CONFIG DRAIN TASK CLAIMED DENIED STORED GONE CREDIT ABORT"),
    "uploader": ("HELLO BYE WANT RENEW RELEASE CLAIM RETURN UPLOADED",
                 "WELCOME CONFIG DRAIN TASK GRANT REVOKE CLAIMED DENIED GONE"),
}
BY_TOOLS = ("ORDER",)  # and DRAIN; what is said to tools is ORDERED, and DRAIN
NOT_WALKED = {
    "an ABORT takes a disk without room, a lost chunk or a stream that stands still for 10 s":
        ("broker/send.ABORT", "broker/sent.ABORT", "executor/got.ABORT"),
    "a result is denied only to an uploader that was taken for dead, and whose session has ended with that":
        ("uploader/got.DENIED",),
    "an upload's credit is taken back when AC asks for a pause, or for its turn beside an upload that lasts":
        ("uploader/got.REVOKE",),
}


@pytest.fixture(scope="module", autouse=True)
def _programs():
    built(CRASH_BIN)


def literal_points():
    """The points written out in the sources, as (folder, name)."""
    found = set()
    for folder in ("common", *PROGRAMS):
        for path in (SOURCE / folder).glob("*.c"):
            found |= {(folder, name) for name in re.findall(r'CRASH_POINT\("([^"]+)"\)', path.read_text())}
    return found


def types_of_the_protocol():
    """Its messages: name and direction as PROTOCOL.md has them (> to the broker, < from it, or the name of a socket)."""
    text = (SOURCE / "docs/PROTOCOL.md").read_text()
    return re.findall(r"^\| \d+ \| ([A-Z_]+) \| ([<>a-z -]+) \| (?:session|instance|role|seq|code) ", text, re.M)


def message_points():
    """Where each type of message is sent and got, "PROGRAM/POINT"."""
    points = set()
    for name, way in types_of_the_protocol():
        points |= {f"broker/got.{name}"} if ">" in way or way.endswith("-in") else set()
        points |= {f"broker/send.{name}", f"broker/sent.{name}"} if "<" in way or way in ("worker", "events") else set()
    for program, (sends, gets) in WORKERS.items():
        points |= {f"{program}/{place}.{name}" for place in ("send", "sent") for name in sends.split()}
        points |= {f"{program}/got.{name}" for name in gets.split()}
    return {f"sluice-{point}" for point in points if type_of(point) not in IDLE}


def must_be_walked():
    return message_points() - {f"sluice-{point}" for points in NOT_WALKED.values() for point in points}


def type_of(point):
    return point.partition(":")[0].rpartition(".")[2]


def name_of(point):
    return point.split("/")[1].partition(":")[0]


def begin(world, directory, points=(), steps=()):
    """An agent that will meet these points."""
    directory.mkdir(exist_ok=True)
    to_ac = not any(name_of(point).startswith("store.") for point in points)
    mock = world.start_mock("--longPollMs", "200-200", "--seed", SEED)
    agent = world.make_agent(*FAST, "--uploadToAc", str(to_ac).lower())
    if begin_by_hand in steps:
        older_journal(agent.state)
    agent.bin = CRASH_BIN
    agent.environment = {"SLUICE_CRASH_DIR": str(directory), "SLUICE_CRASH": ",".join(points)}
    return mock, agent.start()


def rest(agent):
    look(lambda: is_idle(agent), "an agent with nothing left to do", 90)


def take(step, mock, agent, toll):
    """Returns the books once all is done."""
    step(mock, agent)
    rest(agent)
    return settle(agent, mock, mock.books()["tasks_total"], toll)


def has_ended(path):
    """Whether somebody died at the point, and has been seen to be dead."""
    return path.exists() and path.read_text() and not pathlib.Path("/proc", path.read_text()).exists()


def walk(world, case):
    """One run in which each of the points kills once: the common step, and those that come by them. Returns the points that
    did not come by. `case` is of (point, step); without a step, all are taken."""
    directory = world.folder / "crash"
    points = [point for point, _ in case]
    steps = [step for step in STEPS if step in (use, *(step for _, step in case)) or (None in (s for _, s in case))]
    toll = Toll(point.split("/")[0].removeprefix("sluice-") for point in points)
    mock, agent = begin(world, directory, points, steps)
    agent.kills.update(toll)
    fired = lambda: all(has_ended(directory / name_of(point)) for point in points)
    for _ in range(4):
        for step in steps:
            books = take(step, mock, agent, toll)
        if fired():
            break
        agent.stop(expect=None)  # what is said at the end
        agent.start()
        rest(agent)
    agent.stop(expect=0 if fired() else None)
    check_toll(books, books["tasks_total"], toll)
    assert not list((agent.state / "inbox").iterdir())
    assert not list((agent.state / "spool").iterdir())
    return [point for point in points if not (directory / name_of(point)).exists()]


def record(world, points):
    """How often each step comes by each point, at most in one process: {step: Counter}."""
    directory = world.folder / "crash"
    directory.mkdir()
    file = directory / "hits"
    file.touch()
    steps = (use,) if points else STEPS
    mock, agent = begin(world, directory, points, steps)
    hits, seen = {step: collections.Counter() for step in steps}, 0
    for tries in range(12):  # on a busy machine a program may be away when another speaks to it, a dying one above all
        for step in steps if tries < 3 else steps[-1:]:
            take(step, mock, agent, Toll())
            if step is steps[-1]:
                agent.stop()
            lines = file.read_text().splitlines()
            for (point, _), count in collections.Counter(tuple(line.split()) for line in lines[seen:]).items():
                hits[step][point] = max(hits[step][point], count)
            seen = len(lines)
        if points or must_be_walked() <= reached(hits):
            break
        agent.start()
    return hits


@pytest.fixture(scope="module")
def hits():
    """The same of all points: with an older journal and large bodies to AC, with a new one and a store for them."""
    found, new = side_by_side(record, [[], ["nobody/store.answered"]])
    found[use] |= collections.Counter({point: n for point, n in new[use].items() if "/store." in point or "/schema." in point})
    return found


def reached(hits):
    return set().union(*hits.values())


def test_every_point_in_the_code_is_walked(hits):
    names = {tuple(point.split("/")) for point in reached(hits)}
    for folder, name in sorted(literal_points()):
        programs = PROGRAMS if folder == "common" else (folder,)
        assert any((f"sluice-{program}", name) in names for program in programs), f"nothing comes by {folder}: {name}"


def test_every_message_is_walked(hits):
    """Each type, at each program that sends or gets it, but for those that are listed."""
    said = " ".join(sends + " " + gets for sends, gets in WORKERS.values()).split()
    assert len(types_of_the_protocol()) > 30
    for name, _ in types_of_the_protocol():
        assert name in [*said, *BY_TOOLS, "ORDERED", *IDLE], f"who sends {name}, and who gets it?"
    missing = must_be_walked() - reached(hits)
    assert not missing, f"nothing comes by {sorted(missing)}"


def test_nothing_that_ships_has_points():
    names = {name for _, name in literal_points()}
    for program in PROGRAMS:
        shipped, test = ((folder / f"sluice-{program}").read_bytes() for folder in (BUILD / "bin", CRASH_BIN))
        assert b"SLUICE_CRASH" in test and any(name.encode() in test for name in names)
        assert b"SLUICE_CRASH" not in shipped and not any(name.encode() in shipped for name in names)
    assert b"SLUICE_CRASH" not in (BUILD / "bin/sluice").read_bytes()


def steps_of(hits, point):
    """Those in which it is walked: the first that comes by it, the common one before others, the older journal last."""
    found = [step for step in dict.fromkeys((use, *STEPS[1:], begin_by_hand)) if hits[step][point]]
    sure = [step for step in SURE.get(type_of(point), []) if step in found]
    return found if type_of(point) in BY_HAND else (sure or found)[:1]


def cases_of(hits, pick):
    """(point, step) for each point, at a hit that the step surely comes to again."""
    return [(f"{point}:{pick.randint(1, max(1, hits[step][point] // 3))}", step)
            for point in sorted(reached(hits)) if type_of(point) not in IDLE for step in steps_of(hits, point)]


def first_of(point):
    return point.partition(":")[0] + ":1"


def walk_all(cases):
    """Each case until its points were come by: those where a message went another way in the end are walked anew, at the first hit
    of what was missed: how often it is come by hangs on how busy the machine is."""
    for _ in range(3):
        missed = set(sum(side_by_side(walk, cases, AT_ONCE), []))
        print("not come by:", sorted(missed))
        cases = [[(first_of(point) if point in missed else point, step) for point, step in case]
                 for case in cases if any(point in missed for point, _ in case)]
        if not cases:
            return
    assert False, f"nobody died at {sorted(missed)}"


def test_each_point_alone(hits):
    cases = [[case] for case in cases_of(hits, random.Random(SEED))]
    if "SLUICE_CRASH_ONLY" in os.environ:
        cases = [[(point, None) for point in os.environ["SLUICE_CRASH_ONLY"].split(",")]]
        unknown = {point.partition(":")[0] for point, _ in cases[0]} - reached(hits)
        assert not unknown, f"nothing comes by {unknown}; PROGRAM/POINT:HIT, as sluice-broker/commit.after:3"
    print(f"{len(cases)} cases of {len(reached(hits))} points")
    walk_all(cases)


def program_of(case):
    return case[0].split("/")[0]


def cover(cases, pick):
    """Pairs of different programs, as few as have every point in one of them."""
    left = collections.defaultdict(list)
    for case in pick.sample(cases, len(cases)):
        left[program_of(case)].append(case)
    pairs = []
    while any(left.values()):
        a, b = sorted(left, key=lambda program: len(left[program]), reverse=True)[:2]
        other = left[b].pop() if left[b] else pick.choice([case for case in cases if program_of(case) != a])
        pairs.append([left[a].pop(), other])
    return pairs


def test_pairs_of_processes(hits):
    """A point of one program and a point of another, both in the same run: each point in one pair at least."""
    pick = random.Random(SEED)
    cases = cases_of(hits, pick)
    pairs = cover(cases, pick)
    assert {case for pair in pairs for case in pair} == set(cases)
    if PAIRS == "all":
        pairs = [[a, b] for a in cases for b in cases if program_of(a) < program_of(b)]
        pairs = pick.sample(pairs, len(pairs))[PART::PARTS]
    print(f"{len(pairs)} pairs of {len(cases)} cases")
    walk_all(pairs)
