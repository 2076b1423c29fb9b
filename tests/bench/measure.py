"""One side of a comparison: a mock AC of its own and what works off its tasks, here the agent of a build."""
import contextlib
import json
import pathlib
import subprocess
import sys
import time
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
import agent as e2e  # noqa: E402
from certificates import Authority  # noqa: E402
from ports import find_port  # noqa: E402
from processes import connections_to, cpu_ns, memory_kb, status_kb  # noqa: E402

WORKERS = ("broker", "fetcher", "executor", "uploader")
ROLES = (*WORKERS, "sluice")


class Side:
    """The mock AC and its tools, with the way to them that the case asks for. What fails while it is made leaves nothing
    running."""

    def __init__(self, case, build, folder, long_poll):
        self.case, self.build, self.folder, self.done = case, pathlib.Path(build).resolve(), folder, 0
        self.mock = self.proxy = self.authority = None
        try:
            self._start_mock(long_poll)
        except BaseException:
            self.close()
            raise

    def _start_mock(self, long_poll):
        case = self.case
        self.folder.mkdir(parents=True)
        e2e.BUILD = self.build
        options = ["--methods", case.methods, "--bodyBytes", case.body, "--toolDelayMs", case.tool_ms, "--record", 0,
                   "--longPollMs", "10000-13000" if long_poll else 0]
        if case.tls:
            self.authority = Authority(self.folder)
            certificate, key = self.authority.issue("server")
            options += ["--tlsCert", certificate, "--tlsKey", key, "--toolTlsCert", certificate, "--toolTlsKey", key]
        self.mock = MockOverTls(self.folder, *options) if case.tls else e2e.Mock(self.folder, *options)
        self.ac = self.mock.ac
        if case.ac_ms:
            script = pathlib.Path(__file__).with_name("delay_proxy.py")
            port = urllib.parse.urlsplit(self.ac).port
            self.proxy = subprocess.Popen([sys.executable, script, str(port), str(case.ac_ms / 2)],
                                          stdout=subprocess.PIPE, text=True)
            self.ac = self.ac.replace(str(port), self.proxy.stdout.readline().strip())

    def add(self, count):
        case = self.case
        self.mock.add(count=count, methods=case.methods, bodyBytes=case.body, toolDelayMs=case.tool_ms)

    def add_apart(self, count):
        """One task at a time, as far apart as the case says."""
        for _ in range(count):
            self.add(1)
            time.sleep(self.case.apart_ms / 1000)

    def wait(self, count, deadline=900):
        """By the mock's own wait, which costs it nothing while it lasts."""
        end = time.monotonic() + deadline
        while time.monotonic() < end:
            if self.mock.process.poll() is not None:
                raise RuntimeError(f"{self.case.name}: the mock AC has ended with {self.mock.process.returncode}")
            with contextlib.suppress(OSError):
                self.mock.get(f"/_control/wait?cond=delivered>={count}&timeoutMs=20000")
                return
        raise TimeoutError(f"{self.case.name}: {count} results did not come in {deadline} s")

    def close(self):
        if self.mock:
            self.mock.close()
        if self.proxy:
            self.proxy.terminate()
            self.proxy.wait()


class MockOverTls(e2e.Mock):
    def get(self, path, timeout=e2e.DEADLINE + 10):
        return json.loads(self.curl(path, "--max-time", str(timeout)))

    def post(self, path, body):
        return self.curl(path, "-H", "Content-Type: application/json", "-d", json.dumps(body))

    def curl(self, path, *words):
        done = subprocess.run(["curl", "-sSfk", *words, self.tool + path], capture_output=True, check=False)
        if done.returncode != 0:
            raise OSError(done.stderr.decode())
        return done.stdout


