"""The uploader against a broker and an AC that do what each test wants."""

import signal
import time

import pytest

from fake_ac import CLOSE, HOLD
from tool_server import FullListener
from uploader_stage import (  # stage and up are fixtures
    ABORTED, BUSY, DENIED, DONE, LIMITED, MALFORMED, NETWORK, OK, REDIRECT, REFUSED, SERVER, body, stage, up)


def test_hello_and_no_want_without_a_result(up):
    assert (up.worker.hello.role, up.worker.hello.slots, up.worker.hello.credit) == (3, 16, 0)
    assert up.worker.hello.place != 0
    up.broker.watch(1.2)
    assert up.broker.count("WANT") == 0


def test_a_result_is_posted_under_a_credit(up):
    up.claimed(up.worker, 1)
    want = up.broker.expect("WANT", stage=2)
    assert up.ac.requests == []
    up.broker.grant(up.worker, want.seq, 7, stage=2)
    uploaded = up.broker.expect("UPLOADED")
    assert (uploaded.number, uploaded.attempt, uploaded.credit, uploaded.call, uploaded.outcome,
            uploaded.http_status, uploaded.reason) == (1, 1, 7, 2, DONE, 200, "")
    assert up.broker.expect("RELEASE", credit=7).used == 1
    request = up.ac.requests[0]
    assert (request.method, request.target) == ("POST", "/api/http-teleport/put-result")
    assert request.body == body(1)
    assert request.headers["authorization"] == "Bearer the-secret-key"
    assert request.headers["content-type"] == "application/json"
    assert "expect" not in request.headers
    up.gone(up.worker, 1)
    up.broker.watch(1.3)
    assert up.broker.count("UPLOADED") == 0 and up.broker.count("WANT") == 0


def test_unclaimed_is_not_posted_and_the_claim_is_repeated(up):
    up.broker.push_task(up.worker, 1, body(1), 2)
    first, second = up.broker.expect("CLAIM"), up.broker.expect("CLAIM")
    assert second.at - first.at > 0.5
    assert up.broker.count("WANT") == 0


def test_uploaded_is_repeated_until_gone(up):
    up.claimed(up.worker, 1)
    up.granted(up.worker)
    first, second = up.broker.expect("UPLOADED"), up.broker.expect("UPLOADED")
    assert second.at - first.at > 0.5
    up.gone(up.worker, 1)
    up.broker.watch(1.3)
    assert up.broker.count("UPLOADED") == 0


def test_a_result_that_comes_again_after_it_is_gone_is_let_go(up):
    up.broker.push_task(up.worker, 1, body(1), 2)
    up.broker.expect("CLAIM", number=1)
    up.gone(up.worker, 1)  # what a claim of an attempt that is over is answered
    count = len(up.broker.heartbeats)
    up.broker.until(lambda: len(up.broker.heartbeats) > count and up.broker.heartbeats[-1].held == [], 5,
                    "an empty list")
    assert up.ac.requests == []


def test_many_results_by_one_connection_within_the_budget(up):
    up.claimed(up.worker, *range(1, 13))
    up.granted(up.worker, 7, budget=5)
    release = up.broker.expect("RELEASE", credit=7)
    assert release.used == 5
    assert up.broker.expect("UPLOADED", number=5).at < release.at
    for number in range(1, 6):
        up.gone(up.worker, number)
    up.granted(up.worker, 8, budget=20)
    assert up.broker.expect("RELEASE", credit=8).used == 7
    assert [request.body for request in up.ac.requests] == [body(n) for n in range(1, 13)]
    assert up.ac.connections == 1 and up.ac.most_in_flight == 1
    others = [n for n in range(1, 13) if n != 5]
    assert [up.broker.expect("UPLOADED", number=n).outcome for n in others] == [DONE] * 11


def test_a_ninth_waits_for_gone(up):
    """Eight results that the broker has not confirmed are as many as may be delivered twice if the machine ends now."""
    up.claimed(up.worker, *range(1, 12))
    up.granted(up.worker, 7, budget=20)
    assert up.broker.expect("RELEASE", credit=7).used == 8
    up.broker.inbox.clear()
    up.broker.watch(1.2)
    assert up.broker.count("WANT") == 0 and len(up.ac.requests) == 8
    up.gone(up.worker, 1)
    up.granted(up.worker, 8)
    up.broker.until(lambda: len(up.ac.requests) == 9)


def test_a_third_waits_where_nothing_can_be_noted(stage):
    """Without the file, two are as many as may be delivered twice if the process ends now."""
    (stage.directory / "state").mkdir()
    (stage.directory / "state" / "uploader.taken").symlink_to("/dev/null")
    stage.start()
    worker = stage.broker.welcome()
    stage.claimed(worker, 1, 2, 3)
    stage.granted(worker, 7, budget=20)
    assert stage.broker.expect("RELEASE", credit=7).used == 2
    stage.broker.inbox.clear()  # a WANT from before the second was begun
    stage.gone(worker, 1)
    stage.granted(worker, 8)
    stage.broker.until(lambda: len(stage.ac.requests) == 3)


