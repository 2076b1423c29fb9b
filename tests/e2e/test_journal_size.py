"""What a backlog leaves of the journal's file."""
import contextlib
import sqlite3

from agent import FAST, check_books


def fill(path, megabytes):
    """As a long backlog of large results does: rows come and go, and their pages stay with the file."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE backlog (doc BLOB)")
        for _ in range(megabytes):
            db.execute("INSERT INTO backlog VALUES (zeroblob(1000000))")
        db.commit()
        db.execute("DROP TABLE backlog")
        db.commit()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def test_the_file_shrinks_at_a_start(world):
    mock = world.start_mock("--tasks", 20)
    agent = world.make_agent(*FAST)
    programs = [agent.program(name) for name in ("executor", "fetcher", "broker")]
    agent.status_until(lambda s: s["results"]["waiting"] == 20, "results that stay")
    for program in programs:
        agent.stop(program)
    journal = agent.state / "journal.db"
    for megabytes, shrinks in ((5, False), (30, True)):
        fill(journal, megabytes)
        before = journal.stat().st_size
        assert before > megabytes * 900000
        broker = agent.program("broker")
        agent.status_until(lambda s: True, "a broker")
        agent.stop(broker)
        assert (journal.stat().st_size < 1000000) == shrinks, (before, journal.stat().st_size)
    agent.start()
    check_books(mock.wait("delivered>=20"), 20)
    agent.stop()
