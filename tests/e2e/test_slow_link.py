"""An executor whose way to the broker is slow: all arrives, and little is carried twice. Nothing here is timed; a machine
under load only makes the way slower."""
import contextlib
import socket
import threading
import time

import pytest

from agent import FAST, check_books, until
from test_life import add, sluice

BROKER, PROXY = "127.0.0.1", "127.0.0.2"
RESULTS_IN = 2  # port, counted from control's


def size(octets):
    return f"{octets}-{octets}"


class SlowWay:
    """The broker's ports, at another address; what goes to results-in, or with `tasks` what comes from the workers'
    ports, has `rate` octets a second. Nobody gets through to those that are `closed`, until they are opened."""

    def __init__(self, port, rate, workers=4, tasks=False, closed=()):
        self.port, self.rate, self.carried, self.next_s = port, rate, 0, 0.0
        self.lock = threading.Lock()
        self.sockets, self.of_port = [], {}
        for offset in (0, 1, RESULTS_IN, 3, *range(8, 8 + workers)):
            if offset not in closed:
                self.open(offset, tasks)

    def open(self, offset, tasks=False):
        door = socket.socket()
        self.sockets.append(door)
        self.of_port[self.port + offset] = [door]
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)  # what waits, waits at the executor
        door.bind((PROXY, self.port + offset))
        door.listen(16)
        self.run(self.serve, door, self.port + offset, offset == RESULTS_IN and not tasks, offset >= 8 and tasks)

    @staticmethod
    def run(function, *arguments):
        threading.Thread(target=function, args=arguments, daemon=True).start()

    def serve(self, door, port, slow, slow_back):
        while True:
            try:
                near, _ = door.accept()
            except OSError:
                return  # closed
            self.sockets.append(near)
            self.of_port[port].append(near)
            try:
                far = socket.socket()
                far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)  # and at the broker
                far.connect((BROKER, port))
            except OSError:
                near.close()  # the broker does not listen yet
                continue
            self.sockets.append(far)
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.run(self.copy, near, far, slow)
            self.run(self.copy, far, near, slow_back)

    def wait(self, octets):
        with self.lock:
            self.carried += octets
            self.next_s = max(self.next_s, time.monotonic()) + octets / self.rate
            wait_s = self.next_s - time.monotonic()
        if wait_s > 0:
            time.sleep(wait_s)

    def copy(self, source, sink, slow):
        try:
            while octets := source.recv(8192):
                if slow:
                    self.wait(len(octets))
                sink.sendall(octets)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def shut(self, offset):
        """Ends what goes by the port, and lets nobody in."""
        for each in self.of_port[self.port + offset]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def close(self):
        for each in self.sockets:
            each.close()


def start(world, port, rate, *options, tasks=False):
    way = SlowWay(port, rate, tasks=tasks)
    agent = world.make_agent(*FAST, "--bind", f"tcp://{BROKER}:{port}", *options)
    for name in ("broker", "uploader", "fetcher"):
        agent.program(name)
    agent.options += ["--broker", f"tcp://{PROXY}:{port}"]
    agent.program("executor")
    return way, agent


def sessions(agent):
    """Of the executor: one, but on a machine so busy that it or the broker stood still for seconds."""
    return agent.log_text().count("sluice-executor event=session_begun")


def test_large_bodies_arrive_and_small_results_go_past_them(world, free_port):
    """More waits than the way carries before a stream that stands still would be ended. A small task that comes
    meanwhile does not wait for all of it."""
    count, octets, rate = 8, 1300 * 1000, 800 * 1000
    mock = world.start_mock("--tasks", count, "--bodyBytes", size(octets), "--methods", "GET", "--expiryMs", 600000)
    way, agent = start(world, free_port, rate, "--uploadToAc", "false", "--executorPoolSize", count + 2)
    mock.wait(f"tool_requests>={count}")
    agent.status_until(lambda s: s["spool"]["streams"] == count, "the streams")
    mock.add(count=1)
    small = mock.wait("delivered>=1", deadline=120)
    books = mock.wait(f"delivered>={count + 1}", deadline=120)
    check_books(books, count + 1)
    assert small["store_requests"] < count // 2, "the small result came after the large ones"
    assert books["error_results"] == 0 and books["reexecuted_safe"] == 0
    assert "event=body_stopped" not in agent.log_text() and "event=body_stalled" not in agent.log_text()
    assert way.carried <= (0.5 + sessions(agent)) * count * octets, way.carried  # all begins anew in another session
    way.close()


