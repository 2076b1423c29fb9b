"""The fetcher against a broker and an AC that do what each test wants."""

import hashlib
import itertools
import json
import signal
import struct

import pytest

from fake_ac import CLOSE, HOLD, FakeAC
from fake_broker import FakeBroker
from workers import Program

BUSY, LIMITED, DENIED, SERVER, NETWORK, MALFORMED, REDIRECT = 4, 5, 6, 7, 8, 9, 10
EMPTY, REFUSED = 2, 3


class Stage:
    """A broker, an AC, and the fetchers a test starts."""

    def __init__(self, directory):
        self.directory = directory
        (directory / "run").mkdir()
        self.broker = FakeBroker(directory / "run")
        self.ac = FakeAC()
        self.programs = []

    def start(self, *options, env=None):
        program = Program("sluice-fetcher", self.directory, "--serverUrl", self.ac.url, "--runtimeDir",
                          self.directory / "run", "--stateDir", self.directory / "state", *options, env=env)
        self.programs.append(program)
        return program

    def granted(self, budget=20, ttl_ms=4000, credit=7, **options):
        """A fetcher with a credit."""
        program = self.start(**options)
        worker = self.broker.welcome()
        want = self.broker.expect("WANT", stage=1)
        self.broker.grant(worker, want.seq, credit, budget=budget, ttl_ms=ttl_ms)
        return program, worker

    def tasks_without_end(self, **members):
        """AC hands out a task with each answer: t1, t2, ..."""
        number = itertools.count(1)
        self.ac.answer = lambda _: answer_of(dict(task(next(number)), **members))

    def window_is_empty(self):
        """Of its eight slots each begins with a word that is 0 while there is nothing in it."""
        window = (self.directory / "state" / "fetcher.window").read_bytes()
        return not any(struct.unpack_from("=I", window, slot * 65536)[0] for slot in range(8))

    def inbox(self):
        return sorted(path.name for path in (self.directory / "state" / "inbox").glob("*"))

    def restart_broker(self, start):
        self.broker.close()
        self.broker = FakeBroker(self.directory / "run", start=start)
        return self.broker

    def close(self):
        for program in self.programs:
            program.stop()
        self.ac.close()
        self.broker.close()


@pytest.fixture
def stage(tmp_path):
    it = Stage(tmp_path)
    yield it
    it.close()


def task(number=1, **members):
    base = {"taskId": f"t{number}", "url": "https://u:p@Tool.Example:8443/x?q", "method": "get"}
    base.update(members)
    return {key: value for key, value in base.items() if value is not None}


def answer_of(data):
    return 200, {"Content-Type": "application/json"}, json.dumps({"data": data}).encode()


def then_idle(first):
    """Answers the first requests with `first`, each once, and holds all later ones."""
    left = list(first)

    def answer(_):
        return left.pop(0) if left else HOLD

    return answer


def test_no_grant_no_poll(stage):
    stage.start()
    stage.broker.welcome()
    wants = [stage.broker.expect("WANT"), stage.broker.expect("WANT")]
    assert wants[1].seq > wants[0].seq
    assert wants[1].at - wants[0].at > 0.5
    assert stage.ac.requests == []


def test_what_ac_sees(stage):
    stage.ac.answer = then_idle([])
    stage.granted()
    request = stage.broker.until(lambda: stage.ac.requests)[0]
    assert request.method == "GET"
    assert request.target == "/api/http-teleport/get-task?agentId=1700000000_abcdef&agentVersion=2.0.0"
    assert request.headers["authorization"] == "Bearer the-secret-key"
    assert request.headers["accept"] == "*/*"
    assert request.headers["accept-encoding"] == "gzip, deflate"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["connection"] == "keep-alive"
    assert request.headers["user-agent"].startswith("sluice/")
    assert "expect" not in request.headers


def test_env_name_is_encoded(stage):
    stage.ac.answer = then_idle([])
    stage.start("--envName", "a b&c")
    worker = stage.broker.welcome()
    stage.broker.grant(worker, stage.broker.expect("WANT").seq, 7)
    request = stage.broker.until(lambda: stage.ac.requests)[0]
    assert request.target.endswith("&envName=a%20b%26c")


