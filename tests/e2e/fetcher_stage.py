"""The fetcher between a broker and an AC that do what each test wants."""

import itertools
import json
import struct

import pytest

from ac_stage import Stage
from fake_ac import HOLD

BUSY, LIMITED, DENIED, SERVER, NETWORK, MALFORMED, REDIRECT = 4, 5, 6, 7, 8, 9, 10
ABORTED = 12
EMPTY, REFUSED = 2, 3


class FetcherStage(Stage):
    name = "sluice-fetcher"

    def granted(self, budget=20, ttl_ms=4000, credit=7, **options):
        """A fetcher with a credit."""
        program = self.start(**options)
        worker = self.broker.welcome()
        want = self.broker.expect("WANT", stage=1)
        self.broker.grant(worker, want.seq, credit, budget=budget, ttl_ms=ttl_ms)
        return program, worker

    def tasks_without_end(self, **members):
        """AC hands out a task with each answer: t1, t2, ..."""
        number = itertools.count(1)
        self.ac.answer = lambda _: answer_of(dict(task(next(number)), **members))

    def empty_after(self, seconds):
        """AC has no task, and takes so long to say so."""
        def answer(_):
            self.ac.released.wait(seconds)
            return 204, {}, b""
        self.ac.answer = answer

    def window_is_empty(self):
        """Of its eight slots each begins with a word that is 0 while there is nothing in it."""
        window = (self.directory / "state" / "fetcher.window").read_bytes()
        return not any(struct.unpack_from("=I", window, slot * 65536)[0] for slot in range(8))

    def inbox(self):
        return sorted(path.name for path in (self.directory / "state" / "inbox").glob("*"))


@pytest.fixture
def stage(tmp_path):
    it = FetcherStage(tmp_path)
    yield it
    it.close()


def task(number=1, **members):
    base = {"taskId": f"t{number}", "url": "https://u:p@Tool.Example:8443/x?q", "method": "get"}
    base.update(members)
    return {key: value for key, value in base.items() if value is not None}


def answer_of(data):
    return 200, {"Content-Type": "application/json"}, json.dumps({"data": data}).encode()


def then_idle(first):
    """Answers the first requests with `first`, each once, and holds all later ones."""
    left = list(first)

    def answer(_):
        return left.pop(0) if left else HOLD

    return answer


def accept_all(stage, worker):
    """Accepts what has come so far."""
    for fetched in [m for m in stage.broker.inbox if m.message == "FETCHED"]:
        stage.broker.inbox.remove(fetched)
        stage.broker.send(worker, "ACCEPTED", instance=fetched.instance, seq=fetched.seq, verdict=1,
                          number=fetched.seq)
