"""The rows of Table 1: baselines first, then every arm, beside the paper's figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .._arm_text import arm_named
from .._baselines import all_background, mean_training_mask
from .._metrics import Scores, mean_scores, score
from .._result import RunResult
from .._run import Experiment


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of the comparison.

    Attributes:
        arm: "background", "mean-mask" or a name of tomolift.training.ARMS.
        label: the row in words.
        scores: pooled over folds, mean over seeds.
        paper_mean_iou: the paper's figure, None where it has none.
        epochs: training epochs of this arm itself.
        seconds_per_epoch: training time, evaluation not counted; mean over runs.
    """

    arm: str
    label: str
    scores: Scores
    paper_mean_iou: float | None
    epochs: int = 0
    seconds_per_epoch: float = 0.0

    def to_json(self, class_names: Sequence[str]) -> dict[str, Any]:
        """The row as report.json holds it."""
        scores = self.scores
        return {
            "arm": self.arm,
            "label": self.label,
            "mean_iou_pooled": scores.mean_iou_pooled,
            "mean_iou_per_case": scores.mean_iou_per_case,
            "iou": dict(zip(class_names, scores.iou, strict=True)),
            "dice": dict(zip(class_names, scores.dice, strict=True)),
            "excluded": dict(zip(class_names, scores.excluded, strict=True)),
            "paper_mean_iou": self.paper_mean_iou,
            "epochs": self.epochs,
            "seconds_per_epoch": self.seconds_per_epoch,
            "collapsed": scores.collapsed,
        }


def make_table(experiment: Experiment, results: Sequence[RunResult]) -> list[Row]:
    """Every row: the two predictors that never look, then the arms in the profile's order."""
    comparison = experiment.config.comparison
    background: dict[str, Tensor] = {}
    mean_mask: dict[str, Tensor] = {}
    for fold in range(comparison.folds):
        training, evaluation = experiment.split.training(fold), experiment.split.evaluation(fold)
        background |= all_background(experiment.cache, evaluation)
        mean_mask |= mean_training_mask(experiment.cache, training, evaluation)
    rows = [
        _baseline("background", "all background", background),
        _baseline("mean-mask", "commonest training label at each position", mean_mask),
    ]
    return rows + [_arm_row(arm, results) for arm in comparison.arms]


def _baseline(arm: str, label: str, matrices: Mapping[str, Tensor]) -> Row:
    scores = score(list(matrices.values()))
    return Row(arm=arm, label=label, scores=scores, paper_mean_iou=None)


def _arm_row(arm: str, results: Sequence[RunResult]) -> Row:
    mine = [result for result in results if result.run.arm_name == arm]
    by_seed = [
        score([m for result in mine if result.run.seed == seed for m in result.matrices.values()])
        for seed in sorted({result.run.seed for result in mine})
    ]
    return Row(
        arm=arm,
        label=arm_named(arm).label,
        scores=mean_scores(by_seed),
        paper_mean_iou=arm_named(arm).paper_mean_iou,
        epochs=mine[0].run.epochs,
        seconds_per_epoch=sum(result.seconds_per_epoch for result in mine) / len(mine),
    )
