"""Start and idle: how soon the agent polls AC, and what it takes when there is nothing to do."""
import contextlib
import statistics
import subprocess
import time

from floor_side import FloorSide
from measure import AgentSide, e2e
from processes import cpu_ns, switches

IDLE_S = 60
POLL_MS = 1000  # a drain waits for the end of the poll


def run_start(case, arguments, folder):
    """From the start of `sluice run`, and of the floor, until AC has the first poll; the first time with a new state
    directory."""
    took = {"agent": [], "floor": []}
    side = FloorSide(case, arguments.build, folder / "start")
    side.mock.config(longPollMs=POLL_MS)
    agent = e2e.Agent(side.folder, side.mock, *e2e.FAST)
    try:
        for _ in range(arguments.tasks or case.tasks):
            took["agent"].append(until_poll(side.mock, agent.start))
            agent.stop()
            with contextlib.ExitStack() as stack:
                def floor():
                    process = subprocess.Popen(side.words(1, 0), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                    stack.callback(process.wait)
                    stack.callback(process.kill)
                took["floor"].append(until_poll(side.mock, floor))
    finally:
        agent.close()
        side.close()
    return {name: {"first_ms": times[0], "p50_ms": statistics.median(times), "most_ms": max(times), "all_ms": times}
            for name, times in took.items()}


def until_poll(mock, start):
    polls, begun = mock.books()["ac_get_task"], time.monotonic()
    start()
    mock.wait(f"ac_get_task>={polls + 1}")
    return (time.monotonic() - begun) * 1000


def idle(side, seconds):
    """Of all processes: wake-ups a second of all threads, and the share of a core."""
    time.sleep(1)  # what the start left to do

    def look():
        return {role: (sum(map(switches, pids)), sum(map(cpu_ns, pids))) for role, pids in side.pids.items()}

    before, start = look(), time.monotonic()
    time.sleep(seconds)
    after, seconds = look(), time.monotonic() - start
    by_role = {role: {"wakeups_per_s": (after[role][0] - before[role][0]) / seconds,
                      "core": (after[role][1] - before[role][1]) / seconds / 1e9} for role in after}
    return {"seconds": seconds, "by_role": by_role} | {
        key: sum(figures[key] for figures in by_role.values()) for key in ("wakeups_per_s", "core")}


def run_idle(case, arguments, folder):
    side = AgentSide(case, arguments.build, folder / "agent")
    try:
        return idle(side, IDLE_S)
    finally:
        side.close()


def show_start(_, result):
    agent, floor = result["agent"], result["floor"]
    return ["| ms to the first poll of AC | median | most | the first, with a new state directory |", "|---|---|---|---|",
            *(f"| {name} | {side['p50_ms']:.0f} | {side['most_ms']:.0f} | {side['first_ms']:.0f} |"
              for name, side in (("sluice run", agent), ("floor", floor)))]


def show_idle(_, result):
    return [f"| idle for {result['seconds']:.0f} s | all | " + " | ".join(result["by_role"]) + " |",
            "|---" * (len(result["by_role"]) + 2) + "|",
            *(f"| {name} | " + " | ".join(form.format(figures[key] * factor) for figures in
                                          (result, *result["by_role"].values())) + " |"
              for name, key, factor, form in (("wake-ups a second", "wakeups_per_s", 1, "{:.1f}"),
                                              ("% of a core", "core", 100, "{:.3f}")))]
