"""An executor whose way to the broker is slow: all arrives, and little is carried twice. Nothing here is timed; a machine
under load only makes the way slower."""
import socket
import threading
import time

from agent import FAST, check_books

BROKER, PROXY = "127.0.0.1", "127.0.0.2"
RESULTS_IN = 2  # port, counted from control's


def size(octets):
    return f"{octets}-{octets}"


class SlowWay:
    """The broker's ports, at another address; what goes to results-in, or with `tasks` what comes from the workers'
    ports, has `rate` octets a second."""

    def __init__(self, port, rate, workers=4, tasks=False):
        self.rate, self.carried, self.next_s = rate, 0, 0.0
        self.lock = threading.Lock()
        self.sockets = []
        for offset in (0, 1, RESULTS_IN, 3, *range(8, 8 + workers)):
            door = socket.socket()
            self.sockets.append(door)
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            door.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)  # what waits, waits at the executor
            door.bind((PROXY, port + offset))
            door.listen(16)
            self.run(self.serve, door, port + offset, offset == RESULTS_IN and not tasks, offset >= 8 and tasks)

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
