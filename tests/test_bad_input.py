"""Bad input: one line that names the file and the cure, exit code 2, nothing half-written."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from torch import nn

from tomolift.data import open_cache
from tomolift.models import DilatedResNet18
from tomolift.training import cli


@pytest.fixture
def task(tiny_task: Path, tmp_path: Path) -> Path:
    """A copy of the tiny task to spoil."""
    copy = tmp_path / "Tiny"
    shutil.copytree(tiny_task, copy)
    return copy


def error_of(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must fail; return its one line of error."""
    assert cli.main(arguments) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert len(lines) == 1, lines
    return lines[0]


def reproduce(task: Path, weights: Path | str, out: Path, *more: str) -> list[str]:
    common = ["reproduce", "--profile", "hippocampus", "--epochs", "1", "--out", str(out)]
    return [*common, "--data", str(task), "--weights", str(weights), *more]


def test_a_missing_dataset_json(
    tmp_path: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    line = error_of(reproduce(folder, tiny_weights, tmp_path / "out"), capsys)
    assert "dataset.json" in line
    assert not (tmp_path / "out" / "cache" / "CACHE.json").exists()


def test_an_unknown_arm(task: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = task.parent / "out"
    line = error_of(reproduce(task, tiny_weights, out, "--arms", "2d", "best"), capsys)
    assert "'best'" in line
    assert "average" in line
    assert not out.exists()


def test_a_missing_weights_file(task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = error_of(reproduce(task, task / "none.pth", task.parent / "out"), capsys)
    assert "none.pth" in line
    assert not (task.parent / "out").exists()


def test_weights_of_another_architecture(task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = task / "other.pth"
    torch.save(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)).state_dict(), path)
    line = error_of(reproduce(task, path, task.parent / "out"), capsys)
    assert "other.pth" in line
    assert not (task.parent / "out").exists()


def test_a_truncated_pth(task: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = task / "half.pth"
    torch.save(DilatedResNet18(21).state_dict(), path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    line = error_of(reproduce(task, path, task.parent / "out"), capsys)
    assert "half.pth" in line
    assert not (task.parent / "out").exists()


def spoil_gzip(folder: Path) -> None:
    path = folder / "imagesTr" / "case_001.nii.gz"
    path.write_bytes(path.read_bytes()[:-200])


def spoil_label(folder: Path) -> None:
    _rewrite(folder / "labelsTr" / "case_001.nii.gz", lambda array: np.where(array == 2, 7, array))


def spoil_shape(folder: Path) -> None:
    _rewrite(folder / "labelsTr" / "case_001.nii.gz", lambda array: array[:-1])


def spoil_nan(folder: Path) -> None:
    def plant(array: np.ndarray) -> np.ndarray:
        floats = array.astype(np.float32)
        floats[3, 3, 3] = np.nan
        return floats

    _rewrite(folder / "imagesTr" / "case_001.nii.gz", plant)


def _rewrite(path: Path, change: object) -> None:
    volume = nib.load(path)
    array = change(np.asarray(volume.dataobj))  # type: ignore[operator]
    nib.save(nib.Nifti1Image(array.astype(array.dtype), volume.affine), path)


SPOILED = {
    "E_GZIP_TRUNCATED": spoil_gzip,
    "E_LABEL": spoil_label,
    "E_SHAPE": spoil_shape,
    "E_NONFINITE": spoil_nan,
}


@pytest.mark.parametrize("code", SPOILED)
def test_a_bad_volume_is_quarantined_with_its_code_and_the_rest_is_built(
    task: Path, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    SPOILED[code](task)
    out = task.parent / "cache"
    assert cli.main(["data", "verify", str(task)]) == 1
    captured = capsys.readouterr()
    assert code in captured.out + captured.err
    built = cli.main(["data", "build", str(task), str(out), "--depth", "12", "--workers", "1"])
    captured = capsys.readouterr()
    assert built == 2
    (line,) = [line for line in captured.err.splitlines() if "error:" in line]
    assert code in line
    assert "case_001.nii.gz" in line
    cache = open_cache(out)
    assert len(cache.cases) == 5
    assert code in cache.failed["case_001"]


@pytest.mark.parametrize("code", SPOILED)
def test_the_experiment_refuses_damaged_volumes_unless_told_to_skip_them(
    task: Path,
    tiny_weights: Path,
    tiny_profile: Path,
    code: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    SPOILED[code](task)
    out = task.parent / "out"
    arguments = ["reproduce", "--profile", str(tiny_profile), "--data", str(task)]
    arguments += ["--weights", str(tiny_weights), "--arms", "random", "--out", str(out)]
    line = error_of(arguments, capsys)
    assert "case_001" in line
    assert code in line
    assert "--skip-damaged" in line
    assert not (out / "runs").exists()
    assert not (out / "split.json").exists()
    if code != "E_LABEL":  # going on is the same whatever the damage
        return
    assert cli.main([*arguments, "--skip-damaged"]) == 0
    assert "case_001" in json.loads((out / "report.json").read_text())["provenance"]["failed"]


def test_a_dataset_json_that_is_not_json(
    task: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (task / "dataset.json").write_text("{'name':")
    line = error_of(reproduce(task, tiny_weights, task.parent / "out"), capsys)
    assert "dataset.json" in line


def test_a_file_that_only_looks_gzipped_is_quarantined(
    task: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (task / "imagesTr" / "case_001.nii.gz").write_bytes(gzip.compress(b"not a volume"))
    assert cli.main(["data", "verify", str(task)]) == 1
    assert "case_001" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--epochs", "0"),
        ("--cases", "-1"),
        ("--folds", "9"),
        ("--seeds", "0"),
        ("--learning-rate", "7"),
        ("--threads", "-2"),
        ("--profile", "fast"),
    ],
)
def test_an_argument_out_of_range(
    task: Path, tiny_weights: Path, option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = error_of(reproduce(task, tiny_weights, task.parent / "out", option, value), capsys)
    assert value.lstrip("-") in line
    assert not (task.parent / "out").exists()


def test_a_profile_cannot_choose_a_folder_outside_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = tmp_path / "sly.toml"
    profile.write_text("name = '../../etc/x'\n[data]\ntask = 'phantom'\n")
    line = error_of(["reproduce", "--profile", str(profile), "--dry-run"], capsys)
    assert "../../etc/x" in line
