"""Where a result is: `sluice task`; what becomes of results that AC refuses: `sluice dead`; and fetching paused by hand."""
import json
import re
import signal
import sqlite3
import subprocess
import time

import pytest

from agent import BUILD, FAST, until
from older_journal import older_journal


def sluice(agent, *words, code=0):
    """What the command writes: to stdout when it does what it is told, else to stderr."""
    run = lambda: subprocess.run([BUILD / "bin/sluice", *map(str, words), "--runtimeDir", agent.runtime], capture_output=True,
                                 text=True, timeout=60, check=False)
    done = until(lambda: (d := run()) and (code or "no answer from the broker" not in d.stderr) and d, "an answer")
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done.stdout if code == 0 else done.stderr


def ask(agent, *words):
    return json.loads(sluice(agent, *words, "--json"))


def task(agent, task_id, state=None):
    """The latest life of the task, once it is in that state."""
    def look():
        done = subprocess.run([BUILD / "bin/sluice", "task", task_id, "--json", "--runtimeDir", agent.runtime],
                              capture_output=True, text=True, timeout=60, check=False)
        found = json.loads(done.stdout)["tasks"] if done.returncode == 0 else []
        return found[-1] if found and state in (None, found[-1]["state"]) else None
    return until(look, f"task {task_id} {state}")


def events(life):
    return [entry["event"] for entry in life["timeline"]]


def add(mock, task_id, method="GET", **tool):
    line = {"task": {"taskId": task_id, "url": "{tool}/" + task_id, "method": method},
            "tool": {"status": 200, "body": "hello", **tool}}
    if method == "POST":
        line["task"]["input"] = "x"
    mock.post("/_control/tasks", line)


def agent_with(world, *options, tasks=0):
    mock = world.start_mock("--tasks", tasks, "--longPollMs", "1000-2000")
    agent = world.make_agent(*FAST, *options).start()
    agent.joined("executor", "uploader", "fetcher")
    return mock, agent


def test_timeline(world):
    mock, agent = agent_with(world)
    add(mock, "one", delayMs=300)
    one = task(agent, "one", "gone")
    assert events(one) == ["fetched", "accepted", "pushed", "claimed", "started", "connected", "first_byte", "result",
                           "pushed", "claimed", "delivered"]
    at = {entry["event"]: entry for entry in one["timeline"]}
    assert at["first_byte"]["at_ms"] - at["connected"]["at_ms"] >= 290
    assert at["started"]["at_ms"] <= at["connected"]["at_ms"] <= at["first_byte"]["at_ms"] <= at["result"]["at_ms"]
    assert (at["result"]["status"], at["result"]["body_bytes"]) == (200, 5)
    assert (at["delivered"]["call"], at["delivered"]["status"]) == ("put-result", 200)
    pushed = [entry for entry in one["timeline"] if entry["event"] == "pushed"]
    assert [entry["worker"] for entry in pushed] == ["executor-1", "uploader"]
    assert pushed[0]["pid"] == agent.pid("executor") and pushed[0]["host"]
    page = sluice(agent, "task", "one")
    assert "delivered at" in page and f"executor-1 (pid {pushed[0]['pid']} on " in page and "first byte" in page
    assert all(len(line) <= 80 for line in page.splitlines())
    add(mock, "one", repeats=True)  # the same taskId once more, after it is gone: a task of its own
    until(lambda: len(ask(agent, "task", "one")["tasks"]) == 2, "its second life")
    task(agent, "one", "gone")
    assert sluice(agent, "task", "one").count("\nNow ") == 2
    assert len(ask(agent, "task", one["number"])["tasks"]) == 1
    agent.restarted("broker", agent.kill("broker"))
    assert len(until(lambda: agent.try_status() and ask(agent, "task", "one"), "an answer")["tasks"]) == 2
    unknown = sluice(agent, "task", "never", code=1)
    assert "not held" in unknown and "2 tasks that ended since" in unknown and "10,000" in unknown
    agent.stop()
    assert "broker at ipc://" in sluice(agent, "task", "one", code=1)


