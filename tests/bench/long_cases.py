"""Scale and queue: whether the cost of a task and the memory stay as they are, from the first tenth to the last. Floor runs
stand between the tenths, so that what the machine does to both can be told from what the agent does."""
import contextlib
import dataclasses

from figures import number, spread
from floor_side import FloorSide
from measure import AgentSide

PARTS = 10
LEAST_TASKS = 1000
SLOW_AC_MS = 200  # while the tools run, so that results are hardly delivered meanwhile


def growth(values):
    """By the straight line that fits them best: its last value over its first."""
    count = len(values)
    middle, mean = (count - 1) / 2, sum(values) / count
    slope = (sum((at - middle) * value for at, value in enumerate(values)) /
             sum((at - middle) ** 2 for at in range(count)))
    return (mean + slope * middle) / (mean - slope * middle)


@contextlib.contextmanager
def both_sides(case, arguments, folder, floor_slots, more):
    with contextlib.ExitStack() as stack:
        floor = FloorSide(dataclasses.replace(case, executors=1, slots=floor_slots), arguments.build, folder / "floor")
        stack.callback(floor.close)
        side = AgentSide(case, arguments.build, folder / "agent", more)
        stack.callback(side.close)
        yield floor, side


def run_scale(case, arguments, folder):
    """All tasks through one broker, in ten parts: the cost of a task in each, and the broker's memory. The lookahead is the
    whole queue, so that it can fill."""
    tasks = arguments.tasks or case.tasks
    share = tasks / case.tasks
    case = dataclasses.replace(case, executors=min(64, max(4, round(case.executors * share))),
                               queue=max(100, int(case.queue * share)))
    with both_sides(case, arguments, folder, case.slots, ["--lookahead", case.queue]) as (floor, side):
        side.run(max(100, tasks // 100))
        floor.run(max(100, tasks // 100))
        segments, floors, memory = [], [], []
        for _ in range(PARTS):
            segments.append(side.run(tasks // PARTS))
            memory.append(side.broker_rss_kb())
            floors.append(floor.run(max(500, tasks // 50)))
        ratios = [a["cpu_us"] / f["cpu_us"] for a, f in zip(segments, floors)]
        return {"agent": side.report(), "floor": floor.report(), "executors": case.executors, "queue": case.queue,
                "segments": segments, "floors": floors, "cpu_ratios": ratios, "broker_rss_kb": memory,
                "growth": growth([a["cpu_us"] for a in segments]), "growth_of_ratio": growth(ratios)}


def run_queue(case, arguments, folder):
    """All tasks into the queue, while one slot does next to nothing; then they are run, while AC answers so late that hardly
    a result is delivered; then the results are delivered: the cost of each tenth of each."""
    tasks = arguments.tasks or case.tasks
    case = dataclasses.replace(case, queue=tasks)
    with both_sides(case, arguments, folder, 200, ["--lookahead", tasks]) as (floor, side):
        def phase(counter, begin):
            done, before, parts = side.counters()[counter], side.cpu(), []
            begin()
            for part in range(1, PARTS + 1):
                now, cpu = side.count_until(counter, tasks * part // PARTS), side.cpu()
                if now > done:  # several tenths may have gone by since the last look
                    cost = (sum(cpu.values()) - sum(before.values())) / (now - done) / 1000
                    parts.append({"done": now, "cpu_us": cost})
                before, done = cpu, now
            if not parts:
                raise RuntimeError(f"{case.name}: all was {counter} before this could be measured; take more tasks")
            return parts

        def executors():
            side.mock.config(acDelayMs=SLOW_AC_MS)
            side.more_executors(4, 200)

        result, empty, floors = {}, side.broker_rss_kb(), [floor.run(max(500, tasks // 20))]
        result["in"] = phase("fetched", lambda: side.add(tasks))
        result |= {"queued": side.status()["tasks"]["ready"], "broker_rss_kb": [empty, side.broker_rss_kb()]}
        floors.append(floor.run(max(500, tasks // 20)))
        result["run"] = phase("results", executors)
        result["deliver"] = phase("delivered", lambda: side.mock.config(acDelayMs=0))
        floors.append(floor.run(max(500, tasks // 20)))
        return result | {"agent": side.report(), "floor": floor.report(), "floors": floors}


def row(name, values, form="{:.0f}"):
    return f"| {name} | " + " | ".join(form.format(value) for value in values) + " |"


def head(count):
    return [row("tenth", range(1, count + 1)), "|---" * (count + 1) + "|"]


def show_scale(_, result):
    memory = result["broker_rss_kb"]
    return [*head(PARTS), row("CPU us a task", [part["cpu_us"] for part in result["segments"]]),
            row("floor", [part["cpu_us"] for part in result["floors"]]),
            row("ratio", result["cpu_ratios"], "{:.2f}"),
            row("broker's memory, MB", [kb / 1024 for kb in memory], "{:.1f}"),
            "", f"By the line through all ten, last to first: CPU a task {result['growth']:.2f}, its ratio to the floor's"
            f" {result['growth_of_ratio']:.2f}; {spread(result)}"]


def show_queue(_, result):
    """A column a tenth, if every tenth was seen by itself."""
    def phase(name, key):
        parts = result[key]
        if len(parts) == PARTS:
            return row(name, [part["cpu_us"] for part in parts])
        return f"| {name} | " + " | ".join(f"{part['cpu_us']:.0f} (to {part['done']:,})" for part in parts) + " |"

    empty, full = (kb / 1024 for kb in result["broker_rss_kb"])
    floors = ", ".join(f"{floor['cpu_us']:.0f}" for floor in result["floors"])
    return [*head(PARTS), phase(f"CPU us to fetch a task, the queue growing to {result['queued']:,}", "in"),
            phase("to run it", "run"), phase("to deliver its result", "deliver"), "",
            f"The floor costs {floors} us a task before, between and after. The broker's memory: {empty:.1f} MB with an"
            f" empty queue, {full:.1f} MB with {result['queued']:,} tasks in it,"
            f" {number((full - empty) * 1024 / max(1, result['queued']))} KB each; {spread(result)}"]
