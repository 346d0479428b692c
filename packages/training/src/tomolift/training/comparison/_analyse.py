"""A comparison from its CSV files alone: everything that a report says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ._cases import CaseTable, read_case_tables
from ._contrasts import declared_contrasts
from ._histories import RunHistory, read_histories
from ._learning import LearningCurve, ReachedThreshold, epochs_to_threshold, learning_curves
from ._outcome import ContrastOutcome, contrast_outcomes
from ._resamples import CONFIDENCE, DRAWS, resample
from ._rows import Row, make_rows

# Raised when a key of report.json changes its meaning or goes.
SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """What a comparison amounts to.

    Attributes:
        class_names: background first.
        rows: Table 1, of the runs with the largest share of the training cases.
        fraction_rows: the rows of smaller shares, the largest first.
        contrasts: declared ones, with their outcomes.
        curves: one an arm and share.
        thresholds: one an arm, share and threshold.
        cases: evaluated ones, sorted.
        folds: that were run.
        seeds: that were run.
        provenance: of the runs, as `tomolift reproduce` kept it; None where the file is missing.
    """

    class_names: tuple[str, ...]
    rows: list[Row]
    fraction_rows: list[Row]
    contrasts: list[ContrastOutcome]
    curves: list[LearningCurve]
    thresholds: list[ReachedThreshold]
    cases: tuple[str, ...]
    folds: tuple[int, ...]
    seeds: tuple[int, ...]
    provenance: dict[str, Any] | None

    def to_json(self) -> dict[str, Any]:
        """As report.json holds it."""
        return {
            "schema": SCHEMA,
            "classes": list(self.class_names),
            "cases": list(self.cases),
            "folds": list(self.folds),
            "seeds": list(self.seeds),
            "bootstrap": {"confidence": CONFIDENCE, "draws": DRAWS},
            "table": [row.to_json(self.class_names) for row in self.rows],
            "fractions": [row.to_json(self.class_names) for row in self.fraction_rows],
            "contrasts": [outcome.to_json() for outcome in self.contrasts],
            "learning_curves": [curve.to_json() for curve in self.curves],
            "epochs_to_threshold": [each.to_json() for each in self.thresholds],
            "provenance": self.provenance,
        }


def analyse(out: Path) -> Analysis:
    """Read per_case.csv, epochs.csv and provenance.json of a comparison, and compute the rest.

    The outcome depends on the files' content alone: draws are seeded.

    Args:
        out: the comparison's folder.

    Raises:
        ConfigError: a file is missing or damaged; it names line and cell.
    """
    tables = read_case_tables(out / "per_case.csv")
    whole = max(tables)
    table = tables[whole]
    histories = read_histories(out / "epochs.csv", class_names=table.class_names)
    resamples = resample(table)
    rows = make_rows(table, histories, resamples, fraction=whole)
    return Analysis(
        class_names=table.class_names,
        rows=rows,
        fraction_rows=_fraction_rows(tables, histories),
        contrasts=contrast_outcomes(
            table,
            declared_contrasts(table.arms),
            resamples,
            training_cases={row.arm: row.training_cases for row in rows if row.training_cases},
        ),
        curves=learning_curves(histories),
        thresholds=epochs_to_threshold(histories),
        cases=table.cases,
        folds=tuple(sorted(set(table.folds.tolist()))),
        seeds=table.seeds,
        provenance=_provenance(out / "provenance.json"),
    )


def _fraction_rows(tables: dict[float, CaseTable], histories: Sequence[RunHistory]) -> list[Row]:
    return [
        row
        for fraction, table in tables.items()
        if fraction != max(tables)
        for row in make_rows(table, histories, resample(table), fraction=fraction)
    ]


def _provenance(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        facts = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: no JSON ({error}); `tomolift reproduce` writes it") from error
    if not isinstance(facts, dict):
        raise ConfigError(f"{path}: expected an object; `tomolift reproduce` writes it")
    return facts
