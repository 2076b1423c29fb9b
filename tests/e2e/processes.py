"""What the kernel says of running processes: CPU time, memory, wake-ups, connections by tcp."""
import contextlib
import pathlib


def _of_threads(pid, name):
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*"):
        with contextlib.suppress(OSError):
            yield (task / name).read_text()


def cpu_ns(pid):
    """CPU time of all threads, by the scheduler's own account, in nanoseconds."""
    return sum(int(text.split()[0]) for text in _of_threads(pid, "schedstat"))


def switches(pid):
    """Wake-ups: a thread that gave up the processor by itself was woken since."""
    return sum(int(text.split("voluntary_ctxt_switches:\t", 1)[1].split()[0]) for text in _of_threads(pid, "status"))


def memory_kb(pid, name="Pss"):
    with contextlib.suppress(OSError):
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1])
    return 0


def status_kb(pid, name):
    """VmRSS or VmHWM, what is resident or was at most."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    raise RuntimeError(f"process {pid} has no {name}")


def connections_to(pid, port):
    """How many established TCP connections this process has to a port of this machine."""
    inodes = set()
    for line in pathlib.Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "01" and int(fields[2].split(":")[1], 16) == port:
            inodes.add(f"socket:[{fields[9]}]")
    found = 0
    for fd in pathlib.Path(f"/proc/{pid}/fd").glob("*"):
        with contextlib.suppress(OSError):
            found += str(fd.readlink()) in inodes
    return found
