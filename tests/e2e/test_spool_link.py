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
    """The result is not buried, and goes as soon as a broker has made the link again."""
    mock = world.start_mock()
    agent = world.make_agent(*FAST).start()
    agent.joined("fetcher", "executor", "uploader")
    agent.kill("uploader", signal.SIGSTOP)  # idle, so it holds no credit
    mock.add(**BODY)
    agent.status_until(lambda s: s["counters"]["results"] == 1, "the result")
    (agent.runtime / "spool").unlink()
    agent.kill("uploader", signal.SIGCONT)
    status = agent.status_until(lambda s: s["counters"]["upload_retries"] > 0 or s["dead_letters"]["tasks"] > 0, "a try")
    assert status["dead_letters"]["tasks"] == 0
    agent.restarted("broker", agent.kill("broker"))
    check_books(mock.wait("delivered>=1"), 1)
    agent.stop()
