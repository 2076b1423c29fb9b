"""The books of a soak: what AC saw, what the agent left behind, and whether each promise held."""

# What a settled process may take more at the end than at the start: allocators and caches, not a leak.
MEMORY_KB = 6 * 1024
DESCRIPTORS = 4
JOURNAL_BYTES = 256 * 1024
HISTORY_ROWS = 10_000 + 256  # what goes, goes in portions
# Free pages that the file may keep over a start of the broker (broker/journal.c).
JOURNAL_UNUSED = 8 * 1024 * 1024


class Accounts:
    def __init__(self):
        self.rows, self.failures = [], []

    def row(self, what, value, must="", good=True):
        self.rows.append((what, value, must, good))
        if not good:
            self.failures.append(f"{what}: {value}, {must}")

    def equal(self, what, value, wanted=0):
        self.row(what, value, f"must be {wanted}", value == wanted)

    def most(self, what, value, limit):
        self.row(what, value, f"at most {limit}", value <= limit)

    def text(self):
        return "\n".join(f"  {what:<58} {value!s:>9}   {must}{'' if good else '   <-- BROKEN'}"
                         for what, value, must, good in self.rows)


def explain_lost(outstanding, windows):
    """Each task without a result must be one that AC handed to a fetcher, or a connection, that just died. Returns
    those that are, and those that are not."""
    explained, lost = [], []
    for task in sorted(outstanding, key=lambda task: task["handed_at_us"]):
        at = task["handed_at_us"] / 1e6
        free = [w for w in windows if w.what != "broker" or task["state"] == "handed_to_dead"]
        window = next((w for w in sorted(free, key=lambda w: w.end) if w.take(at)), None)
        (explained if window and not task["times_executed"] else lost).append(task)
    return explained, lost


def tasks_and_requests(accounts, books, outstanding, faults, in_hand, seconds):
    explained, lost = explain_lost(outstanding, faults.windows)
    room = sum(w.room for w in faults.windows) + len(explained)
    lost_answers = books["unanswered"]
    accounts.row("tasks handed out", books["handed"])
    accounts.row("delivered once", books["delivered"] - books["duplicates"])
    accounts.most("delivered twice (an uploader killed, an answer lost)", books["duplicates"],
                  in_hand + lost_answers)
    accounts.most("handed to a connection or fetcher that died", len(explained), room)
    accounts.equal("lost", len(lost))
    accounts.equal("not handed out", books["waiting"])
    accounts.equal("wrong results or requests", books["wrong"])
    accounts.equal("POST, PATCH run twice", books["reexecuted_unsafe"])
    accounts.row("GET, PUT, ... run again (executor killed)", books["reexecuted_safe"])
    accounts.row("agent's errors (of tools, expiry)", books["error_results"] - books["outcome_unknown"])
    accounts.row("outcome unknown (executor killed during POST)", books["outcome_unknown"])
    accounts.most("AC requests in flight", books["ac_max_in_flight"], 2)
    accounts.equal("refused by AC as too many", books["ac_too_many"])
    accounts.equal("breaches of AC's contract", books["protocol_errors"])
    accounts.row("AC requests", books["ac_requests"])
    accounts.row("tasks per second, faults and all", round(books["delivered"] / max(seconds, 1), 1))
    return lost


def what_is_left(accounts, start, end):
    """`start` and `end`: of an idle agent, {"processes": ..., "journal": ..., "spool": [...], "runtime": [...]}."""
    for role, values in end["processes"].items():
        first = start["processes"][role]
        accounts.most(f"{role}: memory (PSS) in KiB, was {first['pss_kb']}", values["pss_kb"],
                      first["pss_kb"] + MEMORY_KB)
        accounts.most(f"{role}: descriptors, were {first['fds']}", values["fds"], first["fds"] + DESCRIPTORS)
    accounts.equal("bodies in the spool", len(end["spool"]))
    accounts.most(f"workers' sockets in the runtime directory, were {start['runtime']}", end["runtime"], start["runtime"])
    accounts.equal("tasks in the journal", end["journal"]["rows"]["task"])
    accounts.most(f"journal in use, octets, was {start['journal']['used_bytes']}", end["journal"]["used_bytes"],
                  start["journal"]["used_bytes"] + JOURNAL_BYTES)
    accounts.most("tasks in the history", end["journal"]["rows"]["history"], HISTORY_ROWS)
    used = end["journal"]["used_bytes"] + end["journal"]["history_bytes"]
    accounts.most(f"journal file, octets, was {start['journal']['file_bytes']}", end["journal"]["file_bytes"],
                  max(2 * used, used + JOURNAL_UNUSED))
    accounts.equal("journal's write-ahead log after the end, octets", end["journal"]["wal_bytes"])
    accounts.equal("buried", end["buried"])