def test_task_is_pushed_repeated_and_kept_until_accepted(stage):
    stage.ac.answer = then_idle([answer_of(task(expiryTsMs=1900000000000, extra=2.50))])
    stage.broker.auto_renew = True
    _, worker = stage.granted()
    first = stage.broker.expect("FETCHED")
    assert (first.task_id, first.method, first.host, first.expiry_ms) == ("t1", "GET", "tool.example", 1900000000000)
    assert (first.flags, first.seq, first.credit, first.instance) == (1, 1, 7, worker.hello.instance)
    assert json.loads(first.payload)["taskId"] == "t1"
    again = stage.broker.expect("FETCHED")
    assert (again.instance, again.seq) == (first.instance, first.seq)
    assert again.at - first.at > 0.5
    stage.broker.until(lambda: stage.inbox() == [f"{first.instance:016x}-1"])
    stage.broker.send(worker, "ACCEPTED", instance=first.instance, seq=1, verdict=1, number=1)
    stage.broker.until(lambda: stage.inbox() == [])
    stage.broker.watch(1.3)
    assert stage.broker.count("FETCHED") == 0


def accept_all(stage, worker):
    """Accepts what has come so far."""
    for fetched in [m for m in stage.broker.inbox if m.message == "FETCHED"]:
        stage.broker.inbox.remove(fetched)
        stage.broker.send(worker, "ACCEPTED", instance=fetched.instance, seq=fetched.seq, verdict=1,
                          number=fetched.seq)


def test_budget_is_respected_on_one_connection(stage):
    """Used up or given back early (a broker that is slow to accept): in all no request more than was granted."""
    stage.tasks_without_end()
    _, worker = stage.granted(budget=20)
    granted, used, credit = 20, 0, 7
    while used < 23:
        stage.broker.until(lambda: stage.broker.inbox)
        accept_all(stage, worker)
        if stage.broker.count("RELEASE"):
            used += stage.broker.expect("RELEASE", credit=credit).used
            assert used <= granted and len(stage.ac.requests) == used
            if used < 23:
                credit += 1
                stage.broker.inbox[:] = [m for m in stage.broker.inbox if m.message != "WANT"]
                budget = min(20, 23 - used)
                granted = used + budget
                stage.broker.until(lambda: (accept_all(stage, worker), stage.broker.count("WANT"))[1])
                stage.broker.grant(worker, stage.broker.expect("WANT").seq, credit, budget=budget)
    assert len(stage.ac.requests) == 23
    assert stage.ac.connections == 1 and stage.ac.most_in_flight == 1


def granted_without_an_inbox(stage):
    """A fetcher with a credit that can save nothing, so that what it has fetched stays at risk."""
    stage.start()
    worker = stage.broker.welcome()
    (stage.directory / "state" / "inbox").rmdir()
    stage.broker.grant(worker, stage.broker.expect("WANT", stage=1).seq, 7, budget=20)


def test_no_poll_while_two_tasks_are_in_memory_alone(stage):
    """What is neither accepted nor in a file would be lost with the process: two at most. These are too large for
    the window."""
    stage.tasks_without_end(input="x" * 70000)
    granted_without_an_inbox(stage)
    assert stage.broker.expect("RELEASE").used == 2
    assert len(stage.ac.requests) == 2


def test_no_poll_while_eight_tasks_are_not_synced(stage):
    """What is neither accepted nor in the inbox would be lost with the machine: eight at most."""
    stage.tasks_without_end()
    granted_without_an_inbox(stage)
    assert stage.broker.expect("RELEASE").used == 8
    assert len(stage.ac.requests) == 8


def test_what_was_fetched_outlives_a_killed_fetcher_and_broker(stage):
    """Neither has synced anything, and both end at once: the next fetcher brings every task, under its old name."""
    stage.tasks_without_end()
    program, _ = stage.granted(budget=5)
    stage.broker.until(lambda: len(stage.ac.requests) == 5 and stage.ac.requests[4].ended)
    former = stage.broker.expect("FETCHED")
    program.signal(signal.SIGKILL)
    stage.broker.until(program.dead)  # its lock is free
    stage.broker.inbox.clear()
    stage.start()
    stage.broker.welcome()
    stage.broker.until(lambda: {m.seq for m in stage.broker.inbox if m.message == "FETCHED"} >= {1, 2, 3, 4})
    again = [m for m in stage.broker.inbox if m.message == "FETCHED"]
    assert {m.instance for m in again} == {former.instance}
    assert all(m.task_id == f"t{m.seq}" for m in again)


