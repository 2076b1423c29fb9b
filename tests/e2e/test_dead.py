"""`sluice dead` when there are many, when their names are odd, when nobody reads the list, and when the broker is silent."""
import concurrent.futures
import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading

import msgpack
import zmq

from agent import BUILD, FAST, until

MANY = 1107  # more than two pages
ODD = "a b\x1b[31mred\a\nnl"
SHOWN = "a b?[31mred??nl"


def sluice(folder, *words, **more):
    """A command that was answered, or refused before it asked."""
    def run():
        done = subprocess.run([BUILD / "bin/sluice", *map(str, words), "--runtimeDir", folder], stderr=subprocess.PIPE,
                              text=True, timeout=60, check=False, **({"stdout": subprocess.PIPE} | more))
        return None if "no answer from the broker" in done.stderr else done
    return until(run, f"an answer to {words}")


def refused(agent, *words):
    done = sluice(agent.runtime, *words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done
    return done.stderr


def burying(world):
    mock = world.start_mock("--tasks", 0, "--longPollMs", "1000-2000")
    mock.config(faults=["put-result:400:1"])
    agent = world.make_agent(*FAST).start()
    agent.joined("executor", "uploader", "fetcher")
    return mock, agent


def buried(agent, count):
    agent.status_until(lambda status: status["dead_letters"]["tasks"] == count, f"{count} buried results")


def test_many(world):
    """A list is one, however many pages it takes; and all of them are tried again, each once."""
    mock, agent = burying(world)
    mock.add(count=MANY, methods="GET")
    buried(agent, MANY)
    done = sluice(agent.runtime, "dead", "--json")
    document = json.loads(done.stdout)
    numbers = [task["number"] for task in document["tasks"]]
    assert (done.returncode, document["total"], len(numbers)) == (0, MANY, MANY)
    assert numbers == sorted(set(numbers))
    assert document["bytes"] == sum(task["bytes"] for task in document["tasks"]) > MANY * 1000
    assert document["tasks"][0].keys() == {"task", "number", "method", "host", "reason", "tries", "accepted_ms", "buried_ms",
                                           "bytes"}
    page = sluice(agent.runtime, "dead").stdout
    assert page.startswith("1,107 buried results, ")
    assert [int(line.split()[0]) for line in page.splitlines()[1:] if line[0].isdigit()] == numbers
    mock.config(faults=[])
    assert sluice(agent.runtime, "dead", "retry", "--all").stdout == f"{MANY} results will be tried again\n"
    mock.wait(f"delivered>={MANY}")
    assert json.loads(sluice(agent.runtime, "dead", "--json").stdout)["tasks"] == []


def test_nobody_reads(world):
    """What is listed into a pipe that nobody reads (`| head`) ends without a word, as with other tools."""
    mock, agent = burying(world)
    mock.add(count=1, methods="GET")
    buried(agent, 1)
    task = json.loads(sluice(agent.runtime, "dead", "--json").stdout)["tasks"][0]["task"]
    file = world.folder / "sluice.conf"
    file.write_text("verify = true\n")
    for words in (["dead"], ["dead", "--json"], ["task", task], ["status"], ["status", "--json"], ["status", "--watch"],
                  ["drain"], ["config", "show", "--config", file], ["dead", "--help"], ["doctor", "--json"], ["dead", "retry", "--all"]):
        read, write = os.pipe()
        os.close(read)
        done = sluice(agent.runtime, *words, stdout=write)
        os.close(write)
        assert (done.returncode, done.stderr) == (-signal.SIGPIPE, ""), words
    with open("/dev/full", "w") as full:
        done = sluice(agent.runtime, "dead", "--json", stdout=full)
    assert done.returncode == 1 and "cannot write: No space left" in done.stderr


def test_odd_names(world):
    """An ID that a terminal would obey, and one that looks like an option."""
    mock, agent = burying(world)
    for task_id in (ODD, "-x", "--all"):
        mock.post("/_control/tasks", {"task": {"taskId": task_id, "url": "{tool}/odd", "method": "GET"}})
    buried(agent, 3)
    listed = sluice(agent.runtime, "dead").stdout
    assert SHOWN in listed and "\x1b" not in listed
    said = sluice(agent.runtime, "dead", "retry", ODD).stdout
    assert f'task "{SHOWN}" (number ' in said
    buried(agent, 3)  # once more
    number = said.split("number ")[1].split(")")[0]
    for words in (["retry", "--number"], ["retry"]):  # AC's taskId, whichever way it was named
        assert sluice(agent.runtime, "dead", *words, number).stdout == said
        buried(agent, 3)
    done = sluice(agent.runtime, "dead", "drop", ODD + "?")
    assert done.stderr.startswith(f'sluice: no task "{SHOWN}?" is held') and done.stderr.count("\n") == 1
    for word in ("-x", "--alle"):  # wherever the options stand
        for words in (["drop", word], ["--runtimeDir", agent.runtime, "drop", word], ["drop", "--runtimeDir", agent.runtime, word],
                      ["--runtimeDir", agent.runtime, "drop", "x", word], ["retry", "--json", "--runtimeDir", agent.runtime, "x", word]):
            said = refused(agent, "dead", *words)
            assert f"there is no option {word}" in said and "an ID that begins with - stands behind a word --" in said
    assert "there is no option -x" in refused(agent, "task", "--runtimeDir", agent.runtime, "-x")
    late = refused(agent, "dead", "--runtimeDir=x", "drop", "x", "--logFormat=json")
    assert "--logFormat stands too late" in late and "=json" not in late
    assert "sluice: -h stands too late" in refused(agent, "task", "--runtimeDir", agent.runtime, "x", "-h")
    assert 'no task "-" is' in sluice(agent.runtime, "task", "-").stderr
    assert "stands behind" not in refused(agent, "drain", "-x")
    sluice(agent.runtime, "dead", "--runtimeDir", agent.runtime, "drop", "--", "-x", "--runtimeDir")  # a word too much
    names = lambda: {task["task"] for task in json.loads(sluice(agent.runtime, "dead", "--json").stdout)["tasks"]}
    assert names() >= {"-x", "--all"}
    for words in (["dead", "--runtimeDir", agent.runtime, "drop", "--", "-x"],
                  ["dead", "drop", "--runtimeDir", agent.runtime, "--", "--all"]):
        subprocess.run([BUILD / "bin/sluice", *words], timeout=60, check=False)
        until(lambda: words[-1] not in names(), f"the end of {words[-1]}")


def test_words(world):
    """What goes with what; nothing is ignored in silence."""
    agent = world.make_agent() if world.start_mock() else None
    assert "the list is of all" in refused(agent, "dead", "--number")
    assert "the list is of all" in refused(agent, "dead", "list", "--all")
    assert "--all is for" in refused(agent, "dead", "--all")
    assert '"x" is a word too much' in refused(agent, "dead", "list", "x")
    assert '"y" is a word too much' in refused(agent, "dead", "retry", "x", "y")
    assert "--number goes with an ID" in refused(agent, "dead", "retry", "--all", "--number")
    assert "`sluice dead retry` takes an ID or --all, and not both" in refused(agent, "dead", "retry", "--all", "x")
    assert "`sluice dead retry` needs an ID or --all" in refused(agent, "dead", "retry")
    assert "takes one ID" in refused(agent, "dead", "drop", "--all")
    for words in (["dead", "drop"], ["dead", "retry"], ["task"]):
        assert "number of a task" in refused(agent, *words, "--number", "abc")
    assert "sluice dead drop -- -7" in " ".join(sluice(agent.runtime, "dead", "--help").stdout.split())


class Silent(threading.Thread):
    """A broker that takes what is asked, and answers as often as `answers` has something to say."""

    def __init__(self, folder, answers):
        super().__init__(daemon=True)
        folder.mkdir(mode=0o700, parents=True)
        self.answers = answers
        self.socket = zmq.Context.instance().socket(zmq.ROUTER)
        self.socket.bind(f"ipc://{folder}/control")
        self.start()

    def run(self):
        while True:
            sender, frame, *_ = self.socket.recv_multipart()
            message = msgpack.unpackb(frame)
            answer = self.answers(message)
            if answer:
                answer, *payload = answer if isinstance(answer, tuple) else (answer,)
                self.socket.send_multipart([sender, msgpack.packb(answer), *payload])


def said(folder, *words):
    return subprocess.run([BUILD / "bin/sluice", *words, "--runtimeDir", folder], capture_output=True, text=True, timeout=60,
                          check=False).stderr


LONG = "a-task-of-" + 20 * "0123456789"


def of_terminal(folder):
    """The list as a terminal of 80 columns gets it."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 25, 80, 0, 0))
    done = sluice(folder, "dead", stdout=slave)
    os.close(slave)
    text = os.read(master, 65536).decode()
    os.close(master)
    assert done.returncode == 0
    return re.sub(r"\x1b\[[0-9;]*m", "", text).replace("\r", "")


def test_list(tmp_path):
    """Nothing that matters is cut, nor the ID where no terminal has an end; and it tells of those that are gone."""
    hour = 3600000
    now = 1700000000000
    task = {"task": LONG, "number": (1 << 53) + 1, "method": "GET", "host": "h." + LONG, "reason": "HTTP 400", "tries": 1,
            "accepted_ms": 1, "buried_ms": now - 23 * hour - 54 * 60000, "bytes": 999900}
    document = {"now_ms": now, "started_ms": now - hour, "dropped": 1003, "total": 1, "bytes": 2000, "limit_bytes": 10 ** 9,
                "days": 1, "more": False, "tasks": [task]}
    folder = tmp_path / "run"
    Silent(folder, lambda message: ([1, 35, message[2]], json.dumps(document).encode()))
    lines = sluice(folder, "dead").stdout.splitlines()
    assert lines[0] == "1 buried result, 2.0 kB; kept 1 day, up to 1.0 GB"
    assert re.fullmatch(r"1,003 dropped since the broker's start at \S+, by hand or by these bounds", lines[1]), lines
    assert lines[3].split() == [str(task["number"]), "23", "h", "54", "min", "1", "999.9", "kB", LONG]
    assert lines[4].split() == ["GET", "h." + LONG]
    lines = of_terminal(folder).splitlines()
    assert max(map(len, lines)) == 80 and "23 h 54 min" in lines[3] and re.search(r" a-task-of-\d+\.\.\.$", lines[3]), lines
    document["dropped"] = 0
    assert "dropped" not in sluice(folder, "dead").stdout


ORDERS = [
    (["dead", "retry", "x"], lambda message: None, ["within 2 s", "may have reached it", "`sluice task` shows"]),
    (["dead", "retry", "--all"], lambda message: None, ["may have reached it", "`sluice dead` shows"]),
    (["dead", "retry", "--all"], lambda message: [1, 37, message[2], 1, 500, 7] if message[6] == 0 else None,
     ["500 results will be tried again, then: no answer", "may have reached it"]),
    (["drain"], lambda message: None, ["may have reached it", "`sluice status` shows"]),
    (["drain"], lambda message: message if message[1] == 6 else None, ["fetching is paused by hand, but", "no answer"]),
]


def test_silence_after_an_order(tmp_path):
    """Nobody knows then whether it is carried out: it says so, and how to see."""
    def wait(number):
        words, answers, parts = ORDERS[number]
        folder = tmp_path / str(number)
        Silent(folder, answers)
        told = lambda text: all(part in text for part in parts)
        until(lambda: told(said(folder, *words)), f"{words} told with {parts}")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        assert len(list(pool.map(wait, range(len(ORDERS))))) == len(ORDERS)


def test_silence_without_an_order(tmp_path):
    """A question changes nothing, and an order that nobody can have heard neither."""
    assert "may have" not in said(tmp_path, "dead", "retry", "x")
    Silent(tmp_path / "run", lambda message: None)
    told = said(tmp_path / "run", "dead")
    assert "no answer" in told and "may have" not in told
