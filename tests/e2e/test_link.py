"""A worker's link to the broker, seen from the broker; the worker is an uploader."""

import signal
import time

import msgpack
import pytest

from fake_broker import FakeBroker, encode
from workers import Program


class Stage:
    def __init__(self, directory):
        self.directory = directory
        (directory / "run").mkdir()
        self.brokers, self.programs = [], []

    def broker(self, **options):
        if "tcp" not in options:
            options["directory"] = self.directory / "run"
        self.brokers.append(FakeBroker(**options))
        return self.brokers[-1]

    def start(self, *options):
        self.programs.append(Program("sluice-uploader", self.directory, "--serverUrl", "http://127.0.0.1:9",
                                     "--runtimeDir", self.directory / "run", "--stateDir",
                                     self.directory / "state", *options))
        return self.programs[-1]

    def close(self):
        for program in self.programs:
            program.stop()
        for broker in self.brokers:
            broker.close()


@pytest.fixture
def stage(tmp_path):
    it = Stage(tmp_path)
    yield it
    it.close()


def test_worker_waits_for_the_broker(stage):
    program = stage.start()
    deadline = time.monotonic() + 5
    while not program.log_path.exists():
        assert time.monotonic() < deadline
    broker = stage.broker()
    hello = broker.expect("HELLO")
    assert hello.peer == hello.instance.to_bytes(8, "big")
    assert (hello.program_version, hello.pid) == ("2.0.0", program.process.pid)
    assert hello.held == [] and hello.credit == 0


def test_a_broker_that_is_away_is_told_of(tmp_path):
    """By each worker, once for a while; and not by one that has a session."""
    (tmp_path / "run").mkdir()
    programs = [Program(f"sluice-{name}", tmp_path, "--runtimeDir", tmp_path / "run", "--stateDir", tmp_path / name, *more)
                for name, more in (("fetcher", ["--serverUrl", "http://127.0.0.1:9"]), ("executor", []),
                                   ("uploader", ["--serverUrl", "http://127.0.0.1:9"]))]
    try:
        for program in programs:
            deadline = time.monotonic() + 60
            while not program.events("no_broker"):
                assert time.monotonic() < deadline and not program.dead(), program.log
                time.sleep(0.1)
            line = program.events("no_broker")[0]
            assert f" warn {program.name} " in line and f" endpoint=ipc://{tmp_path}/run for_s=" in line
            assert int(line.rsplit("=", 1)[1]) >= 5
    finally:
        for program in programs:
            program.stop()


def test_hello_is_repeated_each_second_with_the_same_seq(stage):
    broker = stage.broker()
    began = time.monotonic()
    stage.start()
    hellos = [broker.expect("HELLO") for _ in range(3)]
    assert len({hello.seq for hello in hellos}) == 1
    assert hellos[2].at - began > 1.9
    broker.welcome(hello=hellos[-1])
    broker.watch(1.3)
    assert broker.count("HELLO") == 0


def test_welcome_of_another_hello_is_no_welcome(stage):
    broker = stage.broker()
    stage.start()
    hello = broker.expect("HELLO")
    hello.seq += 5
    broker.welcome(hello=hello)
    hello.seq -= 5
    again = broker.expect("HELLO")
    assert again.seq == hello.seq and broker.heartbeats == []


def test_heartbeats_each_second_with_what_is_held(stage):
    broker = stage.broker()
    stage.start()
    began = time.monotonic()
    worker = broker.welcome()
    broker.until(lambda: broker.heartbeats)
    broker.push_task(worker, 5, b"{}", 2)
    broker.until(lambda: len(broker.heartbeats) >= 4)
    beats = broker.heartbeats
    assert [beat.seq for beat in beats[:4]] == [1, 2, 3, 4]
    assert beats[3].at - began > 2.9  # the first one comes at once
    assert beats[3].held == [5] and beats[0].session == worker.session


def test_the_first_heartbeat_comes_at_once(stage):
    broker = stage.broker()
    stage.start()
    broker.welcome(heartbeat_ms=60000, lost_ms=600000)
    broker.until(lambda: broker.heartbeats, timeout=8)  # it looks after itself every ten seconds anyhow


def test_silence_ends_the_session(stage):
    broker = stage.broker()
    program = stage.start()
    broker.auto_heartbeat = False
    at = time.monotonic()
    worker = broker.welcome(heartbeat_ms=200, lost_ms=1000)
    hello = broker.expect("HELLO", seq=worker.hello.seq + 1)
    assert hello.at - at > 0.5
    assert "silent" in program.events("session_lost")[0]
    broker.auto_heartbeat = True
    again = broker.welcome(hello=hello, heartbeat_ms=200, lost_ms=1000)
    broker.watch(1.5)
    assert broker.count("HELLO") == 0 and broker.heartbeats[-1].session == again.session


