"""The broker away for long: killed until the time of a task is over, or stopped until all leases are."""

import os
import signal
import time

import pytest

from agent import FAST, until
from fault_tools import PROGRAMS


@pytest.mark.parametrize("method,octets", [("DELETE", 1000), ("GET", 700_000)])
def test_kept_result_is_delivered_after_its_expiry(world, method, octets):
    """The executor has had the answer in time, and kept it. The journal has the task as ready: what is idempotent is
    claimed without a record."""
    mock = world.start_mock("--tasks", 1, "--bodyBytes", f"{octets}-{octets}", "--methods", method, "--expiryMs", 6000,
                            "--fault", "tool:delay:1:1500")
    agent = world.make_agent(*FAST)
    programs = {name: agent.program(name) for name in PROGRAMS}
    mock.wait("tool_requests>=1")
    handed_out = time.monotonic()
    programs["broker"].kill()
    programs["broker"].wait()
    until(lambda: time.monotonic() - handed_out > 7, "the expiry")
    agent.program("broker")
    books = mock.wait("delivered>=1")
    assert books["error_results"] == 0 and books["tool_requests"] == 1, books
    assert "event=task_dropped" not in agent.log_text()


def test_own_aborts_do_not_close_the_gate(world):
    """Both requests are aborted because their leases run out unrenewed. That is no failure of AC."""
    mock = world.start_mock("--tasks", 100, "--toolDelayMs", "20-50", "--acDelayMs", "500", "--methods", "GET")
    agent = world.make_agent(*FAST, "--executorPoolSize", 10)
    kept = agent.keep(*PROGRAMS)
    mock.wait("delivered>=1")
    mock.config(acDelayMs=60000)
    mock.wait(f"ac_requests>={mock.books()['ac_requests'] + 2}")  # two that will not end by themselves
    os.kill(kept["broker"].pid, signal.SIGSTOP)
    until(lambda: agent.log_text().count("aborted: the credit") + sum(kept.toll.values()) >= 2, "the end of both leases")
    mock.config(acDelayMs=0)
    os.kill(kept["broker"].pid, signal.SIGCONT)
    mock.wait("delivered>=100")
    log = agent.log_text()
    assert "event=gate_closed" not in log and "event=ac_call_failed" not in log, log
