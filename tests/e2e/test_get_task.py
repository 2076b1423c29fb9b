"""Answers of get-task (AC contract section 1): what follows of each, and when the next poll comes. Each case has an agent
and an AC of its own; they all run at once, since most of the time they wait."""
import json
import re
import time

import pytest

from agent import Agent, until
from fake_ac import CLOSE, FakeAC
from tool_server import ToolServer

pytestmark = pytest.mark.contract("1 get-task")

JSON = {"Content-Type": "application/json"}
LATE = 2.5  # s that a poll may come after its time, on a busy machine

# An empty answer that took over a second to come is a long poll, and the next one follows at once. On a busy machine any
# may take so long, so there are several: one of them has to be waited for.
EMPTY = [(0, 1)] * 4

# name: the answers to the first polls, then the shortest and the longest wait in s before each poll that follows one
ANSWERS = {
    "null-data": ([(200, JSON, b'{"data":null}')] * 4, EMPTY),
    "no-data": ([(200, JSON, b'{"success":true}')] * 4, EMPTY),
    "204": ([(204, {}, b"")] * 4, EMPTY),
    "no-json": ([(200, JSON, b"<html>")], [(5, 5)]),
    "half-json": ([(200, JSON, b'{"data":{"url":"http://127.0.0.1:1/","taskId":')], [(5, 5)]),
    "half-a-task": ([(200, JSON, b'{"data":{"taskId":"odd","url":"{tool}')], [(0, 0)]),
    "not-a-number": ([(200, JSON, b'{"data":{"taskId":"odd","url":"{tool}","x":NaN,"method":"GET"}}')], [(0, 0)]),
    "no-utf-8": ([(200, JSON, b'{"data":{"taskId":"odd","x":"\xc0\xaf","url":"{tool}","method":"GET"}}')], [(0, 0)]),
    "list": ([(200, JSON, b"[]")], [(5, 5)]),
    "data-list": ([(200, JSON, b'{"data":[]}')], [(5, 5)]),
    "no-task-id": ([(200, JSON, b'{"data":{"url":"http://127.0.0.1:1/","method":"GET"}}')], [(5, 5)]),
    "task-id-empty": ([(200, JSON, b'{"data":{"taskId":"","url":"{tool}","method":"GET"}}')], [(5, 5)]),
    "task-id-number": ([(200, JSON, b'{"data":{"taskId":2.50,"url":"{tool}","method":"GET"}}')], [(0, 0)]),
    "task-id-list": ([(200, JSON, b'{"data":{"taskId":["odd"],"url":"{tool}","method":"GET"}}')], [(0, 0)]),
    "404": ([(404, {}, b"none")] * 2, [(5, 5), (5, 5)]),
    "408": ([(408, {}, b"")] * 2, [(5, 5), (5, 5)]),
    "425": ([(425, {}, b"")] * 2, [(5, 5), (5, 5)]),
    "206": ([(206, JSON, b'{"data":null}')], [(5, 5)]),
    "500": ([(500, {}, b"")] * 2, [(5, 5), (10, 10)]),
    "500-and-well-again": ([(503, {}, b""), (204, {}, b""), (502, {}, b"")], [(5, 5), (0, 1), (5, 5)]),
    "closed": ([CLOSE], [(5, 5)]),
    "429-concurrent": ([(429, {}, b"Too many concurrent requests")], [(0, 10)]),
    "429": ([(429, {}, b"slow down")], [(2, 2)]),
    "429-rate-header": ([(429, {"X-Rate-Limit-Retry-After-Seconds": "3", "Retry-After": "9"}, b"")], [(3, 3)]),
    "429-retry-after": ([(429, {"Retry-After": "4"}, b"")], [(4, 4)]),
    "redirect": ([(302, {"Location": "/elsewhere"}, b"")], [(5, 30)]),
    "401": ([(401, {}, b"who are you")], [(5, 5)]),
    "403": ([(403, {}, b"not you")] * 2, [(5, 5), (10, 10)]),
    "two-data-the-last-is-null": ([(200, JSON, b'{"data":{"taskId":"never","url":"{tool}","method":"GET"},"data":null}')] * 4,
                                  EMPTY),
    "two-data-the-last-counts": ([(200, JSON, b'{"data":null,"data":{"taskId":"other","url":"{tool}","method":"GET"}}')],
                                 [(0, 0)]),
    "unknown-encoding": ([(200, {**JSON, "Content-Encoding": "UTF-8"},
                           b'{"data":{"taskId":"other","url":"{tool}","method":"GET"}}')], [(0, 0)]),
}
COUNTED = ("no-json", "half-json", "list", "data-list", "no-task-id", "task-id-empty", "206")
UNREADABLE = {  # what AC gets of a task that is no task
    "half-a-task": rb'{"taskId":"odd",.*: the task is no JSON \(the JSON ends too early, at octet \d+\); .*',
    "not-a-number": rb'{"taskId":"odd","url":"http://[^"]*","method":"GET",.*: the task is no JSON \(.* at octet \d+\); .*',
    "no-utf-8": '{"taskId":"odd","x":"\ufffd\ufffd",.*: the task is no JSON \\(invalid UTF-8 at octet 29\\); .*'.encode(),
    "task-id-list": rb'{"taskId":\["odd"\],.*: the task has no taskId, or it is no string"}',
}


