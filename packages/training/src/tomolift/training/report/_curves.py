"""Learning curves, per-class bars and shares of the training cases of a finished comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from ..comparison import BASELINES, Band, LearningCurve, Row
from ._figure import colour, new_figure, plain, save_figure, whole_epochs


def draw_curves(curves: Sequence[LearningCurve], rows: Sequence[Row], path: Path) -> None:
    """Loss, pooled mean IoU and foreground IoU by epoch, a line an arm, bands over its runs.

    Args:
        curves: of every arm and share; those of the table's share are drawn.
        rows: the table: labels, and the floor.
        path: the PNG.
    """
    figure = new_figure(14, 5)
    loss, iou, foreground = figure.subplots(1, 3)
    trained = _trained(rows)
    by_arm = {curve.arm: curve for curve in curves if curve.fraction == rows[0].fraction}
    for index, row in enumerate(trained):
        curve, label = by_arm[row.arm], plain(row.label)
        _band(loss, curve.epochs, curve.loss, label, index)
        _band(iou, curve.epochs, curve.mean_iou_pooled, label, index)
        _band(foreground, curve.epochs, curve.foreground_iou, label, index)
    loss.set(title="training loss", xlabel="epoch of the arm", ylabel="cross-entropy")
    loss.set_yscale("log")
    for row in rows:
        if row.arm == "background":
            floor = row.scores.mean_iou_pooled
            iou.axhline(floor, color="grey", linestyle="--", label=f"{row.label} ({floor:.3f})")
    iou.set(title="evaluation", xlabel="epoch of the arm", ylabel="mean IoU (pooled)")
    figure.legend(*iou.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=7)
    foreground.set(title="foreground alone", xlabel="epoch of the arm", ylabel="IoU (pooled)")
    for axes in (loss, iou, foreground):
        whole_epochs(axes)
    save_figure(figure, path)


def draw_classes(rows: Sequence[Row], class_names: Sequence[str], path: Path) -> None:
    """IoU of each foreground class with its interval, a group of bars a class, a bar a row."""
    figure = new_figure(10, 5)
    axes = figure.subplots()
    width = 0.8 / len(rows)
    positions = np.arange(len(class_names) - 1)
    tints = {row.arm: colour(index) for index, row in enumerate(_trained(rows))}
    for index, row in enumerate(rows):
        heights = [value or 0.0 for value in row.scores.iou[1:]]
        tint = tints.get(row.arm, "lightgrey")
        bars = axes.bar(
            positions + index * width, heights, width, color=tint, label=plain(row.label)
        )
        axes.bar_label(bars, fmt="%.2f", fontsize=6)
        for x, interval in zip(positions + index * width, row.interval_iou[1:], strict=False):
            if interval:
                axes.vlines(x, *interval, color="dimgrey", linewidth=0.8)
    axes.set_xticks(positions + 0.4 - width / 2, [plain(name) for name in class_names[1:]])
    axes.set(ylabel="IoU (pooled)", title="foreground classes, last epoch, with 95 % intervals")
    figure.legend(loc="outside lower center", ncols=3, fontsize=7)
    axes.grid(axis="y", alpha=0.3)
    save_figure(figure, path)


def draw_fractions(rows: Sequence[Row], path: Path) -> None:
    """Pooled mean IoU by the number of training cases, a line an arm, with intervals."""
    figure = new_figure(7, 4.2)
    axes = figure.subplots()
    arms = list(dict.fromkeys(row.arm for row in _trained(rows)))
    for index, arm in enumerate(arms):
        mine = sorted((row for row in rows if row.arm == arm), key=lambda row: row.training_cases)
        cases = [row.training_cases for row in mine]
        heights = [row.scores.mean_iou_pooled for row in mine]
        axes.plot(cases, heights, ".-", color=colour(index), label=plain(mine[0].label))
        for x, row in zip(cases, mine, strict=True):
            if row.interval_pooled:
                axes.vlines(x, *row.interval_pooled, color=colour(index), alpha=0.4)
    axes.set_xscale("log")
    axes.set(xlabel="training cases", ylabel="mean IoU (pooled)", title="how few cases suffice")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, loc="lower right")
    save_figure(figure, path)


def _trained(rows: Sequence[Row]) -> list[Row]:
    """Rows that have epochs: no baselines, and nothing that somebody added without them."""
    return [row for row in rows if row.arm not in BASELINES and row.epochs]


def _band(axes: Axes, epochs: Sequence[int], band: Band, label: str, index: int) -> None:
    mean, low, high = (
        np.array([np.nan if value is None else value for value in values])
        for values in (band.mean, band.low, band.high)
    )
    axes.plot(epochs, mean, ".-", color=colour(index), label=label)
    if (high > low).any():
        axes.fill_between(epochs, low, high, color=colour(index), alpha=0.15)
