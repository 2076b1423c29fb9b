"""The cases of the benchmark: what the tasks are, and how the agent is set up for them."""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    what: str
    tasks: int = 8000            # a round
    methods: str = "GET"
    body: int = 200              # bytes of the tool's answer
    tool_ms: int = 0
    slots: int = 10              # of each executor process
    executors: int = 1
    tls: bool = False
    tcp: bool = False
    curve: bool = False          # the executor is one on another machine, as far as it knows
    ac_ms: int = 0               # round trip to AC
    sync: bool = True
    apart_ms: int = 0            # one task at a time, so far apart
    queue: int = 100
    kind: str = "rounds"         # floor and agent in turn; or the name of what measures it otherwise
    by_name: bool = False        # run only when it is asked for

    @property
    def large(self):
        """Its floor is `curl | gzip`, for the bare loop posts no files."""
        return self.body > 512000


def tools():
    for delay in (0, 50, 300):
        for slots in (10, 50, 200):
            rate = min(3000, slots * 1000 / delay) if delay else 3000
            yield Case(f"tool-{delay}ms-{slots}", f"tools of {delay} ms, {slots} slots", tool_ms=delay, slots=slots,
                       tasks=max(100, int(rate * 2)))


CASES = [
    Case("small", "small tasks, GET, 10 slots, ipc"),
    Case("small-mix", "GET and POST, which waits for its claim", methods="GET,POST"),
    Case("lone", "one task at a time, 20 ms apart: latencies without load", tasks=200, apart_ms=20),
    Case("tls", "TLS to AC and to the tool", tls=True),
    *tools(),
    Case("body-1k", "bodies of 1 KB", body=1000),
    Case("body-100k", "bodies of 100 KB", body=100000, tasks=2000),
    Case("body-5m", "bodies of 5 MB", body=5000000, tasks=30),
    Case("body-1g", "a body of 1 GiB", body=1 << 30, tasks=1),
    Case("executors-4", "4 executor processes", executors=4),
    Case("executors-16", "16 executor processes", executors=16),
    Case("tcp", "executors by tcp", tcp=True),
    Case("curve", "executors by tcp with CURVE", curve=True),
    Case("ac-50ms", "an AC 50 ms away over TLS", tls=True, ac_ms=50, tasks=200),
    Case("no-sync", "without the syncs of the disk (fsync and fdatasync do nothing)", sync=False),
    Case("start", "from `sluice run` to the first poll of AC, so many times", tasks=10, kind="start"),
    Case("idle", "60 s in long polls: CPU and wake-ups", kind="idle"),
    Case("scale", "a million tasks, 64 executors of 200 slots: cost of each tenth", tasks=1000000, slots=200, executors=64,
         queue=100000, kind="scale", by_name=True),
    Case("queue", "100,000 tasks brought into the queue, then worked off by 4 executors of 200 slots", tasks=100000,
         queue=100000, slots=1, tool_ms=20, kind="queue", by_name=True),
]
