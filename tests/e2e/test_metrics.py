"""The metrics file on real processes: one line an event, as the old agent writes them."""
import json
import os
import time

import pytest

from agent import until

pytestmark = pytest.mark.contract("5 metrics")

FAST = ["--rateLimitPerMin", "1000000"]
MARK = "s3cr3t-mark"
REQUEST = "http.request.duration_ms"


def metrics_path(agent, index="_prod"):
    return agent.state / f"logs/metrics/metrics{index}.json"


def metrics(agent, index="_prod"):
    return [json.loads(line) for line in metrics_path(agent, index).read_text().splitlines()]


def tags(events, name, **wanted):
    found = [event for event in events if event["metric_name"] == name]
    return [event["tags"] for event in found if wanted.items() <= event["tags"].items()]


def add(mock, *lines):
    mock.post("/_control/tasks", "\n".join(json.dumps(line) for line in lines).encode())


def test_a_task_and_its_events(world):
    mock = world.start_mock("--longPollMs", "200-300")
    agent = world.make_agent(*FAST, "--metrics").start()
    host = mock.tool.split("//")[1]
    begin = time.time() * 1000
    add(mock, {"task": {"taskId": "t-1", "method": "post", "url": "{tool}/x?a=" + MARK + "#" + MARK,
                        "requestHeaders": {"A": MARK}, "input": MARK},
               "tool": {"status": 201, "body": MARK}})
    add(mock, {"task": {"taskId": "t-2", "method": "GET", "url": f"http://no-such-host.invalid/?{MARK}"}})
    add(mock, {"task": {"taskId": "t-3", "method": "GET", "url": f"http://u:{MARK}@{host}/y?{MARK}"}})
    mock.wait("delivered>=3")
    until(lambda: mock.books()["ac_get_task"] > 4, "an idle poll")
    agent.stop()
    events = metrics(agent)
    assert MARK not in metrics_path(agent).read_text()
    for event in events:
        assert list(event) == ["@timestamp", "metric_name", "value", "tags"]
        assert begin - 1 <= event["@timestamp"] <= time.time() * 1000
        assert isinstance(event["value"], int) and event["value"] >= 0
        assert all(isinstance(value, str) for value in event["tags"].values())
    ac, domain = mock.ac + "/api/http-teleport/", "127.0.0.1"
    requests = tags(events, REQUEST, task_id="t-1")
    assert sorted(requests, key=lambda t: t["operation"]) == [  # each program appends its own lines
        {"task_id": "t-1", "operation": "get_task", "url": ac + "get-task", "domain": domain, "method": "GET",
         "status_code": "200", "success": "true", "has_task": "true"},
        {"task_id": "t-1", "operation": "target_request", "url": f"http://{host}/x", "domain": domain,
         "method": "POST", "status_code": "201", "success": "true"},
        {"task_id": "t-1", "operation": "upload_result", "url": ac + "put-result", "domain": domain,
         "method": "POST", "status_code": "200", "success": "true"},
    ]
    assert tags(events, "task.processing_duration_ms", task_id="t-1") == [
        {"task_id": "t-1", "method": "POST", "domain": domain, "http_status": "201"}]
    assert tags(events, "upload.size_bytes", task_id="t-1") == [{"task_id": "t-1", "upload_type": "inline"}]
    assert [e["value"] for e in events if e["metric_name"] == "upload.size_bytes" and
            e["tags"]["task_id"] == "t-1"] == [len(MARK)]
    assert [t["url"] for t in tags(events, REQUEST, task_id="t-3", operation="target_request")] == [f"http://{host}/y"]
    failed = tags(events, REQUEST, task_id="t-2", operation="target_request")
    assert [(t["status_code"], t["success"], t["domain"]) for t in failed] == [
        ("unknown", "false", "no-such-host.invalid")]
    idle = tags(events, REQUEST, operation="get_task", has_task="false")
    assert idle and all(t["task_id"] == "none" for t in idle)


def failures(agent, operation):
    found = tags(metrics(agent), REQUEST, operation=operation, success="false")
    return sorted((t["status_code"], t.get("error_type", "")) for t in found)


def test_failed_uploads(world):
    """Each kind of failure, and our own time-out, which brings no status."""
    mock = world.start_mock("--tasks", 6)
    mock.config(faults=[f"put-result:{fault}:x1" for fault in ("503:1", "429rate:1:1", "half:1", "400:1", "stall:1:60000")])
    agent = world.make_agent(*FAST, "--metrics", "true", "--readTimeoutSeconds", 1).start()
    agent.status_until(lambda s: s["counters"]["delivered"] == 5 and s["buried"] == 1, "all deliveries", 120)
    agent.stop()
    assert failures(agent, "upload_result") == [("400", "client_error"), ("429", "rate_limit"), ("503", "server_error"),
                                                ("unknown", ""), ("unknown", "timeout")]
    assert len(tags(metrics(agent), REQUEST, operation="upload_result", success="true")) == 5


