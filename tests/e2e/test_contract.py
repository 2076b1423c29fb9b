"""The AC contract to the byte: the table of tests/contract, through a whole agent, in several shapes of agent. AC hands
all tasks out as fast as they are fetched; what the tools saw and what AC received is compared case by case."""
import contextlib
import json
import pathlib
import re
import socket
import sys
import threading
import time
import urllib.parse

import pytest

from agent import Agent, TimeOut, until
from certificates import Authority
from fake_ac import HOLD, FakeAC
from needs import may_be_left_out
from tool_server import FullListener, ToolServer

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "contract"))
from case import PARTS, Failed, Received, same  # noqa: E402
from cases import CASES  # noqa: E402

AGENTS = {
    "one-slot": ["--executorPoolSize", 1],
    "fifty-slots": ["--executorPoolSize", 50],
    "tcp": ["--executors", 2, "--bind", "tcp://127.0.0.1:{port}", "--broker", "tcp://127.0.0.1:{port}"],
    "store": ["--executorPoolSize", 10, "--uploadToAc", "false"],
}
CALLS = "/api/http-teleport/"
MULTIPART = re.compile(  # of upload-result: two parts, and nothing else
    rb'--([^\r\n]+)\r\nContent-Disposition: form-data; name="file"; filename="([^\r\n]*)"\r\nContent-Type: application/zip'
    rb'\r\n\r\n(.*)\r\n--\1\r\nContent-Disposition: form-data; name="task"\r\nContent-Type: application/json\r\n\r\n(.*)'
    rb'\r\n--\1--\r\n', re.DOTALL)


def has_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        return True
    except OSError:
        return False


class Recording:
    """One run of the table: the servers, and what they have recorded by case name."""

    def __init__(self, folder, cases, to_ac):
        self.to_ac = to_ac
        self.cases = {case.name: case for case in cases}
        self.waiting = list(cases)
        self.by_task = {case.task_id: case.name for case in cases}
        self.requests = {name: [] for name in self.cases}
        self.results = {name: [] for name in self.cases}
        self.strays = []
        self.presigned, self.puts = {}, {}  # case name and number of the URL; what the store got, by target
        self.lock = threading.Lock()
        self.times, self.left = {}, None
        self.authority = Authority(folder)
        self.unused = socket.create_server(("127.0.0.1", 0))  # bound, and closed before the run: nobody listens there
        self.servers = {"tool": ToolServer(default=self.reply), "other": ToolServer(default=self.reply),
                        "tls": ToolServer(default=self.reply, certificate=self.authority.self_signed("alone")),
                        "private": ToolServer(default=self.reply, certificate=self.authority.issue("tool")),
                        "store": ToolServer(default=self.store)}
        if has_ipv6():
            self.servers["six"] = ToolServer(default=self.reply, host="::1")
        self.places = {name: (server.url(""), server.at) for name, server in self.servers.items()}
        at = f"127.0.0.1:{self.unused.getsockname()[1]}"
        self.places["dead"] = (f"http://{at}", at)
        self.unused.close()
        self.full = FullListener()
        self.places["full"] = (f"http://{self.full.at}", self.full.at)
        self.ac = FakeAC(self.answer)

    def fill(self, case):
        """What puts the run's addresses into a case's texts."""
        words = {"{name}": case.name, **{f"{{in{ms}ms}}": str(self.times.get(case.name, 0) + ms) for ms in (1500, 3000)}}
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
        call = request.target.removeprefix(CALLS).partition("?")[0]
        if call == "get-task":
            return self.hand_out()
        if call == "upload-url":
            return self.presign(request)
        file = name = None
        result = request.body
        if call == "upload-result":
            parts = MULTIPART.fullmatch(request.body)
            assert parts and request.headers["content-type"] == f"multipart/form-data; boundary={parts[1].decode()}"
            name, file, result = parts[2].decode().replace("%22", '"'), parts[3], parts[4]
        received = Received(call, result, to_ac=self.to_ac, file=file, file_name=name)
        case = self.case_of_result(result)
        with self.lock:
            if case in self.presigned:
                received.put_url, received.get_url = self.urls(self.presigned[case])
                received.puts = self.puts.get(self.presigned[case], [])
            self.results[case].append(received)
        return 200, {}, b'{"success":true}'

    def case_of_result(self, result):
        task_id = re.search(rb'"taskId":("(?:[^"\\]|\\.)*")', result)  # some are too deep for Python's own reader
        return self.by_task[json.loads(task_id[1])]

    def hand_out(self):
        with self.lock:
            case = self.waiting.pop(0) if self.waiting else None
        if not case:
            return HOLD
        self.times[case.name] = int(time.time() * 1000)
        return 200, {"Content-Type": "application/json"}, b'{"data":' + self.fill(case)(case.task).encode() + b"}"

    def urls(self, number):
        store = self.places["store"][0]
        return f"{store}/put/{number}?a=b&signature={number}", f"{store}/get/{number}?a=b&signature={number}"

    def presign(self, request):
        wanted = re.fullmatch(r"fileName=([^&]+)[0-9a-f]{32}", request.target.partition("?")[2])
        with self.lock:
            number = len(self.presigned) + 1
            case = self.by_task[urllib.parse.unquote(wanted[1])]
            assert case not in self.presigned and urllib.parse.quote(urllib.parse.unquote(wanted[1]), "") == wanted[1]
            self.presigned[case] = number
        put, get = (url.replace("&", "\\u0026") for url in self.urls(number))
        return 200, {}, f'{{"data":{{"putUrl":"{put}","getUrl":"{get}"}}}}'.encode()

    def store(self, request):
        number = int(request.target.split("/")[2].partition("?")[0])
        with self.lock:
            self.puts.setdefault(number, []).append(request.head + request.body)
        return b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

    def done(self):
        with self.lock:
            return all(self.results.values())

    def close(self):
        self.ac.close()
        self.full.close()
        for server in self.servers.values():
            server.close()


