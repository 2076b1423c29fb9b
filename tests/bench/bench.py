"""scripts/bench: measures the cases of cases.py, most of them in rounds in which floor and agent run in turn, and reports
medians. The figures that count are the ratios: both sides meet the same machine, in the same minute."""
import contextlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import traceback

import figures
import long_cases
import profile_case
import small_cases
from command_line import ROOT, parse
from floor_side import FloorSide
from measure import AgentSide

PAIRED = ("tasks_per_s", "cpu_us")


def median_of(rounds):
    """The medians of the figures of several rounds, also of those a level deeper."""
    first = rounds[0]
    return {key: median_of([r[key] for r in rounds]) if isinstance(first[key], dict)
            else statistics.median(r[key] for r in rounds) for key in first}


def paired(rounds, other, key):
    return statistics.median(a[key] / b[key] for a, b in zip(rounds, other))


def run_rounds(case, arguments, folder):
    """Rounds of all sides in turn, the order reversed each time, after one of a tenth to warm up."""
    makers = {"floor": lambda: FloorSide(case, arguments.build, folder / "floor"),
              "agent": lambda: AgentSide(case, arguments.build, folder / "agent")}
    if arguments.against:
        makers["against"] = lambda: AgentSide(case, arguments.against, folder / "against")
    tasks = arguments.tasks or case.tasks
    with contextlib.ExitStack() as stack:
        sides, rounds = {}, {name: [] for name in makers}
        for name, make in makers.items():
            sides[name] = make()
            stack.callback(sides[name].close)
        for side in sides.values() if tasks >= 10 else ():
            side.run(tasks // 10)
        for turn in range(arguments.rounds):
            for name in reversed(sides) if turn % 2 else sides:
                rounds[name].append(sides[name].run(tasks))
        result = {name: median_of(rounds[name]) | side.report() for name, side in sides.items()}
    result["rounds"] = rounds
    for name in sides.keys() - {"floor"}:
        result[name]["ratio"] = {"tasks_per_s": paired(rounds[name], rounds["floor"], "tasks_per_s"),
                                 "cpu": paired(rounds[name], rounds["floor"], "cpu_us")}
    if arguments.against:
        result["pairwise"] = {key: paired(rounds["agent"], rounds["against"], key) for key in PAIRED}
    return result


KINDS = {"rounds": (run_rounds, figures.show_cost), "start": (small_cases.run_start, small_cases.show_start),
         "idle": (small_cases.run_idle, small_cases.show_idle), "scale": (long_cases.run_scale, long_cases.show_scale),
         "queue": (long_cases.run_queue, long_cases.show_queue)}


def build_release():
    """As scripts/test does; without --build it is this tree that is measured."""
    subprocess.run([ROOT / "scripts/install-packages"], check=True, stdout=sys.stderr)
    for words in (["--preset", "release"], ["--build", "--preset", "release", "-j", str(os.cpu_count())]):
        done = subprocess.run(["cmake", *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                              text=True)
        if done.returncode != 0:
            sys.exit(f"{done.stdout[-3000:]}\nscripts/bench: the release build fails (see above)")


def file_system():
    """Of the temporary directory, where the state directories are."""
    folder = tempfile.gettempdir()
    name = subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, check=True, text=True).stdout.strip()
    if name in ("tmpfs", "ramfs"):
        print(f"scripts/bench: {folder} is in memory ({name}): syncs of the disk cost nothing there; set TMPDIR to a directory"
              " on a disk", file=sys.stderr)
    return name


def write(path, whole):
    """After every case, and never half."""
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(json.dumps(whole, indent=1) + "\n")
    temporary.replace(path)


def measure_case(case, arguments):
    """Its figures, and the lines to print; what fails is told as its figures."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-bench."))
    run, show = (profile_case.run_profile, profile_case.show_profile) if arguments.profile else KINDS[case.kind]
    try:
        result = run(case, arguments, folder)
        return result, show(case, result)
    except Exception as error:  # half an hour of figures is not lost for one case
        traceback.print_exc()
        return {"failed": f"{type(error).__name__}: {error}"}, ["| " + case.name + " | FAILED: " + " ".join(str(error).split()) + " |"]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main():
    arguments = parse()
    if arguments.build_needed:
        build_release()
    whole = {"cpus": os.cpu_count(), "load": os.getloadavg(), "file_system": file_system(), "cases": {}}
    done, begun = [], time.monotonic()
    if arguments.table:
        print("\n".join(figures.COST_HEAD), flush=True)
    for case in arguments.chosen:
        result, lines = measure_case(case, arguments)
        in_table = arguments.table and case.kind == "rounds"
        if in_table and "failed" not in result:
            done.append((case, result))
        elif done and not in_table:  # the rows are all there: those with rounds come first
            print("\n".join(figures.show_all_rest(done)))
            done = []
        print("\n".join(lines if in_table else ["", *lines]), flush=True)
        whole["cases"][case.name] = result
        write(arguments.json, whole | {"seconds": time.monotonic() - begun})
    if done:
        print("\n".join(figures.show_all_rest(done)))
    failed = [name for name, result in whole["cases"].items() if "failed" in result]
    print(f"\nall figures: {arguments.json}" + (f"; FAILED: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
