"""Disks that are full or fail, for the journal, the spool, the inbox and the log: nothing is acknowledged that is not on
disk, the error is loud, others go on, and all goes on by itself when the disk is well."""
import contextlib
import errno
import json
import os
import resource
import signal
import subprocess
import time

import pytest

from agent import BUILD, FAST, TimeOut, until
from disk import BadDisk, small_disk
from fault_tools import Toll, check_toll, settle, side_by_side, stop_broker_as_tasks_come
from needs import refused
from test_life import add, sluice

EIO, ENOSPC = errno.EIO, errno.ENOSPC


def load(mock):
    """What is under way when the disk fails."""
    mock.add(count=60, methods="GET,POST,PUT", toolDelayMs="0-40", bodyBytes="100-4000")


def finish(mock, agent):
    """The disk is well: everything comes to its end, and nothing was lost or doubled."""
    total = mock.books()["tasks_total"]
    toll = Toll()
    books = settle(agent, mock, total, toll)
    check_toll(books, total, toll)
    assert books["error_results"] == 0
    agent.stop()
    return books


def logged(agent, *parts):
    until(lambda: all(part in agent.log_text() for part in parts), f"{parts} in the log")


IDS = [f"id-{i}" for i in range(6)]


def let_write(agent, octets):
    resource.prlimit(agent.pid("broker"), resource.RLIMIT_FSIZE, (octets, resource.RLIM_INFINITY))


def tasks_come(mock, agent):
    """The journal fails just when tasks come: one that the broker cannot write, and one that only the fetcher has. (Nothing
    comes when what fails first is the commit of something else, and nobody polls any more: then it is tried again.)"""
    for round in range(20):
        mock.wait("ac_polls_waiting>=1")
        let_write(agent, 4096)
        ids = [f"{name}.{round}" for name in IDS]
        for name in ids:
            add(mock, name, "POST", repeats=True)
        with contextlib.suppress(TimeOut):
            return until(lambda: held_and_unknown(agent, mock, ids, 6 * round), "a task in each place", 5)
        let_write(agent, resource.RLIM_INFINITY)
        mock.wait(f"delivered>={6 * round + 6}")
    raise TimeOut("no task came while the journal failed")


def held_and_unknown(agent, mock, ids, before):
    if mock.books()["handed"] - before < 2 or agent.status()["journal"]["ok"]:
        return None
    found = {name: ask_for(agent, name) for name in ids}
    held = [name for name, life in found.items() if life and life.get("unwritten")]
    unknown = [name for name, life in found.items() if not life]
    return (held[0], unknown[0], found[held[0]]) if held and unknown else None


def ask_for(agent, name):
    done = subprocess.run([BUILD / "bin/sluice", "task", name, "--json", "--runtimeDir", agent.runtime], capture_output=True,
                          text=True, timeout=60, check=False)
    return (json.loads(done.stdout)["tasks"] or [None])[-1] if done.stdout else {"state": "not answered"}


def test_where_tasks_are_while_the_journal_fails(world):
    """`sluice task` says nothing that is not so: neither that a task is in the journal, nor that AC has not handed it out."""
    mock = world.start_mock("--longPollMs", "30000-30000")
    agent = world.make_agent(*FAST).start()
    agent.joined("fetcher", "executor", "uploader")
    held, unknown, life = tasks_come(mock, agent)
    assert life["waits_for"] == "the journal to be writable", life
    page = " ".join(sluice(agent, "task", held).split())
    assert "Now waiting for the journal to be writable; until then nothing is sent that is not in it: " in page
    assert "in the journal, and queued" not in page and "has not claimed" not in page, page
    said = sluice(agent, "task", unknown, code=1)
    assert "the journal cannot be written (" in said and "are with the fetcher" in said and "has not handed" not in said, said
    let_write(agent, resource.RLIM_INFINITY)
    logged(agent, "event=journal_recovered")
    mock.config(longPollMs="300-300")
    finish(mock, agent)


BUDGET_MAX = 20  # requests under one credit


def journal_stands_still(mock, agent):
    """Status is answered and says it; nothing is taken but under the credit that was out."""
    agent.status_until(lambda s: not s["journal"]["ok"], "a journal that fails")
    logged(agent, "event=journal_failed", "nothing is acknowledged until it works")
    failed_at, before = time.monotonic(), mock.books()["handed"]
    mock.add(count=40, methods="GET,POST")
    seen = [(failed_at, before)]

    def stands_still():
        if mock.books()["handed"] != seen[-1][1]:
            seen.append((time.monotonic(), mock.books()["handed"]))
        return time.monotonic() - seen[-1][0] > 1.0 and mock.books()["ac_in_flight"] == 0
    until(stands_still, "the end of fetching")
    agent.status_until(lambda s: not s["journal"]["ok"], "it still fails")
    assert mock.books()["handed"] - before <= BUDGET_MAX, "tasks were taken that cannot be kept"


def by_shim(world, rule):
    """The journal's writes or syncs fail, and then they do not."""
    mock = world.start_mock("--longPollMs", "300-300")
    agent = world.make_agent(*FAST)
    disk = BadDisk(agent, world.folder)
    agent.start()
    load(mock)
    mock.wait("delivered>=20")
    disk.fail(rule)
    journal_stands_still(mock, agent)
    disk.fail()
    logged(agent, "event=journal_recovered")
    finish(mock, agent)


