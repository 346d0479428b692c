"""per_case.csv as an array: every arm on every case under every seed, so that all is paired."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from ._lines import Line, read_lines

_COUNTS = ("true_positive", "false_positive", "false_negative")
_COLUMNS = ("arm", "fold", "seed", "case", "class", "voxels", *_COUNTS)


@dataclass(frozen=True, eq=False, kw_only=True)
class CaseTable:
    """Voxel counts of the runs that saw the same share of their training cases.

    Attributes:
        arms: rows of the table, in the file's order.
        seeds: ascending.
        cases: evaluated ones, sorted.
        folds: (cases,) the fold that evaluates the case.
        class_names: background first.
        counts: int64 (seeds, cases, arms, classes, 3): true and false positives, false negatives.
        confusion: arm -> int64 (classes, classes), rows truth, columns prediction, summed over
            cases and seeds; no entry for an arm whose lines do not have these columns filled.
    """

    arms: tuple[str, ...]
    seeds: tuple[int, ...]
    cases: tuple[str, ...]
    folds: NDArray[np.int64]
    class_names: tuple[str, ...]
    counts: NDArray[np.int64]
    confusion: dict[str, NDArray[np.int64]]

    def of(self, arm: str) -> NDArray[np.int64]:
        """An arm's counts, (seeds, cases, classes, 3)."""
        return self.counts[:, :, self.arms.index(arm)]


def read_case_tables(path: Path) -> dict[float, CaseTable]:
    """Read per_case.csv: one table for each share of the training cases, the largest first.

    Raises:
        ConfigError: a cell that is no count, a case in two folds, or an arm that lacks a case or
            a seed: paired statistics need them all.
    """
    by_fraction: dict[float, list[Line]] = {}
    for line in read_lines(path, columns=_COLUMNS):
        by_fraction.setdefault(line.fraction(), []).append(line)
    return {fraction: _table(by_fraction[fraction]) for fraction in sorted(by_fraction)[::-1]}


def _table(lines: Sequence[Line]) -> CaseTable:
    arms, class_names = _in_order(lines, "arm"), _in_order(lines, "class")
    seeds = tuple(sorted({line.whole("seed") for line in lines}))
    fold_of = _fold_of_case(lines)
    cases = tuple(sorted(fold_of))
    shape = (len(seeds), len(cases), len(arms), len(class_names))
    counts = np.full((*shape, len(_COUNTS)), -1, dtype=np.int64)
    places = [
        {name: index for index, name in enumerate(axis)} for axis in (cases, arms, class_names)
    ]
    for line in lines:
        case, arm, label = (
            place[line.cells[column]]
            for place, column in zip(places, ("case", "arm", "class"), strict=True)
        )
        cell = counts[seeds.index(line.whole("seed")), case, arm, label]
        if cell[0] >= 0:
            raise line.error("the same arm, seed, case and class stand on an earlier line")
        cell[:] = [line.whole(column) for column in _COUNTS]
        if line.whole("voxels") != cell[0] + cell[2]:
            raise line.error("voxels: expected true_positive + false_negative")
    missing = np.argwhere(counts[..., 0] < 0)
    if missing.size:
        seed, case, arm, label = missing[0]
        raise ConfigError(
            f"{lines[0].path}: arm {arms[arm]} has no {class_names[label]} of case {cases[case]} "
            f"with seed {seeds[seed]}; paired statistics need it: finish `tomolift reproduce`"
        )
    folds = np.array([fold_of[case] for case in cases], dtype=np.int64)
    return CaseTable(
        arms=arms,
        seeds=seeds,
        cases=cases,
        folds=folds,
        class_names=class_names,
        counts=counts,
        confusion=_confusion(lines, class_names),
    )


def _in_order(lines: Sequence[Line], column: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(line.cells[column] for line in lines))


def _fold_of_case(lines: Sequence[Line]) -> dict[str, int]:
    fold_of: dict[str, int] = {}
    for line in lines:
        case, fold = line.cells["case"], line.whole("fold")
        if fold_of.setdefault(case, fold) != fold:
            raise line.error(f"case {case} is in fold {fold} here and in {fold_of[case]} before")
    return fold_of


def _confusion(lines: Sequence[Line], class_names: tuple[str, ...]) -> dict[str, NDArray[np.int64]]:
    columns = [f"predicted_as_{name}" for name in class_names]
    if not set(columns) <= set(lines[0].cells):
        return {}
    shape = (len(class_names), len(class_names))
    matrices = {arm: np.zeros(shape, dtype=np.int64) for arm in _in_order(lines, "arm")}
    for line in lines:
        if not any(line.cells[column] for column in columns):
            matrices.pop(line.cells["arm"], None)
        elif line.cells["arm"] in matrices:
            truth = class_names.index(line.cells["class"])
            matrices[line.cells["arm"]][truth] += [line.whole(column) for column in columns]
    return matrices
