"""What a comparison keeps for everyone: per_case.csv, epochs.csv and provenance.json.

Everything the report says is computed from these three, by `tomolift compare`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ._baselines import all_background, mean_training_mask
from ._files import write_json, write_text
from ._metrics import case_rows
from ._provenance import provenance
from ._result import RunResult
from ._run import Experiment
from ._split import nested_subset

Cells = dict[str, Any]


def write_tables(experiment: Experiment, results: Sequence[RunResult], out: Path) -> None:
    """Write the tables of finished runs into `out`.

    per_case.csv has a line a run, case and class, and both predictors that never look at an image
    under every seed, so that whatever is paired by (seed, case) is paired with them too. Its
    columns `predicted_as_NAME` are the class's line of the case's confusion matrix; columns that a
    run's own per_case.csv has beyond its counts are taken along. epochs.csv has a line a run and
    epoch.
    """
    class_names = experiment.cache.label_names
    per_case = [*_baseline_rows(experiment, results), *_result_rows(results, class_names)]
    write_text(out / "per_case.csv", _csv(per_case))
    write_text(out / "epochs.csv", _csv(_epoch_rows(results, class_names)))
    write_json(out / "provenance.json", provenance(experiment, results))


def _result_rows(results: Sequence[RunResult], class_names: Sequence[str]) -> Iterator[Cells]:
    for result in results:
        further = _further_columns(result)
        for row in _rows_with_confusion(result.matrices, class_names):
            known = {**_where(result), **row, "run": result.run.folder.name}
            extra = further.get((str(row["case"]), str(row["class"])), {})
            yield known | {column: cell for column, cell in extra.items() if column not in known}


def _baseline_rows(experiment: Experiment, results: Sequence[RunResult]) -> Iterator[Cells]:
    """Both baselines on every fold and under every seed, of the largest share of the cases."""
    whole = max(result.run.fraction for result in results)
    masks: dict[tuple[int, tuple[str, ...]], dict[str, Tensor]] = {}
    judged = sorted({(result.run.seed, result.run.fold) for result in results})
    for arm in ("background", "mean-mask"):
        for seed, fold in judged:
            evaluation = experiment.split.evaluation(fold)
            if arm == "background":
                matrices = all_background(experiment.cache, evaluation)
            else:
                everyone = experiment.split.training(fold)
                cases = nested_subset(everyone, whole, fold=fold, seed=seed)
                if (fold, cases) not in masks:
                    masks[fold, cases] = mean_training_mask(experiment.cache, cases, evaluation)
                matrices = masks[fold, cases]
            where = {"arm": arm, "fold": fold, "seed": seed, "fraction": whole}
            for row in _rows_with_confusion(matrices, experiment.cache.label_names):
                yield {**where, **row, "run": ""}


def _rows_with_confusion(
    matrices: Mapping[str, Tensor], class_names: Sequence[str]
) -> Iterator[Cells]:
    confusion = [line for matrix in matrices.values() for line in matrix.tolist()]
    for row, line in zip(case_rows(matrices, class_names), confusion, strict=True):
        named = zip(class_names, line, strict=True)
        yield row | {f"predicted_as_{name}": voxels for name, voxels in named}


def _epoch_rows(results: Sequence[RunResult], class_names: Sequence[str]) -> Iterator[Cells]:
    for result in results:
        run = result.run
        more = {"training_cases": len(run.training_cases), "run": run.folder.name}
        for record in result.history:
            yield {**_where(result), **more, **_flat(record, class_names)}


def _flat(record: Mapping[str, Any], class_names: Sequence[str]) -> Cells:
    """A record with a column a class where it has a value a class."""
    cells: Cells = {}
    for key, value in record.items():
        if isinstance(value, list | tuple):
            cells |= {f"{key}_{name}": v for name, v in zip(class_names, value, strict=True)}
        else:
            cells[key] = value
    return cells


def _where(result: RunResult) -> Cells:
    run = result.run
    return {"arm": run.arm_name, "fold": run.fold, "seed": run.seed, "fraction": run.fraction}


def _further_columns(result: RunResult) -> dict[tuple[str, str], Cells]:
    """(case, class) -> the cells of the run's own per_case.csv, surface distances for instance."""
    path = result.run.folder / "per_case.csv"
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as stream:
        lines = list(csv.DictReader(stream, restkey="", restval=""))
    return {(line.get("case", ""), line.get("class", "")): dict(line) for line in lines}


def _csv(rows: Sequence[Cells] | Iterator[Cells]) -> str:
    rows = list(rows)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()
