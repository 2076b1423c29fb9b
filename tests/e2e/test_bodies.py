"""Bodies over 512,000 octets on real processes: to AC and to a store, through kills, faults and a full disk."""
import os
import pathlib
import subprocess
import threading

import pytest

from agent import BUILD, check_books, until
from needs import refused

pytestmark = pytest.mark.contract("2 large")

FAST = ["--rateLimitPerMin", "1000000"]
MB = 1000 * 1000
PROGRAMS = ("broker", "executor", "uploader", "fetcher")


def size(octets):
    return f"{octets}-{octets}"


def spool(agent):
    return sorted(path.name for path in (agent.state / "spool").glob("*"))


def spool_is_empty(agent):
    until(lambda: not spool(agent), "an empty spool")


def peak_kb(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise AssertionError("no VmHWM")


def peaks(agent):
    return {name: peak_kb(agent.pid(name)) for name in PROGRAMS}


@pytest.mark.parametrize("to_ac", ["true", "false"])
@pytest.mark.parametrize("octets", [511999, 512000, 512001, 3 * MB])
def test_sizes(world, octets, to_ac):
    """On both sides of the bound: by put-result, by upload-result, or by the store and put-result; to the byte."""
    mock = world.start_mock("--tasks", 6, "--bodyBytes", size(octets))
    agent = world.make_agent(*FAST, "--uploadToAc", to_ac).start()
    check_books(mock.wait("delivered>=6"), 6)
    books = mock.books()
    large = 6 if octets > 512000 else 0
    assert books["duplicates"] == 0
    assert books["ac_upload_result"] == (large if to_ac == "true" else 0)
    assert books["ac_upload_url"] == books["store_requests"] == (large if to_ac == "false" else 0)
    assert books["ac_put_result"] == (6 - large if to_ac == "true" else 6)
    spool_is_empty(agent)
    agent.stop()


@pytest.mark.parametrize("to_ac", ["true", "false"])
def test_large_ones_fit_in_no_memory(world, to_ac):
    """Ten bodies of 100 MB at once grow no process by 16 MB, and small tasks go past them. Most of what goes to AC is
    zeros: to compress ten times as much takes a minute. SLUICE_BODY_MB=1074 makes it ten bodies of 1 GiB that cannot be
    compressed, both ways (ten minutes and 25 GB of disk)."""
    full = int(os.environ.get("SLUICE_BODY_MB", "0"))
    octets, count, wait_s = (full or 100) * MB, 10, 1800 if full else 120
    mock = world.start_mock("--tasks", 50)
    agent = world.make_agent(*FAST, "--uploadToAc", to_ac, "--executorPoolSize", 20).start()
    mock.wait("delivered>=50")
    before = peaks(agent)
    zeros = 95 if to_ac == "true" and not full else 0
    mock.add(count=count, bodyBytes=size(octets), bodyZeros=zeros, expiryMs=3000000)
    mock.wait(f"tool_requests>={50 + count}")
    mock.add(count=50)
    small = mock.wait("delivered>=100")
    last = mock.wait(f"delivered>={100 + count}", deadline=wait_s)
    after = peaks(agent)
    check_books(last, 100 + count)
    assert last["duplicates"] == 0 and last["error_results"] == 0
    assert last["ac_upload_result" if to_ac == "true" else "store_requests"] == count
    assert small["delivered"] - 100 < count, "the small ones came last"
    grown = {name: after[name] - before[name] for name in PROGRAMS}
    print("grown by KiB:", grown)
    if BUILD.name not in ("asan", "tsan"):  # which keep what is freed
        assert max(grown.values()) < 16 * 1024, grown
    spool_is_empty(agent)
    agent.stop()


def test_over_tcp(world, free_port):
    mock = world.start_mock("--tasks", 8, "--bodyBytes", size(5 * MB))
    tcp = f"tcp://127.0.0.1:{free_port}"
    agent = world.make_agent(*FAST, "--bind", tcp, "--broker", tcp, "--executors", 2).start()
    check_books(mock.wait("delivered>=8"), 8)
    assert mock.books()["ac_upload_result"] == 8
    spool_is_empty(agent)
    agent.stop()


def part_is_there(agent):
    return any(name.endswith(".part") for name in spool(agent))


@pytest.mark.parametrize("victim", ["broker", "executor"])
def test_killed_while_a_body_comes_in(world, victim):
    """kill -9 in the middle of a stream: it is sent again from its start, or the GET is done again."""
    mock = world.start_mock("--tasks", 2, "--bodyBytes", size(100 * MB), "--methods", "GET")
    agent = world.make_agent(*FAST, "--uploadToAc", "false").start()
    until(lambda: part_is_there(agent), "a body on its way")
    former = agent.kill(victim)
    agent.restarted(victim, former)
    books = mock.wait("delivered>=2")
    check_books(books, 2)
    assert books["outcome_unknown"] == 0 and books["error_results"] == 0
    if victim == "broker":
        assert books["reexecuted_safe"] == 0
    spool_is_empty(agent)
    agent.stop()


@pytest.mark.parametrize("to_ac", ["true", "false"])
def test_killed_uploader(world, to_ac):
    """kill -9 of the uploader while AC or the store has a body in hand: the whole body goes again."""
    place = "upload-result" if to_ac == "true" else "store"
    mock = world.start_mock("--tasks", 3, "--bodyBytes", size(3 * MB), "--fault", f"{place}:stall:1:60000:x1")
    agent = world.make_agent(*FAST, "--uploadToAc", to_ac).start()
    mock.wait("faults_injected>=1")
    former = agent.kill("uploader")
    agent.restarted("uploader", former)
    check_books(mock.wait("delivered>=3"), 3)
    spool_is_empty(agent)
    agent.stop()


@pytest.mark.parametrize("kind", ["500", "reset", "half"])
@pytest.mark.parametrize("place", ["upload-result", "upload-url", "store"])
@pytest.mark.contract("1 retry")
def test_a_retry_sends_the_whole_body(world, place, kind):
    mock = world.start_mock("--tasks", 2, "--bodyBytes", size(3 * MB), "--fault", f"{place}:{kind}:1:x1")
    agent = world.make_agent(*FAST, "--uploadToAc", str(place == "upload-result").lower()).start()
    books = mock.wait("delivered>=2")
    check_books(books, 2)
    assert books["error_results"] == 0
    spool_is_empty(agent)
    agent.stop()


@pytest.mark.contract("1 retry")
def test_a_refused_url_is_asked_for_anew(world):
    """The store refuses a presigned URL: a new one is asked for, and after five the result is buried."""
    mock = world.start_mock("--tasks", 1, "--bodyBytes", size(MB), "--fault", "store:403:1:x4")
    agent = world.make_agent(*FAST, "--uploadToAc", "false").start()
    books = mock.wait("delivered>=1")
    assert books["ac_upload_url"] == books["store_requests"] == 5
    mock.config(faults=["store:403:1"])
    mock.add(count=1, bodyBytes=size(MB))
    agent.status_until(lambda s: s["buried"] == 1, "a buried result")
    assert mock.books()["store_requests"] == 10
    assert len(spool(agent)) == 1, "the body of a buried result is kept"
    agent.stop()


def test_restart_with_bodies_in_the_spool(world):
    """All stopped while AC refuses: the bodies are still there, and what is nobody's is swept away."""
    mock = world.start_mock("--tasks", 3, "--bodyBytes", size(MB), "--fault", "upload-result:503:1")
    agent = world.make_agent(*FAST).start()
    agent.status_until(lambda s: s["counters"]["results"] == 3 and s["spool"]["streams"] == 0, "three bodies")
    agent.stop()
    kept = spool(agent)
    assert len(kept) == 3 and all(name.endswith(".body") for name in kept)
    for name in ("77.body", "78-1.part"):
        (agent.state / "spool" / name).write_bytes(b"x")
    mock.config(faults=[])
    agent.start()
    check_books(mock.wait("delivered>=3"), 3)
    spool_is_empty(agent)
    agent.stop()


def test_full_spool_pauses(world):
    """With the spool at its bound no new stream begins and fetching pauses; nothing is lost."""
    mock = world.start_mock("--tasks", 12, "--bodyBytes", size(MB), "--fault", "upload-result:503:1")
    agent = world.make_agent(*FAST, "--spoolMb", 3, "--executorPoolSize", 4).start()
    reason = "the spool of large bodies is full"
    status = agent.status_until(lambda s: s["fetch"]["reason"] == reason and s["spool"]["bytes"] > 2 * MB,
                                "a full spool")
    assert status["spool"]["bytes"] <= 3 * MB
    mock.config(faults=[])
    check_books(mock.wait("delivered>=12"), 12)
    spool_is_empty(agent)
    agent.stop()


def test_larger_than_the_spool_beside_a_buried_one(world):
    """A body that no spool could hold waits for others, in sight of all, and not for a buried one."""
    mock = world.start_mock("--tasks", 1, "--bodyBytes", size(MB), "--fault", "upload-result:400:1:x1")
    agent = world.make_agent(*FAST, "--spoolMb", 3).start()
    agent.status_until(lambda s: s["buried"] == 1, "a buried result")
    mock.config(faults=["upload-result:503:1"])
    mock.add(count=3, bodyBytes=size(MB + 10000))  # two of which fit
    full = "the spool of large bodies is full"
    status = agent.status_until(lambda s: s["spool"]["waiting"] == 1 and s["spool"]["waits_for"] == full,
                                "one that waits")  # the spool may be asked before a stream's first turn
    assert status["spool"]["first_waiting"] > 1
    assert status["spool"]["buried"] > 0 and "event=body_waits" in agent.log_text()
    mock.config(faults=[])
    mock.wait("delivered>=3")
    mock.add(count=1, bodyBytes=size(4 * MB))
    books = mock.wait("delivered>=4")
    assert books["error_results"] == 0 and books["ac_upload_result"] > 4
    until(lambda: len(spool(agent)) == 1, "the buried one alone")
    agent.stop()


def test_full_disk(world):
    """The state directory's disk is full: fetching pauses, nothing is acknowledged, and it goes on when there is room."""
    state = world.folder / "state"
    state.mkdir(mode=0o700)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m,mode=700", "tmpfs", state], check=False).returncode:
        refused("mounts")
    try:
        ballast = state / "ballast"
        ballast.write_bytes(bytes(30 << 20))
        mock = world.start_mock("--tasks", 4, "--bodyBytes", size(8 * MB), "--methods", "POST")
        agent = world.make_agent(*FAST, "--executorPoolSize", 4).start()
        agent.status_until(lambda s: s["fetch"]["reason"] == "the disk has no room for large bodies" or
                           s["counters"]["delivered"] > 0, "a full disk")
        ballast.unlink()
        books = mock.wait("delivered>=4")
        check_books(books, 4)
        assert books["error_results"] == 0
        agent.stop()
    finally:
        if world.agent:
            world.agent.close()
        subprocess.run(["umount", "-l", state], check=False)


def test_no_place_for_the_temporary_file(world):
    """An executor that cannot keep a large body says so in the result."""
    small = world.folder / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], check=False).returncode:
        refused("mounts")
    try:
        os.environ["TMPDIR"] = str(small)
        mock = world.start_mock("--tasks", 1, "--bodyBytes", size(3 * MB))
        agent = world.make_agent(*FAST, "--uploadToAc", "false").start()
        books = mock.wait("delivered>=1")
        assert books["error_results"] == 1
        assert "No space left on device" in agent.log_text()
        agent.stop()
    finally:
        del os.environ["TMPDIR"]
        world.agent.close()
        subprocess.run(["umount", "-l", small], check=False)


def test_a_stopped_broker_pauses_the_stream(world):
    """A broker that stands still for a while: the stream waits or begins anew, and nothing is lost."""
    mock = world.start_mock("--tasks", 2, "--bodyBytes", size(50 * MB), "--methods", "POST")
    agent = world.make_agent(*FAST, "--uploadToAc", "false").start()
    until(lambda: part_is_there(agent), "a body on its way")
    pid = agent.pid("broker")
    os.kill(pid, 19)
    resume = threading.Timer(2, os.kill, (pid, 18))
    resume.start()
    resume.join()
    books = mock.wait("delivered>=2")
    check_books(books, 2)
    assert books["error_results"] == 0
    spool_is_empty(agent)
    agent.stop()