def test_files_to_ac(world):
    """Of a large body, what went over the wire; and how its upload may fail."""
    mock = world.start_mock("--tasks", 4, "--bodyBytes", "600000-600000")
    mock.config(faults=["upload-result:503:1:x1", "upload-result:429rate:1:1:x1", "upload-result:413:1:x1"])
    agent = world.make_agent(*FAST, "--metrics").start()
    agent.status_until(lambda s: s["counters"]["delivered"] == 3 and s["buried"] == 1, "all deliveries", 120)
    agent.stop()
    assert failures(agent, "upload_file") == [("413", "client_error"), ("429", "rate_limit"), ("503", "server_error")]
    events = metrics(agent)
    done = tags(events, REQUEST, operation="upload_file", success="true")
    assert len(done) == 3 and tags(events, REQUEST, operation="upload_result") == []
    assert {(t["url"], t["method"], t["status_code"]) for t in done} == {
        (mock.ac + "/api/http-teleport/upload-result", "POST", "200")}
    assert {t["task_id"] for t in tags(events, "upload.size_bytes", upload_type="direct")} == {t["task_id"] for t in done}
    sizes = [e["value"] for e in events if e["metric_name"] == "upload.size_bytes"]
    assert len(sizes) == 3 and all(600000 < size < 601000 for size in sizes), sizes  # random: gzip makes it a bit longer


def test_files_to_the_store(world):
    """Two requests: the file by PUT, its place by put-result; the size is the body's."""
    mock = world.start_mock("--tasks", 3, "--bodyBytes", "600000-600000")
    mock.config(faults=["store:503:1:x1", "store:403:1:x1"])
    agent = world.make_agent(*FAST, "--metrics", "--uploadToAc", "false").start()
    mock.wait("delivered>=3")
    agent.stop()
    assert failures(agent, "upload_file") == [("403", "client_error"), ("503", "server_error")]
    events = metrics(agent)
    done = tags(events, REQUEST, operation="upload_file", success="true")
    assert len(done) == 3
    for event in done:
        assert (event["method"], event["status_code"], event["domain"]) == ("PUT", "200", "127.0.0.1")
        assert event["url"].startswith(mock.ac + "/store/") and "?" not in event["url"]
    assert len(tags(events, REQUEST, operation="upload_result", success="true")) == 3
    sizes = [(e["value"], e["tags"]["upload_type"]) for e in events if e["metric_name"] == "upload.size_bytes"]
    assert sizes == [(600000, "direct")] * 3


def test_logs_task_is_a_file(world):
    mock = world.start_mock()
    agent = world.make_agent(*FAST, "--metrics", "--index", "_dev").start()
    add(mock, {"task": {"taskId": "fetchLogs", "method": "GET", "url": "http://h.invalid/agent/fetch-logs"}})
    mock.wait("delivered>=1")
    agent.stop()
    events = metrics(agent, "_dev")
    assert len(tags(events, REQUEST, operation="upload_file", status_code="200", success="true")) == 1
    assert tags(events, "upload.size_bytes") == [{"task_id": "fetchLogs", "upload_type": "direct"}]


def test_all_programs_under_load_share_the_file(world):
    mock = world.start_mock("--tasks", 1500, "--toolDelayMs", "0-20")
    agent = world.make_agent(*FAST, "--metrics", "--executors", 3).start()
    mock.wait("delivered>=1500")
    agent.stop()
    events = metrics(agent)  # every line is whole
    for operation in ("get_task", "target_request", "upload_result"):
        found = {t["task_id"] for t in tags(events, REQUEST, operation=operation, success="true")} - {"none"}
        assert len(found) == 1500
    assert len(tags(events, "task.processing_duration_ms")) == 1500


def test_written_within_ten_seconds(world):
    mock = world.start_mock("--tasks", 1)
    agent = world.make_agent(*FAST, "--metrics").start()
    mock.wait("delivered>=1")
    path = metrics_path(agent)
    until(lambda: path.exists() and "upload_result" in path.read_text() and "target_request" in path.read_text(),
          "the lines", 30)  # on a machine that is busy elsewhere; without a flush they never come
    agent.stop()


def test_retention(world):
    world.start_mock()
    agent = world.make_agent(*FAST, "--metrics", "--metricsRetentionDays", 2)
    folder = metrics_path(agent).parent
    folder.mkdir(parents=True)
    for made in (agent.state, folder.parent, folder):
        made.chmod(0o700)
    for day in (1, 2, 3):
        (folder / f"metrics_prod.json.2026-01-0{day}").write_text("{}\n")
    metrics_path(agent).write_text("{}\n")
    noon = time.mktime((2026, 2, 1, 12, 0, 0, 0, 0, -1))
    os.utime(metrics_path(agent), (noon, noon))
    agent.start()
    agent.joined("fetcher", "executor", "uploader")
    names = sorted(path.name for path in folder.iterdir())
    agent.stop()
    assert names == ["metrics_prod.json", "metrics_prod.json.2026-01-03", "metrics_prod.json.2026-02-01"]


def test_none_unless_asked_for(world):
    mock = world.start_mock("--tasks", 1)
    agent = world.make_agent(*FAST).start()
    mock.wait("delivered>=1")
    agent.stop()
    assert not metrics_path(agent).parent.exists()
