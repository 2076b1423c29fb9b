"""The command line: errors before anything starts, the supervisor with stand-ins for the programs, the key's hiding
places, and `sluice status` with a stand-in for the broker."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import threading
import time

import msgpack
import pytest
import zmq

BUILD = pathlib.Path(os.environ.get("SLUICE_BUILD", "build/release")).resolve()
HERE = pathlib.Path(__file__).resolve().parent
PROGRAMS = ("broker", "executor", "fetcher", "uploader")
KEY = "a-key-nobody-may-see"
DEADLINE = 30.0


def until(condition, what, deadline=DEADLINE):
    end = time.monotonic() + deadline
    while not (value := condition()):
        assert time.monotonic() < end, f"{what} did not come about"
        time.sleep(0.01)
    return value


def clean_environment(**more):
    ours = {"server_url", "api_key", "verify", "timeout", "EXECUTOR_POOL_SIZE", "metricsRetentionDays",
            "STATE_DIRECTORY", "RUNTIME_DIRECTORY", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET"}
    return {**{k: v for k, v in os.environ.items() if k not in ours}, **more}


def of_session(sid):
    """The live processes of a session."""
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            rest = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(rest[3]) == sid and rest[0] != "Z":
            found.append(int(stat.parent.name))
    return found


class Bench:
    """`sluice` in a folder of its own beside stand-ins for the programs."""

    def __init__(self, folder):
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir()
        shutil.copy2(BUILD / "bin/sluice", self.bin / "sluice")
        for name in PROGRAMS:
            shutil.copy2(HERE / "fake_program.py", self.bin / f"sluice-{name}")
            (self.bin / f"sluice-{name}").chmod(0o755)
        self.state, self.runtime = folder / "state", folder / "run"
        self.places = ["--stateDir", str(self.state), "--runtimeDir", str(self.runtime)]
        self.key_file = folder / "key"
        self.key_file.write_text(KEY + "\n")
        self.good = ["--serverUrl", "http://127.0.0.1:9", "--apiKeyFile", str(self.key_file), *self.places]
        self.run = None

    def mode(self, name, **mode):
        (self.bin / f"{name}.json").write_text(json.dumps(mode))

    def start(self, *options, env=None):
        with open(self.folder / "log", "ab") as log:
            self.run = subprocess.Popen([self.bin / "sluice", "run", *(options or self.good)], stdout=log, stderr=log,
                                        stdin=subprocess.DEVNULL, env=env or clean_environment(),
                                        start_new_session=True)
        return self.run

    def events(self, event=None, name=None):
        try:
            lines = (self.bin / "events").read_text().splitlines(keepends=True)
        except FileNotFoundError:
            return []
        found = [json.loads(line) for line in lines if line.endswith("\n")]  # another may just be written
        return [e for e in found if event in (None, e["event"]) and name in (None, e["name"])]

    def wait_started(self, count=len(PROGRAMS)):
        return until(lambda: len(self.events("start")) >= count and self.events("start"), "the programs' start")

    def log(self):
        return (self.folder / "log").read_text()

    def close(self):
        if self.run is None:
            return
        for pid in of_session(self.run.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.run.wait(10)


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def refused(bench, options, *parts, env=None, command=("run",)):
    """Runs it and asserts one clear line, a status that is not 0, and nothing left behind."""
    process = subprocess.Popen([bench.bin / "sluice", *command, *map(str, options)], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env=env or clean_environment(), start_new_session=True)
    out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode != 0
    assert out == ""
    assert re.fullmatch(r"sluice: [^\n]+\n", err), err
    for part in parts:
        assert part in err
    assert bench.events() == []
    assert of_session(process.pid) == []
    return process.returncode


# --- errors before anything starts ---

def test_no_server_url(bench):
    assert refused(bench, ["--apiKeyFile", bench.key_file, *bench.places], "--serverUrl") == 2


def test_no_key(bench):
    refused(bench, ["--serverUrl", "http://h", *bench.places], "--apiKeyFile")


def test_unknown_option(bench):
    refused(bench, [*bench.good, "--executorPoolsize", "5"], "--executorPoolsize", "did you mean --executorPoolSize")


@pytest.mark.parametrize("option", ["--rateLimitPerMin=many", "--executors=-1", "--drainTimeout=", "--taskQueueSize=1e3"])
def test_bad_number(bench, option):
    refused(bench, [*bench.good, option], option[2:].split("=")[0], "whole number")


def test_bad_value_in_the_environment(bench):
    refused(bench, bench.good, "EXECUTOR_POOL_SIZE", "lots", env=clean_environment(EXECUTOR_POOL_SIZE="lots"))


def test_bad_configuration_file(bench):
    file = bench.folder / "sluice.conf"
    file.write_text("verify = yes\n\ntaskQueueSize = plenty\n")
    refused(bench, [*bench.good, "--config", file], str(file), "line 3", "plenty")


def test_unreadable_key_file(bench):
    refused(bench, ["--serverUrl", "http://h", "--apiKeyFile", bench.folder / "none", *bench.places],
            str(bench.folder / "none"), "No such file")
    refused(bench, ["--serverUrl", "http://h", "--apiKeyFile", bench.folder, *bench.places], "directory")
    bench.key_file.write_text("\n")
    refused(bench, bench.good, str(bench.key_file), "empty")


def test_state_directory_that_cannot_be_written(bench):
    options = [*bench.good[:4], "--runtimeDir", bench.runtime, "--stateDir"]
    refused(bench, [*options, "/proc/nothing/here"], "/proc/nothing/here", "--stateDir")
    refused(bench, [*options, bench.key_file], str(bench.key_file), "no directory")


def test_missing_program(bench):
    (bench.bin / "sluice-uploader").unlink()
    refused(bench, bench.good, "sluice-uploader")


def test_second_agent(bench):
    """With the real broker, whose lock it is."""
    for shared, other, option in (("state", "runtime", "--stateDir"), ("runtime", "state", "--runtimeDir")):
        places = {"state": bench.state, "runtime": bench.runtime}
        first = dict(places, **{other: bench.folder / "elsewhere"})
        broker = subprocess.Popen([BUILD / "bin/sluice-broker", "--stateDir", first["state"], "--runtimeDir",
                                   first["runtime"]], stderr=subprocess.DEVNULL)
        try:
            lock = places[shared] / "broker.lock"
            until(lambda: lock.exists() and lock.read_text() == f"{broker.pid}\n", "the broker's lock")
            refused(bench, bench.good, f"pid {broker.pid}", str(places[shared]), option)
        finally:
            broker.kill()
            broker.wait(10)


def test_unknown_command(bench):
    refused(bench, [], "nonsense", command=("nonsense",))


def test_check_config(bench):
    out = subprocess.run([bench.bin / "sluice", "run", *bench.good, "--check-config"], capture_output=True, text=True,
                         env=clean_environment(), timeout=DEADLINE)
    assert (out.returncode, out.stdout, out.stderr) == (0, "configuration is valid\n", "")
    assert bench.events() == []


@pytest.mark.parametrize("program", ["sluice", *("sluice-" + name for name in PROGRAMS)])
def test_each_program_takes_all_options(bench, program):
    words = [BUILD / "bin" / program, *(["run"] if program == "sluice" else []), *bench.good, "--poolSize", "3", "--verify",
             "--metrics", "--redeliver", "never", "--check-config"]
    out = subprocess.run(words, capture_output=True, text=True, env=clean_environment(), timeout=DEADLINE)
    assert (out.returncode, out.stdout, out.stderr) == (0, "configuration is valid\n", "")


# --- the supervisor ---

def test_starts_all_and_drains_in_order(bench):
    for name in PROGRAMS:
        bench.mode(name, term_s=0.3)
    run = bench.start(*bench.good, "--executors", "2", "--taskQueueSize", "7")
    starts = bench.wait_started(5)
    assert sorted(e["name"] for e in starts) == ["broker", "executor", "executor", "fetcher", "uploader"]
    for start in starts:
        assert "taskQueueSize = 7" in start["config"]
        assert start["group"] == start["pid"]  # Ctrl-C in a terminal does not reach it
        assert start["blocked"] == []
        assert start["fds"]["0"] == "/dev/null"
    run.send_signal(signal.SIGTERM)
    assert run.wait(DEADLINE) == 0
    terms = {e["name"]: e["at"] for e in bench.events("term")}
    ends = {e["name"]: e["at"] for e in bench.events("end")}
    assert max(terms["fetcher"], terms["executor"]) < min(ends["fetcher"], ends["executor"])
    assert terms["uploader"] > max(ends["fetcher"], ends["executor"])
    assert terms["broker"] > ends["uploader"]
    assert of_session(run.pid) == []


def test_interrupt_drains_too(bench):
    run = bench.start()
    bench.wait_started()
    run.send_signal(signal.SIGINT)
    assert run.wait(DEADLINE) == 0


def test_restarts_with_backoff(bench):
    bench.mode("executor", exit=3)
    bench.start()
    starts = until(lambda: len(e := bench.events("start", "executor")) >= 5 and e, "five starts")
    gaps = [b["at"] - a["at"] for a, b in zip(starts, starts[1:])]
    for gap, least in zip(gaps, (0.1, 0.2, 0.4, 0.8)):
        assert least - 0.06 < gap  # measured in the children, which take a moment to begin
    assert gaps[3] > gaps[1]
    assert len(bench.events("start", "broker")) == 1
    waits = re.findall(r"program_ended program=sluice-executor pid=\d+ status=3 starts_again_in_ms=(\d+)", bench.log())
    assert waits[:4] == ["100", "200", "400", "800"]


def test_restarts_what_is_killed(bench):
    bench.start()
    bench.wait_started()
    for name in PROGRAMS:
        pid = bench.events("start", name)[0]["pid"]
        os.kill(pid, signal.SIGKILL)
        until(lambda: len(bench.events("start", name)) == 2, f"the restart of {name}")
        line = next(l for l in bench.log().splitlines() if f"pid={pid} " in l and "signal=" in l)
        assert ("lease" in line) == (name in ("fetcher", "uploader"))
        assert " starts_again_in_ms=100" in line  # at once, but for what dies again and again
    bench.run.send_signal(signal.SIGTERM)
    assert bench.run.wait(DEADLINE) == 0


def test_broker_is_kept_while_the_others_drain(bench):
    bench.mode("executor", term_s=2)
    run = bench.start()
    bench.wait_started()
    run.send_signal(signal.SIGTERM)
    until(lambda: bench.events("term", "executor"), "the executor's drain")
    os.kill(bench.events("start", "broker")[0]["pid"], signal.SIGKILL)
    until(lambda: len(bench.events("start", "broker")) == 2, "the broker's restart")
    assert not bench.events("end", "executor")
    assert run.wait(DEADLINE) == 0
    assert len(bench.events("start", "fetcher")) == 1


def test_second_signal_hurries(bench):
    bench.mode("executor", deaf=True)
    run = bench.start(*bench.good, "--drainTimeout", "300")
    bench.wait_started()
    run.send_signal(signal.SIGTERM)
    until(lambda: bench.events("end", "fetcher"), "the fetcher's end")
    run.send_signal(signal.SIGTERM)
    assert run.wait(DEADLINE) == 1
    assert of_session(run.pid) == []


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_that_cannot_run_ends_all(bench, name):
    bench.mode(name, exit=2)
    run = bench.start()
    assert run.wait(DEADLINE) == 2
    assert f"sluice: sluice-{name} cannot run" in bench.log()
    assert len(bench.events("start", name)) == 1
    assert of_session(run.pid) == []


def test_killed_supervisor_leaves_nothing(bench):
    run = bench.start()
    bench.wait_started()
    run.kill()
    run.wait(10)
    until(lambda: of_session(run.pid) == [], "the end of the programs")
    assert len(bench.events("end")) == len(PROGRAMS)  # told by SIGTERM


def test_tells_the_service_manager(bench):
    import socket
    path = str(bench.folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(DEADLINE)
        run = bench.start(*bench.good, env=clean_environment(NOTIFY_SOCKET=path, WATCHDOG_USEC="1000000"))
        assert manager.recv(100) == b"READY=1\nSTATUS=running"
        for start in bench.wait_started():
            assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC"} & start["env"].keys()
        run.send_signal(signal.SIGTERM)
        assert manager.recv(100) == b"STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC=50000000"
        assert run.wait(DEADLINE) == 0


# --- the key ---

@pytest.mark.parametrize("way", ["file", "option", "option=", "environment", "credential"])
def test_nobody_sees_the_key(bench, way):
    env, words = clean_environment(), []
    if way == "file":
        words = ["--apiKeyFile", bench.key_file]
    elif way == "option":
        words = ["--apiKey", KEY]
    elif way == "option=":
        words = ["--apiKey=" + KEY]
    elif way == "environment":
        env["api_key"] = KEY
    else:
        shutil.copy(bench.key_file, bench.folder / "api_key")
        env["CREDENTIALS_DIRECTORY"] = str(bench.folder)
    run = bench.start("--serverUrl", "http://127.0.0.1:9", *bench.places, *map(str, words), env=env)
    starts = bench.wait_started()
    for start in starts:
        holds = start["name"] in ("fetcher", "uploader")
        assert (start["key"] is not None and start["key"].strip() == KEY) == holds
        assert KEY not in start["config"]
        assert KEY not in json.dumps(start["argv"]) + json.dumps(start["env"])
        assert "CREDENTIALS_DIRECTORY" not in start["env"]
        assert any("key" in link and "memfd" in link for link in start["fds"].values()) == holds
    for pid in [run.pid] + [start["pid"] for start in starts]:
        for file in ("cmdline", "environ"):
            try:
                assert KEY.encode() not in pathlib.Path(f"/proc/{pid}/{file}").read_bytes()
            except PermissionError:
                pass  # hidden as a whole
    assert KEY not in bench.log()


# --- status ---

class Broker(threading.Thread):
    """Answers STATUS on a control socket with the frames of answer(seq), and DRAIN with itself."""

    def __init__(self, runtime, answer):
        super().__init__(daemon=True)
        runtime.mkdir(mode=0o700, exist_ok=True)
        self.answer, self.seen = answer, []
        self.socket = zmq.Context.instance().socket(zmq.ROUTER)
        self.socket.bind(f"ipc://{runtime}/control")
        self.start()

    def run(self):
        while True:
            frames = self.socket.recv_multipart()
            message = msgpack.unpackb(frames[1])
            self.seen.append((frames[0], message))
            if message[1] == 6:
                self.socket.send_multipart([frames[0], frames[1]])
            if message[1] == 30:
                self.socket.send_multipart([frames[0], *self.answer(message[2])])


def reply(document):
    return lambda seq: [msgpack.packb([1, 31, seq]), document.encode()]


def sluice(bench, *words, **more):
    return subprocess.run([bench.bin / "sluice", *words, *bench.places], capture_output=True, text=True,
                          env=clean_environment(), timeout=DEADLINE, **more)


def test_status(bench):
    document = json.dumps({"version": "2.0.0", "agent_id": "1_a", "tasks": {"ready": 3, "running": 4},
                           "workers": [], "fetch": {"paused": True, "reason": "by hand"}})
    broker = Broker(bench.runtime, reply(document))
    page = sluice(bench, "status")
    assert page.returncode == 0 and page.stderr == ""
    assert "ready 3   running 4" in page.stdout and "paused: by hand" in page.stdout
    assert "\x1b" not in page.stdout
    assert sluice(bench, "status", "--json").stdout == document + "\n"
    assert all(len(identity) == 8 and message[:2] == [1, 30] for identity, message in broker.seen)


def test_drain_and_resume(bench):
    paused = []

    def answer(seq):
        paused.append([m for _, m in broker.seen if m[1] == 6][-1])
        return reply(json.dumps({"fetch": {"paused": paused[-1][3] == 1, "reason": "by hand"}}))(seq)
    broker = Broker(bench.runtime, answer)
    assert sluice(bench, "drain").stdout == "fetching is paused: by hand\n"
    assert sluice(bench, "resume").stdout == "fetching is on\n"
    assert paused == [[1, 6, 0, 1], [1, 6, 0, 0]]


def test_watch(bench):
    broker = Broker(bench.runtime, reply('{"version":"2.0.0"}'))
    with subprocess.Popen([bench.bin / "sluice", "status", "--watch", "--json", *bench.places], stdout=subprocess.PIPE,
                          text=True, env=clean_environment()) as watch:
        assert [watch.stdout.readline() for _ in range(2)] == ['{"version":"2.0.0"}\n'] * 2
        watch.send_signal(signal.SIGINT)
        assert watch.wait(DEADLINE) == 0
    assert len(broker.seen) >= 2


def test_status_without_a_broker(bench):
    refused(bench, bench.places, f"ipc://{bench.runtime}/control", "no such socket", command=("status",))
    zmq.Context.instance().socket(zmq.ROUTER).bind(f"ipc://{bench.folder}/control")
    refused(bench, ["--runtimeDir", bench.folder], "no answer", command=("status",))


@pytest.mark.parametrize("answer, part", [
    (lambda seq: [msgpack.packb([1, 31, seq]), b"\xff{["], "cannot be shown"),
    (lambda seq: [msgpack.packb([1, 31, seq]), b"{\"a\":" * 100000], "cannot be shown"),
    (lambda seq: [b"\xc1garbage"], "does not know"),
    (lambda seq: [msgpack.packb([2, 31, seq]), b"{}"], "version"),
    (lambda seq: [msgpack.packb([1, 32, 3, 30, "speak version 2"])], "speak version 2"),
])
def test_status_of_garbage(bench, answer, part):
    Broker(bench.runtime, answer)
    refused(bench, bench.places, part, command=("status",))


# --- help ---

@pytest.mark.parametrize("words", [["sluice", "run"], ["sluice", "status"], *(["sluice-" + name] for name in PROGRAMS)])
def test_help_fits_a_terminal(words):
    out = subprocess.run([BUILD / "bin" / words[0], *words[1:], "--help"], capture_output=True, text=True,
                         env=clean_environment(), timeout=DEADLINE)
    assert (out.returncode, out.stderr) == (0, "")
    lines = out.stdout.splitlines()
    assert all(len(line) <= 80 for line in lines[1:])
    assert lines[0].startswith("usage: " + " ".join(words))
    assert all(any(line.startswith("  --" + name) for line in lines)
               for name in ("serverUrl", "executorPoolSize", "metrics", "bind", "config"))
    assert any("metricsINDEX.json" in line for line in lines)
