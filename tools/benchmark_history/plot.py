"""How far each measured figure is from its must, beside where its aim lies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmark_history.targets import Standing
from benchmark_history.units import goodness

COLOURS = {"missed": "#c0392b", "met": "#2471a3", "met, aim too": "#1e8449"}

WIDEST = 32.0  # a bar that would be longer is cut


def draw(standings: Sequence[Standing], path: Path) -> None:
    """Write a PNG of the standings that have a value; the same bytes for the same input."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    rows = [standing for standing in standings if standing.value is not None]
    figure, axes = pyplot.subplots(figsize=(10, 1.4 + 0.42 * len(rows)), layout="constrained")
    axes.axvline(1, color="black", linewidth=1)
    for place, standing in enumerate(rows):
        target, value = standing.target, standing.value or 0.0
        reached = min(goodness(value, target.must, target.unit), WIDEST)
        axes.barh(place, reached - 1, left=1, height=0.5, color=COLOURS[standing.verdict])
        if target.aim is not None:
            aim = goodness(target.aim, target.must, target.unit)
            axes.plot([aim, aim], [place - 0.4, place + 0.4], color="black", linewidth=2)
        axes.text(1.02, place, standing.measured, transform=axes.get_yaxis_transform(), va="center")
    axes.set_yticks(range(len(rows)), [row.target.metric for row in rows])
    axes.invert_yaxis()
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel(
        "times as good as the must, at 1; short marks: the aim\n"
        "red: missed, blue: must met, green: aim met"
    )
    figure.savefig(path, dpi=100, metadata={"Software": None})
    pyplot.close(figure)
