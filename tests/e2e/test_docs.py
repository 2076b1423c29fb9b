"""Manual pages, the example of the configuration file and the completion, against the programs themselves; and the tests that
the documents name, against those that there are."""
import collections
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

BUILD = pathlib.Path(os.environ.get("SLUICE_BUILD", "build/release")).resolve()
ROOT = pathlib.Path(__file__).resolve().parents[2]
MAN = BUILD / "man"
PROGRAMS = ("broker", "fetcher", "executor", "uploader")
PAGES = ["sluice.1", "sluice.conf.5", *(f"sluice-{name}.8" for name in PROGRAMS)]


def output(*words, **more):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=60, check=True, **more).stdout


def help_of(*words):
    return output(BUILD / "bin" / words[0], *words[1:], "--help")


def own_options(text):
    """The options of --help that concern the program itself, with their values."""
    own = text.split("\nAccepted as well")[0]
    return dict(re.findall(r"(?m)^  --(\S+)(?: (\S+))?", own))


def rendered(page):
    tool = shutil.which("man")
    assert tool, "man is missing (package man-db)"
    done = subprocess.run([tool, "--warnings", "-E", "UTF-8", "-l", "-Tutf8", MAN / page], capture_output=True, text=True,
                          timeout=60, env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "200", "MAN_KEEP_FORMATTING": "",
                                           "GROFF_NO_SGR": "1"})
    assert (done.returncode, done.stderr) == (0, "")
    return re.sub(".\b", "", done.stdout)


@pytest.mark.parametrize("page", PAGES)
def test_renders_without_a_warning(page):
    text = rendered(page)
    assert "NAME" in text and "SEE ALSO" in text
    assert "@" not in re.sub(r"@\d?\.?(service)?", "", text)
    assert [word for word in re.findall(r"\S{41,}", text) if "/" not in word] == []  # text behind a macro loses its blanks


@pytest.mark.parametrize("name", PROGRAMS)
def test_options_of_a_program(name):
    text = rendered(f"sluice-{name}.8")
    for option, value in own_options(help_of(f"sluice-{name}")).items():
        value = " " + re.escape(value) if value else ""
        assert re.search(rf"(?m)^ {{5,9}}--{re.escape(option)}{value}(?: |$)", text), option
    told = set(re.findall(r"(?m)^ {5,9}--([A-Za-z0-9.-]+)(?: |$)", text))
    assert told == set(own_options(help_of(f"sluice-{name}")))


def test_commands():
    text = rendered("sluice.1")
    commands = re.findall(r"(?m)^  ([a-z]+) ", help_of("sluice"))
    assert "run" in commands and "status" in commands
    for command in commands:
        assert re.search(rf"(?m)^ {{5,9}}{command}(?: |$)", text), f"sluice.1 does not tell of {command}"
        assert re.search(rf"sluice ([a-z]+\|)*{command}\b", text.split("DESCRIPTION")[0]), f"the synopsis lacks {command}"
    for option in own_options(help_of("sluice", "run")):
        assert re.search(rf"(?m)^ +--{re.escape(option)}\b", text), option


def test_synopsis_has_the_options_of_each_command():
    """Those of the usage lines, which --help has."""
    synopsis = " ".join(rendered("sluice.1").split("DESCRIPTION")[0].split("SYNOPSIS")[1].split())
    usages = [line for command in ("status", "config", "doctor", "key", "policy")
              for line in re.findall(r"(?m)^(?:usage:|      ) sluice (.*)$", help_of("sluice", command))]
    assert len(usages) > 8
    for usage in usages:
        for command in usage.split()[0].split("|"):
            part = re.search(rf"sluice (?:\w+\|)*{command}\b.*?(?=sluice |$)", synopsis)[0]
            for option in re.findall(r"--[\w-]+", usage):
                assert option in part, f"the synopsis of {command} lacks {option}"


def in_file():
    """What may stand in the file: everything that all programs know."""
    text = help_of("sluice", "run")
    return {name: value for name, value in re.findall(r"(?m)^  --(\S+)(?: (\S+))?", text)} | {}


def test_the_file_is_told_of():
    text = rendered("sluice.conf.5")
    names = set(in_file()) - {"help", "version", "config", "check-config"}
    assert set(re.findall(r"(?m)^ {5,9}([A-Za-z0-9.]+) = ", text)) == names


def example():
    """(name, value) of each commented line of the example."""
    return re.findall(r"(?m)^#([A-Za-z0-9.]+) = (.*)$", (MAN / "sluice.conf").read_text())


def test_example_has_every_option_once():
    names = [name for name, _ in example()]
    assert sorted(names) == sorted(set(in_file()) - {"help", "version", "config", "check-config"})
    text = (MAN / "sluice.conf").read_text()
    for line in text.splitlines():
        assert not line or line.startswith("#")
    for name, _ in example():
        assert re.search(rf"(?m)^# .+\n# .+\n#{re.escape(name)} = ", text), f"{name} is not explained"


