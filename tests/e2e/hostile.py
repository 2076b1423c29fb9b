"""A peer that keeps to no rule: it speaks to the broker's sockets as it likes, with messages right and wrong."""

import random
import socket
import threading
import time

import msgpack
import zmq

from agent import until
from fake_broker import FIELDS
from processes import memory_kb

SOCKETS = {"control": zmq.DEALER, "tasks-in": zmq.PUSH, "results-in": zmq.PUSH}
OFFSETS = {"control": 0, "tasks-in": 1, "results-in": 2}
KB, MB = 1024, 1024 * 1024


def value(name):
    """Something that fits a field of this name, as far as its kind goes."""
    if name in ("held", "drop"):
        return []
    if name in ("name", "program_version", "endpoint", "agent_id", "reason", "text", "task_id", "method", "host",
                "config", "error"):
        return "x"
    return 1


def message(name, /, **over):
    """A well-formed message of that type, with 1 and "x" where nothing else is said."""
    code, fields = FIELDS[name]
    return msgpack.packb([1, code] + [over.get(field, value(field)) for field in fields.split()])


def garbage(rng, names=None):
    """Frames of many kinds of wrongness, around messages of these names."""
    name = rng.choice(names or [name for name in FIELDS if name != "FETCHED"])  # a whole FETCHED is a task
    whole = message(name)
    return rng.choice([
        lambda: [b"\xc1" * bool(names) + rng.randbytes(rng.randint(0, 200))],  # \xc1 begins nothing
        lambda: [b""],
        lambda: [b"", b""],
        lambda: [whole[:rng.randint(0, len(whole) - 1)]],
        lambda: [whole + b"\0"],
        lambda: [whole, b"x", b"y", b"z"],
        lambda: [b"\xdd\xff\xff\xff\xff" + rng.randbytes(40)],      # an array of 4 billion
        lambda: [b"\x91" * 5000],                                # nested arrays
        lambda: [b"\xdb\xff\xff\xff\xff" + b"a" * 100],          # a string of 4 GiB
        lambda: [msgpack.packb([99, 1, 2])] if not names else [],  # another version, which ends a worker
        lambda: [msgpack.packb([1, 250])],                       # no such type
        lambda: [msgpack.packb([1, FIELDS[name][0]] + [2 ** 64 - 1] * len(FIELDS[name][1].split()))],
        lambda: [msgpack.packb([1, FIELDS[name][0]] + ["\0" * 70000])],
        lambda: [whole, rng.randbytes(rng.choice([0, 1, 70000]))],  # a payload, wanted or not
        lambda: [whole],
    ])() or [b"\x90"]


class Hostile:
    """Connections to one broker; close() ends them all."""

    def __init__(self, agent):
        self.agent = agent
        self.context = zmq.Context(io_threads=1)
        self.context.max_sockets = 5000
        self.sockets, self.raw, self.threads = [], [], []
        self.over = threading.Event()

    def endpoint(self, name):
        base = self.agent.bound()
        if not base:
            return f"ipc://{self.agent.runtime}/{name}"
        where, port = base[1].rsplit(":", 1)
        return f"{where}:{int(port) + OFFSETS[name]}"

    def open(self, name, identity=None, **marks):
        opened = self.context.socket(SOCKETS[name])
        opened.linger = 0
        for mark, number in {"sndhwm": 100, "rcvhwm": 100, **marks}.items():
            setattr(opened, mark, number)
        if identity is not None:
            opened.setsockopt(zmq.ROUTING_ID, identity)
        opened.connect(self.endpoint(name))
        self.sockets.append(opened)
        return opened

    def plain(self, name="control"):
        """A connection below ZeroMQ."""
        base = self.agent.bound()
        if base:
            host, port = base[1][len("tcp://"):].rsplit(":", 1)
            made = socket.create_connection((host, int(port) + OFFSETS[name]), timeout=10)
        else:
            made = socket.socket(socket.AF_UNIX)  # which, unlike tcp, does not wait while the backlog is full
            until(lambda: made.connect_ex(str(self.agent.runtime / name)) == 0, "a connection")
            made.settimeout(10)
        self.raw.append(made)
        return made

    def flood(self, name, frames_of, identity=None, reads=True, **marks):
        """Sends frames_of(rng) as fast as the broker takes them, in a thread of its own, until stop()."""
        def run():
            # a socket belongs to the thread that uses it
            out = self.context.socket(SOCKETS[name])
            out.linger, out.sndtimeo = 0, 100
            out.sndhwm = out.rcvhwm = 100
            for mark, number in marks.items():
                setattr(out, mark, number)
            if identity is not None:
                out.setsockopt(zmq.ROUTING_ID, identity)
            out.connect(self.endpoint(name))
            rng = random.Random(name)
            while not self.over.is_set():
                try:
                    out.send_multipart(frames_of(rng))
                    self.sent[name] = self.sent.get(name, 0) + 1
                    while reads and name == "control" and out.poll(0):
                        out.recv_multipart()
                except zmq.Again:
                    continue
            out.close()
        self.sent = getattr(self, "sent", {})
        self.threads.append(threading.Thread(target=run, daemon=True))
        self.threads[-1].start()

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join(20)
        self.threads.clear()
        self.over.clear()

    def close(self):
        self.stop()
        for opened in [*self.sockets, *self.raw]:
            opened.close()
        self.context.destroy(linger=0)


class Watch:
    """The memory of a process while something happens to it: the most of its PSS, in KiB."""

    def __init__(self, pid):
        self.pid, self.most, self.over = pid, 0, threading.Event()
        self.first = memory_kb(pid)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.over.is_set():
            now = memory_kb(self.pid)
            if not now:
                return
            self.most = max(self.most, now)
            time.sleep(0.02)

    def end(self):
        self.over.set()
        self.thread.join()
        return self.most
