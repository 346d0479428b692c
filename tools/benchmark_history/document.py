"""docs/results/ops.md and its plot, from the kept runs alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmark_history.history import by_machine, newest
from benchmark_history.plot import draw
from benchmark_history.runs import Run
from benchmark_history.tables import (
    SHOWN_RUNS,
    TARGET_COLUMNS,
    detail_table,
    history_table,
    markdown,
)
from benchmark_history.targets import Standing, Target, judge

PLOT = "ops-ratios.png"
KINDS = {"cpu": "a CPU", "cuda": "CUDA"}
HEAD = """# tomolift-ops: speed and memory

Generated from docs/results/benchmarks by `python tools/compare_benchmarks.py --write-docs`.
"""
READING = """\
Ratios are of medians over rounds in which the contenders took turns in one process, in a drawn
order; each found logits that had just been written anew. "times" says how many times as long the
peer takes, "/" is ours over something else. "Dense" and "up-sampled" stand for loss, gradient and
confusion matrix together. "Share of copy" is the least traffic of ours per second beside what
`copy_` moved per second in the same race. Extra memory is the peak of one step beyond its inputs,
on a CPU that of the resident set of a fresh process.
"""


def write_document(runs: Sequence[Run], targets: Sequence[Target], folder: Path) -> None:
    """Write ops.md and, where anything was measured, its plot into the folder."""
    standings = judge(targets, runs)
    drawn = any(standing.value is not None for standing in standings)
    if drawn:
        draw(standings, folder / PLOT)
    (folder / "ops.md").write_text(compose(runs, standings, drawn=drawn), "utf-8")


def compose(runs: Sequence[Run], standings: Sequence[Standing], *, drawn: bool) -> str:
    parts = [HEAD, *(measured_on(newest(runs, kind), name) for kind, name in KINDS.items()), ""]
    parts += [READING, "## Targets", ""]
    parts += [markdown(TARGET_COLUMNS, [standing.cells for standing in standings]), ""]
    if drawn:
        parts += [f"![measured figures beside must and aim]({PLOT})", ""]
    parts += [f"## All figures, the last {SHOWN_RUNS} runs of each machine", ""]
    for group in by_machine(runs):
        parts += [f"### {group[-1].machine.describe()}", "", markdown(*history_table(group)), ""]
    if not runs:
        parts += ["No run was kept yet.", ""]
    for kind, name in KINDS.items():
        run = newest(runs, kind)
        if run is not None:
            parts += [f"## What the newest run on {name} rests on", ""]
            parts += [markdown(*detail_table(run), others="---"), ""]
    return "\n".join(parts)


def measured_on(run: Run | None, name: str) -> str:
    """When, on what and how the newest run was made, or that there is none."""
    if run is None:
        return f"* On {name}: not run."
    changes = " with uncommitted changes" if run.uncommitted_changes else ""
    return (
        f"* On {name}: {run.started[:10]}, {run.machine.describe()}, torch {run.machine.torch}, "
        f"commit {run.commit}{changes}, `{run.command}`."
    )