RESULTS = {"two-data-the-last-counts": {"other": 200}, "unknown-encoding": {"other": 200}, "task-id-number": {"2.5": 200}, "task-id-list": {"['odd']": 500},
           **{name: {"odd": 500} for name in ("half-a-task", "not-a-number", "no-utf-8")}}  # beside that of "after"


class Run:
    """One agent and its AC, which answers the case's polls, then one with a task, then holds."""

    def __init__(self, folder, name, tool):
        self.name = name
        self.answers = [answer if answer == CLOSE else (*answer[:2], answer[2].replace(b"{tool}", tool.url("/").encode()))
                        for answer in ANSWERS[name][0]]
        task = {"taskId": "after", "url": tool.url("/after"), "method": "GET"}
        self.answers.append((200, JSON, json.dumps({"data": task}).encode()))
        self.server = FakeAC(self.answer)
        self.ac, self.results, self.bodies = self.server.url, {}, []
        folder = folder / name
        folder.mkdir()
        self.agent = Agent(folder, self, "--executorPoolSize", 1).start()

    def answer(self, request):
        if request.method == "POST":
            result = json.loads(request.body)
            self.bodies.append(request.body)
            self.results[str(result["taskId"])] = result["statusCode"]
            return 200, {}, b"{}"
        if self.answers:
            return self.answers.pop(0)
        self.server.released.wait(1.2)
        return 200, JSON, b'{"data":null}'

    def has_all(self):
        return {"after", *RESULTS.get(self.name, {})} <= set(self.results)

    def waits(self):
        polls = [request for request in self.server.requests if request.method == "GET"]
        return [after.at - before.ended for before, after in zip(polls, polls[1:])]

    def close(self):
        self.server.release()
        self.agent.close()
        self.server.close()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder, tool = tmp_path_factory.mktemp("get-task"), ToolServer()
    all_runs = {name: Run(folder, name, tool) for name in ANSWERS}
    end = time.monotonic() + 120
    while time.monotonic() < end and not all(run.has_all() for run in all_runs.values()):
        time.sleep(0.05)
    yield all_runs
    for run in all_runs.values():
        run.close()


@pytest.mark.parametrize("name", ANSWERS)
def test_the_next_poll_comes_in_time(runs, name):
    run, bounds = runs[name], ANSWERS[name][1]
    assert run.results == {"after": 200, **RESULTS.get(name, {})}
    for wait, (least, most) in zip(run.waits(), bounds):
        assert least - 0.05 <= wait <= most + LATE, run.waits()
    if bounds is EMPTY:
        assert max(run.waits()[:len(EMPTY)]) >= 1 - 0.05, run.waits()


@pytest.mark.parametrize("name", COUNTED)
def test_what_is_no_answer_is_logged_and_counted(runs, name):
    run = runs[name]
    assert run.agent.status()["counters"]["answers_malformed"] == 1
    assert "event=ac_call_failed call=get-task" in run.agent.log_text()


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_task_id_is_answered_for(runs, name):
    run = runs[name]
    bodies = [body for body in run.bodies if b'"after"' not in body]
    assert len(bodies) == 1 and re.fullmatch(UNREADABLE[name], bodies[0]), bodies
    assert run.agent.status()["counters"]["tasks_invalid"] == 1
    assert "event=task_invalid" in run.agent.log_text()


def test_a_number_as_task_id_comes_back_as_it_was(runs):
    assert b'{"taskId":2.50,"url":"' in b"".join(runs["task-id-number"].bodies)


@pytest.mark.parametrize("name", ["401", "403"])
def test_a_refused_key_pauses_everything_and_is_told(runs, name):
    log = runs[name].agent.log_text()
    assert re.search(rf" error sluice-broker event=ac_call_failed .*answered {name}: check the API key", log), log
    assert f" error sluice-broker event=gate_closed call=get-task status={name}" in log


def test_the_environments_name_is_sent(tmp_path):
    server = FakeAC()
    server.ac = server.url
    agent = Agent(tmp_path, server, "--envName", "my env&1").start()
    request = until(lambda: server.requests, "a poll")[0]
    server.release()
    agent.close()
    server.close()
    path, _, query = request.target.partition("?")
    assert path == "/api/http-teleport/get-task"
    assert query.split("&")[1:] == ["agentVersion=2.0.0", "envName=my%20env%261"]
    assert (request.headers["authorization"], request.headers["content-type"]) == ("Bearer test-key", "application/json")
