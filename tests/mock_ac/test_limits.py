"""In flight, per minute, long polls, and clients that leave: what AC sees of an agent's manners."""

import json
import os
import signal
import socket
import subprocess
import time

import pytest

from mock_client import DEADLINE, reset


def answer_of(bare):
    """The status line of an answer on a bare socket."""
    return bare.makefile("rb").readline()


def test_third_request_in_flight(start):
    mock = start("--longPollMs", 60000)
    polls = [mock.send_poll(), mock.send_poll()]
    assert mock.wait("ac_polls_waiting==2")["ac_too_many"] == 0
    third = mock.send_poll()
    text = third.recv(4000)
    assert b" 429 " in text and text.endswith(b"Too many concurrent requests")
    books = mock.books()
    assert books["ac_too_many"] == 1 and books["ac_max_in_flight"] == 3 and books["ac_in_flight"] == 2
    mock.add({"generate": {"count": 1}})
    assert b" 200 " in answer_of(polls[0])
    assert mock.wait("ac_in_flight==1")["handed"] == 1


def test_ac_max_concurrent(start):
    mock = start("--longPollMs", 60000, "--acMaxConcurrent", 1)
    mock.send_poll()
    mock.wait("ac_polls_waiting==1")
    assert b" 429 " in answer_of(mock.send_poll())
    mock.configure(acMaxConcurrent=3)
    mock.send_poll()
    assert mock.wait("ac_polls_waiting==2")["ac_too_many"] == 1


def test_one_after_the_other_is_never_two(start):
    """However fast the next request follows the answer, on whichever connection."""
    mock = start("--tasks", 400)
    clients = [mock.connect() for _ in range(8)]
    for number in range(800):
        mock.poll(clients[number % 8])
    assert mock.books()["ac_max_in_flight"] == 1


def test_left_poll_counts_no_longer(start):
    """The next request may follow a client's end at once, and still finds its place free."""
    mock = start("--longPollMs", 60000)
    for number in range(50):
        first, second = mock.send_poll(), mock.send_poll()
        mock.wait("ac_polls_waiting==2")
        for bare in (first, second):
            reset(bare) if number % 2 else bare.close()
        polls = [mock.send_poll(), mock.send_poll()]
        books = mock.wait(f"ac_polls_waiting==2,ac_requests=={number * 4 + 4}")
        assert (books["ac_max_in_flight"], books["ac_too_many"], books["ac_in_flight"]) == (2, 0, 2)
        for bare in polls:
            bare.close()
        mock.wait("ac_in_flight==0")
    assert mock.books()["ac_clients_gone"] == 200


@pytest.mark.parametrize("port", ["ac", "tool"])
def test_client_dies_in_the_middle_of_its_request(start, port):
    """Its last bytes and its end arrive together, or one after the other."""
    mock = start()
    for number in range(60):
        bare = socket.create_connection(("127.0.0.1", getattr(mock, port).port), timeout=DEADLINE)
        bare.sendall(b"POST /api/http-teleport/put-result HTTP/1.1\r\nHost: ac\r\nAuthorization: Bearer test-key\r\n"
                     b"Content-Length: 1000\r\n\r\nnot all of it" + b"." * (number % 4 * 200))
        if number % 3 == 0:
            mock.wait(f"{port}_in_flight==1")
        reset(bare) if number % 2 else bare.close()
        mock.wait(f"{port}_in_flight==0")
    books = mock.wait("ac_connections_open==0,ac_in_flight==0,tool_in_flight==0,tool_connections_open==1")
    assert books["ac_max_in_flight"] <= 1


def stopped(mock):
    """Stops the mock, so that all that happens meanwhile reaches it at once."""
    mock.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, mock.process.pid, os.WSTOPPED | os.WNOWAIT)


def half_a_request(mock):
    bare = mock.raw_ac()
    bare.sendall(b"POST /api/http-teleport/put-result HTTP/1.1\r\nHost: ac\r\nContent-Length: 1000\r\n\r\nbegun")
    return bare


