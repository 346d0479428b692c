from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from tomolift.data import build_cache, check_cache, open_cache, read_volume

ORIENTATIONS = [
    "".join(letters)
    for axes in itertools.permutations(("LR", "PA", "IS"))
    for letters in itertools.product(*axes)
]


def oriented_affine(codes: str) -> np.ndarray[Any, Any]:
    """An oblique affine whose nearest orientation is ``codes``."""
    columns = {"R": 0, "L": 0, "A": 1, "P": 1, "S": 2, "I": 2}
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, code in enumerate(codes):
        affine[columns[code], axis] = 1 if code in "RAS" else -1
    angle = 0.1
    tilt = np.eye(4)
    tilt[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    affine = tilt @ affine @ np.diag([0.8, 1.1, 2.5, 1])
    affine[:3, 3] = [5, -6, 7]
    return affine


def test_there_are_48_orientations() -> None:
    assert len(set(ORIENTATIONS)) == 48


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_every_orientation_is_cached_as_nibabels_closest_canonical(task: Any, codes: str) -> None:
    affine = oriented_affine(codes)
    assert "".join(nib.aff2axcodes(affine)) == codes
    task.add("a", shape=(5, 6, 7), affine=affine)
    for depth, short in ((4, "drop"), (9, "pad")):
        cache_dir = task.folder.parent / f"cache{depth}"
        build_cache(task.folder, cache_dir, depth=depth, short=short, workers=1)
        assert check_cache(cache_dir) == ()
        cache = open_cache(cache_dir)
        info = cache["a"]
        image = nib.as_closest_canonical(nib.load(task.image("a")))
        label = nib.as_closest_canonical(nib.load(task.label("a")))
        whole = image.get_fdata().transpose(2, 1, 0)
        inside = slice(max(-info.z0, 0), max(-info.z0, 0) + min(depth, len(whole)))
        outside = slice(max(info.z0, 0), max(info.z0, 0) + min(depth, len(whole)))
        np.testing.assert_array_equal(cache.raw("a")[inside], whole[outside])
        expected = label.get_fdata().transpose(2, 1, 0)[outside]
        np.testing.assert_array_equal(cache.labels("a")[inside], expected)
        shifted = image.affine @ np.array(
            [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, info.z0], [0, 0, 0, 1]]
        )
        np.testing.assert_allclose(info.affine, shifted, atol=1e-5)
        np.testing.assert_allclose(info.geometry.affine, image.affine, atol=1e-5)
        np.testing.assert_allclose(info.source_affine, affine, atol=1e-5)
        np.testing.assert_allclose(info.zooms_mm[::-1], image.header.get_zooms(), rtol=1e-5)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SAR", "PIL"])
def test_stored_axes_are_kept_when_asked_for(task: Any, codes: str) -> None:
    affine = oriented_affine(codes)
    task.add("a", shape=(5, 6, 7), affine=affine)
    cache_dir = task.folder.parent / "cache"
    build_cache(task.folder, cache_dir, depth=7, workers=1, axes="stored")
    cache = open_cache(cache_dir)
    stored = np.asarray(nib.load(task.image("a")).dataobj).transpose(2, 1, 0)
    np.testing.assert_array_equal(cache.raw("a"), stored)
    np.testing.assert_allclose(cache["a"].affine, affine, atol=1e-5)


def test_a_report_names_cases_whose_slices_are_not_stored_planes(task: Any) -> None:
    task.add("a", shape=(5, 6, 7), affine=oriented_affine("SAR"))
    report = build_cache(task.folder, task.folder.parent / "cache", depth=5, workers=1)
    assert report.notes["a"] == ("slices run along stored axis 1 of 3",)


@pytest.mark.parametrize("codes", ["RAS", "LAI", "ASR"])
@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.float64, np.uint16])
def test_read_volume_is_the_cached_volume(task: Any, codes: str, dtype: type) -> None:
    values = np.random.default_rng(0).normal(300, 100, (5, 6, 7)).astype(dtype)
    task.add("a", values, affine=oriented_affine(codes))
    volume, geometry = read_volume(task.image("a"))
    build_cache(task.folder, task.folder.parent / "cache", depth=len(volume), workers=1)
    cache = open_cache(task.folder.parent / "cache")
    np.testing.assert_array_equal(volume, cache.volume("a"))
    np.testing.assert_array_equal(geometry.affine, cache["a"].affine)
    assert geometry.shape == volume.shape


def test_a_volume_turned_to_canonical_axes_turns_back(tmp_path: Path, save_nifti: Any) -> None:
    array = np.arange(210, dtype=np.int16).reshape(5, 6, 7)
    path = save_nifti(tmp_path / "a.nii", array, affine=oriented_affine("IPR"))
    volume, geometry = read_volume(path)
    back = geometry.stored_view(volume) * 209
    np.testing.assert_allclose(back.transpose(2, 1, 0), array, atol=1e-3)
