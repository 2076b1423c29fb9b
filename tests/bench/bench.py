"""scripts/bench: measures the cases of cases.py, in rounds in which floor and agent run in turn, and reports medians.

The figures that count are the ratios: both sides meet the same machine, in the same minute."""
import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import statistics
import sys
import tempfile

import measure
from cases import CASES
from measure import ROLES, AgentSide, FloorSide

LEVEL = {"tasks_per_s": "tasks/s", "cpu_us": "CPU us"}


def median_of(rounds):
    """The medians of the figures of several rounds, also of those a level deeper."""
    first = rounds[0]
    return {key: median_of([r[key] for r in rounds]) if isinstance(first[key], dict)
            else statistics.median(r[key] for r in rounds) for key in first}


def run_case(case, arguments, folder):
    """Rounds of all sides in turn, the order reversed each time; the first round only warms up."""
    makers = {"floor": lambda: FloorSide(case, arguments.build, folder / "floor"),
              "agent": lambda: AgentSide(case, arguments.build, folder / "agent")}
    if arguments.against:
        makers["against"] = lambda: AgentSide(case, arguments.against, folder / "against")
    if (case.tcp or case.curve) and arguments.against:
        raise RuntimeError("two builds cannot have the same port: tcp is for one build at a time")
    sides = {}
    with contextlib.ExitStack() as stack:
        for name, make in makers.items():
            sides[name] = make()
            stack.callback(sides[name].close)
        tasks = arguments.tasks or case.tasks
        rounds = {name: [] for name in sides}
        for number in range(arguments.rounds + 1):
            order = list(sides) if number % 2 else list(reversed(sides))
            for name in order:
                if number == 0:
                    sides[name].run(max(1, tasks // 10))
                else:
                    rounds[name].append(sides[name].run(tasks))
        result = {name: median_of(rounds[name]) for name in sides}
        result["rounds"] = rounds
        for name in sides.keys() - {"floor"}:
            result[name] |= sides[name].report()
            result[name]["ratio"] = {
                "tasks_per_s": statistics.median(a["tasks_per_s"] / f["tasks_per_s"]
                                                 for a, f in zip(rounds[name], rounds["floor"])),
                "cpu": statistics.median(a["cpu_us"] / f["cpu_us"] for a, f in zip(rounds[name], rounds["floor"]))}
        if arguments.against:
            result["pairwise"] = {
                key: statistics.median(a[key] / b[key] for a, b in zip(rounds["agent"], rounds["against"]))
                for key in LEVEL}
    return result


def run_scale(case, arguments, folder):
    """All tasks at once through one broker, in ten parts: the cost of a task in each, and the broker's memory. The
    lookahead is the whole queue, so that it fills."""
    tasks = arguments.tasks or case.tasks
    share = tasks / case.tasks
    case = dataclasses.replace(case, executors=max(1, round(case.executors * share)),
                               queue=max(100, int(case.queue * share)))
    side = AgentSide(case, arguments.build, folder / "agent", ["--lookahead", case.queue])
    try:
        side.run(max(100, tasks // 100))
        segments, memory = [], []
        for _ in range(10):
            segments.append(side.run(tasks // 10))
            memory.append(measure.memory_kb(side.pids["broker"][0], "Rss"))
        return {"segments": segments, "broker_rss_kb": memory, "executors": case.executors,
                "last_to_first": segments[-1]["cpu_us"] / segments[0]["cpu_us"]} | side.report()
    finally:
        side.close()


def run_queue(case, arguments, folder):
    """All tasks into the queue, while one slot does next to nothing, then all of them out of it: the cost of each tenth."""
    tasks = arguments.tasks or case.tasks
    side = AgentSide(dataclasses.replace(case, queue=tasks), arguments.build, folder / "agent", ["--lookahead", tasks])

    def tenths(counter):
        costs, cpu, done = [], side.cpu(), side.counters()[counter]
        for part in range(1, 11):
            side.count_until(counter, tasks * part // 10)
            after, now = side.cpu(), side.counters()[counter]
            if now > done:  # several parts may have gone by since the last look
                costs.append((sum(after.values()) - sum(cpu.values())) / (now - done) / 1000)
            cpu, done = after, now
        return costs

    try:
        side.add(tasks)
        result = {"in": tenths("fetched"), "queued": side.agent.status()["tasks"]["ready"],
                  "broker_rss_kb": measure.memory_kb(side.pids["broker"][0], "Rss")}
        side.more_executors(4, 200)
        return result | {"out": tenths("delivered")} | side.report()
    finally:
        side.close()


def print_queue(case, result):
    costs = {way: " ".join(f"{cost:.0f}" for cost in result[way]) for way in ("in", "out")}
    print(f"{case.name:14} CPU us a task in each tenth: to fetch {costs['in']}; to work off {costs['out']}; the broker's memory"
          f" with {result['queued']} in the queue {result['broker_rss_kb'] / 1024:.1f} MB", flush=True)


def print_scale(case, result):
    costs = " ".join(f"{segment['cpu_us']:.0f}" for segment in result["segments"])
    print(f"{case.name:14} CPU us a task in each tenth: {costs}; last to first {result['last_to_first']:.2f}; the broker's"
          f" memory {result['broker_rss_kb'][0] / 1024:.1f} to {result['broker_rss_kb'][-1] / 1024:.1f} MB", flush=True)


def latency(figures):
    return "/".join(f"{figures[key] / 1000:.1f}" for key in ("p50", "p99"))


def print_case(case, result):
    agent, floor = result["agent"], result["floor"]
    ratio = agent["ratio"]
    print(f"{case.name:14} {agent['tasks_per_s']:8.0f} {floor['tasks_per_s']:8.0f} {ratio['tasks_per_s']:6.2f}"
          f" {agent['cpu_us']:9.0f} {floor['cpu_us']:9.0f} {ratio['cpu']:6.2f}  "
          + " ".join(f"{agent['cpu_us_by_role'][role]:5.0f}" for role in ROLES[:-1])
          + f" {sum(agent['pss_kb'].values()) / 1024:6.1f} {latency(agent['hand_to_tool_us']):>11}"
          f" {latency(agent['tool_to_result_us']):>11} {agent['ac_connections']:4} {agent['commits']:7.0f}"
          f" {agent['tasks_per_commit']:5.1f}", flush=True)
    if case.body >= 5000000:
        mb = case.body / 1e6
        peak = max(agent["peak_over_idle_kb"].values()) / 1024
        print(f"{'':14} {agent['tasks_per_s'] * mb:.0f} MB/s, curl | gzip {floor['tasks_per_s'] * mb:.0f} MB/s; most"
              f" resident memory above idle in one process {peak:.1f} MB")
    if case.ac_ms:
        print(f"{'':14} tasks per round trip: {agent['tasks_per_s'] * case.ac_ms / 1000:.2f}")
    if "pairwise" in result:
        pair = result["pairwise"]
        print(f"{'':14} of the other build's: tasks/s x {pair['tasks_per_s']:.3f}, CPU x {pair['cpu_us']:.3f}")


HEADER = (f"{'case':14} {'tasks/s':>8} {'floor':>8} {'ratio':>6} {'CPU us':>9} {'floor':>9} {'ratio':>6}  "
          f"{'brok':>5} {'fetch':>5} {'exec':>5} {'upl':>5} {'PSS MB':>6} {'to tool ms':>11} {'to AC ms':>11}"
          f" {'conn':>4} {'commits':>7} {'/cmt':>5}\n"
          f"{'':14} {'':8} {'':8} {'':6} {'a task':>9} {'a task':>9} {'':6}  {'':23} {'':6} {'p50/p99':>11} {'p50/p99':>11}")


def parse():
    names = [case.name for case in CASES]
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measures what a task costs, beside the floor.")
    parser.add_argument("cases", nargs="*", metavar="CASE", help="all but scale and queue without any; see --list")
    parser.add_argument("--list", action="store_true", help="list the cases")
    parser.add_argument("--rounds", type=int, default=3, help="measured rounds of a case, after one to warm up [3]")
    parser.add_argument("--tasks", type=int, default=0, help="tasks a round, in place of the case's own number")
    parser.add_argument("--json", default="build/bench.json", help="where the figures go [build/bench.json]")
    parser.add_argument("--build", default="build/release", help="the build to measure [build/release]")
    parser.add_argument("--against", default="", metavar="DIR", help="another build to compare with, pair by pair")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.cases if name not in names]
    if unknown:
        parser.error(f"no such case: {', '.join(unknown)}; there are {', '.join(names)}")
    return arguments


def main():
    arguments = parse()
    chosen = [case for case in CASES if case.name in arguments.cases or (not arguments.cases and case.name not in ("scale", "queue"))]
    if arguments.list:
        for case in CASES:
            print(f"{case.name:14} {case.what}" + (f" (skipped: {case.skip})" if case.skip else ""))
        return 0
    results, failed = {}, False
    print(HEADER)
    for case in chosen:
        if case.skip:
            print(f"{case.name:14} skipped: {case.skip}", flush=True)
            results[case.name] = {"skipped": case.skip}
            continue
        folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-bench."))
        try:
            run, show = {"scale": (run_scale, print_scale), "queue": (run_queue, print_queue)}.get(
                case.name, (run_case, print_case))
            results[case.name] = run(case, arguments, folder)
            show(case, results[case.name])
        except (RuntimeError, AssertionError, OSError) as error:
            print(f"{case.name:14} FAILED: {error}", flush=True)
            results[case.name], failed = {"failed": str(error)}, True
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    whole = {"cpus": os.cpu_count(), "load": os.getloadavg(), "cases": results}
    pathlib.Path(arguments.json).write_text(json.dumps(whole, indent=1) + "\n")
    print(f"all figures: {arguments.json}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