def test_waiting(world):
    """Where it is while it waits: for an executor, for the tool, and for AC; and what a broker killed then still knows."""
    mock, agent = agent_with(world, "--drainTimeout", 0)
    mock.config(faults=["put-result:503:1"])
    add(mock, "slow", "POST", delayMs=60000)
    add(mock, "tried")
    slow = task(agent, "slow", "running")
    assert slow["worker"]["name"] == "executor-1" and "connected" not in events(slow)
    assert "running at 127.0.0.1 by executor-1" in sluice(agent, "task", "slow")
    assert "not buried" in sluice(agent, "dead", "retry", "slow", code=1)
    tried = until(lambda: (t := task(agent, "tried"))["tries"] >= 1 and "next_try_ms" in t and t, "a first try")
    failed = [entry for entry in tried["timeline"] if entry["event"] == "upload_failed"]
    assert failed[0]["status"] == 503 and failed[0]["next_try_in_ms"] > 4000
    until(lambda: re.search(r"waiting for AC: \d+ (try|tries), last 503 at [0-9:]+, next try in [0-9.]+ s",
                            " ".join(sluice(agent, "task", "tried").split())), "the page that says so")
    agent.restarted("broker", agent.kill("broker"))
    again = until(lambda: agent.try_status() and task(agent, "tried"), "the task after a restart")
    assert [e for e in again["timeline"] if e["event"] == "upload_failed"][:1] == failed[:1]
    assert "first_byte" in events(again)
    mock.config(faults=[])
    task(agent, "tried", "gone")


def test_retried_past_its_expiry(world):
    """Expiry is for the tool: what it has answered is given to AC however late AC takes it."""
    mock, agent = agent_with(world)
    for slow in range(5):  # tasks whose time is over before the tool is asked, on a machine that is busy elsewhere
        mock.config(faults=["put-result:503:1:x1"])  # the next try is 5 s later at least
        mock.post("/_control/tasks", {"task": {"taskId": f"late-{slow}", "url": "{tool}/late", "method": "GET",
                                               "expiryTsMs": int(time.time() * 1000) + 4500},
                                      "tool": {"status": 200, "body": "hello", "repeats": True}})
        late = task(agent, f"late-{slow}", "gone")
        if "first_byte" in events(late):
            break
    assert events(late)[-4:] == ["upload_failed", "pushed", "claimed", "delivered"] and "failed" not in events(late)
    assert late["timeline"][-1]["at_ms"] > late["timeline"][0]["at_ms"] + 4500
    books = mock.books()
    assert (books["delivered"], books["error_results"], books["wrong"]) == (slow + 1, slow, 0), books["wrong_reasons"]


def test_dead(world):
    mock, agent = agent_with(world)
    mock.config(faults=["put-result:400:1", "upload-result:400:1"])
    add(mock, "small")
    add(mock, "large", bodyBytes=700000)
    task(agent, "small", "buried")
    large = task(agent, "large", "buried")
    listed = {t["task"]: t for t in ask(agent, "dead")["tasks"]}
    assert set(listed) == {"small", "large"}
    assert (listed["small"]["method"], listed["small"]["host"], listed["small"]["tries"]) == ("GET", "127.0.0.1", 1)
    assert "400" in listed["small"]["reason"]
    assert agent.status()["dead_letters"]["tasks"] == 2
    agent.restarted("broker", agent.kill("broker"))
    agent.status()
    assert {t["task"]: t for t in ask(agent, "dead")["tasks"]} == listed  # its size too, found in the spool
    page = sluice(agent, "dead")
    assert "2 buried results" in page and "small" in page and str(large["number"]) in page and "GET 127.0.0.1" in page
    assert "is held" in sluice(agent, "dead", "retry", "neither", code=1)
    assert "no `sluice dead burn`" in sluice(agent, "dead", "burn", code=2)
    assert "ID or --all" in sluice(agent, "dead", "retry", code=2)
    body = agent.state / "spool" / f"{large['number']}.body"
    assert body.exists()
    assert re.search(r'^task "large" \(number \d+\) is dropped$', sluice(agent, "dead", "drop", "large"), re.M)
    until(lambda: not body.exists(), "the end of its body")
    assert task(agent, "large")["state"] == "dropped"
    sluice(agent, "dead", "retry", listed["small"]["number"])  # AC refuses it again
    until(lambda: [t["tries"] for t in ask(agent, "dead")["tasks"]] == [1] and
          events(task(agent, "small")).count("buried") == 2, "its second burial, with tries counted anew")
    mock.config(faults=[])
    assert "1 result will be tried again" in sluice(agent, "dead", "retry", "--all")
    assert "no result is buried" in sluice(agent, "dead", "retry", "--all")
    assert "revived" in events(task(agent, "small", "gone"))
    assert ask(agent, "dead")["tasks"] == []
    assert mock.books()["delivered"] == 1
    agent.stop()
    assert "broker at ipc://" in sluice(agent, "dead", code=1)


