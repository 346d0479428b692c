"""Learning curves and per-class bars of a finished comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from .._arm_text import arm_named
from .._result import RunResult
from ._figure import colour, new_figure, plain, save_figure, whole_epochs
from ._table import Row


def draw_curves(results: Sequence[RunResult], rows: Sequence[Row], path: Path) -> None:
    """Loss and pooled mean IoU by epoch, a line an arm with the range over its runs as a band.

    Args:
        results: finished runs.
        rows: the table, its all-background row first: the floor in the right panel.
        path: the PNG.
    """
    figure = new_figure(10, 4.2)
    loss, iou = figure.subplots(1, 2)
    arms = list(dict.fromkeys(result.run.arm_name for result in results))
    for index, arm in enumerate(arms):
        histories = [result.history for result in results if result.run.arm_name == arm]
        _band(loss, [history[1:] for history in histories], "loss", arm, index)
        _band(iou, histories, "mean_iou_pooled", arm, index)
    loss.set(title="training loss", xlabel="epoch of the arm", ylabel="cross-entropy")
    loss.set_yscale("log")
    floor = rows[0].scores.mean_iou_pooled
    iou.axhline(floor, color="grey", linestyle="--", label=f"all background ({floor:.3f})")
    iou.set(title="evaluation", xlabel="epoch of the arm", ylabel="mean IoU (pooled)")
    iou.legend(fontsize=7, loc="lower right")
    for axes in (loss, iou):
        whole_epochs(axes)
    save_figure(figure, path)


def draw_classes(rows: Sequence[Row], class_names: Sequence[str], path: Path) -> None:
    """IoU of each foreground class, a group of bars a class, a bar a row of the table."""
    figure = new_figure(10, 4.2)
    axes = figure.subplots()
    width = 0.8 / len(rows)
    positions = np.arange(len(class_names) - 1)
    for index, row in enumerate(rows):
        heights = [value or 0.0 for value in row.scores.iou[1:]]
        tint = "lightgrey" if index < 2 else colour(index - 2)
        bars = axes.bar(positions + index * width, heights, width, color=tint, label=row.label)
        axes.bar_label(bars, fmt="%.2f", fontsize=6)
    axes.set_xticks(positions + 0.4 - width / 2, [plain(name) for name in class_names[1:]])
    axes.set(ylabel="IoU (pooled)", title="foreground classes, last epoch")
    axes.legend(fontsize=7, loc="upper right")
    axes.grid(axis="y", alpha=0.3)
    save_figure(figure, path)


def _band(
    axes: Axes, histories: Sequence[Sequence[dict[str, Any]]], key: str, arm: str, index: int
) -> None:
    epochs = [record["epoch"] for record in histories[0]]
    values = np.array([[record[key] for record in history] for history in histories])
    axes.plot(epochs, values.mean(0), ".-", color=colour(index), label=arm_named(arm).label)
    if len(values) > 1:
        axes.fill_between(epochs, values.min(0), values.max(0), color=colour(index), alpha=0.15)
