"""progress.png: everything one looks at while a comparison runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from ._figure import colour, new_figure, plain, save_figure, whole_epochs

History = Sequence[Mapping[str, Any]]


def draw_progress(histories: Mapping[str, History], class_names: Sequence[str], path: Path) -> None:
    """Draw loss, IoU and predicted-voxel share per class, learning rate and seconds by epoch.

    Args:
        histories: run name -> its records, as in metrics.jsonl; one line a run.
        class_names: background first.
        path: the PNG, replaced atomically.
    """
    figure = new_figure(4 * (len(class_names) + 1), 6.6)
    axes = figure.subplots(2, len(class_names) + 1)
    _lines(axes[0, 0], histories, "loss", lambda record: record["loss"])
    axes[0, 0].set_yscale("log")
    for index, name in enumerate(class_names):
        _lines(axes[0, index + 1], histories, f"IoU {plain(name)}", _entry("iou", index))
        share = f"predicted share {plain(name)}"
        _lines(axes[1, index + 1], histories, share, _entry("predicted_share", index))
    _lines(axes[1, 0], histories, "seconds per epoch", lambda record: record.get("seconds"))
    rates = {record["learning_rate"] for h in histories.values() for record in h[1:]}
    rate = f"learning rate {', '.join(f'{value:g}' for value in sorted(rates))}" if rates else ""
    axes[1, 0].set_title(f"seconds per epoch ({rate})" if rate else "seconds per epoch")
    figure.legend(
        *axes[0, 1].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8
    )
    save_figure(figure, path)


def _entry(key: str, index: int) -> Callable[[Mapping[str, Any]], float | None]:
    return lambda record: record[key][index]


def _lines(
    axes: Axes,
    histories: Mapping[str, History],
    title: str,
    value: Callable[[Mapping[str, Any]], float | None],
) -> None:
    for index, (name, history) in enumerate(histories.items()):
        points = [(record["epoch"], value(record)) for record in history]
        points = [(epoch, y) for epoch, y in points if y is not None]
        epochs, values = zip(*points, strict=True) if points else ((), ())
        axes.plot(epochs, values, ".-", color=colour(index), label=name)
    axes.set_title(title)
    axes.set_xlabel("epoch")
    whole_epochs(axes)
