"""The link by which the uploader finds the bodies of results is taken away: by a cleaner of /tmp, or by hand."""
import signal

from agent import FAST, check_books

BODY = {"count": 1, "methods": "POST", "bodyBytes": "600000-600000"}


def test_removed_before_a_body_comes(world):
    mock = world.start_mock("--tasks", 1)
    agent = world.make_agent(*FAST).start()
    mock.wait("delivered>=1")
    (agent.runtime / "spool").unlink()
    mock.add(**BODY)
    check_books(mock.wait("delivered>=2"), 2)
    agent.stop()


def test_removed_before_a_body_is_read(world):
    """The result is not buried, and goes as soon as the broker can make the link again; that the spool is full, so that no
    other body can begin, is no matter."""
    mock = world.start_mock()
    agent = world.make_agent(*FAST, "--spoolMb", 1).start()
    agent.joined("fetcher", "executor", "uploader")
    agent.kill("uploader", signal.SIGSTOP)  # idle, so it holds no credit
    mock.add(**BODY | {"count": 2, "bodyBytes": "1500000-1500000", "bodyZeros": 0})
    agent.status_until(lambda s: s["counters"]["results"] == 1 and s["spool"]["streams"] == 1, "the result and one that waits")
    obstacle = agent.runtime / "spool.new"  # where the broker makes the link before it gives it its name
    obstacle.mkdir()
    (agent.runtime / "spool").unlink()
    agent.kill("uploader", signal.SIGCONT)
    status = agent.status_until(lambda s: s["counters"]["upload_retries"] > 0 or s["dead_letters"]["tasks"] > 0, "a try")
    assert status["dead_letters"]["tasks"] == 0
    obstacle.rmdir()
    check_books(mock.wait("delivered>=2"), 2)
    agent.stop()
