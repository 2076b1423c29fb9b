"""The floor: the same requests as the agent makes, by a bare curl_multi loop, one process a round, with a mock AC of its own;
for large bodies `curl | gzip`."""
import json
import os
import select
import statistics
import subprocess
import time

from measure import Side, e2e
from processes import memory_kb

PIPE_LOOK_S = 0.02  # between two looks at the memory of `curl | gzip`


class FloorSide(Side):
    def __init__(self, case, build, folder):
        # Where tasks come one at a time it has to wait for them as the agent does.
        super().__init__(case, build, folder, long_poll=bool(case.apart_ms))
        self.key, self.told = e2e.KEY, []

    def words(self, tasks, warm):
        words = [self.build / "tests/bench/bench-floor", "--ac", self.ac, "--key", self.key, "--slots",
                 self.case.slots * self.case.executors, "--tasks", tasks + warm, "--warm", warm]
        if self.case.tls:
            words += ["--ca", self.authority.certificate]
        return [str(word) for word in words]

    def run(self, tasks):
        """Works off so many tasks, after a twentieth more to warm up; what each cost."""
        told = self.pipe(tasks) if self.case.large else self.loop(tasks, max(1, tasks // 20))
        self.told.append(told)
        return {key: told[key] for key in ("tasks_per_s", "cpu_us")}

    def loop(self, tasks, warm):
        connections = self.mock.books()["ac_connections_opened"]
        if not self.case.apart_ms:
            self.add(tasks + warm)
        process = subprocess.Popen(self.words(tasks, warm), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            if self.case.apart_ms:
                self.mock.wait("ac_polls_waiting>=1")
                self.add_apart(tasks + warm)
            out, error = process.communicate(timeout=900)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if process.returncode != 0:
            raise RuntimeError(f"{self.case.name}: {error.strip()}")
        told = json.loads(out)
        self.done += tasks + warm
        books = self.check()
        return {"tasks_per_s": told["tasks"] / told["seconds"],
                "cpu_us": (told["user_s"] + told["system_s"]) / told["tasks"] * 1e6, "pss_kb": told["pss_kb"],
                "ac_connections": books["ac_connections_opened"] - connections}

    def check(self):
        """That its requests were those of the tasks. The outputs of its results are made up, so the mock takes each of them for
        wrong, but nothing else."""
        books = self.mock.books()
        reasons = [reason for reason in books["wrong_reasons"] if "at the tool" in reason]
        for key in ("delivered", "tool_requests", "wrong"):
            if books[key] != self.done:
                raise RuntimeError(f"{self.case.name}: the floor has done other work than the agent: {key} {books[key]} of"
                                   f" {self.done} tasks; {'; '.join(reasons[:3])}")
        return books

    def pipe(self, tasks):
        """The bodies of so many tasks through `curl | gzip`, at the agent's level, one after the other."""
        self.add(tasks)
        seconds = cpu = most = 0
        for _ in range(tasks):
            task = self.fetch()
            start = time.monotonic()
            curl = subprocess.Popen(["curl", "-sSf", "-H", f"X-Mock-Task: {task['requestHeaders']['X-Mock-Task']}",
                                     task["url"]], stdout=subprocess.PIPE)
            gzip = subprocess.Popen(["gzip", "-3"], stdin=curl.stdout, stdout=subprocess.DEVNULL)
            curl.stdout.close()
            used, memory = follow(curl, gzip)
            seconds, cpu, most = seconds + time.monotonic() - start, cpu + used, max(most, memory)
        return {"tasks_per_s": tasks / seconds, "cpu_us": cpu / tasks * 1e6, "pss_kb": most}

    def fetch(self):
        got = subprocess.run(
            ["curl", "-sSf", "-H", f"Authorization: Bearer {self.key}", "-H", "Content-Type: application/json",
             f"{self.ac}/api/http-teleport/get-task?agentId=1_abcdef&agentVersion=2.0.0"],
            capture_output=True, check=True)
        return json.loads(got.stdout)["data"]

    def report(self):
        """What is known at the end only. Each round is a process with connections of its own: those of one."""
        result = {"pss_kb": statistics.median(told["pss_kb"] for told in self.told)}
        if not self.case.large:
            books = self.mock.books()
            result |= {"ac_connections": statistics.median(told["ac_connections"] for told in self.told),
                       "hand_to_tool_us": books["hand_to_tool_us"], "tool_to_result_us": books["tool_to_result_us"]}
        return result


def follow(curl, gzip):
    """Waits for both; their CPU time in seconds, and the most memory (PSS) that they had together."""
    cpu, most, end = 0.0, 0, os.pidfd_open(gzip.pid)
    try:
        while not select.select([end], [], [], PIPE_LOOK_S)[0]:
            most = max(most, memory_kb(curl.pid) + memory_kb(gzip.pid))
    finally:
        os.close(end)
    for process in (curl, gzip):
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        cpu += usage.ru_utime + usage.ru_stime
        if process.returncode != 0:
            raise RuntimeError(f"{process.args[0]} ended with {process.returncode}")
    return cpu, most