def test_results_are_not_repeated_while_they_are_on_their_way(world, free_port):
    """Several seconds' worth is in the way all the time; none of it is said again meanwhile."""
    count, slots, octets, rate = 12, 6, 500 * 1000, 1600 * 1000
    mock = world.start_mock("--tasks", count, "--bodyBytes", size(octets), "--expiryMs", 600000)
    way, agent = start(world, free_port, rate, "--executorPoolSize", slots)
    books = mock.wait(f"delivered>={count}", deadline=120)
    check_books(books, count)
    assert books["error_results"] == 0
    needed = count * (octets * 4 // 3 + 1000)  # in base64
    assert way.carried <= (0.5 + sessions(agent)) * needed, (way.carried, needed)
    way.close()


def test_tasks_are_waited_for_while_they_are_on_their_way(world, free_port):
    """A large one is, for longer than a small one would be, and so are small ones behind it: all are sent once, and run
    once. The GETs begin with their claims, so a claim that is refused is a request too many."""
    octets, rate = 1300 * 1000, 180 * 1000
    mock = world.start_mock("--tasks", 1, "--methods", "POST", "--inputBytes", octets, "--expiryMs", 600000)
    way, agent = start(world, free_port, rate, tasks=True)
    agent.status_until(lambda s: s["counters"]["fetched"] >= 1, "the large task")
    mock.add(count=6, methods="GET", inputBytes=40)
    books = mock.wait("delivered>=7", deadline=120)
    check_books(books, 7)
    assert books["error_results"] == 0
    if sessions(agent) == 1:
        assert books["tool_requests"] == 7 and books["reexecuted_safe"] == 0
    assert way.carried <= (0.5 + sessions(agent)) * octets, (way.carried, octets)
    way.close()


def test_answers_that_came_in_time_outlive_the_expiry_on_their_way(world, free_port):
    """The tool has answered all before their expiry; the last is on its way for more than 10 s beyond it."""
    count, octets, rate = 12, 500 * 1000, 300 * 1000
    mock = world.start_mock("--tasks", count, "--bodyBytes", size(octets), "--methods", "POST", "--expiryMs", 8000)
    way, agent = start(world, free_port, rate, "--executorPoolSize", count)
    books = mock.wait(f"delivered>={count}", deadline=180)
    check_books(books, count)
    if sessions(agent) == 1:
        assert books["error_results"] == 0, agent.log_text()
    way.close()


def test_what_waited_for_a_port_does_not_go_when_it_opens(world, free_port):
    """What an executor could not be sent another has run meanwhile."""
    count = 8
    mock = world.start_mock("--expiryMs", 600000)
    names = [f"named-{i}" for i in range(count)]
    for name in names:
        add(mock, name, "PUT")
    way = SlowWay(free_port, 1e12, closed=range(8, 12))
    agent = world.make_agent(*FAST, "--bind", f"tcp://{BROKER}:{free_port}", "--executorPoolSize", count)
    for name in ("broker", "uploader", "fetcher"):
        agent.program(name)
    near = list(agent.options)
    agent.options += ["--broker", f"tcp://{PROXY}:{free_port}"]
    agent.program("executor")
    agent.status_until(lambda s: s["counters"]["taken_back"] >= 1, "a task that is taken back")
    said = lambda: [" ".join(sluice(agent, "task", name).split()) for name in names]
    until(lambda: any("can they reach their worker ports?" in each for each in said()), "the reason")
    agent.options = [*near, "--name", "near"]
    agent.program("executor")
    mock.wait(f"delivered>={count}", deadline=120)
    for offset in range(8, 12):
        way.open(offset)
    mock.add(count=40, methods="PUT", toolDelayMs="500-500")  # more than one executor takes: the other has its trial
    books = mock.wait(f"delivered>={count + 40}", deadline=120)
    check_books(books, count + 40)
    assert books["reexecuted_safe"] == 0 and books["tool_requests"] == count + 40
    way.close()


@pytest.mark.parametrize("when", ["before it has begun", "later"])
def test_an_executor_whose_results_cannot_go_out(world, free_port, when):
    """It says so. As long as it never could bring any it gets no tasks either; what it has run comes when it can."""
    later = when == "later"
    count, slots = 6, 3
    mock = world.start_mock("--tasks", 0 if later else count, "--methods", "POST", "--expiryMs", 600000)
    way = SlowWay(free_port, 1e12, closed=[] if later else [RESULTS_IN])
    agent = world.make_agent(*FAST, "--bind", f"tcp://{BROKER}:{free_port}", "--executorPoolSize", slots)
    for name in ("broker", "uploader", "fetcher"):
        agent.program(name)
    agent.options += ["--broker", f"tcp://{PROXY}:{free_port}"]
    agent.program("executor")
    if later:
        agent.joined("executor")
        way.shut(RESULTS_IN)
        mock.add(count=count, methods="POST")
        until(lambda: "event=results_do_not_go_out" in agent.log_text(), "the executor's complaint", 60)
        assert mock.books()["tool_requests"] == slots  # those it has, and no more
    else:
        complaint = f"{PROXY}:{free_port + RESULTS_IN} is not; can it be reached?"
        until(lambda: complaint in agent.log_text(), "the executor's complaint", 60)
        assert mock.books()["ac_get_task"] == 0
    way.open(RESULTS_IN)
    books = mock.wait(f"delivered>={count}", deadline=120)
    check_books(books, count)
    if sessions(agent) <= 1:
        assert books["error_results"] == 0 and books["tool_requests"] == count
    way.close()
