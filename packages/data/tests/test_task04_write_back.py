"""Real volumes' labels back in the grids of their files, judged by nibabel."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tomolift.data import Cache, build_cache, open_cache, read_task, write_prediction

FIELDS = [
    "pixdim", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x",
    "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z", "xyzt_units",
]  # fmt: skip


def assert_written_back(cache: Cache, task04: Path, folder: Path, cases: Iterable[str]) -> None:
    for case in cases:
        written = folder / f"{case}.nii.gz"
        write_prediction(cache, case, cache.labels(case), written)
        ours = nib.load(written)
        image = nib.load(task04 / "imagesTr" / written.name)
        label = nib.load(task04 / "labelsTr" / written.name)
        assert ours.shape == image.shape
        assert ours.affine.tobytes() == image.affine.tobytes()
        assert ours.header.get_zooms() == image.header.get_zooms()
        assert ours.header.get_xyzt_units() == image.header.get_xyzt_units()
        for field in FIELDS:
            first, second = (each.header[field].ravel()[:4] for each in (ours, image))
            assert first.tobytes() == second.tobytes(), (case, field)
        expected = np.rint(label.get_fdata())
        if cache[case].z0 > 0:  # these files are RAS: cropped along their third axis
            expected[..., : cache[case].z0] = 0
            expected[..., cache[case].z0 + cache.depth :] = 0
        np.testing.assert_array_equal(np.asarray(ours.dataobj), expected)


@pytest.mark.parametrize(("depth", "short"), [(48, "pad"), (24, "drop")])
def test_real_labels_return_to_their_files(
    task04: Path, tmp_path: Path, depth: int, short: str
) -> None:
    cases = [case.name for case in read_task(task04).cases][::40]
    options = {"depth": depth, "short": short, "workers": 1, "cases": cases}
    build_cache(task04, tmp_path / "cache", **options)
    assert_written_back(open_cache(tmp_path / "cache"), task04, tmp_path, cases)


@pytest.mark.slow
def test_the_labels_of_all_260_real_volumes_return_to_their_files(
    task04: Path, tmp_path: Path
) -> None:
    build_cache(task04, tmp_path / "cache", depth=48, short="pad", workers=1)
    cache = open_cache(tmp_path / "cache")
    assert len(cache) == 260
    assert_written_back(cache, task04, tmp_path, cache.cases)
