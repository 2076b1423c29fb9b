"""What is printed of the cases that run in rounds: rows of Markdown tables."""
from measure import ROLES, WORKERS

COST_HEAD = ["| case | tasks/s | floor | ratio | CPU us | floor | ratio | " + " / ".join(WORKERS) +
             " | commits | tasks each |", "|---" * 10 + "|"]
REST_HEAD = ["| case | PSS MB | " + " / ".join(ROLES) + " | floor | to tool ms | floor | to AC ms | floor | conn. | floor |",
             "|---" * 10 + "|"]


def number(value):
    """Three digits that count, or all before the point."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3g}"


def latency(figures, key):
    """The lower edges of buckets that are at most an eighth wide."""
    timing = figures.get(key)
    return " / ".join(number(timing[name] / 1000) for name in ("p50", "p99")) if timing and timing["count"] else "–"


def show_cost(case, result):
    agent, floor = result["agent"], result["floor"]
    ratio = agent["ratio"]
    by_role = " / ".join(f"{agent['cpu_us_by_role'][role]:,.0f}" for role in WORKERS)
    cells = [case.name, number(agent["tasks_per_s"]), number(floor["tasks_per_s"]), f"{ratio['tasks_per_s']:.2f}",
             f"{agent['cpu_us']:,.0f}", f"{floor['cpu_us']:,.0f}", f"{ratio['cpu']:.1f}", by_role,
             f"{agent['commits']:,.0f}", f"{agent['tasks_per_commit']:.1f}"]
    return ["| " + " | ".join(cells) + " |"]


def show_rest(case, result):
    agent, floor = result["agent"], result["floor"]
    cells = [case.name, number(agent["pss_kb"] / 1024),
             " / ".join(number(agent["pss_kb_by_role"][role] / 1024) for role in ROLES), number(floor["pss_kb"] / 1024)]
    for key in ("hand_to_tool_us", "tool_to_result_us"):
        cells += [latency(agent, key), latency(floor, key)]
    cells += [f"{side['ac_connections']:.0f}" if "ac_connections" in side else "–" for side in (agent, floor)]
    return "| " + " | ".join(cells) + " |"


def spread(result):
    """Memory of a case that has no row."""
    agent = result["agent"]
    by_role = ", ".join(f"{role} {number(agent['pss_kb_by_role'][role] / 1024)}" for role in ROLES)
    return (f"at the end all processes have {number(agent['pss_kb'] / 1024)} MB ({by_role}), the floor"
            f" {number(result['floor']['pss_kb'] / 1024)} MB")


def remarks(case, result):
    """What is more to say of a case."""
    agent, floor = result["agent"], result["floor"]
    if case.large:
        mb = case.body / 1e6
        peak = max(agent["peak_over_idle_kb"].values()) / 1024
        yield (f"{agent['tasks_per_s'] * mb:.0f} MB/s, curl | gzip {floor['tasks_per_s'] * mb:.0f} MB/s; most resident memory"
               f" above idle in one process {peak:.1f} MB")
    if case.ac_ms:
        yield (f"{agent['tasks_per_s'] * case.ac_ms / 1000:.3f} tasks per round trip, the floor"
               f" {floor['tasks_per_s'] * case.ac_ms / 1000:.3f}")
    if "pairwise" in result:
        pair = result["pairwise"]
        yield f"of the other build's: tasks/s x {pair['tasks_per_s']:.3f}, CPU x {pair['cpu_us']:.3f}"


def show_all_rest(done):
    """The second table and the remarks, of (case, result) pairs."""
    lines = ["", *REST_HEAD, *(show_rest(case, result) for case, result in done)] if done else []
    notes = [f"- {case.name}: {note}" for case, result in done for note in remarks(case, result)]
    return [*lines, "", *notes] if notes else lines
