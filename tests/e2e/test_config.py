"""`sluice config check` and `show`, and SIGHUP."""
import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

import pytest

from agent import DEADLINE, until

BUILD = pathlib.Path(os.environ.get("SLUICE_BUILD", "build/release")).resolve()
OURS = {"server_url", "api_key", "verify", "timeout", "EXECUTOR_POOL_SIZE", "metricsRetentionDays", "STATE_DIRECTORY",
        "RUNTIME_DIRECTORY", "LOGS_DIRECTORY", "CREDENTIALS_DIRECTORY"}


def config(*words, **environment):
    clean = {k: v for k, v in os.environ.items() if k not in OURS}
    return subprocess.run([BUILD / "bin/sluice", "config", *map(str, words)], capture_output=True, text=True,
                          env={**clean, **environment}, timeout=DEADLINE)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "sluice.conf"


@pytest.fixture
def key(tmp_path):
    (tmp_path / "api_key").write_text("a-key-nobody-may-see\n")
    return {"CREDENTIALS_DIRECTORY": str(tmp_path)}


def test_check_names_every_fault(file, key):
    file.write_text("serverUrl = https://ac.example\n\nratelimitPerMin = 100\ntaskQueueSize = many\n"
                    "[executor]\nconnectTimeout = 0\nlookahead = 3\nno assignment\n[nowhere]\nx = 1\n")
    done = config("check", "--config", file, **key)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f'{file}, line 3: there is no option "ratelimitPerMin"; did you mean "rateLimitPerMin"?',
        f'{file}, line 4: taskQueueSize is "many"; it must be a whole number from 1 to 10000000',
        f'{file}, line 6: connectTimeout is "0"; it must be a whole number from 1 to 3600',
        f"{file}, line 7: lookahead is not for the executor",
        f"{file}, line 8: a line must be: name = value",
        f"{file}, line 9: there is no section [nowhere]; there are [broker], [fetcher], [executor] and [uploader]"]


def test_check_what_belongs_together(file, key):
    file.write_text("rateLimitPerMin = 100\n")
    done = config("check", "--config", file, **key)
    assert done.returncode == 2 and done.stderr.startswith("no server URL")
    file.write_text("serverUrl = https://ac.example\n")
    done = config("check", "--config", file, **key)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{file} is valid\n", "")
    done = config("check", "--config", file, CREDENTIALS_DIRECTORY="/no/such")
    assert done.returncode == 2 and "API key file /no/such/api_key: No such file" in done.stderr
    done = config("check", "--config", "/no/such.conf", **key)
    assert done.returncode == 2 and "/no/such.conf: No such file" in done.stderr