def test_dead_bounds(world):
    """The oldest of too many go, with their bodies, and the log tells."""
    mock, agent = agent_with(world, "--deadLetterMb", 1)
    mock.config(faults=["upload-result:400:1"])
    numbers = []
    for name in ("a", "b", "c"):
        add(mock, name, bodyBytes=600000)
        numbers.append(task(agent, name, "buried")["number"])
    assert task(agent, "a", "dropped")["timeline"][-1]["why"].endswith("deadLetterMb")
    assert task(agent, "b", "dropped")["timeline"][-1]["why"].endswith("deadLetterMb")
    document = ask(agent, "dead")
    assert [t["task"] for t in document["tasks"]] == ["c"] and document["dropped"] == 2  # two are 1.2 MB
    assert document["started_ms"] == agent.status()["started_ms"]
    assert "\n2 dropped since the broker's start at " in sluice(agent, "dead")
    until(lambda: [path.name for path in (agent.state / "spool").iterdir()] == [f"{numbers[2]}.body"], "the end of their bodies")
    assert re.findall('event=result_dropped task="?([abc])', agent.log_text()) == ["a", "b"]


def test_journal_of_an_older_build(world):
    """It is brought up to date in place; its buried result, and the pause by hand, are there."""
    mock = world.start_mock("--tasks", 1)
    agent = world.make_agent(*FAST)
    older_journal(agent.state)
    agent.start()
    agent.joined("executor", "uploader", "fetcher")
    buried = ask(agent, "dead")["tasks"][0]
    assert (buried["task"], buried["reason"], buried["number"]) == ("old", "HTTP 400", 12884901889)
    now = ask(agent, "dead")["now_ms"]
    assert 0 <= now - buried["buried_ms"] < 60000 + 1000
    assert now - agent.status()["fetch"]["by_hand_since_ms"] < 60000 + 1000
    assert mock.books()["handed"] == 0
    sluice(agent, "resume")
    mock.wait("delivered>=1")
    agent.stop()
    with sqlite3.connect(agent.state / "journal.db") as journal:
        assert journal.execute("PRAGMA user_version").fetchone()[0] == 3
        assert journal.execute("SELECT count(*) FROM history").fetchone()[0] == 1
        assert journal.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    journal.close()


def heard_from(agent, role, times):
    """Waits until the broker has heard from it so often."""
    seen = []

    def look():
        seen.extend(worker["heard_ms"] for worker in agent.status()["workers"] if worker["role"] == role)
        return sum(after < before for before, after in zip(seen, seen[1:])) >= times
    until(look, f"{times} words of the {role}")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "drained"])
def test_paused_by_hand(world, number):
    """It outlives the broker, and work at hand goes on."""
    mock, agent = agent_with(world)
    add(mock, "before", delayMs=200)
    mock.wait("handed>=1")
    said = sluice(agent, "drain")
    assert "paused by hand since" in said
    since = agent.status()["fetch"]["by_hand_since_ms"]
    agent.restarted("broker", agent.kill("broker", number))
    agent.joined("executor", "uploader", "fetcher")
    status = agent.status()
    assert status["fetch"]["paused"] and status["fetch"]["by_hand_since_ms"] == since
    assert "paused by hand since" in " ".join(sluice(agent, "status").split())
    mock.wait("delivered>=1")
    until(lambda: mock.books()["ac_polls_waiting"] == 0, "the end of the poll that was under way")
    polls = mock.books()["ac_get_task"]
    add(mock, "after")
    heard_from(agent, "fetcher", 6)  # it asks for a credit each second
    books = mock.books()
    assert (books["handed"], books["ac_get_task"]) == (1, polls)
    assert "Gate waits for `sluice resume`: fetching is paused by hand" in " ".join(sluice(agent, "status").split())
    assert sluice(agent, "resume").startswith("fetching is on")
    mock.wait("delivered>=2")
    agent.stop()
