"""Real volumes against nibabel: Task04 of the Medical Segmentation Decathlon."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tomolift.data import Cache, build_cache, open_cache, verify_task


def names(task04: Path) -> list[str]:
    entries = json.loads((task04 / "dataset.json").read_text())["training"]
    return [Path(entry["image"]).name.removesuffix(".nii.gz") for entry in entries]


def assert_as_nibabel_reads(cache: Cache, task04: Path, cases: Sequence[str]) -> None:
    for case in cases:
        image = nib.as_closest_canonical(nib.load(task04 / "imagesTr" / f"{case}.nii.gz"))
        label = nib.as_closest_canonical(nib.load(task04 / "labelsTr" / f"{case}.nii.gz"))
        whole = image.get_fdata().transpose(2, 1, 0)
        info = cache[case]
        inside = slice(-info.z0, -info.z0 + len(whole))
        np.testing.assert_array_equal(cache.raw(case)[inside].astype(np.float64), whole)
        np.testing.assert_array_equal(
            cache.labels(case)[inside], np.rint(label.get_fdata()).transpose(2, 1, 0)
        )
        unit = (whole - whole.min()) / (whole.max() - whole.min())
        # float32 shift and gain: three roundings of 2**-24 each
        np.testing.assert_allclose(cache.volume(case)[inside], unit, atol=2e-7)
        outside = np.ones(cache.depth, bool)
        outside[inside] = False
        assert (cache.volume(case)[outside] == 0).all()
        assert (cache.labels(case)[outside] == 255).all()
        np.testing.assert_allclose(
            info.affine @ [0, 0, -info.z0, 1], image.affine @ [0, 0, 0, 1], atol=1e-5
        )
        percentiles = np.percentile(whole, list(info.percentiles))
        np.testing.assert_allclose(list(info.percentiles.values()), percentiles, rtol=1e-12)


def test_real_volumes_are_cached_as_nibabel_reads_them(task04: Path, tmp_path: Path) -> None:
    cases = names(task04)[::20]
    options = {"depth": 48, "workers": 1, "cases": cases}
    report = build_cache(task04, tmp_path / "cache", short="pad", **options)
    assert report.built == tuple(cases)
    assert report.failed == report.dropped == {}
    cache = open_cache(tmp_path / "cache", task_dir=task04)
    assert {cache.raw(case).dtype.str for case in cases} == {"<i2", "<f4"}
    assert cache.label_names == ("background", "Anterior", "Posterior")
    assert_as_nibabel_reads(cache, task04, cases)


def test_real_slices_and_volumes_feed(task04: Path, tmp_path: Path) -> None:
    cases = names(task04)[:6]
    build_cache(task04, tmp_path / "cache", depth=48, short="pad", workers=1, cases=cases)
    cache = open_cache(tmp_path / "cache")
    slices = sum(cache[case].source_shape[2] for case in cases)
    assert sum(len(labels) for _, labels in cache.slices(32)) == slices
    for images, labels in cache.volumes(2, channels=3):
        assert images.shape[:3] == (2, 3, 48)
        assert images.shape[2:] == labels.shape[1:]
        assert 0 <= float(images.min()) <= float(images.max()) <= 1


@pytest.mark.slow
def test_all_260_real_volumes_are_sound_and_cached(task04: Path, tmp_path: Path) -> None:
    assert verify_task(task04) == ()
    report = build_cache(task04, tmp_path / "cache", depth=48, short="pad", workers=2)
    assert len(report.built) == 260
    assert_as_nibabel_reads(open_cache(tmp_path / "cache"), task04, report.built)
