"""The command line of scripts/bench. A mistake in it is told before anything is built or measured, with exit status 2."""
import argparse
import pathlib
import shutil
import sys

from cases import CASES
from long_cases import LEAST_TASKS

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def positive(text):
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is no number of 1 or more")
    return value


def make_parser():
    parser = argparse.ArgumentParser(
        prog="scripts/bench", allow_abbrev=False, description="Measures what a task costs, beside the floor: a bare"
        " curl_multi loop that makes the same requests, in the same run, in turn. Prints tables and writes JSON.")
    parser.add_argument("cases", nargs="*", metavar="CASE", help="all but scale and queue without any; see --list")
    parser.add_argument("--list", action="store_true", help="list the cases")
    parser.add_argument("--rounds", type=positive, metavar="N", help="measured rounds of a case, after one to warm up [3]")
    parser.add_argument("--tasks", type=positive, metavar="N",
                        help="tasks a round (of start: the starts), in place of the case's own number")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE",
                        help="where the figures go, after every case [build/bench.json]")
    parser.add_argument("--build", type=pathlib.Path, metavar="DIR",
                        help="the build to measure [build/release, which is built first]")
    parser.add_argument("--against", type=pathlib.Path, metavar="DIR", help="another build to compare with, pair by pair")
    parser.add_argument("--profile", action="store_true",
                        help="where the time of each process goes, by perf, in place of the figures")
    return parser


def list_cases():
    for case in CASES:
        print(f"{case.name:14} {case.what}" + (" (only when named)" if case.by_name else ""))
    sys.exit(0)


def check_build(parser, option, folder):
    for name in ("bin/sluice", "tests/bench/bench-floor", "tests/mock_ac/mock-ac"):
        if not (folder / name).is_file():
            parser.error(f"{option} {folder}: there is no {name}")


def check_options(parser, arguments):
    """What does not go together."""
    for case in arguments.chosen:
        if case.kind != "rounds":
            for option in ("rounds", "against", "profile"):
                if getattr(arguments, option):
                    parser.error(f"--{option} is for cases that run in rounds, and {case.name} does not")
        if case.kind == "idle" and arguments.tasks:
            parser.error("--tasks is not for idle, which has none")
        if case.kind in ("scale", "queue") and arguments.tasks and arguments.tasks < LEAST_TASKS:
            parser.error(f"--tasks {arguments.tasks} are too few for {case.name}: at least {LEAST_TASKS}")
    if arguments.profile:
        for option in ("rounds", "against"):
            if getattr(arguments, option):
                parser.error(f"--profile measures one build once: no --{option}")
        if not shutil.which("perf"):
            parser.error("--profile needs perf: apt-get install linux-perf")
    if arguments.against:
        check_build(parser, "--against", arguments.against)
    if arguments.build:
        check_build(parser, "--build", arguments.build)


def parse():
    parser = make_parser()
    arguments = parser.parse_args()
    if arguments.list:
        list_cases()
    names = [case.name for case in CASES]
    unknown = [name for name in arguments.cases if name not in names]
    if unknown:
        parser.error(f"no such case: {', '.join(unknown)}; there are {', '.join(names)}")
    limited = arguments.rounds or arguments.against or arguments.profile or arguments.tasks
    arguments.chosen = [case for case in CASES if case.name in arguments.cases or (
        not arguments.cases and not case.by_name and (case.kind == "rounds" or not limited))]
    check_options(parser, arguments)
    default = ROOT / "build/bench.json"
    if not arguments.json:
        default.parent.mkdir(exist_ok=True)
    arguments.json = arguments.json or default
    try:
        arguments.json.open("a", encoding="utf-8").close()
    except OSError as error:
        parser.error(f"--json {arguments.json}: {error.strerror}")
    arguments.build_needed = not arguments.build
    arguments.build = arguments.build or ROOT / "build/release"
    arguments.rounds = arguments.rounds or 3
    arguments.table = not arguments.profile and any(case.kind == "rounds" for case in arguments.chosen)
    return arguments
