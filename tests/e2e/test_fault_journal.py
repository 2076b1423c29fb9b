"""A journal that is damaged, cut off, older or newer: the broker refuses to start, says which file and what to do, and
changes nothing."""
import hashlib
import shutil
import sqlite3
import subprocess

import pytest

from agent import FAST, World, check_books

TASKS = 150


@pytest.fixture(scope="module")
def journal(tmp_path_factory):
    """A state directory with results in its journal."""
    world = World()
    try:
        world.start_mock("--tasks", TASKS, "--bodyBytes", "2000-4000")
        agent = world.make_agent(*FAST, "--responseQueueSize", 10 * TASKS, "--logDir", world.folder / "logs")
        programs = [agent.program(name) for name in ("broker", "fetcher", "executor")]
        agent.status_until(lambda s: s["counters"]["results"] == TASKS, "all results")
        for program in reversed(programs):
            agent.stop(program)
        kept = tmp_path_factory.mktemp("journal") / "state"
        shutil.copytree(world.folder / "state", kept, symlinks=True)
        return kept
    finally:
        world.close(False)


def sums(state):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in state.glob("journal*")
            if path.stat().st_size > 0}


def overwrite(state, at, octets):
    with open(state / "journal.db", "r+b") as file:
        file.seek(at)
        file.write(octets)


def pages(state, name):
    """The numbers of the pages of a table, its root first."""
    with sqlite3.connect(state / "journal.db") as database:
        return [database.execute("SELECT rootpage FROM sqlite_master WHERE name=?", (name,)).fetchone()[0]]


def sql(state, text):
    database = sqlite3.connect(state / "journal.db")
    database.executescript(text)
    database.close()


def cut(state, size):
    with open(state / "journal.db", "r+b") as file:
        file.truncate(size)


def size_of(state):
    return (state / "journal.db").stat().st_size


def with_log(state):
    """As after a kill: part of the content is in the -wal file alone."""
    database = sqlite3.connect(state / "journal.db")
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("UPDATE task SET tries = tries + 1")
    database.commit()
    copies = {path: path.read_bytes() for path in state.glob("journal.db*") if not path.name.endswith("-shm")}
    database.close()
    for path, content in copies.items():
        path.write_bytes(content)
    assert (state / "journal.db-wal").stat().st_size > 0


def log_without_database(state):
    with_log(state)
    cut(state, 0)


def log_and_no_database(state):
    with_log(state)
    (state / "journal.db").unlink()


CASES = {
    "no database at all": (lambda s: overwrite(s, 0, b"This is no database. " * 400), "is damaged"),
    "its first page is zero": (lambda s: overwrite(s, 0, bytes(4096)), "journal.db"),
    "a page of a table is garbage": (lambda s: overwrite(s, (pages(s, "task")[0] - 1) * 4096, b"\xa5" * 4096), "is damaged"),
    "half of the pages are garbage": (lambda s: overwrite(s, size_of(s) // 2, b"\x5a" * (size_of(s) // 2)), "is damaged"),
    "cut off in the middle": (lambda s: cut(s, size_of(s) // 2), "is damaged"),
    "cut off within a page": (lambda s: cut(s, size_of(s) - 1000), "is damaged"),
    "cut off to nothing, its log is there": (log_without_database, "is damaged"),
    "gone, its log is there": (log_and_no_database, "is damaged"),
    "newer": (lambda s: sql(s, "PRAGMA user_version = 1000"), "was made by a newer sluice"),
    "older than all we know": (lambda s: sql(s, "PRAGMA user_version = 0"), "is no journal of sluice"),
    "somebody else's": (lambda s: sql(s, "DROP TABLE task; CREATE TABLE task (x)"), "journal.db"),
    "an impossible count of starts": (lambda s: sql(s, "UPDATE meta SET value = -5 WHERE key = 'epoch'"),
                                      "its count of starts is impossible"),
}


@pytest.mark.parametrize("name", CASES)
def test_refused(world, journal, name):
    damage, says = CASES[name]
    mock = world.start_mock()
    agent = world.make_agent(*FAST)
    shutil.copytree(journal, agent.state, symlinks=True)
    damage(agent.state)
    before = sums(agent.state)
    done = subprocess.run([agent.bin / "sluice-broker", *agent.options], capture_output=True, text=True, timeout=20,
                          check=False)
    assert done.returncode == 2, done
    line = [line for line in done.stderr.splitlines() if line.startswith("sluice-broker")][-1]
    assert says in line and str(agent.state / "journal.db") in line, line
    assert any(advice in line for advice in ("Move it aside", "install that version", "Name another --stateDir")), line
    whole = "the folder spool" in line and line.endswith("is not in it: requests may be made again)")
    assert "Move it aside" not in line or whole, line
    assert sums(agent.state) == before, "the journal was changed"
    assert mock.books()["ac_requests"] == 0


def test_run_says_it_and_ends(world, journal):
    """`sluice run` ends with status 2 and the same line, instead of trying for ever."""
    world.start_mock()
    agent = world.make_agent(*FAST)
    shutil.copytree(journal, agent.state, symlinks=True)
    cut(agent.state, size_of(agent.state) // 2)
    agent.start()
    assert agent.run.wait(60) == 2
    assert "is damaged" in agent.log_text() and "Move it aside" in agent.log_text()


def test_the_good_one_goes_on(world, journal):
    """What the damaged ones are copies of."""
    world.start_mock()
    agent = world.make_agent(*FAST)
    shutil.copytree(journal, agent.state, symlinks=True)
    agent.program("broker")
    agent.status_until(lambda s: s["results"]["waiting"] == TASKS, "the results")


def test_an_empty_file_is_a_new_journal(world):
    """As a power cut leaves it when the first start had come no further."""
    mock = world.start_mock("--tasks", 5)
    agent = world.make_agent(*FAST)
    agent.state.mkdir(mode=0o700)
    (agent.state / "journal.db").touch(0o600)
    agent.start()
    check_books(mock.wait("delivered>=5"), 5)
    agent.stop()


def test_a_result_that_cannot_be_read_lets_the_others_go(world):
    """A page of one is garbage since the broker's start; those behind it do not wait for it, and nobody is blamed. (The
    oldest ones are in SQLite's memory: its check of a journal begins with the latest.)"""
    count = 24
    mock = world.start_mock("--tasks", count, "--bodyBytes", "300000-300000")
    agent = world.make_agent(*FAST)
    programs = [agent.program(name) for name in ("broker", "fetcher", "executor")]
    agent.status_until(lambda s: s["results"]["waiting"] == count, "all results")
    for program in reversed(programs):
        agent.stop(program)
    with sqlite3.connect(agent.state / "journal.db") as database:
        page, = database.execute("SELECT pageno FROM dbstat WHERE name='task' AND path LIKE '%+000000' ORDER BY path"
                                 " LIMIT 1 OFFSET 8").fetchone()
    database.close()
    agent.program("broker")
    agent.status_until(lambda s: s["results"]["waiting"] == count, "the results")
    overwrite(agent.state, (page - 1) * 4096, b"\xa5" * 4096)
    agent.program("uploader")
    mock.wait(f"delivered>={count - 1}", deadline=60)
    assert "event=document_unreadable" in agent.log_text() and "event=worker_is_mute" not in agent.log_text()
