"""Answers of little that unpack to a lot. The executor goes on with everything else meanwhile: its session is not lost, so no
POST that runs beside them ends with an unknown outcome, and they themselves end at their expiry."""
import gzip
import threading
import time

import pytest

from agent import FAST, until
from tool_server import ToolServer, answer
from two_sides import ac, start

pytestmark = pytest.mark.contract("3 decoding")

MEBIBYTE = gzip.compress(bytes(1 << 20), 9)  # a member: so many in a row are one body
TWICE = gzip.compress(MEBIBYTE * 4096, 9) * 4  # 16 GiB in 50 KB
POSTS, BOMBS = 4, 30
EXPIRY_MS = 6000


def test_others_go_on(ac, start):
    release = threading.Event()

    def waits(_):
        release.wait(60)
        return answer(body=b"fine")

    tool = ToolServer({"/once": answer(200, [("Content-Encoding", "gzip")], MEBIBYTE * 8192), "/waits": waits,
                       "/twice": answer(200, [("Content-Encoding", "gzip, gzip")], TWICE)})
    agent = start(*FAST, "--executorPoolSize", POSTS + BOMBS + 1)
    for i in range(POSTS):
        ac.add(f"post{i}", tool.url("/waits"), "POST", input="x")
    until(lambda: len(tool.requests) == POSTS, "the POSTs under way")
    for i in range(BOMBS):
        ac.add(f"bomb{i}", tool.url("/twice" if i < 2 else "/once"), expiryTsMs=int(time.time() * 1000) + EXPIRY_MS)
    until(lambda: {r.target for r in tool.requests} == {"/waits", "/once", "/twice"}, "bombs under way")
    ac.add("beside", tool.url("/small"))
    assert ac.result("beside")["statusCode"] == 200
    outcomes = [ac.result(f"bomb{i}") for i in range(BOMBS)]
    release.set()
    assert [ac.result(f"post{i}")["statusCode"] for i in range(POSTS)] == [200] * POSTS
    assert {(r["statusCode"], "timed out" in r["output"]) for r in outcomes} == {(500, True)}, outcomes[0]
    assert agent.log_text().count("event=session_begun") == 3 and "session_lost" not in agent.log_text()
