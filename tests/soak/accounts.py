"""The books of a soak: what AC saw, what the agent left behind, and whether each promise held."""
import datetime
import re
import time

from fault_tools import PROGRAMS, redone
from faults import SERVERS
from measure import RUNNING

# What a settled process may take more at the end than a fresh one at the start: buffers and caches, not a leak.
MEMORY_KB = 10 * 1024
DESCRIPTORS = 4
# And than itself, settled, when the stretch without kills began: what is left of a heap that has been larger.
STRETCH_KB = 1536
STRETCH_DESCRIPTORS = 0
JOURNAL_BYTES = 64 * 1024
# That are kept for the next request (http_new() in each program): none to tools; a broker has none here, where all are on
# one machine.
CONNECTIONS = {"broker": 0, "fetcher": 2, "executor": 0, "uploader": 4}
HISTORY_ROWS = 10_000 + 256  # what goes, goes in portions
# Free pages that the file may keep over a start of the broker, or else as many as are in use (broker/journal_open.c).
JOURNAL_UNUSED = 8 * 1024 * 1024


class Accounts:
    def __init__(self):
        self.rows, self.failures = [], []

    def row(self, what, value, must="", good=True):
        self.rows.append((what, value, must, good))
        if not good:
            self.failures.append(f"{what}: {value}, {must}")

    def equal(self, what, value, wanted=0):
        self.row(what, value, f"must be {wanted}", value == wanted)

    def most(self, what, value, limit):
        self.row(what, value, f"at most {limit}", value <= limit)

    def text(self):
        return "\n".join(f"  {what:<58} {value!s:>9}   {must}{'' if good else '   <-- BROKEN'}"
                         for what, value, must, good in self.rows)


IN_HAND = 2  # requests of an uploader that AC may have taken when it dies
SLACK_S = 1.5  # between what the mock books, what the soak sees and what the log says
SUPERVISED_S = 10.0  # what `sluice run`, which may itself have been stopped, takes at most to see a death

_DEATHS = re.compile(r"^(\S+)Z \w+ \S+ event=(?:program_killed program=sluice-(?P<role>\w+) pid=(?P<pid>\d+) |"
                     r"poll_aborted count=\d+ elapsed_ms=(?P<elapsed>\d+) .*task_may_be_lost=1)", re.M)


class Explained:
    """What the faults of the run, and the log's word on those that nobody asked for, explain."""

    def __init__(self, agent, faults, books, kinds):
        log, died = agent.log_text(), faults.died
        self.polls = list(faults.cuts)  # when a fetcher or its connection died: each may have cost a task
        wall_s = time.time() - time.monotonic()
        for line in _DEATHS.finditer(log):
            at = datetime.datetime.fromisoformat(line[1] + "+00:00").timestamp() - wall_s
            if line["elapsed"]:
                self.polls.append((at - int(line["elapsed"]) / 1000, at))
            elif int(line["pid"]) not in died[line["role"]]:
                died[line["role"]][int(line["pid"])] = (at - SUPERVISED_S, at)
                if line["role"] == "executor":
                    faults.toll.lost_executor(line["pid"])
        self.polls += died["fetcher"].values()
        faults.toll.count_switched(agent)
        self.doubled = IN_HAND * len(died["uploader"]) + books["unanswered"]
        self.redone = self._redone(log, faults)
        self.errors = self._errors(books, kinds, faults.outages)

    def _redone(self, log, faults):
        """Tasks done again or of unknown outcome: as many as a lost executor has slots. One that is told to end gives up what
        runs past its drain's time, and what no broker takes from it; the log says how much."""
        self.slots = max([10, *map(int, re.findall("sluice-executor event=config slots=(\\d+)", log))])
        given_up = log.count('why="its executor gave it back"') + log.count("outcome unknown: executor stopped during")
        left = sum(map(int, re.findall("sluice-executor event=drain_incomplete held=(\\d+)", log)))
        return self.slots * faults.toll["executor"] + min(given_up + left, self.slots * faults.drained)

    def _errors(self, books, kinds, outages):
        """The agent's errors: of tasks that are made for them, of requests that met a fault, and of what the executors had or
        got while no tool could be reached."""
        made = sum(kinds.get(kind, 0) for kind in ("unreachable", "not_a_request", "expiring"))
        met = sum(books["faults"].get("tool:" + kind, 0) for kind in ("reset", "reset_after", "half", "stall", "garbage"))
        with_executors = 2 * 2 * self.slots  # two of them; the lookahead is as much again
        return made + met + sum(end - begin + with_executors for begin, end in outages)