def test_window_of_64(stage):
    stage.tasks_without_end()
    stage.start()
    worker = stage.broker.welcome()
    credit = 0
    while len(stage.ac.requests) < 64:
        credit += 1
        stage.broker.grant(worker, stage.broker.expect("WANT").seq, credit)
        stage.broker.expect("RELEASE", credit=credit)
    assert len(stage.ac.requests) == 64
    stage.broker.inbox.clear()
    stage.broker.watch(1.2)
    assert stage.broker.count("WANT") == 0
    stage.broker.send(worker, "ACCEPTED", instance=worker.hello.instance, seq=1, verdict=1, number=1)
    stage.broker.expect("WANT")


def test_renewed_each_second_and_a_long_poll_outlives_the_first_lease(stage):
    stage.ac.answer = then_idle([])
    stage.broker.auto_renew = True
    stage.granted(ttl_ms=4000)
    renews = [stage.broker.expect("RENEW") for _ in range(5)]
    gaps = [b.at - a.at for a, b in zip(renews, renews[1:])]
    assert all(0.8 < gap < 1.3 for gap in gaps), gaps
    assert renews[-1].used == 1
    assert len(stage.ac.requests) == 1 and stage.ac.requests[0].ended is None


def test_unrenewed_lease_is_aborted_a_second_before_its_end(stage):
    stage.ac.answer = then_idle([])
    program, _ = stage.granted(ttl_ms=4000)
    stage.broker.until(lambda: stage.ac.requests)
    request = stage.ac.requests[0]
    stage.broker.until(lambda: request.ended)
    assert request.ended - request.at > 2.5
    report = stage.broker.expect("REPORT")
    assert report.outcome == NETWORK and "aborted" in report.reason
    stage.broker.expect("RELEASE", credit=7)
    assert not program.dead()  # in time: a moment too late, and its switch had ended it
    assert len(program.events("poll_aborted")) == 1


def test_stopped_holder_is_killed_by_its_switch(stage):
    stage.ac.answer = then_idle([])
    program, _ = stage.granted(ttl_ms=2000)
    stage.broker.until(lambda: stage.ac.requests)
    request = stage.ac.requests[0]
    program.signal(signal.SIGSTOP)
    stage.broker.until(program.dead, timeout=5)
    assert program.process.returncode == -signal.SIGKILL
    stage.broker.until(lambda: request.ended)
    assert request.ended - request.at > 1.0


def test_stopped_without_credit_lives(stage):
    program = stage.start()
    stage.broker.welcome()
    stage.broker.expect("WANT")
    program.signal(signal.SIGSTOP)
    stage.broker.watch(1.5)
    stage.broker.inbox.clear()
    program.signal(signal.SIGCONT)
    stage.broker.expect("WANT")
    assert not program.dead() and program.events("session_lost") == []


def test_late_grant_is_given_back_and_does_not_kill(stage):
    program = stage.start()
    worker = stage.broker.welcome()
    want = stage.broker.expect("WANT")
    program.signal(signal.SIGSTOP)
    stage.broker.grant(worker, want.seq, 9, ttl_ms=1500)
    stage.broker.watch(2)
    program.signal(signal.SIGCONT)
    assert stage.broker.expect("RELEASE", credit=9).used == 0
    stage.broker.expect("WANT")
    assert not program.dead() and stage.ac.requests == []


def test_revoke_finishes_the_poll_and_starts_no_other(stage):
    stage.ac.answer = then_idle([])
    stage.broker.auto_renew = True
    _, worker = stage.granted()
    stage.broker.until(lambda: stage.ac.requests)
    stage.broker.send(worker, "REVOKE", session=worker.session, credit=7, reason=1)
    stage.broker.expect("RENEW")
    assert stage.ac.requests[0].ended is None
    stage.ac.release()
    assert stage.broker.expect("RELEASE", credit=7).used == 1
    assert len(stage.ac.requests) == 1


