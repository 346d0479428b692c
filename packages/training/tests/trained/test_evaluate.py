"""`tomolift evaluate`: label files of anyone's, and a run again from its weights."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest

from tomolift.training import cli
from tomolift.training.evaluation import surface_scores

if TYPE_CHECKING:
    from conftest import Blobs


def write(path: Path, labels: np.ndarray, affine: np.ndarray | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(labels, np.eye(4) if affine is None else affine), path)


def cube(first: int, stop: int, label: int = 1) -> np.ndarray:
    labels = np.zeros((8, 8, 8), np.uint8)
    labels[2:6, 2:6, first:stop] = label
    return labels


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def judge(folder: Path, *more: str) -> int:
    words = ["--predictions", str(folder / "predicted"), "--truth", str(folder / "truth")]
    return cli.main(["evaluate", *words, "--no-surface", *more])


def test_folders_are_scored_by_file_name_into_csv_and_json(tmp_path: Path) -> None:
    write(tmp_path / "truth" / "a.nii.gz", cube(0, 4))
    write(tmp_path / "predicted" / "a.nii", cube(2, 6).astype(np.float32))
    write(tmp_path / "truth" / "b.nii.gz", cube(0, 4, label=2))
    write(tmp_path / "predicted" / "b.nii.gz", cube(0, 4, label=2))
    assert judge(tmp_path, "--names", "background,organ,core") == 0
    summary = json.loads((tmp_path / "predicted" / "evaluation.json").read_text())
    organ = summary["classes"]["organ"]
    assert organ["iou_pooled"] == pytest.approx(32 / 96)
    assert organ["dice_per_case"] == pytest.approx(0.5)
    assert organ["excluded"] == 1
    assert summary["classes"]["core"]["iou_per_case"] == 1.0
    rows = table(tmp_path / "predicted" / "per_case.csv")
    assert [(row["case"], row["class"]) for row in rows[:3]] == [
        ("a", "background"), ("a", "organ"), ("a", "core")
    ]  # fmt: skip
    assert [rows[1][key] for key in ("true_positive", "false_positive", "false_negative")] == [
        "32", "32", "32"
    ]  # fmt: skip


def test_the_order_of_the_stored_axes_is_no_difference(tmp_path: Path) -> None:
    labels, affine = cube(1, 4), np.diag([0.5, 2.0, 3.0, 1.0])
    flipped = affine.copy()
    flipped[0] = (-0.5, 0, 0, 0.5 * 7)
    write(tmp_path / "truth" / "a.nii.gz", labels, affine)
    write(tmp_path / "predicted" / "a.nii.gz", labels[::-1].copy(), flipped)
    assert judge(tmp_path) == 0
    summary = json.loads((tmp_path / "predicted" / "evaluation.json").read_text())
    assert summary["mean_iou_pooled"] == 1.0


@pytest.mark.parametrize(
    ("labels", "affine", "told"),
    [
        (np.zeros((8, 8, 7), np.uint8), np.eye(4), r"\(D, H, W\) is (7, 8, 8), the truth's"),
        (cube(0, 4), np.diag([1, 1, 1.5, 1]), "voxels 1.5 x 1 x 1 mm, the truth's 1 x 1 x 1 mm"),
        (cube(0, 4) * 0.5, np.eye(4), "holds 0.5, expected integers from 0 to 255"),
    ],
)
def test_a_pair_that_cannot_be_judged_is_told_and_the_others_are_judged(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    labels: np.ndarray,
    affine: np.ndarray,
    told: str,
) -> None:
    for case in "ab":
        write(tmp_path / "truth" / f"{case}.nii.gz", cube(0, 4))
        write(tmp_path / "predicted" / f"{case}.nii.gz", cube(0, 4))
    write(tmp_path / "predicted" / "b.nii.gz", labels, affine)
    assert judge(tmp_path) == 2
    assert told.replace("\\", "") in capsys.readouterr().err
    summary = json.loads((tmp_path / "predicted" / "evaluation.json").read_text())
    assert summary["cases"] == ["a"]
    assert list(summary["failed"]) == ["b"]


def test_a_truth_without_a_prediction_is_told_and_is_no_success(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for case in "ab":
        write(tmp_path / "truth" / f"{case}.nii.gz", cube(0, 4))
    write(tmp_path / "predicted" / "a.nii.gz", cube(0, 4))
    assert judge(tmp_path) == 2
    assert "1 cases have no prediction: b" in capsys.readouterr().err


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_a_run_judged_again_from_its_weights_is_what_it_counted(
    blobs: Blobs, spatial_dims: int
) -> None:
    run_dir = blobs.run_dir(spatial_dims)
    before = (run_dir / "per_case.csv").read_bytes()
    assert cli.main(["evaluate", str(run_dir), "--no-surface"]) == 0
    stored = json.loads((run_dir / "evaluation.json").read_text())
    last = json.loads((run_dir / "result.json").read_text())["history"][-1]
    assert stored["mean_iou_pooled"] == pytest.approx(last["mean_iou_pooled"])
    assert (run_dir / "per_case.csv").read_bytes() == before


def test_a_run_whose_counts_are_others_is_told_by_case_and_status(
    blobs: Blobs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = blobs.run_dir(2)
    (tmp_path / "cache").symlink_to(blobs.cache.path)
    run_dir = tmp_path / "runs" / source.name
    shutil.copytree(source, run_dir)
    result = json.loads((run_dir / "result.json").read_text())
    result["matrices"]["case_1"][0][0] -= 3
    result["matrices"]["case_1"][0][1] += 3
    (run_dir / "result.json").write_text(json.dumps(result))
    assert cli.main(["evaluate", str(run_dir), "--no-surface"]) == 1
    assert "case_1: 3 voxels are counted elsewhere" in capsys.readouterr().err


def test_surfaces_enter_the_runs_table_beside_its_counts(blobs: Blobs, tmp_path: Path) -> None:
    pytest.importorskip("monai")
    pytest.importorskip("scipy")
    source = blobs.run_dir(3)
    (tmp_path / "cache").symlink_to(blobs.cache.path)
    run_dir = tmp_path / "runs" / source.name
    shutil.copytree(source, run_dir)
    before = table(run_dir / "per_case.csv")
    assert cli.main(["evaluate", str(run_dir), "--tolerance-mm", "2"]) == 0
    after = table(run_dir / "per_case.csv")
    assert [{key: row[key] for key in before[0]} for row in after] == before
    assert {row["nsd"] for row in after if row["class"] == "background"} == {""}
    (organ,) = [row for row in after if (row["case"], row["class"]) == ("case_1", "organ")]
    images = tmp_path / "labels"
    command = ["predict", str(source), str(blobs.image("case_1")), "--out", str(images)]
    assert cli.main([*command, "--overlap", "0"]) == 0
    truth, predicted = (
        np.asarray(nib.load(path).dataobj).T == 1
        for path in (blobs.truth("case_1"), images / "case_1.nii.gz")
    )
    expected = surface_scores(truth, predicted, spacing_mm=(2.5, 0.7, 0.8), tolerance_mm=2.0)
    assert (float(organ["hd95_mm"]), float(organ["nsd"])) == pytest.approx(expected, rel=1e-5)


def test_neither_a_run_nor_two_folders_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evaluate"]) == 2
    assert "give RUN_DIR, or both --predictions DIR and --truth DIR" in capsys.readouterr().err
