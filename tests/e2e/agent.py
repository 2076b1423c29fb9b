"""A whole agent on real processes: the mock AC, `sluice run` or the programs one by one, and ways to wait for events."""
import collections
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

import evidence

BUILD = pathlib.Path(os.environ.get("SLUICE_BUILD", "build/release")).resolve()
KEY = "test-key"
FAST = ["--rateLimitPerMin", "1000000"]
DEADLINE = 60.0  # of any wait: generous, since machines are shared; only a failure takes as long


class TimeOut(AssertionError):
    pass


def until(condition, what, deadline=DEADLINE, pause_s=0.02):
    """Waits until condition() is true and returns its value."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeOut(f"{what} did not come about in {deadline:.0f} s")
        time.sleep(pause_s)


class Mock:
    """The mock AC and tool server."""

    def __init__(self, folder, *options):
        self.folder = pathlib.Path(folder)
        ready = self.folder / "mock-ready"
        self.process = subprocess.Popen(
            [BUILD / "tests/mock_ac/mock-ac", "--readyFile", ready, "--apiKey", KEY, *map(str, options)],
            stdout=open(self.folder / "mock.out", "w"), stderr=open(self.folder / "mock.err", "w"))
        text = until(lambda: ready.exists() and ready.read_text().endswith("\n") and ready.read_text(),
                     "the mock AC's start")
        urls = json.loads(text)
        self.ac, self.tool = urls["ac"], urls["tool"]

    def get(self, path, timeout=DEADLINE + 10):
        with urllib.request.urlopen(self.tool + path, timeout=timeout) as answer:
            return json.load(answer)

    def post(self, path, body):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.tool + path, data=data, headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()

    def books(self):
        return self.get("/_control/books")

    def config(self, **settings):
        self.post("/_control/config", settings)

    def add(self, **generate):
        self.post("/_control/tasks", {"generate": generate})

    def wait(self, condition, deadline=DEADLINE):
        """Waits for a counter of the books, e.g. "delivered>=500"; returns the books."""
        end = time.monotonic() + deadline
        while True:
            left_s = max(0.0, min(end - time.monotonic(), 10.0))
            try:
                return self.get(f"/_control/wait?cond={condition}&timeoutMs={int(left_s * 1000)}")
            except urllib.error.HTTPError as error:
                if error.code != 408:
                    raise
                latest = json.load(error)
            if time.monotonic() >= end:
                raise TimeOut(f"{condition} did not come about in {deadline:.0f} s: it is {latest[condition.split('>=')[0]]}")

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)


class Kept(dict):
    """Programs by name, without `sluice run`. One that its own switch has ended (the holder of a credit, on a machine so busy
    that it stood still) is started again, as a service manager would; `toll` counts these."""

    def __init__(self, agent, names):
        super().__init__({name: agent.program(name) for name in names})
        self.agent, self.toll, self.over = agent, collections.Counter(), threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _watch(self):
        while not self.over.wait(0.1):
            for name, process in list(self.items()):
                if process.poll() == -signal.SIGKILL and name in ("fetcher", "uploader"):
                    self.toll[name] += 1
                    self[name] = self.agent.program(name)

    def close(self):
        self.over.set()
        self.thread.join()


class Agent:
    """`sluice run` (start()), or single programs (program()), on one state and runtime directory."""

    def __init__(self, folder, mock, *options):
        self.folder = pathlib.Path(folder)
        self.log = open(self.folder / "agent.log", "ab")
        self.state, self.runtime = self.folder / "state", self.folder / "run"
        key = self.folder / "key"
        key.write_text(KEY + "\n")
        self.options = ["--serverUrl", mock.ac, "--apiKeyFile", key, "--stateDir", self.state, "--runtimeDir",
                        self.runtime, "--enableStdoutLogging", *options]
        self.options = [str(option) for option in self.options]
        self.bin = BUILD / "bin"
        self.environment = {}  # on top of this process's own
        self.run = None
        self.programs = []
        self.kept = None
        self.kills = collections.Counter()  # those that a test wanted, and `sluice run` saw
        self.strangers, self.strangers_until = set(), 0.0

    def start(self):
        self.run = self.popen("sluice", "run")
        return self

    def popen(self, name, *words):
        environment = {k: v for k, v in os.environ.items() if "proxy" not in k.lower() and not k.endswith("_BUNDLE")}
        environment |= self.environment
        return subprocess.Popen([self.bin / name, *words, *self.options], stdin=subprocess.DEVNULL,
                                stdout=self.log, stderr=self.log, env=environment)

    def popen_bare(self, name, *words):
        """A further program, with none of the options."""
        self.programs.append(subprocess.Popen([self.bin / name, *map(str, words)], stdin=subprocess.DEVNULL,
                                              stdout=self.log, stderr=self.log))
        return self.programs[-1]

    def program(self, name):
        process = self.popen("sluice-" + name)
        self.programs.append(process)
        return process

    def keep(self, *names):
        """Programs that are started again when their own switch has ended them."""
        self.kept = Kept(self, names)
        return self.kept

    def pids(self, name):
        """Of the children of `sluice run` with this name, oldest first."""
        found = []
        for pid in self._candidates():
            process = pathlib.Path("/proc", pid)
            with contextlib.suppress(OSError):
                rest = (process / "stat").read_text().rsplit(")", 1)[1].split()
                if int(rest[1]) != self.run.pid:
                    self.strangers.add(pid)
                elif rest[0] != "Z" and self.name_of(process) == "sluice-" + name:
                    found.append((int(rest[19]), int(pid)))
        return [pid for _, pid in sorted(found)]

    def _candidates(self):
        """The processes that may be its children. Asked again and again, it looks but once a second at those that are not:
        many tests share the machine."""
        now = time.monotonic()
        if now > self.strangers_until:
            self.strangers, self.strangers_until = set(), now + 1
        return [name for name in os.listdir("/proc") if name.isdigit() and name not in self.strangers]

    @staticmethod
    def name_of(process):
        with contextlib.suppress(OSError):
            return os.path.basename((process / "cmdline").read_bytes().split(b"\0")[0].decode())
        return ""

    @classmethod
    def name_of_pid(cls, pid):
        return cls.name_of(pathlib.Path(f"/proc/{pid}"))

    def pid(self, name):
        return until(lambda: self.pids(name), f"a running sluice-{name}")[0]

    def kill(self, name, number=signal.SIGKILL):
        pid = self.pid(name)
        os.kill(pid, number)
        self.kills[name] += number == signal.SIGKILL
        return pid

    def restarted(self, name, former):
        """Waits until another process of this name runs."""
        return until(lambda: [pid for pid in self.pids(name) if pid != former], f"a new sluice-{name}")[0]

    def status(self):
        """The JSON of `sluice status`. On a machine so busy that the broker stands still for a while, it is asked again."""
        return until(self.try_status, "an answer of the broker")

    def try_status(self):
        """The same, or None while the broker does not answer."""
        done = subprocess.run([BUILD / "bin/sluice", "status", "--json", "--runtimeDir", self.runtime],
                              capture_output=True, timeout=30, check=False)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def slots(self):
        """Of each executor."""
        return int(self.options[self.options.index("--executorPoolSize") + 1]) if "--executorPoolSize" in self.options else 10

    def bound(self):
        return ["--broker", self.options[self.options.index("--bind") + 1]] if "--bind" in self.options else []

    def status_until(self, condition, what, deadline=DEADLINE):
        def look():
            status = self.try_status()
            return status if status and condition(status) else None
        return until(look, what, deadline, pause_s=0.05)  # to ask takes a process each time

    def joined(self, *roles):
        """Waits until workers of these roles have a session."""
        return self.status_until(lambda s: set(roles) <= {w["role"] for w in s["workers"]}, f"sessions of {roles}")

    def stop(self, process=None, expect=0):
        process = process or self.run
        process.send_signal(signal.SIGTERM)
        code = process.wait(90)
        if expect == 0 and code == 1 and self._switched_in_drain():
            return code
        assert expect is None or code == expect, f"exit status {code}; the log ends:\n{self.log_tail()}"
        return code

    def _switched_in_drain(self):
        """Whether, on a machine so busy that a holder of a credit stood still meanwhile, its own switch has ended it."""
        _, _, after = self.log_text().rpartition('sluice event=draining why="SIGTERM"')
        return re.search("event=program_killed program=sluice-(fetcher|uploader) .*switch", after) is not None

    def log_text(self):
        return (self.folder / "agent.log").read_text(errors="replace")

    def log_tail(self, lines=60):
        return "\n".join(self.log_text().splitlines()[-lines:])

    def evidence(self):
        """What its processes are doing, and what the broker says of itself: for a failure."""
        pids = [process.pid for process in [*self.programs, self.run] if process and process.poll() is None]
        said = [f"pid={process.pid} status={process.poll()} {process.args[0]}"
                for process in [*self.programs, self.run] if process]
        try:
            done = subprocess.run([BUILD / "bin/sluice", "status", "--runtimeDir", self.runtime], capture_output=True,
                                  timeout=10, check=False, text=True)
            said.append(f"status {done.returncode}: {done.stdout}{done.stderr}")
        except (subprocess.TimeoutExpired, OSError) as error:
            said.append(f"status: {error}")
        return "\n".join([*said, evidence.of_processes(pids)])

    def kill_programs(self):
        """Nothing is left to be shown by a drain."""
        if self.kept:
            self.kept.close()
        for process in self.programs:
            process.kill()

    def close(self):
        if self.kept:
            self.kept.close()
        for process in [*self.programs, self.run]:
            if process and process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in [*self.programs, self.run]:
            if process:
                try:
                    process.wait(60)
                except subprocess.TimeoutExpired:
                    print(f"--- {process.args[0]} does not end\n{self.evidence()}")
                    process.kill()
                    process.wait()
        self.log.close()


class World:
    """A temporary directory with a mock and an agent in it; says what happened when a test fails."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-e2e."))
        self.mock = None
        self.agent = None

    def start_mock(self, *options):
        self.mock = Mock(self.folder, *options)
        return self.mock

    def make_agent(self, *options):
        self.agent = Agent(self.folder, self.mock, *options)
        return self.agent

    def close(self, failed):
        try:
            books = json.dumps(self.mock.books(), indent=1) if self.mock and failed else ""
        except OSError as error:
            books = str(error)
        tail = doing = ""
        if self.agent:
            doing = self.agent.evidence() if failed else ""
            self.agent.close()
            tail = self.agent.log_tail(200) if failed else ""
        if self.mock:
            self.mock.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        if failed:
            print(f"--- books\n{books}\n--- the agent's processes\n{doing}\n--- the agent's log\n{tail}")


def check_books(books, total, max_in_flight=2):
    """What holds in every run: all delivered, nothing wrong or doubled, never a third AC request."""
    assert books["delivered"] == total
    assert books["lost"] == 0
    assert books["wrong"] == 0, books
    assert books["reexecuted_unsafe"] == 0
    assert books["ac_max_in_flight"] <= max_in_flight
    assert books["ac_too_many"] == 0