class AgentSide(Side):
    """The whole agent, as `sluice run` starts it."""

    def __init__(self, case, build, folder, more=()):
        self.agent = self.remote = None
        super().__init__(case, build, folder, long_poll=True)
        try:
            self._start_agent(more)
        except BaseException:
            self.close()
            raise

    def _start_agent(self, more):
        case = self.case
        queue = max(case.queue, case.slots * case.executors)
        options = [*e2e.FAST, "--executorPoolSize", case.slots, "--executors", 0 if case.curve else case.executors,
                   "--taskQueueSize", queue, "--responseQueueSize", queue, *more]
        if case.tcp or case.curve:
            self.port = find_port()
            self.endpoint = f"tcp://127.0.0.1:{self.port}"
            options += ["--bind", self.endpoint]
        if case.tcp:
            options += ["--broker", self.endpoint]
        if case.tls:
            options += ["--caBundle", self.authority.certificate, "--toolCaBundle", self.authority.certificate]
        real, self.mock.ac = self.mock.ac, self.ac
        self.agent = e2e.Agent(self.folder, self.mock, *options)
        self.mock.ac = real
        if not case.sync:
            self.agent.environment["LD_PRELOAD"] = str(self.build / "tests/bench/bench-nosync.so")
        if case.curve:
            broker_key = self.sluice_key("new", "main", "--role", "broker", "--stateDir", self.agent.state)
        self.agent.start()
        if case.curve:
            self.remote = self.remote_executor(broker_key)
        e2e.until(self._all_there, "sessions of all workers")
        time.sleep(0.5)
        self.pids = {role: self.agent.pids(role) for role in WORKERS} | {"sluice": [self.agent.run.pid]}
        if self.remote:
            self.pids["executor"] = [self.remote.pid]
        self._check_links()
        self.idle_rss = {pid: status_kb(pid, "VmRSS") for pids in self.pids.values() for pid in pids}

    def _all_there(self):
        if self.agent.run.poll() is not None:
            raise RuntimeError(f"{self.case.name}: sluice run has ended with {self.agent.run.returncode}:\n"
                               f"{self.agent.log_tail(5)}")
        status = self.agent.try_status()
        return status and len(status["workers"]) == 2 + self.case.executors

    def _check_links(self):
        """That those that should be connected by tcp are, and the others are not."""
        by_tcp = WORKERS[1:] if self.case.tcp else ("executor",) if self.case.curve else ()
        for role in WORKERS[1:] if self.case.tcp or self.case.curve else ():
            for pid in self.pids[role]:
                count = connections_to(pid, self.port)
                if (count > 0) != (role in by_tcp):
                    raise RuntimeError(f"{self.case.name}: the {role} has {count} connections to {self.endpoint}")

    def sluice_key(self, *words):
        """`sluice key`; the last word that it says, which is the public part of a new key."""
        done = subprocess.run([self.build / "bin/sluice", "key", *map(str, words)], capture_output=True, check=True, text=True)
        return done.stdout.split()[-1]

    def remote_executor(self, broker_key):
        """The commands of docs/REMOTE.md."""
        home = self.folder / "remote"
        public = self.sluice_key("new", "far", "--role", "executor", "--stateDir", home / "state")
        self.sluice_key("allow", public, "--stateDir", self.agent.state)
        words = ["--broker", self.endpoint, "--brokerKey", broker_key, "--key", "far", "--stateDir",
                 home / "state", "--runtimeDir", home / "run", "--executorPoolSize", self.case.slots, "--name", "far"]
        return subprocess.Popen([self.build / "bin/sluice-executor", *map(str, words)], stdin=subprocess.DEVNULL,
                                stdout=self.agent.log, stderr=self.agent.log)

    def cpu(self):
        return {role: sum(map(cpu_ns, pids)) for role, pids in self.pids.items()}

    def broker_rss_kb(self):
        return memory_kb(self.pids["broker"][0], "Rss")

    def status(self):
        e2e.BUILD = self.build
        return self.agent.status_until(lambda status: True, "an answer of the broker")

    def counters(self):
        return self.status()["counters"]

    def count_until(self, counter, count, deadline=900):
        """Waits until a counter of the broker has come so far; returns it."""
        end = time.monotonic() + deadline
        while (found := self.counters()[counter]) < count:
            if time.monotonic() > end:
                raise TimeoutError(f"{self.case.name}: {counter} does not reach {count} in {deadline} s")
            time.sleep(0.1)
        return found

    def more_executors(self, count, slots):
        for number in range(count):
            words = ["--executorPoolSize", slots, "--name", f"more-{number}", "--runtimeDir", self.agent.runtime,
                     "--stateDir", self.agent.state, "--enableStdoutLogging"]
            self.pids["executor"].append(self.agent.popen_bare("sluice-executor", *words).pid)

    def run(self, tasks):
        """Works off so many tasks; what each cost."""
        before, cpu, start = self.counters(), self.cpu(), time.monotonic()
        (self.add_apart if self.case.apart_ms else self.add)(tasks)
        self.done += tasks
        self.wait(self.done)
        seconds, after_cpu, after = time.monotonic() - start, self.cpu(), self.counters()
        by_role = {role: (after_cpu[role] - cpu[role]) / tasks / 1000 for role in ROLES}
        commits = after["commits"] - before["commits"]
        return {"tasks_per_s": tasks / seconds, "cpu_us": sum(by_role.values()), "cpu_us_by_role": by_role,
                "commits": commits, "tasks_per_commit": tasks / commits if commits else 0}

    def report(self):
        """What is known at the end only."""
        books = self.mock.books()
        for key in ("wrong", "lost", "duplicates", "ac_too_many"):
            if books[key]:
                raise RuntimeError(f"{self.case.name}: {books[key]} {key}; no benchmark of a wrong agent")
        peaks = {pid: status_kb(pid, "VmHWM") for pids in self.pids.values() for pid in pids}
        by_role = {role: sum(map(memory_kb, pids)) for role, pids in self.pids.items()}
        return {"pss_kb": sum(by_role.values()), "pss_kb_by_role": by_role,
                "peak_over_idle_kb": {role: max(peaks[p] - self.idle_rss.get(p, peaks[p]) for p in pids)
                                      for role, pids in self.pids.items()},
                "ac_connections": books["ac_connections_opened"],
                "hand_to_tool_us": books["hand_to_tool_us"], "tool_to_result_us": books["tool_to_result_us"]}

    def close(self):
        if self.mock:  # the agent's drain would wait for the end of a long poll
            self.mock.close()
        if self.remote:
            self.remote.terminate()
            self.remote.wait()
        if self.agent:
            self.agent.close()
        super().close()
