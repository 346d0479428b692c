"""Predictions: what evaluation counted, on the image's own grid."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest
import torch

from tomolift import data
from tomolift.training import ConfigError, PredictionError, cli
from tomolift.training._loss import low_resolution_logits
from tomolift.training.predict import load_trained, predict_volume, read_finished

if TYPE_CHECKING:
    from conftest import Blobs


def stored(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


def confusion(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return np.bincount((3 * truth.astype(int) + predicted).ravel(), minlength=9).reshape(3, 3)


def predict(run_dir: Path, *images: Path, out: Path, more: tuple[str, ...] = ()) -> int:
    words = ["predict", str(run_dir), *map(str, images), "--out", str(out), *more]
    return cli.main(words)


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_predictions_of_evaluation_cases_are_what_evaluation_counted(
    blobs: Blobs, tmp_path: Path, spatial_dims: int
) -> None:
    run_dir = blobs.run_dir(spatial_dims)
    counted = json.loads((run_dir / "result.json").read_text())["matrices"]
    images = [blobs.image(case) for case in counted]
    assert predict(run_dir, *images, out=tmp_path, more=("--overlap", "0")) == 0
    for case, matrix in counted.items():
        truth = stored(blobs.truth(case))
        predicted = stored(tmp_path / f"{case}.nii.gz")
        first = max((truth.shape[2] - 12) // 2, 0)  # evaluation saw the middle 12 slices
        evaluated = np.s_[:, :, first : first + 12]
        assert confusion(truth[evaluated], predicted[evaluated]).tolist() == matrix, case
        assert len(np.unique(predicted)) > 1, "one class alone: the test could not fail"


def test_the_label_file_lies_where_its_oblique_image_lies(blobs: Blobs, tmp_path: Path) -> None:
    assert predict(blobs.run_dir(2), blobs.image("case_4"), out=tmp_path) == 0
    image, labels = nib.load(blobs.image("case_4")), nib.load(tmp_path / "case_4.nii.gz")
    assert labels.shape == image.shape
    assert np.array_equal(labels.affine, image.affine)
    assert nib.aff2axcodes(labels.affine) == ("L", "P", "S")
    for field in ("qform_code", "sform_code", "xyzt_units"):
        assert labels.header[field] == image.header[field]


def test_overlapping_windows_keep_each_slice_from_the_window_it_is_most_central_in(
    blobs: Blobs,
) -> None:
    """29 slices, windows of 12 every 6: written out, and each run by hand."""
    trained = load_trained(blobs.run_dir(3))
    volume, _ = data.read_volume(blobs.image("case_2"), intensity=trained.run.intensity)
    predicted = predict_volume(trained, volume, overlap=0.5)
    plan = {0: (0, 5), 2: (5, 11), 8: (11, 17), 14: (17, 23), 17: (23, 29)}
    for start, (first, stop) in plan.items():
        window = torch.tensor(volume[start : start + 12])[None, None]
        with torch.inference_mode():
            low = low_resolution_logits(trained.network, window, zoom=1.5, compute=trained.compute)
        labels = full_resolution(low)[0].argmax(0).numpy()
        assert np.array_equal(predicted[first:stop], labels[first - start : stop - start]), start


def full_resolution(low: torch.Tensor) -> torch.Tensor:
    """Voxel i of (12, 32, 24), magnified by 1.5, read at i (Z - 1) / (n - 1) / 8, clamped."""
    result = low
    for axis, length in zip((2, 3, 4), (12, 32, 24), strict=True):
        magnified = np.arange(length) * (round(length * 1.5) - 1) / (length - 1)
        position = torch.tensor(magnified / 8).clamp(max=low.shape[axis] - 1)
        lower = position.long()
        upper = (lower + 1).clamp(max=low.shape[axis] - 1)
        weight = (position - lower).float()
        weight = weight.reshape([-1 if axis == other else 1 for other in range(5)])
        result = torch.lerp(
            result.index_select(axis, lower), result.index_select(axis, upper), weight
        )
    return result


def test_a_deep_volume_costs_the_network_one_window_at_a_time(
    blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = load_trained(blobs.run_dir(3))
    shapes = []
    hook = trained.network.register_forward_pre_hook(lambda _, args: shapes.append(args[0].shape))
    predict_volume(trained, np.random.default_rng(0).random((40, 16, 16)).astype(np.float32))
    hook.remove()
    assert len(shapes) > 3
    assert {tuple(shape) for shape in shapes} == {(1, 1, 18, 24, 24)}  # magnified by 1.5


def test_a_damaged_image_costs_one_line_and_the_others_are_labelled(
    blobs: Blobs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = tmp_path / "damaged.nii.gz"
    damaged.write_bytes(blobs.image("case_1").read_bytes()[:-100])
    out = tmp_path / "out"
    status = predict(
        blobs.run_dir(2), damaged, tmp_path / "absent.nii.gz", blobs.image("case_1"), out=out
    )
    assert status == 2
    assert [path.name for path in out.iterdir()] == ["case_1.nii.gz"]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert "damaged.nii.gz" in lines[0]
    assert "E_GZIP" in lines[0]
    assert "absent.nii.gz" in lines[1]
    assert "E_MISSING" in lines[1]
    assert lines[2] == "1 of 3 images labelled"


def test_labels_that_are_there_are_replaced_only_when_asked(
    blobs: Blobs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, target = blobs.image("case_1"), tmp_path / "case_1.nii.gz"
    target.write_bytes(b"mine")
    assert predict(blobs.run_dir(2), image, out=tmp_path) == 2
    assert "is there already; pass --overwrite" in capsys.readouterr().err
    assert target.read_bytes() == b"mine"
    assert predict(blobs.run_dir(2), image, out=tmp_path, more=("--overwrite",)) == 0
    assert stored(target).shape == stored(image).shape


def test_an_image_is_never_replaced_by_its_own_labels(
    blobs: Blobs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / "case_1.nii.gz"
    shutil.copy(blobs.image("case_1"), image)
    before = image.read_bytes()
    assert predict(blobs.run_dir(2), image, out=tmp_path, more=("--overwrite",)) == 2
    assert "is the image itself" in capsys.readouterr().err
    assert image.read_bytes() == before


def test_two_images_of_one_name_are_refused_before_anything_is_done(
    blobs: Blobs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    twice = (blobs.image("case_1"), blobs.truth("case_1"))
    assert predict(blobs.run_dir(2), *twice, out=tmp_path / "out") == 2
    assert "two files are called case_1.nii.gz" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_intensity_is_the_training_cases_not_the_images(blobs: Blobs) -> None:
    intensity = read_finished(blobs.run_dir(3)).intensity
    expected = data.fit_intensity("foreground:zscore", blobs.cache, ["case_3", "case_4", "case_5"])
    assert intensity == expected


def test_weights_that_changed_since_training_are_refused(blobs: Blobs, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(blobs.run_dir(2), copy)
    weights = copy / "network.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ConfigError, match="changed since the run wrote it; train the run again"):
        load_trained(copy)


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("result.json", None, "no finished run .No such file"),
        ("run.json", "{", "no finished run"),
        ("run.json", "[]", "cannot be used .TypeError"),
        ("run.json", "{}", "cannot be used .KeyError: 'identity'"),
    ],
)
def test_a_folder_that_is_no_finished_run_is_told_in_one_line(
    blobs: Blobs, tmp_path: Path, file: str, content: str | None, told: str
) -> None:
    for name in ("run.json", "result.json"):
        shutil.copy(blobs.run_dir(2) / name, tmp_path)
    if content is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_text(content)
    with pytest.raises(ConfigError, match=told) as caught:
        read_finished(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_device_that_is_not_there_is_refused_by_name(blobs: Blobs) -> None:
    with pytest.raises(ConfigError, match=r"--device quantum: expected one of cpu"):
        load_trained(blobs.run_dir(2), device="quantum")


def test_logits_that_are_no_numbers_are_never_labels(blobs: Blobs) -> None:
    trained = load_trained(blobs.run_dir(2))
    volume = np.full((2, 32, 24), np.inf, np.float32)
    with pytest.raises(PredictionError, match="logits are no numbers"):
        predict_volume(trained, volume)


def test_an_array_that_is_no_volume_is_refused(blobs: Blobs) -> None:
    trained = load_trained(blobs.run_dir(2))
    with pytest.raises(PredictionError, match=r"float64 \(2, 3\), expected float32 \(D, H, W\)"):
        predict_volume(trained, np.zeros((2, 3)))  # type: ignore[arg-type]
