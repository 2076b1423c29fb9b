"""`sluice task` tells why: requests that could not be done, results that were taken back; and nothing that it has told is lost
by an orderly end."""
import json
import re
import signal
import subprocess
import time

import pytest

from agent import BUILD, FAST, until
from fault_tools import one_by_one
from test_life import events, sluice, task

RESULTS = 12
SECRETS = ("user", "hunter2", "sesame", "tok3n")


def add(mock, task_id, method="GET", url="{tool}/", expires_ms=60000, **tool):
    """A task whose URL and headers hold secrets."""
    line = {"task": {"taskId": task_id, "url": f"{url}{task_id}?key=sesame", "method": method,
                     "requestHeaders": {"X-Token": "tok3n"}, "expiryTsMs": int(time.time() * 1000) + expires_ms},
            "tool": {"status": 200, "body": "hello", "repeats": True, **tool}, "expect": {"error": True}}
    if method == "POST":
        line["task"]["input"] = "x"
    if not tool:
        del line["tool"]
    mock.post("/_control/tasks", line)


def last(life, *names):
    return [entry for entry in life["timeline"] if entry["event"] in names][-1]


def page_of(agent, task_id):
    """The page in one line, once it is seen that no line is too wide, no step negative, and no secret shown."""
    page = sluice(agent, "task", task_id)
    assert all(len(line) <= 80 for line in page.splitlines()), page
    assert not re.search(r"\s-\d+ ms", page), page
    assert not [word for word in SECRETS if word in page], page
    return " ".join(page.split())


def test_why_it_could_not_be_done(world, free_port):
    mock = world.start_mock("--tasks", 0, "--longPollMs", "300-600")
    agent = world.make_agent(*FAST).start()
    agent.joined("executor", "uploader", "fetcher")
    add(mock, "closed", url=f"http://user:hunter2@127.0.0.1:{free_port}/")
    add(mock, "scheme", url="ftp://user:hunter2@127.0.0.1/")
    add(mock, "cut", fault="half")
    add(mock, "slow", expires_ms=1500, delayMs=60000)
    mock.post("/_control/tasks", {"task": {"taskId": "good", "url": "{tool}/good", "method": "GET"}, "tool": {"body": "hello"}})
    words = {"closed": "connecting: .*Connection refused$", "scheme": "only http and https", "cut": "reading the answer: ",
             "slow": "timed out|expired"}
    for task_id, pattern in words.items():
        life = task(agent, task_id, "gone")
        entry = last(life, "result", "failed")  # the broker itself gives up what is over before it is handed out
        assert re.search(pattern, entry["why"]), entry
        assert entry["event"] == "failed" or (entry["agent_error"], entry["status"], entry["body_bytes"]) == (True, 500, 0)
        assert not [word for word in SECRETS if word in json.dumps(life)], life
        why = entry["why"].removeprefix("Agent Side Error: Error: ")
        page = page_of(agent, task_id)
        assert f"; it says that the request could not be done: {why}" in page and page.count(why) == 2, page
    assert "started" in events(task(agent, "closed")) and "connected" not in events(task(agent, "closed"))
    assert "started" not in events(task(agent, "scheme"))
    assert {"started", "connected", "first_byte"} <= set(events(task(agent, "cut")))
    good = task(agent, "good", "gone")
    assert "why" not in last(good, "result") and last(good, "result")["agent_error"] is False
    assert "could not" not in page_of(agent, "good")
    agent.restarted("broker", agent.kill("broker"))
    assert last(task(agent, "closed"), "result")["why"].endswith("Connection refused")  # it is in the journal
    agent.stop()


@pytest.fixture
def programs(world, request):
    yield from one_by_one(world, request, drain_timeout=1)


def test_an_unknown_outcome(programs):
    """The executor tells it itself when it ends; what it may give back it gives back."""
    mock, agent, started = programs
    add(mock, "post", "POST", delayMs=60000)
    task(agent, "post", "running")
    until(lambda: mock.books()["tool_in_flight"] == 1, "the request at the tool")
    agent.stop(started["executor"])
    entry = last(task(agent, "post", "gone"), "result")
    assert entry["why"] == "outcome unknown: executor stopped during POST; not repeated"
    assert "could not be done: outcome unknown: executor stopped during POST; not repeated" in page_of(agent, "post")


def test_what_was_told_stays(programs):
    """An orderly end of the broker keeps what `sluice task` has shown, though it is written with no step."""
    mock, agent, started = programs
    add(mock, "get", delayMs=60000)
    before = task(agent, "get", "running")["timeline"]
    assert {"pushed", "claimed"} <= {entry["event"] for entry in before}
    agent.stop(started["broker"])
    started["broker"] = agent.program("broker")
    after = until(lambda: agent.status() and task(agent, "get", "running"), "the task with the next broker")["timeline"]
    assert after[:len(before)] == before and len(after) > len(before), after


