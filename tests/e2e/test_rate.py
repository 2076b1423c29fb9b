"""The rate limit over more than a minute."""

import pytest

pytestmark = pytest.mark.contract("1 limits")


def test_default_rate(world):
    """Default options: no 60 s window holds more than 250 AC requests, and the limit is made use of."""
    mock = world.start_mock("--tasks", 1000)
    agent = world.make_agent().start()
    mock.wait("ac_requests>=252", deadline=120)
    agent.status_until(lambda s: s["gate"]["rate_used"] > 0, "use of the rate window")
    agent.stop()
    books = mock.books()
    assert books["ac_max_per_minute"] <= 250
    assert books["ac_max_per_minute"] >= 240
    assert books["wrong"] == 0 and books["ac_max_in_flight"] <= 2
