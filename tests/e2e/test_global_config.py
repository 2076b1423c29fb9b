"""globalConfig (AC contract section 6): set by a task, it reaches every process, live, and outlives the broker."""
import subprocess
import threading

import pytest

from agent import until
from tool_server import ToolServer, answer
from two_sides import ac, start  # ac and start are fixtures

pytestmark = pytest.mark.contract("6 globalConfig")


def config_of(agent, generation):
    return agent.status_until(lambda s: s["config"]["generation"] == generation, f"generation {generation}")["config"]


def slots_of(agent, count):
    """Waits until the executor has so many slots; returns the status."""
    def fits(status):
        return [w["slots"] for w in status["workers"] if w["role"] == "executor"] == [count]
    return agent.status_until(fits, f"{count} slots")


def test_everything_is_set_and_outlives_the_broker(ac, start):
    tool = ToolServer()
    agent = start("--executorPoolSize", 2)
    ac.add("one", tool.url("/one"), globalConfig={"poolSize": 7, "rateLimitPerMin": 333, "verifyCert": True, "uploadToAC": False,
                                     "debugMode": True, "unknown": [1]})
    assert ac.result("one")["statusCode"] == 200
    wanted = {"generation": 2, "debug": True, "verify": True, "pool_size": 7, "upload_to_ac": False, "rate_per_min": 333}
    assert config_of(agent, 2) == wanted
    status = slots_of(agent, 7)
    assert status["tasks"]["lookahead"] == 7
    assert status["gate"]["rate_limit"] == 333
    former = agent.kill("broker")
    agent.restarted("broker", former)
    assert config_of(agent, 2) == wanted
    slots_of(agent, 7)
    ac.add("two", tool.url("/two"), globalConfig={"threadPoolSize": 3, "verifyCert": False, "debugMode": False})
    ac.result("two")
    assert config_of(agent, 3) == {**wanted, "generation": 3, "pool_size": 3, "debug": False}
    slots_of(agent, 3)
    agent.stop()
    agent = start("--executorPoolSize", 2)  # the journal is the same
    slots_of(agent, 3)


def test_large_bodies_go_where_it_says(ac, start):
    """uploadToAC counts for the task that brings it already, and for those that follow; what else is there, and how
    much, does not matter."""
    ac.store, tool = ToolServer(), ToolServer(default=answer(body=bytes(600000)))
    agent = start("--uploadToAc", "true")
    ac.add("one", tool.url("/one"), globalConfig={"uploadToAC": False, "note": "x" * 1100})
    assert ac.result("one")["s3Url"].startswith(ac.store.url("/get/one"))
    ac.add("two", tool.url("/two"))
    assert ac.result("two")["s3Url"].startswith(ac.store.url("/get/two"))
    assert [request.body for request in ac.store.requests] == [bytes(600000)] * 2
    config_of(agent, 2)
    ac.add("three", tool.url("/three"), globalConfig={"uploadToAC": True})
    assert ac.result("three")["file"] == bytes(600000)
    assert len(ac.store.requests) == 2


def test_what_is_wrong_is_ignored_with_a_warning(ac, start):
    tool = ToolServer()
    agent = start("--executorPoolSize", 2)
    before = config_of(agent, 1)
    ac.add("a", tool.url("/a"), globalConfig={"poolSize": 0, "rateLimitPerMin": "10", "debugMode": "yes", "verifyCert": 1})
    ac.add("b", tool.url("/b"), globalConfig=[1, 2])
    ac.add("c", tool.url("/c"), globalConfig={"poolSize": 5000, "uploadToAC": True})
    for task_id in "abc":
        assert ac.result(task_id)["statusCode"] == 200
    log = agent.log_text()
    assert "event=global_config_ignored" in log and "poolSize has to be a number from 1 to 1000" in log
    assert "globalConfig ignored; it is no object" in log
    assert agent.status()["config"] == {**before, "generation": 2}  # of uploadToAC, which is well
    assert ac.results["c"]["globalConfig"] == {"poolSize": 5000, "uploadToAC": True}  # echoed as it was


def test_tasks_in_flight_finish_undisturbed(ac, start):
    """The slots change up and down while tasks run: none is run twice, lost, or cut off."""
    gate = threading.Event()
    tool = ToolServer(default=lambda request: (gate.wait(30), answer(body=b"ok"))[1])
    quick = ToolServer()
    agent = start("--executorPoolSize", 4)
    for number in range(4):
        ac.add(f"slow{number}", tool.url(f"/{number}"), method="POST", input="x")
    until(lambda: len(tool.requests) == 4, "four requests under way")
    ac.add("more", quick.url("/more"), globalConfig={"poolSize": 6})  # waits for a slot, and brings more of them
    assert ac.result("more")["statusCode"] == 200
    slots_of(agent, 6)
    ac.add("less", quick.url("/less"), globalConfig={"poolSize": 2})
    status = slots_of(agent, 2)
    assert status["tasks"]["running"] >= 4
    gate.set()
    for number in range(4):
        assert ac.result(f"slow{number}")["statusCode"] == 200
    assert ac.result("less")["statusCode"] == 200
    assert len(tool.requests) == 4
    for number in range(20):
        ac.add(f"after{number}", quick.url(f"/{number}"))
    for number in range(20):
        assert ac.result(f"after{number}")["statusCode"] == 200
    assert agent.status()["counters"]["outcome_unknown"] == 0


def test_verification_is_turned_on_before_the_task_runs(ac, start, tmp_path):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-keyout",
                    tmp_path / "tool.key", "-out", tmp_path / "tool.pem"], check=True, capture_output=True)
    tool = ToolServer(certificate=(tmp_path / "tool.pem", tmp_path / "tool.key"))
    agent = start("--verify", "false")
    ac.add("open", tool.url("/open"))
    assert ac.result("open")["statusCode"] == 200
    ac.add("strict", tool.url("/strict"), globalConfig={"verifyCert": True})
    assert "certificate" in ac.result("strict")["output"]
    ac.add("still", tool.url("/still"), globalConfig={"verifyCert": False})
    assert "certificate" in ac.result("still")["output"]
    assert [request.target for request in tool.requests] == ["/open"]
    assert agent.status()["config"]["verify"] is True


def test_debug_lines_come_and_go(ac, start):
    tool = ToolServer()
    agent = start()
    ac.add("quiet", tool.url("/quiet"))
    ac.result("quiet")
    assert "event=task_done" not in agent.log_text()
    ac.add("loud", tool.url("/loud"), globalConfig={"debugMode": True})
    ac.result("loud")
    until(lambda: "event=task_done" in agent.log_text(), "a debug line of the executor")
    ac.add("again", tool.url("/again"), globalConfig={"debugMode": False})
    ac.result("again")
    config_of(agent, 3)
    told = agent.log_text().count("event=task_done")
    ac.add("silent", tool.url("/silent"))
    ac.result("silent")
    assert agent.log_text().count("event=task_done") == told