def explain_lost(outstanding, polls):
    """Each task without a result must be one that AC handed to a fetcher, or a connection, that just died, each to another.
    Returns those that are, and those that are not."""
    explained, lost, free = [], [], sorted(polls, key=lambda poll: poll[1])
    for task in sorted(outstanding, key=lambda task: task["handed_at_us"]):
        at = task["handed_at_us"] / 1e6
        death = next((poll for poll in free if poll[0] - SLACK_S <= at <= poll[1] + SLACK_S), None)
        if death and not task["times_executed"]:
            free.remove(death)
            explained.append(task)
        else:
            lost.append(task)
    return explained, lost


def tasks_and_requests(accounts, books, outstanding, may, seconds):
    """`may`: Explained."""
    explained, lost = explain_lost(outstanding, may.polls)
    accounts.row("tasks handed out", books["handed"])
    accounts.row("delivered once", books["delivered"] - books["duplicates"])
    accounts.most("delivered twice (an uploader killed, an answer lost)", books["duplicates"], may.doubled)
    accounts.row("handed to a connection or fetcher that died", len(explained), f"each to another of {len(may.polls)}")
    accounts.equal("lost", len(lost))
    accounts.equal("not handed out", books["waiting"])
    accounts.equal("wrong results or requests", books["wrong"])
    accounts.equal("POST, PATCH run twice", books["reexecuted_unsafe"])
    accounts.row("GET, PUT, ... repeated to a tool that failed", books["reexecuted_faulted"])
    accounts.row("GET, PUT, ... run again (executor lost)", books["reexecuted_safe"] - books["reexecuted_faulted"])
    accounts.row("outcome unknown (executor lost during POST)", books["outcome_unknown"])
    accounts.most("both together", redone(books) - books["reexecuted_faulted"], may.redone)
    accounts.most("agent's errors (of tools, expiry)", books["error_results"] - books["outcome_unknown"],
                  may.errors + books["duplicates"])
    accounts.most("AC requests in flight", books["ac_max_in_flight"], 2)
    accounts.equal("refused by AC as too many", books["ac_too_many"])
    accounts.equal("breaches of AC's contract", books["protocol_errors"])
    accounts.row("AC requests", books["ac_requests"])
    accounts.row("tasks per second, faults and all", round(books["delivered"] / max(seconds, 1), 1))
    return lost


def what_is_left(accounts, start, end):
    """`start` and `end`: of an idle agent, {"processes": ..., "journal": ..., "spool": [...], "runtime": [...]}."""
    for role, values in end["processes"].items():
        first = start["processes"][role]
        accounts.most(f"{role}: own memory in KiB, fresh it was {first['own_kb']}", values["own_kb"],
                      first["own_kb"] + MEMORY_KB)
        accounts.most(f"{role}: descriptors, were {first['fds']}", values["fds"], first["fds"] + DESCRIPTORS)
    accounts.equal("bodies in the spool", len(end["spool"]))
    accounts.most(f"workers' sockets in the runtime directory, were {start['runtime']}", end["runtime"], start["runtime"])
    accounts.equal("tasks in the journal", end["journal"]["rows"]["task"])
    accounts.most(f"journal in use, octets, was {start['journal']['used_bytes']}", end["journal"]["used_bytes"],
                  start["journal"]["used_bytes"] + JOURNAL_BYTES)
    accounts.most("tasks in the history", end["journal"]["rows"]["history"], HISTORY_ROWS)
    accounts.row("journal file, octets", end["journal"]["file_bytes"])
    accounts.most("free pages of it after a start of the broker, octets", end["journal"]["free_bytes"],
                  max(end["journal"]["used_bytes"] + end["journal"]["history_bytes"], JOURNAL_UNUSED))
    accounts.equal("journal's write-ahead log after the end, octets", end["journal"]["wal_bytes"])
    accounts.equal("buried", end["buried"])


def of_the_stretch(accounts, begin, end, tasks):
    """`begin` and `end`: measure.of_each() of an idle agent, before and after a stretch in which only the servers failed."""
    accounts.row("tasks of the stretch in which only servers failed", tasks)
    accounts.equal("processes measured in it", len(begin), len(RUNNING))
    for (role, pid), first in begin.items():
        values = end.get((role, pid))
        if not values:
            accounts.row(f"{role} {pid}: of the stretch", "gone", "must be there at its end", False)
            continue
        accounts.most(f"{role} {pid}: own memory in KiB, was {first['own_kb']}", values["own_kb"], first["own_kb"] + STRETCH_KB)
        accounts.most(f"{role} {pid}: descriptors, were {first['fds']}", values["fds"], first["fds"] + STRETCH_DESCRIPTORS)
        accounts.most(f"{role} {pid}: connections, were {first['connections']}", values["connections"], CONNECTIONS[role])


def who_met_a_fault(accounts, met):
    for name in (*PROGRAMS, *SERVERS):
        accounts.row(f"{name}: faults met", met[name], "at least 1", met[name] >= 1)
