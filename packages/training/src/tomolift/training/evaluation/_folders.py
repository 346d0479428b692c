"""Judge a folder of anyone's predictions against a folder of truths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tomolift import data

from ..errors import ConfigError, PredictionError
from ._case import CaseRow, case_rows
from ._labels import check_same_grid, read_labels
from ._outcome import Evaluation
from ._pairs import pair_files
from ._rules import EMPTY_SET_RULES, ClassScores
from ._surface import require_monai


def evaluate_folders(
    predictions: Path,
    truth: Path,
    *,
    names: Sequence[str] = (),
    tolerance_mm: float = 1.0,
    surface: bool = True,
) -> Evaluation:
    """Judge every pair of label files of the same name.

    The classes are the values that occur in any file, and those that have a name. All voxels
    count. A pair that cannot be judged is told of in `failed` and the others are done.

    Args:
        predictions: a folder of .nii or .nii.gz label files.
        truth: likewise.
        names: of the classes 0, 1, ...; by default they are called "label 0", "label 1", ...
        tolerance_mm: how far apart two surfaces may lie and still agree (NSD).
        surface: False leaves HD95 and NSD out, and needs no MONAI.

    Raises:
        ConfigError: a tolerance that is no distance, a name twice, or no MONAI installed.
        PredictionError: a folder is missing or empty of pairs, or no pair could be judged.
    """
    check_tolerance(tolerance_mm)
    if len(set(names)) < len(names):
        raise ConfigError(f"names = {','.join(names)}: expected each once")
    if surface:
        require_monai()
    pairs = pair_files(predictions, truth)
    judged: list[list[CaseRow]] = []
    failed: dict[str, str] = {}
    for case, (true, predicted) in pairs.both.items():
        try:
            judged.append(_judge(case, true, predicted, tolerance_mm=tolerance_mm, surface=surface))
        except (data.BadInput, PredictionError) as error:
            failed[case] = str(error)
    if not judged:
        raise PredictionError(f"no pair could be judged, first: {failed[min(failed)]}")
    labels = sorted({row.label for rows in judged for row in rows} | set(range(len(names))))
    return Evaluation(
        rows=tuple(row for rows in judged for row in _completed(rows, labels, surface=surface)),
        class_names=tuple(_name(label, names) for label in labels),
        surface=surface,
        tolerance_mm=tolerance_mm,
        failed=failed,
        without_prediction=pairs.without_prediction,
        without_truth=pairs.without_truth,
    )


def check_tolerance(tolerance_mm: float) -> None:
    """Refuse what is no distance.

    Raises:
        ConfigError.
    """
    if not 0 <= tolerance_mm < float("inf"):
        raise ConfigError(f"tolerance_mm = {tolerance_mm}: expected 0 or more mm")


def _judge(
    case: str, true: Path, predicted: Path, *, tolerance_mm: float, surface: bool
) -> list[CaseRow]:
    labels, grid = read_labels(true)
    guess, guessed_grid = read_labels(predicted)
    check_same_grid(grid, guessed_grid, path=predicted)
    return case_rows(
        case,
        labels,
        guess,
        labels=sorted({0, *np.unique(labels).tolist(), *np.unique(guess).tolist()}),
        spacing_mm=grid.zooms_mm,
        tolerance_mm=tolerance_mm,
        surface=surface,
    )


def _completed(rows: list[CaseRow], labels: Sequence[int], *, surface: bool) -> list[CaseRow]:
    """A case's rows with those of the classes that only other cases have."""
    present = {row.label: row for row in rows}
    nothing = EMPTY_SET_RULES[True, True]
    absent = CaseRow(
        case=rows[0].case,
        label=0,
        counts=(0, 0, 0),
        scores=nothing if surface else ClassScores(iou=nothing.iou, dice=nothing.dice),
    )
    return [present.get(label) or replace(absent, label=label) for label in labels]


def _name(label: int, names: Sequence[str]) -> str:
    return names[label] if label < len(names) else f"label {label}"