@pytest.mark.parametrize("ended_by", ["kill -9", "the broker's end"])
def test_what_ac_has_is_told_and_not_posted_again(up, ended_by):
    """AC has the result and the broker never hears of it, because the uploader is killed or the session ends: it is handed
    out again, to whichever uploader, and that one says at once that AC has it."""
    up.claimed(up.worker, 1, 2)
    up.granted(up.worker, 7)
    for number in (1, 2):
        up.broker.expect("UPLOADED", number=number)
    up.gone(up.worker, 2)
    count = len(up.broker.heartbeats)
    up.broker.until(lambda: len(up.broker.heartbeats) > count and up.broker.heartbeats[-1].held == [1], 5, "the first alone")
    if ended_by == "kill -9":
        up.program.signal(signal.SIGKILL)
        up.broker.until(up.program.dead)
        up.start()
        worker = up.broker.welcome()
    else:
        worker = up.restart_broker(start=2).welcome(drop=[1])
    up.broker.inbox.clear()
    up.claimed(worker, 1, attempt=2)
    uploaded = up.broker.expect("UPLOADED", number=1)
    assert (uploaded.attempt, uploaded.credit, uploaded.call, uploaded.outcome, uploaded.http_status) == (2, 0, 2, DONE, 200)
    up.gone(worker, 1, attempt=2)
    up.claimed(worker, 2)  # this number's note went with GONE
    up.granted(worker, 9)
    assert up.broker.expect("UPLOADED", number=2).credit == 9
    assert [request.body for request in up.ac.requests] == [body(1), body(2), body(2)]


def test_what_another_uploader_has_posted_meanwhile_is_told_and_not_posted(up):
    """Its session was given up while it was at it, and the result handed to this one, which waits for a credit."""
    up.start()
    other = up.broker.welcome()
    up.claimed(up.worker, 1)
    up.claimed(other, 1, attempt=2)
    want = [up.broker.expect("WANT", peer=worker.hello.peer) for worker in (up.worker, other)]
    up.broker.grant(up.worker, want[0].seq, 7, stage=2)
    assert up.broker.expect("UPLOADED", number=1).credit == 7
    up.broker.grant(other, want[1].seq, 8, stage=2)
    told = up.broker.expect("UPLOADED", number=1, attempt=2)
    assert (told.credit, told.outcome, told.http_status) == (0, DONE, 200)
    assert up.broker.expect("RELEASE", credit=8).used == 0
    assert len(up.ac.requests) == 1


def test_two_credits_two_requests(up):
    up.ac.answer = lambda _: HOLD
    up.broker.auto_renew = True
    up.claimed(up.worker, 1, 2, 3)
    up.granted(up.worker, 7)
    up.broker.until(lambda: len(up.ac.requests) == 1)
    up.broker.inbox.clear()
    up.granted(up.worker, 8)
    up.broker.until(lambda: len(up.ac.requests) == 2)
    up.broker.inbox.clear()
    up.broker.watch(1.2)
    assert up.broker.count("WANT") == 0 and len(up.ac.requests) == 2
    up.ac.answer = lambda _: OK
    up.ac.release()
    assert {up.broker.expect("UPLOADED", number=n).credit for n in (1, 2)} == {7, 8}
    up.broker.expect("RELEASE", credit=7)
    up.broker.expect("RELEASE", credit=8)
    assert up.ac.connections == 2 and len(up.ac.requests) == 3


@pytest.mark.parametrize("answer,outcome,status,retry_ms", [
    ((429, {}, b"Too many concurrent requests"), BUSY, 429, -1),
    ((429, {"X-Rate-Limit-Retry-After-Seconds": "-4"}, b""), LIMITED, 429, 2000),
    ((429, {"X-Rate-Limit-Retry-After-Seconds": "900"}, b""), LIMITED, 429, 300000),
    ((429, {"Retry-After": "11"}, b""), LIMITED, 429, 11000),
    ((401, {}, b""), DENIED, 401, -1),
    ((408, {}, b""), SERVER, 408, -1),
    ((425, {}, b""), SERVER, 425, -1),
    ((504, {}, b""), SERVER, 504, -1),
    ((307, {"Location": "http://127.0.0.1:1/"}, b""), REDIRECT, 307, -1),
    ((201, {}, b""), MALFORMED, 201, -1),
    (CLOSE, NETWORK, 0, -1),
])
@pytest.mark.contract("1 retry")
def test_failures_are_told_and_the_credit_given_back_first(up, answer, outcome, status, retry_ms):
    up.ac.answer = lambda _: answer
    up.claimed(up.worker, 1, 2)
    up.granted(up.worker)
    uploaded = up.broker.expect("UPLOADED")
    assert (uploaded.number, uploaded.outcome, uploaded.http_status, uploaded.retry_after_ms) == (
        1, outcome, status, retry_ms)
    assert uploaded.reason.startswith(f"put-result at 127.0.0.1:{up.ac.port}: ")
    assert "the-secret-key" not in uploaded.reason + up.program.log
    release = up.broker.expect("RELEASE")
    assert release.used == 1 and uploaded.at < release.at
    up.broker.expect("WANT")
    assert len(up.ac.requests) == 1


