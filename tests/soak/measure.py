"""What the agent takes of the machine: memory, descriptors, journal, spool and runtime directory."""
import contextlib
import pathlib
import sqlite3
import time

from processes import memory_kb

ROLES = ("broker", "fetcher", "executor", "uploader")
RUNNING = ("broker", "fetcher", "executor", "executor", "uploader")


def descriptors(pid):
    """Those of connections, and the rest. A connection is in no list once its peer has reset it: what counts is that it is none
    of the sockets of this machine alone."""
    local = {row.split()[6] for row in pathlib.Path("/proc/net/unix").read_text().splitlines()[1:]}
    names = []
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            names.append(str(fd.readlink()))
    connections = sum(name.startswith("socket:[") and name[8:-1] not in local for name in names)
    return connections, len(names) - connections


def of_process(pid):
    """Memory of its own, also what is swapped out: that of its program and libraries depends on who else runs them."""
    connections, fds = descriptors(pid)
    own_kb = memory_kb(pid, "Anonymous") + memory_kb(pid, "Swap")
    if own_kb == 0:
        raise ProcessLookupError(f"{pid} has ended")
    return {"own_kb": own_kb, "fds": fds, "connections": connections}


def of_each(agent):
    """By process: {("broker", pid): {"own_kb": ..., "fds": ..., "connections": ...}}."""
    found = {}
    for role in ROLES:
        for pid in agent.pids(role):
            with contextlib.suppress(OSError):
                found[role, pid] = of_process(pid)
    return found


def at_rest(agent):
    """of_each() of an idle agent, and of several looks the fewest descriptors: the broker may not have closed yet what was used
    to ask for its status."""
    looks = []
    for _ in range(5):
        time.sleep(0.2)
        looks.append(of_each(agent))
    return {key: values | {kind: min(look[key][kind] for look in looks if key in look) for kind in ("fds", "connections")}
            for key, values in looks[-1].items()}


def of_roles(each):
    """By role, of the greediest process."""
    return {role: {key: max(values[key] for (name, _), values in each.items() if name == role)
                   for key in ("own_kb", "fds", "connections")}
            for role in {name for name, _ in each}}


def entries(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def journal(agent):
    """Its rows by table, and its octets in use (but for the history, which has a bound of its own) and in all: of the file only
    when the agent is stopped, and its journal checkpointed."""
    path = agent.state / "journal.db"
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        number = lambda pragma: db.execute(f"PRAGMA {pragma}").fetchone()[0]
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = {name: db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}
        history = db.execute("SELECT sum(pgsize) FROM dbstat WHERE name = 'history'").fetchone()[0]
        free = number("freelist_count") * number("page_size")
        used = (number("page_count") - number("freelist_count")) * number("page_size") - history
    wal = path.with_name(path.name + "-wal")
    return {"rows": rows, "used_bytes": used, "history_bytes": history, "free_bytes": free,
            "file_bytes": path.stat().st_size,
            "wal_bytes": wal.stat().st_size if wal.exists() else 0}