def test_error_session_ends_the_session(stage):
    broker = stage.broker()
    stage.start()
    worker = broker.welcome()
    broker.send(worker, "ERROR", code=8, type=3, text="no such session")
    broker.send(worker, "ERROR", code=8, type=3, text="no such session")
    hello = broker.expect("HELLO")
    broker.welcome(hello=hello)
    broker.watch(1.3)
    assert broker.count("HELLO") == 0


def test_restarted_broker_is_met_by_its_connection(stage):
    broker = stage.broker()
    program = stage.start()
    worker = broker.welcome(lost_ms=600000)  # not by silence
    broker.until(lambda: broker.heartbeats)
    broker.close()
    broker = stage.broker(start=2)
    hello = broker.expect("HELLO")
    assert hello.instance == worker.hello.instance and hello.place == worker.hello.place
    broker.welcome(hello=hello)
    broker.until(lambda: broker.heartbeats)
    assert len(program.events("session_lost")) == 1


def test_stale_messages_are_dropped(stage):
    broker = stage.broker()
    stage.start()
    worker = broker.welcome()
    broker.push_task(worker, 1, b"{}", 2, session=worker.session - 1)
    broker.push_task(worker, 2, b"{}", 2)
    broker.expect("CLAIM", number=2)
    broker.send(worker, "CLAIMED", session=worker.session - 1, number=2, attempt=1)
    broker.expect("CLAIM", number=2)
    assert broker.take("CLAIM", number=1) is None and broker.count("WANT") == 0


def test_the_second_of_two_welcomes_counts(stage):
    """A broker that was late answers a HELLO and its repeat."""
    broker = stage.broker()
    stage.start()
    hello = broker.expect("HELLO")
    broker.welcome(hello=hello)
    second = broker.welcome(hello=hello)
    broker.until(lambda: broker.heartbeats and broker.heartbeats[-1].session == second.session)
    broker.push_task(second, 1, b"{}", 2)
    assert broker.expect("CLAIM").session == second.session


def test_stopped_worker_drains_before_it_judges(stage):
    broker = stage.broker()
    program = stage.start()
    broker.welcome(heartbeat_ms=200, lost_ms=1500)
    broker.until(lambda: broker.heartbeats)
    program.signal(signal.SIGSTOP)
    broker.watch(2.5)
    program.signal(signal.SIGCONT)
    count = len(broker.heartbeats)
    broker.until(lambda: len(broker.heartbeats) > count + 3)
    assert broker.count("HELLO") == 0 and program.events("session_lost") == []


@pytest.mark.parametrize("frames", [
    [b""],
    [b"garbage"],
    [b"\xc1" * 70000],
    [msgpack.packb([1, 2])],
    [msgpack.packb([1, 200, 1])],
    [msgpack.packb([1, 13, "x", 1, 1])],
    [encode("HEARTBEAT", session=1, seq=1, held=[]), b"payload"],
    [encode("HEARTBEAT", session=1, seq=1, held=[]), b"a", b"b"],
    [encode("WANT", session=1, seq=1, stage=1)],
])
def test_garbage_is_told_once_and_kills_nobody(stage, frames):
    broker = stage.broker()
    program = stage.start()
    worker = broker.welcome()
    broker.until(lambda: broker.heartbeats)
    for _ in range(3):
        broker.router.send_multipart([worker.peer] + frames)
        worker.push.send_multipart(frames)
    broker.push_task(worker, 1, b"{}", 2)
    broker.expect("CLAIM")
    assert not program.dead()
    assert 1 <= len(program.events("protocol_fault")) <= 2


def test_another_version_ends_the_worker(stage):
    broker = stage.broker()
    program = stage.start()
    hello = broker.expect("HELLO")
    broker.send(hello.peer, "ERROR", code=3, type=1, text="this broker speaks version 2")
    broker.until(program.dead)
    assert program.process.returncode == 1
    assert "version 2" in program.log


def test_full_broker_is_asked_again(stage):
    broker = stage.broker()
    program = stage.start()
    hello = broker.expect("HELLO")
    broker.send(hello.peer, "ERROR", code=11, type=1, text="no room")
    broker.welcome()
    broker.until(lambda: broker.heartbeats)
    assert not program.dead()


def test_over_tcp(stage, free_port):
    port = free_port
    broker = stage.broker(tcp=port)
    stage.start("--broker", f"tcp://127.0.0.1:{port}")
    worker = broker.welcome()
    broker.push_task(worker, 1, b"{}", 2)
    broker.expect("CLAIM", number=1)
    broker.close()
    broker = stage.broker(tcp=port, start=2)
    hello = broker.expect("HELLO")
    assert hello.held == [[worker.session, 1, 1, 1]]
    worker = broker.welcome(hello=hello)
    broker.expect("CLAIM", number=1, session=worker.session)
