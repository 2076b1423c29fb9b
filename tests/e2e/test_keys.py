"""Executors with keys: who may connect to the broker from elsewhere, and what a key is good for."""
import os
import re
import socket
import subprocess

import pytest
import zmq

import needs
from agent import BUILD, FAST, check_books, until
from fake_broker import EXECUTOR, UPLOADER, FETCHER, decode, encode
from workers import Program


def sluice(*words, expect=0):
    run = lambda: subprocess.run([BUILD / "bin/sluice", *map(str, words)], capture_output=True, text=True, timeout=30,
                                 check=False)
    done = until(lambda: (d := run()) and "no answer from the broker" not in d.stderr and d, "an answer")
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout + done.stderr


class Site:
    """An agent that listens for others, the keys of both sides, and what runs elsewhere."""

    def __init__(self, world, port, *options):
        self.world, self.port = world, port
        self.here, self.there = world.folder / "state/keys", world.folder / "there"
        self.there.mkdir()
        self.broker_key = self.new("main", "broker", self.here)
        self.programs, self.monitors = [], []
        self.context = zmq.Context()
        world.start_mock("--tasks", 0)
        self.agent = world.make_agent(*FAST, "--bind", f"tcp://127.0.0.1:{port}", "--executors", 0, *options)

    def new(self, name, role, folder=None):
        """Makes a key; returns its public word."""
        out = sluice("key", "new", name, "--role", role, "--keysDir", folder or self.there)
        return out.split()[-1]

    def allow(self, word):
        sluice("key", "allow", word, "--keysDir", self.here)

    def executor(self, name="w1", *options, broker_key=None, port=None):
        program = Program("sluice-executor", self.world.folder, "--runtimeDir", self.world.folder / f"run-{name}",
                          "--stateDir", self.world.folder / f"state-{name}", "--keysDir", self.there, "--key", name,
                          "--broker", f"tcp://127.0.0.1:{port or self.port}", "--brokerKey",
                          broker_key or self.broker_key, "--name", name, *options)
        self.programs.append(program)
        return program

    def peer(self, name, kind, offset=0, identity=None, port=None, watched=False):
        """A socket of our own with the key of that name."""
        words = (self.there / f"{name}.key").read_text().split()[-1].split(":")
        made = self.context.socket(kind)
        made.linger = 0
        made.curve_serverkey = bytes.fromhex(self.broker_key.split(":")[2])
        made.curve_publickey, made.curve_secretkey = bytes.fromhex(words[2]), bytes.fromhex(words[3])
        if identity:
            made.routing_id = identity
        if watched:  # from before the first handshake on
            self.monitors.append(made.get_monitor_socket(zmq.EVENT_HANDSHAKE_FAILED_AUTH))
        made.connect(f"tcp://127.0.0.1:{port or self.port + offset}")
        return made

    def refuses(self, name, kind, offset=0, port=None):
        """The handshake with that key is refused."""
        made = self.peer(name, kind, offset, port=port, watched=True)
        assert self.monitors[-1].poll(20000), "the handshake must fail"
        made.disable_monitor()

    def joined(self, *names):
        return self.agent.status_until(lambda s: set(names) <= {w["name"] for w in s["workers"]}, f"{names} join")

    def close(self):
        for program in self.programs:
            program.stop()
        self.context.destroy(linger=0)


@pytest.fixture
def site(world, free_port):
    made = Site(world, free_port)
    yield made
    made.close()


def ask(control, name, /, **fields):
    """Sends on control; the answer."""
    control.send(encode(name, **fields))
    assert control.poll(10000), f"no answer to {name}"
    return decode(control.recv_multipart())


def hello(role, instance, **over):
    fields = dict(role=role, instance=instance, place=0, name="peer", program_version="2.0.0", pid=1, host="h",
                  slots=5, seq=1, credit=0, held=[])
    return {**fields, **over}


def join(site, key, instance=0x1122334455667788, **over):
    """A session with that key; the control socket, WELCOME and CONFIG's sender."""
    control = site.peer(key, zmq.DEALER, identity=instance.to_bytes(8, "big"))
    welcome = ask(control, "HELLO", **hello(EXECUTOR, instance, **over))
    assert welcome.message == "WELCOME", welcome
    assert decode(control.recv_multipart()).message == "CONFIG"
    return control, welcome


def refused(answer, code, text):
    assert (answer.message, answer.code) == ("ERROR", code), answer
    assert text in answer.text


def test_executors_with_keys_do_the_work(site):
    """The whole pipeline: local programs by ipc, executors by an encrypted link, one of them killed on the way."""
    for name in ("w1", "w2"):
        site.allow(site.new(name, "executor"))
        site.executor(name)
    site.agent.start()
    site.joined("w1", "w2")
    site.world.mock.add(count=150, methods="GET,POST")
    site.world.mock.wait("delivered>=20")
    site.programs[0].stop()
    site.executor("w1")
    books = site.world.mock.wait("delivered>=150")
    check_books(books, 150)
    site.agent.stop()


