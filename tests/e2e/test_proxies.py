"""Proxies in both directions, by a real one: tinyproxy."""
import getpass
import pathlib
import re
import shutil
import socket
import subprocess

import pytest

from agent import Agent, check_books, until
from certificates import Authority
from executor_stage import Executor
from fake_ac import FakeAC
from tool_server import ToolServer, answer
from two_sides import ac, run_tasks  # ac is a fixture

pytestmark = pytest.mark.contract("3 proxies")

TINYPROXY = shutil.which("tinyproxy") or "/usr/bin/tinyproxy"
HIDDEN = "s3cret"


class Proxy:
    """A tinyproxy, with user and password if wanted, and the requests of its log."""

    def __init__(self, folder, name, port, password=None):
        self.at = f"127.0.0.1:{port}"
        self.url = f"http://user:{password}@{self.at}" if password else f"http://{self.at}"
        self.log = pathlib.Path(folder) / f"{name}.log"
        self.log.write_text("")
        self.log.chmod(0o666)
        config = pathlib.Path(folder) / f"{name}.conf"
        config.write_text(f"User {getpass.getuser()}\nPort {port}\nListen 127.0.0.1\nTimeout 60\nLogFile \"{self.log}\"\n"
                          f"LogLevel Connect\nMaxClients 50\nAllow 127.0.0.1\n" +
                          (f"BasicAuth user {password}\n" if password else ""))
        self.process = subprocess.Popen([TINYPROXY, "-d", "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(self.listens, "tinyproxy's start")

    def listens(self):
        host, port = self.at.split(":")
        with socket.socket() as probe:
            return probe.connect_ex((host, int(port))) == 0

    def requests(self):
        """What it was asked for: ("GET", "http://..."), ("CONNECT", "host:port")."""
        return re.findall(r"Request \(file descriptor \d+\): (\S+) (\S+) HTTP", self.log.read_text())

    def close(self):
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture
def proxy(tmp_path, module_port):
    made = []

    def make(name="proxy", password=None):
        made.append(Proxy(tmp_path, name, module_port(), password))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def start(ac, tmp_path):
    agents = []

    def run(*options, server=None, **environment):
        agents.append(Agent(tmp_path, server or ac, *options))
        agents[-1].environment = environment
        return agents[-1].start()

    yield run
    ac.end()
    for agent in agents:
        agent.close()
        assert HIDDEN not in agent.log_text()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def tools(authority):
    """A plain tool and one with TLS."""
    return ToolServer(), ToolServer(certificate=authority.issue("tool"))


@pytest.mark.parametrize("password", [None, HIDDEN], ids=["open", "password"])
def test_tools_by_given_proxies(ac, start, proxy, tools, authority, password):
    """Each scheme by its own, whatever no_proxy says; AC directly."""
    plain, tls = tools
    for_http, for_https = proxy("http", password), proxy("https", password)
    start("--inwardProxyHttp", for_http.url, "--inwardProxyHttps", for_https.url, "--toolCaBundle", authority.certificate,
          no_proxy="*")
    results = run_tasks(ac, {"plain": plain.url("/a b?c"), "tls": tls.url("/d")})
    assert [results[name]["statusCode"] for name in results] == [200, 200]
    assert for_http.requests() == [("GET", plain.url("/a%20b?c"))]
    assert for_https.requests() == [("CONNECT", tls.at)]
    for tool in tools:
        assert "Proxy-Authorization" not in dict(tool.requests[0].headers)


def test_only_the_scheme_that_is_given(ac, start, proxy, tools, authority):
    plain, tls = tools
    given = proxy()
    start("--inwardProxyHttps", given.url, "--toolCaBundle", authority.certificate)
    run_tasks(ac, {"plain": plain.url("/a"), "tls": tls.url("/b")})
    assert given.requests() == [("CONNECT", tls.at)]


def test_a_redirect_takes_the_other_schemes_proxy(ac, start, proxy, authority):
    tls = ToolServer(certificate=authority.issue("tool"))
    plain = ToolServer({"/from": f"HTTP/1.1 302 X\r\nLocation: {tls.url('/to')}\r\nContent-Length: 0\r\n\r\n".encode()})
    for_http, for_https = proxy("http"), proxy("https")
    start("--inwardProxyHttp", for_http.url, "--inwardProxyHttps", for_https.url, "--toolCaBundle", authority.certificate)
    assert run_tasks(ac, {"t": plain.url("/from")})["t"]["statusCode"] == 200
    assert for_http.requests() == [("GET", plain.url("/from"))]
    assert for_https.requests() == [("CONNECT", tls.at)]


@pytest.mark.parametrize("names", [("http_proxy", "https_proxy"), ("HTTP_PROXY", "HTTPS_PROXY")], ids=["lower", "upper"])
def test_the_environment_serves_both_sides(ac, start, proxy, tools, authority, names):
    plain, tls = tools
    environments = proxy("env", HIDDEN)
    start("--toolCaBundle", authority.certificate, **dict.fromkeys(names, environments.url))
    run_tasks(ac, {"plain": plain.url("/a"), "tls": tls.url("/b")})
    asked = environments.requests()
    assert ("GET", plain.url("/a")) in asked and ("CONNECT", tls.at) in asked
    calls = {target.partition("?")[0] for _, target in asked if "http-teleport" in target}
    assert calls == {f"{ac.ac}/api/http-teleport/get-task", f"{ac.ac}/api/http-teleport/put-result"}


@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_no_proxy(ac, start, proxy, tools, authority, name):
    plain, tls = tools
    environments = proxy()
    start("--toolCaBundle", authority.certificate, **{"http_proxy": environments.url, "https_proxy": environments.url,
                                                      name: f"elsewhere.example, 127.0.0.1:{tls.port}"})
    run_tasks(ac, {"plain": plain.url("/a"), "tls": tls.url("/b")})
    asked = environments.requests()
    assert ("GET", plain.url("/a")) in asked
    assert [method for method, _ in asked if method == "CONNECT"] == []


def test_ac_by_a_given_proxy(ac, start, proxy, tools):
    given = proxy("ac", HIDDEN)
    start("--outgoingProxyHttp", given.url, no_proxy="*")
    run_tasks(ac, {"t": tools[0].url("/a")})
    asked = given.requests()
    assert {target.partition("?")[0].removeprefix(ac.ac) for _, target in asked} == {
        "/api/http-teleport/get-task", "/api/http-teleport/put-result"}


def test_ac_over_tls_by_a_given_proxy(world, proxy, authority):
    certificate, key = authority.issue("ac")
    given = proxy("ac", HIDDEN)
    mock = world.start_mock("--tasks", 20, "--tlsCert", certificate, "--tlsKey", key)
    agent = world.make_agent("--caBundle", authority.certificate, "--outgoingProxyHttps", given.url)
    agent.start()
    mock.wait("delivered>=20")
    assert set(given.requests()) == {("CONNECT", mock.ac.removeprefix("https://"))}
    assert HIDDEN not in agent.log_text()


@pytest.mark.parametrize("given", [True, False], ids=["option", "environment"])
def test_the_store_by_the_proxy_of_ac(world, proxy, given):
    """A large body to the store goes the way that calls to AC go."""
    between = proxy("ac", HIDDEN)
    mock = world.start_mock("--tasks", 3, "--bodyBytes", "600000-600000")
    agent = world.make_agent("--uploadToAc", "false", *(["--outgoingProxyHttp", between.url] if given else []))
    agent.environment = {} if given else {"http_proxy": between.url}
    agent.start()
    check_books(mock.wait("delivered>=3"), 3)
    calls = [(method, target.partition("?")[0]) for method, target in between.requests()]
    # more when the proxy closes a connection just as it is to be used again
    assert sum(method == "PUT" and target.startswith(f"{mock.ac}/store/") for method, target in calls) >= 3
    assert calls.count(("GET", f"{mock.ac}/api/http-teleport/upload-url")) >= 3
    assert HIDDEN not in agent.log_text()


def dead_port():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_errors_of_a_tools_proxy_name_it(ac, start, tools, scheme):
    tool = tools[scheme == "https"]
    dead = f"127.0.0.1:{dead_port()}"
    start(f"--inwardProxy{scheme.capitalize()}", f"http://user:{HIDDEN}@{dead}")
    output = run_tasks(ac, {"t": tool.url("/x")})["t"]["output"]
    assert re.fullmatch(rf"Agent Side Error: Network error: {tool.at}: connecting through the proxy {dead}: .*Connection "
                        "refused", output), output


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_unknown_proxy_is_named(ac, start, tools, scheme):
    tool = tools[scheme == "https"]
    start(f"--inwardProxy{scheme.capitalize()}", f"http://user:{HIDDEN}@no-such-proxy.invalid:3128")
    output = run_tasks(ac, {"t": tool.url("/x")})["t"]["output"]
    assert output == (f"Agent Side Error: Network error: {tool.at}: looking up the name of the proxy "
                      "no-such-proxy.invalid:3128: Could not resolve proxy: no-such-proxy.invalid")


def test_a_wrong_password(ac, start, proxy, tools):
    """Of http the proxy's answer is the answer, as with the old agent; of https the request fails."""
    plain, tls = tools
    real = proxy("real", "other")
    wrong = f"http://user:{HIDDEN}@{real.at}"
    start("--inwardProxyHttp", wrong, "--inwardProxyHttps", wrong)
    results = run_tasks(ac, {"plain": plain.url("/a"), "tls": tls.url("/b")})
    assert results["plain"]["statusCode"] in (401, 407)
    assert results["tls"]["output"].startswith(
        f"Agent Side Error: Network error: {tls.at}: connecting through the proxy {real.at}: ")
    assert re.search("40[17]", results["tls"]["output"])
    assert plain.requests == tls.requests == []


@pytest.mark.parametrize("place,words", [
    ("127.0.0.1:{dead}", "through the proxy 127.0.0.1:{dead}: connecting: "),
    ("no-such-proxy.invalid:3128", "through the proxy no-such-proxy.invalid:3128: looking up the proxy: "),
])
def test_errors_of_acs_proxy_name_it(start, place, words):
    dead = dead_port()
    server = FakeAC()
    server.ac = server.url
    agent = start("--outgoingProxyHttp", f"http://user:{HIDDEN}@" + place.format(dead=dead), server=server)
    tool = ToolServer()
    status = agent.status_until(lambda s: s["ac"]["last_error"], "an error of AC")
    assert status["ac"]["last_error"].startswith(f"get-task at 127.0.0.1:{server.port} " + words.format(dead=dead))
    assert server.requests == [] and tool.requests == []
    server.close()


def test_errors_of_the_stores_proxy_name_it(tmp_path, ac, start):
    """AC is reached without one."""
    dead = f"127.0.0.1:{dead_port()}"
    ac.store, tool = ToolServer(), ToolServer(default=answer(body=bytes(600000)))
    agent = start("--uploadToAc", "false", http_proxy=f"http://user:{HIDDEN}@{dead}", no_proxy=f"127.0.0.1:{ac.server.port},"
                  f"127.0.0.1:{tool.port}")
    ac.add("t", tool.url("/x"))
    agent.status_until(lambda s: s["counters"]["upload_retries"] >= 1, "a failed upload")
    line = next(line for line in agent.log_text().splitlines() if "event=store_failed" in line)
    assert f"the store at {ac.store.at} through the proxy {dead}: connecting: " in line, line
    assert ac.store.requests == []


def test_what_is_no_proxy_stops_the_start(tmp_path, ac):
    for option in ("--inwardProxyHttp", "--outgoingProxyHttps"):
        agent = Agent(tmp_path, ac, option, f"foo://user:{HIDDEN}@proxy.example")
        agent.start()
        assert agent.run.wait(20) == 2
        assert f"{option[2:]} is no URL" in agent.log_text() and HIDDEN not in agent.log_text()


def test_an_executor_without_its_settings_does_not_run(tmp_path):
    """What only the executor reads: without it a task would go where it must not."""
    executor = Executor(tmp_path, environment={"http_proxy": f"foo://user:{HIDDEN}@proxy.example"})
    try:
        assert executor.wait() == 1
    finally:
        executor.close()
    assert "http_proxy in the environment is no URL of a proxy" in executor.log and HIDDEN not in executor.log
