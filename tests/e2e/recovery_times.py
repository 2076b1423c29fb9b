#!/usr/bin/python3
"""Measures the time from kill -9 of each program to work going on again: python3 recovery_times.py [ROUNDS]

Each is killed under steady load and when there is nothing to do, and the clock runs until its successor works: the
fetcher is handed a task, the executor makes a request, the uploader delivers a result, the broker has tasks fetched, run
and delivered. A lease has to run out when the dead held an AC credit (5 s from its last renewal). The exit status tells
whether all were under 6 s with a lease and under 1 s without."""
import contextlib
import os
import statistics
import sys
import time

from agent import FAST, TimeOut, World, until

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 and __name__ == "__main__" else 5
COUNTERS = {"fetcher": ["handed"], "executor": ["tool_requests"], "uploader": ["delivered"],
            "broker": ["handed", "tool_requests", "delivered"]}


def recover(world, name, busy):
    """Kills it and waits until its successor works. Returns the agent, and the seconds that it took."""
    mock = world.start_mock("--longPollMs", "20000-20000", "--acDelayMs", 20 if busy else 0)
    agent = world.make_agent(*FAST).start()
    agent.joined("fetcher", "executor", "uploader")
    mock.add(count=1000 if busy else 10, methods="GET", toolDelayMs="5-20")
    mock.wait("delivered>=10")
    former = agent.pid(name)
    os.kill(former, 9)
    begun = time.monotonic()
    until(lambda: not os.path.exists(f"/proc/{former}"), "its end")
    before = mock.books()
    if not busy:
        mock.add(count=10, methods="GET", toolDelayMs="5-20")
    until(lambda: all((books := mock.books())[key] > before[key] for key in COUNTERS[name]), "work")
    return agent, time.monotonic() - begun


def measure(name, busy):
    world = World()
    try:
        agent, took = recover(world, name, busy)
        if name in ("fetcher", "uploader"):  # whether the dead held a credit is seen when it has run out
            with contextlib.suppress(TimeOut):
                until(lambda: "event=credit_expired" in agent.log_text(), "the end of a credit", 7 - took)
        return took, "event=credit_expired" in agent.log_text()
    finally:
        world.close(False)


def main():
    print("| program | held a credit | runs | median | worst |\n|---|---|---|---|---|")
    slow = 0
    for name in COUNTERS:
        for busy in (False, True):
            times = [measure(name, busy) for _ in range(ROUNDS)]
            for expired in (False, True):
                found = [took for took, e in times if e == expired]
                if not found:
                    continue
                slow += max(found) > (6 if expired else 1)
                print(f"| {name}, {'busy' if busy else 'idle'} | {'yes' if expired else 'no'} | {len(found)} |"
                      f" {statistics.median(found):.2f} s | {max(found):.2f} s |", flush=True)
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