def test_list_shows_public_parts_alone(tmp_path):
    def list_keys(expect=0):
        return sluice("key", "list", "--keysDir", tmp_path, expect=expect)
    assert list_keys() == ""
    own = sluice("key", "new", "main", "--role", "broker", "--keysDir", tmp_path).split()[-1]
    other = sluice("key", "new", "w1", "--role", "executor", "--keysDir", tmp_path / "there").split()[-1]
    sluice("key", "allow", other, "--keysDir", tmp_path)
    assert list_keys().splitlines() == [f"own      {own}", f"allowed  {other}"]
    sluice("key", "revoke", "w1", "--keysDir", tmp_path)
    assert list_keys().splitlines() == [f"own      {own}"]
    (tmp_path / "stray.key").write_text("no key\n")
    (tmp_path / "stray.key").chmod(0o600)
    assert f"the key file {tmp_path}/stray.key: a key must be" in list_keys(expect=2)
    (tmp_path / "allowed").write_text("nobody\n")
    assert f"{tmp_path}/allowed" in list_keys(expect=2)


def test_an_unknown_key_is_told_on_both_sides_and_let_in_when_allowed(site):
    word = site.new("w1", "executor")
    site.agent.start()
    program = site.executor("w1")
    until(lambda: program.events("protocol_fault"), "the executor's complaint")
    assert f"sluice key allow {word}" in program.log
    line = until(lambda: [x for x in site.agent.log_text().splitlines() if "event=key_refused" in x], "the broker's word")[0]
    assert word.split(":")[2] in line and "unknown key" in line and "sluice key allow" in line
    assert [w["role"] for w in site.agent.joined("fetcher", "uploader")["workers"]].count("executor") == 0
    site.allow(word)
    site.joined("w1")
    site.world.mock.add(count=5)
    site.world.mock.wait("delivered>=5")  # its push was refused before, too


def test_wrong_broker_key_and_no_encryption_are_told(site):
    site.allow(site.new("w1", "executor"))
    other = site.new("other", "broker", site.world.folder / "elsewhere")
    site.agent.start()
    site.agent.joined("uploader")
    program = site.executor("w1", broker_key=other)
    until(lambda: "handshake failed: the broker's key is another" in program.log, "the executor's complaint")
    until(lambda: "event=handshake_failed" in site.agent.log_text(), "the broker's complaint")
    plain = Program("sluice-executor", site.world.folder, "--runtimeDir", site.world.folder / "run-plain", "--broker",
                    f"tcp://127.0.0.1:{site.port}")
    site.programs.append(plain)
    until(lambda: "the broker wants an encrypted link" in plain.log, "the plain executor's complaint")


def test_an_executors_key_is_good_for_nothing_else(site):
    site.allow(site.new("w1", "executor"))
    site.allow(site.new("w2", "executor"))
    site.agent.start()
    site.agent.joined("fetcher", "uploader")
    instance = 0x0102030405060708
    control = site.peer("w1", zmq.DEALER, identity=instance.to_bytes(8, "big"))
    refused(ask(control, "STATUS", seq=1), 9, "an executor's key may not")
    refused(ask(control, "DRAIN", session=0, mode=1), 9, "an executor's key may not")
    refused(ask(control, "HELLO", **hello(FETCHER, instance, slots=0)), 9, "the key is for executors")
    refused(ask(control, "HELLO", **hello(UPLOADER, instance)), 9, "the key is for executors")
    control, welcome = join(site, "w1")
    refused(ask(control, "WANT", session=welcome.session, seq=1, stage=1), 9, "an executor's key may not")
    refused(ask(control, "UPLOADED", session=welcome.session, number=1, attempt=1, credit=0, call=2, outcome=1,
                http_status=200, retry_after_ms=-1, elapsed_ms=1, reason=""), 9, "an executor's key may not")
    other = site.peer("w2", zmq.DEALER, identity=b"87654321")
    refused(ask(other, "HEARTBEAT", session=welcome.session, seq=1, held=[]), 9, "under another key")
    fetch = site.agent.status()["fetch"]
    assert fetch["paused"] is False or "hand" not in fetch["reason"]
    # events are for tools: the handshake itself fails
    site.refuses("w1", zmq.SUB, 3)
    # tasks-in is not there for anybody from elsewhere
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", site.port + 1), timeout=5)


