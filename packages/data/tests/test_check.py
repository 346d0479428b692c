from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tomolift.data import BadInput, build_cache, check_cache, verify_task


@pytest.fixture
def cache_dir(task: Any, tmp_path: Path) -> Path:
    task.add("a", shape=(4, 3, 2))
    task.add("b", np.full((4, 3, 2), 0.5, np.float32))
    build_cache(task.folder, tmp_path / "cache", depth=3, short="pad", workers=1)
    return tmp_path / "cache"


def is_noticed(cache_dir: Path) -> bool:
    try:
        return bool(check_cache(cache_dir))
    except BadInput as error:
        return error.code == "E_CACHE"


def test_a_sound_cache_has_no_defect(cache_dir: Path) -> None:
    assert check_cache(cache_dir) == ()


def test_every_single_bit_flip_is_noticed(cache_dir: Path) -> None:
    generator = np.random.default_rng(0)
    files = sorted(path for path in cache_dir.rglob("*.*") if path.is_file())
    assert len(files) == 8
    for path in files:
        sound = path.read_bytes()
        for place in generator.integers(0, len(sound), 60):
            data = bytearray(sound)
            data[place] ^= 1 << int(generator.integers(8))
            path.write_bytes(data)
            assert is_noticed(cache_dir), f"{path.name} byte {place}"
        path.write_bytes(sound)
    assert check_cache(cache_dir) == ()


def test_the_damaged_slice_is_named(cache_dir: Path) -> None:
    path = next(cache_dir.glob("volumes/a.*.image.npy"))
    data = bytearray(path.read_bytes())
    data[4096 + 2 * 24 + 5] ^= 1
    path.write_bytes(data)
    slice_defect, file_defect = check_cache(cache_dir)
    assert (slice_defect.case, slice_defect.code) == ("a", "E_CACHE")
    assert "slice 2 is damaged" in slice_defect.message
    assert "checksum of the whole" in file_defect.message


def test_a_missing_file_is_a_defect_of_its_case(cache_dir: Path) -> None:
    next(cache_dir.glob("volumes/b.*.json")).unlink()
    (defect,) = check_cache(cache_dir)
    assert defect.case == "b"
    assert "is gone" in defect.message


def test_verify_finds_every_defect_of_a_case(task: Any) -> None:
    image = np.zeros((4, 3, 2), np.float32)
    image[0, 0, 1] = np.inf
    task.add("a", image, np.full((4, 3, 2), 9, np.uint8))
    task.add("b", np.zeros((4, 3, 2), np.int16), np.zeros((4, 3, 3), np.uint8))
    task.add("c")
    task.add("d", np.full((4, 3, 2), 1e300))
    found = [(defect.case, defect.code) for defect in verify_task(task.folder)]
    assert found == [
        ("a", "E_NONFINITE"),
        ("a", "E_LABEL"),
        ("b", "E_SHAPE"),
        ("d", "E_NONFINITE"),
    ]


def test_verify_and_build_agree_on_a_sound_task(task: Any) -> None:
    task.add("a")
    assert verify_task(task.folder) == ()


def test_a_bad_voxel_does_not_hide_that_image_and_label_differ_in_shape(task: Any) -> None:
    task.add("a", np.full((7, 6, 5), np.nan), np.zeros((7, 6, 4), np.uint8))
    assert [defect.code for defect in verify_task(task.folder)] == ["E_NONFINITE", "E_SHAPE"]
