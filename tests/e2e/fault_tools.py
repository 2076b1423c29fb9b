"""What the tests of faults share: many agents side by side, and the books of a run in which processes were killed."""
import collections
import concurrent.futures
import contextlib
import os
import re
import signal
import time

from agent import FAST, TimeOut, World, until

PROGRAMS = ("broker", "fetcher", "executor", "uploader")
MIX = {"methods": "GET,POST,PUT,PATCH", "toolDelayMs": "0-40", "bodyBytes": "100-4000"}


def side_by_side(run, cases, at_once=8):
    """run(world, case) for every case, each with an agent of its own; tells of all that failed."""
    def one(case):
        world = World()
        failed = True
        try:
            result = run(world, case)
            failed = False
            return result
        except Exception as error:
            print(f"=== {case}: {error}")
            raise AssertionError(f"{case}: {error}") from error
        finally:
            world.close(failed)
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        futures = [pool.submit(one, case) for case in cases]
    errors = [str(future.exception()) for future in futures if future.exception()]
    assert not errors, f"{len(errors)} of {len(cases)} failed:\n" + "\n".join(errors)
    return [future.result() for future in futures]


_OF_EXECUTORS = re.compile("sluice-broker event=(?:" + "|".join((
    "(?P<start>journal_opened)",
    r"worker_joined name=(?P<name>executor\S*) session=(?P<joined>\d+) .*pid=(?P<pid>\d+)",
    r"worker_gone name=(?P<gone>executor\S*) session=(?P<silent>\d+) .*why=\"nothing was heard from it\"",
    r"task_\w+ .*why=\"(?P<away>its executor did not come back)\"")) + ")")


def given_up(log_text):
    """Executors, by pid, that the broker took for dead, each as often as it did: it heard nothing from one for long, or began
    anew and one that lived came back only after its time. One that has said HELLO twice has a session that nothing tells of
    but its end: it goes by its name."""
    pids, former, away, found = {}, set(), False, collections.Counter()
    for line in _OF_EXECUTORS.finditer(log_text):
        if line["start"]:
            former, away = set(pids.values()), False
        elif line["silent"]:
            found[pids.get(line["silent"], pids.get(line["gone"]))] += 1
        elif line["away"]:
            away = True
        else:
            pids[line["joined"]] = pids[line["name"]] = line["pid"]
            if away and line["pid"] in former:
                found[line["pid"]] += 1
            former.discard(line["pid"])
    return found


class Toll(collections.Counter):
    """How often each program was killed, and what that may cost (docs/FAULTS.md and README, "What is promised"). An executor
    that stood still or was cut off for longer than a session lasts counts as killed: what it ran is given up. What AC does
    counts as "unread" (answers to polls that did not come through whole) and "unheard" (the same of uploads)."""

    def __init__(self, *counts):
        super().__init__(*counts)
        self.switched = collections.Counter()
        self.gone = collections.Counter()  # executors by pid whose loss is counted
        self.slots = 0

    def lost_executor(self, pid):
        """The test has killed it, stopped it or cut it off: that the broker says so too is not counted again."""
        self["executor"] += 1
        self.gone[str(pid)] += 1

    def count_switched(self, agent):
        """Adds those that nobody killed. On a machine so busy that the holder of a credit stands still for the time of its
        lease, its own switch ends it; an executor that does is taken for dead. The log tells."""
        self.slots = agent.slots()
        for name in ("fetcher", "uploader"):
            ended = len(re.findall(f"event=program_killed program=sluice-{name} .*signal=9", agent.log_text()))
            if agent.kept:
                ended += agent.kept.toll[name]
            unasked = max(0, ended - agent.kills[name])
            self[name] += max(0, unasked - self.switched[name])
            self.switched[name] = max(unasked, self.switched[name])
        polls = len(re.findall("event=poll_aborted .*task_may_be_lost=1", agent.log_text()))
        self["poll"] = max(polls, self["poll"])  # a holder that got to renew its credit too late
        posts = len(re.findall("event=upload_failed .*aborted: the credit", agent.log_text()))
        posts = max(posts, len(re.findall("event=ac_call_aborted call=(?:put|upload).*aborted: the credit", agent.log_text())))
        self["post"] = max(posts, self["post"])
        unasked = given_up(agent.log_text()) - self.gone
        self["executor"] += sum(unasked.values())
        self.gone += unasked

    def check_starts(self, agent):
        """No program was started but by `sluice run` at first, and in the place of one that its switch had ended."""
        started = agent.log_text().count("event=program_started")
        assert started == len(PROGRAMS) + self.switched.total(), "a program ended"

    def most_unread(self):
        """Tasks that AC had handed out and the broker never got: the one in the answer that the fetcher was being given when
        it died. What it has read outlives it in its window, but not the machine: eight more. (Tasks over 64 KiB, which are
        in memory alone, no test has that kills a fetcher.) A poll that is aborted may have had a task in its answer."""
        return self["fetcher"] + 8 * min(self["machine"], self["fetcher"]) + self["poll"] + self["unread"]

    def most_doubled_results(self):
        """What AC is just being given when an uploader dies: one for each credit. What AC has answered is noted, and told by
        the next uploader; only the end of the machine takes the notes, of eight at most. Of a request that is aborted nobody
        knows whether AC took it."""
        return 2 * self["uploader"] + 8 * min(self["machine"], self["uploader"]) + self["post"] + self["unheard"]

    def most_redone(self):
        """Tasks that were begun and gave no result: what runs in a lost executor, one in each slot. GET and the like are done
        again, of others the outcome is unknown. No other program's end costs any, nor the machine's."""
        return self.slots * self["executor"]


