import contextlib
import socket

import pytest

from agent import World


def pytest_configure(config):
    config.addinivalue_line("markers", "contract(topic): what of the AC contract it tests (tests/contract/topics.py)")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call":
        item.failed = outcome.get_result().failed


@pytest.fixture
def world(request):
    made = World()
    yield made
    made.close(getattr(request.node, "failed", True))


def find_port():
    """A port with 200 free ones above it, as far as one can tell."""
    for base in range(20000, 60000, 211):
        with contextlib.ExitStack() as stack:
            try:
                for port in (base, base + 1, base + 2, base + 3, base + 8, base + 9, base + 10):
                    probe = stack.enter_context(socket.socket())
                    probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if base not in _given:
            _given.add(base)
            return base
    raise RuntimeError("no free ports")


_given = set()


@pytest.fixture
def free_port():
    return find_port()


@pytest.fixture(scope="module")
def module_port():
    """A function that finds one, for fixtures that last longer than a test."""
    return find_port
