"""The uploader where something ends: a lease, the broker, or it itself."""

import json
import signal
import threading

from agent import until
from fake_ac import HOLD
from uploader_stage import ABORTED, DONE, OK, SERVER, body, stage, up  # stage and up are fixtures


def test_unrenewed_lease_ends_the_post_before_its_end(up):
    up.ac.answer = lambda _: HOLD
    up.claimed(up.worker, 1)
    up.granted(up.worker, ttl_ms=3000)
    request = up.broker.until(lambda: up.ac.requests)[0]
    uploaded = up.broker.expect("UPLOADED")
    assert uploaded.outcome == ABORTED and "aborted" in uploaded.reason
    up.broker.until(lambda: request.ended)
    assert request.ended - request.at > 1.5
    assert not up.program.dead()


def test_stopped_holder_is_killed_by_its_switch(up):
    up.ac.answer = lambda _: HOLD
    up.claimed(up.worker, 1)
    up.granted(up.worker, ttl_ms=2000)
    request = up.broker.until(lambda: up.ac.requests)[0]
    up.program.signal(signal.SIGSTOP)
    up.broker.until(up.program.dead)
    assert up.program.process.returncode == -signal.SIGKILL
    up.broker.until(lambda: request.ended)
    assert request.ended - request.at > 1.0


def test_switch_is_disarmed_with_the_credit(up):
    up.claimed(up.worker, 1)
    up.granted(up.worker, ttl_ms=2000)
    up.broker.expect("RELEASE")
    up.program.signal(signal.SIGSTOP)
    up.broker.watch(2.5)
    assert not up.program.dead()
    up.program.signal(signal.SIGCONT)


def test_broker_restart_with_results_in_every_phase(up):
    up.ac.answer = lambda _: OK if len(up.ac.requests) == 1 else HOLD
    up.claimed(up.worker, 1, 2, 3)
    up.granted(up.worker)
    up.broker.expect("UPLOADED", number=1)
    up.broker.until(lambda: len(up.ac.requests) == 2)
    old = up.worker.session
    broker = up.restart_broker(2)
    hello = broker.expect("HELLO")
    assert sorted(hello.held) == [[old, 1, 1, 3], [old, 2, 1, 2], [old, 3, 1, 1]]
    assert hello.credit == 7
    worker = broker.welcome(hello=hello, credit=7, drop=[3])
    uploaded = broker.expect("UPLOADED", number=1)
    assert (uploaded.session, uploaded.outcome) == (worker.session, DONE)
    up.gone(worker, 1)
    up.ac.answer = lambda _: OK
    up.ac.release()
    assert broker.expect("UPLOADED", number=2, session=worker.session).outcome == DONE
    broker.watch(1.2)
    assert broker.count("CLAIM") == 0  # 3 was dropped
    assert len(up.ac.requests) == 2


def test_a_body_goes_to_the_store_without_a_broker(stage):
    """The store is not AC: the body needs neither credit nor session, and the URL for it holds but minutes."""
    answered = threading.Event()
    urls = json.dumps({"data": {"putUrl": f"{stage.ac.url}/put", "getUrl": "http://get"}}).encode()
    stage.ac.answer = lambda request: (200, {}, urls) if request.method != "GET" or answered.wait(60) else OK
    (stage.directory / "run/spool").mkdir()
    (stage.directory / "run/spool/1.body").write_bytes(bytes(600_000))
    program = stage.start()
    worker = stage.broker.welcome(lost_ms=1000)
    stage.claimed(worker, 1, call=4)
    stage.granted(worker, ttl_ms=60_000)
    stage.broker.until(lambda: stage.ac.requests)
    stage.broker.close()
    until(lambda: program.events("session_lost"), "the end of the session")
    answered.set()
    until(lambda: stage.ac.requests[1:] and stage.ac.requests[1].ended, "the body")
    assert len(stage.ac.requests[1].body) == 600_000
    broker = stage.restart_broker(2)
    hello = broker.expect("HELLO")
    assert [held[:3] for held in hello.held] == [[worker.session, 1, 1]]
    worker = broker.welcome(hello=hello)
    broker.until(lambda: broker.count("CLAIM") or broker.count("WANT"))  # it has read the store's answer before, or now
    if broker.take("CLAIM"):
        broker.send(worker, "CLAIMED", session=worker.session, number=1, attempt=1)
    stage.granted(worker, 8)
    assert broker.expect("UPLOADED").outcome == DONE
    assert b'"s3Url":"http://get"' in stage.ac.requests[2].body and len(stage.ac.requests) == 3


