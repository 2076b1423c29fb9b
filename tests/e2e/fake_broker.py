"""A broker for tests of one worker: the real sockets and messages of docs/PROTOCOL.md, and no mind of its own.

The test decides every answer. Only what is dull is automatic: HEARTBEATs are answered, and RENEWs when `auto_renew`
is set. Nothing happens in the background: the sockets are served while the test waits in `expect` or `until`.

    broker = FakeBroker(directory)                  # binds ipc://DIRECTORY/control and so on
    worker = broker.welcome()                       # waits for HELLO, answers WELCOME and CONFIG
    broker.push(worker, "TASK", payload=b"{}", session=worker.session, number=1, attempt=1, ...)
    claim = broker.expect("CLAIM")
    broker.send(worker, "CLAIMED", session=worker.session, number=1, attempt=1)
    result = broker.expect("RESULT")                # result.payload, result.http_status, ...
"""

import itertools
import time

import msgpack
import zmq

FETCHER, EXECUTOR, UPLOADER, TOOL = 1, 2, 3, 4

FIELDS = {
    "HELLO": (1, "role instance place name program_version pid host slots seq credit held"),
    "WELCOME": (2, "seq session heartbeat_ms lost_ms endpoint agent_id credit drop"),
    "HEARTBEAT": (3, "session seq held"),
    "BYE": (4, "session"),
    "CONFIG": (5, "session generation debug verify pool_size upload_to_ac rate_per_min"),
    "DRAIN": (6, "session mode"),
    "WANT": (10, "session seq stage"),
    "GRANT": (11, "session seq credit stage ttl_ms budget"),
    "RENEW": (12, "session seq credit used"),
    "REVOKE": (13, "session credit reason"),
    "RELEASE": (14, "session credit used"),
    "REPORT": (15, "session credit call outcome http_status retry_after_ms elapsed_ms reason"),
    "ACCEPTED": (20, "instance seq verdict number"),
    "CLAIM": (21, "session number attempt"),
    "CLAIMED": (22, "session number attempt"),
    "DENIED": (23, "session number attempt reason"),
    "RETURN": (24, "session number attempt started"),
    "STORED": (25, "session number attempt"),
    "UPLOADED": (
        26,
        "session number attempt credit call outcome http_status retry_after_ms elapsed_ms reason",
    ),
    "GONE": (27, "session number attempt"),
    "STATUS": (30, "seq"),
    "STATUS_REPLY": (31, "seq"),
    "ERROR": (32, "code type text"),
    "FIND": (33, "seq by task"),
    "LIST": (34, "seq after max"),
    "FOUND": (35, "seq"),
    "ORDER": (36, "seq action by task after"),
    "ORDERED": (37, "seq verdict count number"),
    "FETCHED": (
        40,
        "instance seq credit task_id flags method host expiry_ms fetched_ms config error",
    ),
    "TASK": (41, "session number attempt stage flags remaining_ms generation tries task_id call"),
    "RESULT": (
        42,
        "session number attempt stream flags http_status tool_ms body_bytes connect_ms first_byte_ms ended_ms reason",
    ),
    "CHUNK": (43, "session number attempt stream offset last"),
    "EVENT": (44, "seq at_ms kind number text"),
    "BODY": (50, "session number attempt stream length kind"),
    "CREDIT": (51, "session stream upto"),
    "ABORT": (52, "session stream reason"),
}
NAMES = {code: name for name, (code, _) in FIELDS.items()}


DEADLINE = 60.0  # of any wait; only a failure takes as long


class Message:
    """A decoded message: its fields as attributes, `message` (its type), `payload` (bytes or None), `peer` (routing id, or None
    when it came by a pipeline socket) and `at`, the monotonic time at which it was read."""

    def __init__(self, name, values, payload, peer):
        self.message, self.payload, self.peer, self.at = name, payload, peer, time.monotonic()
        names = FIELDS[name][1].split()
        assert len(names) == len(values), f"{name} has {len(values)} fields, not {len(names)}"
        for key, value in zip(names, values):
            setattr(self, key, value)

    def __repr__(self):
        fields = {k: getattr(self, k) for k in FIELDS[self.message][1].split()}
        return f"{self.message}{fields}"


def encode(name, /, **fields):
    code, names = FIELDS[name]
    assert set(names.split()) == set(fields), f"{name} wants {names}, got {sorted(fields)}"
    return msgpack.packb([1, code] + [fields[key] for key in names.split()])


def decode(frames, peer=None):
    header = msgpack.unpackb(frames[0], strict_map_key=False)
    assert header[0] == 1, header
    payload = bytes(frames[1]) if len(frames) > 1 else None
    return Message(NAMES[header[1]], header[2:], payload, peer)


class Worker:
    """A worker's session as the broker sees it."""

    def __init__(self, peer, hello, session, push):
        self.peer, self.hello, self.session, self.push = peer, hello, session, push


