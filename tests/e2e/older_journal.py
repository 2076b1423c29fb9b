"""Journals of older builds."""
import contextlib
import sqlite3
import time

META = "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
TASK = """
CREATE TABLE task (number INTEGER PRIMARY KEY, task_id TEXT NOT NULL, method TEXT NOT NULL, host TEXT NOT NULL,
 state INTEGER NOT NULL, call INTEGER NOT NULL, flags INTEGER NOT NULL, deadline_ms INTEGER NOT NULL,
 expiry_wall INTEGER NOT NULL, accepted_wall INTEGER NOT NULL, next_try_ms INTEGER NOT NULL,
 attempt INTEGER NOT NULL, tries INTEGER NOT NULL, holder INTEGER NOT NULL, generation INTEGER NOT NULL,
 reason TEXT NOT NULL,{} doc BLOB);
"""
OTHERS = """
CREATE TABLE worker (instance INTEGER PRIMARY KEY, place INTEGER NOT NULL, role INTEGER NOT NULL);
CREATE TABLE fetcher (instance INTEGER PRIMARY KEY, seq INTEGER NOT NULL, mask INTEGER NOT NULL, used INTEGER NOT NULL);
CREATE TABLE credit (id INTEGER PRIMARY KEY, holder INTEGER NOT NULL, stage INTEGER NOT NULL, budget INTEGER NOT NULL);
CREATE TABLE rate (slot INTEGER PRIMARY KEY, second INTEGER NOT NULL, units INTEGER NOT NULL);
"""
HISTORY = """
CREATE TABLE history (seq INTEGER PRIMARY KEY, ended_wall INTEGER NOT NULL, number INTEGER NOT NULL,
 accepted_wall INTEGER NOT NULL, state INTEGER NOT NULL, task_id TEXT NOT NULL, method TEXT NOT NULL,
 host TEXT NOT NULL, trail BLOB);
"""
SCHEMA = {1: META + TASK.format("") + OTHERS,
          2: META + TASK.format(" buried_wall INTEGER NOT NULL, trail BLOB,") + OTHERS + HISTORY}
EPOCH = 3
READY, RUNNING, DONE, BURIED, GONE = 0, 2, 3, 6, 7


@contextlib.contextmanager
def journal_of(state, version):
    """A new state directory with a journal of that format, to be filled."""
    state.mkdir(mode=0o700)
    with contextlib.closing(sqlite3.connect(state / "journal.db")) as journal:
        journal.executescript(SCHEMA[version] + f"PRAGMA user_version = {version};")
        yield journal
        journal.commit()


def insert(journal, table, **columns):
    journal.execute(f"INSERT INTO {table} ({','.join(columns)}) VALUES ({','.join('?' * len(columns))})", [*columns.values()])


def insert_task(journal, number, task_id, state, doc, **columns):
    """A GET of long ago that has still an hour, unless it is said otherwise."""
    now_ms = int(time.time() * 1000)
    row = {"method": "GET", "host": "tool.example", "call": 2, "flags": 1, "expiry_wall": now_ms + 3600000,
           "accepted_wall": now_ms - 60000, "next_try_ms": 0, "attempt": 0, "tries": 0, "holder": 0, "generation": 1,
           "reason": ""} | columns
    ends_boot_ms = int(time.clock_gettime(time.CLOCK_BOOTTIME) * 1000) + row["expiry_wall"] - now_ms
    insert(journal, "task", number=(EPOCH << 32) + number, task_id=task_id, state=state, doc=doc,
           **({"deadline_ms": ends_boot_ms} | row))


def older_journal(state):
    """With a pause by hand, and a buried result of a task that AC knows nothing of."""
    with journal_of(state, 1) as journal:
        journal.executescript(f"INSERT INTO meta VALUES ('epoch', {EPOCH}), ('boot_id', 'another'), ('drained', 1);")
        insert_task(journal, 1, "old", BURIED, '{"taskId":"old","url":"http://tool.example/","method":"GET","statusCode":200}',
                    expiry_wall=1, accepted_wall=1, deadline_ms=5, reason="HTTP 400")