def test_ends_and_beginnings_at_once(start):
    """Two requests end and two begin while the mock is not looking: in whatever order it finds them, two."""
    mock = start("--longPollMs", 60000)
    for number in range(20):
        old = [half_a_request(mock), half_a_request(mock)]
        mock.wait("ac_in_flight==2")
        stopped(mock)
        for bare in old:
            bare.close()
        new = [mock.send_poll(), mock.send_poll()]
        mock.process.send_signal(signal.SIGCONT)
        books = mock.wait(f"ac_polls_waiting==2,ac_clients_gone=={number * 4 + 2}")
        assert books["ac_max_in_flight"] == 2 and books["ac_too_many"] == 0
        for bare in new:
            bare.close()
        mock.wait("ac_in_flight==0")


def test_dead_poll_is_handed_nothing(start):
    mock = start("--tasks", 1)
    warm = mock.raw_ac()
    mock.wait("ac_connections_open==1")
    stopped(mock)
    mock.send_poll().close()
    warm.close()
    mock.process.send_signal(signal.SIGCONT)
    books = mock.wait("ac_requests==1,ac_connections_open==0")
    assert books["waiting"] == 1 and books["handed"] == 0


def test_client_dies_with_much_unread(start):
    mock = start()
    for number in range(10):
        bare = mock.raw_ac()
        bare.sendall(b"POST /api/http-teleport/upload-result HTTP/1.1\r\nHost: ac\r\nAuthorization: Bearer test-key\r\n"
                     b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 50000000\r\n\r\n"
                     + b"z" * (1000000 + number * 1000))
        bare.close()
    mock.wait("ac_requests==10,ac_connections_open==0,ac_in_flight==0")


def test_ghosts_count_until_their_end(start):
    mock = start("--longPollMs", 1500, "--ghosts")
    began = time.monotonic()
    polls = [mock.send_poll(), mock.send_poll()]
    mock.wait("ac_polls_waiting==2")
    polls[0].close()
    polls[1].close()
    books = mock.wait("ac_ghosts==2")
    assert books["ac_in_flight"] == 2 and books["ac_polls_waiting"] == 0 and books["ac_connections_open"] == 0
    assert b" 429 " in answer_of(mock.send_poll())
    mock.wait("ac_in_flight==0")
    assert time.monotonic() - began >= 1.5
    assert mock.books()["ac_ghosts"] == 0 and mock.books()["ac_max_in_flight"] == 3


def test_left_poll_takes_no_task(start):
    for options in ((), ("--ghosts",)):
        mock = start("--longPollMs", 60000, *options)
        mock.send_poll().close()
        mock.wait("ac_clients_gone==1")
        mock.add({"generate": {"count": 1}})
        assert mock.books()["handed"] == 0 and mock.poll() is not None


def test_long_poll_ends_with_no_task(start):
    mock = start("--longPollMs", "50-120")
    began = time.monotonic()
    assert mock.poll() is None
    assert 0.05 <= time.monotonic() - began < DEADLINE
    assert mock.books()["ac_max_in_flight"] == 1


def test_long_polls_get_tasks_in_their_order(start):
    mock = start("--longPollMs", 60000)
    polls = []
    for number in range(2):
        polls.append(mock.send_poll())
        mock.wait(f"ac_polls_waiting=={number + 1}")
    mock.add(*({"task": {"taskId": name, "url": "{tool}/", "method": "GET"}} for name in "ab"))
    for name, bare in zip(b"ab", polls):
        assert b'"taskId": "%c"' % name in bare.recv(4000)


def test_delay_of_every_answer(start):
    mock = start("--tasks", 1, "--acDelayMs", 80)
    began = time.monotonic()
    mock.deliver()
    assert time.monotonic() - began >= 0.16
    mock.configure(acDelayMs=0)


def test_client_leaves_during_the_delay(start):
    """The task stays in the queue when its poll dies before it is looked at."""
    mock = start("--tasks", 1, "--acDelayMs", 60000)
    mock.send_poll().close()
    books = mock.wait("ac_clients_gone==1")
    assert books["waiting"] == 1 and books["handed"] == 0 and books["ac_in_flight"] == 0


