"""Faults of a soak, drawn by a seed: on every process of the agent, and on both servers."""
import collections
import contextlib
import functools
import heapq
import itertools
import os
import random
import select
import signal
import subprocess
import time

from fault_tools import PROGRAMS, Toll

AC_CALLS = ["get-task", "put-result", "upload-result", "upload-url", "store"]
STOPS_S = [0.1, 0.4, 1.0, 2.0, 3.5, 5.5, 8.0]
STRETCH_MEAN_S = 4.0  # between the servers' faults, when they are alone: tasks are to go through


SERVERS = ("AC", "tool")


class Faults:
    """step() does what is due, on the servers alone after servers_only(); the rest is for the books. The first ones are on each
    program and both servers: none is left to chance."""

    def __init__(self, seed, agent, mock, say, mean_s=1.6):
        self.random = random.Random(f"faults-{seed}")
        self.agent, self.mock, self.say = agent, mock, say
        self.mean_s = mean_s
        self.due = 0.0
        self.later = []
        self.order = itertools.count()
        self.counts = {}
        self.met = collections.Counter()  # faults by program and server
        self.toll = Toll()  # of executors
        self.died = {name: {} for name in PROGRAMS}  # by pid, from when to when it may have been: by these faults
        self.standing = {}  # by pid: since when it is stopped
        self.cuts = []  # times in which AC's connections were cut
        self.drained = 0  # executors that were told to end
        self.outages = []  # of the tools: tasks handed out by their begin, and by their end
        self.kinds = [(self.kill, 26), (self.stop, 26), (self.terminate, 12), (self.ac_fault, 22), (self.tool_fault, 12),
                      (self.ac_down, 5), (self.tool_down, 5), (self.servers_stop, 4), (self.all_killed, 2),
                      (self.agent_killed, 1), (self.agent_restarted, 2), (self.agent_stopped, 2)]
        single = [self.kill, self.stop, self.terminate]
        self.first = [functools.partial(self.random.choice(single), role) for role in PROGRAMS] + self.one_of_each_server()
        self.random.shuffle(self.first)

    def one_of_each_server(self):
        return [self.random.choice([self.ac_fault, self.ac_down]), self.random.choice([self.tool_fault, self.tool_down])]

    def servers_only(self):
        """From now on, as if begun anew."""
        of_servers = self.of_servers()
        self.kinds = [(function, weight) for function, weight in self.kinds if function in of_servers]
        self.first, self.due, self.mean_s = self.one_of_each_server(), 0.0, STRETCH_MEAN_S

    def of_servers(self):
        return [self.ac_fault, self.tool_fault, self.ac_down, self.tool_down, self.servers_stop]

    # The clock

    def step(self, now):
        self.restart_agent()
        while self.later and self.later[0][0] <= now:
            heapq.heappop(self.later)[2]()
        if now >= self.due:
            functions, weights = zip(*self.kinds)
            function = self.first[0] if self.first else self.random.choices(functions, weights)[0]
            met = self.met.total()
            if not (self.deaf() and function in self.of_servers()):
                function()
            if self.first and self.met.total() > met:  # it has met somebody
                self.first.pop(0)
            self.due = now + self.random.expovariate(1 / self.mean_s)

    def after(self, seconds, function):
        heapq.heappush(self.later, (time.monotonic() + seconds, next(self.order), function))

    def ended(self):
        """Begins no more; what is stopped or down goes on when its time comes. True when all does."""
        self.due = float("inf")
        self.step(time.monotonic())
        return not self.later and not self.deaf()

    def deaf(self):
        """The mock cannot be spoken to just now: its process is stopped, or the port of its controls is down."""
        return time.monotonic() < self.mock.deaf_until

    def no_faults(self):
        if self.deaf():
            self.after(0.2, self.no_faults)
        else:
            self.mock.config(faults=[])

    def note(self, what, detail="", met=()):
        self.counts[what] = self.counts.get(what, 0) + 1
        self.met.update(met)
        self.say(f"{what} {detail}".rstrip())

    def outage_over(self, handed):
        """The mock can be spoken to again."""
        for outage in self.outages:
            outage[1] = outage[1] or handed

    # Single processes

    def victim(self, *roles):
        role = self.random.choice(roles or ("broker", "fetcher", "executor", "executor", "uploader"))
        pids = self.agent.pids(role)
        return (role, self.random.choice(pids)) if pids else (role, None)

    def has_died(self, role, pid, since):
        if pid in self.died[role]:
            return
        self.died[role][pid] = (min(since, self.standing.get(pid, since)), time.monotonic())
        if role == "executor":
            self.toll.lost_executor(pid)

    def kill(self, *roles):
        role, pid = self.victim(*roles)
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.has_died(role, pid, time.monotonic())
            self.note(f"kill -9 {role}", met=[role])

    def terminate(self, *roles):
        role, pid = self.victim(*roles)
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
            self.drained += role == "executor"
            self.note(f"SIGTERM {role}", met=[role])

    def stop(self, *roles):
        role, pid = self.victim(*roles)
        if pid is None:
            return
        seconds = self.random.choice(STOPS_S)
        self.stop_pid(pid, seconds, f"STOP {role}", role, [role])

    def stop_pid(self, pid, seconds, what, role=None, met=()):
        begun = time.monotonic()
        try:
            handle = os.pidfd_open(pid)
            signal.pidfd_send_signal(handle, signal.SIGSTOP)
        except ProcessLookupError:
            return
        self.note(what, f"for {seconds} s", met)
        self.standing.setdefault(pid, begun)

        def go_on():
            self.standing.pop(pid, None)
            if role in ("fetcher", "uploader") and select.select([handle], [], [], 0)[0]:
                self.has_died(role, pid, begun)  # by its own switch; perhaps nobody else has seen it
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGCONT)
            os.close(handle)
        self.after(seconds, go_on)

    # The whole agent

    def all_killed(self):
        """As a machine that loses its power does it."""
        for pid, role in [(self.agent.run.pid, None), *((pid, role) for role in PROGRAMS for pid in self.agent.pids(role))]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                if role:
                    self.has_died(role, pid, time.monotonic())
        self.note("kill -9 of all", met=PROGRAMS)

    def agent_killed(self):
        """Its programs end in order without it; but it is started again at once, and others take their places."""
        for role in ("executor", "uploader"):
            for pid in self.agent.pids(role):
                self.has_died(role, pid, time.monotonic())
        self.agent.run.kill()
        self.note("kill -9 sluice run")

    def agent_restarted(self):
        self.drained += len(self.agent.pids("executor"))
        self.agent.run.terminate()
        self.note("SIGTERM sluice run")

    def agent_stopped(self):
        self.stop_pid(self.agent.run.pid, self.random.choice(STOPS_S), "STOP sluice run")

    def restart_agent(self):
        if self.agent.run.poll() is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.agent.run.wait(0)
            self.agent.start()

    # The servers

    def rules(self, calls):
        made = []
        for call in self.random.sample(calls, self.random.randint(1, len(calls))):
            kinds = ["500", "503", "504", "429conc", "429rate:{p}:1", "429retry:{p}:1", "reset", "half", "stall:{p}:1500",
                     "delay:{p}:700"]
            if call in ("get-task", "upload-url"):  # elsewhere a 200 means accepted, whatever its body
                kinds.append("garbage")
            if call != "get-task":
                kinds.append("reset_after")
            if call == "store":
                kinds = ["500", "503", "reset", "half", "stall:{p}:1500"]
            if call == "tool":
                kinds = ["500", "503", "reset", "reset_after", "half", "stall:{p}:1500", "delay:{p}:700", "429retry:{p}:1"]
            kind = self.random.choice(kinds)
            chance = self.random.choice([0.05, 0.3, 1])
            made.append(f"{call}:" + (kind.format(p=chance) if "{p}" in kind else f"{kind}:{chance}"))
        return made

    def server_fault(self, server, calls):
        seconds = self.random.choice([0.5, 1.5, 3.0])
        rules = self.rules(calls)
        self.mock.config(faults=rules)
        self.note(f"{server} faults", f"for {seconds} s: {' '.join(rules)}", [server])
        self.after(seconds, self.no_faults)

    def ac_fault(self):
        self.server_fault("AC", AC_CALLS)

    def tool_fault(self):
        self.server_fault("tool", ["tool"])

    def ac_down(self):
        seconds = self.random.choice([0.5, 2.0, 4.0])
        self.cuts.append((time.monotonic(), time.monotonic() + seconds))
        self.mock.config(acDownMs=int(seconds * 1000))
        self.note("AC down", f"for {seconds} s", ["AC"])

    def tool_down(self):
        seconds = self.random.choice([0.5, 2.0, 4.0])
        handed = self.mock.books()["handed"]
        self.mock.config(toolDownMs=int(seconds * 1000))
        self.mock.deaf_until = time.monotonic() + seconds + 0.2  # its controls live on the same port
        self.outages.append([handed, None])
        self.note("tool down", f"for {seconds} s", ["tool"])

    def servers_stop(self):
        seconds = self.random.choice(STOPS_S[:-1])
        self.mock.deaf_until = time.monotonic() + seconds + 0.2
        self.stop_pid(self.mock.process.pid, seconds, "STOP both servers", met=SERVERS)