def test_revoke_of_an_unknown_credit_aborts_at_once(stage):
    stage.ac.answer = then_idle([])
    stage.broker.auto_renew = True
    _, worker = stage.granted()
    stage.broker.until(lambda: stage.ac.requests)
    stage.broker.send(worker, "REVOKE", session=worker.session, credit=7, reason=3)
    stage.broker.until(lambda: stage.ac.requests[0].ended)  # nothing else ends it: the lease is renewed
    stage.broker.expect("WANT")


def test_grant_nobody_asked_for_is_given_back(stage):
    _, worker = stage.granted(budget=1)
    stage.broker.expect("RELEASE", credit=7)
    stage.broker.grant(worker, 99999, 11)
    assert stage.broker.expect("RELEASE", credit=11).used == 0


@pytest.mark.parametrize("answer,outcome,status,retry_ms", [
    ((429, {}, b"Too many concurrent requests"), BUSY, 429, -1),
    ((429, {"X-Rate-Limit-Retry-After-Seconds": "7"}, b"slow down"), LIMITED, 429, 7000),
    ((429, {}, b""), LIMITED, 429, 2000),
    ((401, {}, b""), DENIED, 401, -1),
    ((403, {}, b""), DENIED, 403, -1),
    ((404, {}, b""), REFUSED, 404, -1),
    ((500, {}, b"x"), SERVER, 500, -1),
    ((504, {}, b"x"), SERVER, 504, -1),
    ((302, {"Location": "/elsewhere"}, b""), REDIRECT, 302, -1),
    ((204, {}, b""), EMPTY, 204, -1),
    ((200, {}, b'{"data": null}'), EMPTY, 200, -1),
    ((200, {}, b"not json"), MALFORMED, 200, -1),
    ((200, {}, b'{"data": {"url": "http://x", "method": "GET"}}'), MALFORMED, 200, -1),
    (CLOSE, NETWORK, 0, -1),
])
def test_an_answer_without_a_task_is_reported_and_the_credit_given_back(stage, answer, outcome, status, retry_ms):
    stage.ac.answer = lambda _: answer
    program, _ = stage.granted()
    report = stage.broker.expect("REPORT")
    assert (report.call, report.outcome, report.http_status, report.retry_after_ms) == (1, outcome, status, retry_ms)
    assert stage.broker.expect("RELEASE").used == 1
    stage.broker.expect("WANT")
    assert len(stage.ac.requests) == 1
    assert "the-secret-key" not in program.log + report.reason
    assert "agentId" not in program.log + report.reason


def test_a_long_empty_poll_goes_on_within_the_budget(stage):
    def answer(_):
        stage.ac.released.wait(1.1)
        return 204, {}, b""

    stage.ac.answer = answer
    stage.broker.auto_renew = True
    stage.granted(budget=2)
    assert stage.broker.expect("REPORT").outcome == EMPTY
    assert stage.broker.expect("REPORT").elapsed_ms >= 1000
    assert stage.broker.expect("RELEASE").used == 2
    assert stage.ac.connections == 1


def test_a_larger_budget_comes_while_the_credit_is_held(stage):
    """It is used without a round trip; for a credit that is not held it means nothing, and is not given back."""
    def answer(_):
        stage.ac.released.wait(1.1)
        return 204, {}, b""

    stage.ac.answer = answer
    stage.broker.auto_renew = True
    _, worker = stage.granted(budget=2)
    stage.broker.until(lambda: len(stage.ac.requests) == 1)
    stage.broker.grant(worker, 0, 99, budget=9)
    stage.broker.grant(worker, 0, 7, budget=3)
    released = stage.broker.expect("RELEASE")
    assert (released.credit, released.used) == (7, 3)
    assert stage.broker.count("RELEASE") == 0 and len(stage.ac.requests) == 3


def test_stale_connection_is_repeated_counted_and_fresh(stage):
    """The second request goes out on the kept connection and dies there; curl must not repeat it by itself."""
    answers = [answer_of(task(1)), CLOSE, answer_of(task(2))]
    stage.ac.answer = lambda _: answers.pop(0) if answers else HOLD
    stage.broker.auto_renew = True
    _, worker = stage.granted()
    stage.broker.until(lambda: (accept_all(stage, worker), len(stage.ac.requests) == 4)[1])
    assert stage.broker.expect("RENEW").used == 4  # what AC saw is what was counted
    assert stage.broker.count("REPORT") == 0


