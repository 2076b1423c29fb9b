#!/usr/bin/env python3
"""A soak: an agent under mixed tasks and random faults for some minutes, and the books at its end.

    /usr/bin/python3 tests/soak/soak.py --minutes 10 --seed 7

The exit status is 0 only if every promise held. See scripts/soak.
"""
import argparse
import contextlib
import math
import os
import pathlib
import random
import re
import shutil
import sys
import tempfile
import time

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "e2e"))
os.environ.setdefault("SLUICE_BUILD", str(TESTS.parent / "build/release"))

import accounts as accounting
import measure
from agent import Agent, Mock, TimeOut, until
from faults import Faults
from load import Load
from ports import find_port

WARM_TASKS = 200
WAITING = 150  # tasks AC keeps ready
RATE = 150     # tasks a second at most: mixed ones, a few of them large
LEAST_MINUTES = 0.5
STRETCH = 1 / 3   # of the time, at the end: faults on the servers alone; the processes live on, so that what leaks is seen
STRETCHES = 3     # at most
WARM_S = 20       # before it; the time until then is the storm's: faults on everything
STORM = 0.4       # of the time, at least
STRETCH_TASKS = 1000  # at least: a leak of 2 KiB in each is more than accounts.STRETCH_KB
SETTLE_S = 240.0


