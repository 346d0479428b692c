"""The rows of Table 1: baselines first, then every arm, beside the paper's figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._arm_text import arm_named
from .._scores import Scores, mean_scores, score_counts
from ..errors import ConfigError
from ._cases import CaseTable
from ._histories import RunHistory
from ._resamples import Interval, Resamples, interval_of

BASELINES = {
    "background": "all background",
    "mean-mask": "commonest training label at each position",
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of the comparison.

    Attributes:
        arm: "background", "mean-mask", a name that `arm_named` knows, or what somebody added to
            per_case.csv.
        label: the row in words.
        scores: pooled over folds, mean over seeds.
        by_seed: seed -> its scores, pooled over folds.
        interval_pooled: of the pooled mean IoU; None for a single case.
        interval_per_case: of the mean over cases.
        interval_iou: of each class's pooled IoU.
        confusion: voxels summed over cases and seeds, rows truth, columns prediction; None where
            per_case.csv has no such columns for it.
        paper_mean_iou: the paper's figure, None where it has none.
        fraction: share of each fold's training cases that was learned from.
        epochs: training epochs of this arm itself.
        seconds_per_epoch: training time, evaluation not counted; mean over runs.
        training_cases: cases a run learns from, mean over folds; 0 where it learns from none.
        runs: folders of its runs, whose provenance the report has.
    """

    arm: str
    label: str
    scores: Scores
    by_seed: dict[int, Scores]
    interval_pooled: Interval | None = None
    interval_per_case: Interval | None = None
    interval_iou: tuple[Interval | None, ...] = ()
    confusion: tuple[tuple[int, ...], ...] | None = None
    paper_mean_iou: float | None = None
    fraction: float = 1.0
    epochs: int = 0
    seconds_per_epoch: float = 0.0
    training_cases: float = 0.0
    runs: tuple[str, ...] = ()

    def to_json(self, class_names: Sequence[str]) -> dict[str, Any]:
        """The row as report.json holds it."""
        scores = self.scores
        return {
            "arm": self.arm,
            "label": self.label,
            "fraction": self.fraction,
            "mean_iou_pooled": scores.mean_iou_pooled,
            "interval_pooled": self.interval_pooled,
            "mean_iou_per_case": scores.mean_iou_per_case,
            "interval_per_case": self.interval_per_case,
            "iou": dict(zip(class_names, scores.iou, strict=True)),
            "interval_iou": dict(zip(class_names, self.interval_iou, strict=False)),
            "dice": dict(zip(class_names, scores.dice, strict=True)),
            "excluded": dict(zip(class_names, scores.excluded, strict=True)),
            "by_seed": [
                {
                    "seed": seed,
                    "mean_iou_pooled": each.mean_iou_pooled,
                    "iou": dict(zip(class_names, each.iou, strict=True)),
                }
                for seed, each in self.by_seed.items()
            ],
            "confusion": self.confusion,
            "paper_mean_iou": self.paper_mean_iou,
            "epochs": self.epochs,
            "seconds_per_epoch": self.seconds_per_epoch,
            "training_cases": self.training_cases,
            "collapsed": scores.collapsed,
            "runs": list(self.runs),
        }


def make_rows(
    table: CaseTable,
    histories: Sequence[RunHistory],
    resamples: Resamples | None,
    *,
    fraction: float,
) -> list[Row]:
    """Every arm of a table, in its order.

    Args:
        table: the paired cases.
        histories: of every run; those of another fraction are left aside.
        resamples: of the table.
        fraction: share of the training cases that the table's runs learned from.
    """
    return [
        _row(
            table,
            arm,
            [h for h in histories if (h.arm, h.fraction) == (arm, fraction)],
            resamples,
            fraction,
        )
        for arm in table.arms
    ]


def _row(
    table: CaseTable,
    arm: str,
    runs: Sequence[RunHistory],
    resamples: Resamples | None,
    fraction: float,
) -> Row:
    by_seed = dict(zip(table.seeds, map(score_counts, table.of(arm)), strict=True))
    label, paper_mean_iou = _in_words(arm)
    intervals: dict[str, Any] = {}
    if resamples:
        index = table.arms.index(arm)
        intervals = {
            "interval_pooled": interval_of(resamples.pooled[:, index]),
            "interval_per_case": interval_of(resamples.per_case[:, index]),
            "interval_iou": tuple(map(interval_of, resamples.by_class[:, index].T)),
        }
    confusion = table.confusion.get(arm)
    return Row(
        arm=arm,
        label=label,
        scores=mean_scores(list(by_seed.values())),
        by_seed=by_seed,
        confusion=None if confusion is None else tuple(map(tuple, confusion.tolist())),
        paper_mean_iou=paper_mean_iou,
        fraction=fraction,
        epochs=max((run.last_epoch for run in runs), default=0),
        seconds_per_epoch=sum(run.seconds_per_epoch for run in runs) / max(len(runs), 1),
        training_cases=sum(run.training_cases for run in runs) / max(len(runs), 1),
        runs=tuple(run.run for run in runs),
        **intervals,
    )


def _in_words(arm: str) -> tuple[str, float | None]:
    if arm in BASELINES:
        return BASELINES[arm], None
    try:
        found = arm_named(arm)
    except ConfigError:
        return arm, None  # a row that somebody added to per_case.csv goes by its own name
    return found.label, found.paper_mean_iou
