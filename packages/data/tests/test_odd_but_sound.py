"""Files that look odd and are sound: each is cached as nibabel reads it."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from tomolift.data import build_cache, open_cache, verify_task

SHAPE = (7, 6, 5)
Oddity = Callable[[Any], object]


def header(offset: int, form: str, *values: float, of_both: bool = False) -> Oddity:
    """Put other values into the header of the image, or of both files."""

    def patch(task: Any) -> None:
        for path in (task.image("a"), task.label("a"))[: 1 + of_both]:
            data = bytearray(gzip.decompress(path.read_bytes()))
            struct.pack_into("<" + form, data, offset, *values)
            path.write_bytes(gzip.compress(bytes(data)))

    return patch


def typed(dtype: str) -> Oddity:
    """Write image and label in another type and byte order."""

    def save(task: Any) -> None:
        for path, limit in ((task.image("a"), 100), (task.label("a"), 3)):
            source = nib.load(path)
            voxels = (np.asarray(source.dataobj) % limit).astype(dtype)
            form = nib.Nifti1Header(endianness="<" if dtype[0] == "|" else dtype[0])
            form.set_data_dtype(dtype)
            nib.save(nib.Nifti1Image(voxels, source.affine, form, dtype=dtype), path)

    return save


def two_members(task: Any) -> None:
    """Pack the first half and the second half on their own."""
    data = gzip.decompress(task.image("a").read_bytes())
    task.image("a").write_bytes(gzip.compress(data[:400]) + gzip.compress(data[400:]))


def zeros_behind(task: Any) -> None:
    """Fill the file up with zeros, as tapes and some archives do."""
    task.image("a").write_bytes(task.image("a").read_bytes() + bytes(512))


ODDITIES: dict[str, Oddity] = {
    "one channel": header(40, "5h", 4, *SHAPE, 1),
    "seven dimensions of which four are one": header(40, "8h", 7, *SHAPE, 1, 1, 1, 1),
    "a slope of zero": header(112, "2f", 0.0, 7.0),
    "a slope of zero and no intercept": header(112, "2f", 0.0, np.nan),
    "a negative slope": header(112, "2f", -0.5, 100.0),
    "a qform alone": header(252, "2h6f", 1, 0, 0.1, 0.2, 0.3, 5.0, 6.0, 7.0, of_both=True),
    "no form at all": header(252, "2h", 0, 0, of_both=True),
    "unit unknown": header(123, "B", 0),
    "two gzip members": two_members,
    "zeros behind the stream": zeros_behind,
    **{
        f"type {dtype}": typed(dtype)
        for dtype in ("|i1", "|u1", "<u2", "<i4", "<u4", "<i8", "<u8", "<f4", "<f8")
    },
    **{f"type {dtype}": typed(dtype) for dtype in (">i2", ">u2", ">i4", ">i8", ">f4", ">f8")},
}


@pytest.mark.parametrize("oddity", ODDITIES)
def test_an_odd_file_is_cached_as_nibabel_reads_it(task: Any, tmp_path: Path, oddity: str) -> None:
    task.add("a", shape=SHAPE)
    ODDITIES[oddity](task)
    assert verify_task(task.folder) == ()
    build_cache(task.folder, tmp_path / "cache", depth=4, workers=1)
    cache = open_cache(tmp_path / "cache")
    info = cache["a"]
    image, label = (
        nib.as_closest_canonical(nib.squeeze_image(nib.load(path)))
        for path in (task.image("a"), task.label("a"))
    )
    inside = slice(info.z0, info.z0 + 4)
    real = info.slope * cache.raw("a") + info.intercept
    np.testing.assert_array_equal(real, image.get_fdata().transpose(2, 1, 0)[inside])
    np.testing.assert_array_equal(cache.labels("a"), label.get_fdata().transpose(2, 1, 0)[inside])
    np.testing.assert_allclose(info.geometry.affine, image.affine, atol=1e-5)
