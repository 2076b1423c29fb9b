"""Executors on two other hosts, 25 ms away, by encrypted links that are cut on the way."""
import re
import subprocess
import time

import pytest

import hosts
from agent import BUILD, FAST, World, check_books, until
from needs import refused

PORT = 5670
BROKER, FIRST, SECOND = "10.77.0.1", "10.77.0.2", "10.77.1.2"


@pytest.fixture(scope="module", autouse=True)
def _hosts():
    if why := hosts.why_not():
        refused("namespaces", why)


class Network:
    """The broker's host and two more. The test's own process is on the broker's host."""

    def __init__(self, delay_s):
        self.broker, self.first, self.second = (hosts.Host() for _ in range(3))
        self.wires = {"first": hosts.Wire(self.broker, self.first, BROKER, FIRST, delay_s),
                      "second": hosts.Wire(self.broker, self.second, "10.77.1.1", SECOND, delay_s)}
        self.second.run("ip", "route", "add", BROKER, "dev", "w107711")

    def close(self):
        for wire in self.wires.values():
            wire.close()
        for host in (self.broker, self.first, self.second):
            host.close()


def sluice(*words):
    return subprocess.run([BUILD / "bin/sluice", *map(str, words)], capture_output=True, text=True, timeout=30,
                          check=True).stdout


class Site:
    def __init__(self, delay_s):
        self.network = Network(delay_s)
        self.executors = []
        self.world = World()
        self.broker_key = sluice("key", "new", "main", "--role", "broker", "--stateDir",
                                 self.world.folder / "state").split()[-1]

    def start(self, *options):
        self.world.start_mock("--tasks", 0, "--listen", BROKER, "--longPollMs", "1000-1000")
        self.world.make_agent(*FAST, "--bind", f"tcp://{BROKER}:{PORT}", "--executors", 0, *options).start()

    def executor(self, host, name, *options):
        """The commands of the README, on that host."""
        folder = self.world.folder / name
        if not (folder / "state").exists():
            word = sluice("key", "new", name, "--role", "executor", "--stateDir", folder / "state").split()[-1]
            sluice("key", "allow", word, "--stateDir", self.world.folder / "state")
        command = [BUILD / "bin/sluice-executor", "--broker", f"tcp://{BROKER}:{PORT}", "--brokerKey", self.broker_key,
                   "--key", name, "--stateDir", folder / "state", "--runtimeDir", folder / "run", "--name", name,
                   "--enableStdoutLogging", *options]
        with open(self.world.folder / f"{name}.log", "ab") as log:
            self.executors.append(subprocess.Popen(host.command(*command), stdout=log, stderr=log,
                                                   stdin=subprocess.DEVNULL))
        return self.executors[-1]

    def log(self, name):
        return (self.world.folder / f"{name}.log").read_text(errors="replace")

    def sessions(self, name):
        return self.log(name).count("event=session_begun")

    def close(self, failed):
        for executor in self.executors:
            executor.kill()
            executor.wait()
        self.world.close(failed)
        self.network.close()


@pytest.fixture
def site(request):
    made = Site(0.025)
    with made.network.broker.inside():
        yield made
        made.close(getattr(request.node, "failed", True))


def test_work_goes_on_through_cuts(site):
    site.start("--workerPorts", 3)  # one for each, and one for who comes back: the repeats of its HELLO need no others
    site.executor(site.network.first, "first", "--executorPoolSize", 20)
    site.executor(site.network.second, "second", "--executorPoolSize", 20)
    site.world.agent.status_until(lambda s: {"first", "second"} <= {w["name"] for w in s["workers"]}, "both executors")
    mock = site.world.mock
    mock.add(count=400, methods="GET,POST", toolDelayMs="20-200")
    mock.wait("delivered>=60")
    site.network.wires["first"].cut()
    site.world.agent.status_until(lambda s: "first" not in {w["name"] for w in s["workers"]}, "the cut is seen")
    ends = re.findall('event=worker_gone name=first .*why="(.*?)"', site.world.agent.log_text())
    assert "nothing was heard from it" in ends
    delivered = mock.books()["delivered"]
    mock.wait(f"delivered>={min(400, delivered + 20)}")  # the other one goes on
    site.network.wires["first"].mend()
    site.world.agent.status_until(lambda s: "first" in {w["name"] for w in s["workers"]}, "it comes back")
    books = mock.wait("delivered>=400")
    check_books(books, 400)
    until(lambda: site.sessions("first") >= 2, "the second session")


def test_a_short_cut_costs_no_session(site):
    """A second without a wire is nothing: TCP sends again what was lost, and no POST has an unknown outcome."""
    site.start()
    site.executor(site.network.first, "first")
    site.world.agent.joined("executor")
    mock = site.world.mock
    mock.add(count=60, methods="POST", toolDelayMs="50-150")
    mock.wait("delivered>=10")
    site.network.wires["first"].cut()
    time.sleep(1)  # the length of the cut
    site.network.wires["first"].mend()
    books = mock.wait("delivered>=60")
    check_books(books, 60)
    assert site.sessions("first") == 1
