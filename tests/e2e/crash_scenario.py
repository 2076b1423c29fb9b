"""What an agent does while the tests of crash points kill its programs: work of all kinds, the orders that people give, and
the end of each program by SIGTERM. Every step goes on when a program dies in it, and is done again by whoever finds it
undone."""
import contextlib
import os
import re
import signal
import subprocess
import time

from agent import BUILD, DEADLINE, TimeOut, until
from fault_tools import POLLS, is_idle

TASKS = 14
CREDIT_MS = 5000  # until the broker gives it on


def look(condition, what, deadline=DEADLINE):
    """For what costs a process to ask for: less often, since many scenarios go side by side."""
    return until(condition, what, deadline, pause_s=0.2)


def order(agent, obeyed, *words):
    """Until it is on disk: a broker that dies may take an order with it that it has not answered."""
    def try_it():
        subprocess.run([BUILD / "bin/sluice", *words, "--runtimeDir", agent.runtime], capture_output=True, timeout=60,
                       check=False)
        status = agent.try_status()
        return status and obeyed(status)
    look(try_it, f"what sluice {' '.join(words)} is for")


def is_paused(status):
    return "by_hand_since_ms" in status["fetch"]


def is_nothing_buried(status):
    return status["dead_letters"]["tasks"] == 0


def begin_by_hand(_, agent):
    """What the older journal brings along: its result is dropped, its pause ended."""
    order(agent, is_nothing_buried, "dead", "drop", "old")
    order(agent, lambda status: not is_paused(status), "resume")


def bury_and_revive(mock, agent):
    """AC refuses a result for good, until somebody has it tried again. (A task may die with the fetcher.)"""
    mock.config(faults=["put-result:400:1"])
    while not (status := agent.try_status()) or is_nothing_buried(status):
        mock.add(count=1, methods="GET,POST", bodyBytes="100-300")
        look(lambda: is_something_buried_or_gone(mock, agent), "a burial")
    mock.config(faults=[])
    order(agent, is_nothing_buried, "dead", "retry", "--all")


def is_something_buried_or_gone(mock, agent):
    status = agent.try_status()
    if status and not is_nothing_buried(status):
        return True
    if mock.books()["waiting"] > 0 or not is_idle(agent):
        return False
    with contextlib.suppress(TimeOut):
        await_polls(mock)
        return is_idle(agent)
    return False


def await_polls(mock):
    """What AC had handed out is with the broker, or gone."""
    mock.wait(f"ac_get_task>={mock.books()['ac_get_task'] + POLLS}", 10)


def is_renewed(status):
    """The fetcher's credit, since it was granted: so far from its end it would not be otherwise."""
    credits = [credit for credit in status["gate"]["credits"] if credit["kind"] == "fetch"]
    return any(credit["age_ms"] + credit["expires_in_ms"] > CREDIT_MS for credit in credits)


def pause_and_resume(mock, agent):
    """While a poll is under way, whose credit was renewed and is taken back then."""
    mock.config(longPollMs="3000-3000")
    mock.wait(f"ac_get_task>={mock.books()['ac_get_task'] + 1}")  # those before took less
    look(lambda: (s := agent.try_status()) and is_renewed(s) and mock.books()["ac_polls_waiting"], "a renewed credit")
    order(agent, is_paused, "drain")
    mock.config(longPollMs="200-200")
    order(agent, lambda status: not is_paused(status), "resume")


@contextlib.contextmanager
def standing(agent, name):
    """The program stands still meanwhile."""
    pid = agent.kill(name, signal.SIGSTOP)
    try:
        yield pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def fill_inbox(mock, agent):
    """The broker stands still for a moment while tasks come: the fetcher saves them. A poll that waited may be over by the
    time at which the broker stands, and no other follows then: it goes on and stops again."""
    inbox = agent.state / "inbox"
    for _ in range(10):
        mock.wait("ac_polls_waiting>=1")
        with contextlib.suppress(ProcessLookupError, TimeOut), standing(agent, "broker"):
            if mock.books()["ac_polls_waiting"] > 0:
                mock.add(count=2, methods="GET,POST")
                until(lambda: any(inbox.iterdir()), "a task in the inbox", 1)
                return


def held_by(agent, pid):
    """How many tasks the broker has pushed to this worker and not got back."""
    status = agent.try_status()
    return sum(worker["tasks"] for worker in status["workers"] if worker["pid"] == pid) if status else 0


def end_under_work(mock, agent, name, meanwhile, **tasks):
    """SIGTERM while tasks are on their way to a worker: what it has not begun it gives back. So the broker stands when the
    worker reads them, and it is told to end before its claim is answered. (One that had not read them yet ends with none.)"""
    for tries in range(1, 5):
        look(lambda: (s := agent.try_status()) and agent.pid(name) in {worker["pid"] for worker in s["workers"]}, f"the {name}")
        with contextlib.suppress(ProcessLookupError, TimeOut), standing(agent, name) as pid:
            mock.add(count=1, **tasks)
            look(lambda: held_by(agent, pid), f"a task with the {name}", 2)
            meanwhile(pid, tries)
            drains = held_at_drains(agent, name)
            with standing(agent, "broker"):
                os.kill(pid, signal.SIGCONT)
                time.sleep(0.1 * tries)
                os.kill(pid, signal.SIGTERM)
                until(lambda: len(held_at_drains(agent, name)) > len(drains), f"a drain of the {name}", 2)
            if held_at_drains(agent, name)[-1] > 0:
                return


def held_at_drains(agent, name):
    return [int(held) for held in re.findall(rf"sluice-{name} event=draining held=(\d+)", agent.log_text())]


def end_executor(mock, agent):
    """It comes too late for a task whose time is over when it claims it, and gives another back."""
    def expiring(pid, tries):
        before, lasts_s = held_by(agent, pid), 0.5 * tries  # from when AC hands it out
        mock.add(count=1, methods="POST", expiryMs=int(1000 * lasts_s))
        look(lambda: held_by(agent, pid) > before, "another task with the executor", lasts_s + 0.5)
        time.sleep(lasts_s)
    end_under_work(mock, agent, "executor", expiring, methods="POST")


def end_uploader(mock, agent):
    """AC takes its time for what the next one brings, and for a poll: credits are renewed."""
    end_under_work(mock, agent, "uploader", lambda pid, tries: mock.config(acDelayMs=1400), methods="GET")
    with contextlib.suppress(TimeOut):  # when none is left, or its uploader is away
        mock.wait(f"results>={mock.books()['results'] + 1}", 8)
    mock.config(acDelayMs=0)


def end_fetcher_and_broker(_, agent):
    """The broker with workers in session, which it tells."""
    for name in ("fetcher", "broker"):
        look(lambda: (s := agent.try_status()) and len({worker["role"] for worker in s["workers"]}) == 3, "sessions of all")
        with contextlib.suppress(ProcessLookupError):
            former = agent.kill(name, signal.SIGTERM)
            look(lambda: former not in agent.pids(name), f"the end of the {name}")
    look(agent.try_status, "a new broker")


def use(mock, agent):
    """Tasks with small and with large bodies, and some that come while the broker stands."""
    mock.add(count=TASKS - 4, methods="GET,POST,PUT,PATCH", toolDelayMs="0-30", bodyBytes="100-3000")
    fill_inbox(mock, agent)
    mock.add(count=2, methods="POST", bodyBytes="1300000-1300000")


STEPS = (begin_by_hand, use, bury_and_revive, pause_and_resume, end_executor, end_uploader, end_fetcher_and_broker)
