"""Each kind of fault does what its name says, and is counted."""

import contextlib
import http.client
import json
import time

import pytest

from mock_client import DEADLINE, POLL, error_of, result_of, upload
from ports import find_port

LOST = (OSError, http.client.HTTPException)


def test_reset_before_processing(start):
    mock = start("--tasks", 1, "--fault", "put-result:reset:1:x1", "--fault", "get-task:reset:1:x1")
    with pytest.raises(ConnectionResetError):
        mock.poll()
    raw = mock.poll()
    result = result_of(raw, mock.execute(raw))
    with pytest.raises(ConnectionResetError):
        mock.put(result)
    assert mock.books()["delivered"] == 0
    assert mock.put(result).status == 200
    books = mock.books()
    assert books["delivered"] == 1 and books["duplicates"] == 0 and books["handed_to_dead"] == 0
    assert books["faults"] == {"get-task:reset": 1, "put-result:reset": 1} and books["faults_injected"] == 2


def test_reset_after_processing(start):
    mock = start("--tasks", 1, "--fault", "put-result:reset_after:1:x1")
    raw = mock.poll()
    result = result_of(raw, mock.execute(raw))
    with pytest.raises(ConnectionResetError):
        mock.put(result)
    assert mock.books()["delivered"] == 1
    assert mock.put(result).status == 200
    assert mock.books()["duplicates"] == 1


def test_reset_after_get_task_hands_to_the_dead(start):
    mock = start("--tasks", 1, "--fault", "get-task:reset_after:1:x1")
    with pytest.raises(ConnectionResetError):
        mock.poll()
    books = mock.wait("handed_to_dead==1")
    assert books["lost"] == 0 and books["handed"] == 1 and mock.poll() is None


def test_half_answers(start):
    mock = start("--tasks", 1, "--fault", "get-task:half:1:x1", "--fault", "put-result:half:1:x1", "--fault",
                 "tool:half:1:x1")
    with pytest.raises(http.client.IncompleteRead):
        mock.poll()
    assert mock.books()["waiting"] == 1 and mock.books()["handed"] == 0
    raw = mock.poll()
    with pytest.raises(http.client.IncompleteRead) as cut:
        mock.execute(raw)
    assert len(cut.value.partial) == 100 and cut.value.expected == 100
    error = error_of(raw, "Agent Side Error: Network error: the answer was cut short")
    with pytest.raises(http.client.IncompleteRead):
        mock.put(error)
    books = mock.books()
    assert books["delivered"] == 1 and books["error_results"] == 1 and books["wrong"] == 0


def test_half_of_a_chunked_answer(start):
    mock = start()
    mock.add({"task": {"taskId": "c", "url": "{tool}/c", "method": "GET"},
              "tool": {"bodyBytes": 100000, "chunked": True, "fault": "half"}})
    with pytest.raises(http.client.IncompleteRead):
        mock.execute(mock.poll())


@pytest.mark.parametrize("endpoint", ["get-task", "tool"])
def test_stall(start, endpoint):
    mock = start("--tasks", 2, "--fault", f"{endpoint}:stall:1:150:x1")
    began = time.monotonic()
    with pytest.raises(LOST):
        mock.execute(mock.poll())
    assert time.monotonic() - began >= 0.15
    books = mock.wait("ac_in_flight==0,tool_in_flight==0")
    assert books["waiting"] == (2 if endpoint == "get-task" else 1) and books["ac_clients_gone"] == 0


def test_stalled_client_leaves(start):
    mock = start("--fault", "get-task:stall:1:60000")
    bare = mock.send_poll()
    mock.wait("ac_in_flight==1,faults_injected==1")
    bare.close()
    mock.wait("ac_in_flight==0,ac_clients_gone==1")


