"""The AC contract to the byte: the table of tests/contract, through a whole agent, in several shapes of agent. AC hands
all tasks out as fast as they are fetched; what the tools saw and what AC received is compared case by case."""
import contextlib
import json
import pathlib
import re
import socket
import subprocess
import sys
import threading
import time

import pytest

from agent import Agent, TimeOut, until
from fake_ac import HOLD, FakeAC
from tool_server import ToolServer

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "contract"))
from case import PARTS  # noqa: E402
from cases import CASES  # noqa: E402

AGENTS = {
    "one-slot": ["--executorPoolSize", 1],
    "fifty-slots": ["--executorPoolSize", 50],
    "tcp": ["--executors", 2, "--bind", "tcp://127.0.0.1:{port}"],
}


def has_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        return True
    except OSError:
        return False


class Recording:
    """One run of the table: the servers, and what they have recorded by case name."""

    def __init__(self, folder, cases):
        self.cases = {case.name: case for case in cases}
        self.waiting = list(cases)
        self.by_task = {case.task_id: case.name for case in cases}
        self.requests = {name: [] for name in self.cases}
        self.results = {name: [] for name in self.cases}
        self.strays = []
        self.lock = threading.Lock()
        self.times = {}
        certificate = self.certificate(folder)
        self.unused = socket.create_server(("127.0.0.1", 0))  # bound, and closed before the run: nobody listens there
        self.servers = {"tool": ToolServer(default=self.reply), "other": ToolServer(default=self.reply),
                        "tls": ToolServer(default=self.reply, certificate=certificate)}
        if has_ipv6():
            self.servers["six"] = ToolServer(default=self.reply, host="::1")
        self.places = {name: (server.url(""), server.at) for name, server in self.servers.items()}
        at = f"127.0.0.1:{self.unused.getsockname()[1]}"
        self.places["dead"] = (f"http://{at}", at)
        self.unused.close()
        self.ac = FakeAC(self.answer)

    @staticmethod
    def certificate(folder):
        key, certificate = folder / "self.key", folder / "self.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out",
                        certificate], check=True, capture_output=True)
        return certificate, key

    def fill(self, case):
        """What puts the run's addresses into a case's texts."""
        words = {"{name}": case.name, "{in1500ms}": str(self.times.get(case.name, 0))}
        for part in PARTS:
            if part in self.places:
                url, at = self.places[part]
                words |= {f"{{{part}}}": url, f"{{{part}.at}}": at, f"{{{part}.port}}": at.rpartition(":")[2]}
        pattern = re.compile("|".join(map(re.escape, words)))

        def filled(text):
            if isinstance(text, bytes):
                return filled(text.decode("latin-1")).encode("latin-1")
            return pattern.sub(lambda match: words[match[0]], text)
        return filled

    def case_of(self, target):
        """The case is named by the path's first part, or by the query."""
        found = re.match(r"/(?:\?case=)?([\w-]+)", target)
        return self.cases.get(found[1]) if found else None

    def reply(self, request):
        case = self.case_of(request.target)
        with self.lock:
            if not case:
                self.strays.append(request)
                return None
            index = len(self.requests[case.name])
            self.requests[case.name].append(request.head + request.body)
        octets = case.answer(index)
        if octets is None or b"{" not in octets[:300]:
            return octets
        return self.fill(case)(octets)

    def answer(self, request):
        """AC: hands out the tasks in the order of the table, then holds; takes every result."""
        if request.method == "GET":
            with self.lock:
                case = self.waiting.pop(0) if self.waiting else None
            if not case:
                return HOLD
            self.times[case.name] = int(time.time() * 1000) + 1500
            return 200, {"Content-Type": "application/json"}, b'{"data":' + self.fill(case)(case.task).encode() + b"}"
        task_id = re.search(rb'"taskId":("(?:[^"\\]|\\.)*")', request.body)  # some are too deep for Python's own reader
        name = self.by_task.get(json.loads(task_id[1])) if task_id else None
        with self.lock:
            if name:
                self.results[name].append(request)
            else:
                self.strays.append(request)
        return 200, {}, b'{"success":true}'

    def done(self):
        with self.lock:
            return all(self.results.values())

    def close(self):
        self.ac.close()
        for server in self.servers.values():
            server.close()


class FakeMock:
    """What Agent wants to know of an AC."""

    def __init__(self, ac):
        self.ac = ac.url


def cases_here():
    return [case for case in CASES if not case.needs or (case.needs == "six" and has_ipv6())]


@pytest.fixture(scope="module", params=AGENTS)
def run(request, tmp_path_factory, module_port):
    folder = tmp_path_factory.mktemp(request.param)
    recording = Recording(folder, cases_here())
    options = [str(word).format(port=module_port()) for word in AGENTS[request.param]]
    agent = Agent(folder, FakeMock(recording.ac), "--rateLimitPerMin", 1000000, "--connectTimeout", 5, *options).start()
    try:
        with contextlib.suppress(TimeOut):  # the cases without a result then fail one by one
            until(recording.done, "a result for each case", 40)
        recording.ac.release()
        agent.stop()
        yield recording
    finally:
        agent.close()
        recording.close()


@pytest.mark.parametrize("case", cases_here(), ids=lambda case: f"{case.section}-{case.name}")
def test_case(run, case):
    fill = run.fill(case)
    assert run.requests[case.name] == [fill(request) for request in case.sees]
    assert len(run.results[case.name]) == 1, "AC got another count of results than one"
    case.check_result(run.results[case.name][0].body, fill)


def test_what_ac_sees(run):
    """Section 1: paths, query and headers of AC's calls, and nothing beside."""
    assert run.strays == []
    assert run.ac.most_in_flight <= 2
    agents = set()
    for request in run.ac.requests:
        assert request.headers["authorization"] == "Bearer test-key"
        assert request.headers["content-type"] == "application/json"
        if request.method == "POST":
            assert request.target == "/api/http-teleport/put-result"
            continue
        match = re.fullmatch(r"/api/http-teleport/get-task\?agentId=(\d{10}_[0-9a-f]{6})&agentVersion=2\.0\.0", request.target)
        assert request.method == "GET" and match, request.target
        agents.add(match[1])
    assert len(agents) == 1
