"""The old agent's options (AC contract section 5), each by every form and at its default: what `sluice run` makes of a
command line and an environment is what it hands to its programs, which stand-ins write down here."""
import pathlib
import re
import subprocess

import pytest

from test_cli import BUILD, Bench, clean_environment

pytestmark = pytest.mark.contract("5 options")

# The contract's table. Name: default, another value, and the variable that sets it.
OPTIONS = {
    "serverUrl": (None, "http://127.0.0.1:9/x", "server_url"),
    "index": ("_prod", "_dev", None),
    "timeout": ("30", "31", "timeout"),
    "verify": ("true", "false", "verify"),
    "debugMode": ("false", "true", None),
    "envName": ("", "my env", None),
    "inwardProxyHttps": ("", "http://user:pass@127.0.0.1:1", None),
    "inwardProxyHttp": ("", "http://127.0.0.1:2", None),
    "outgoingProxyHttps": ("", "http://127.0.0.1:3", None),
    "outgoingProxyHttp": ("", "http://127.0.0.1:4", None),
    "executorPoolSize": ("10", "7", "EXECUTOR_POOL_SIZE"),
    "rateLimitPerMin": ("250", "251", None),
    "connectTimeout": ("15", "16", None),
    "readTimeoutSeconds": ("100", "101", None),
    "metricsRetentionDays": ("7", "8", "metricsRetentionDays"),
    "uploadToAc": ("true", "false", None),
    "enableStdoutLogging": ("true", "true", None),  # always so under `sluice run`; test_logs.py has the rest
    "ipv4Fallback": ("false", "true", None),
    "responseQueueThreshold": ("80", "81", None),
    "acMaxConcurrent": ("2", "1", None),
    "taskQueueSize": ("100", "102", None),
    "responseQueueSize": ("100", "103", None),
}
OLD_NAMES = {"poolSize": "executorPoolSize"}
BOOLEANS = [name for name, (default, _, _) in OPTIONS.items() if default in ("true", "false")]
YES, NO = ("yes", "true", "t", "1", "YES", "True", "T"), ("no", "false", "f", "0", "NO", "False", "F")
DEFAULTS = {name: default for name, (default, _, _) in OPTIONS.items() if name != "serverUrl"}
OTHERS = {name: other for name, (_, other, _) in OPTIONS.items()}


def pairs(values):
    return [word for name, value in values.items() for word in (f"--{name}", value)]


def joined(values):
    return [f"--{name}={value}" for name, value in values.items()]


def variables(values):
    return {OPTIONS[name][2]: value for name, value in values.items() if OPTIONS[name][2]}


class Runs:
    """What `sluice run` has made of a command line and an environment; each is run once."""

    def __init__(self, factory):
        self.factory, self.known = factory, {}

    def __call__(self, options=(), environment=(), *, url=True):
        key = (tuple(options), tuple(dict(environment).items()), url)
        if key not in self.known:
            self.known[key] = self.run(list(options), dict(environment), url)
        return self.known[key]

    def run(self, options, environment, url):
        bench = Bench(self.factory.mktemp("options"))
        for name in ("executor", "fetcher", "uploader"):
            bench.mode(name)
        given = [*bench.places, "--apiKeyFile", str(bench.key_file)] + (["--serverUrl", "http://127.0.0.1:9"] if url else [])
        try:
            bench.start(*given, *options, env=clean_environment(**environment))
            text = bench.wait_started(1)[0]["config"]
        finally:
            bench.close()
        return dict(line.split(" = ", 1) if " = " in line else (line.removesuffix(" ="), "") for line in text.splitlines())


@pytest.fixture(scope="module")
def resolved(tmp_path_factory):
    return Runs(tmp_path_factory)


@pytest.mark.parametrize("name", DEFAULTS)
def test_default(resolved, name):
    assert resolved()[name] == DEFAULTS[name]


@pytest.mark.parametrize("form", [pairs, joined], ids=["--name value", "--name=value"])
@pytest.mark.parametrize("name", OTHERS)
def test_form(resolved, name, form):
    assert resolved(form(OTHERS), url=False)[name] == OTHERS[name]


@pytest.mark.parametrize("old", OLD_NAMES)
def test_old_name(resolved, old):
    for form in (pairs, joined):
        assert resolved(form({old: "9"}))[OLD_NAMES[old]] == "9"


@pytest.mark.parametrize("name", [name for name in OTHERS if OPTIONS[name][2]])
def test_environment(resolved, name):
    assert resolved(environment=variables(OTHERS), url=False)[name] == OTHERS[name]


@pytest.mark.parametrize("name", [name for name in OTHERS if OPTIONS[name][2]])
def test_the_command_line_wins_over_the_environment(resolved, name):
    """In the old agent it was the other way round for verify, timeout and metricsRetentionDays."""
    assert resolved(pairs(OTHERS), variables({**DEFAULTS, "serverUrl": "http://theirs.invalid"}), url=False)[name] == OTHERS[name]


