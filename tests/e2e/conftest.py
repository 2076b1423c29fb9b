import pytest

# before they are imported: what is asserted there shows its values, too
pytest.register_assert_rewrite("agent", "disk", "fake_ac", "fake_broker", "fault_tools", "hostile", "two_sides", "workers")

from agent import World  # noqa: E402
from needs import forbid_skip  # noqa: E402
from ports import find_port  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "contract(topic): what of the AC contract it tests (tests/contract/topics.py)")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    forbid_skip(report)
    if call.when == "call":
        item.failed = report.failed


@pytest.fixture
def world(request):
    made = World()
    yield made
    made.close(getattr(request.node, "failed", True))


@pytest.fixture
def free_port():
    return find_port()


@pytest.fixture(scope="module")
def module_port():
    """A function that finds one, for fixtures that last longer than a test."""
    return find_port
