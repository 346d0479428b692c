from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from tomolift.data import BadInput
from tomolift.data._headers import parse_header

PATH = Path("file.nii")


def patched(data: bytes, offset: int, form: str, *values: Any) -> bytes:
    changed = bytearray(data[:352])
    struct.pack_into(form, changed, offset, *values)
    return bytes(changed)


def code_of(data: bytes) -> str:
    with pytest.raises(BadInput) as caught:
        parse_header(data, PATH)
    message = str(caught.value)
    assert message.startswith("file.nii: ")
    assert "\n" not in message
    return caught.value.code


@pytest.mark.parametrize(
    ("offset", "form", "values"),
    [
        (0, "<i", (347,)),
        (0, "<i", (540,)),
        (344, "<4s", (b"ni1\0",)),
        (40, "<h", (2,)),
        (40, "<h", (8,)),
        (42, "<h", (-4,)),
        (42, "<h", (0,)),
        (42, "<h", (4097,)),
        (42, "<3h", (4096, 4096, 4096)),
        (70, "<h", (128,)),
        (70, "<h", (1792,)),
        (72, "<h", (8,)),
        (108, "<f", (100.0,)),
        (108, "<f", (352.5,)),
        (108, "<f", (3e9,)),
        (108, "<f", (np.nan,)),
        (112, "<f", (np.inf,)),
        (112, "<2f", (1.0, np.nan)),
        (123, "<B", (3,)),
        (123, "<B", (1,)),
        (280, "<f", (np.nan,)),
        (280, "<f", (np.inf,)),
        (280, "<12f", (0.0,) * 12),
        (280, "<12f", (1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 1, 0)),
        (280, "<f", (1e30,)),
        (252, "<2h3f", (1, 0, 1.0, 1.0, 0.0)),
        (252, "<2h3f", (1, 0, np.nan, 0.0, 0.0)),
        (80, "<f43x128x2h", (np.nan, 0, 0)),
        (252, "<h", (6,)),
        (254, "<h", (4097,)),
        (80, "<3f160x2h", (-2.0, 3.0, 4.0, 0, 0)),
        (80, "<3f160x2hf", (2.0, 3.0, -4.0, 1, 0, 1.0)),
        (76, "<4f160x2hf", (-2.0, 2.0, 3.0, 4.0, 1, 0, 1.0)),
        (80, "<f168x2hf", (np.inf, 1, 0, 1.0)),  # an infinite voxel size along a turned axis
    ],
)
def test_damaged_or_unsupported_header_is_refused(
    nifti_bytes: bytes, offset: int, form: str, values: tuple[Any, ...]
) -> None:
    assert code_of(patched(nifti_bytes, offset, form, *values)) == "E_HEADER"


def test_more_than_one_channel_is_refused(nifti_bytes: bytes) -> None:
    assert code_of(patched(nifti_bytes, 40, "<5h", 4, 4, 3, 2, 2)) == "E_4D"


def test_single_channel_fourth_axis_is_squeezed(nifti_bytes: bytes) -> None:
    header = parse_header(patched(nifti_bytes, 40, "<5h", 4, 4, 3, 2, 1), PATH)
    assert header.shape == (4, 3, 2)


def test_zero_slope_means_unscaled(nifti_bytes: bytes) -> None:
    header = parse_header(patched(nifti_bytes, 112, "<2f", 0.0, 7.0), PATH)
    assert (header.slope, header.intercept) == (1.0, 0.0)


@pytest.mark.parametrize("codes", [(0, 0), (1, 0), (0, 2), (1, 1)])
@pytest.mark.parametrize("endianness", ["<", ">"])
def test_affine_is_nibabels(
    tmp_path: Path, codes: tuple[int, int], endianness: str, save_nifti: Callable[..., Path]
) -> None:
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    affine = np.eye(4)
    affine[:3, :3] = rotation * [0.7, 0.8, 2.5]
    affine[:3, 3] = [10, -20, 30]
    header = nib.Nifti1Header(endianness=endianness)
    header.set_data_dtype(np.int16)
    header.set_data_shape((4, 3, 2))
    header.set_zooms((0.7, 0.8, 2.5))
    header.set_qform(affine, code=codes[0])
    header.set_sform(affine, code=codes[1])
    header["scl_slope"], header["scl_inter"], header["vox_offset"] = 1, 0, 352
    header["magic"] = b"n+1"
    ours = parse_header(header.binaryblock + b"\0\0\0\0", PATH)
    np.testing.assert_allclose(ours.affine, header.get_best_affine(), atol=1e-5)
    assert ours.dtype.newbyteorder("=") == np.int16


def test_no_mutated_header_raises_anything_else(nifti_bytes: bytes) -> None:
    generator = np.random.default_rng(0)
    for _ in range(20000):
        data = bytearray(nifti_bytes[:352])
        for place in generator.integers(0, 352, generator.integers(1, 6)):
            data[place] = generator.integers(256)
        try:
            header = parse_header(bytes(data), PATH)
        except BadInput:
            continue
        assert all(1 <= side <= 4096 for side in header.shape)
        assert np.isfinite(header.affine).all()


@pytest.mark.parametrize("code", [1, 2, 3, 4, 5])
def test_every_code_of_a_known_space_is_accepted(nifti_bytes: bytes, code: int) -> None:
    header = parse_header(patched(nifti_bytes, 254, "<h", code), PATH)
    assert header.spatial.sform_code == code


def test_voxel_sizes_of_a_header_with_an_sform_may_be_negative(nifti_bytes: bytes) -> None:
    header = parse_header(patched(nifti_bytes, 80, "<f", -2.0), PATH)
    np.testing.assert_array_equal(header.affine, np.diag([2.0, 3.0, 4.0, 1.0]))


@pytest.mark.parametrize("excess", [-4e-7, -2e-7, -1e-8, 0.0, 1e-8, 2e-7])
def test_a_half_turn_is_what_nibabel_takes_it_for_whatever_rounding_left(
    nifti_bytes: bytes, excess: float
) -> None:
    length = np.sqrt(1 + excess)
    b, c, d = (np.array([0.6, 0.48, 0.64]) * length).astype(np.float32)
    data = patched(nifti_bytes, 252, "<2h3f", 1, 0, b, c, d)
    seen = nib.Nifti1Header(data[:348]).get_qform()
    np.testing.assert_allclose(parse_header(data, PATH).affine, seen, rtol=0, atol=2e-6)


def test_a_quaternion_that_nibabel_finds_too_long_is_refused(nifti_bytes: bytes) -> None:
    data = patched(nifti_bytes, 252, "<2h3f", 1, 0, np.float32(1.0000003), 0.0, 0.0)
    with pytest.raises(ValueError, match="w2 should be positive"):
        nib.Nifti1Header(data[:348]).get_qform()
    assert code_of(data) == "E_HEADER"