@pytest.mark.parametrize("word", YES + NO)
@pytest.mark.parametrize("form", [pairs, joined], ids=["--name value", "--name=value"])
def test_boolean_words(resolved, word, form):
    found = resolved(form(dict.fromkeys(BOOLEANS, word)))
    wanted = "true" if word in YES else "false"
    assert {name: found[name] for name in BOOLEANS} == {**dict.fromkeys(BOOLEANS, wanted), "enableStdoutLogging": "true"}


def test_a_bare_flag_means_true(resolved):
    """Before another option as well as at the end."""
    found = resolved([f"--{name}" for name in BOOLEANS])
    assert {name: found[name] for name in BOOLEANS} == dict.fromkeys(BOOLEANS, "true")


def test_a_bare_flag_does_not_take_the_next_option(resolved):
    found = resolved(["--debugMode", "--index", "_x", "--uploadToAc", "--envName=e"])
    assert (found["debugMode"], found["index"], found["uploadToAc"], found["envName"]) == ("true", "_x", "true", "e")


@pytest.mark.parametrize("given", [["--timeout", "5"], ["--timeout=5"], {"timeout": "5"}], ids=str)
def test_timeout_is_accepted_and_ignored(resolved, given):
    changed = resolved(environment=given) if isinstance(given, dict) else resolved(given)
    plain = resolved()
    assert changed["timeout"] == "5" and {name for name in plain if plain[name] != changed[name]} <= {
        "timeout", "stateDir", "runtimeDir", "logDir", "lockDir", "keysDir"}  # the places are each run's own


@pytest.mark.parametrize("how", ["--apiKey KEY", "--apiKey=KEY", "api_key"])
def test_the_key(tmp_path, how):
    """In three forms; the programs get it by a file of memory, and it is in no argument."""
    bench = Bench(tmp_path)
    options = {"--apiKey KEY": ["--apiKey", "k3y"], "--apiKey=KEY": ["--apiKey=k3y"], "api_key": []}[how]
    environment = {"api_key": "k3y"} if how == "api_key" else {}
    try:
        bench.start("--serverUrl", "http://127.0.0.1:9", *bench.places, *options, env=clean_environment(**environment))
        started = bench.wait_started()
    finally:
        bench.close()
    assert {event["key"].strip() for event in started if event["name"] in ("fetcher", "uploader")} == {"k3y"}
    assert not any("k3y" in word for event in started for word in event["argv"])


@pytest.mark.parametrize("value", ["0", "3", "x"])
def test_ac_max_concurrent_is_one_or_two(value):
    done = subprocess.run([BUILD / "bin/sluice", "run", "--serverUrl", "http://h", "--apiKey", "k", "--check-config",
                           "--acMaxConcurrent", value], capture_output=True, text=True, timeout=20, check=False,
                          env=clean_environment())
    assert done.returncode == 2 and "whole number from 1 to 2" in done.stderr


# docs/MIGRATION.md

MIGRATION = pathlib.Path(__file__).parents[2] / "docs/MIGRATION.md"


def helped():
    text = subprocess.run([BUILD / "bin/sluice", "run", "--help"], capture_output=True, text=True, timeout=20, check=True).stdout
    return set(re.findall(r"^  --([\w.-]+)", text, re.M)), text


def test_migration_has_every_option_once():
    text = MIGRATION.read_text()
    section = text[text.index("\n## Options\n"):text.index("\n## systemd\n")]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    named = [name for cell in cells for name in re.findall(r"`--([\w.-]+)", cell)]
    assert sorted(named) == sorted(set(named)), "an option is there twice"
    assert set(named) == (helped()[0] | set(OLD_NAMES)) - {"help", "version"}


@pytest.mark.parametrize("name", [*OPTIONS, *OLD_NAMES])
def test_help_and_migration_tell_the_default(name):
    """As the contract has it; and the help names the variable."""
    default, _, variable = OPTIONS[OLD_NAMES.get(name, name)]
    help_text = helped()[1]
    entry = re.search(rf"^  --{OLD_NAMES.get(name, name)} .*(?:\n {{10,}}.*)*", help_text, re.M)[0]
    words = " ".join(entry.split())
    if name in OLD_NAMES:
        assert f"(also --{name})" in words
    if default and name != "enableStdoutLogging":
        assert f"[{default}]" in words
    assert not variable or f"(${variable})" in words
    row = next(line for line in MIGRATION.read_text().splitlines() if line.startswith("| `") and f"`--{name}`" in line)
    if default and name != "enableStdoutLogging":
        assert default in re.sub("[*`]", "", row.split("|")[3]).split(), row


@pytest.mark.parametrize("name", ["outgoingProxyHttp", "outgoingProxyHttps", "caBundle"])
def test_help_says_what_serves_the_store_too(name):
    assert "the store" in re.search(rf"^  --{name} .*(?:\n {{10,}}.*)*", helped()[1], re.M)[0]