@pytest.mark.contract("1 retry")
def test_a_refusal_does_not_stop_the_others(up):
    answers = [(400, {}, b"no"), OK]
    up.ac.answer = lambda _: answers.pop(0)
    up.claimed(up.worker, 1, 2)
    up.granted(up.worker)
    assert up.broker.expect("UPLOADED", number=1).outcome == REFUSED
    assert up.broker.expect("UPLOADED", number=2).outcome == DONE
    assert up.broker.expect("RELEASE").used == 2


@pytest.mark.contract("1 retry")
def test_unreachable_ac(up):
    up.ac.close()
    up.claimed(up.worker, 1)
    up.granted(up.worker)
    uploaded = up.broker.expect("UPLOADED")
    assert uploaded.outcome == NETWORK and "connecting" in uploaded.reason


@pytest.mark.contract("1 time-outs")
def test_an_answer_that_does_not_come(stage):
    """--readTimeoutSeconds without an octet end the call."""
    stage.ac.answer = lambda _: HOLD
    stage.broker.auto_renew = True
    stage.start("--readTimeoutSeconds", "2")
    worker = stage.broker.welcome()
    stage.claimed(worker, 1)
    stage.granted(worker)
    request = stage.broker.until(lambda: stage.ac.requests)[0]
    uploaded = stage.broker.expect("UPLOADED", timeout=30)
    assert uploaded.outcome == NETWORK and ": time-out: " in uploaded.reason
    stage.broker.until(lambda: request.ended)
    assert request.ended - request.at > 1


@pytest.mark.contract("1 time-outs")
def test_a_connection_that_does_not_come_about(stage):
    """25 s, whatever the other time-outs are."""
    stage.broker.auto_renew = True
    with FullListener() as full:
        stage.start("--connectTimeout", "1", url=f"http://{full.at}")
        worker = stage.broker.welcome()
        stage.claimed(worker, 1)
        begin = time.monotonic()
        stage.granted(worker)
        uploaded = stage.broker.expect("UPLOADED", timeout=60)
        assert time.monotonic() - begin > 24
    assert uploaded.outcome == NETWORK and ": time-out: Failed to connect" in uploaded.reason


def test_stale_connection_is_repeated_counted_and_fresh(up):
    answers = [OK, CLOSE, OK]
    up.ac.answer = lambda _: answers.pop(0)
    up.claimed(up.worker, 1, 2)
    up.granted(up.worker)
    assert up.broker.expect("UPLOADED", number=1).outcome == DONE
    assert up.broker.expect("UPLOADED", number=2).outcome == DONE
    assert up.broker.expect("RELEASE").used == 3
    assert len(up.ac.requests) == 3 and up.ac.most_in_flight == 1


def test_stale_connection_without_budget(up):
    answers = [OK, CLOSE]
    up.ac.answer = lambda _: answers.pop(0)
    up.claimed(up.worker, 1, 2)
    up.granted(up.worker, budget=2)
    assert up.broker.expect("UPLOADED", number=2).outcome == NETWORK
    assert up.broker.expect("RELEASE").used == 2
    assert len(up.ac.requests) == 2


@pytest.mark.contract("1 retry")
@pytest.mark.parametrize("second, outcome", [(OK, DONE), ((400, {}, b"no"), REFUSED)])
def test_a_refusal_on_a_kept_connection_is_none_yet(up, second, outcome):
    """It may be due to what was said there before: a body that nobody has read, say."""
    answers = [OK, (400, {}, b"what is this"), second]
    up.ac.answer = lambda _: answers.pop(0)
    up.claimed(up.worker, 1, 2)
    up.granted(up.worker)
    assert up.broker.expect("UPLOADED", number=1).outcome == DONE
    assert up.broker.expect("UPLOADED", number=2).outcome == outcome
    assert up.broker.expect("RELEASE").used == 3
    assert [r.connection for r in up.ac.requests] == [1, 1, 2] and up.ac.most_in_flight == 1


