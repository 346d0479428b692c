"""What a reader must know before believing the figures, in sentences."""

from __future__ import annotations

from ..comparison import BASELINES, Analysis

# Coverage of the 95 % interval of a difference of pooled IoU in simulated comparisons with 3, 12
# and 40 cases; tests/test_statistics_simulated.py holds the first and the last.
_COVERAGE = "those from 3 cases hold the truth 74 times of 100, from 12 cases 90, from 40 cases 93"
# Below it, the measured coverage falls short by more than three in a hundred.
_FEW_CASES = 40


def remarks(analysis: Analysis) -> list[str]:
    """About Table 1: the floor, the metric, collapsed arms, excluded cases."""
    names = analysis.class_names
    lines = []
    excluded: list[str] = []
    for row in analysis.rows:
        if row.arm == "background":
            lines.append(
                f"Predicting background everywhere scores {row.scores.mean_iou_pooled:.4f} pooled "
                f"and {row.scores.mean_iou_per_case:.4f} as a mean over cases: that is the floor, "
                "not zero. The paper's floor is 0.3325. Only the IoU of "
                f"{' and '.join(names[1:])} says what was learned."
            )
            counts = zip(names, row.scores.excluded, strict=True)
            excluded = [f"{name} in {count}" for name, count in counts if count]
    lines.append(
        "Mean IoU (pooled) is the mean over all classes, background included, of the IoU of one "
        "confusion matrix summed over every voxel of the evaluation cases of all folds; the mean "
        "over seeds is shown. Every figure is the last epoch's: no checkpoint is chosen by its "
        "evaluation."
    )
    for row in analysis.rows:
        if row.arm not in BASELINES and row.scores.collapsed:
            lines.append(f"**{row.label} predicts only background**: it learned nothing.")
    if excluded:
        lines.append(
            "A case's mean IoU leaves out a class that it neither has nor is predicted to have. "
            f"Cases without a class: {', '.join(excluded)}."
        )
    return [*lines, _interval_remark(analysis)]


def contrast_remarks(analysis: Analysis) -> list[str]:
    """About the contrasts: what p means, and what this many folds, seeds and cases cannot show."""
    outcomes = analysis.contrasts
    exact = all(outcome.sign_flip.exact for outcome in outcomes)
    lines = [
        "p: if the two arms' scores could be exchanged case by case, a mean difference at least "
        "as large would come about in that share of "
        f"{'all' if exact else 'random'} assignments of signs to the cases (sign-flip test, "
        f"two-sided). Holm's p is corrected for the {len(outcomes)} contrasts, which depend on the "
        'arms\' names alone and were declared before any of them was trained; the "best 3D arm" '
        "is the paper's, averaging, not the one that came out best here.",
        "p speaks of these trained networks on cases like these. Whether trainings with other "
        "cases, initialisations and orders would agree is what the interval, which draws seeds "
        "too, and the fold test (Nadeau and Bengio's corrected t) are for.",
    ]
    smallest = max(outcome.sign_flip.smallest for outcome in outcomes)
    if smallest > 0.05 / len(outcomes):
        cases = min(outcome.cases for outcome in outcomes)
        lines.append(
            f"{cases} cases cannot give a p below {smallest:.2g}, whatever the arms do; after "
            f"Holm's correction nothing here can be called significant at 0.05 unless that is "
            "small enough."
        )
    if len(analysis.folds) == 1:
        lines.append(
            "One fold: every network learned from the same training cases, so nothing here shows "
            "what other training cases would have changed, and there is no fold test."
        )
    if len(analysis.seeds) == 1:
        lines.append(
            "One seed: what another initialisation and order of the batches would have changed is "
            "in no interval and in no p."
        )
    return lines


def _interval_remark(analysis: Analysis) -> str:
    if len(analysis.cases) < 2:
        return "A single case was evaluated: there is nothing to draw an interval from."
    over = "cases, then of the seeds within each fold" if len(analysis.seeds) > 1 else "cases"
    line = f"95 % intervals: percentiles over 10,000 resamples of the {over}."
    if len(analysis.cases) < _FEW_CASES:
        line += (
            f" From few cases ({len(analysis.cases)} here) they are too narrow: in simulated "
            f"comparisons {_COVERAGE}."
        )
    return line