class Soak:
    def __init__(self, minutes, seed, folder):
        self.minutes, self.seed, self.folder = minutes, seed, folder
        self.began = time.monotonic()
        self.live = sys.stdout.isatty()
        port = find_port()
        self.mock = Mock(folder, "--port", port, "--toolPort", port + 1, "--longPollMs", "1000-3000",
                         "--acDelayMs", 1, "--seed", seed, "--record", 0)
        self.mock.deaf_until = 0.0
        self.agent = Agent(folder, self.mock, "--executors", 2, "--executorPoolSize", 10, "--rateLimitPerMin", 1000000,
                           "--drainTimeout", 6)
        # The heap's end goes back to the kernel, however large what was there: glibc would keep up to some MB of it, as it
        # comes, and what leaks would have to be more than that to be seen.
        self.agent.environment = {"MALLOC_TRIM_THRESHOLD_": "131072", "MALLOC_MMAP_THRESHOLD_": "131072"}
        self.load = Load(seed)
        self.events = open(folder / "faults.log", "w", buffering=1)
        self.faults = Faults(seed, self.agent, self.mock, self.say)
        self.books = {}
        self.look()
        self.added_at, self.shown_at = time.monotonic(), 0.0
        self.peak, self.peak_due = {}, 0.0

    # Telling

    def say(self, text):
        self.events.write(f"{time.monotonic() - self.began:8.2f} {text}\n")

    def show(self, phase, every_s=10.0):
        now = time.monotonic()
        if now - self.shown_at < (0.5 if self.live else every_s):
            return
        self.shown_at = now
        b = self.books
        line = (f"{now - self.began:5.0f} s {phase:<9} handed {b['handed']}  delivered {b['delivered']}  "
                f"twice {b['duplicates']}  AC in flight {b['ac_in_flight']} (most {b['ac_max_in_flight']})  "
                f"wrong {b['wrong']}  faults {sum(self.faults.counts.values())}")
        print(f"\r\033[K{line}" if self.live else line, end="" if self.live else "\n", flush=True)

    # Running

    def look(self):
        if not self.faults.deaf():
            self.books = self.mock.books()
            self.faults.outage_over(self.books["handed"])

    def feed(self):
        now = time.monotonic()
        room = min(WAITING - self.books["waiting"], int((now - self.added_at) * RATE))
        if room > 10 and not self.faults.deaf():
            self.mock.post("/_control/tasks", self.load.lines(room).encode())
            self.added_at = now

    def note_peak(self):
        if (now := time.monotonic()) < self.peak_due:
            return
        self.peak_due = now + 1
        for (role, _), values in measure.of_each(self.agent).items():
            self.peak[role] = max(self.peak.get(role, 0), values["own_kb"])

    def warm_up(self):
        """Every kind of task once, in health: caches fill (SQLite's 2 MB by results that are there together), and the bodies'
        ways are walked."""
        lines = [self.load.line(name) for name, _ in self.load.kind_list if name != "config"]
        lines += [self.load.line("together") for _ in range(8)] + [self.load.line("large") for _ in range(4)]
        lines += [self.load.lines(WARM_TASKS)]
        self.mock.post("/_control/tasks", "\n".join(lines).encode())
        self.settle("warm-up", 1)

    def storm(self, phase, end, tasks=0):
        """At least as many tasks, and until each has met a fault that is to."""
        next_look, enough = 0.0, self.books["handed"] + tasks
        while (now := time.monotonic()) < end or self.faults.first or self.books["handed"] < enough:
            if now > end + SETTLE_S:
                raise TimeOut(f"{phase}: {self.books['handed']} of {enough} tasks, {len(self.faults.first)} faults to come")
            self.faults.step(now)
            if now >= next_look:
                next_look = now + 0.25
                self.look()
                self.feed()
                self.show(phase)
            self.note_peak()
            time.sleep(0.02)
        until(lambda: self.faults.ended(), "the end of the faults")

    def stretch(self):
        """Of processes that nobody kills, from an idle agent with its caches full to an idle agent. Once more when the switch
        of a process has ended it, on a machine that starves."""
        for _ in range(STRETCHES):
            self.warm_up()
            begin, handed = measure.at_rest(self.agent), self.books["handed"]
            self.faults.servers_only()
            self.storm("servers", time.monotonic() + self.minutes * 60 * STRETCH, STRETCH_TASKS)
            self.settle()
            end = measure.at_rest(self.agent)
            if not any(self.ended_by_its_switch(*key) for key in begin.keys() - end.keys()):
                break
        return begin, end, self.books["handed"] - handed

    def ended_by_its_switch(self, role, pid):
        return re.search(f"event=program_killed program=sluice-{role} pid={pid} signal=9 .*switch", self.agent.log_text())

    def empty(self, phase):
        self.faults.restart_agent()
        self.look()
        self.show(phase)
        self.note_peak()
        if self.books["waiting"]:
            return False
        status = self.try_status()
        if not status or sorted(["broker", *(w["role"] for w in status["workers"])]) != sorted(measure.RUNNING):
            return False
        busy = sum(status["tasks"][key] for key in ("ready", "pushed", "running") if key in status["tasks"])
        busy += status["results"]["waiting"] + status["results"]["uploading"] + status["spool"]["bytes"]
        return busy == 0 and self.books["ac_polls_waiting"] > 0 and status

    def try_status(self):
        """None while the broker does not answer; perhaps it has to be started again by who asks."""
        with contextlib.suppress(TimeOut):
            return self.agent.status_until(lambda status: True, "an answer of the broker", deadline=0)

    def settle(self, phase="settling", idle_s=3):
        """Idle for so long on end."""
        since = None

        def idle():
            nonlocal since
            if not self.empty(phase):
                since = None
                return False
            since = since or time.monotonic()
            return time.monotonic() - since > idle_s
        until(idle, "an idle agent", SETTLE_S)

    def fresh(self):
        """What an agent takes that has done nothing yet."""
        self.broker_alone()
        taken = {"journal": measure.journal(self.agent)}
        self.agent.start()
        self.settle(idle_s=0)
        return taken | {"processes": measure.of_roles(measure.of_each(self.agent)), "runtime": self.worker_sockets()}

    def worker_sockets(self):
        return sum(name.startswith("worker-") for name in measure.entries(self.agent.runtime))

    def measure(self):
        """Of the settled agent, which is then stopped."""
        status = self.agent.status_until(lambda status: True, "the broker's answer")
        taken = {"processes": measure.of_roles(measure.of_each(self.agent)), "buried": status["buried"],
                 "spool": measure.entries(self.agent.state / "spool"),
                 "runtime": self.worker_sockets()}
        self.agent.stop()
        self.broker_alone()
        taken["journal"] = measure.journal(self.agent)
        return taken

    def broker_alone(self):
        broker = self.agent.program("broker")  # whose start gives back what the file need not have
        self.agent.status_until(lambda status: True, "a broker alone")
        self.agent.stop(broker)

    def run(self):
        start = self.fresh()
        storm_began = time.monotonic()
        whole_s = self.minutes * 60
        self.storm("storm", self.began + max(STORM * whole_s, (1 - STRETCH) * whole_s - WARM_S))
        self.settle(idle_s=1)
        stretch = self.stretch()
        seconds = time.monotonic() - storm_began
        rest = self.mock.get("/_control/outstanding")["tasks"]
        self.look()
        left = self.measure()
        if self.live:
            print()
        return self.verdict(start, stretch, left, rest, seconds)

    def verdict(self, start, stretch, left, rest, seconds):
        log = self.agent.log_text()
        books = accounting.Accounts()
        may = accounting.Explained(self.agent, self.faults, self.books, self.load.kinds)
        lost = accounting.tasks_and_requests(books, self.books, rest, may, seconds)
        accounting.what_is_left(books, start, left)
        accounting.of_the_stretch(books, *stretch)
        for role in measure.ROLES:
            books.row(f"{role}: most memory of its own in KiB on the way", self.peak[role])
        accounting.who_met_a_fault(books, self.faults.met)
        crashes = [line for line in log.splitlines() if "event=program_killed" in line and
                   not any(f"signal={n}" in line for n in (9, 15))]
        books.equal("crashes", len(crashes))
        print(f"\nthe books after {time.monotonic() - self.began:.0f} s, seed {self.seed}:")
        print(books.text())
        print("  faults: " + ", ".join(f"{n} {what}" for what, n in sorted(self.faults.counts.items())))
        print("  tasks:  " + ", ".join(f"{n} {kind}" for kind, n in sorted(self.load.kinds.items())))
        for reason in self.books["wrong_reasons"] + self.books["protocol_error_texts"] + crashes:
            print("  !", reason)
        for task in lost:
            print("  ! lost:", task)
        return books.failures

    def close(self):
        self.agent.close()
        self.mock.close()
        self.events.close()


def minutes(text):
    value = float(text)
    if not math.isfinite(value) or value < LEAST_MINUTES:
        raise argparse.ArgumentTypeError(f"{text} is not {LEAST_MINUTES} or more")
    return value


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0], prog="scripts/soak")
    parser.add_argument("--minutes", type=minutes, default=10.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1, 1 << 31))
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-soak."))
    print(f"soak for {options.minutes:g} minutes, seed {options.seed}", flush=True)
    soak = None
    failures = ["it did not get to its end"]
    try:
        soak = Soak(options.minutes, options.seed, folder)
        failures = soak.run()
    finally:
        if soak:
            soak.close()
        if failures:
            print(f"\nFAILED with seed {options.seed}; all that is known is in {folder}:")
            for failure in failures:
                print("  " + failure)
        else:
            shutil.rmtree(folder)
    print("nothing lost, nothing run twice, never a third AC request, everything back at its start" if not failures
          else f"again: scripts/soak --minutes {options.minutes:g} --seed {options.seed}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
