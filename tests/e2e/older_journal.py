"""A journal of an older build."""
import sqlite3

OLD = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE task (number INTEGER PRIMARY KEY, task_id TEXT NOT NULL, method TEXT NOT NULL, host TEXT NOT NULL,
 state INTEGER NOT NULL, call INTEGER NOT NULL, flags INTEGER NOT NULL, deadline_ms INTEGER NOT NULL,
 expiry_wall INTEGER NOT NULL, accepted_wall INTEGER NOT NULL, next_try_ms INTEGER NOT NULL,
 attempt INTEGER NOT NULL, tries INTEGER NOT NULL, holder INTEGER NOT NULL, generation INTEGER NOT NULL,
 reason TEXT NOT NULL, doc BLOB);
CREATE TABLE worker (instance INTEGER PRIMARY KEY, place INTEGER NOT NULL, role INTEGER NOT NULL);
CREATE TABLE fetcher (instance INTEGER PRIMARY KEY, seq INTEGER NOT NULL, mask INTEGER NOT NULL, used INTEGER NOT NULL);
CREATE TABLE credit (id INTEGER PRIMARY KEY, holder INTEGER NOT NULL, stage INTEGER NOT NULL, budget INTEGER NOT NULL);
CREATE TABLE rate (slot INTEGER PRIMARY KEY, second INTEGER NOT NULL, units INTEGER NOT NULL);
INSERT INTO meta VALUES ('epoch', 3), ('boot_id', 'another'), ('drained', 1);
INSERT INTO task VALUES (12884901889, 'old', 'GET', 'tool.example', 6, 2, 1, 5, 1, 1, 0, 0, 0, 0, 1, 'HTTP 400',
 '{"taskId":"old","url":"http://tool.example/","method":"GET","statusCode":200}');
PRAGMA user_version = 1;
"""


def older_journal(state):
    """In a new state directory: with a pause by hand, and a buried result of a task that AC knows nothing of."""
    state.mkdir()
    with sqlite3.connect(state / "journal.db") as journal:
        journal.executescript(OLD)
    journal.close()
