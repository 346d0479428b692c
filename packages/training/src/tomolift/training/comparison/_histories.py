"""epochs.csv as histories: what every run looked like after every epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ._lines import Line, read_lines

_COLUMNS = (
    "arm", "fold", "seed", "run", "training_cases", "epoch", "loss", "seconds", "mean_iou_pooled",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One epoch of one run.

    Attributes:
        epoch: 0 is before any training.
        loss: of training; None before any.
        seconds: of training; None before any.
        mean_iou_pooled: over all classes.
        foreground_iou: mean pooled IoU over the foreground classes; None where all are excluded.
    """

    epoch: int
    loss: float | None
    seconds: float | None
    mean_iou_pooled: float | None
    foreground_iou: float | None


@dataclass(frozen=True, kw_only=True)
class RunHistory:
    """The epochs of one run, ascending.

    Attributes:
        run: its folder's name.
        arm: its row.
        fold: the part it is evaluated on.
        seed: of initialisation and order.
        fraction: share of the training cases that it sees.
        training_cases: how many these are.
        epochs: at least one.
    """

    run: str
    arm: str
    fold: int
    seed: int
    fraction: float
    training_cases: int
    epochs: tuple[Epoch, ...]

    @property
    def last_epoch(self) -> int:
        """How many epochs it was trained for."""
        return self.epochs[-1].epoch

    @property
    def seconds_per_epoch(self) -> float:
        """Mean training time of an epoch, evaluation not counted."""
        seconds = [epoch.seconds for epoch in self.epochs if epoch.seconds is not None]
        return sum(seconds) / max(len(seconds), 1)


def read_histories(path: Path, *, class_names: Sequence[str]) -> list[RunHistory]:
    """Read epochs.csv.

    Args:
        path: the file.
        class_names: background first; column `iou_NAME` holds a class's pooled IoU.

    Raises:
        ConfigError: a column missing, a cell that is no number, an epoch there twice.
    """
    foreground = [f"iou_{name}" for name in class_names[1:]]
    by_run: dict[tuple[str, int, int, float], list[Line]] = {}
    for line in read_lines(path, columns=(*_COLUMNS, *foreground)):
        key = (line.cells["arm"], line.whole("fold"), line.whole("seed"), line.fraction())
        by_run.setdefault(key, []).append(line)
    return [_history(lines, foreground) for lines in by_run.values()]


def _history(lines: Sequence[Line], foreground: Sequence[str]) -> RunHistory:
    by_epoch: dict[int, Line] = {}
    for line in lines:
        if by_epoch.setdefault(line.whole("epoch"), line) is not line:
            raise line.error(f"epoch {line.cells['epoch']} of this run stands on an earlier line")
    first = lines[0]
    return RunHistory(
        run=first.cells["run"],
        arm=first.cells["arm"],
        fold=first.whole("fold"),
        seed=first.whole("seed"),
        fraction=first.fraction(),
        training_cases=first.whole("training_cases"),
        epochs=tuple(_epoch(by_epoch[epoch], foreground) for epoch in sorted(by_epoch)),
    )


def _epoch(line: Line, foreground: Sequence[str]) -> Epoch:
    scores = [line.number_or_none(column) for column in foreground]
    present = [score for score in scores if score is not None]
    return Epoch(
        epoch=line.whole("epoch"),
        loss=line.number_or_none("loss"),
        seconds=line.number_or_none("seconds"),
        mean_iou_pooled=line.number_or_none("mean_iou_pooled"),
        foreground_iou=sum(present) / len(present) if present else None,
    )
