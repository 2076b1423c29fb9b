"""Instructions per task, which hardly depend on the machine and on what else runs on it: each program under callgrind,
in units of the floor's instructions for one of its three requests."""
import os
import pathlib
import signal
import subprocess

import measure
from cases import Case
from floor_side import FloorSide

BUILD = pathlib.Path(os.environ["SLUICE_BUILD"])
PROGRAMS = ("broker", "fetcher", "executor", "uploader")
WARM, TASKS = 50, 250
# What was measured of each program, in requests of the floor (docs/PERFORMANCE.md); a third more is allowed.
MEASURED = {"broker": 2.1, "fetcher": 2.0, "executor": 2.5, "uploader": 1.8}


def callgrind(out, *words):
    return ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", *words]


def total_of(out):
    return sum(int(line.split()[1]) for line in out.read_text().splitlines() if line.startswith("totals:"))


def floor_request(side, tmp_path):
    """Of one request, by the difference of two runs."""
    totals = []
    for number, tasks in enumerate((WARM, WARM + TASKS)):
        side.add(tasks)
        out = tmp_path / f"floor-{number}"
        subprocess.run(callgrind(out, BUILD / "tests/bench/bench-floor", "--ac", side.ac, "--key", side.key, "--tasks",
                                 str(tasks)), check=True, capture_output=True)
        totals.append(total_of(out))
    return (totals[1] - totals[0]) / TASKS / 3


def test_instructions_per_task(tmp_path):
    floor = FloorSide(Case("floor", ""), BUILD, tmp_path / "floor")
    try:
        request = floor_request(floor, tmp_path)
    finally:
        floor.close()
    side = measure.Side(Case("agent", ""), BUILD, tmp_path / "agent", long_poll=True)
    agent = measure.e2e.Agent(tmp_path / "agent", side.mock, *measure.e2e.FAST)
    outs = {name: tmp_path / f"out-{name}" for name in PROGRAMS}
    processes = {}
    try:
        for name in PROGRAMS:
            words = callgrind(outs[name], "--instr-atstart=no", BUILD / f"bin/sluice-{name}", *agent.options)
            processes[name] = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=agent.log, stderr=agent.log)
        agent.joined("fetcher", "executor", "uploader")
        side.add(WARM)
        side.wait(WARM)
        for process in processes.values():
            subprocess.run(["callgrind_control", "-i", "on", str(process.pid)], check=True, capture_output=True)
        side.add(TASKS)
        side.wait(WARM + TASKS)
        for process in processes.values():
            subprocess.run(["callgrind_control", "-i", "off", str(process.pid)], check=True, capture_output=True)
        for process in processes.values():
            process.send_signal(signal.SIGTERM)
        for process in processes.values():
            process.wait(120)
    finally:
        for process in processes.values():
            if process.poll() is None:
                process.kill()
                process.wait()
        agent.close()
        side.close()
    figures = {name: total_of(outs[name]) / TASKS for name in PROGRAMS}
    print(f"floor: {request:.0f} instructions a request; " +
          ", ".join(f"{name}: {count:.0f} a task ({count / request:.2f})" for name, count in figures.items()) +
          f"; all: {sum(figures.values()):.0f} ({sum(figures.values()) / request / 3:.2f} of the floor)")
    for name, count in figures.items():
        assert count > 10000, f"{name} was not measured"
        assert count / request < MEASURED[name] * 4 / 3, name
