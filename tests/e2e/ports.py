"""Ports that a test may listen on, close and listen on again: nobody else takes them meanwhile, neither the kernel for a
connection (they are below those it gives) nor another run of tests."""
import contextlib
import fcntl
import pathlib
import socket
import tempfile

_claims = []
_given = set()


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
    """A port with 200 free ones above it."""
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