class FakeMock:
    """What Agent wants to know of an AC."""

    def __init__(self, ac):
        self.ac = ac.url


def cases_here():
    """All, but for those that need what the machine has not, if it was said that they may be left out."""
    return [case for case in CASES if not case.needs or not may_be_left_out(case.needs)]


@pytest.fixture(scope="module", params=AGENTS)
def run(request, tmp_path_factory, module_port):
    folder = tmp_path_factory.mktemp(request.param)
    recording = Recording(folder, cases_here(), "false" not in AGENTS[request.param])
    port = module_port()
    options = [str(word).format(port=port) for word in AGENTS[request.param]]
    agent = Agent(folder, FakeMock(recording.ac), "--rateLimitPerMin", 1000000, "--connectTimeout", 5, "--toolCaBundle",
                  recording.authority.certificate, *options).start()
    try:
        with contextlib.suppress(TimeOut):  # the cases without a result then fail one by one
            until(recording.done, "a result for each case")
            until(lambda: not list((agent.state / "spool").iterdir()), "an empty spool")
        recording.left = sorted((agent.state / "spool").iterdir())
        recording.ac.release()
        agent.stop()
        yield recording
    finally:
        agent.close()
        recording.close()


@pytest.mark.parametrize("case", cases_here(), ids=lambda case: f"{case.topic.replace(' ', '-')}-{case.name}")
def test_case(run, case):
    fill = run.fill(case)
    assert len(run.requests[case.name]) == len(case.sees), ([r.result for r in run.results[case.name]], run.strays)
    for found, wanted in zip(run.requests[case.name], case.sees):
        same(found, fill(wanted))
    assert len(run.results[case.name]) == 1, "AC got another count of results than one"
    case.check_result(run.results[case.name][0], fill)


@pytest.mark.contract("1 calls")
def test_what_ac_sees(run):
    """Section 1: paths, query and headers of AC's calls, and nothing beside; no body stays in the spool."""
    assert run.strays == [] and run.left == []
    assert run.ac.most_in_flight <= 2
    agents, counts = set(), {}
    for request in run.ac.requests:
        call, _, query = request.target.removeprefix(CALLS).partition("?")
        counts[call] = counts.get(call, 0) + 1
        assert request.target.startswith(CALLS)
        assert request.method == ("GET" if call in ("get-task", "upload-url") else "POST")
        assert request.headers["authorization"] == "Bearer test-key"
        assert "expect" not in request.headers
        if call != "upload-result":
            assert request.headers["content-type"] == "application/json"
        if call == "get-task":
            match = re.fullmatch(r"agentId=(\d{10}_[0-9a-f]{6})&agentVersion=2\.0\.0", query)
            assert match, request.target
            agents.add(match[1])
        elif call != "upload-url":
            assert query == ""
    assert len(agents) == 1
    large = sum(not isinstance(case.gives, Failed) and case.gives.large for case in run.cases.values())
    assert large > 20
    del counts["get-task"]
    small = len(run.cases) - large
    assert counts == ({"upload-result": large, "put-result": small} if run.to_ac else
                      {"upload-url": large, "put-result": large + small})
