"""The network between an executor on another host and the broker is cut: both ways or one way, for a moment or for longer
than a session lasts. The two hosts are network namespaces with a pair of virtual Ethernet devices; what an address of
loopback is on the executor's host leads to the broker's (plain tcp is for loopback alone), so that the programs' own TCP
connections cross the wire, and packet filters cut it."""
import contextlib
import ctypes
import os
import re
import subprocess
import threading
import time

import pytest

from agent import FAST, World, until
from fault_tools import Toll, check_toll, given_up, settle
from needs import refused
from ports import find_port

SHORT_S, LONG_S = 1.5, 7.0  # below and above lost (5 s)


def run(*words, **more):
    return subprocess.run(words, check=True, capture_output=True, text=True, **more)


def why_not():
    """What is missing for the two hosts, or an empty text."""
    if os.geteuid() != 0:
        return "hosts of one's own need root"
    try:
        run("ip", "netns", "add", f"sl-probe-{os.getpid()}")
        run("ip", "netns", "del", f"sl-probe-{os.getpid()}")
        run("nft", "--version")
    except OSError as error:
        return str(error)
    except subprocess.CalledProcessError as error:
        return f"{' '.join(error.cmd)}: {error.stderr.strip()}"
    return ""


@pytest.fixture(scope="module", autouse=True)
def _hosts():
    if why := why_not():
        refused("namespaces", why)


class Hosts:
    """Two namespaces, "near" (AC, tools, broker, fetcher, uploader) and "far" (an executor)."""

    def __init__(self, port):
        tag = f"sl{os.getpid() % 100000}x{port}"
        self.near, self.far, self.port = tag + "n", tag + "f", port
        for name in (self.near, self.far):
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "link", "add", "wire", "netns", self.near, "type", "veth", "peer", "name", "wire", "netns", self.far)
        for name, address in ((self.near, "10.77.0.1/24"), (self.far, "10.77.0.2/24")):
            run("ip", "-n", name, "addr", "add", address, "dev", "wire")
            run("ip", "-n", name, "link", "set", "wire", "up")
            self.inside(name, "sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1")
        self.nft(self.near, "table ip wire {", "chain in { type nat hook prerouting priority -100;",
                 'iifname "wire" ip daddr 10.77.0.1 dnat to 127.0.0.1', "}", "}")
        self.nft(self.far, "table ip wire {", "chain out { type nat hook output priority -100;",
                 "ip daddr 127.0.0.1 tcp dport 1024-65535 dnat to 10.77.0.1", "}",
                 "chain post { type nat hook postrouting priority 100;", 'oifname "wire" masquerade', "}", "}")

    @staticmethod
    def inside(name, *words, **more):
        return run("ip", "netns", "exec", name, *words, **more)

    def nft(self, name, *lines):
        self.inside(name, "nft", "-f", "-", input="\n".join(lines) + "\n")

    def cut(self, to_broker, to_executor):
        """Drops what goes between the executor and the broker's ports, in these directions."""
        ports = f"{self.port}-{self.port + 200}"
        rules = [f"tcp dport {ports} drop"] * to_broker, [f"tcp sport {ports} drop"] * to_executor
        self.nft(self.far, "table ip cut {", "chain out { type filter hook output priority 0;", *rules[0], "}",
                 "chain in { type filter hook input priority 0;", *rules[1], "}", "}")

    def heal(self):
        self.inside(self.far, "nft", "delete", "table", "ip", "cut")

    def close(self):
        for name in (self.near, self.far):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


@contextlib.contextmanager
def thread_in(name):
    """This thread, and what it starts, are in the namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/proc/{os.getpid()}/task/{threading.get_native_id()}/ns/net") as home, open(f"/var/run/netns/{name}") as there:
        assert libc.setns(there.fileno(), 0) == 0, os.strerror(ctypes.get_errno())
        try:
            yield
        finally:
            assert libc.setns(home.fileno(), 0) == 0


TASKS = 6 + 120 + 2


def late_results(agent):
    """Results that the executor had when it came back and heard that they are not its any more."""
    return len(re.findall("sluice-executor event=task_(?:dropped|denied) .*phase=3", agent.log_text()))


def cut_off(world, case, hosts):
    to_broker, to_executor, seconds = case
    mock = world.start_mock("--longPollMs", "300-300")
    agent = world.make_agent(*FAST, "--bind", f"tcp://127.0.0.1:{hosts.port}", "--broker", f"tcp://127.0.0.1:{hosts.port}")
    agent.keep("broker", "fetcher", "uploader", "executor")
    with thread_in(hosts.far):
        far = agent.program("executor").pid
    agent.status_until(lambda s: len(s["workers"]) == 4, "all workers")
    # Both executors have some of these when the cut comes, and their bodies while it lasts. Small results may get through
    # to the broker, of which nothing comes back; a body needs the broker's word.
    mock.add(count=6, methods="GET", toolDelayMs="3000-4000", bodyBytes="600000-600000")
    mock.add(count=120, methods="GET,POST,PUT", toolDelayMs="20-300", bodyBytes="100-4000")
    mock.add(count=2, methods="GET", bodyBytes="3000000-3000000")
    mock.wait("delivered>=20")
    hosts.cut(to_broker, to_executor)
    end = time.monotonic() + seconds
    long, toll = seconds > SHORT_S, Toll()
    over = lambda: time.monotonic() > end and (not long or given_up(agent.log_text())[str(far)])
    until(over, "the end of the cut, and of the session if it is long", seconds + 30)
    hosts.heal()
    if long:  # one session, once
        toll.lost_executor(far)
        until(lambda: late_results(agent), "the dropping of late results")
    books = settle(agent, mock, TASKS, toll)
    check_toll(books, TASKS, toll)
    assert long or late_results(agent) == 0 or toll["executor"]
    return books


CASES = {"both ways, a moment": (True, True, SHORT_S), "both ways, long": (True, True, LONG_S),
         "to the broker, long": (True, False, LONG_S), "to the executor, long": (False, True, LONG_S),
         "to the broker, a moment": (True, False, SHORT_S), "to the executor, a moment": (False, True, SHORT_S)}


def test_cut_between_hosts():
    """Its tasks are done again or reported as the method allows; its late results are dropped, not doubled."""
    failed, threads = [], []

    def one(name, port):
        hosts = Hosts(port)
        world = World()
        bad = True
        try:
            with thread_in(hosts.near):
                print(name, {k: v for k, v in cut_off(world, CASES[name], hosts).items()
                             if k in ("outcome_unknown", "reexecuted_safe", "error_results")})
                bad = False
                world.agent.close()
        except Exception as error:
            failed.append(f"{name}: {error}")
        finally:
            world.close(bad)
            hosts.close()

    for name in CASES:
        threads.append(threading.Thread(target=one, args=(name, find_port())))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert not failed, "\n".join(failed)