@pytest.mark.parametrize("kind, status, header, value", [
    ("500", 500, None, None), ("503", 503, None, None), ("400", 400, None, None), ("302", 302, "Location", "/elsewhere"),
    ("429conc", 429, None, None), ("429rate:1:7", 429, "X-Rate-Limit-Retry-After-Seconds", "7"),
    ("429rate:1:-1", 429, "X-Rate-Limit-Retry-After-Seconds", "-1"), ("429retry:1:9", 429, "Retry-After", "9"),
])
def test_statuses(start, kind, status, header, value):
    rule = kind if ":" in kind else kind + ":1"
    mock = start("--tasks", 1, "--fault", f"get-task:{rule}:x1", "--fault", f"put-result:{rule}:x1")
    client = mock.connect()
    answer = mock.call("GET", POLL, client=client)
    assert answer.status == status and (not header or answer.header(header) == value)
    assert (b"Too many concurrent requests" in answer.body) == (kind == "429conc")
    raw = mock.poll(client)
    result = result_of(raw, mock.execute(raw))
    assert mock.put(result, client).status == status and mock.books()["delivered"] == 0
    assert mock.put(result, client).status == 200
    books = mock.books()
    assert books["duplicates"] == 0 and books["ac_connections_opened"] == 1 and books["ac_too_many"] == 0


@pytest.mark.parametrize("fault, faulted", [("reset", 1), ("reset_after", 1), ("503", 0)])
def test_repeated_to_a_tool_that_cut_it_off(start, fault, faulted):
    mock = start("--tasks", 1, "--methods", "GET", "--fault", f"tool:{fault}:1:x1")
    raw = mock.poll()
    with contextlib.suppress(ConnectionError, http.client.HTTPException):
        mock.execute(raw)
    mock.execute(raw)
    books = mock.books()
    assert (books["reexecuted_safe"], books["reexecuted_faulted"]) == (1, faulted)


def test_garbage_takes_no_task(start):
    mock = start("--tasks", 1, "--fault", "get-task:garbage:1:x1")
    answer = mock.call("GET", POLL)
    assert answer.status == 200 and mock.books()["waiting"] == 1
    with pytest.raises(json.JSONDecodeError):
        answer.json()


def test_delay(start):
    mock = start("--tasks", 1, "--fault", "get-task:delay:1:120", "--fault", "put-result:delay:1:120",
                 "--fault", "tool:delay:1:120")
    began = time.monotonic()
    mock.deliver()
    assert time.monotonic() - began >= 0.36 and mock.books()["wrong"] == 0


def test_uploads_and_store(start):
    mock = start("--tasks", 1, "--methods", "GET", "--bodyBytes", 600000, "--fault", "upload-result:504:1:x1",
                 "--fault", "upload-url:503:1:x1", "--fault", "store:403:1:x1")
    raw = mock.poll()
    answer = mock.execute(raw)
    name = json.loads(raw)["taskId"] + "0" * 32
    assert upload(mock, raw, answer).status == 504
    assert mock.call("GET", "upload-url?fileName=" + name).status == 503
    grant = mock.call("GET", "upload-url?fileName=" + name).json()["data"]
    path = grant["putUrl"][len(mock.ready["ac"]):]
    headers = {"Content-Type": answer.header("Content-Type")}
    assert mock.call("PUT", path, answer.body, headers).status == 403
    assert mock.call("PUT", path, answer.body, headers).status == 200
    mock.put(result_of(raw, answer, output=None, responseBase64=None, s3Url=grant["getUrl"]))
    assert mock.books()["wrong_reasons"] == [] and mock.books()["delivered"] == 1


def test_tool_fault_answers_are_right_results(start):
    mock = start("--tasks", 2, "--methods", "GET", "--fault", "tool:503:1:x1", "--fault", "tool:garbage:1:x1")
    mock.deliver()
    mock.deliver()
    books = mock.books()
    assert books["wrong_reasons"] == [] and books["delivered"] == 2
    assert books["faults"] == {"tool:503": 1, "tool:garbage": 1}


def test_tool_reset_after_counts_as_executed(start):
    mock = start("--tasks", 1, "--methods", "POST", "--fault", "tool:reset_after:1:x1")
    raw = mock.poll()
    with pytest.raises(ConnectionResetError):
        mock.execute(raw)
    mock.execute(raw)
    assert mock.books()["reexecuted_unsafe"] == 1


