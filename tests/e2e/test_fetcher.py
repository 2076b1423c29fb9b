"""The fetcher against a broker and an AC that do what each test wants: tasks, and what keeps them."""

import hashlib
import json
import signal

import pytest

from fetcher_stage import answer_of, stage, task, then_idle  # stage is a fixture


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


@pytest.mark.parametrize("too_large", [0, 1])
def test_term_with_an_inbox_that_cannot_be_written(stage, too_large):
    """What is in the window is the next fetcher's, and not lost; what is too large for it is, and told by the exit status."""
    large = task(2, input="x" * 70000)
    stage.ac.answer = then_idle([answer_of(task(1)), answer_of(large)][:1 + too_large])
    program = stage.start("--drainTimeout", "1")
    worker = stage.broker.welcome()
    (stage.directory / "state" / "inbox").rmdir()
    stage.broker.grant(worker, stage.broker.expect("WANT").seq, 7, budget=1 + too_large)
    first = [stage.broker.expect("FETCHED", seq=seq) for seq in range(1, 2 + too_large)][0]
    program.term()
    stage.broker.expect("BYE")
    assert program.process.wait(5) == too_large
    stage.broker.until(lambda: program.events("stopped"))
    assert [line for line in program.events("tasks_kept") if "count=1 " in line], program.log
    assert len([line for line in program.events("tasks_lost") if "count=1 " in line]) == too_large, program.log
    stage.broker.watch(0.5)  # what it had still sent
    stage.broker.inbox.clear()
    stage.start()
    stage.broker.welcome()
    again = stage.broker.expect("FETCHED")
    assert (again.instance, again.task_id) == (first.instance, "t1")


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


def test_http_1_0_of_an_answer_is_for_that_answer(stage):
    """The next poll is sent as HTTP/1.1 all the same, on a new connection."""
    stage.ac.version = "HTTP/1.0"
    stage.ac.answer = lambda _: (200, {"Connection": "keep-alive"}, answer_of(task(len(stage.ac.requests)))[2])
    stage.granted(budget=2)
    stage.broker.until(lambda: len(stage.ac.requests) == 2)
    assert [(request.version, request.connection) for request in stage.ac.requests] == [("HTTP/1.1", 1), ("HTTP/1.1", 2)]
