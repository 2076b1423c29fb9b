"""A journal of an older build that broke off in the middle of its work: it is brought up to date, each of its tasks ends as it
should, and what limits the agent holds as if nothing had been in between."""
import contextlib
import json
import pathlib
import shutil
import sqlite3
import time

import zmq

from agent import Agent, until
from fake_broker import FETCHER, decode, encode
from fault_tools import side_by_side
from older_journal import BURIED, DONE, EPOCH, GONE, READY, RUNNING, insert, insert_task, journal_of
from test_keys import hello
from test_life import ask, events, sluice, task
from tool_server import ToolServer
from two_sides import AC

EXECUTOR_HELD, UPLOADER_HELD, FETCHER_HELD, SEQ = 0x11, 0x22, 0x33, 40
CREDIT, RATE_USED, BUDGET = (EPOCH << 32) + 9, 30, 6
NOTES = b"\x01\x01\x02\x00"  # of a trail: handed out by AC a millisecond before it was accepted
THIS_BOOT = "this"
NEW, REPEAT = 1, 2
MASK, MISSED = 0b101, f"again-{SEQ - 2}"  # of the fetches before SEQ, the latest first


def result_of(name, tool):
    return json.dumps({"taskId": name, "url": tool.url("/" + name), "method": "GET", "statusCode": 200, "output": name})


def asked(name, tool, method="GET"):
    return json.dumps({"taskId": name, "url": tool.url("/" + name), "method": method})


def fill(journal, version, boot, tool):
    """As the build wrote it: one task in each state, and what a state has by way of numbers."""
    now_s = int(time.clock_gettime(time.CLOCK_BOOTTIME))
    boot_id = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip() if boot == THIS_BOOT else boot
    for key, value in (("epoch", EPOCH), ("boot_id", boot_id), ("config", "2 -1 -1 0 7 333"), ("drained", 0)):
        insert(journal, "meta", key=key, value=value)
    more = lambda name: {"trail": NOTES, "buried_wall": 1000 * int(time.time()) if name == "buried" else 0} if version > 1 else {}
    held = {"attempt": 1, "holder": EXECUTOR_HELD}
    insert_task(journal, 1, "buried", BURIED, result_of("buried", tool), tries=1, reason="HTTP 400", **more("buried"))
    insert_task(journal, 2, "ready", READY, asked("ready", tool), **more("ready"))
    insert_task(journal, 3, "late", READY, asked("late", tool), expiry_wall=int(time.time() * 1000) - 1000, **more("late"))
    insert_task(journal, 4, "get", RUNNING, asked("get", tool), **held, **more("get"))
    insert_task(journal, 5, "post", RUNNING, asked("post", tool, "POST"), method="POST", flags=0, **held, **more("post"))
    insert_task(journal, 6, "done", DONE, result_of("done", tool), **more("done"))
    insert_task(journal, 7, "tried", DONE, result_of("tried", tool), tries=2, next_try_ms=1000 * (now_s + 2), reason="HTTP 503",
                **more("tried"))
    insert(journal, "worker", instance=EXECUTOR_HELD, place=1, role=2)
    insert(journal, "worker", instance=UPLOADER_HELD, place=2, role=3)
    insert(journal, "fetcher", instance=FETCHER_HELD, seq=SEQ, mask=MASK, used=1)
    insert(journal, "credit", id=CREDIT, holder=FETCHER_HELD, stage=1, budget=BUDGET)
    insert(journal, "rate", slot=(now_s - 1) % 64, second=now_s - 1, units=RATE_USED)
    if version > 1:
        now_ms = int(time.time() * 1000)
        insert(journal, "history", ended_wall=now_ms - 5000, number=(EPOCH << 32) + 8, accepted_wall=now_ms - 9000, state=GONE,
               task_id="gone", method="GET", host="tool.example", trail=NOTES)


class FormerFetcher:
    """It comes back as soon as there is a broker, and brings once more what it has no answer to."""

    def __init__(self, runtime):
        self.context = zmq.Context()
        self.control, self.tasks_in = (self.context.socket(kind) for kind in (zmq.DEALER, zmq.PUSH))
        self.control.routing_id = FETCHER_HELD.to_bytes(8, "big")
        self.control.connect(f"ipc://{runtime}/control")
        self.tasks_in.connect(f"ipc://{runtime}/tasks-in")
        self.control.send(encode("HELLO", **hello(FETCHER, FETCHER_HELD, slots=0, credit=CREDIT)))
        self.said = []

    def heard(self, name, count):
        """Waits for so many messages of that name."""
        def look():
            while self.control.poll(0):
                self.said.append(decode(self.control.recv_multipart()))
            found = [message for message in self.said if message.message == name]
            return len(found) >= count and found
        return until(look, f"{count} {name}")

    def fetches_again(self, tool):
        """The credit that stays its, and the verdicts by seq. Then it goes."""
        welcome, now_ms = self.heard("WELCOME", 1)[0], int(time.time() * 1000)
        for seq in range(SEQ - 3, SEQ + 1):
            fetched = encode("FETCHED", instance=FETCHER_HELD, seq=seq, credit=0, task_id=f"again-{seq}", flags=1, method="GET",
                             host="h", expiry_ms=now_ms + 3600000, fetched_ms=now_ms, config="", error="")
            self.tasks_in.send_multipart([fetched, asked(f"again-{seq}", tool).encode()])
        verdicts = {message.seq: message.verdict for message in self.heard("ACCEPTED", 4)}
        self.control.send(encode("RELEASE", session=welcome.session, credit=CREDIT, used=1))
        self.control.send(encode("BYE", session=welcome.session))
        self.close(linger=2000)
        return welcome.credit, verdicts

    def close(self, linger=0):
        self.control.close(linger=linger)
        self.tasks_in.close(linger=0)
        self.context.term()


