"""What a contrast came to: difference, interval, p-values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..statistics import (
    FoldTest,
    SignFlip,
    corrected_fold_test,
    holm,
    mean_iou,
    mean_of_present,
    sign_flip_test,
)
from ._cases import CaseTable
from ._contrasts import Contrast
from ._resamples import Interval, Resamples, interval_of


@dataclass(frozen=True, kw_only=True)
class ContrastOutcome:
    """A contrast's difference, first arm minus second.

    Attributes:
        contrast: which arms, and why.
        difference_pooled: of pooled mean IoU, mean over seeds.
        interval_pooled: its bootstrap interval; None for a single case.
        difference_per_case: mean over cases of the difference of the case's mean IoU.
        interval_per_case: its bootstrap interval.
        cases: how many cases both arms have a score of.
        cases_better: in how many of them the first arm is ahead.
        sign_flip: test of the per-case differences, each the mean over seeds.
        p_holm: its p-value, corrected over all declared contrasts.
        fold_test: Nadeau and Bengio's test of the pooled differences of the folds; None with
            fewer than two folds.
    """

    contrast: Contrast
    difference_pooled: float
    interval_pooled: Interval | None
    difference_per_case: float
    interval_per_case: Interval | None
    cases: int
    cases_better: int
    sign_flip: SignFlip
    p_holm: float
    fold_test: FoldTest | None

    def to_json(self) -> dict[str, Any]:
        """As report.json holds it."""
        values = asdict(self)
        return {**values.pop("contrast"), **values}


def contrast_outcomes(
    table: CaseTable,
    contrasts: Sequence[Contrast],
    resamples: Resamples | None,
    *,
    training_cases: Mapping[str, float],
) -> list[ContrastOutcome]:
    """Test every contrast, and correct for their number.

    Args:
        table: the paired cases.
        contrasts: between arms of the table.
        resamples: of the table.
        training_cases: arm -> how many cases a run of it learns from, mean over folds.
    """
    differences = [_case_differences(table, contrast) for contrast in contrasts]
    flips = [sign_flip_test(each) for each in differences]
    corrected = holm([flip.p_value for flip in flips])
    return [
        ContrastOutcome(
            contrast=contrast,
            difference_pooled=float(_pooled(table, contrast, slice(None))),
            interval_pooled=_interval(table, contrast, resamples.pooled if resamples else None),
            difference_per_case=float(by_case.mean()),
            interval_per_case=_interval(table, contrast, resamples.per_case if resamples else None),
            cases=by_case.size,
            cases_better=int((by_case > 0).sum()),
            sign_flip=flip,
            p_holm=p_holm,
            fold_test=_across_folds(table, contrast, training_cases.get(contrast.first)),
        )
        for contrast, by_case, flip, p_holm in zip(
            contrasts, differences, flips, corrected, strict=True
        )
    ]


def _case_differences(table: CaseTable, contrast: Contrast) -> NDArray[np.float64]:
    """(cases,) first minus second, each the mean over seeds; cases without a score left out."""
    first, second = (
        mean_of_present(mean_iou(table.of(arm)), axis=0)
        for arm in (contrast.first, contrast.second)
    )
    return (first - second)[~np.isnan(first - second)]


def _pooled(table: CaseTable, contrast: Contrast, cases: Any) -> np.float64:
    """Difference of pooled mean IoU over some cases, mean over seeds."""
    first, second = (
        mean_iou(table.of(arm)[:, cases].sum(1)).mean() for arm in (contrast.first, contrast.second)
    )
    return first - second


def _interval(
    table: CaseTable, contrast: Contrast, replicates: NDArray[np.float64] | None
) -> Interval | None:
    if replicates is None:
        return None
    first, second = (table.arms.index(arm) for arm in (contrast.first, contrast.second))
    return interval_of(replicates[:, first] - replicates[:, second])


def _across_folds(
    table: CaseTable, contrast: Contrast, training_cases: float | None
) -> FoldTest | None:
    folds = np.unique(table.folds)
    if training_cases is None or len(folds) < 2:
        return None
    differences = np.array([_pooled(table, contrast, table.folds == fold) for fold in folds])
    return corrected_fold_test(
        differences, num_test=len(table.cases) / len(folds), num_train=training_cases
    )
