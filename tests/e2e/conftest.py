import contextlib
import fcntl
import pathlib
import socket
import tempfile

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


def _claim(base):
    """Whether no other run of tests has these ports; the file stays open, and locked, as long as this process lives."""
    claim = open(pathlib.Path(tempfile.gettempdir()) / f"sluice-test-ports-{base}", "w", encoding="ascii")
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        claim.close()
        return False
    _claims.append(claim)
    return True


def find_port():
    """A port with 200 free ones above it, below those that the kernel gives to connections."""
    for base in range(12000, 32500, 211):
        if base in _given:
            continue
        with contextlib.ExitStack() as stack:
            try:
                for port in (base, base + 1, base + 2, base + 3, base + 8, base + 9, base + 10):
                    probe = stack.enter_context(socket.socket())
                    probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if _claim(base):
            _given.add(base)
            return base
    raise RuntimeError("no free ports")


_claims = []
_given = set()


@pytest.fixture
def free_port():
    return find_port()


@pytest.fixture(scope="module")
def module_port():
    """A function that finds one, for fixtures that last longer than a test."""
    return find_port
