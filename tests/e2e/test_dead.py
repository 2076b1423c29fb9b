"""`sluice dead` when there are many, when their names are odd, when nobody reads the list, and when the broker is silent."""
import json
import os
import signal
import subprocess


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