def start_broker(agent, version, boot, tool):
    """Returns it with its status soon after its start, before the time of those that are awaited is over. (On a machine that
    is too busy for that it is tried again.)"""
    for _ in range(8):
        shutil.rmtree(agent.state, ignore_errors=True)
        with journal_of(agent.state, version) as journal:
            fill(journal, version, boot, tool)
        former, broker = FormerFetcher(agent.runtime), agent.program("broker")
        status = agent.status_until(lambda s: s["workers"], "its fetcher")
        if status["now_ms"] - status["started_ms"] < 4000:
            return broker, former, status
        former.close()
        broker.kill()
        broker.wait()
    raise AssertionError("the machine is too busy")


def check_start(status):
    tasks, gate, config = status["tasks"], status["gate"], status["config"]
    waiting = status["results"]["waiting"]
    assert (tasks["ready"] + waiting, tasks["running"], status["buried"]) == (4, 2, 1)
    assert waiting in (2, 3), "what is late may have its error result already"
    assert status["session_epoch"] == EPOCH + 1
    assert (config["generation"], config["pool_size"], config["rate_per_min"]) == (2, 7, 333)
    assert gate["rate_used"] == RATE_USED + BUDGET
    assert [(c["id"], c["kind"], c["budget"], c["used"]) for c in gate["credits"]] == [(CREDIT, "fetch", BUDGET, 0)]


def bring_up_to_date(world, case):
    version, boot = case
    ac, tool = AC(), ToolServer()
    agent = world.agent = Agent(world.folder, ac)
    broker, former, status = start_broker(agent, version, boot, tool)
    check_start(status)
    credit, verdicts = former.fetches_again(tool)
    assert credit == CREDIT, "its holder has come back for it"
    assert verdicts == {SEQ: REPEAT, SEQ - 1: REPEAT, SEQ - 2: NEW, SEQ - 3: REPEAT}
    agent.status_until(lambda s: not s["gate"]["credits"], "the end of the credit")
    kept = agent.keep("fetcher", "executor", "uploader")
    ac.add("new", tool.url("/new"))
    well = ("ready", "get", "done", "tried", "new", MISSED)
    results = {name: ac.result(name) for name in (*well, "late", "post")}
    assert {name: results[name].get("statusCode") for name in well} == dict.fromkeys(well, 200)
    assert results["done"]["output"] == "done" and results["tried"]["output"] == "tried"
    assert "expired" in results["late"]["output"]
    assert "outcome unknown: executor lost during POST; not repeated" in results["post"]["output"]
    assert sorted(request.target for request in tool.requests) == sorted(["/get", "/new", "/ready", "/" + MISSED])
    sluice(agent, "dead", "retry", "buried")
    assert ac.result("buried")["output"] == "buried"
    agent.status_until(lambda s: s["tasks"]["running"] + s["results"]["waiting"] + s["results"]["uploading"] == 0, "the end")
    check_stories(agent, version)
    posts = [request for request in ac.server.requests if request.method == "POST"]
    assert len(posts) == len(ac.results) == 9 or kept.toll.total()
    ac.end()
    kept.close()
    for program in (*kept.values(), broker):
        agent.stop(program)
    check_file(agent.state / "journal.db", 9 + (version > 1))
    ac.close()
    tool.close()


def check_stories(agent, version):
    """What was told of a task before goes on."""
    told = events(task(agent, "get", "gone"))
    assert told[:2] == ["fetched", "accepted"] if version > 1 else "accepted" not in told
    assert "lost" in told and told[-1] == "delivered"
    if version > 1:
        assert ask(agent, "task", "gone")["tasks"][0]["number"] == (EPOCH << 32) + 8


def check_file(path, tasks_gone):
    with contextlib.closing(sqlite3.connect(path)) as journal:
        count = lambda what: journal.execute(f"SELECT count(*) FROM {what}").fetchone()[0]
        assert journal.execute("PRAGMA user_version").fetchone()[0] == 3
        assert journal.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert (count("task"), count("history")) == (0, tasks_gone)
        assert count(f"worker WHERE instance IN ({EXECUTOR_HELD}, {UPLOADER_HELD})") == 0
        assert count(f"fetcher WHERE instance = {FETCHER_HELD} AND seq = {SEQ}") == 1
        assert count(f"credit WHERE id = {CREDIT}") == 0


def test_work_goes_on_with_an_older_journal():
    side_by_side(bring_up_to_date, [(version, boot) for version in (1, 2) for boot in (THIS_BOOT, "another")])