class FakeBroker:
    """One broker. A second one on the same place, after close(), is a restarted broker: give it a higher `start`."""

    def __init__(self, directory=None, tcp=None, start=1):
        self.directory, self.tcp = directory, tcp
        self.context = zmq.Context()
        self.router = self._bind(zmq.ROUTER, "control", 0)
        self.tasks_in = self._bind(zmq.PULL, "tasks-in", 1)
        self.results_in = self._bind(zmq.PULL, "results-in", 2)
        self.sessions = itertools.count((start << 32) + 1)
        self.ports = itertools.count(8)
        self.inbox = []
        self.workers = {}
        self.heartbeats = []  # every HEARTBEAT that came, in order
        self.budgets = {}  # as granted last, by credit
        self.auto_heartbeat = True
        self.auto_renew = False
        self.closed = False

    @property
    def endpoint(self):
        """What a worker takes as its broker."""
        return self._endpoint_base()

    def _endpoint_base(self):
        return f"tcp://127.0.0.1:{self.tcp}" if self.tcp else f"ipc://{self.directory}"

    def _endpoint(self, name, offset):
        return f"tcp://127.0.0.1:{self.tcp + offset}" if self.tcp else f"ipc://{self.directory}/{name}"

    def _bind(self, kind, name, offset, hwm=1000):
        socket = self.context.socket(kind)
        socket.linger = 0
        socket.sndhwm = socket.rcvhwm = hwm
        if kind == zmq.ROUTER:
            socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
            socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        deadline = time.monotonic() + 5
        while True:
            try:
                socket.bind(self._endpoint(name, offset))
                return socket
            except zmq.ZMQError as error:  # a port of a closed broker that is not free yet
                if error.errno != zmq.EADDRINUSE or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def close(self):
        """Dies like a killed broker: nothing is said to anybody."""
        if self.closed:
            return
        self.closed = True
        for worker in self.workers.values():
            if worker.push:
                worker.push.close()
        for socket in (self.router, self.tasks_in, self.results_in):
            socket.close()
        self.context.term()

    # Receiving

    def pump(self, timeout_s=0.0):
        """Reads what is there, waiting at most so long for the first message."""
        poller = zmq.Poller()
        for socket in (self.router, self.tasks_in, self.results_in):
            poller.register(socket, zmq.POLLIN)
        ready = dict(poller.poll(max(0, int(timeout_s * 1000))))
        for socket in ready:
            while True:
                try:
                    frames = socket.recv_multipart(zmq.NOBLOCK)
                except zmq.Again:
                    break
                if socket is self.router:
                    self._take(decode(frames[1:], peer=frames[0]))
                else:
                    self._take(decode(frames))

    def _take(self, message):
        if message.message == "HEARTBEAT":
            self.heartbeats.append(message)
            if self.auto_heartbeat:
                self.send(message.peer, "HEARTBEAT", session=message.session, seq=message.seq, held=[])
            return
        if message.message == "RENEW" and self.auto_renew:
            worker = self.workers.get(message.peer)
            if worker:
                stage = 1 if worker.hello.role == FETCHER else 2
                self.grant(worker, message.seq, message.credit, stage=stage,
                           budget=self.budgets.get(message.credit, 20))
        self.inbox.append(message)

    def until(self, condition, timeout=DEADLINE, what="the condition"):
        """Serves the sockets until `condition()` is true, and returns its value."""
        deadline = time.monotonic() + timeout
        while True:
            value = condition()
            if value:
                return value
            left = deadline - time.monotonic()
            assert left > 0, f"{what} did not come in {timeout} s; unread: {self.inbox}"
            self.pump(min(left, 0.02))

    def take(self, name, **where):
        """The first unread message of that name and those fields, or None."""
        for index, message in enumerate(self.inbox):
            if message.message == name and all(getattr(message, k) == v for k, v in where.items()):
                return self.inbox.pop(index)
        return None

    def expect(self, name, timeout=DEADLINE, **where):
        return self.until(lambda: self.take(name, **where), timeout, f"{name} {where}")

    def count(self, name):
        return sum(1 for message in self.inbox if message.message == name)

    def watch(self, seconds):
        """Serves the sockets for so long: for showing that something does not happen."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.pump(min(0.02, max(0.0, deadline - time.monotonic())))

    # Sending

    def send(self, peer, name, payload=None, **fields):
        peer = peer.peer if isinstance(peer, Worker) else peer
        frames = [peer, encode(name, **fields)] + ([payload] if payload is not None else [])
        try:
            self.router.send_multipart(frames)
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise

    def push(self, worker, name, payload=b"", **fields):
        worker.push.send_multipart([encode(name, **fields), payload])

    def push_task(self, worker, number, payload, stage, **over):
        fields = dict(session=worker.session, number=number, attempt=1, stage=stage, flags=1,
                      remaining_ms=60000, generation=0, tries=0, task_id=f"task-{number}",
                      call=2)
        fields.update(over)
        self.push(worker, "TASK", payload, **fields)

    def welcome(self, timeout=DEADLINE, hello=None, credit=0, drop=(), heartbeat_ms=1000, lost_ms=5000, config=True,
                **where):
        """Waits for a HELLO (unless one is given) and begins a session; `credit` is the one that stays valid."""
        hello = hello or self.expect("HELLO", timeout, **where)
        session = next(self.sessions)
        push, endpoint = None, ""
        if hello.role in (EXECUTOR, UPLOADER):
            offset = next(self.ports)
            push = self._bind(zmq.PUSH, f"worker-{session:x}", offset, max(1, hello.slots))
            endpoint = self._endpoint(f"worker-{session:x}", offset)
        old = self.workers.get(hello.peer)
        if old and old.push:
            old.push.close()
        worker = self.workers[hello.peer] = Worker(hello.peer, hello, session, push)
        self.send(worker, "WELCOME", seq=hello.seq, session=session, heartbeat_ms=heartbeat_ms, lost_ms=lost_ms,
                  endpoint=endpoint, agent_id="1700000000_abcdef", credit=credit, drop=list(drop))
        if config:
            self.config(worker)
        return worker

    def config(self, worker, **over):
        fields = dict(session=worker.session, generation=0, debug=0, verify=0, pool_size=0, upload_to_ac=1,
                      rate_per_min=250)
        fields.update(over)
        self.send(worker, "CONFIG", **fields)

    def grant(self, worker, seq, credit, stage=1, ttl_ms=4000, budget=20):
        self.budgets[credit] = budget
        self.send(worker, "GRANT", session=worker.session, seq=seq, credit=credit, stage=stage, ttl_ms=ttl_ms,
                  budget=budget)
