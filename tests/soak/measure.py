"""What the agent takes of the machine: memory, descriptors, journal, spool and runtime directory."""
import contextlib
import pathlib
import sqlite3

from processes import memory_kb

ROLES = ("broker", "fetcher", "executor", "uploader")


def descriptors(pid):
    """Without those of connections, of which some are kept for the next request; their number is bounded by the slots."""
    fds = pathlib.Path(f"/proc/{pid}/fd")
    tcp = {row.split()[9] for row in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]}
    count = 0
    for fd in fds.iterdir():
        with contextlib.suppress(OSError):
            name = str(fd.readlink())
            count += not (name.startswith("socket:[") and name[8:-1] in tcp)
    return count


def of_processes(agent):
    """By role, of the greediest process: {"broker": {"pss_kb": ..., "fds": ...}}."""
    found = {}
    for role in ROLES:
        values = {"pss_kb": 0, "fds": 0}
        for pid in agent.pids(role):
            with contextlib.suppress(OSError):
                values["pss_kb"] = max(values["pss_kb"], memory_kb(pid))
                values["fds"] = max(values["fds"], descriptors(pid))
        found[role] = values
    return found


def entries(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def journal(agent):
    """Of a stopped agent, whose journal has been checkpointed: its rows by table, and its octets in use (but for the
    history, which has a bound of its own) and in all."""
    path = agent.state / "journal.db"
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        number = lambda pragma: db.execute(f"PRAGMA {pragma}").fetchone()[0]
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = {name: db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}
        history = db.execute("SELECT sum(pgsize) FROM dbstat WHERE name = 'history'").fetchone()[0]
        used = (number("page_count") - number("freelist_count")) * number("page_size") - history
    wal = path.with_name(path.name + "-wal")
    return {"rows": rows, "used_bytes": used, "history_bytes": history, "file_bytes": path.stat().st_size,
            "wal_bytes": wal.stat().st_size if wal.exists() else 0}