def test_taken_back_is_not_given_back(programs):
    """A result that an uploader stands still with is the broker's again, and the page says why."""
    mock, agent, started = programs
    for name in ("one", "two", "three", "four", "five"):  # on a busy machine its session may be over before it gets the result
        until(lambda: not uploads(agent), "an uploader without a credit")
        started["uploader"].send_signal(signal.SIGSTOP)
        mock.post("/_control/tasks", {"task": {"taskId": name, "url": "{tool}/x", "method": "GET"}, "tool": {"repeats": True}})
        life = until(lambda: (t := task(agent, name)) and (events(t)[-1] == "taken_back" or nobody_takes(t)) and t, "its return")
        if events(life)[-1] == "taken_back":
            break
        started["uploader"].send_signal(signal.SIGCONT)
        task(agent, name, "gone")
    why = last(life, "taken_back")["why"]
    assert why in ("nothing was heard from it", "it was not claimed in time")
    assert f"taken back by the broker: {why}" in page_of(agent, name) and "given_back" not in events(life)
    started["uploader"].send_signal(signal.SIGCONT)
    task(agent, name, "gone")


def nobody_takes(life):
    return events(life)[-1] == "result" and "none is connected" in life.get("waits_for", "")


def uploads(agent):
    status = agent.status()
    return status is None or any(credit["kind"] == "upload" for credit in status["gate"]["credits"])


def uploading(agent):
    """The results that the uploader has claimed, as `sluice task` tells of them."""
    lives = [json.loads(ask(agent, f"task-{number}"))["tasks"][-1] for number in range(RESULTS)]
    return [life for life in lives if life["state"] == "uploading"]


def ask(agent, task_id):
    return subprocess.run([BUILD / "bin/sluice", "task", task_id, "--json", "--runtimeDir", agent.runtime], capture_output=True,
                          text=True, check=False, timeout=60).stdout or '{"tasks":[{"state":""}]}'


def with_results(world):
    """Results enough for an uploader to claim many, which nobody has begun to upload."""
    mock = world.start_mock("--tasks", 0, "--longPollMs", "300-600")
    agent = world.make_agent(*FAST)
    started = agent.keep("broker", "fetcher", "executor")
    for number in range(RESULTS):
        add(mock, f"task-{number}", repeats=True)
    agent.status_until(lambda s: s["results"]["waiting"] == RESULTS, "the results")
    agent.stop(started["fetcher"])  # nobody else has a credit
    mock.config(acDelayMs=3000)
    return mock, agent, started


def test_claimed_is_not_posted(world):
    """Of what an uploader has claimed only as many as it holds credits wait for AC's answer."""
    mock, agent, started = with_results(world)
    started["uploader"] = agent.program("uploader")
    held = until(lambda: (h := uploading(agent)) and h[0]["worker"]["credits"] == 2 and len(h) > 2 and h, "uploads with two credits")
    assert all(0 < life["worker"]["results"] <= RESULTS for life in held)
    crowd = [life for life in held if life["worker"]["results"] > life["worker"]["credits"] > 0]
    assert crowd and {life["waits_for"] for life in crowd} == {"AC's answer, or its turn"}, held
    pattern = r"uploader \(pid \d+ on \S+\), which posts the \d+ results it holds (one after another|two at a time), this one now or in its turn"
    until(lambda: (h := uploading(agent)) and re.search(pattern, page_of(agent, h[-1]["task"])), "the page that says so")
    mock.config(acDelayMs=0)
    mock.wait(f"delivered>={RESULTS}")
    agent.kill_programs()


def test_claimed_without_a_credit(world):
    """What an uploader holds and may not post waits for a credit, not for AC; and the page says what that waits for."""
    mock, agent, started = with_results(world)
    mock.config(acDelayMs=0)
    used = agent.status()["gate"]["rate_used"]
    agent.stop(started["broker"])
    agent.options += ["--rateLimitPerMin", str(used + 2)]  # of the minute's units, which the next broker knows, two are left
    started["broker"] = agent.program("broker")
    started["uploader"] = agent.program("uploader")
    why = "an AC credit: the rate limit's minute is used up"
    life = until(lambda: next((l for l in uploading(agent) if l["worker"]["credits"] == 0 and l["waits_for"] == why), None), why)
    until(lambda: f", which waits for {why}" in page_of(agent, life["task"]), "the page that says so")
    agent.kill_programs()


def test_one_task_ended(world):
    mock = world.start_mock("--tasks", 0, "--longPollMs", "300-600")
    agent = world.make_agent(*FAST).start()
    unread = "or AC handed it to a connection that ended before its answer was read"
    ended = lambda: subprocess.run([BUILD / "bin/sluice", "task", "never", "--runtimeDir", agent.runtime], capture_output=True,
                                   text=True, check=False, timeout=60).stderr
    empty = until(lambda: "is empty: " in (said := ended()) and said, "an answer of a broker that has no task")
    assert f"AC has not handed it to this agent, or it ended over 7 days ago, {unread}" in empty
    mock.add(count=1)
    mock.wait("delivered>=1")
    until(lambda: "not the only task that ended since" in ended(), "the task's end")
    assert f"AC has not handed it to this agent, or it ended before that, {unread}" in ended()
    agent.stop()