def test_claimed_before_a_restart_is_claimed_again(up):
    up.claimed(up.worker, 1)
    up.broker.expect("WANT")
    broker = up.restart_broker(2)
    worker = broker.welcome()
    claim = broker.expect("CLAIM", number=1, session=worker.session)
    assert broker.count("WANT") == 0
    broker.send(worker, "CLAIMED", session=worker.session, number=1, attempt=claim.attempt)
    up.granted(worker)
    assert broker.expect("UPLOADED").outcome == DONE


def test_handed_out_again_before_gone(up):
    up.ac.answer = lambda _: (500, {}, b"") if len(up.ac.requests) == 1 else OK
    up.claimed(up.worker, 1)
    up.granted(up.worker)
    assert up.broker.expect("UPLOADED").outcome == SERVER
    up.claimed(up.worker, 1, attempt=2)
    up.granted(up.worker, 8)
    assert up.broker.expect("UPLOADED", attempt=2).outcome == DONE
    up.gone(up.worker, 1, attempt=1)
    up.broker.expect("UPLOADED", attempt=2)


def test_term_uploads_the_claimed_and_returns_the_rest(up):
    up.claimed(up.worker, 1)
    up.broker.push_task(up.worker, 2, body(2), 2)
    up.broker.expect("CLAIM", number=2)
    up.program.term()
    assert up.broker.expect("RETURN", number=2).started == 0
    up.gone(up.worker, 2)
    up.broker.push_task(up.worker, 3, body(3), 2)
    up.broker.expect("RETURN", number=3)
    up.gone(up.worker, 3)
    up.granted(up.worker)
    up.broker.expect("UPLOADED", number=1)
    assert not up.program.dead()
    up.gone(up.worker, 1)
    up.broker.expect("BYE", session=up.worker.session)
    assert up.program.process.wait(5) == 0
    assert len(up.ac.requests) == 1


def test_term_with_the_timeout_up(stage):
    stage.ac.answer = lambda _: HOLD
    stage.broker.auto_renew = True
    program = stage.start("--drainTimeout", "1")
    worker = stage.broker.welcome()
    stage.claimed(worker, 1, 2)
    stage.granted(worker)
    stage.broker.until(lambda: stage.ac.requests)
    program.term()
    uploaded = stage.broker.expect("UPLOADED", number=1)
    assert uploaded.outcome == ABORTED and "drain" in uploaded.reason
    assert stage.broker.expect("RETURN", number=2).started == 0
    stage.broker.expect("RELEASE", credit=7)
    stage.gone(worker, 1)
    stage.gone(worker, 2)
    stage.broker.expect("BYE")
    assert program.process.wait(5) == 0


def test_term_without_a_broker_is_not_waited_out(stage):
    """What it holds is the broker's, and what AC has is noted: the next uploader tells it."""
    program = stage.start("--drainTimeout", "600")
    worker = stage.broker.welcome()
    stage.claimed(worker, 1, 2)
    stage.granted(worker, budget=1)
    stage.broker.expect("UPLOADED", number=1)
    stage.broker.close()
    program.term()
    assert program.process.wait(60) == 0
    assert len(stage.ac.requests) == 1
    stage.restart_broker(2)
    stage.start()
    stage.claimed(stage.broker.welcome(), 1)
    assert stage.broker.expect("UPLOADED", number=1).outcome == DONE
    assert len(stage.ac.requests) == 1


def test_term_of_an_idle_uploader_is_quick(up):
    up.broker.until(lambda: up.broker.heartbeats)  # it has read WELCOME
    up.program.term()
    up.broker.expect("BYE")
    assert up.program.process.wait(5) == 0


def test_two_uploaders_live_side_by_side(up):
    up.start()
    second = up.broker.welcome()
    assert second.hello.place not in (0, up.worker.hello.place)
