"""The fetcher and its credit: budget, lease, switch, and what it tells of AC."""

import signal
import time

import pytest

from fake_ac import CLOSE, HOLD
from fetcher_stage import (  # stage is a fixture
    ABORTED, BUSY, LIMITED, DENIED, SERVER, NETWORK, MALFORMED, REDIRECT, EMPTY, REFUSED, accept_all, answer_of, stage,
    task, then_idle)


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


def test_renewed_each_second_and_a_long_poll_outlives_the_first_lease(stage):
    stage.ac.answer = then_idle([])
    began = time.monotonic()
    _, worker = stage.granted(ttl_ms=4000)
    renews = []

    def is_each_second():
        """As soon as two come with nothing in between that takes its time, on a busy machine."""
        if renew := stage.broker.take("RENEW"):
            renews.append(renew)
            stage.broker.grant(worker, renew.seq, renew.credit, ttl_ms=30000)
        return len(renews) >= 5 and min(b.at - a.at for a, b in zip(renews, renews[1:])) < 1.3
    stage.broker.until(is_each_second)
    assert all(renew.at - began > 0.95 * i for i, renew in enumerate(renews)), "they come more often"
    assert renews[-1].at - began > 4 and renews[-1].used == 1
    assert len(stage.ac.requests) == 1 and stage.ac.requests[0].ended is None


def test_unrenewed_lease_is_aborted_a_second_before_its_end(stage):
    stage.ac.answer = then_idle([])
    program, _ = stage.granted(ttl_ms=4000)
    stage.broker.until(lambda: stage.ac.requests)
    request = stage.ac.requests[0]
    stage.broker.until(lambda: request.ended)
    assert request.ended - request.at > 2.5
    report = stage.broker.expect("REPORT")
    assert report.outcome == ABORTED and "aborted" in report.reason
    stage.broker.expect("RELEASE", credit=7)
    assert not program.dead()  # in time: a moment too late, and its switch had ended it
    assert len(program.events("poll_aborted")) == 1


def test_stopped_holder_is_killed_by_its_switch(stage):
    stage.ac.answer = then_idle([])
    program, _ = stage.granted(ttl_ms=2000)
    stage.broker.until(lambda: stage.ac.requests)
    request = stage.ac.requests[0]
    program.signal(signal.SIGSTOP)
    stage.broker.until(program.dead)
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
    stage.empty_after(1.1)
    stage.broker.auto_renew = True
    stage.granted(budget=2)
    assert stage.broker.expect("REPORT").outcome == EMPTY
    assert stage.broker.expect("REPORT").elapsed_ms >= 1000
    assert stage.broker.expect("RELEASE").used == 2
    assert stage.ac.connections == 1


def test_a_larger_budget_comes_while_the_credit_is_held(stage):
    """It is used without a round trip; for a credit that is not held it means nothing, and is not given back."""
    stage.empty_after(1.1)
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
    stage.granted(ttl_ms=600000)  # nothing else ends it
    stage.broker.until(lambda: stage.ac.requests)
    broker = stage.restart_broker(2)
    broker.welcome(credit=0)
    broker.until(lambda: stage.ac.requests[0].ended)
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
