"""AC at its worst: statuses, resets, stalls, halves, garbage, refused keys, an answer that drips. What the agent holds is
delivered once AC is well again, and the limits hold all the time."""
import select
import socket
import threading
import time

import pytest

from agent import FAST, until
from fault_tools import Toll, check_toll, settle, side_by_side

STORM_S = 4

STORMS = {
    "5xx": ["get-task:503:0.4", "put-result:500:0.5", "put-result:504:0.3", "upload-result:502:0.5"],
    "429 for concurrency": ["get-task:429conc:0.3", "put-result:429conc:0.5", "upload-result:429conc:0.5"],
    "429 for rate": ["get-task:429retry:0.3:1", "put-result:429rate:0.5:1", "upload-result:429rate:0.5:2"],
    "resets before": ["get-task:reset:0.4", "put-result:reset:0.5", "upload-result:reset:0.5"],
    "resets after": ["get-task:reset_after:0.1", "put-result:reset_after:0.5", "upload-result:reset_after:0.5"],
    "stalls": ["get-task:stall:0.4:1500", "put-result:stall:0.5:1500", "upload-result:stall:0.5:1500"],
    "half answers": ["get-task:half:0.4", "put-result:half:0.5", "upload-result:half:0.5"],
    "garbage for a task": ["get-task:garbage:0.5"],
    "the key is refused": ["get-task:401:1", "put-result:403:1", "upload-result:401:1"],
    "redirects": ["get-task:302:0.4", "put-result:302:0.4"],
}


def storm(world, name):
    mock = world.start_mock("--longPollMs", "300-300", "--seed", 3)
    agent = world.make_agent(*FAST).start()
    mock.add(count=40, methods="GET,POST,PUT", toolDelayMs="0-300", bodyBytes="100-4000")
    mock.add(count=2, methods="POST", bodyBytes="600000-900000")
    mock.wait("delivered>=5")
    mock.config(faults=STORMS[name])
    end = time.monotonic() + STORM_S
    until(lambda: time.monotonic() > end, "the end of the storm", STORM_S + 30)
    assert agent.run.poll() is None
    mock.config(faults=[])
    mock.add(count=8, methods="GET,POST")
    faults = mock.books()["faults"]
    unheard = sum(count for kind, count in faults.items()
                  if kind.startswith(("put-", "upload-")) and kind.endswith(("_after", "half")))
    toll = Toll({"unread": faults.get("get-task:reset_after", 0), "unheard": unheard})
    books = settle(agent, mock, 50, toll)
    check_toll(books, 50, toll)
    assert books["error_results"] <= toll.most_redone()
    assert books["faults_injected"] > 0 and books["protocol_errors"] == 0
    toll.check_starts(agent)
    agent.stop()


def test_storms():
    side_by_side(storm, STORMS, 10)


class Drip:
    """Between the agent and AC: while `slow`, answers come an octet every 50 ms."""

    def __init__(self, to):
        host, port = to.removeprefix("http://").split(":")
        self.to, self.slow, self.dripped = (host, int(port)), False, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.ac = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client, socket.create_connection(self.to)), daemon=True).start()

    def _serve(self, client, server):
        with client, server:
            for side in (client, server):
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                while True:
                    for side in select.select([client, server], [], [])[0]:
                        octets = side.recv(65536)
                        if not octets:
                            return
                        if side is client:
                            server.sendall(octets)
                        else:
                            self._answer(client, octets)
            except OSError:
                pass

    def _answer(self, client, octets):
        while octets and self.slow:
            client.sendall(octets[:1])
            octets = octets[1:]
            self.dripped += 1
            time.sleep(0.05)  # this is the drip
        client.sendall(octets)


def test_answers_that_drip(world):
    """Answers slower than a lease: the lease is renewed and the answer taken, and nothing else suffers."""
    mock = world.start_mock("--longPollMs", "300-300")
    drip = Drip(mock.ac)
    mock.ac = drip.ac
    agent = world.make_agent(*FAST).start()
    mock.add(count=20, methods="GET,POST", bodyBytes="100-400")
    toll = Toll()
    settle(agent, mock, 20, toll)
    drip.slow = True
    mock.add(count=2, methods="POST", bodyBytes="100-400")
    settle(agent, mock, 22, toll, 180)
    drip.slow = False
    mock.add(count=20, methods="GET,POST", bodyBytes="100-400")
    books = settle(agent, mock, 42, toll)
    assert drip.dripped > 200
    check_toll(books, 42, toll)
    assert books["error_results"] == 0
    agent.stop()


@pytest.fixture(autouse=True)
def _quiet_threads(monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
