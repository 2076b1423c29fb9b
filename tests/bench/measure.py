"""One side of a comparison: a mock AC of its own and what works off its tasks, the agent of a build or the floor."""
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

CURVE_PORT = 16740
ROLES = ("broker", "fetcher", "executor", "uploader", "sluice")


def cpu_ns(pid):
    """CPU time of all threads, by the scheduler's own account, in nanoseconds."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*"):
        with contextlib.suppress(OSError):
            total += int((task / "schedstat").read_text().split()[0])
    return total


def memory_kb(pid, name="Pss"):
    with contextlib.suppress(OSError):
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1])
    return 0


def status_of(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def switches(pid):
    """Wake-ups: a thread that gave up the processor by itself was woken since."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*"):
        with contextlib.suppress(OSError):
            text = (task / "status").read_text()
            total += int(text.split("voluntary_ctxt_switches:\t", 1)[1].split()[0])
    return total


class Side:
    """The mock AC and its tools, with the way to them that the case asks for."""

    def __init__(self, case, build, folder, long_poll):
        self.case, self.build, self.folder, self.done = case, pathlib.Path(build).resolve(), folder, 0
        folder.mkdir(parents=True)
        e2e.BUILD = self.build
        options = ["--methods", case.methods, "--bodyBytes", case.body, "--toolDelayMs", case.tool_ms, "--record", 0,
                   "--longPollMs", "10000-13000" if long_poll else 0]
        self.authority = None
        if case.tls:
            self.authority = Authority(folder)
            certificate, key = self.authority.issue("server")
            options += ["--tlsCert", certificate, "--tlsKey", key, "--toolTlsCert", certificate, "--toolTlsKey", key]
        self.mock = MockOverTls(folder, *options) if case.tls else e2e.Mock(folder, *options)
        self.proxy = None
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

    def wait(self, count, deadline=900):
        """By the mock's own wait, which costs it nothing while it lasts."""
        end = time.monotonic() + deadline
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                self.mock.get(f"/_control/wait?cond=delivered>={count}&timeoutMs=20000")
                return
        raise TimeoutError(f"{self.case.name}: {count} results did not come in {deadline} s")

    def close(self):
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
        super().__init__(case, build, folder, long_poll=True)
        queue = max(case.queue, case.slots * case.executors)
        options = [*e2e.FAST, "--executorPoolSize", case.slots, "--executors", case.executors, "--taskQueueSize",
                   queue, "--responseQueueSize", queue, *more]
        if case.tcp:
            options += ["--bind", "tcp://127.0.0.1:16540"]
        self.remote = None
        if case.curve:
            options += ["--bind", f"tcp://127.0.0.1:{CURVE_PORT}", "--executors", 0]
        if case.tls:
            options += ["--caBundle", self.authority.certificate, "--toolCaBundle", self.authority.certificate]
        real = self.mock.ac
        self.mock.ac = self.ac
        self.agent = e2e.Agent(folder, self.mock, *options)
        self.mock.ac = real
        if not case.sync:
            self.agent.environment["LD_PRELOAD"] = str(self.build / "tests/bench/bench-nosync.so")
        if case.curve:
            broker_key = self.sluice_key("new", "main", "--role", "broker", "--stateDir", self.agent.state)
        self.agent.start()
        if case.curve:
            self.remote = self.remote_executor(broker_key)
        self.agent.status_until(lambda s: len(s["workers"]) == 2 + case.executors, "sessions of all workers")
        time.sleep(0.5)
        self.pids = {role: self.agent.pids(role) for role in ROLES[:-1]} | {"sluice": [self.agent.run.pid]}
        if self.remote:
            self.pids["executor"] = [self.remote.pid]
        self.idle_rss = self.rss()

    def sluice_key(self, *words):
        """`sluice key`; the last word that it says, which is the public part of a new key."""
        done = subprocess.run([self.build / "bin/sluice", "key", *map(str, words)], capture_output=True, check=True, text=True)
        return done.stdout.split()[-1]

    def remote_executor(self, broker_key):
        """The commands of docs/REMOTE.md."""
        home = self.folder / "remote"
        public = self.sluice_key("new", "far", "--role", "executor", "--stateDir", home / "state")
        self.sluice_key("allow", public, "--stateDir", self.agent.state)
        words = ["--broker", f"tcp://127.0.0.1:{CURVE_PORT}", "--brokerKey", broker_key, "--key", "far", "--stateDir",
                 home / "state", "--runtimeDir", home / "run", "--executorPoolSize", self.case.slots, "--name", "far"]
        return subprocess.Popen([self.build / "bin/sluice-executor", *map(str, words)], stdin=subprocess.DEVNULL,
                                stdout=self.agent.log, stderr=self.agent.log)

    def rss(self):
        return {pid: int(status_of(pid)["VmRSS"].split()[0]) for pids in self.pids.values() for pid in pids}

    def cpu(self):
        return {role: sum(map(cpu_ns, pids)) for role, pids in self.pids.items()}

    def counters(self):
        e2e.BUILD = self.build
        return self.agent.status()["counters"]

    def count_until(self, counter, count, deadline=900):
        end = time.monotonic() + deadline
        while self.counters()[counter] < count:
            if time.monotonic() > end:
                raise TimeoutError(f"{self.case.name}: {counter} does not reach {count} in {deadline} s")
            time.sleep(0.2)

    def more_executors(self, count, slots):
        for number in range(count):
            words = ["--executorPoolSize", slots, "--name", f"more-{number}", "--runtimeDir", self.agent.runtime,
                     "--stateDir", self.agent.state, "--enableStdoutLogging"]
            self.pids["executor"].append(self.agent.popen_bare("sluice-executor", *words).pid)

    def run(self, tasks):
        """Works off so many tasks; what each cost."""
        before, cpu, start = self.counters(), self.cpu(), time.monotonic()
        if self.case.apart_ms:
            for _ in range(tasks):
                self.add(1)
                time.sleep(self.case.apart_ms / 1000)
        else:
            self.add(tasks)
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
        peaks = {pid: int(status_of(pid)["VmHWM"].split()[0]) for pids in self.pids.values() for pid in pids}
        return {"pss_kb": {role: sum(map(memory_kb, pids)) for role, pids in self.pids.items()},
                "peak_over_idle_kb": {role: max(peaks[p] - self.idle_rss.get(p, peaks[p]) for p in pids)
                                      for role, pids in self.pids.items()},
                "ac_connections": books["ac_connections_opened"],
                "hand_to_tool_us": books["hand_to_tool_us"], "tool_to_result_us": books["tool_to_result_us"]}

    def close(self):
        if self.remote:
            self.remote.terminate()
            self.remote.wait()
        self.agent.close()
        super().close()


