"""An AC that hands out the tasks a test adds and keeps the results, for tests that have a whole agent between two sides."""
import json
import threading

from agent import until
from fake_ac import FakeAC


class AC:
    def __init__(self):
        self.tasks, self.results = [], {}
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
            result = json.loads(request.body)
            self.results[result["taskId"]] = result
            return 200, {}, b"{}"
        with self.ready:
            self.ready.wait_for(lambda: self.tasks or self.ending, 1.2)  # then polled again at once
            task = self.tasks.pop(0) if self.tasks else None
        return 200, {}, json.dumps({"data": task}).encode()

    def result(self, task_id):
        return until(lambda: self.results.get(task_id), f"the result of {task_id}")


def run_tasks(ac, urls):
    """GETs these URLs, by taskId, and returns the results."""
    for task_id, url in urls.items():
        ac.add(task_id, url)
    return {task_id: ac.result(task_id) for task_id in urls}
