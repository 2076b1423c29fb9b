"""Log files: where lines go, and what they never hold."""
import base64
import contextlib
import io
import json
import os
import shutil
import signal
import socket
import time
import urllib.parse
import zipfile

import pytest

from agent import KEY, Agent, until

FAST = ["--rateLimitPerMin", "1000000"]
MARK = "s3cr3t-mark"


def log_files(agent, pattern="*"):
    return {path.name: path.read_text() for path in agent.state.glob("logs/" + pattern) if path.is_file()}


def task(name, url, **members):
    return {"taskId": name, "method": "GET", "url": url, **members}


def secret(what):
    return f"{MARK}-{what}"


def refused_port():
    """A port of this machine at which nobody listens for now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def tasks_with_secrets():
    """A secret in each place that a log must never show, in tasks that go well and in such that fail in every way."""
    headers = {"Authorization": f"Bearer {secret('authorization')}", "X-Token": secret("header")}
    query = "?token=" + secret("query") + "#" + secret("fragment")
    dead = f"http://127.0.0.1:{refused_port()}/"
    more = {"requestHeaders": headers, "input": secret("input"), "unknownMember": secret("member")}
    answer = {"status": 200, "body": secret("answer"), "headers": [["X-Answer", secret("answer-header")]]}

    def redirect(location, status=302):
        return {"status": status, "body": secret("answer"),
                "headers": [["Location", location], ["Set-Cookie", secret("cookie")]]}

    return [
        (task("good", "{tool}/good" + query, **more), answer),
        (task("user", "http://user:" + secret("password") + "@{host}/user" + query, **more), answer),
        (task("form", "{tool}/form", method="POST", input={"a": secret("form")}, requestHeaders=headers), answer),
        (task("error", "{tool}/error" + query, method="POST", **more), {**answer, "status": 500}),
        (task("refused", dead + query, **more), None),
        (task("no-host", "http://no-such-host.invalid/" + query, **more), None),
        (task("no-scheme", "ftp://x/" + query, **more), None),
        (task("bad-port", "http://x:99999/" + query, **more), None),
        (task("bad-url", "http://[" + query, **more), None),
        (task("bad-header", "{tool}/x" + query, requestHeaders={"A": secret("header") + "\r\nB: c"}), None),
        (task("bad-name", "{tool}/x" + query, requestHeaders={secret("name") + " :": secret("header")}), None),
        (task("no-headers", "{tool}/x" + query, requestHeaders=secret("headers")), None),
        (task("bad-input", "{tool}/x" + query, input=[secret("input")]), None),
        (task("bad-method", "{tool}/x" + query, method="G T", input=secret("input")), None),
        ({"taskId": "no-url", "method": "GET", "input": secret("input")}, None),
        (task("url-no-text", {"a": secret("url")}), None),
        (task("config", "{tool}/config" + query, globalConfig={"debugMode": secret("config")}), answer),
        (task("expired", "{tool}/x" + query, expiryTsMs=1, **more), None),
        (task("slow", "{tool}/slow" + query, expiryTsMs=int(time.time() * 1000) + 4000, **more),
         {**answer, "delayMs": 60000}),
        (task("half", "{tool}/half" + query, **more), {**answer, "fault": "half"}),
        (task("reset", "{tool}/reset" + query, method="POST", **more), {**answer, "fault": "reset"}),
        (task("no-gzip", "{tool}/no-gzip" + query, **more),
         {**answer, "headers": [["Content-Encoding", "gzip"], ["X-Answer", secret("answer-header")]]}),
        (task("to-good", "{tool}/to-good" + query, **more), redirect("{tool}/good" + query)),
        (task("to-dead", "{tool}/to-dead" + query, **more), redirect(dead + "?x=" + secret("location"), 307)),
        (task("to-scheme", "{tool}/to-scheme" + query, **more), redirect("ftp://x/?x=" + secret("location"))),
        (task("to-nothing", "{tool}/to-nothing" + query, **more), redirect("http://[?x=" + secret("location"))),
        (task("to-itself", "{tool}/to-itself" + query, **more), redirect("{tool}/to-itself" + query)),
    ]


def add_tasks(mock, pairs):
    lines = []
    for given, tool in pairs:
        text = json.dumps({"task": given, **({"tool": {**tool, "repeats": True}} if tool else {})})
        lines.append(text.replace("{host}", mock.tool.split("//")[1]))
    mock.post("/_control/tasks", "\n".join(lines).encode())


def assert_silent(texts, *secrets):
    for name, text in texts.items():
        for line in text.splitlines():
            for word in secrets:
                assert word not in line, f"{name}: {line}"
                assert base64.b64encode(word.encode()).decode()[:-4] not in line, f"{name}: {line}"


def everything(agent):
    agent.log.flush()
    return {"stderr": agent.log_text(), **log_files(agent)}


@pytest.mark.contract("4 silence")
def test_no_secret_is_ever_logged(world):
    mock = world.start_mock()
    agent = world.make_agent(*FAST, "--debugMode")
    pairs = tasks_with_secrets()
    add_tasks(mock, pairs)
    mock.config(faults=["put-result:400:1:x2", "put-result:500:1:x1", "get-task:garbage:1:x1"])
    agent.start()
    # two results are refused for good, and stay with the agent
    mock.wait(f"delivered>={len(pairs) - 2}")
    agent.status_until(lambda s: s["buried"] == 2, "two refused results")
    agent.stop()
    texts = everything(agent)
    assert "event=result_buried" in texts["stderr"] and "event=task_failed" in texts["stderr"]
    assert " debug " in texts["sluice-executor_prod.log"]
    assert_silent(texts, MARK, KEY)


@pytest.mark.contract("4 silence")
def test_no_proxy_password_is_ever_logged(world):
    """Neither while a proxy cannot be reached, nor when it refuses."""
    mock = world.start_mock()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        for port in (refused_port(), listener.getsockname()[1]):
            proxy = f"http://user:{secret('proxy')}@127.0.0.1:{port}"
            agent = Agent(world.folder, mock, *FAST, "--debugMode", "--outgoingProxyHttp", proxy, "--inwardProxyHttp",
                          proxy, "--inwardProxyHttps", proxy, "--outgoingProxyHttps", proxy)
            world.agent = agent
            agent.start()
            with contextlib.suppress(OSError):
                if port == listener.getsockname()[1]:
                    refuse_one(listener)
            until(lambda a=agent: "event=poll_failed" in a.log_text(), "a failed poll")
            agent.stop()
            assert_silent(everything(agent), MARK, KEY)


def refuse_one(listener):
    listener.settimeout(30)
    connection, _ = listener.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 407 " + MARK.encode() + b"\r\nProxy-Authenticate: Basic realm=\"" + MARK.encode() +
                           b"\"\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.contract("4 silence")
def test_no_tool_proxy_password_is_ever_logged(world):
    mock = world.start_mock()
    proxy = f"http://user:{secret('proxy')}@127.0.0.1:{refused_port()}"
    agent = world.make_agent(*FAST, "--debugMode", "--inwardProxyHttp", proxy, "--inwardProxyHttps", proxy)
    add_tasks(mock, [(task("plain", "{tool}/x?" + MARK), None), (task("tls", "https://x.invalid/?" + MARK), None)])
    agent.start()
    mock.wait("delivered>=2")
    agent.stop()
    assert agent.log_text().count("event=task_failed") == 2
    assert_silent(everything(agent), MARK, KEY)


@pytest.mark.contract("5 log files")
def test_a_file_for_each_program(world):
    mock = world.start_mock("--tasks", 20)
    agent = world.make_agent(*FAST, "--executors", 3, "--index", "_dev").start()
    mock.wait("delivered>=20")
    agent.status_until(lambda s: len(s["workers"]) == 5, "all workers")
    agent.stop()
    files = log_files(agent)
    assert sorted(files) == ["sluice-broker_dev.log", "sluice-executor-2_dev.log", "sluice-executor-3_dev.log",
                             "sluice-executor_dev.log", "sluice-fetcher_dev.log", "sluice-uploader_dev.log",
                             "sluice_dev.log"]
    stderr = agent.log_text()
    for name, text in files.items():
        program = name.removesuffix("_dev.log").removesuffix("-2").removesuffix("-3")
        assert text, name
        for line in text.splitlines():
            assert f" {program} event=" in line, f"{name}: {line}"
            assert line in stderr  # under `sluice run` each line goes there, too
    assert all((agent.state / "logs" / name).stat().st_mode & 0o777 == 0o600 for name in files)


@pytest.mark.parametrize("variable", [None, "INVOCATION_ID", "JOURNAL_STREAM", "NOTIFY_SOCKET"])
@pytest.mark.contract("5 log files")
def test_stderr_of_a_single_program(world, variable, monkeypatch):
    """Quiet, unless a service manager is there to read it."""
    for name in ("INVOCATION_ID", "JOURNAL_STREAM", "NOTIFY_SOCKET"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, str(world.folder / "nobody"))
    world.start_mock()
    agent = world.make_agent(*FAST)
    agent.options.remove("--enableStdoutLogging")
    broker = agent.program("broker")
    until(lambda: "event=started" in log_files(agent).get("sluice-broker_prod.log", ""), "the start")
    agent.stop(broker)
    assert ("event=started" in agent.log_text()) == bool(variable)


@pytest.mark.contract("5 log files")
@pytest.mark.parametrize("words,loud", [([], False), (["--enableStdoutLogging"], True), (["--enableStdoutLogging=yes"], True),
                                        (["--enableStdoutLogging", "true"], True), (["--enableStdoutLogging", "0"], False)])
def test_stdout_logging_of_a_single_program(world, words, loud, monkeypatch):
    """The option makes it loud where no service manager does; the file has everything in any case."""
    for name in ("INVOCATION_ID", "JOURNAL_STREAM", "NOTIFY_SOCKET"):
        monkeypatch.delenv(name, raising=False)
    world.start_mock()
    agent = world.make_agent(*FAST)
    agent.options = [word for word in agent.options if word != "--enableStdoutLogging"] + words
    broker = agent.program("broker")
    until(lambda: "event=started" in log_files(agent).get("sluice-broker_prod.log", ""), "the start")
    agent.stop(broker)
    lines = log_files(agent)["sluice-broker_prod.log"].splitlines()
    told = agent.log_text().splitlines()
    assert len(lines) >= 2 and told == (lines if loud else [])


@pytest.mark.contract("5 log files")
def test_under_sluice_run_stderr_has_it_all(world):
    """Whatever the option says: one place to look at."""
    mock = world.start_mock("--tasks", 5)
    agent = world.make_agent(*FAST, "--enableStdoutLogging", "false").start()
    mock.wait("delivered>=5")
    agent.stop()
    told = agent.log_text().splitlines()
    for text in log_files(agent).values():
        assert set(text.splitlines()) <= set(told)


def stamp(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(seconds))


def midnight_in(seconds):
    """A TZ whose midnight is so many seconds away, and the date that ends then."""
    now = int(time.time())
    local = -(-now // 86400) * 86400 - seconds  # that second of UTC is to be the local time
    offset = now - local  # west of Greenwich
    sign = "-" if offset < 0 else ""
    hours, rest = divmod(abs(offset), 3600)
    return f"TST{sign}{hours}:{rest // 60:02}:{rest % 60:02}", time.strftime("%Y-%m-%d", time.gmtime(local)), now + seconds


@pytest.mark.contract("5 log files", "5 metrics")
def test_midnight_while_it_runs(world):
    """Local midnight comes while the agent works: each file of the day gets its date, lines go on in new ones, and none is
    lost or on the wrong side."""
    mock, lead_s = world.start_mock(), 8
    while True:  # a busy machine needs more time before midnight
        zone, day, midnight = midnight_in(lead_s)
        agent = world.make_agent(*FAST, "--debugMode", "--metrics")
        agent.environment = {"TZ": zone}
        agent.start()
        mock.add(count=400)
        books = mock.wait(f"delivered>={mock.books()['tasks_total']}")
        if time.time() < midnight - 0.5:
            break
        agent.stop()
        shutil.rmtree(agent.state)
        (world.folder / "agent.log").unlink()
        lead_s *= 3
    until(lambda: time.time() > midnight, "midnight")
    mock.add(count=400)
    mock.wait(f"delivered>={books['tasks_total'] + 400}")
    agent.stop()
    told = set(agent.log_text().splitlines())
    files = log_files(agent)
    for program in ("executor", "fetcher", "uploader", "broker"):
        name = f"sluice-{program}_prod.log"
        old, new = files[f"{name}.{day}"].splitlines(), files[name].splitlines()
        assert old and new and sorted(path for path in files if path.startswith(name)) == [name, f"{name}.{day}"]
        assert {line for line in told if f" sluice-{program} " in line} == set(old + new)
        assert all(line[:24] < stamp(midnight) for line in old)
        assert all(line[:24] >= stamp(midnight - 5) for line in new)  # a line has its time before it is written
    lines = {path.name: path.read_text().splitlines() for path in agent.state.glob("logs/metrics/*")}
    assert sorted(lines) == ["metrics_prod.json", f"metrics_prod.json.{day}"]
    assert lines[f"metrics_prod.json.{day}"]
    events = [json.loads(line) for part in lines.values() for line in part]
    done = [event for event in events if event["metric_name"] == "task.processing_duration_ms"]
    assert len(done) == 800


@pytest.mark.contract("5 log files")
def test_a_log_folder_that_cannot_be_used(world):
    """A warning, and everything goes to stderr; the work goes on."""
    mock = world.start_mock("--tasks", 20)
    (world.folder / "file").write_text("")
    agent = world.make_agent(*FAST, "--logDir", world.folder / "file/logs").start()
    mock.wait("delivered>=20")
    agent.stop()
    text = agent.log_text()
    for program in ("sluice", "sluice-broker", "sluice-fetcher", "sluice-executor", "sluice-uploader"):
        assert f" warn {program} event=log_file_not_opened" in text
    assert "sluice-uploader event=stopped" in text


@pytest.mark.contract("5 log files")
def test_a_new_file_each_day(world):
    """A file that was last written yesterday or before gets its date, and seven such stay."""
    world.start_mock()
    agent = world.make_agent(*FAST)
    logs = agent.state / "logs"
    logs.mkdir(parents=True, mode=0o700)
    agent.state.chmod(0o700)
    for day in range(1, 10):
        (logs / f"sluice-broker_prod.log.2026-01-0{day}").write_text("old\n")
    current = logs / "sluice-broker_prod.log"
    current.write_text("last\n")
    noon = time.mktime((2026, 2, 1, 12, 0, 0, 0, 0, -1))
    os.utime(current, (noon, noon))
    agent.program("broker")
    until(lambda: current.exists() and "event=started" in current.read_text(), "the start")
    names = sorted(path.name for path in logs.glob("sluice-broker_prod.log.*"))
    assert names == [f"sluice-broker_prod.log.2026-01-0{day}" for day in range(4, 10)] + \
        ["sluice-broker_prod.log.2026-02-01"]
    assert (logs / "sluice-broker_prod.log.2026-02-01").read_text() == "last\n"


@pytest.mark.contract("5 log files")
def test_debug_mode(world):
    mock = world.start_mock("--tasks", 5)
    agent = world.make_agent(*FAST, "--debugMode", "true").start()
    mock.wait("delivered>=5")
    agent.stop()
    assert " debug sluice-executor event=task_done" in log_files(agent)["sluice-executor_prod.log"]


def test_a_killed_program_goes_on_in_its_file(world):
    mock = world.start_mock("--tasks", 5)
    agent = world.make_agent(*FAST).start()
    mock.wait("delivered>=5")
    former = agent.kill("broker", signal.SIGKILL)
    agent.restarted("broker", former)
    until(lambda: log_files(agent)["sluice-broker_prod.log"].count("event=started") == 2, "the second start")
    agent.stop()


# The logs task: AC contract section 4.

LOGS_TASK = {"taskId": "t-fetchLogs-7", "method": "GET", "url": "https://ac.invalid/agent/fetch-logs?x=1",
             "requestHeaders": {"A": 5}, "big": 9007199254740993, "unknown": {"a": [1.50]}}


def ask_for_logs(mock, **members):
    mock.post("/_control/tasks", json.dumps({"task": {**LOGS_TASK, **members}}).encode())


def logs_result(mock, task_id=LOGS_TASK["taskId"]):
    """The result and the zip that AC has got for the logs task."""
    record = mock.get("/_control/task?id=" + urllib.parse.quote(task_id))
    assert len(record["results"]) == 1, record
    result = record["results"][0]
    assert result["via"] == "upload-logs" and not result["wrong"], result
    raw = result["raw"]
    return raw if isinstance(raw, str) else json.dumps(raw), zipfile.ZipFile(
        io.BytesIO(base64.b64decode(result["fileBase64"])))


@pytest.mark.contract("4 logs task")
def test_logs_task(world):
    mock = world.start_mock("--tasks", 10, "--envName", "prod 1")
    agent = world.make_agent(*FAST, "--envName", "prod 1", "--metrics").start()
    mock.wait("delivered>=10")
    ask_for_logs(mock)
    books = mock.wait("delivered>=11")
    agent.stop()
    raw, packed = logs_result(mock)
    assert books["wrong"] == 0 and books["ac_upload_logs"] == 1 and books["ac_put_result"] == 10
    assert books["tool_requests"] == 10  # it was sent to no tool
    assert '"big": 9007199254740993' in raw and "1.5" in raw
    result = json.loads(raw)
    assert result.pop("version") == "2.0.0" and result.pop("responseZipped") is True
    assert result == {**LOGS_TASK, **{k: result[k] for k in result if k == "expiryTsMs"}}
    assert packed.testzip() is None
    names = set(packed.namelist())
    assert {f"sluice{p}_prod.log" for p in ("", "-broker", "-fetcher", "-executor", "-uploader")} <= names
    for name in names:
        text = packed.read(name).decode()
        if name.endswith(".log"):
            assert text and (agent.state / "logs" / name).read_text().startswith(text)
    assert packed.getinfo("sluice-broker_prod.log").compress_type == zipfile.ZIP_DEFLATED


@pytest.mark.contract("4 logs task")
def test_logs_task_is_tried_until_ac_takes_it(world):
    mock = world.start_mock()
    mock.config(faults=["upload-logs:503:1:x1", "upload-logs:reset:1:x1", "upload-logs:half:1:x1"])
    agent = world.make_agent(*FAST).start()
    ask_for_logs(mock)
    books = mock.wait("ac_upload_logs>=4", 90)
    agent.status_until(lambda s: s["counters"]["delivered"] == 1, "the end of the task")
    agent.stop()
    assert books["wrong"] == 0
    record = mock.get("/_control/task?id=" + LOGS_TASK["taskId"])
    assert all(not result["wrong"] for result in record["results"])


@pytest.mark.contract("4 logs task")
def test_logs_task_with_large_logs(world):
    """Results go on while 200 MB are packed, and no credit is lost over it."""
    mock = world.start_mock("--paused")
    agent = world.make_agent(*FAST)
    logs = agent.state / "logs"
    logs.mkdir(parents=True, mode=0o700)
    agent.state.chmod(0o700)
    line = "".join(f"{i * 7919 % 1000003} some words of a log\n" for i in range(2000)).encode()
    with open(logs / "sluice-broker_prod.log.2026-01-01", "wb") as file:
        for _ in range(200_000_000 // len(line)):
            file.write(line)
    agent.start()
    agent.joined("fetcher", "executor", "uploader")
    ask_for_logs(mock)
    mock.add(count=300)
    mock.config(paused=False)
    mock.wait("delivered>=301", 120)
    agent.stop()
    books = mock.books()
    assert books["wrong"] == 0 and books["duplicates"] == 0
    assert books["ac_max_in_flight"] <= 2 and books["ac_too_many"] == 0
    text = agent.log_text()
    assert "event=session_lost" not in text and "event=program_killed" not in text
    packed = text.index("event=logs_packed")
    assert text.count("event=upload_failed", 0, packed) == 0


@pytest.mark.contract("4 logs task")
def test_logs_that_cannot_be_packed(world):
    """The task waits with its reason, and is done once the folder is there."""
    mock = world.start_mock()
    block = world.folder / "logs"
    block.write_text("")
    agent = world.make_agent(*FAST, "--logDir", block).start()
    ask_for_logs(mock)
    until(lambda: "event=logs_not_packed" in agent.log_text(), "the failure")
    status = agent.status_until(lambda s: s["counters"]["upload_retries"] >= 1, "a retry")
    assert status["ac"]["state"] == "ok"
    block.unlink()
    incoming = world.folder / "incoming"
    incoming.mkdir(mode=0o700)
    (incoming / "sluice-broker_prod.log").write_text("one\n")
    incoming.rename(block)
    books = mock.wait("delivered>=1", 90)
    agent.stop()
    assert books["wrong"] == 0
    assert logs_result(mock)[1].namelist() == ["sluice-broker_prod.log"]


def test_uploader_killed_while_it_packs(world):
    mock = world.start_mock()
    agent = world.make_agent(*FAST)
    logs = agent.state / "logs"
    logs.mkdir(parents=True, mode=0o700)
    agent.state.chmod(0o700)
    (logs / "sluice-broker_prod.log.2026-01-01").write_bytes(os.urandom(1 << 20) * 100)
    agent.start()
    uploader = agent.pid("uploader")
    agent.joined("fetcher", "uploader")
    ask_for_logs(mock)
    agent.status_until(lambda s: s["counters"]["fetched"] == 1, "the task")
    agent.kill("uploader")
    agent.restarted("uploader", uploader)
    books = mock.wait("delivered>=1")
    agent.stop()
    assert books["wrong"] == 0
    assert not list(logs.glob(".pack*"))
