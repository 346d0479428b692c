"""Judge a finished run again from its weights, and measure its surfaces."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomolift import data

from .._files import write_json, write_text
from ..errors import ConfigError
from ..predict import FinishedRun, Trained, predict_volume
from ._case import CaseRow, case_rows, confusion
from ._folders import check_tolerance
from ._outcome import Evaluation, csv_text, score_cells
from ._surface import require_monai


@dataclass(frozen=True, kw_only=True)
class RunEvaluation:
    """What a run's weights say now, and where that differs from what the run counted.

    Attributes:
        run: which one.
        evaluation: scores, with surfaces.
        differing: case -> voxels that are counted elsewhere now; empty where all is equal.
    """

    run: FinishedRun
    evaluation: Evaluation
    differing: dict[str, int]


def evaluate_run(
    trained: Trained, *, tolerance_mm: float = 1.0, surface: bool = True
) -> RunEvaluation:
    """Predict a run's evaluation cases from its cache and count again.

    On the machine, threads and precision of the run every count is the run's own. Surfaces are
    those of the cached slices, the depth that was evaluated, in the spacing of each case.

    Args:
        trained: what `load_trained` returns.
        tolerance_mm: of NSD.
        surface: False leaves HD95 and NSD out.

    Raises:
        ConfigError: the cache beside the run is gone or was built anew from other volumes.
    """
    check_tolerance(tolerance_mm)
    if surface:
        require_monai()
    run = trained.run
    cache = _cache(run)
    rows: list[CaseRow] = []
    differing: dict[str, int] = {}
    for case, counted in run.matrices.items():
        truth, predicted = _labels(trained, cache, case)
        again = confusion(truth, predicted)[: len(counted), : len(counted)]
        moved = int(np.abs(again - counted).sum()) // 2  # out of one cell, into another
        if not np.array_equal(again, counted):
            differing[case] = max(moved, 1)
        rows += case_rows(
            case,
            truth,
            predicted,
            labels=range(len(run.label_names)),
            spacing_mm=cache[case].zooms_mm,
            tolerance_mm=tolerance_mm,
            surface=surface,
        )
    evaluation = Evaluation(
        rows=tuple(rows),
        class_names=run.label_names,
        surface=surface,
        tolerance_mm=tolerance_mm,
    )
    return RunEvaluation(run=run, evaluation=evaluation, differing=differing)


def write_surfaces(outcome: RunEvaluation) -> None:
    """Write evaluation.json into the run's folder, and its surfaces into the run's per_case.csv.

    The counts and overlaps of per_case.csv stay as the run wrote them.

    Raises:
        ConfigError: per_case.csv is missing or of other cases and classes.
    """
    evaluation, folder = outcome.evaluation, outcome.run.folder
    write_json(folder / "evaluation.json", evaluation.summary())
    path = folder / "per_case.csv"
    stored = _stored_rows(path)
    cells = {
        (row.case, evaluation.class_names[row.label]): score_cells(
            row, surface=evaluation.surface, tolerance_mm=evaluation.tolerance_mm
        )
        for row in evaluation.rows
    }
    if [(row.get("case"), row.get("class")) for row in stored] != list(cells):
        raise ConfigError(f"{path}: not the cases and classes of the run; train the run again")
    if evaluation.surface:
        merged = [{**row, **cells[row["case"], row["class"]]} for row in stored]
        write_text(path, csv_text(merged))


def _labels(
    trained: Trained, cache: data.Cache, case: str
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Truth and prediction of the slices that are no padding, both (D, H, W)."""
    valid = slice(*cache[case].valid_slices)
    volume = cache.volume(case, intensity=trained.run.intensity)[valid]
    return np.asarray(cache.labels(case)[valid]), predict_volume(trained, volume, overlap=0)


def _cache(run: FinishedRun) -> data.Cache:
    path = run.folder.parent.parent / "cache"
    cache = data.open_cache(path)
    if cache.fingerprint != run.trained_on.get("cache_fingerprint"):
        raise ConfigError(
            f"{path}: built from other volumes than run {run.folder.name} saw; train the run "
            "again, or judge its predictions with --predictions and --truth"
        )
    return cache


def _stored_rows(path: Path) -> list[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            return list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); train the run again") from error