def is_idle(agent):
    """Nothing is on its way, and a fetcher is there that has told of what it had."""
    status = agent.try_status()
    if not status or "fetcher" not in {worker["role"] for worker in status["workers"]}:
        return False
    tasks, results = status["tasks"], status["results"]
    return not any((tasks["ready"], tasks["running"], results["waiting"], results["uploading"]))


def settle(agent, mock, total, toll, deadline=90):
    """Waits until every task of the total has its end (a result at AC, or a booked loss), all programs are there and the
    broker has nothing left, so that what is delivered a second time is in the books. Returns them."""
    await_ends(agent, mock, total, toll, deadline)
    agent.joined("fetcher", "executor", "uploader")
    until(lambda: is_idle(agent), "an agent with nothing left to do", deadline)
    toll.count_switched(agent)
    return mock.books()


POLLS = 2  # what the fetcher has read before it polls again is on its way to the broker, and there before it has polled twice


def await_ends(agent, mock, total, toll, deadline):
    end, quiet = time.monotonic() + deadline, None
    while True:
        toll.count_switched(agent)
        books = mock.books()
        if books["delivered"] + books["handed_to_dead"] >= total and books["tasks_total"] >= total:
            return books
        if toll.most_unread() == 0 or books["waiting"] > 0 or not is_idle(agent):
            quiet = None
        elif not quiet or books["delivered"] > quiet["delivered"]:
            quiet = books
        elif books["ac_get_task"] >= quiet["ac_get_task"] + POLLS:
            return books
        if time.monotonic() > end:
            raise TimeOut(f"only {books['delivered']} of {total} tasks were delivered in {deadline} s")
        time.sleep(0.1)


def one_by_one(world, request, drain_timeout):
    """The body of a fixture: the programs without `sluice run`, and an AC with no tasks yet."""
    mock = world.start_mock("--tasks", 0, "--longPollMs", "300-600")
    agent = world.make_agent(*FAST, "--drainTimeout", drain_timeout)
    started = agent.keep(*PROGRAMS)
    agent.joined("fetcher", "executor", "uploader")
    yield mock, agent, started
    if not getattr(request.node, "failed", True):
        agent.kill_programs()


def redone(books):
    """Tasks that were begun and gave no result: done again, or given up."""
    twice = min(books["duplicates"], books["outcome_unknown"] // 2)  # delivered twice, it is in the books twice
    return books["reexecuted_safe"] + books["outcome_unknown"] - twice


def check_toll(books, total, toll, in_flight=2):
    """No result lost, no POST twice, never a third AC request, and no more cost than the kills explain."""
    missing = total - books["delivered"]
    assert books["wrong"] == 0, books["wrong_reasons"]
    assert books["reexecuted_unsafe"] == 0
    assert books["ac_max_in_flight"] <= in_flight and books["ac_too_many"] == 0
    assert missing <= toll.most_unread(), f"{missing} tasks are gone, {toll.most_unread()} can be explained"
    assert missing == books["handed_to_dead"] + books["lost"]
    assert books["duplicates"] <= toll.most_doubled_results()
    assert redone(books) <= toll.most_redone(), \
        f"{redone(books)} tasks were done again or given up, {toll.most_redone()} can be explained"


def kill_all(agent):
    """A power cut: every process of the agent ends at once, the one that would restart them first. Returns how many of each
    program were there."""
    os.kill(agent.run.pid, signal.SIGSTOP)
    there = {name: agent.pids(name) for name in PROGRAMS}
    children = [pid for name in PROGRAMS for pid in there[name]]
    for pid in [*children, agent.run.pid]:  # which, dying first, would have the others end in order
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    agent.run.wait()
    until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in children), "the end of all processes")
    return {name: len(pids) for name, pids in there.items()}


def stop_broker_as_tasks_come(mock, agent, happened, count=2):
    """The broker stands still from before the fetcher gets tasks until happened(); returns its pid, still stopped. (A poll
    may end just when the broker is stopped; then there is no credit for another, and it is tried again, once all is done.)"""
    for _ in range(20):
        mock.wait("ac_polls_waiting>=1")
        broker = agent.kill("broker", signal.SIGSTOP)
        mock.add(count=count, methods="GET,POST")
        with contextlib.suppress(TimeOut):
            until(happened, "it", 2)
            return broker
        os.kill(broker, signal.SIGCONT)
        mock.wait(f"delivered>={mock.books()['tasks_total']}")
    raise TimeOut("nothing came while the broker stood still")


__all__ = ["FAST", "MIX", "PROGRAMS", "Toll", "check_toll", "given_up", "is_idle", "kill_all", "one_by_one", "redone", "settle",
           "side_by_side", "stop_broker_as_tasks_come"]
