"""contrasts.png: every declared difference with its interval, on one axis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..comparison import ContrastOutcome
from ._figure import new_figure, plain, save_figure


def draw_contrasts(outcomes: Sequence[ContrastOutcome], path: Path) -> None:
    """A line a contrast: the difference of pooled mean IoU, its interval, Holm's p beside it.

    Args:
        outcomes: at least one.
        path: the PNG.
    """
    figure = new_figure(8, 0.9 + 0.4 * len(outcomes))
    axes = figure.subplots()
    names = []
    for index, outcome in enumerate(outcomes):
        if outcome.interval_pooled:
            axes.hlines(index, *outcome.interval_pooled, color="#0072B2", linewidth=2)
        axes.plot(outcome.difference_pooled, index, "o", color="#0072B2")
        contrast = outcome.contrast
        names.append(plain(f"{contrast.first} - {contrast.second}\np = {outcome.p_holm:.3g}"))
    axes.axvline(0, color="grey", linestyle="--")
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set(xlabel="difference of mean IoU (pooled), 95 % interval; p per case, Holm")
    axes.grid(axis="x", alpha=0.3)
    save_figure(figure, path)
