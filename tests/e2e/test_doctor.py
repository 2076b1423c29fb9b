"""`sluice doctor`: every hop well, and each fault found, named and answered by what to do."""
import email.utils
import json
import os
import signal
import socket
import subprocess
import time

import pytest

from agent import BUILD, FAST, KEY, Agent, check_books
from certificates import Authority
from tool_server import ToolServer, answer

URL_PAIR = json.dumps({"data": {"putUrl": "http://127.0.0.1/p", "getUrl": "http://127.0.0.1/g"}}).encode()


def plain(option):
    return option if isinstance(option, bytes) else str(option)


class Doctor:
    """What one run of it says."""

    def __init__(self, tmp_path, *options, **environment):
        env = {k: v for k, v in os.environ.items() if "proxy" not in k.lower() and not k.endswith("_BUNDLE")}
        key = tmp_path / "doctor-key"
        key.write_text(KEY)
        key.chmod(0o600)
        places = ["--stateDir", tmp_path / "state", "--runtimeDir", tmp_path / "run", "--apiKeyFile", key]
        self.run = subprocess.run([BUILD / "bin/sluice", "doctor", *map(str, places), *map(os.fspath, map(plain, options)), "--json"],
                                  env=env | environment, capture_output=True, text=True, timeout=120)
        assert KEY not in self.run.stdout + self.run.stderr
        self.said = json.loads(self.run.stdout)
        self.status = self.run.returncode
        assert self.status == {"ok": 0, "skipped": 0, "warning": 1, "failure": 2}[self.said["worst"]]

    def of(self, check):
        return [finding for finding in self.said["findings"] if finding["check"] == check]

    def only(self, check, severity):
        found = self.of(check)
        assert [finding["severity"] for finding in found] == [severity], self.said
        assert severity in ("ok", "skipped") or found[0]["advice"], found
        return found[0]["text"]

    def wrong(self):
        return {f["check"] for f in self.said["findings"] if f["severity"] in ("warning", "failure")}


def ac_server(certificate=None, status=200, date=None, body=URL_PAIR):
    date = date if date is not None else email.utils.formatdate(usegmt=True)
    return ToolServer(default=answer(status, [("Date", date)], body), certificate=certificate)


def url(server, certificate=None):
    return f"http{'s' if certificate else ''}://127.0.0.1:{server.port}"


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


def test_all_is_well_under_load(world):
    """The one request takes its turn: AC never sees a third one, and no task is lost."""
    world.start_mock("--tasks", 300, "--toolDelayMs", "5-20")
    agent = world.make_agent(*FAST).start()
    world.mock.wait("delivered>=50")
    for _ in range(3):
        doctor = Doctor(world.folder, "--serverUrl", world.mock.ac)
        assert doctor.wrong() <= {"rate limit"}, doctor.said
        doctor.only("AC accepts the key", "ok")
        doctor.only("clock", "ok")
    world.mock.wait("delivered>=300")
    books = world.mock.books()
    assert books["ac_upload_url"] == 3
    check_books(books, 300)
    agent.stop()


def test_without_an_agent(tmp_path):
    ac = ac_server()
    doctor = Doctor(tmp_path, "--serverUrl", url(ac))
    assert doctor.status == 2 and doctor.wrong() == {"broker"}
    assert "no such socket" in doctor.only("broker", "failure")
    doctor.only("AC accepts the key", "ok")
    assert len(ac.requests) == 1 and "/upload-url?fileName=sluice-doctor" in ac.requests[0].target


def test_a_fetcher_without_its_broker_means_that_nobody_may_ask(world):
    world.start_mock("--tasks", 0)
    agent = world.make_agent()
    fetcher = agent.program("fetcher")
    while "event=started" not in agent.log_text():
        time.sleep(0.02)
    doctor = Doctor(world.folder, "--serverUrl", world.mock.ac)
    assert f"the fetcher (pid {fetcher.pid})" in doctor.only("AC accepts the key", "skipped")
    assert world.mock.books()["ac_requests"] == 0


def test_no_executor_and_stopped_by_hand(world):
    world.start_mock("--tasks", 0)
    agent = world.make_agent("--executors", 0).start()
    agent.joined("fetcher", "uploader")
    subprocess.run([BUILD / "bin/sluice", "drain", "--runtimeDir", agent.runtime], check=True, capture_output=True)
    doctor = Doctor(world.folder, "--serverUrl", world.mock.ac)
    doctor.only("executors", "failure")
    assert "by hand" in doctor.only("fetching", "warning")
    agent.kill("uploader", signal.SIGSTOP)
    agent.status_until(lambda s: all(w["role"] != "uploader" or w["heard_ms"] > 3000 for w in s["workers"]), "silence")
    assert Doctor(world.folder, "--serverUrl", world.mock.ac).of("uploader")[0]["severity"] in ("warning", "failure")
    agent.kill("uploader", signal.SIGCONT)
    agent.stop()


