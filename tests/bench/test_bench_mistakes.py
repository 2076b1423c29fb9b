"""What the benchmark refuses, and that what fails costs nothing but itself."""
import json
import os
import pathlib
import subprocess
import sys

import pytest

import bench
import command_line
import measure
from cases import CASES, Case
from floor_side import FloorSide

BUILD = os.environ["SLUICE_BUILD"]
BENCH = pathlib.Path(__file__).parent.parent.parent / "scripts/bench"


def test_list_and_a_typo_build_nothing():
    listed = subprocess.run([BENCH, "--list"], capture_output=True, text=True, check=True)
    assert [line.split()[0] for line in listed.stdout.splitlines()] == [case.name for case in CASES]
    wrong = subprocess.run([BENCH, "smal"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2 and "no such case: smal" in wrong.stderr and not wrong.stdout


@pytest.mark.parametrize("words, said", [
    ("--rounds 0", "--rounds: 0 is no number of 1 or more"), ("--rounds -1", "-1 is no number"),
    ("--tasks many", "many is no number"), ("scale --tasks 999", "too few for scale: at least 1000"),
    ("queue --tasks 500", "too few for queue"), ("--json /no/dir/a.json", "--json /no/dir/a.json: No such file"),
    ("--json /", "--json /: Is a directory"), ("scale --rounds 2", "--rounds is for cases that run in rounds, and scale"),
    (f"queue --against {BUILD}", "--against is for cases that run in rounds, and queue"),
    ("small idle --tasks 5", "--tasks is not for idle"), ("small --profile --rounds 2", "no --rounds"),
    (f"small --profile --against {BUILD}", "no --against"), ("start --profile", "--profile is for cases that run in rounds"),
    ("--build /nowhere", "--build /nowhere: there is no bin/sluice"), ("--against /nowhere", "--against /nowhere: there is no"),
    ("--nonsense", "--nonsense")])
def test_mistakes(words, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bench", *words.split()])
    with pytest.raises(SystemExit) as refused:
        command_line.parse()
    assert refused.value.code == 2 and said in capsys.readouterr().err


def test_no_perf(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bench", "small", "--profile"])
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SystemExit) as refused:
        command_line.parse()
    assert refused.value.code == 2 and "needs perf" in capsys.readouterr().err


def test_a_case_that_fails_leaves_the_figures_of_the_others(tmp_path, monkeypatch, capsys):
    """They are in the file before the next case begins."""
    told = tmp_path / "bench.json"
    seen = []

    def run(case, arguments, folder):
        seen.append(list(json.loads(told.read_text())["cases"]) if seen else [])
        if case.name == "tls":
            raise TypeError("not a number")
        return {"figure": 1}

    monkeypatch.setitem(bench.KINDS, "start", (run, lambda case, result: [case.name]))
    monkeypatch.setitem(bench.KINDS, "idle", (run, lambda case, result: [case.name]))
    monkeypatch.setitem(bench.KINDS, "rounds", (run, lambda case, result: [case.name]))
    monkeypatch.setattr(sys, "argv", ["bench", "tls", "start", "idle", "--build", BUILD, "--json", str(told)])
    assert bench.main() == 1
    assert seen == [[], ["tls"], ["tls", "start"]]
    cases = json.loads(told.read_text())["cases"]
    assert cases == {"tls": {"failed": "TypeError: not a number"}, "start": {"figure": 1}, "idle": {"figure": 1}}
    assert "| tls | FAILED: not a number |" in capsys.readouterr().out


def commands():
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            yield (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue


def test_an_agent_that_does_not_start_leaves_nothing_running(tmp_path):
    with pytest.raises(RuntimeError, match="sluice run has ended with 2"):
        measure.AgentSide(Case("wrong", ""), BUILD, tmp_path / "side", ["--nonsense", "1"])
    assert not [words for words in commands() if str(tmp_path) in words]


def test_tcp_that_is_none_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "connections_to", lambda pid, port: 0)
    with pytest.raises(RuntimeError, match="has 0 connections to tcp://"):
        measure.AgentSide(Case("tcp", "", tcp=True), BUILD, tmp_path / "side")


@pytest.fixture
def floor(tmp_path):
    side = FloorSide(Case("floor", "", methods="POST"), BUILD, tmp_path / "floor")
    yield side
    side.close()


def test_a_floor_whose_requests_are_refused_fails(floor):
    floor.key = "another"
    with pytest.raises(RuntimeError, match="get-task answers 401"):
        floor.run(20)


def test_a_floor_that_does_other_work_is_refused(floor):
    """It sends the inputs of tasks as they are, or the mock counts more than its made-up outputs."""
    floor.run(100)
    floor.done -= 1
    with pytest.raises(RuntimeError, match="other work than the agent"):
        floor.check()
