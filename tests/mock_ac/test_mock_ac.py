"""Tasks, results and the books of mock-ac: every counter can move, and moves for its reason only."""

import base64
import gzip
import http.client
import json
import signal
import subprocess
import time
import uuid

import pytest

from mock_client import (DEADLINE, JSON, MOCK_AC, POLL, Answer, add_members, error_of, multipart, reset, result_of,
                         upload)


def test_ready_line_help_and_end(tmp_path, start):
    mock = start("--readyFile", tmp_path / "ready", "--booksFile", tmp_path / "books", "--tasks", 2)
    assert json.loads((tmp_path / "ready").read_text()) == mock.ready
    assert mock.ready["pid"] == mock.process.pid
    books = mock.close()
    assert books["tasks_total"] == books["waiting"] == 2
    assert json.loads((tmp_path / "books").read_text()) == books
    done = subprocess.run([MOCK_AC, "--help"], stdout=subprocess.PIPE, timeout=DEADLINE)
    assert done.returncode == 0 and b"--longPollMs" in done.stdout


def test_control_quit_ends_it(start):
    mock = start()
    assert mock.control("POST", "quit").status == 200
    out, _ = mock.process.communicate(timeout=DEADLINE)
    assert mock.process.returncode == 0 and json.loads(out)["tasks_total"] == 0