@pytest.mark.parametrize("status, severity", [(401, "failure"), (403, "failure"), (302, "failure"), (404, "warning"),
                                              (503, "failure"), (429, "warning")])
def test_what_ac_answers(tmp_path, status, severity):
    ac = ac_server(status=status)
    text = Doctor(tmp_path, "--serverUrl", url(ac)).only("AC accepts the key", severity)
    assert str(status) in text or status == 429
    assert len(ac.requests) == 1


@pytest.mark.parametrize("off_s, severity", [(0, "ok"), (-120, "warning"), (120, "warning"), (-3600, "failure")])
def test_clock(tmp_path, off_s, severity):
    date = email.utils.formatdate(time.time() + off_s, usegmt=True)
    text = Doctor(tmp_path, "--serverUrl", url(ac_server(date=date))).only("clock", severity)
    assert off_s == 0 or ("behind" if off_s > 0 else "ahead") in text


def test_a_date_that_is_none_is_passed_over(tmp_path):
    doctor = Doctor(tmp_path, "--serverUrl", url(ac_server(date="yesterday")))
    doctor.only("AC accepts the key", "ok")
    assert doctor.of("clock") == []


def test_tls(tmp_path, authority):
    good = authority.issue("ac", days=300)
    ac = ac_server(certificate=good)
    doctor = Doctor(tmp_path, "--serverUrl", url(ac, good), "--caBundle", authority.certificate)
    text = doctor.only("TLS certificate", "ok")
    assert "CN = ac" in text.replace("CN=", "CN = ") and "Test CA" in text
    doctor.only("AC accepts the key", "ok")

    doctor = Doctor(tmp_path, "--serverUrl", url(ac, good))
    text = doctor.only("TLS certificate", "failure")
    assert "unable to get local issuer certificate" in text and "Test CA" in text
    assert "--caBundle" in doctor.of("TLS certificate")[0]["advice"] and doctor.of("AC accepts the key") == []

    doctor = Doctor(tmp_path, "--serverUrl", url(ac, good), "--verify", "false")
    doctor.only("TLS certificate", "warning")


@pytest.mark.parametrize("name, issue, text", [
    ("expired", {"days": -1}, "has expired"),
    ("named", {"subject": "DNS:ac.example"}, "does not match|no alternative certificate"),
    ("soon", {"days": 3}, "in 2 days|in 3 days")])
def test_certificates(tmp_path, authority, name, issue, text):
    certificate = authority.issue(name, **issue)
    doctor = Doctor(tmp_path, "--serverUrl", url(ac_server(certificate=certificate), certificate), "--caBundle",
                    authority.certificate)
    said = doctor.only("TLS certificate", "warning" if name == "soon" else "failure")
    assert any(part in said for part in text.split("|")), said


def test_names_ports_and_proxies(tmp_path):
    text = Doctor(tmp_path, "--serverUrl", "http://no-such-host.invalid").only("name", "failure")
    assert "no-such-host.invalid" in text
    port = closed_port()
    text = Doctor(tmp_path, "--serverUrl", f"http://127.0.0.1:{port}").only("connection", "failure")
    assert f"127.0.0.1:{port}" in text
    proxied = Doctor(tmp_path, "--serverUrl", "https://ac.example", "--outgoingProxyHttps",
                     f"http://user:secret@127.0.0.1:{port}")
    assert proxied.only("proxy", "ok") == f"127.0.0.1:{port}, from the options"
    assert f"through the proxy 127.0.0.1:{port}" in proxied.only("connection", "failure")
    assert "secret" not in proxied.run.stdout
    environment = Doctor(tmp_path, "--serverUrl", "http://ac.example", http_proxy=f"127.0.0.1:{port}")
    assert environment.only("proxy", "ok") == f"127.0.0.1:{port}, from the environment"


