"""What the processes of a failed test were doing: which they are, where the kernel and their own stacks have them."""
import contextlib
import pathlib
import shutil
import subprocess

STACKS_S = 30  # for a debugger that shares the machine with many tests


def family(pids):
    """These processes and all that descend from them, by pid: (parent, state, command line)."""
    found = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            rest = stat.read_text().rsplit(")", 1)[1].split()
            command = (stat.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            found[int(stat.parent.name)] = (int(rest[1]), rest[0], command[:200])
    wanted = {pid for pid in pids if pid in found}
    while True:
        more = {pid for pid, (parent, _, _) in found.items() if parent in wanted} - wanted
        if not more:
            return {pid: found[pid] for pid in sorted(wanted)}
        wanted |= more


def _kernel(pid):
    """Each thread's name, and where in the kernel it is."""
    lines = []
    for thread in sorted(pathlib.Path(f"/proc/{pid}/task").glob("*")):
        words = [thread.name]
        for name in ("comm", "wchan", "syscall", "stack"):
            with contextlib.suppress(OSError):
                words.append(" < ".join((thread / name).read_text().split("\n")).strip(" <"))
        lines.append("  thread " + " | ".join(words))
    return lines


def _stacks(pid):
    if not shutil.which("gdb"):
        return ["  no gdb here"]
    try:
        done = subprocess.run(["gdb", "-p", str(pid), "-batch", "-nx", "-ex", "set pagination off", "-ex", "thread apply all bt"],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=STACKS_S, check=False)
    except (subprocess.TimeoutExpired, OSError) as error:
        return [f"  gdb: {error}"]
    return ["  " + line for line in done.stdout.splitlines() if line.startswith(("#", "Thread"))]


def of_processes(pids):
    """A text for a person who looks for the reason."""
    lines = []
    for pid, (parent, state, command) in family(pids).items():
        lines.append(f"{pid} (of {parent}) state={state} {command}")
        with contextlib.suppress(OSError):
            lines += _kernel(pid)
        if state not in "ZX":
            lines += _stacks(pid)
    with contextlib.suppress(OSError):
        lines.append("load " + pathlib.Path("/proc/loadavg").read_text().strip())
        lines += [f"{name} {line}" for name in ("cpu", "io", "memory")
                  for line in pathlib.Path(f"/proc/pressure/{name}").read_text().splitlines()]
    return "\n".join(lines)