def test_faults_at_run_time(start):
    mock = start()
    mock.configure(faults=["get-task:500:1"])
    assert mock.call("GET", POLL).status == 500
    mock.configure(addFaults=["put-result:500:1"])
    assert mock.call("GET", POLL).status == 500 and mock.put(b"{}").status == 500
    mock.configure(faults=[])
    assert mock.call("GET", POLL).status == 200
    answer = mock.control("POST", "config", '{"addFaults":["get-task:boom:1"]}')
    assert answer.status == 400 and b"names no kind" in answer.body


def test_probability_is_seeded(start):
    outcomes = []
    for seed in (3, 3, 4):
        mock = start("--fault", "get-task:500:0.3", "--seed", seed)
        client = mock.connect()
        outcomes.append([mock.call("GET", POLL, client=client).status for _ in range(60)])
    assert outcomes[0] == outcomes[1] != outcomes[2]
    assert 5 <= outcomes[0].count(500) <= 32


def test_a_server_that_is_down(start):
    ports = find_port()
    mock = start("--tasks", 2, "--methods", "GET", "--longPollMs", 60000, "--port", ports, "--toolPort", ports + 1)
    client = mock.connect()
    raw = mock.poll(client)
    waiting = start("--longPollMs", 60000, "--port", ports + 2)
    poll = waiting.send_poll()
    waiting.wait("ac_in_flight==1")
    waiting.configure(acDownMs=60000)
    with pytest.raises(ConnectionResetError):
        assert poll.recv(100)
    with pytest.raises(ConnectionRefusedError):
        waiting.raw_ac()
    mock.configure(acDownMs=300)  # from a moment later on, when this is answered
    until = time.monotonic() + DEADLINE
    with pytest.raises(LOST):
        while time.monotonic() < until:
            mock.raw_ac().close()
    while True:
        try:
            assert mock.put(error_of(raw, "Agent Side Error: Network error: refused")).status == 200
            break
        except LOST:
            assert time.monotonic() < until, "AC's port never opened again"
    assert mock.books()["wrong"] == 1, "nothing explains an error of the tool"
    raw = mock.poll()
    mock.configure(toolDownMs=200)
    assert mock.put(error_of(raw, "Agent Side Error: Network error: refused")).status == 200
    while True:
        try:
            books = mock.books()
            break
        except LOST:
            assert time.monotonic() < until, "the tool's port never opened again"
    assert books["wrong"] == 1 and books["delivered"] == 2


def test_answers_that_are_lost(start):
    mock = start("--tasks", 3, "--fault", "put-result:half:1:x1", "--fault", "put-result:reset_after:1:x1")
    raws = [mock.poll() for _ in range(3)]
    for raw in raws:
        try:
            mock.put(result_of(raw, mock.execute(raw)))
        except LOST:
            pass
    books = mock.books()
    assert books["unanswered"] == 2 and books["delivered"] == 3 and books["outstanding"] == 0


def test_outstanding_tasks(start):
    mock = start("--tasks", 2, "--methods", "GET")
    mock.deliver()
    raw = mock.poll()
    task, = mock.control("GET", "outstanding").json()["tasks"]
    assert task["taskId"] == json.loads(raw)["taskId"] and task["state"] == "outstanding" and task["handed_at_us"] > 0


def test_what_a_fault_sets_aside(start):
    mock = start()
    for task_id, fault, result in (("a", {"fault": "503"}, None), ("b", {}, None), ("c", {"fault": "reset"}, "error")):
        mock.add({"task": {"taskId": task_id, "url": "{tool}/" + task_id, "method": "GET"},
                  "tool": {"body": "x", **fault}, "expect": {"outputText": "y", "unlessFault": True}})
        raw = mock.poll()
        try:
            answer = mock.execute(raw)
        except LOST:
            answer = None
        mock.put(error_of(raw, "Agent Side Error: Network error: x") if result else result_of(raw, answer))
    books = mock.books()
    assert books["wrong"] == 1 and books["wrong_reasons"][0].startswith("b: expected")
