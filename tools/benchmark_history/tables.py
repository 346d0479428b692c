"""Rows of words as a table, for the terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmark_history.runs import Row, Run
from benchmark_history.units import write

TARGET_COLUMNS = ("metric", "must", "aim", "measured", "verdict")
SHOWN_RUNS = 6


def plain(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell; all but the first two-spaced."""
    lines = [columns, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(columns))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]], *, others: str = "---:") -> str:
    """A table; all columns but the first stand right, or as others says."""
    head = [columns, ("---", *[others] * (len(columns) - 1))]
    return "\n".join(f"| {' | '.join(line)} |" for line in [*head, *rows])


def history_table(runs: Sequence[Run]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of one machine's last runs: a metric a row, a run a column."""
    shown = runs[-SHOWN_RUNS:]
    names = dict.fromkeys(name for run in reversed(shown) for name in run.metrics)
    rows = [
        [name, *("-" if name not in run.metrics else _cell(run, name) for run in shown)]
        for name in names
    ]
    return ["metric", *(run.label for run in shown)], rows


def detail_table(run: Run, more: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of what one run's figures rest on: a benchmark a row.

    Args:
        run: the run.
        more: which of MORE_COLUMNS the table has, besides benchmark, size and medians.
    """
    rows = [[*_details(row), *(MORE_COLUMNS[column](row) for column in more)] for row in run.rows]
    return ["benchmark", "size, dtype, layout", "medians in us (rounds)", *more], rows


def _details(row: Row) -> list[str]:
    medians = [f"{name} {_brief(us)} ({row.rounds[name]})" for name, us in row.medians_us.items()]
    compiled = row.extra.get("formulations_us", {})
    medians += [f"compiled `{name}` {us:.0f} (3)" for name, us in compiled.items()]
    if row.extra.get("torchmetrics") == "not installed":
        medians.append("torchmetrics not installed")
    return [row.name.removeprefix("test_").replace("_", " "), row.group, ", ".join(medians)]


def _share_of_copy(row: Row) -> str:
    share = row.extra.get("share_of_copy_bandwidth")
    return "-" if share is None else f"{share:.0%}"


def _extra_memory(row: Row) -> str:
    memory = row.extra.get("extra_bytes", {})
    return ", ".join(f"{name} {size / 2**20:.1f}" for name, size in memory.items()) or "-"


def _note(row: Row) -> str:
    return str(row.extra.get("note", "-"))


MORE_COLUMNS: dict[str, Callable[[Row], str]] = {
    "share of copy": _share_of_copy,
    "extra MiB": _extra_memory,
    "note": _note,
}


def _brief(microseconds: float) -> str:
    """Whole microseconds, more digits where there are few."""
    return f"{microseconds:.0f}" if microseconds >= 10 else f"{microseconds:.2g}"


def _cell(run: Run, name: str) -> str:
    metric = run.metrics[name]
    return write(metric.value, metric.unit)