def test_rate_limit(start):
    mock = start("--acRateLimit", 3)
    client = mock.connect()
    for _ in range(3):
        mock.poll(client)
    answer = mock.call("GET", "get-task?agentId=1_abcdef&agentVersion=2.0.0", client=client)
    assert answer.status == 429 and b"concurrent" not in answer.body
    assert 50 <= int(answer.header("X-Rate-Limit-Retry-After-Seconds")) <= 60
    books = mock.books()
    assert books["ac_rate_limited"] == 1 and books["ac_max_per_minute"] == 4 and books["ac_too_many"] == 0
    mock.configure(acRateLimit=0)
    mock.poll(client)


def test_paused(start):
    mock = start("--tasks", 1, "--paused")
    assert mock.poll() is None
    mock.configure(paused=False)
    assert mock.poll() is not None


def test_killed_client_with_an_unread_answer(start):
    """What the kernel does for a killed process that has not read the task: handed to the dead."""
    mock = start("--tasks", 1)
    bare = mock.send_poll()
    mock.wait("handed==1,ac_in_flight==0")
    bare.close()
    books = mock.wait("ac_connections_open==0")
    assert books["handed_to_dead"] == 1 and books["lost"] == 0


def test_killed_client_with_a_read_answer(start):
    mock = start("--tasks", 1)
    bare = mock.send_poll()
    assert b"200" in bare.recv(4000)
    bare.close()
    books = mock.wait("ac_connections_open==0")
    assert books["handed_to_dead"] == 0 and books["lost"] == books["lost_after_close"] == 1


def test_tool_delays_side_by_side(start):
    mock = start("--tasks", 300, "--methods", "GET", "--toolDelayMs", "200-300")
    raws = [mock.poll(mock.clients[0] if mock.clients else None) for _ in range(300)]
    bares = []
    began = time.monotonic()
    for raw in raws:
        path = json.loads(raw)["url"].split("/", 3)[3]
        number = json.loads(raw)["requestHeaders"]["X-Mock-Task"]
        bare = socket.create_connection((mock.tool.hostname, mock.tool.port), timeout=DEADLINE)
        bare.sendall(f"GET /{path} HTTP/1.1\r\nHost: tool\r\nX-Mock-Task: {number}\r\n\r\n".encode())
        bares.append(bare)
    for bare in bares:
        assert b" 200 " in answer_of(bare)
        bare.close()
    assert time.monotonic() - began >= 0.2
    books = mock.books()
    assert books["tool_max_in_flight"] > 100 and books["tool_in_flight"] == 0 and books["wrong"] == 0


def test_client_leaves_the_tool(start):
    mock = start("--tasks", 1, "--methods", "GET", "--toolDelayMs", 60000)
    url = json.loads(mock.poll())["url"]
    bare = socket.create_connection((mock.tool.hostname, mock.tool.port), timeout=DEADLINE)
    bare.sendall(f"GET {url[len(mock.ready['tool']):]} HTTP/1.1\r\nHost: tool\r\nX-Mock-Task: 1\r\n\r\n".encode())
    mock.wait("tool_in_flight==1")
    bare.close()
    mock.wait("tool_in_flight==0,tool_clients_gone==1")


def cpu_ticks(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def test_idle_uses_no_cpu(start):
    mock = start("--longPollMs", 60000)
    mock.send_poll()
    mock.wait("ac_polls_waiting==1")
    before = cpu_ticks(mock.process.pid)
    mock.control("GET", "wait?cond=wrong==1&timeoutMs=1000")
    assert cpu_ticks(mock.process.pid) - before <= 1


def test_tls(start, tmp_path):
    cert, key = tmp_path / "cert", tmp_path / "key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2",
                    "-subj", "/CN=127.0.0.1"], check=True, stderr=subprocess.DEVNULL)
    mock = start("--tasks", 3, "--tlsCert", cert, "--tlsKey", key, "--longPollMs", 60000)
    assert mock.ready["ac"].startswith("https://")
    client = mock.connect()
    for _ in range(3):
        mock.deliver(client=client)
    books = mock.books()
    assert books["delivered"] == 3 and books["wrong"] == 0 and books["ac_connections_opened"] == 1
    client.request("GET", "/api/http-teleport/get-task?agentId=1_abcdef&agentVersion=2.0.0", headers={
        "Authorization": "Bearer test-key", "Content-Type": "application/json"})
    mock.wait("ac_polls_waiting==1")
    client.close()
    mock.wait("ac_in_flight==0,ac_clients_gone==1")
