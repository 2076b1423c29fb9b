"""All programs killed at once and the machine's power cut: the journal has it all, also when everything that was not
synced is gone, or any part of it. SLUICE_CUTS (seeds a mode) and SLUICE_CUT_SEED choose the moments."""
import contextlib
import os
import random
import shutil
import sqlite3
import tempfile

import pytest

from agent import TimeOut, check_books, until
from disk import BadDisk
from fault_tools import FAST, Toll, check_toll, kill_all, settle, side_by_side, stop_broker_as_tasks_come

CUTS = int(os.environ.get("SLUICE_CUTS", "4"))
SEED = int(os.environ.get("SLUICE_CUT_SEED", "1"))


def cut_and_go_on(world, case):
    mode, seed = case
    pick = random.Random(f"{mode} {seed}")
    survives = {"nothing unsynced is left": lambda: False, "pages and names at random": lambda: pick.random() < 0.5,
                "everything is left": lambda: True}[mode]
    mock = world.start_mock("--tasks", 90, "--methods", "GET,POST,PUT", "--toolDelayMs", "0-60", "--longPollMs",
                            "300-300", "--bodyBytes", "100-4000", "--seed", seed)
    agent = world.make_agent(*FAST, "--executors", 2)
    disk = BadDisk(agent, world.folder)
    agent.start()
    mock.add(count=6, methods="GET,POST", bodyBytes="550000-1500000")
    toll = Toll()
    for delivered in sorted(pick.sample(range(80), 2)):  # the second cut finds the first one's remains
        mock.wait(f"delivered>={min(delivered, 70)}")
        pick_pause(mock, pick)
        toll.update(kill_all(agent), machine=1)
        print(mode, seed, "lost:", disk.cut(survives))
        agent.start()
    books = settle(agent, mock, 96, toll)
    agent.stop()
    check_toll(books, 96, toll)
    assert not list((agent.state / "spool").iterdir())


def pick_pause(mock, pick):
    """Some requests at AC later."""
    more = mock.books()["ac_requests"] + pick.randint(0, 12)
    try:
        mock.wait(f"ac_requests>={more}", 2)
    except TimeOut:
        pass


@pytest.mark.parametrize("mode", ["nothing unsynced is left", "pages and names at random", "everything is left"])
def test_power_cut(mode):
    side_by_side(cut_and_go_on, [(mode, SEED * 1000 + i) for i in range(CUTS if "random" in mode else CUTS // 2)])


def test_power_cut_at_the_first_start():
    """Before anything was synced, at moments within the first tenths of a second: the next start is a good one."""
    def start_and_cut(world, seed):
        pick = random.Random(seed)
        mock = world.start_mock("--tasks", 40, "--longPollMs", "300-300")
        agent = world.make_agent(*FAST)
        disk = BadDisk(agent, world.folder)
        toll = Toll()
        for _ in range(3):
            agent.start()
            pick_moment(agent, pick)
            toll.update(kill_all(agent), machine=1)
            disk.cut(lambda: pick.random() < 0.5)
        agent.start()
        books = settle(agent, mock, 40, toll)
        agent.stop()
        check_toll(books, 40, toll)
    side_by_side(start_and_cut, range(SEED * 100, SEED * 100 + 4))


def pick_moment(agent, pick):
    """Anywhere in what a start does: at one of the files that it makes."""
    name = pick.choice(("broker.lock", "journal.db", "journal.db-wal", "spool", "inbox"))
    until(lambda: (agent.state / name).exists(), name)


def held(agent):
    """Tasks in the journal, read from a copy: SQLite would mend it."""
    with tempfile.TemporaryDirectory() as folder:
        for path in agent.state.glob("journal.db*"):
            shutil.copy(path, folder)
        with contextlib.closing(sqlite3.connect(f"{folder}/journal.db")) as journal:
            return journal.execute("select count(*) from task").fetchone()[0]


def test_bodies_survive_a_power_cut_at_the_first_start(world):
    """Large bodies that the broker has said it stored are there when nothing is that was not synced."""
    mock = world.start_mock("--tasks", 3, "--methods", "POST", "--bodyBytes", "600000-900000", "--fault",
                            "upload-result:503:1", "--longPollMs", "300-300")
    agent = world.make_agent(*FAST)
    disk = BadDisk(agent, world.folder)
    agent.start()
    agent.status_until(lambda s: s["counters"]["results"] == 3, "three results")
    kill_all(agent)
    disk.cut(lambda: False)
    assert held(agent) == 3
    assert [path.stat().st_size > 400000 for path in (agent.state / "spool").iterdir()] == [True] * 3
    mock.config(faults=[])
    agent.start()
    toll = Toll()  # all were stored, and AC had taken none
    check_toll(settle(agent, mock, 3, toll), 3, toll)
    assert mock.books()["error_results"] == 0
    agent.stop()


def test_inbox_survives_a_power_cut_at_the_first_start(world):
    """Tasks that the fetcher has saved because the broker stood still are there when nothing is that was not synced."""
    mock = world.start_mock("--longPollMs", "1000-1000")
    agent = world.make_agent(*FAST)
    disk = BadDisk(agent, world.folder)
    agent.start()
    stop_broker_as_tasks_come(mock, agent, lambda: disk.is_durable("inbox"), 1)
    kill_all(agent)
    disk.cut(lambda: False)
    saved = [path.stat().st_size for path in (agent.state / "inbox").iterdir() if "." not in path.name]
    assert saved and all(saved)
    agent.start()
    total = mock.books()["tasks_total"]
    check_books(mock.wait(f"delivered>={total}"), total)
    agent.joined("fetcher", "executor", "uploader")
    agent.stop()
