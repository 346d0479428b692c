"""Folds x seeds through the command: every pooled figure is of the summed matrices."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from tomolift import ops
from tomolift.data import open_cache
from tomolift.training import cli


@pytest.fixture(scope="module")
def finished(tiny_task: Path, tiny_profile: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("folds")
    arguments = [
        "reproduce",
        *("--profile", str(tiny_profile)),
        *("--data", str(tiny_task)),
        *("--arms", "random"),
        *("--folds", "2", "--seeds", "2", "--epochs", "1"),
        *("--out", str(out)),
    ]
    assert cli.main(arguments) == 0
    return out


def report(out: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((out / "report.json").read_text())
    return values


def row(out: Path, arm: str) -> dict[str, Any]:
    (found,) = [each for each in report(out)["table"] if each["arm"] == arm]
    return found


def test_every_fold_is_run_with_every_seed(finished: Path) -> None:
    names = sorted(folder.name.rsplit("-", 1)[0] for folder in finished.glob("runs/*"))
    assert names == [f"random-fold{fold}-seed{seed}" for fold in range(2) for seed in range(2)]
    assert sorted(row(finished, "random")["runs"]) == sorted(
        folder.name for folder in finished.glob("runs/*")
    )


def test_an_arms_figures_are_of_the_matrices_summed_over_folds(finished: Path) -> None:
    pooled = {seed: torch.zeros(3, 3, dtype=torch.int64) for seed in range(2)}
    for folder in finished.glob("runs/*"):
        stored = json.loads((folder / "run.json").read_text())
        for matrix in json.loads((folder / "result.json").read_text())["matrices"].values():
            pooled[stored["seed"]] += torch.tensor(matrix)
    found = row(finished, "random")
    for each in found["by_seed"]:
        iou = ops.iou(pooled[each["seed"]])
        assert each["mean_iou_pooled"] == pytest.approx(float(iou.nanmean()))
        assert list(each["iou"].values()) == pytest.approx(iou.tolist())
    mean = sum(each["mean_iou_pooled"] for each in found["by_seed"]) / 2
    assert found["mean_iou_pooled"] == pytest.approx(mean)
    assert found["confusion"] == (pooled[0] + pooled[1]).tolist()


def test_the_background_row_is_of_the_cases_of_all_folds(finished: Path) -> None:
    cache = open_cache(finished / "cache")
    parts = json.loads((finished / "split.json").read_text())["parts"][:2]
    cases = [case for part in parts for case in part]
    voxels = sum(cache.labels(case).size for case in cases)
    background = sum(int((cache.labels(case) == 0).sum()) for case in cases)
    found = row(finished, "background")
    assert found["iou"]["background"] == pytest.approx(background / voxels)
    assert report(finished)["cases"] == sorted(cases)


def test_baselines_and_arms_stand_on_the_same_voxels_in_per_case_csv(finished: Path) -> None:
    voxels: dict[str, set[tuple[str, ...]]] = {}
    with (finished / "per_case.csv").open(newline="") as stream:
        for line in csv.DictReader(stream):
            where = (line["seed"], line["fold"], line["case"], line["class"], line["voxels"])
            voxels.setdefault(line["arm"], set()).add(where)
    assert set(voxels) == {"background", "mean-mask", "random"}
    assert voxels["background"] == voxels["mean-mask"] == voxels["random"]


def test_curves_span_all_runs_and_the_cases_they_learned_from_are_counted(finished: Path) -> None:
    (curve,) = report(finished)["learning_curves"]
    assert curve["runs"] == 4
    assert curve["epochs"] == [0, 1]
    assert curve["loss"]["low"][1] < curve["loss"]["high"][1]
    assert row(finished, "random")["training_cases"] == 4


def test_compare_makes_the_very_report_from_the_tables_alone(
    finished: Path, tmp_path: Path
) -> None:
    for name in ("per_case.csv", "epochs.csv", "provenance.json"):
        shutil.copy(finished / name, tmp_path)
    assert cli.main(["compare", str(tmp_path)]) == 0
    assert (tmp_path / "report.json").read_bytes() == (finished / "report.json").read_bytes()
    text = (finished / "report.md").read_text().replace("![overlays](figures/overlays.png)\n", "")
    assert (tmp_path / "report.md").read_text() == text


def test_columns_that_a_run_adds_to_its_cases_are_taken_along(
    finished: Path, tiny_task: Path, tiny_profile: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    run = next(iter(out.glob("runs/random-fold0-seed0-*")))
    lines = (run / "per_case.csv").read_text().splitlines()
    further = [f"{line},{'hd95_mm' if index == 0 else index}" for index, line in enumerate(lines)]
    (run / "per_case.csv").write_text("\n".join(further) + "\n")
    again = ["reproduce", "--profile", str(tiny_profile), "--data", str(tiny_task)]
    again += ["--arms", "random", "--folds", "2", "--seeds", "2", "--epochs", "1"]
    assert cli.main([*again, "--out", str(out)]) == 0
    with (out / "per_case.csv").open(newline="") as stream:
        distances = [line["hd95_mm"] for line in csv.DictReader(stream) if line["run"] == run.name]
    assert distances == [str(index) for index in range(1, len(lines))]
