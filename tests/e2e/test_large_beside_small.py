"""Large bodies that hang, at each place where they can, and small tasks that go past them. Nothing here is timed: the
large ones go on only after the small ones are done."""
import threading

import pytest

from agent import Agent, until
from tool_server import ToolServer, answer
from two_sides import AC

pytestmark = pytest.mark.contract("2 large")

LARGE, SMALL = 10, 60
BODY = bytes(range(256)) * 8192  # 2 MiB
HALF = len(BODY) // 2


class Gates(AC):
    """An AC and a store that take no large body before `uploads` is set, and a tool that ends none before `bodies` is."""

    def __init__(self):
        self.bodies, self.uploads = threading.Event(), threading.Event()
        self.begun, self.uploading, self.stored = set(), [], {}
        super().__init__()
        self.store = ToolServer(default=self.put)
        self.tool = ToolServer(default=self.reply)

    def reply(self, request):
        if not request.target.startswith("/large"):
            return answer(body=b"small")
        return self.large(request.target)

    def large(self, target):
        yield b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY[:HALF]
        self.begun.add(target)
        self.bodies.wait(120)
        yield BODY[HALF:]

    def put(self, request):
        self.uploading.append(request.target)
        self.uploads.wait(120)
        self.stored[request.target.removeprefix("/put/")] = request.body
        return answer()

    def answer(self, request):
        if request.target.endswith("/upload-result"):
            self.uploading.append(request.target)
            self.uploads.wait(120)
        return super().answer(request)

    def empty_polls(self):
        return sum(r.ended is not None and r.ended - r.at > 1 for r in self.server.requests if "get-task" in r.target)

    def body(self, result):
        if "s3Url" in result:
            return self.stored[result["s3Url"].rpartition("/")[2]]
        return result["file"]

    def run_small(self, name):
        for i in range(SMALL):
            self.add(f"{name}{i}", self.tool.url("/small"))
        for i in range(SMALL):
            assert self.result(f"{name}{i}")["statusCode"] == 200


@pytest.mark.parametrize("to_ac", ["true", "false"])
def test_small_tasks_go_past(tmp_path, to_ac):
    ac = Gates()
    agent = Agent(tmp_path, ac, "--rateLimitPerMin", 1000000, "--executorPoolSize", LARGE + 5, "--uploadToAc", to_ac).start()
    try:
        for i in range(LARGE):
            ac.add(f"large{i}", ac.tool.url(f"/large{i}"))
        until(lambda: len(ac.begun) == LARGE, "ten large bodies on their way")
        ac.run_small("while-they-come-in")
        assert not ac.uploading and len(ac.results) == SMALL
        ac.bodies.set()
        until(lambda: ac.uploading, "a large body on its way to AC")
        polls = ac.empty_polls()
        ac.run_small("while-they-go-out")
        assert ac.empty_polls() - polls < SMALL / 3, "a result a poll is too few: an idle poll may last for 13 s"
        assert len(ac.uploading) == 1 and len(ac.results) == 2 * SMALL
        ac.uploads.set()
        for i in range(LARGE):
            assert ac.body(ac.result(f"large{i}")) == BODY
        assert len(ac.uploading) == LARGE and ac.server.most_in_flight <= 2
        ac.end()
        agent.stop()
    finally:
        ac.bodies.set()
        ac.uploads.set()
        ac.end()
        agent.close()
        ac.close()
