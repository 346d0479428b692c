"""An evaluation's table, its summary, and its files: per_case.csv, evaluation.json."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .._files import write_json, write_text
from .._scores import score_counts
from ._case import CaseRow

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What was judged, and what could not be.

    Attributes:
        rows: one a case and class, cases in order, classes in order within a case.
        class_names: of each row's label, in the order of the labels.
        surface: whether HD95 and NSD were measured.
        tolerance_mm: of NSD.
        failed: case -> why it could not be judged.
        without_prediction: cases with a truth alone; no row stands for them.
        without_truth: cases with a prediction alone.
    """

    rows: tuple[CaseRow, ...]
    class_names: tuple[str, ...]
    surface: bool
    tolerance_mm: float
    failed: dict[str, str] = field(default_factory=dict)
    without_prediction: tuple[str, ...] = ()
    without_truth: tuple[str, ...] = ()

    @property
    def cases(self) -> tuple[str, ...]:
        """The cases that were judged."""
        return tuple(dict.fromkeys(row.case for row in self.rows))

    def summary(self) -> dict[str, Any]:
        """The evaluation as JSON values; null is excluded, or a median that is no number of mm."""
        counts = np.array([row.counts for row in self.rows], np.int64)
        scores = score_counts(counts.reshape(len(self.cases), len(self.class_names), 3))
        return {
            "schema": SCHEMA,
            "cases": list(self.cases),
            "failed": self.failed,
            "without_prediction": list(self.without_prediction),
            "without_truth": list(self.without_truth),
            "nsd_tolerance_mm": self.tolerance_mm if self.surface else None,
            "mean_iou_pooled": scores.mean_iou_pooled,
            "mean_iou_per_case": scores.mean_iou_per_case,
            "classes": {
                name: {
                    "iou_pooled": scores.iou[index],
                    "dice_pooled": scores.dice[index],
                    **_over_cases(self.rows[index :: len(self.class_names)]),
                }
                for index, name in enumerate(self.class_names)
            },
        }

    def lines(self) -> list[str]:
        """The summary as a person reads it."""
        summary = self.summary()
        lines = [
            f"{len(self.cases)} cases: mean IoU {summary['mean_iou_pooled']:.4f} pooled, "
            f"{summary['mean_iou_per_case']:.4f} per case"
        ]
        for name, values in summary["classes"].items():
            words = [
                f"IoU {_figure(values['iou_pooled'])} pooled",
                f"Dice {_figure(values['dice_per_case'])} per case",
            ]
            if values["nsd"] is not None or values["hd95_infinite"]:
                words += [
                    f"HD95 {_figure(values['hd95_mm_median'])} mm (median)",
                    f"infinite in {values['hd95_infinite']}",
                    f"NSD {_figure(values['nsd'])} at {self.tolerance_mm:g} mm",
                ]
            lines.append(f"  {name}: {', '.join(words)}; excluded in {values['excluded']}")
        return lines


def score_cells(row: CaseRow, *, surface: bool, tolerance_mm: float) -> dict[str, float | str]:
    """A row's surface columns for per_case.csv: empty is excluded, `inf` has no distance."""
    if not surface:
        return {}
    measured = row.label != 0
    return {
        "hd95_mm": _cell(row.scores.hd95_mm),
        "nsd": _cell(row.scores.nsd),
        "nsd_tolerance_mm": tolerance_mm if measured else "",
    }


def write_evaluation(evaluation: Evaluation, folder: Path) -> None:
    """Write per_case.csv and evaluation.json into a folder, each whole or not at all."""
    names = dict(
        zip(sorted({row.label for row in evaluation.rows}), evaluation.class_names, strict=True)
    )
    cells = [
        {
            "case": row.case,
            "class": names[row.label],
            "voxels": row.voxels,
            "true_positive": row.counts[0],
            "false_positive": row.counts[1],
            "false_negative": row.counts[2],
            "iou": _cell(row.scores.iou),
            "dice": _cell(row.scores.dice),
            **score_cells(row, surface=evaluation.surface, tolerance_mm=evaluation.tolerance_mm),
        }
        for row in evaluation.rows
    ]
    write_text(folder / "per_case.csv", csv_text(cells))
    write_json(folder / "evaluation.json", evaluation.summary())


def csv_text(rows: Sequence[dict[str, Any]]) -> str:
    """Rows of the same columns as CSV, the columns' names first."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def _over_cases(rows: Sequence[CaseRow]) -> dict[str, Any]:
    """One class's figures over the cases that are not excluded."""
    distances = _present([row.scores.hd95_mm for row in rows])
    median = float(np.median(distances)) if distances else math.inf
    return {
        "iou_per_case": _mean([row.scores.iou for row in rows]),
        "dice_per_case": _mean([row.scores.dice for row in rows]),
        "hd95_mm_median": median if math.isfinite(median) else None,
        "hd95_infinite": sum(math.isinf(distance) for distance in distances),
        "nsd": _mean([row.scores.nsd for row in rows]),
        "excluded": sum(row.scores.iou is None for row in rows),
    }


def _present(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _mean(values: Sequence[float | None]) -> float | None:
    present = _present(values)
    return sum(present) / len(present) if present else None


def _cell(value: float | None) -> float | str:
    return "" if value is None else value


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