def test_stale_connection_without_budget_is_a_network_failure(stage):
    answers = [answer_of(task(1)), CLOSE]
    stage.ac.answer = lambda _: answers.pop(0) if answers else HOLD
    stage.granted(budget=2)
    report = stage.broker.expect("REPORT")
    assert report.outcome == NETWORK and "stale" in report.reason
    assert stage.broker.expect("RELEASE").used == 2
    assert len(stage.ac.requests) == 2


@pytest.mark.parametrize("members,error", [
    ({"url": None}, "Agent Side Error: Error: the task has no url"),
    ({"method": None}, "Agent Side Error: Error: the task has no method"),
])
def test_a_task_that_cannot_run_is_invalid(stage, members, error):
    stage.ac.answer = then_idle([answer_of(task(1, **members))])
    stage.granted()
    fetched = stage.broker.expect("FETCHED")
    assert fetched.flags & 8 and fetched.error.startswith(error) and fetched.task_id == "t1"


def test_wrong_types_are_invalid_too(stage):
    stage.ac.answer = then_idle([answer_of(task(1, url=5))])
    stage.granted()
    fetched = stage.broker.expect("FETCHED")
    assert fetched.flags & 8 and fetched.error.startswith("Agent Side Error: Error: ")


def test_long_task_id_and_global_config(stage):
    long_id = "x" * 2000
    stage.ac.answer = then_idle([answer_of(task(1, taskId=long_id, method="POST",
                                                globalConfig={"debugMode": True}))])
    stage.granted()
    fetched = stage.broker.expect("FETCHED")
    assert fetched.task_id == "sha256:" + hashlib.sha256(long_id.encode()).hexdigest()
    assert fetched.flags == 4 and json.loads(fetched.config) == {"debugMode": True}
    assert abs(fetched.expiry_ms - fetched.fetched_ms - 300000) < 1000


def test_inbox_is_read_back_after_a_kill(stage):
    stage.ac.answer = then_idle([answer_of(task(1)), answer_of(task(2))])
    program, _ = stage.granted()
    first = stage.broker.expect("FETCHED", task_id="t1")
    stage.broker.expect("FETCHED", task_id="t2")
    stage.broker.until(lambda: len([n for n in stage.inbox() if not n.endswith(".tmp")]) == 2 and stage.window_is_empty())
    program.stop()
    stage.broker.inbox.clear()
    damaged = stage.directory / "state" / "inbox" / f"{first.instance:016x}-2"
    content = bytearray(damaged.read_bytes())
    content[-3] ^= 1
    damaged.write_bytes(content)
    again = stage.start()
    worker = stage.broker.welcome()
    assert worker.hello.instance != first.instance and worker.hello.place != 0
    fetched = stage.broker.expect("FETCHED", instance=first.instance)
    assert (fetched.seq, fetched.task_id, fetched.payload) == (1, "t1", first.payload)
    # the second one may have been in the window as well, and is then in the inbox anew
    assert {f"{first.instance:016x}-1", f"{first.instance:016x}-2.bad"} <= set(stage.inbox())
    assert len(again.events("inbox_file_damaged")) == 1
    stage.broker.send(worker, "ACCEPTED", instance=first.instance, seq=1, verdict=2, number=5)
    stage.broker.until(lambda: stage.inbox() == [f"{first.instance:016x}-2.bad"])


def test_broker_restart_with_a_poll_under_way(stage):
    stage.ac.answer = then_idle([])
    program, worker = stage.granted(ttl_ms=4000)
    stage.broker.until(lambda: stage.ac.requests)
    broker = stage.restart_broker(2)
    hello = broker.expect("HELLO")
    assert hello.credit == 7 and hello.instance == worker.hello.instance
    broker.auto_renew = True
    broker.welcome(hello=hello, credit=7)
    assert broker.expect("RENEW", credit=7).used == 1
    stage.ac.release()
    broker.expect("REPORT")
    assert len(stage.ac.requests) >= 1 and not program.dead()


