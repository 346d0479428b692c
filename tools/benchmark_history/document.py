"""docs/results/SUITE.md and its plot, from the kept runs alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from generated_section import replace_section

from benchmark_history.history import by_machine, newest
from benchmark_history.plot import draw
from benchmark_history.runs import HistoryError, Run
from benchmark_history.suites import Suite
from benchmark_history.tables import (
    SHOWN_RUNS,
    TARGET_COLUMNS,
    detail_table,
    history_table,
    markdown,
)
from benchmark_history.targets import Standing, judge

KINDS = {"cpu": "a CPU", "cuda": "CUDA"}
COMMAND = "python tools/compare_benchmarks.py --write-docs"


def write_document(suite: Suite, runs: Sequence[Run], folder: Path) -> Path:
    """Write the suite's document and, where anything was measured, its plot into the folder.

    Raises:
        HistoryError: the suite has but a section of it, and the document has no place for that.
    """
    standings = judge(suite.targets, runs)
    plot = folder / f"{suite.name}-ratios.png"
    drawn = any(standing.value is not None for standing in standings)
    if drawn:
        draw(standings, plot)
    path = folder / f"{suite.name}.md"
    text = compose(suite, runs, standings, plot=plot.name if drawn else None)
    path.write_text(_in_its_place(text, suite, path) if suite.section else text, "utf-8")
    return path


def _in_its_place(text: str, suite: Suite, path: Path) -> str:
    """The whole document with the suite's section; its headings stand a level deeper there."""
    try:
        deeper = re.sub(r"^#", "##", text, flags=re.MULTILINE)
        return replace_section(path.read_text("utf-8"), suite.section, deeper)
    except (OSError, ValueError) as error:
        raise HistoryError(f"{path}: no place for the suite {suite.name} ({error})") from error


def compose(
    suite: Suite, runs: Sequence[Run], standings: Sequence[Standing], *, plot: str | None
) -> str:
    kinds = {kind: KINDS[kind] for kind in suite.kinds}
    kept = f"docs/results/benchmarks/{suite.name}"
    parts = [f"# {suite.title}", "", f"Generated from {kept} by `{COMMAND}`.", ""]
    parts += [*(measured_on(newest(runs, kind), name) for kind, name in kinds.items()), ""]
    parts += [suite.reading, "## Targets", ""]
    parts += [markdown(TARGET_COLUMNS, [standing.cells for standing in standings]), ""]
    if plot is not None:
        parts += [f"![measured figures beside must and aim]({plot})", ""]
    parts += [f"## All figures, the last {SHOWN_RUNS} runs of each machine", ""]
    for group in by_machine(runs):
        parts += [f"### {group[-1].machine.describe()}", "", markdown(*history_table(group)), ""]
    if not runs:
        parts += ["No run was kept yet.", ""]
    for kind, name in kinds.items():
        run = newest(runs, kind)
        if run is not None:
            parts += [f"## What the newest run on {name} rests on", ""]
            parts += [markdown(*detail_table(run, suite.columns), others="---"), ""]
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