def test_a_refusal_on_a_kept_connection_without_budget(up):
    answers = [OK, (400, {}, b"what is this")]
    up.ac.answer = lambda _: answers.pop(0)
    up.claimed(up.worker, 1, 2)
    up.granted(up.worker, budget=2)
    uploaded = up.broker.expect("UPLOADED", number=2)
    assert (uploaded.outcome, uploaded.http_status) == (ABORTED, 400)
    assert uploaded.reason.endswith("answered 400: asked once more on a connection of its own")
    assert up.broker.expect("RELEASE").used == 2


def test_a_further_try_has_a_connection_of_its_own(up):
    up.claimed(up.worker, 1)
    up.claimed(up.worker, 2, attempt=2)
    up.granted(up.worker)
    assert up.broker.expect("UPLOADED", number=2).outcome == DONE
    assert [r.connection for r in up.ac.requests] == [1, 2]


@pytest.mark.parametrize("version, answer", [
    ("HTTP/1.1", (503, {}, b"")), ("HTTP/1.1", (429, {"Retry-After": "1"}, b"")),
    ("HTTP/1.0", (200, {"Connection": "keep-alive"}, b"{}"))])
def test_what_may_be_left_on_a_connection_meets_no_other_request(up, version, answer):
    """A body that is refused before it is read, and HTTP/1.0, in which curl would go on."""
    answers = [answer, OK]
    up.ac.version = version
    up.ac.answer = lambda _: answers.pop(0)
    up.claimed(up.worker, 1)
    up.granted(up.worker, 7)
    up.broker.expect("UPLOADED", number=1)
    up.broker.expect("RELEASE", credit=7)
    up.claimed(up.worker, 2)
    up.granted(up.worker, 8)
    assert up.broker.expect("UPLOADED", number=2).outcome == DONE
    assert [(r.connection, r.version) for r in up.ac.requests] == [(1, "HTTP/1.1"), (2, "HTTP/1.1")]


def test_an_unknown_call_is_refused(up):
    up.claimed(up.worker, 1, call=1)
    uploaded = up.broker.expect("UPLOADED")
    assert (uploaded.call, uploaded.outcome, uploaded.credit) == (1, REFUSED, 0)
    assert "this build" in uploaded.reason
    assert up.broker.count("WANT") == 0


def test_a_missing_body_is_refused(up):
    (up.directory / "run/spool").mkdir()
    up.claimed(up.worker, 1, call=3)
    up.granted(up.worker)
    uploaded = up.broker.expect("UPLOADED")
    assert (uploaded.call, uploaded.outcome) == (6, REFUSED)
    assert "cannot be read from the spool: it is not there" in uploaded.reason
    assert up.ac.requests == []


@pytest.mark.parametrize("spool", ["is missing", "leads nowhere", "leads to a file"])
def test_a_body_is_not_taken_for_gone_with_the_spool(up, spool):
    """The broker makes the link; until it has, nothing is known of what is behind it."""
    link, place = up.directory / "run/spool", up.directory / "elsewhere"
    if spool != "is missing":
        link.symlink_to(place)
    if spool == "leads to a file":
        place.touch()
    up.claimed(up.worker, 1, call=3)
    up.granted(up.worker)
    uploaded = up.broker.expect("UPLOADED")
    assert (uploaded.call, uploaded.outcome) == (6, NETWORK)
    assert "cannot be read from the spool" in uploaded.reason
    up.gone(up.worker, 1)
    link.unlink(missing_ok=True)
    place.unlink(missing_ok=True)
    link.mkdir()
    (link / "1.body").write_bytes(b"x" * 600_000)
    up.claimed(up.worker, 1, call=3, attempt=2)
    up.granted(up.worker, 8)
    assert up.broker.expect("UPLOADED", attempt=2).outcome == DONE
    assert b"x" * 600_000 in up.ac.requests[0].body


def test_denied_claim_and_denied_post(up):
    up.ac.answer = lambda _: HOLD
    up.broker.push_task(up.worker, 1, body(1), 2)
    up.broker.expect("CLAIM")
    up.broker.send(up.worker, "DENIED", session=up.worker.session, number=1, attempt=1, reason=3)
    up.claimed(up.worker, 2)
    up.granted(up.worker, ttl_ms=600000)  # nothing else ends the request
    up.broker.until(lambda: up.ac.requests)
    up.broker.send(up.worker, "DENIED", session=up.worker.session, number=2, attempt=1, reason=5)
    up.broker.until(lambda: up.ac.requests[0].ended)
    up.broker.expect("RELEASE", credit=7)
    up.broker.watch(1.2)
    assert up.broker.count("UPLOADED") == 0 and up.broker.count("CLAIM") == 0
    assert up.broker.heartbeats[-1].held == []
