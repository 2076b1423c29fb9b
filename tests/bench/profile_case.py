"""Where the time of each process goes: samples of the CPU clock by perf while a case is worked off, by what was running (the
kernel, a library or code of our own), the main thread and the I/O threads of ZeroMQ apart."""
import collections
import os
import re
import select
import signal
import subprocess

from figures import number
from measure import ROLES, AgentSide, e2e

FREQUENCY = 1999  # a second, which beats with no timer of 1 ms
LAYERS = ("kernel", "libcurl", "libzmq", "SQLite", "libc", "other libraries", "own code")
THREADS = ("main thread", "I/O threads")
LINE = re.compile(r"^\s*(?P<name>\S.*?)\s+(?P<pid>\d+)/(?P<tid>\d+)\s+[0-9a-f]+ \((?P<from>.*)\)\s*$")
LIBRARIES = (("libcurl", "libcurl"), ("libzmq", "libzmq"), ("libsqlite3", "SQLite"), ("libc.so", "libc"), ("libc-", "libc"))


def layer_of(path):
    """Of what perf says a sample's code is from."""
    name = path.rsplit("/", 1)[-1]
    if name.startswith("[") and name != "[vdso]":
        return "kernel" if "kernel" in name or "guest" in name or name == "[unknown]" else "other libraries"
    if name.endswith(".ko") or "/lib/modules/" in path:
        return "kernel"
    if name.startswith("sluice"):
        return "own code"
    return next((layer for start, layer in LIBRARIES if name.startswith(start)), "other libraries")


def count_samples(text, role_of):
    """{role: {thread: {layer: samples}}} of the lines of `perf script -F comm,pid,tid,ip,dso`."""
    counts = collections.defaultdict(lambda: {thread: collections.Counter() for thread in THREADS})
    for line in text.splitlines():
        found = LINE.match(line)
        if found and (role := role_of.get(int(found["pid"]))):
            thread = THREADS[found["pid"] != found["tid"]]
            counts[role][thread][layer_of(found["from"])] += 1
    return dict(counts)


class Perf:
    """A recording of some processes."""

    def __init__(self, pids, data):
        self.data = data
        control, ack = (data.with_name(name) for name in ("perf.control", "perf.ack"))
        self.pipes = []
        for pipe in (control, ack):
            os.mkfifo(pipe)
            self.pipes.append(os.open(pipe, os.O_RDWR))
        self.process = subprocess.Popen(
            ["perf", "record", "-q", "-e", "cpu-clock", "-F", str(FREQUENCY), "-D", "-1", "--control",
             f"fifo:{control},{ack}", "-o", data, "-p", ",".join(map(str, pids))],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        os.write(self.pipes[0], b"enable\n")
        e2e.until(lambda: self.process.poll() is not None or select.select(self.pipes[1:], [], [], 0)[0], "perf's start")
        self.check(None)

    def check(self, *right):
        code = self.process.poll()
        if code not in right:
            said = self.process.stderr.read().strip()
            raise RuntimeError(f"perf record ended with {code}: {said}")

    def stop(self):
        """The samples, as lines."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)
        self.check(0, -signal.SIGINT)
        done = subprocess.run(["perf", "script", "-i", self.data, "-F", "comm,pid,tid,ip,dso"], capture_output=True,
                              check=False, text=True, errors="replace")
        if done.returncode != 0:
            raise RuntimeError(f"perf script: {done.stderr.strip()}")
        return done.stdout

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pipe in self.pipes:
            os.close(pipe)


def run_profile(case, arguments, folder):
    tasks = arguments.tasks or case.tasks
    side = AgentSide(case, arguments.build, folder / "agent")
    try:
        side.run(max(1, tasks // 10))
        role_of = {pid: role for role, pids in side.pids.items() for pid in pids}
        perf = Perf(role_of, folder / "perf.data")
        try:
            figures = side.run(tasks)
            lines = perf.stop()
        finally:
            perf.close()
        side.report()  # refuses a wrong agent
    finally:
        side.close()
    samples = count_samples(lines, role_of)
    if not samples:
        raise RuntimeError("perf has taken no samples: does the machine let it?")
    return {"profile": figures | {"samples": samples, "tasks": tasks}}


def show_profile(case, result):
    """A table a process: the share of its samples, and that share of what the scheduler says it costs a task."""
    profile = result["profile"]
    lines = [f"{case.name}: {profile['tasks']:,} tasks, {number(profile['tasks_per_s'])} a second with perf at work,"
             f" {profile['cpu_us']:,.0f} us of CPU a task"]
    for role in ROLES:
        threads = profile["samples"].get(role)
        whole = sum(map(sum_of, threads.values())) if threads else 0
        cost = profile["cpu_us_by_role"][role]
        if not whole or not cost:
            continue
        lines += ["", f"| {role}: {whole:,} samples, {cost:,.0f} us a task | " + " | ".join(THREADS) + " | both | us a task |",
                  "|---|---|---|---|---|"]
        for layer in (*LAYERS, "all"):
            shares = [(sum_of(counts) if layer == "all" else counts[layer]) / whole for counts in threads.values()]
            lines.append(f"| {layer} | " + " | ".join(f"{share * 100:.1f} %" for share in (*shares, sum(shares))) +
                         f" | {sum(shares) * cost:,.0f} |")
    return lines


def sum_of(counts):
    return sum(counts.values())