def test_options_key_and_journal(tmp_path):
    assert "no server URL" in Doctor(tmp_path).only("configuration", "failure")
    bad = Doctor(tmp_path, "--executorPoolSize", "many")
    assert "executorPoolSize" in bad.only("configuration", "failure") and len(bad.said["findings"]) == 1
    key = tmp_path / "open-key"
    key.write_text(KEY)
    key.chmod(0o644)
    assert "mode 644" in Doctor(tmp_path, "--apiKeyFile", key).only("API key", "warning")
    (tmp_path / "state").mkdir(exist_ok=True)
    (tmp_path / "state/journal.db").write_bytes(b"not a journal" * 1000)
    assert "is damaged" in Doctor(tmp_path).only("journal", "failure")
    assert (tmp_path / "state/journal.db").read_bytes().startswith(b"not a journal")


def test_a_sound_journal_is_left_as_it_was(world):
    world.start_mock("--tasks", 5)
    agent = world.make_agent(*FAST).start()
    world.mock.wait("delivered>=5")
    agent.stop()
    before = (agent.state / "journal.db").read_bytes()
    Doctor(world.folder, "--serverUrl", world.mock.ac).only("journal", "ok")
    assert (agent.state / "journal.db").read_bytes() == before
    agent.start()
    world.mock.add(count=5)
    world.mock.wait("delivered>=10")
    agent.stop()


def test_a_tool(tmp_path, authority):
    certificate = authority.issue("jira", days=300)
    tool = ToolServer(default=answer(401), certificate=certificate)
    doctor = Doctor(tmp_path, "--tool", tool.url("/rest/api"), "--toolCaBundle", authority.certificate)
    assert doctor.status == 0 and "status 401" in doctor.only("answer", "ok")
    request = tool.requests[0]
    assert request.line == "HEAD /rest/api HTTP/1.1" and "Authorization" not in dict(request.headers)
    doctor = Doctor(tmp_path, "--tool", tool.url("/rest/api"))
    assert doctor.status == 2 and "--toolCaBundle" in doctor.of("TLS certificate")[0]["advice"]
    assert doctor.of("broker") == []
    assert Doctor(tmp_path, "--tool", "ftp://x/").only("URL", "failure")


def test_a_tool_under_the_policy(tmp_path):
    """The rule that decides is named, its header without the value; what tasks may not call is not called."""
    secret, rules = tmp_path / "secret", tmp_path / "policy.conf"
    secret.write_text("pa55word")
    secret.chmod(0o600)
    rules.write_text(f'allow host=127.0.0.1 path=/rest method=GET name=jira header="X-Key: {{{secret}}}"\ndefault deny\n')
    tool = ToolServer(default=answer(200))

    def word(path, severity, *options):
        doctor = Doctor(tmp_path, "--tool", path if "://" in path else tool.url(path), "--policy.file", rules, *options)
        assert "pa55word" not in doctor.run.stdout
        return doctor.only("policy", severity)
    text = word("/rest/x?token=hidden", "ok")
    assert text.startswith(f"enforce, {rules}: GET allowed by rule \"jira\" (policy.conf, line 1); sends its header X-Key; "
                           "POST refused by the default (line 2)") and "hidden" not in text
    assert "X-Key" not in dict(tool.requests[0].headers)
    assert "refused by the default (line 2)" in word("/elsewhere", "failure")
    assert "let pass" in word("/elsewhere", "ok", "--policy.mode", "learn")
    assert [request.target for request in tool.requests] == ["/rest/x?token=hidden", "/elsewhere"]
    assert "built in" in word("http://169.254.169.254/", "failure", "--policy.mode", "learn")
    assert "through" not in word("http://ac.example/", "failure", "--inwardProxyHttp", tool.url("")) and len(tool.requests) == 2
    secret.chmod(0o644)
    assert "is open to everybody" in word("/rest", "failure")


def test_what_is_no_text_stays_json(tmp_path):
    doctor = Doctor(tmp_path, "--serverUrl", b"http://\xff\xed\xa0\x80.invalid/")
    assert "????.invalid" in doctor.only("name", "failure")


def test_the_page(tmp_path):
    ran = subprocess.run([BUILD / "bin/sluice", "doctor", "--stateDir", tmp_path, "--runtimeDir", tmp_path],
                         capture_output=True, text=True, timeout=60, env={"PATH": os.environ["PATH"]})
    lines = ran.stdout.splitlines()
    assert ran.returncode == 2 and lines[0].startswith("FAIL configuration") and lines[1].strip().startswith("-> ")
    assert lines[-1].endswith("failures") and all(len(line) <= 100 for line in lines)
    assert subprocess.run([BUILD / "bin/sluice", "doctor", "--tool"], capture_output=True).returncode == 2
