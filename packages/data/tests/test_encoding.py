from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tomolift.data import BadInput, build_cache, open_cache
from tomolift.data._encoding import label_plane

PATH = Path("label.nii.gz")


def built(task: Any, image: np.ndarray[Any, Any]) -> Any:
    task.add("a", image)
    cache_dir = task.folder.parent / "cache"
    build_cache(task.folder, cache_dir, depth=image.shape[2], workers=1)
    return open_cache(cache_dir)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.float64])
def test_integers_of_16_bits_are_kept_exactly_as_int16(task: Any, dtype: type) -> None:
    limits = np.iinfo(dtype) if np.issubdtype(dtype, np.integer) else np.iinfo(np.int16)
    low, high = max(limits.min, -32768), min(limits.max, 32767)
    image = np.linspace(low, high, 60).astype(int).reshape(5, 4, 3).astype(dtype)
    cache = built(task, image)
    assert cache.raw("a").dtype == np.dtype("<i2")
    np.testing.assert_array_equal(cache.raw("a"), image.transpose(2, 1, 0))
    assert cache["a"].encoding_error == 0


@pytest.mark.parametrize(
    "image",
    [
        np.array([[[0, 40000]]], np.uint16),
        np.array([[[0, 1.5]]], np.float32),
        np.array([[[-70000, 5]]], np.int32),
        np.array([[[0, 2.0**100]]], np.float64),
    ],
    ids=str,
)
def test_what_does_not_fit_int16_goes_to_float32_exactly_where_it_can(
    task: Any, image: np.ndarray[Any, Any]
) -> None:
    cache = built(task, image)
    assert cache.raw("a").dtype == np.dtype("<f4")
    np.testing.assert_array_equal(cache.raw("a").astype(np.float64), image.transpose(2, 1, 0))
    assert cache["a"].encoding_error == 0


@pytest.mark.parametrize(
    ("image", "error"),
    [
        (np.array([[[0, 2**24 + 1]]], np.int32), 1.0),
        (np.array([[[0, 2**60 + 1]]], np.int64), 1.0),
        (np.array([[[0, 2**63 + 3]]], np.uint64), 3.0),
        (np.array([[[0, 0.1]]], np.float64), abs(0.1 - float(np.float32(0.1)))),
    ],
)
def test_the_largest_error_of_a_narrower_float_is_recorded_and_reported(
    task: Any, image: np.ndarray[Any, Any], error: float
) -> None:
    task.add("a", image)
    cache_dir = task.folder.parent / "cache"
    report = build_cache(task.folder, cache_dir, depth=2, workers=1)
    assert open_cache(cache_dir)["a"].encoding_error == pytest.approx(error, rel=1e-12)
    assert any("differs from the source by up to" in note for note in report.notes["a"])


def test_the_widening_may_come_with_the_last_slice(task: Any) -> None:
    image = np.zeros((6, 5, 4), np.float32)
    image[2, 3, 3] = 0.5
    cache = built(task, image)
    np.testing.assert_array_equal(cache.raw("a"), image.transpose(2, 1, 0))


def test_slope_and_intercept_stand_in_the_record_and_not_in_the_voxels(
    task: Any, tmp_path: Path
) -> None:
    stored = np.arange(24, dtype=np.int16).reshape(4, 3, 2)
    task.add("a", stored)
    raw = bytearray(gzip.decompress(task.image("a").read_bytes()))
    raw[112:120] = np.array([-0.5, 10], "<f4").tobytes()
    task.image("a").write_bytes(gzip.compress(bytes(raw)))
    build_cache(task.folder, tmp_path / "cache", depth=4, short="pad", workers=1)
    cache = open_cache(tmp_path / "cache")
    info = cache["a"]
    assert (info.slope, info.intercept) == (-0.5, 10.0)
    np.testing.assert_array_equal(cache.raw("a")[1:3], stored.transpose(2, 1, 0))
    assert (info.minimum, info.maximum) == (-1.5, 10.0)
    assert (cache.raw("a")[0] == 23).all()  # the stored value of the smallest real one
    real = -0.5 * stored.transpose(2, 1, 0) + 10
    expected = (real - real.min()) / (real.max() - real.min())
    np.testing.assert_allclose(cache.volume("a")[1:3], expected, atol=1e-6)


def test_float_labels_near_a_class_are_rounded_not_cut() -> None:
    plane = np.array([[0.9995, 1.0004, 0.0, 1.9991]], np.float32)
    labels = label_plane(plane, num_classes=3, plane_index=0, path=PATH)
    assert labels.tolist() == [[1, 1, 0, 2]]
    assert labels.dtype == np.uint8


@pytest.mark.parametrize(
    "value", [0.9882, 1.5, -1.0, 3.0, 255.0, 1e30, np.float32(2) + np.float32(0.002)]
)
def test_float_labels_that_are_no_class_are_refused_with_their_voxel(value: float) -> None:
    plane = np.zeros((4, 5), np.float32)
    plane[3, 1] = value
    with pytest.raises(BadInput, match=r"voxel \(1, 3, 7\).*E_LABEL"):
        label_plane(plane, num_classes=3, plane_index=7, path=PATH)


@pytest.mark.parametrize(("dtype", "value"), [(np.int16, -1), (np.uint8, 255), (np.int64, 3)])
def test_integer_labels_that_are_no_class_are_refused(dtype: type, value: int) -> None:
    plane = np.full((2, 2), value, dtype)
    with pytest.raises(BadInput, match=f"label {value} .*E_LABEL"):
        label_plane(plane, num_classes=3, plane_index=0, path=PATH)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_labels_that_are_not_finite_are_refused(value: float) -> None:
    plane = np.full((2, 2), value)
    with pytest.raises(BadInput, match="E_NONFINITE"):
        label_plane(plane, num_classes=3, plane_index=0, path=PATH)