def test_results_and_tasks_belong_to_their_session(site):
    """Another executor's key neither reads the tasks nor writes the results of a session."""
    site.allow(site.new("w1", "executor"))
    site.allow(site.new("w2", "executor"))
    site.agent.start()
    site.agent.joined("fetcher", "uploader")
    control, welcome = join(site, "w1")
    port = int(welcome.endpoint.rsplit(":", 1)[1])
    site.refuses("w2", zmq.PULL, port=port)
    pull = site.peer("w1", zmq.PULL, port=port)
    site.world.mock.add(count=1)
    heartbeat = {"session": welcome.session, "seq": 1, "held": []}

    def task():
        ask(control, "HEARTBEAT", **heartbeat)
        return pull.poll(200) and decode(pull.recv_multipart())
    got = until(task, "the task")
    number = got.number
    assert ask(control, "CLAIM", session=welcome.session, number=number, attempt=got.attempt).message == "CLAIMED"
    forged = encode("RESULT", session=welcome.session, number=number, attempt=got.attempt, stream=0, flags=0, http_status=200,
                    tool_ms=1, body_bytes=0, connect_ms=0, first_byte_ms=0, ended_ms=1, reason="")
    push = site.peer("w2", zmq.PUSH, 2)
    push.send_multipart([forged, b'{"taskId":"forged"}'])
    until(lambda: "the session was begun under another key" in site.agent.log_text(), "the refusal of the forged result")
    assert site.agent.status()["tasks"]["running"] == 1
    ours = site.peer("w1", zmq.PUSH, 2)
    ours.send_multipart([forged, got.payload])
    site.agent.status_until(lambda s: s["tasks"]["running"] == 0, "the true result")


def test_a_revoked_key_ends_its_sessions_at_once(site):
    """What ran there is decided by the method, and nothing more comes from it; allowed again, it comes back."""
    words = {name: site.new(name, "executor") for name in ("w1", "w2")}
    for word in words.values():
        site.allow(word)
    site.agent.start()
    program = site.executor("w1", "--executorPoolSize", 4)
    site.joined("w1")
    site.world.mock.add(count=2, methods="POST", toolDelayMs="4000-4000")
    site.agent.status_until(lambda s: s["tasks"]["running"] == 2, "two running tasks")
    sluice("key", "revoke", "w1", "--keysDir", site.here)
    until(lambda: "event=key_revoked" in site.agent.log_text(), "the broker's word")
    site.agent.status_until(lambda s: "w1" not in {w["name"] for w in s["workers"]}, "the end of the session")
    ends = re.findall('event=worker_gone name=w1 .*why="(.*?)"', site.agent.log_text())
    assert ends[-1:] == ["its key was revoked"]  # not by silence
    site.world.mock.wait("delivered>=2")  # POSTs under way: their outcome is unknown
    assert site.world.mock.books()["reexecuted_unsafe"] == 0
    until(lambda: "not allowed any more" in program.log, "the executor's word")
    site.executor("w2")
    site.joined("w2")
    site.world.mock.add(count=3)
    site.world.mock.wait("delivered>=5")
    assert "w1" not in {w["name"] for w in site.agent.status()["workers"]}
    site.allow(words["w1"])
    site.joined("w1")


def test_a_tools_key_sees_the_status_from_elsewhere(site):
    site.allow(site.new("eyes", "tool"))
    site.allow(site.new("w1", "executor"))
    site.agent.start()
    site.agent.joined("uploader")
    there = ["--broker", f"tcp://127.0.0.1:{site.port}", "--brokerKey", site.broker_key, "--keysDir", site.there]
    assert '"workers"' in sluice("status", "--json", *there, "--key", "eyes")
    assert "is for role executor" in sluice("status", *there, "--key", "w1", expect=2)
    sluice("key", "revoke", "eyes", "--keysDir", site.here)
    assert "sluice key allow tool:eyes:" in sluice("status", *there, "--key", "eyes", expect=1)
    control = site.peer("w1", zmq.DEALER, identity=b"12345678")
    refused(ask(control, "STATUS", seq=1), 9, "an executor's key")


@pytest.mark.parametrize("fault, words, why", [
    ("open", ["--key", "w1"], "is open to others (mode 0644)"),
    ("missing", ["--key", "nobody"], "No such file"),
    ("none", [], "no key of this program"),
    ("role", ["--key", "eyes"], "is for role tool"),
    ("torn", ["--key", "w1"], "the secret key is not whole"),
])
def test_keys_that_are_no_use_stop_the_start(tmp_path, fault, words, why):
    broker = sluice("key", "new", "b", "--role", "broker", "--keysDir", tmp_path / "b").split()[-1]
    for name, role in (("w1", "executor"), ("eyes", "tool")):
        sluice("key", "new", name, "--role", role, "--keysDir", tmp_path)
    path = tmp_path / "w1.key"
    assert path.stat().st_mode & 0o777 == 0o600
    if fault == "open":
        path.chmod(0o644)
    if fault == "torn":
        path.write_text(path.read_text()[:-10])
        path.chmod(0o600)
    done = subprocess.run([BUILD / "bin/sluice-executor", "--check-config", "--broker", "tcp://10.1.2.3:5670",
                           "--brokerKey", broker, "--keysDir", tmp_path, *words], capture_output=True, text=True,
                          timeout=30, check=False)
    assert done.returncode == 2 and why in done.stderr, done.stderr
    secret = path.read_text().split(":")[-1].strip()
    assert secret[:16] not in done.stderr