def test_check_what_does_not_fit(file, key):
    """Whatever a line is wrong by, it is named with it, and all of them at once; what one program reads concerns it alone."""
    file.write_text("serverUrl = ac.example\npoolSize = abc\nbind = tcp://0.0.0.0\ninwardProxyHttp = ::\n[executor]\n"
                    "clientKey = /no/such\nbroker = tcp://elsewhere:5670\n[uploader]\ncaBundle = /no/such\n")
    done = config("check", "--config", file, "--keysDir", "/no/such", **key)
    assert done.returncode == 2
    faults = dict(line.removeprefix(f"{file}, line ").split(": ", 1) for line in done.stderr.splitlines() if "without clientCert" not in line)
    assert sorted(faults) == ["1", "2", "3", "4", "6", "7", "9"], done.stderr
    assert faults["1"].startswith('serverUrl is "ac.example"; it must be http://HOST')
    assert faults["2"] == 'poolSize is "abc"; it must be a whole number from 1 to 1000'
    assert faults["3"].startswith('bind is "tcp://0.0.0.0"; it must be tcp://HOST:PORT')
    assert faults["6"] == faults["9"].replace("caBundle", "clientKey") == "clientKey: cannot read /no/such: No such file or directory"
    assert faults["7"].startswith('broker is "tcp://elsewhere:5670"; plain tcp is allowed on loopback')
    for text in ("toolCaBundle = /no/such\n", "clientCert = /no/such\nclientKey = /no/such\n"):
        file.write_text(text)  # only the executor may be able to read them
        done = subprocess.run([BUILD / "bin/sluice-broker", "--config", file, "--check-config"], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("content", ["\ufeffserverUrl = https://ac.example\n", "serverUrl = https://ac.example",
                                     "serverUrl = https://ac.example\r\n\r\n[executor]\r\nexecutorPoolSize = 3\r\n"])
def test_check_what_editors_make_of_a_file(file, key, content):
    file.write_text(content, newline="")
    done = config("check", "--config", file, **key)
    assert (done.returncode, done.stderr) == (0, "")


def test_check_what_is_no_text(file, key):
    for content in (b"serverUrl = https://ac.example\nlookahead = 3\0 0\n", "serverUrl = https://ac.example\n".encode("utf-16")):
        file.write_bytes(content)
        done = config("check", "--config", file, **key)
        assert done.returncode == 2 and f"{file}, line " in done.stderr and "there is a zero byte in it" in done.stderr
    file.unlink()
    file.mkdir()
    done = config("check", "--config", file, **key)
    assert (done.returncode, done.stderr) == (2, f"cannot read the configuration file {file}: Is a directory\n")


def test_check_warns_of_what_is_set_twice(file, key):
    file.write_text("serverUrl = https://ac.example\nlookahead = 3\nlookahead = 4\n[executor]\nexecutorPoolSize = 2\n"
                    "[fetcher]\nserverUrl = https://other.example\n[executor]\npoolSize = 5\n")
    done = config("check", "--config", file, **key)
    assert (done.returncode, done.stdout) == (0, f"{file} is valid\n")
    assert done.stderr.splitlines() == [
        f"{file}, line 3: warning: lookahead is set in line 2, too; this one counts",
        f"{file}, line 9: warning: poolSize is set in line 5, too; this one counts"]
    assert "lookahead = 4 " in config("show", "--config", file, **key).stdout


def test_the_name_that_was_typed(file):
    for words in (["--poolSize", "abc"], ["--poolSize=abc"]):
        done = config("check", "--config", "/dev/null", *words)
        assert done.stderr.splitlines()[0] == '--poolSize is "abc"; it must be a whole number from 1 to 1000'
    done = config("check", "--config", "/dev/null", "--poolSize")
    assert done.stderr == "--poolSize needs a value: --poolSize N\n"


def test_a_key_for_all_to_read(file):
    file.write_text("serverUrl = https://ac.example\napiKey = hush\n")
    file.chmod(0o644)
    done = config("check", "--config", file)
    assert done.returncode == 0 and f"{file}, line 2: warning: apiKey stands in a file that others can read" in done.stderr
    file.chmod(0o600)
    assert config("check", "--config", file).stderr == ""


def test_show(file, key):
    file.write_text("serverUrl = https://ac.example\ninwardProxyHttp = http://me:hush@proxy:3128\n[executor]\nlogDir = /else\n")
    done = config("show", "--config", file, "--lookahead", "7", **key, EXECUTOR_POOL_SIZE="4")
    lines = {}
    section = ""
    for line in done.stdout.splitlines():
        if line.startswith("["):
            section = line
        elif line:
            name, rest = line.split(" = ", 1)
            lines[section + name] = rest.split()
    assert lines["serverUrl"] == ["https://ac.example", f"{file}:1"]
    assert lines["inwardProxyHttp"] == ["http://***@proxy:3128", f"{file}:2"]
    assert lines["lookahead"] == ["7", "command", "line"]
    assert lines["executorPoolSize"] == ["4", "environment,", "$EXECUTOR_POOL_SIZE"]
    assert lines["taskQueueSize"] == ["100", "default"]
    assert lines["apiKey"] == ["set", "credential", "api_key"]
    assert lines["[executor]logDir"] == ["/else", f"{file}:4"]
    assert lines["[broker]logDir"][1] == "default"
    assert "hush" not in done.stdout and "nobody-may-see" not in done.stdout
    shown = config("show", "--config", file, api_key="hush")
    assert "hush" not in shown.stdout and "apiKey = set" in shown.stdout and "$api_key" in shown.stdout


class Broker:
    """A broker and an executor on one configuration file."""

    def __init__(self, folder):
        self.folder, self.file = folder, folder / "sluice.conf"
        self.log = folder / "log"
        self.processes = {}

    def start(self, *names):
        for name in names:
            with open(self.log, "ab") as log:
                self.processes[name] = subprocess.Popen(
                    [BUILD / f"bin/sluice-{name}", "--config", self.file, "--stateDir", self.folder / "state",
                     "--runtimeDir", self.folder / "run", "--enableStdoutLogging"],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def status(self):
        return until(self.try_status, "an answer of the broker")

    def try_status(self):
        import json
        done = subprocess.run([BUILD / "bin/sluice", "status", "--json", "--runtimeDir", self.folder / "run"],
                              capture_output=True, timeout=DEADLINE)
        return json.loads(done.stdout) if done.returncode == 0 else {}

    def until(self, condition, what):
        return until(lambda: condition(s) if (s := self.try_status()) else None, what)

    def lines(self, name, event):
        return [line for line in self.log.read_text().splitlines() if f"event={event}" in line and f"sluice-{name}" in line]

    def reload(self, name, event, count=1):
        self.processes[name].send_signal(signal.SIGHUP)
        return until(lambda: len(found := self.lines(name, event)) >= count and found, f"{event} of {name}")[-1]

    def close(self):
        for process in self.processes.values():
            process.kill()
            process.wait()


@pytest.fixture
def broker(tmp_path):
    broker = Broker(tmp_path)
    yield broker
    broker.close()


def executors(status):
    return [w for w in status["workers"] if w["role"] == "executor"]


def test_reload(broker):
    broker.file.write_text("rateLimitPerMin = 100\nexecutorPoolSize = 3\n")
    broker.start("broker", "executor")
    broker.until(lambda s: [w["slots"] for w in executors(s)] == [3], "an executor of three slots")
    assert broker.status()["config"]["rate_per_min"] == 100
    broker.file.write_text("rateLimitPerMin = 200\nexecutorPoolSize = 5\nindex = _dev\n")
    line = broker.reload("broker", "config_reloaded")
    assert "rateLimitPerMin=200" in line and "executorPoolSize" not in line
    assert "options=index" in broker.reload("broker", "restart_needed")
    broker.until(lambda s: s["config"]["rate_per_min"] == 200, "the new rate")
    line = broker.reload("executor", "config_reloaded")
    assert "executorPoolSize=5" in line and "rateLimitPerMin" not in line
    broker.until(lambda s: [w["slots"] for w in executors(s)] == [5], "five slots")
    assert "options=index" in broker.lines("executor", "restart_needed")[-1]
    assert all(process.poll() is None for process in broker.processes.values())


def test_a_bad_file_changes_nothing(broker):
    broker.file.write_text("rateLimitPerMin = 100\n")
    broker.start("broker")
    broker.until(lambda s: s["config"]["rate_per_min"] == 100, "the broker")
    broker.file.write_text("rateLimitPerMin = 200\ntaskQueueSize = none\n")
    line = broker.reload("broker", "config_not_reloaded")
    assert "line 2" in line and "taskQueueSize" in line
    assert broker.status()["config"]["rate_per_min"] == 100
    broker.file.write_text("rateLimitPerMin = 300\n")
    broker.reload("broker", "config_reloaded")
    broker.until(lambda s: s["config"]["rate_per_min"] == 300, "the new rate")


def test_the_service_manager_is_told(broker, tmp_path):
    path = str(tmp_path / "notify")
    broker.file.write_text("")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(DEADLINE)

        def heard(wanted):
            end = time.monotonic() + DEADLINE
            while not (text := manager.recv(500).decode()).startswith(wanted):
                assert time.monotonic() < end
            return text
        os.environ["NOTIFY_SOCKET"] = path
        try:
            broker.start("executor")
            assert heard("STATUS=") == "STATUS=waiting for the broker"
            broker.start("broker")
        finally:
            del os.environ["NOTIFY_SOCKET"]
        texts = set()
        while texts != {"READY=1\nSTATUS=listening", "READY=1\nSTATUS=in session with the broker"}:
            texts.add(heard("READY=1"))
        broker.processes["executor"].send_signal(signal.SIGHUP)
        heard("RELOADING=1")
        heard("READY=1\nSTATUS=in session with the broker")  # one that starves may say first that it waits for it again
        broker.file.write_text("index = _dev\n")
        broker.processes["executor"].send_signal(signal.SIGHUP)
        heard("READY=1\nSTATUS=in session with the broker; restart needed for: index")
        broker.processes["executor"].send_signal(signal.SIGTERM)
        assert "EXTEND_TIMEOUT_USEC=40000000" in heard("STOPPING=1")


@pytest.mark.parametrize("name", ["broker", "fetcher", "executor", "uploader"])
def test_a_service_with_a_fault_rests(tmp_path, name):
    """Started again at once it would only fill the journal; the fault is its state, and it can be stopped."""
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(DEADLINE)
        with subprocess.Popen([BUILD / f"bin/sluice-{name}", "--lookahead", "x"], stderr=subprocess.PIPE, text=True,
                              env={**os.environ, "NOTIFY_SOCKET": path}) as process:
            why = '--lookahead is "x"; it must be a whole number from 0 to 1000000'
            assert manager.recv(500).decode() == f"STATUS=to be put right first: {why}"
            assert process.stderr.readline() == f"sluice-{name}: {why}\n"
            process.terminate()  # -15: before the program was ready for it
            assert process.wait(DEADLINE) in (0, -signal.SIGTERM)
    done = subprocess.run([BUILD / f"bin/sluice-{name}", "--lookahead", "x"], stderr=subprocess.DEVNULL, timeout=DEADLINE,
                          env={**os.environ, "NOTIFY_SOCKET": path, "MAINPID": "1"})
    assert done.returncode == 2


def test_the_installed_example_is_valid(tmp_path, key):
    """Each option is in it, explained; with all that it shows as defaults taken at its word it is valid, and changes nothing."""
    text = (BUILD / "man/sluice.conf").read_text()
    options = re.findall(r"(?m)^#([\w.-]+) = (.*)$", text)
    helped = subprocess.run([BUILD / "bin/sluice", "run", "--help"], capture_output=True, text=True, timeout=DEADLINE).stdout
    assert {name for name, _ in options} == set(re.findall(r"(?m)^  --([\w.-]+)", helped)) - {"help", "version", "config", "check-config"}
    assert len(re.findall(r"(?m)^# .+\n# .*\bfor (?:.+); .+\n#[\w.-]+ = ", text)) == len(options)
    file = tmp_path / "all.conf"
    defaults = [(name, value) for name, value in options if not re.fullmatch(r"[A-Z]+|tcp://HOST:PORT", value)]
    file.write_text("serverUrl = https://ac.example\n" + "".join(f"{name} = {value}\n" for name, value in defaults))
    assert config("check", "--config", file, **key).stderr == ""
    shown = config("show", "--config", file, **key).stdout
    (tmp_path / "none.conf").write_text("serverUrl = https://ac.example\n")
    plain = config("show", "--config", tmp_path / "none.conf", **key).stdout
    values = lambda lines: [line.split("  ")[0] for line in lines.splitlines()]
    assert values(shown) == values(plain) and len(defaults) > 25


def test_sockets_for_the_group(broker, tmp_path):
    """Executors of another user come by the group of the runtime directory, when it lets its group in; to the sockets that
    all executors use, and no others. (A worker's own is its user's.)"""
    broker.file.write_text("")
    for mode, theirs in ((0o700, 0o700), (0o750, 0o660)):
        wanted = {"control": theirs, "results": theirs, "worker": 0o700, "tasks": 0o700, "events": 0o700}
        (tmp_path / "run").mkdir(exist_ok=True)
        (tmp_path / "run").chmod(mode)
        broker.start("broker", "executor")
        broker.until(executors, "an executor")

        def modes():
            """Of all sockets, once they are there: a repeated HELLO replaces the worker's."""
            found = {}
            for path in (tmp_path / "run").iterdir():
                with contextlib.suppress(FileNotFoundError):
                    if path.is_socket():
                        found[path.name.split("-")[0]] = path.stat().st_mode & 0o777
            return found
        until(lambda: modes() == wanted, f"the sockets of a directory of mode {mode:o}")
        assert (tmp_path / "run/broker.lock").stat().st_mode & 0o777 == 0o600
        broker.close()