def test_journal_write_errors():
    side_by_side(by_shim, [f"sync journal {EIO}", f"write journal {EIO}", f"write journal {ENOSPC}",
                           f"sync journal.db-wal {EIO}"])


def test_journal_over_its_file_size_limit(world):
    """RLIMIT_FSIZE: the write fails, and the broker is not killed by the signal that comes with it; nor does a reload end
    it, which waits."""
    mock = world.start_mock("--longPollMs", "300-300")
    agent = world.make_agent(*FAST).start()
    load(mock)
    mock.wait("delivered>=20")
    broker = agent.pid("broker")
    resource.prlimit(broker, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    journal_stands_still(mock, agent)
    os.kill(broker, signal.SIGHUP)
    logged(agent, "event=reload_waits")
    resource.prlimit(broker, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    logged(agent, "event=journal_recovered", "sluice-broker event=config_reloaded")
    finish(mock, agent)
    assert agent.log_text().count("program_started program=sluice-broker") == 1


def test_state_disk_full(world):
    """A file system of its own without an octet left, and then with room again; also for a start in between."""
    with small_disk(world.folder / "state", 24) as state:
        if not state:
            refused("mounts")
        mock = world.start_mock("--longPollMs", "300-300")
        agent = world.make_agent(*FAST, "--logDir", world.folder / "logs").start()
        try:
            load(mock)
            mock.wait("delivered>=20")
            ballast = state / "ballast"
            with open(ballast, "wb", buffering=0) as file:
                with pytest.raises(OSError):
                    while True:
                        file.write(bytes(65536))
            mock.add(count=60, methods="GET,POST", bodyBytes="30000-60000")
            agent.status_until(lambda s: not s["journal"]["ok"], "a journal that fails")
            former = agent.kill("broker")
            logged(agent, "event=journal_failed", "disk is full")
            agent.restarted("broker", former)
            ballast.unlink()
            toll = Toll(["broker"])
            total = mock.books()["tasks_total"]
            books = settle(agent, mock, total, toll)
            check_toll(books, total, toll)
            agent.stop()
        finally:
            agent.close()


def spool_fails(world, rule):
    """A large body that cannot be written is brought again later; small tasks go past it."""
    mock = world.start_mock("--longPollMs", "300-300")
    agent = world.make_agent(*FAST)
    disk = BadDisk(agent, world.folder)
    agent.start()
    agent.joined("fetcher", "executor", "uploader")
    disk.fail(rule)
    mock.add(count=2, methods="PUT", bodyBytes="1000000-2000000")
    logged(agent, "event=spool_failed")
    disk.fail()
    load(mock)
    books = finish(mock, agent)
    assert books["ac_upload_result"] >= 2  # one that the end of a starved lease has cut off is made again
    assert not list((agent.state / "spool").iterdir())


def test_spool_write_errors():
    side_by_side(spool_fails, [f"{call} /spool {code}" for call in ("open", "write", "sync", "rename")
                               for code in (EIO, ENOSPC)])


def inbox_fails(world, rule):
    """Tasks that cannot be saved stay in the window, loudly, and no more than eight are taken."""
    mock = world.start_mock("--longPollMs", "1000-1000")
    agent = world.make_agent(*FAST)
    disk = BadDisk(agent, world.folder)
    agent.start()
    agent.joined("fetcher", "executor", "uploader")
    disk.fail(rule)
    broker = stop_broker_as_tasks_come(mock, agent, lambda: "event=inbox_write_failed" in agent.log_text(), 10)
    books = mock.books()
    assert books["handed"] - books["delivered"] <= 8
    os.kill(broker, signal.SIGCONT)
    finish(mock, agent)
    disk.fail()


def test_inbox_write_errors():
    side_by_side(inbox_fails, [f"{call} /inbox {code}" for call in ("open", "write", "sync", "rename")
                               for code in (EIO, ENOSPC)])


def test_body_larger_than_the_disk(world):
    """Its task ends with an error result that says so, and the others go on."""
    with small_disk(world.folder / "state", 24) as state:
        if not state:
            refused("mounts")
        mock = world.start_mock("--longPollMs", "300-300")
        agent = world.make_agent(*FAST).start()
        try:
            mock.add(count=1, methods="POST", bodyBytes="20000000-20000000")
            logged(agent, "event=body_given_up", "event=task_answer_dropped")
            mock.add(count=10, methods="GET,POST", bodyBytes="100-4000")
            mock.add(count=2, methods="GET", bodyBytes="1000000-2000000")
            books = mock.wait("delivered>=13", deadline=60)
            assert books["error_results"] == 1 and books["tool_requests"] == 13
            assert books["lost"] == books["reexecuted_unsafe"] == books["duplicates"] == 0
            agent.stop()
        finally:
            agent.close()


def test_log_disk_full(world):
    """Lines that the log's file does not take go to stderr, and the work goes on."""
    with small_disk(world.folder / "logs", 1) as logs:
        if not logs:
            refused("mounts")
        with open(logs / "ballast", "wb", buffering=0) as file:
            with pytest.raises(OSError):
                while True:
                    file.write(bytes(4096))
        mock = world.start_mock("--tasks", 50)
        agent = world.make_agent(*FAST, "--logDir", logs)
        agent.options.remove("--enableStdoutLogging")
        agent.start()
        try:
            mock.wait("delivered>=50")
            agent.joined("fetcher", "executor", "uploader")
            finish(mock, agent)
            assert "event=session_begun" in agent.log_text()
        finally:
            agent.close()