OTHER_USER = """
import sys, zmq
from fake_broker import EXECUTOR, FETCHER, TOOL, decode, encode
from test_keys import ask, hello
instance = 0x0102030405060708
control = zmq.Context().socket(zmq.DEALER)
control.linger, control.routing_id = 0, instance.to_bytes(8, "big")
control.connect(f"ipc://{sys.argv[1]}/control")
for name, fields in (("STATUS", dict(seq=1)), ("DRAIN", dict(session=0, mode=1)), ("HELLO", hello(FETCHER, instance, slots=0)),
                     ("HELLO", hello(TOOL, instance, slots=0)), ("HEARTBEAT", dict(session=int(sys.argv[2]), seq=1, held=[]))):
    answer = ask(control, name, **fields)
    assert (answer.message, answer.code) == ("ERROR", 9) and "executors only" in answer.text, answer
assert ask(control, "HELLO", **hello(EXECUTOR, instance)).message == "WELCOME"
"""


def test_another_user_of_the_runtime_directory_is_an_executor(world):
    """As in the packages: the executors' user may use the directory of the sockets, and do an executor's work by them."""
    if os.geteuid() != 0:
        needs.refused("root", "another user's processes need it")
    world.start_mock("--tasks", 0)
    agent = world.make_agent(*FAST, "--executors", 0)
    world.folder.chmod(0o711)
    state = world.folder / "theirs"
    state.mkdir()
    os.chown(state, 65534, 65534)
    agent.runtime.mkdir()
    os.chown(agent.runtime, 0, 65534)
    agent.runtime.chmod(0o2750)  # what is made there is the group's
    agent.start()
    other = dict(user=65534, group=65534, extra_groups=[])
    executor = subprocess.Popen([BUILD / "bin/sluice-executor", "--runtimeDir", agent.runtime, "--stateDir", state,
                                 "--lockDir", state], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **other)
    fetcher = [w for w in agent.joined("fetcher", "executor", "uploader")["workers"] if w["role"] == "fetcher"][0]
    modes = {path.name: path.stat().st_mode & 0o777 for path in agent.runtime.iterdir() if path.is_socket()}
    assert modes.pop("control") == modes.pop("results-in") == 0o660
    assert modes["events"] == modes["tasks-in"] == 0o700
    workers = sorted(mode for name, mode in modes.items() if name.startswith("worker-"))
    assert workers == [0o660, 0o700], modes  # theirs, and our own uploader's
    world.mock.add(count=20, methods="GET,POST")
    check_books(world.mock.wait("delivered>=20"), 20)
    executor.terminate()
    assert executor.wait(60) == 0
    done = subprocess.run(["/usr/bin/python3", "-c", OTHER_USER, agent.runtime, str(fetcher["session"])], text=True,
                          capture_output=True, timeout=60, check=False, **other)
    assert done.returncode == 0, done.stderr
    agent.stop()


def test_the_key_of_the_service_is_a_credential(tmp_path):
    """systemd hands out an empty line where there is none; and nothing at all to the check before a reload."""
    broker = sluice("key", "new", "b", "--role", "broker", "--keysDir", tmp_path / "b").split()[-1]
    sluice("key", "new", "w1", "--role", "executor", "--keysDir", tmp_path)
    credential = tmp_path / "executor_key"

    def check(**more):
        done = subprocess.run([BUILD / "bin/sluice-executor", "--check-config", "--broker", "tcp://10.1.2.3:5670", "--brokerKey", broker],
                              capture_output=True, text=True, timeout=30, env={**os.environ, "CREDENTIALS_DIRECTORY": str(tmp_path), **more})
        return done.returncode, done.stderr
    credential.write_text("\n")
    code, text = check()
    assert code == 2 and "or for the service put it into /etc/sluice/executor_key" in text
    assert check(MAINPID="1", CREDENTIALS_DIRECTORY="/no/such") == (0, "")
    credential.write_text((tmp_path / "w1.key").read_text())
    credential.chmod(0o440)
    assert check() == (0, "")


def test_a_port_that_is_taken_is_in_the_log(site):
    with socket.socket() as other:
        other.bind(("127.0.0.1", site.port))
        other.listen()
        site.agent.start()
        assert site.agent.run.wait(timeout=60) == 2
    line = [x for x in site.agent.log_text().splitlines() if "event=not_started" in x][0]
    assert f"cannot listen on tcp://127.0.0.1:{site.port}: Address already in use" in line