@pytest.mark.parametrize("options, says", [
    (["--nonsense"], "unknown option --nonsense"),
    (["--tasks"], "--tasks needs a value"),
    (["--tasks", "many"], "--tasks \"many\" should be a number"),
    (["--toolDelayMs", "9-3"], "toolDelayMs \"9-3\" should be"),
    (["--fault", "get-task:boom:1"], "names no kind"),
    (["--fault", "nowhere:500:1"], "names no endpoint"),
    (["--fault", "get-task:500:2"], "no probability"),
    (["--fault", "get-task:500:1:x0"], "bad PARAM"),
    (["--methods", "get"], "methods \"get\" should be"),
    (["--tlsCert", "a"], "given together"),
    (["--tlsCert", "/dev/null", "--tlsKey", "/dev/null"], "are certificate and key good"),
    (["--script", "/nowhere"], "cannot read /nowhere"),
    (["--listen", "999.1.1.1"], "cannot listen on 999.1.1.1"),
    (["word"], "\"word\" is no option"),
])
def test_bad_options(options, says):
    done = subprocess.run([MOCK_AC, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=DEADLINE)
    assert done.returncode == 2 and not done.stdout
    assert says in done.stderr.decode() and done.stderr.count(b"\n") == 1


def test_generated_tasks_delivered_right(start):
    mock = start("--tasks", 60, "--methods", "GET,POST,PUT,DELETE,HEAD,PATCH", "--statuses", "200,404,500,204",
                 "--bodyBytes", "0-3000", "--inputBytes", "0-400")
    client = mock.connect()
    for _ in range(60):
        mock.deliver(client=client)
    assert mock.poll(client) is None
    books = mock.books()
    assert books["wrong_reasons"] == [] and books["protocol_error_texts"] == []
    assert books["delivered"] == books["handed"] == books["results"] == books["tool_requests"] == 60
    assert books["lost"] == books["outstanding"] == books["duplicates"] == books["waiting"] == 0
    assert books["ac_requests"] == 121 and books["ac_max_in_flight"] == 1 and books["ac_max_per_minute"] == 121
    assert books["ac_connections_opened"] == 1 and books["agent_ids"] == ["1700000000_0a1b2c"]
    assert books["hand_to_result_us"]["count"] == 60
    assert 0 < books["tool_to_result_us"]["count"] <= 60  # a result may come before the mock sees its answer's end
    assert books["tool_to_result_us"]["max"] <= books["hand_to_result_us"]["max"]


def test_same_seed_same_tasks(start):
    ids = [json.loads(start("--tasks", 1, "--seed", seed).poll())["taskId"] for seed in (7, 7, 8)]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize("change, reason", [
    (lambda raw: raw.replace(b"9007199254740993", b"9007199254740992"), "x_big"),
    (lambda raw: raw.replace(b"2.50", b"2.5"), "x_dec"),
    (lambda raw: raw.replace(rb"\u00e9", "é".encode()), "x_str"),
    (lambda raw: raw.replace(b"[1, 2.0", b"[1,2.0"), "x_nested"),
    (lambda raw: raw.replace(b',"x_null":null', b""), "x_null"),
    (lambda raw: raw[:-1] + b',"extra":1}', "extra"),
    (lambda raw: raw[:-1] + b',"x_null":null}', "twice"),
    (lambda raw: raw.replace(b'"version": "2.0.0"', b'"version": 2'), "version"),
    (lambda raw: raw.replace(b'"statusCode": 200', b'"statusCode": 201'), "statusCode"),
    (lambda raw: raw.replace(b'"X-Mock-Task": ', b'"x-mock-task": '), "X-Mock-Task"),
    (lambda raw: raw.replace(b'"responseBase64": true', b'"responseBase64": false'), "responseBase64"),
    (lambda raw: raw.replace(b'"output": "', b'"output": "AAAA'), "output"),
    (lambda raw: raw[:-1] + b',"responseZipped":true}', "responseZipped"),
])
def test_wrong_results_are_found(start, change, reason):
    mock = start("--tasks", 1, "--methods", "GET")
    raw = mock.poll()
    right = result_of(raw, mock.execute(raw))
    wrong = change(right)
    assert wrong != right
    assert mock.put(wrong).status == 200
    books = mock.books()
    assert books["wrong"] == 1 and books["delivered"] == 1 and reason in books["wrong_reasons"][0]


def test_result_without_the_tool_or_the_task(start):
    mock = start("--tasks", 2, "--methods", "GET")
    raw = mock.poll()
    answer = mock.execute(raw)
    second = mock.poll()
    mock.put(result_of(second, answer))
    assert "never seen" in mock.books()["wrong_reasons"][0]
    mock.put(result_of(raw.replace(b"task-0", b"tusk-0"), answer))
    assert "never handed out" in mock.books()["wrong_reasons"][1]
    assert mock.put(b"no JSON").status == 400 and mock.put(b"[1]").status == 400
    assert mock.books()["protocol_errors"] == 2 and mock.books()["delivered"] == 1


def test_duplicates_and_reexecution(start):
    mock = start("--tasks", 2, "--methods", "GET")
    raw = mock.poll()
    mock.deliver(raw)
    mock.deliver(raw)
    books = mock.books()
    assert books["duplicates"] == 1 and books["reexecuted_safe"] == 1 and books["reexecuted_unsafe"] == 0
    assert books["reexecuted_faulted"] == 0
    assert books["delivered"] == 1 and books["results"] == 2 and books["wrong"] == 0
    mock.add({"generate": {"count": 1, "methods": "POST"}})
    mock.poll()
    post = mock.poll()
    mock.execute(post)
    mock.execute(post)
    assert mock.books()["reexecuted_unsafe"] == 1


def test_lost_and_outstanding(start):
    mock = start("--tasks", 3)
    client = mock.connect()
    raw = mock.poll(client)
    books = mock.books()
    assert books["lost"] == books["outstanding"] == 1 and books["lost_after_close"] == 0
    client.close()
    books = mock.wait("ac_connections_open==0")
    assert books["lost_after_close"] == books["closed_after_handing"] == 1 and books["handed_to_dead"] == 0
    mock.deliver(raw)
    assert mock.books()["lost"] == mock.books()["lost_after_close"] == 0


def test_handed_to_dead(start):
    mock = start("--tasks", 2, "--longPollMs", 60000, "--paused")
    bare = mock.send_poll()
    mock.wait("ac_polls_waiting==1")
    mock.configure(paused=False)
    mock.wait("handed==1")
    reset(bare)
    books = mock.wait("handed_to_dead==1")
    assert books["lost"] == 0 and books["outstanding"] == 1 and books["waiting"] == 1


def test_dead_and_alive_after_all(start):
    """A task booked as handed to the dead that turns up again was not."""
    mock = start("--fault", "get-task:reset_after:1")
    mock.add({"task": {"taskId": "d", "url": "{tool}/d", "method": "GET"}, "tool": {"body": "x"}})
    with pytest.raises(OSError):
        mock.poll()
    assert mock.wait("handed_to_dead==1")["lost"] == 0
    raw = mock.task("d")["raw"].encode()
    answer = mock.execute(raw)
    books = mock.books()
    assert books["handed_to_dead"] == 0 and books["lost"] == 1
    mock.put(result_of(raw, answer))
    assert mock.books()["delivered"] == 1 and mock.books()["lost"] == 0


def test_wrong_request_at_the_tool(start):
    mock = start("--tasks", 1, "--methods", "POST", "--inputBytes", 30)
    raw = mock.poll()
    task = json.loads(raw)
    task["input"] += "!"
    task["requestHeaders"] = {"X-Mock-Task": "7"}
    mock.execute(json.dumps(task).encode())
    books = mock.books()
    assert books["wrong"] == 2 and "another body" in books["wrong_reasons"][0]
    assert "X-Mock-Task" in books["wrong_reasons"][1]


def test_error_results(start):
    mock = start("--tasks", 5, "--methods", "GET", "--fault", "tool:reset:1:x1")
    raw = mock.poll()
    with pytest.raises(OSError):
        mock.execute(raw)
    mock.put(error_of(raw, "Agent Side Error: Network error: tool reset the connection"))
    books = mock.books()
    assert (books["error_results"], books["error_network"], books["wrong"]) == (1, 1, 0)
    mock.put(error_of(mock.poll(), "Agent Side Error: Error: outcome unknown: executor lost during POST; not repeated"))
    books = mock.books()
    assert (books["error_results"], books["outcome_unknown"], books["wrong"]) == (2, 1, 0)
    mock.put(error_of(mock.poll(), "Agent Side Error: Error: no reason at all"))
    books = mock.books()
    assert (books["error_other"], books["wrong"]) == (1, 1) and "nothing explains" in books["wrong_reasons"][0]
    mock.put(error_of(mock.poll(), "Agent Side Error: of no class"))
    mock.put(error_of(mock.poll(), "Agent Side Error: Network error: x", status=502))
    reasons = mock.books()["wrong_reasons"]
    assert "of no class" in reasons[1] and "without statusCode 500" in reasons[2]


def test_expired_task_explains_an_error(start):
    mock = start("--tasks", 1, "--expiryMs", 1)
    raw = mock.poll()
    while time.time() * 1000 <= json.loads(raw)["expiryTsMs"]:
        pass
    mock.put(error_of(raw, "Agent Side Error: Error: expired before it could start"))
    assert mock.books()["wrong"] == 0


def test_upload_of_a_large_body(start):
    mock = start("--tasks", 6, "--methods", "GET", "--bodyBytes", 600000)
    raw = mock.poll()
    assert upload(mock, raw, mock.execute(raw)).status == 200
    assert mock.books()["wrong_reasons"] == [] and mock.books()["delivered"] == 1
    raw = mock.poll()
    mock.put(result_of(raw, mock.execute(raw)))
    assert "over 512000" in mock.books()["wrong_reasons"][0]
    raw = mock.poll()
    answer = mock.execute(raw)
    upload(mock, raw, answer, content=gzip.compress(answer.body[:-1] + b"x"))
    assert "differs" in mock.books()["wrong_reasons"][1]
    raw = mock.poll()
    answer = mock.execute(raw)
    upload(mock, raw, answer, content=gzip.compress(answer.body)[:-9])
    assert "cut short" in mock.books()["wrong_reasons"][2]
    raw = mock.poll()
    assert upload(mock, raw, mock.execute(raw), file_name="x.zip").status == 400
    books = mock.books()
    assert "{taskId}_{32 hex}.zip" in books["protocol_error_texts"][0] and books["delivered"] == 4
    body, headers = multipart(b"{}", b"", "x.zip")
    assert mock.call("POST", "upload-result", body[:-30], headers).status == 400
    assert mock.call("POST", "upload-result", b"{}").status == 400


def test_small_body_must_not_be_uploaded(start):
    mock = start("--tasks", 1, "--methods", "GET", "--bodyBytes", 512000)
    raw = mock.poll()
    upload(mock, raw, mock.execute(raw))
    assert "its body is small" in mock.books()["wrong_reasons"][0]


def put_to_store(url, body, **headers):
    _, _, host, path = url.split("/", 3)
    client = http.client.HTTPConnection(host, timeout=DEADLINE)
    client.request("PUT", "/" + path, body, headers)
    answer = Answer(client.getresponse())
    client.close()
    return answer.status


def test_presigned_store(start):
    mock = start("--tasks", 2, "--methods", "GET", "--bodyBytes", 700000)
    for change, wrong in ((bytes, 0), (lambda body: body[:-1], 1)):
        raw = mock.poll()
        answer = mock.execute(raw)
        grant = mock.call("GET", f"upload-url?fileName={json.loads(raw)['taskId']}{uuid.uuid4().hex}").json()["data"]
        before = mock.books()["ac_requests"]
        sent = put_to_store(grant["putUrl"], change(answer.body), **{"Content-Type": answer.header("Content-Type")})
        assert sent == 200 and mock.books()["ac_requests"] == before
        mock.put(result_of(raw, answer, responseBase64=None, output=None, s3Url=grant["getUrl"]))
        assert mock.books()["wrong"] == wrong
    books = mock.books()
    assert books["store_requests"] == 2 and books["ac_upload_url"] == 2 and books["protocol_errors"] == 0
    put_to_store(grant["putUrl"], b"", Authorization="Bearer test-key")
    assert put_to_store(mock.ready["ac"] + "/store/put/0", b"") == 403
    assert mock.call("GET", "upload-url?fileName=short").status == 400
    texts = mock.books()["protocol_error_texts"]
    assert "Authorization" in texts[0] and "Content-Type" in texts[1] and "fileName" in texts[2]


def test_contract_breaches_are_counted(start):
    mock = start("--envName", "prod")
    assert mock.call("GET", POLL, headers={"Content-Type": "application/json"}).status == 401
    assert mock.call("GET", POLL, headers={**JSON, "Authorization": "Bearer other"}).status == 401
    assert mock.call("POST", POLL, b"{}").status == 405
    assert mock.call("GET", "get-tasks").status == 404
    assert mock.call("GET", "/").status == 404
    mock.call("GET", "get-task?agentId=x&agentVersion=&envName=test", headers={"Authorization": "Bearer test-key"})
    mock.call("GET", POLL + "&envName=prod")
    books = mock.books()
    assert books["ac_unauthorized"] == 2 and books["ac_other"] == 2 and books["ac_requests"] == 7
    text = "\n".join(books["protocol_error_texts"])
    for part in ("Authorization", "wrong method", "no such path", "agentId", "agentVersion", "envName", "Content-Type"):
        assert part in text
    assert books["protocol_errors"] == 9


TASK = '{"taskId":"s1","url":"{tool}/deep/path?q=a b","method":"post","input":"in\\u00fc","n":12345678901234567890.10}'


def test_scripted_task(start, tmp_path):
    script = tmp_path / "script"
    script.write_text('{"task":' + TASK + ',"tool":{"status":418,"headers":[["X-One","a"],["X-One","b"],'
                      '["Content-Encoding","gzip"]],"bodyBase64":"' +
                      base64.b64encode(gzip.compress(b"decoded")).decode() + '"}}\n\n{"generate":{"count":2}}\n')
    mock = start("--script", script)
    raw = mock.poll()
    assert raw == TASK.replace("{tool}", mock.ready["tool"]).encode()
    task = json.loads(raw)
    task["url"] = task["url"].replace(" ", "%20")
    task["requestHeaders"] = {"x-CASE": "kept"}
    answer = mock.execute(json.dumps(task).encode())
    assert answer.status == 418 and gzip.decompress(answer.body) == b"decoded"
    headers = {"X-One": "a, b", "Content-Encoding": "gzip"}
    mock.put(result_of(raw, answer, responseHeaders=headers, output=base64.b64encode(b"decoded").decode()))
    books = mock.books()
    assert books["wrong_reasons"] == [] and books["delivered"] == 1 and books["tasks_total"] == 3
    known = mock.task("s1")
    assert known["state"] == "delivered" and known["times_handed"] == 1 and known["raw"].encode() == raw
    call, = known["tool_calls"]
    assert call["method"] == "POST" and call["uri"] == "/deep/path?q=a%20b" and ["x-CASE", "kept"] in call["headers"]
    assert base64.b64decode(call["bodyBase64"]) == "inü".encode()
    assert known["results"][0]["class"] == "plain" and not known["results"][0]["wrong"]
    assert json.loads(known["results"][0]["raw"])["statusCode"] == 418


@pytest.mark.parametrize("expect, right", [
    ({"statusCode": 200}, True), ({"statusCode": 201}, False),
    ({"responseHeaders": {"Content-Length": "2"}}, True), ({"responseHeaders": {"Content-Length": "3"}}, False),
    ({"outputText": "ok"}, True), ({"outputText": "no"}, False),
    ({"absent": ["s3Url"]}, True), ({"absent": ["output"]}, False),
    ({"error": True}, False), ({"error": False}, True),
])
def test_expectations(start, expect, right):
    mock = start()
    task = {"taskId": "e", "url": "{tool}/e", "method": "GET"}
    mock.add({"task": task, "tool": {"body": "ok"}, "expect": expect})
    mock.deliver()
    assert mock.books()["wrong"] == (0 if right else 1)


def test_expected_errors(start):
    mock = start()
    for number, wanted in enumerate(("network", "error", True)):
        mock.add({"task": {"taskId": f"e{number}", "url": "http://nowhere.invalid/", "method": "GET"},
                  "expect": {"error": wanted, "outputPrefix": "Agent Side Error: Network error: "}})
        mock.put(error_of(mock.poll(), "Agent Side Error: Network error: no such host"))
    books = mock.books()
    assert books["error_results"] == 3 and books["wrong"] == 1 and 'expected "error"' in books["wrong_reasons"][0]


def test_extra_resources_and_repeats(start):
    mock = start()
    mock.add({"task": {"taskId": "r", "url": "{tool}/r", "method": "POST"},
              "tool": {"status": 302, "headers": [["Location", "{tool}/final"]], "repeats": True}},
             {"tool": {"path": "/final", "taskId": "r", "body": "end", "chunked": True}})
    raw = mock.poll()
    assert mock.execute(raw).header("Location") == mock.ready["tool"] + "/final"
    mock.execute(raw)
    answer = mock.execute(raw.replace(b"/r\"", b"/final\""))
    assert answer.body == b"end" and answer.header("Transfer-Encoding") == "chunked"
    assert len(mock.task("r")["tool_calls"]) == 3
    mock.put(result_of(raw, answer))
    books = mock.books()
    assert books["wrong"] == books["reexecuted_unsafe"] == 0 and books["tool_requests"] == 3
    assert mock.execute(raw.replace(b"/r\"", b"/none\"")).status == 404 and mock.books()["tool_not_found"] == 1


def test_same_task_handed_out_again(start):
    mock = start()
    line = {"task": {"taskId": "again", "url": "{tool}/again", "method": "POST"}, "tool": {"body": "x"}}
    mock.add(line)
    mock.deliver()
    mock.add(line)
    raw = mock.poll()
    mock.deliver(raw)
    books = mock.books()
    assert books["handings"] == 2 and books["tasks_total"] == 1
    assert books["duplicates"] == books["reexecuted_unsafe"] == 0
    mock.deliver(raw)
    assert mock.books()["duplicates"] == mock.books()["reexecuted_unsafe"] == 1


@pytest.mark.parametrize("line, says", [
    ("nonsense", "line 1: is no JSON object"),
    ('\n{"task":1}', 'line 2: "task" is no object'),
    ('{"tool":{"body":"x"}}', 'with a "path"'),
    ('{"task":{},"tool":{"status":"x"}}', 'bad member "status"'),
    ('{"task":{},"tool":{"fault":"boom"}}', 'bad member "fault"'),
    ('{"generate":{"colour":1}}', 'bad member "colour"'),
    ('{"generate":{"bodyBytes":"x"}}', "bodyBytes"),
    ('{"tusk":{}}', 'unknown member "tusk"'),
])
def test_bad_scripts(start, line, says):
    answer = start().control("POST", "tasks", line)
    assert answer.status == 400 and says in answer.body.decode()


def test_task_without_an_id_can_be_handed_out(start):
    mock = start()
    mock.add({"task": {"url": "{tool}/x"}}, {"task": {"method": "GET"}})
    assert json.loads(mock.poll()) == {"url": mock.ready["tool"] + "/x"}
    assert mock.books()["lost"] == 1


def test_logs_task(start):
    mock = start()
    mock.add({"task": {"taskId": "fetchLogs-1", "url": "http://x/agent/fetch-logs", "method": "GET"}})
    raw = mock.poll()
    result = add_members(raw, version="2.0.0", responseZipped=True)
    body, headers = multipart(result, b"PK\3\4rest", "logs.zip")
    assert mock.call("POST", "upload-logs", body, headers).status == 200
    books = mock.books()
    assert books["delivered"] == 1 and books["wrong_reasons"] == [] and books["ac_upload_logs"] == 1
    assert base64.b64decode(mock.task("fetchLogs-1")["results"][0]["fileBase64"]) == b"PK\3\4rest"
    body, headers = multipart(result, b"not a zip", "logs.zip")
    mock.call("POST", "upload-logs", body, headers)
    assert "no zip" in mock.books()["wrong_reasons"][0]


def test_wait_and_its_timeout(start):
    mock = start()
    assert mock.control("GET", "wait?cond=delivered%3E=1&timeoutMs=20").status == 408
    assert mock.control("GET", "wait?cond=delivered==0,waiting<1&timeoutMs=0").status == 200
    for bad in ("", "delivered", "delivered>=x", "nothing>=1", "wrong_reasons==0"):
        assert mock.control("GET", f"wait?cond={bad}").status == 400
    assert mock.control("GET", "wait?cond=wrong==1&timeoutMs=x").status == 400
    assert mock.control("GET", "task?id=none").status == 404 and mock.control("GET", "nothing").status == 404
    assert mock.control("POST", "books").status == 405 and mock.control("POST", "config", "[]").status == 400
    assert mock.control("POST", "config", '{"colour":1}').status == 400


def test_sigint_prints_the_books(start):
    mock = start("--longPollMs", 60000)
    mock.send_poll()
    mock.wait("ac_polls_waiting==1")
    mock.process.send_signal(signal.SIGINT)
    out, _ = mock.process.communicate(timeout=DEADLINE)
    assert mock.process.returncode == 0 and json.loads(out)["ac_polls_waiting"] == 1
