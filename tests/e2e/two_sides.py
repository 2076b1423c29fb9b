"""An AC that hands out the tasks a test adds and keeps the results, for tests that have a whole agent between two sides."""
import gzip
import json
import re
import threading

import pytest

from agent import Agent, until
from fake_ac import FakeAC


def json_and_file(body):
    """Of put-result, or of upload-result: then the member "file" has the unpacked file."""
    if body.startswith(b"{"):
        return json.loads(body), {}
    parts = re.search(rb"application/zip\r\n\r\n(.*)\r\n--.*?\r\n\r\n(\{.*\})\r\n--", body, re.DOTALL)
    return json.loads(parts[2]), {"file": gzip.decompress(parts[1])}


class AC:
    def __init__(self):
        self.tasks, self.results = [], {}
        self.store = None  # a ToolServer that large bodies go to
        self.ready, self.ending = threading.Condition(), False
        self.server = FakeAC(self.answer)
        self.ac = self.server.url

    def end(self):
        """Holds no poll any longer, so that an agent can end at once."""
        with self.ready:
            self.ending = True
            self.ready.notify_all()

    def close(self):
        self.server.close()

    def add(self, task_id, url, method="GET", **members):
        with self.ready:
            self.tasks.append({"taskId": task_id, "url": url, "method": method, **members})
            self.ready.notify()

    def answer(self, request):
        if request.method == "POST":
            result, file = json_and_file(request.body)
            self.results[result["taskId"]] = result | file
            return 200, {}, b"{}"
        if "/upload-url?" in request.target:
            name = request.target.partition("fileName=")[2]
            data = {"putUrl": self.store.url("/put/" + name), "getUrl": self.store.url("/get/" + name)}
            return 200, {}, json.dumps({"data": data}).encode()
        with self.ready:
            self.ready.wait_for(lambda: self.tasks or self.ending, 1.2)  # then polled again at once
            task = self.tasks.pop(0) if self.tasks else None
        return 200, {}, json.dumps({"data": task}).encode()

    def result(self, task_id):
        return until(lambda: self.results.get(task_id), f"the result of {task_id}")


@pytest.fixture
def ac():
    made = AC()
    yield made
    made.close()


@pytest.fixture
def start(ac, tmp_path):
    """A function that starts an agent: its options, and variables of its environment."""
    agents = []

    def run(*options, **environment):
        agents.append(Agent(tmp_path, ac, *options))
        agents[-1].environment = environment
        return agents[-1].start()

    yield run
    ac.end()
    for agent in agents:
        agent.close()


def run_tasks(ac, urls):
    """GETs these URLs, by taskId, and returns the results."""
    for task_id, url in urls.items():
        ac.add(task_id, url)
    return {task_id: ac.result(task_id) for task_id in urls}