def test_example_shows_the_defaults(tmp_path):
    """Each line with a default, without its #, changes nothing but where the value comes from."""
    values = {"FILE", "DIR", "URL", "KEY", "NAME", "tcp://HOST:PORT"}
    lines = [f"{name} = {value}" for name, value in example() if value not in values]
    file = tmp_path / "sluice.conf"

    def shown():
        clean = {k: v for k, v in os.environ.items() if k not in
                 ("server_url", "api_key", "verify", "timeout", "EXECUTOR_POOL_SIZE", "metricsRetentionDays")}
        text = output(BUILD / "bin/sluice", "config", "show", "--config", file, env=clean)
        return {line.split(" = ")[0]: line.split(" = ")[1].split()[0] for line in text.splitlines()
                if " = " in line and line.split(" = ")[1].split()[0] != "default"}
    file.write_text("")
    before = shown()
    file.write_text("\n".join(lines) + "\n")
    after = shown()
    assert {k: after[k] for k in before} == before
    assert {line.split(" = ")[0] for line in lines} - set(after) == {"executors"}  # of `sluice run` alone


def complete(*words):
    """What bash offers for the last word."""
    script = f"""
        PATH={BUILD}/bin:$PATH
        source {ROOT}/man/completion
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        _sluice "$1"
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    return output("bash", "-c", script, "bash", *words).split()


def test_completion():
    assert {"run", "status", "drain", "resume", "config"} <= set(complete("sluice", ""))
    assert complete("sluice", "stat") == ["status"]
    assert complete("sluice", "config", "") == ["check", "show"]
    assert complete("sluice", "dead", "") == ["retry", "drop"]
    assert complete("sluice", "run", "--redel") == ["--redeliver"]
    assert complete("sluice", "run", "--redeliver", "") == ["idempotent", "always", "never"]
    assert complete("sluice", "run", "--redeliver", "=", "ne") == ["never"]
    assert complete("sluice-broker", "--verify", "") == ["true", "false"]
    assert set(own_options(help_of("sluice-executor"))) <= {word[2:] for word in complete("sluice-executor", "--")}
    assert complete("sluice-broker", "--config", "/etc/debian_ver") == ["/etc/debian_version"]
    assert complete("sluice-broker", "--stateDir", "/etc/debian_ver") == []


def test_completion_is_sound():
    subprocess.run(["bash", "-n", ROOT / "man/completion"], check=True)


# --- the tests that documents name ---

TESTS = ROOT / "tests"
FAULTS = ROOT / "docs/FAULTS.md"


def defined_in(path):
    """The names of the tests in a file."""
    return set(re.findall(r"(?m)^def (test_\w+)", path.read_text())) if path.suffix == ".py" else set()


def unknown_tests(text):
    """What a document says of tests and is not so: a file that there is not, or a test that is in none of the files that the
    same paragraph or row names. A bare name may be that of a unit test's program."""
    files, unknown = collections.defaultdict(set), []
    for path in (*TESTS.rglob("test_*.py"), *TESTS.rglob("test_*.c")):
        files[path.name] |= defined_in(path)
    for part in re.split(r"\n\s*\n|\n(?=\|)", text):
        named = re.findall(r"test_\w+\.(?:py|c)\b", part)
        unknown += [name for name in named if name not in files]
        there = set().union(*(files[name] for name in named or [*files] if name in files))
        bare = set(re.findall(r"\btest_\w+\b(?!\.(?:py|c)\b)", part))
        unknown += [name for name in bare if name not in there and f"{name}.c" not in files]
    return unknown


@pytest.mark.parametrize("document", ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md"))])
def test_tests_that_are_named_exist(document):
    assert unknown_tests((ROOT / document).read_text()) == []


def of_ctest():
    """[(name, command, labels)] of ctest's entries."""
    found = json.loads(output("ctest", "--test-dir", BUILD, "--show-only=json-v1"))["tests"]
    labels = lambda test: next((p["value"] for p in test["properties"] if p["name"] == "LABELS"), [])
    return [(test["name"], " ".join(test.get("command", [])), labels(test)) for test in found]


def test_all_of_the_failure_table_has_its_label():
    """`ctest -L fault` runs what stands in the table, each of its files and folders, and nothing else."""
    table = re.search(r"(?ms)^\| what happens \| tests \|\n(.*?)\n\n", FAULTS.read_text()).group(1)
    words = {f" {name}" for name in re.findall(r"`(test_\w+\.py)`", table)} | {f"{name}." for name in re.findall(r"`tests/(\w+)`", table)}
    assert len(words) > 15
    entries = of_ctest()
    of_table = {word: [(name, labels) for name, command, labels in entries if word in f"{command} " or name.startswith(word)]
                for word in words}
    assert {name for found in of_table.values() for name, labels in found if "fault" not in labels} == set()
    of_all = {name for found in of_table.values() for name, _ in found}
    assert {name for name, _, labels in entries if "fault" in labels} == of_all
    if "SLUICE_SANITIZE:STRING=\n" in (BUILD / "CMakeCache.txt").read_text():  # the sanitizers' build leaves some out
        assert [word for word, found in of_table.items() if not found] == []


def test_mutations_are_those_of_the_sources():
    """Each can be applied, and the table is theirs."""
    assert output(ROOT / "scripts/mutate", "--check") == ""
    assert output(ROOT / "scripts/mutate", "--table") in (ROOT / "docs/TESTING.md").read_text()