def test_broker_restart_that_forgot_the_credit_aborts(stage):
    stage.ac.answer = then_idle([])
    stage.granted(ttl_ms=4000)
    stage.broker.until(lambda: stage.ac.requests)
    broker = stage.restart_broker(2)
    broker.welcome(credit=0)
    broker.until(lambda: stage.ac.requests[0].ended, timeout=1)
    broker.expect("WANT")


def test_no_request_between_the_loss_of_a_session_and_welcome(stage):
    stage.ac.answer = lambda _: HOLD if len(stage.ac.requests) > 1 else answer_of(task(1))
    stage.granted(ttl_ms=4000)
    stage.broker.until(lambda: len(stage.ac.requests) == 2)
    broker = stage.restart_broker(2)
    hello = broker.expect("HELLO")
    stage.ac.release()
    broker.until(lambda: stage.ac.requests[1].ended)
    broker.watch(0.5)
    assert len(stage.ac.requests) == 2
    broker.welcome(hello=hello, credit=7)
    assert broker.expect("RELEASE", credit=7).used == 2  # an empty answer that was quick


def test_term_finishes_the_poll(stage):
    stage.ac.answer = then_idle([])
    stage.broker.auto_renew = True
    program, worker = stage.granted()
    stage.broker.until(lambda: stage.ac.requests)
    program.term()
    stage.broker.expect("RENEW")
    assert not program.dead() and stage.ac.requests[0].ended is None
    stage.ac.release()
    stage.broker.expect("RELEASE", credit=7)
    stage.broker.expect("BYE", session=worker.session)
    assert program.process.wait(5) == 0
    assert len(stage.ac.requests) == 1


def test_term_with_a_drain_timeout_aborts(stage):
    stage.ac.answer = then_idle([])
    stage.broker.auto_renew = True
    program = stage.start("--drainTimeout", "1")
    worker = stage.broker.welcome()
    stage.broker.grant(worker, stage.broker.expect("WANT").seq, 7)
    stage.broker.until(lambda: stage.ac.requests)
    program.term()
    assert stage.broker.expect("RELEASE", credit=7).used == 1
    stage.broker.expect("BYE")
    assert program.process.wait(5) == 0


def test_term_keeps_the_unaccepted_in_the_inbox(stage):
    stage.ac.answer = then_idle([answer_of(task(1))])
    program, _ = stage.granted(budget=1)
    stage.broker.expect("FETCHED")
    program.term()
    stage.broker.expect("BYE")
    assert program.process.wait(5) == 0
    assert len(stage.inbox()) == 1


def test_drain_of_the_broker_stops_polls(stage):
    program = stage.start()
    worker = stage.broker.welcome()
    stage.broker.expect("WANT")
    stage.broker.send(worker, "DRAIN", session=worker.session, mode=1)
    stage.broker.watch(0.3)
    stage.broker.inbox.clear()
    stage.broker.watch(1.2)
    assert stage.broker.count("WANT") == 0
    stage.broker.send(worker, "DRAIN", session=worker.session, mode=0)
    stage.broker.expect("WANT")
    assert not program.dead()


def test_second_fetcher_on_the_state_directory_is_refused(stage):
    first = stage.start()
    stage.broker.welcome()
    second = stage.start()
    assert second.process.wait(5) != 0
    assert str(first.process.pid) in second.log


def test_unwritable_inbox_keeps_the_task_in_memory(stage):
    stage.ac.answer = then_idle([answer_of(task(1))])
    program = stage.start()
    worker = stage.broker.welcome()
    inbox = stage.directory / "state" / "inbox"
    inbox.rmdir()
    inbox.write_text("no directory any more")
    stage.broker.grant(worker, stage.broker.expect("WANT").seq, 7, budget=1)
    stage.broker.expect("FETCHED")
    stage.broker.until(lambda: program.events("inbox_write_failed"))
    fetched = stage.broker.expect("FETCHED")
    stage.broker.send(worker, "ACCEPTED", instance=fetched.instance, seq=1, verdict=1, number=1)
    stage.broker.watch(1.2)
    stage.broker.inbox.clear()
    stage.broker.watch(1.2)
    assert stage.broker.count("FETCHED") == 0
    assert len(program.events("inbox_write_failed")) == 1
