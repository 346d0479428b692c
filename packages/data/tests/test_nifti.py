from __future__ import annotations

import gzip
import os
import resource
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tomolift.data import BadInput
from tomolift.data._nifti import open_nifti

SOUND = np.arange(24, dtype=np.int16).reshape(4, 3, 2)


def read(path: Path) -> np.ndarray:
    with open_nifti(path) as stream:
        planes = [plane.copy() for _, plane in stream.planes()]
    return np.stack(planes).transpose(2, 1, 0)


def code_of(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(BadInput) as caught:
        read(path)
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value.code


def test_gzipped_and_plain_files_read_alike(tmp_path: Path, nifti_bytes: bytes) -> None:
    (tmp_path / "plain.nii").write_bytes(nifti_bytes)
    (tmp_path / "packed.nii.gz").write_bytes(gzip.compress(nifti_bytes))
    np.testing.assert_array_equal(read(tmp_path / "plain.nii"), SOUND)
    np.testing.assert_array_equal(read(tmp_path / "packed.nii.gz"), SOUND)


def test_a_file_of_several_gzip_members_is_read_to_its_end(
    tmp_path: Path, nifti_bytes: bytes
) -> None:
    path = tmp_path / "members.nii.gz"
    path.write_bytes(gzip.compress(nifti_bytes[:360]) + gzip.compress(nifti_bytes[360:]))
    np.testing.assert_array_equal(read(path), SOUND)


def with_extensions(data: bytes, *extensions: bytes, flag: int = 1) -> bytes:
    gap = b"".join(extensions)
    head = bytearray(data[:352])
    head[108:112] = np.float32(352 + len(gap)).tobytes()
    head[348] = flag
    return bytes(head) + gap + data[352:]


def extension(size: int, *, declared: int | None = None) -> bytes:
    return struct.pack("<ii", size if declared is None else declared, 6) + b"x" * (size - 8)


def test_header_extensions_are_skipped(tmp_path: Path, nifti_bytes: bytes) -> None:
    path = tmp_path / "extended.nii"
    path.write_bytes(with_extensions(nifti_bytes, extension(32), extension(160)))
    np.testing.assert_array_equal(read(path), SOUND)
    (first, second) = nib.load(path).header.extensions
    assert (len(first.get_content()), len(second.get_content())) == (24, 152)


def test_a_gap_without_the_flag_of_extensions_is_skipped(
    tmp_path: Path, nifti_bytes: bytes
) -> None:
    path = tmp_path / "gap.nii.gz"
    path.write_bytes(gzip.compress(with_extensions(nifti_bytes, bytes(200), flag=0)))
    np.testing.assert_array_equal(read(path), SOUND)


@pytest.mark.parametrize("declared", [0, 7, -16, 48, 3 * 2**30 // 2, 2**31 - 1])
def test_an_extension_of_an_impossible_size_is_refused(
    tmp_path: Path, nifti_bytes: bytes, declared: int
) -> None:
    data = with_extensions(nifti_bytes, extension(32, declared=declared))
    assert code_of(tmp_path / "a.nii", data) == "E_HEADER"


def test_an_extension_of_a_swapped_file_is_read_in_the_file_s_order(
    tmp_path: Path,
) -> None:
    image = nib.Nifti1Image(SOUND.astype(">i2"), np.eye(4), nib.Nifti1Header(endianness=">"))
    image.header.extensions.append(nib.nifti1.Nifti1Extension(6, b"x" * 40))
    path = tmp_path / "swapped.nii"
    nib.save(image, path)
    assert path.read_bytes()[:4] == b"\0\0\x01\x5c"
    np.testing.assert_array_equal(read(path), SOUND)


@pytest.mark.parametrize("kept", [5, 12, 40, -1, -4, -8, -20])
def test_truncated_gzip_is_refused(tmp_path: Path, nifti_bytes: bytes, kept: int) -> None:
    noise = np.random.default_rng(0).bytes(48)  # incompressible: every cut falls into the data
    data = gzip.compress(nifti_bytes[:352] + noise)
    assert code_of(tmp_path / "cut.nii.gz", data[:kept]) == "E_GZIP_TRUNCATED"


@pytest.mark.parametrize("place", [-8, -4])
def test_wrong_gzip_checksum_or_length_is_refused(
    tmp_path: Path, nifti_bytes: bytes, place: int
) -> None:
    data = bytearray(gzip.compress(nifti_bytes))
    data[place] ^= 1
    assert code_of(tmp_path / "crc.nii.gz", bytes(data)) == "E_GZIP_CRC"


def test_damaged_deflate_stream_is_refused(tmp_path: Path, nifti_bytes: bytes) -> None:
    data = bytearray(gzip.compress(nifti_bytes))
    data[10] = 0x07  # block type 3, which does not exist
    assert code_of(tmp_path / "deflate.nii.gz", bytes(data)) == "E_GZIP"


@pytest.mark.parametrize("data", [b"", b"no gzip at all", bytes(400)])
def test_a_gz_name_without_gzip_inside_is_refused(tmp_path: Path, data: bytes) -> None:
    assert code_of(tmp_path / "fake.nii.gz", data) == "E_GZIP"


@pytest.mark.parametrize("size", [10, 360, 399])
def test_a_short_plain_file_is_refused(tmp_path: Path, nifti_bytes: bytes, size: int) -> None:
    assert code_of(tmp_path / "short.nii", nifti_bytes[:size]) == "E_SIZE"


def test_a_gzip_stream_shorter_than_its_header_says_is_refused(
    tmp_path: Path, nifti_bytes: bytes
) -> None:
    assert code_of(tmp_path / "a.nii.gz", gzip.compress(nifti_bytes[:-2])) == "E_SIZE"


@pytest.mark.parametrize("name", ["long.nii", "long.nii.gz"])
def test_bytes_after_the_last_voxel_are_refused(
    tmp_path: Path, nifti_bytes: bytes, name: str
) -> None:
    data = nifti_bytes + b"x"
    packed = gzip.compress(data) if name.endswith("gz") else data
    assert code_of(tmp_path / name, packed) == "E_SIZE"


def test_a_header_claiming_terabytes_is_refused_before_allocating(
    tmp_path: Path, nifti_bytes: bytes
) -> None:
    data = bytearray(nifti_bytes)
    data[42:48] = np.array([1024, 1024, 2048], "<i2").tobytes()
    assert code_of(tmp_path / "huge.nii.gz", gzip.compress(bytes(data))) == "E_SIZE"
    assert code_of(tmp_path / "huge.nii", bytes(data)) == "E_SIZE"


def test_a_gzip_bomb_is_refused_in_bounded_memory(tmp_path: Path, nifti_bytes: bytes) -> None:
    path = tmp_path / "bomb.nii.gz"
    with gzip.open(path, "wb", compresslevel=6) as file:
        file.write(nifti_bytes)
        for _ in range(100):
            file.write(bytes(2**20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BadInput, match="bytes after its last voxel"):
        read(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 * 1024  # KiB


def test_missing_files_and_fifos_are_refused_without_waiting(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"cannot be opened .*\[E_MISSING\]"):
        read(tmp_path / "absent.nii.gz")
    os.mkfifo(tmp_path / "pipe.nii")
    with pytest.raises(BadInput, match=r"no regular file.*\[E_PATH\]"):
        read(tmp_path / "pipe.nii")


def test_an_error_of_the_disk_names_the_file() -> None:
    with pytest.raises(BadInput, match=r"^/proc/self/mem: cannot be read .*\[E_IO\]$"):
        read(Path("/proc/self/mem"))  # address 0, where nothing is: a real EIO


def test_a_hostile_file_name_stays_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        read(tmp_path / "a\nb\x1b[31m.nii")
    assert str(caught.value).isprintable()


def test_a_scaled_value_beyond_float64_is_infinite_without_a_warning(
    tmp_path: Path, save_nifti: Callable[..., Path]
) -> None:
    path = save_nifti(tmp_path / "large.nii", np.full((2, 2, 1), 1e300))
    data = bytearray(path.read_bytes())
    struct.pack_into("<2f", data, 112, 1e30, 0.0)
    path.write_bytes(data)
    with open_nifti(path) as stream:
        ((_, plane),) = stream.values()
    assert np.isposinf(plane).all()