class FloorSide(Side):
    """The bare loop, one process a round; for large bodies `curl | gzip`."""

    def __init__(self, case, build, folder):
        super().__init__(case, build, folder, long_poll=False)
        self.key = e2e.KEY

    def run(self, tasks):
        if self.case.large:
            return self.pipe(tasks)
        warm = max(1, tasks // 20)
        self.add(tasks + warm)
        words = [self.build / "tests/bench/bench-floor", "--ac", self.ac, "--key", self.key, "--slots",
                 self.case.slots * self.case.executors, "--tasks", tasks + warm, "--warm", warm]
        if self.case.tls:
            words += ["--ca", self.authority.certificate]
        done = subprocess.run([str(word) for word in words], capture_output=True, check=False, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{self.case.name}: {done.stderr.strip()}")
        told = json.loads(done.stdout)
        return {"tasks_per_s": told["tasks"] / told["seconds"],
                "cpu_us": (told["user_s"] + told["system_s"]) / told["tasks"] * 1e6}

    def pipe(self, tasks):
        """The bodies of so many tasks through `curl | gzip`, at the agent's level, one after the other."""
        self.add(tasks)
        urls = []
        for _ in range(tasks):
            got = subprocess.run(
                ["curl", "-sSf", "-H", f"Authorization: Bearer {self.key}", "-H", "Content-Type: application/json",
                 f"{self.ac}/api/http-teleport/get-task?agentId=1_abcdef&agentVersion=2.0.0"],
                capture_output=True, check=True)
            urls.append(json.loads(got.stdout)["data"])
        start, cpu = time.monotonic(), children_s()
        for task in urls:
            subprocess.run(["sh", "-c", 'curl -sSf -H "X-Mock-Task: $1" "$2" | gzip -3 > /dev/null', "sh",
                            task["requestHeaders"]["X-Mock-Task"], task["url"]], check=True)
        seconds, used = time.monotonic() - start, children_s() - cpu
        return {"tasks_per_s": tasks / seconds, "cpu_us": used / tasks * 1e6}


def children_s():
    import resource
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
