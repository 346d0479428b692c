"""Every code that a case can get, each by files made for it, from build and from verify."""

from __future__ import annotations

import gzip
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tomolift.data import BadInput, build_cache, open_cache, verify_task
from tomolift.data.errors import CODES

Change = Callable[[Any], object]  # spoils the case "bad" of a task
SHAPE = (7, 6, 5)


def packed(change: Callable[[bytes], bytes], role: str = "image") -> Change:
    """Change the bytes of a file as they lie on the disk."""

    def spoil(task: Any) -> None:
        path = getattr(task, role)("bad")
        path.write_bytes(change(path.read_bytes()))

    return spoil


def unpacked(change: Callable[[bytes], bytes], role: str = "image", level: int = 6) -> Change:
    """Change the decompressed bytes of a file."""
    return packed(lambda data: gzip.compress(change(gzip.decompress(data)), level), role)


def header(offset: int, form: str, *values: Any, role: str = "image") -> Change:
    """Put other values into a header."""

    def patch(data: bytes) -> bytes:
        changed = bytearray(data)
        struct.pack_into("<" + form, changed, offset, *values)
        return bytes(changed)

    return unpacked(patch, role)


def voxel(value: float, dtype: str, role: str = "image") -> Change:
    """Make a sound file whose one odd voxel lies in slice 0, which the crop leaves out."""

    def make(task: Any) -> None:
        grid = np.zeros(SHAPE, dtype)
        grid[3, 2, 0] = value
        task.entries.pop()
        task.add("bad", **{role: grid})

    return make


def pair(**arguments: Any) -> Change:
    """Make the pair of files anew, from arguments of ``TaskFolder.add``."""

    def make(task: Any) -> None:
        task.entries.pop()
        task.add("bad", **arguments)

    return make


def listed(role: str, path: str) -> Change:
    """List another path in ``dataset.json``."""

    def change(task: Any) -> None:
        task.entries[-1][role] = path
        task.write()

    return change


def replaced(make: Callable[[Path, Path], object], role: str = "image") -> Change:
    """Put something else in the place of a file: ``make(path, outside)``."""

    def change(task: Any) -> None:
        path = getattr(task, role)("bad")
        outside = task.folder.parent / "outside.nii.gz"
        path.rename(outside)
        make(path, outside)

    return change


def swapped(task: Any) -> None:
    """Give each file the other's name."""
    image, label = task.image("bad").read_bytes(), task.label("bad").read_bytes()
    task.image("bad").write_bytes(label)
    task.label("bad").write_bytes(image)


def flipped(data: bytes, place: int) -> bytes:
    """Flip one bit."""
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def extended(size: int) -> Change:
    """Announce a header extension of ``size`` bytes where there are 16."""
    extension = struct.pack("<4B2i8x", 1, 0, 0, 0, size, 6)

    def insert(data: bytes) -> bytes:
        return data[:108] + struct.pack("<f", 368) + data[112:348] + extension + data[352:]

    return unpacked(insert)


MOVED = np.diag([2.0, 3.0, 4.0, 1.0]) + np.array([[0, 0, 0, 2]] + [[0] * 4] * 3)
RESCALED = np.diag([2.0, 3.0, 4.2, 1.0])
QUATERNION_ONLY = (252, "2h3f", 1, 0)  # qform_code, sform_code, b, c, d

TABLE: dict[str, dict[str, Change]] = {
    "E_PATH": {
        "above the task folder": listed("label", "../outside.nii.gz"),
        "absolute": listed("label", "/etc/passwd"),
        "a link out of the task folder": replaced(lambda path, out: path.symlink_to(out)),
        "a fifo": replaced(lambda path, _: os.mkfifo(path)),
        "a folder": replaced(lambda path, _: path.mkdir(), "label"),
    },
    "E_MISSING": {
        "no image": lambda task: task.image("bad").unlink(),
        "no label": lambda task: task.label("bad").unlink(),
        "a link to nothing": replaced(lambda path, _: path.symlink_to("nothing.nii.gz")),
        "a link to itself": replaced(lambda path, _: path.symlink_to(path.name)),
    },
    "E_GZIP": {
        "an error page": packed(lambda _: b"<html>404 Not Found</html>"),
        "an empty file": packed(lambda _: b""),
        "not compressed": packed(gzip.decompress),
        "an impossible deflate block": packed(lambda data: data[:10] + b"\7" + data[11:]),
        "an unknown method": packed(lambda data: data[:2] + b"\x09" + data[3:]),
        "an error page as a label": packed(lambda _: b"<html>404 Not Found</html>", "label"),
    },
    "E_GZIP_TRUNCATED": {
        "cut in its header": packed(lambda data: data[:8]),
        "cut in its data": packed(lambda data: data[:-30]),
        "cut in its trailer": packed(lambda data: data[:-4]),
        "a label cut in half": packed(lambda data: data[: len(data) // 2], "label"),
    },
    "E_GZIP_CRC": {
        "another checksum": packed(lambda data: flipped(data, -5)),
        "another length": packed(lambda data: flipped(data, -2)),
        "another voxel": packed(
            lambda data: flipped(gzip.compress(gzip.decompress(data), 0), 15 + 352 + 100)
        ),
    },
    "E_SIZE": {
        "bytes after the last voxel": unpacked(lambda data: data + b"more"),
        "a second volume behind the first": packed(lambda data: data + data),
        "a voxel too few": unpacked(lambda data: data[:-2]),
        "a header and nothing else": unpacked(lambda data: data[:352]),
        "half a header": unpacked(lambda data: data[:100]),
        "2 GiB declared": header(42, "3h", 1024, 1024, 1024),
    },
    "E_HEADER": {
        "a negative side": header(42, "h", -7),
        "a side of zero": header(46, "h", 0),
        "137 GB declared": header(42, "3h", 4096, 4096, 4096),
        "two dimensions": header(40, "h", 2),
        "NIfTI-2": header(0, "i", 540),
        "no header at all": header(0, "i", 0),
        "header and image apart": header(344, "4s", b"ni1\0"),
        "colours": header(70, "2h", 128, 24),
        "complex numbers": header(70, "2h", 32, 64),
        "bits that are not those of the type": header(72, "h", 8),
        "voxels inside of the header": header(108, "f", 100.0),
        "voxels at NaN": header(108, "f", np.nan),
        "an infinite slope": header(112, "f", np.inf),
        "a slope of NaN": header(112, "f", np.nan),
        "an intercept of NaN": header(112, "2f", 1.0, np.nan),
        "a NaN in the affine": header(280, "f", np.nan),
        "an infinite offset": header(292, "f", np.inf),
        "a flat affine": header(280, "12f", *[0.0] * 12),
        "a quaternion longer than 1": header(*QUATERNION_ONLY, 1.0, 1.0, 0.0),
        "a quaternion of NaN": header(*QUATERNION_ONLY, np.nan, 0.0, 0.0),
        "metres": header(123, "B", 1),
        "an extension that eats 3 GB": extended(2**31 - 1),
        "an extension of negative size": extended(-16),
        "a negative side of the label": header(42, "h", -7, role="label"),
    },
    "E_4D": {
        "two channels": header(40, "5h", 4, 7, 6, 5, 2),
        "two time points of a label": header(40, "5h", 4, 7, 6, 5, 2, role="label"),
        "vectors": header(40, "6h", 5, 7, 6, 5, 1, 3),
    },
    "E_SHAPE": {
        "a slice too few": pair(label=np.zeros((7, 6, 4), np.uint8), shape=SHAPE),
        "sides exchanged": pair(label=np.zeros((6, 7, 5), np.uint8), shape=SHAPE),
    },
    "E_AFFINE": {
        "a voxel aside": pair(label_affine=MOVED),
        "mirrored": pair(label_affine=np.diag([-2.0, 3.0, 4.0, 1.0])),
        "other slices": pair(label_affine=RESCALED),
    },
    "E_LABEL": {
        "a class that dataset.json has not": voxel(3, "u1", "label"),
        "the value that means ignored": voxel(255, "u1", "label"),
        "negative": voxel(-1, "i2", "label"),
        "half a class": voxel(0.5, "f4", "label"),
        "image and label exchanged": swapped,
    },
    "E_NONFINITE": {
        "NaN in the image": voxel(np.nan, "f4"),
        "infinity in the image": voxel(-np.inf, "f8"),
        "beyond float32": voxel(1e300, "f8"),
        "NaN in the label": voxel(np.nan, "f4", "label"),
    },
}  # fmt: skip

# no file can be made for these: a disk or another process must help
INJECTED = {
    "E_IO": "test_momentary_failures.py",
    "E_CHANGED": "test_momentary_failures.py",
}
NO_CASE_HAS = {
    "E_DATASET_JSON": "test_msd.py",
    "E_DUPLICATE": "test_msd.py",
    "E_INTENSITY": "test_intensity.py",
    "E_ARGUMENT": "test_build.py",
    "E_EMPTY": "test_build.py",
    "E_CACHE": "test_build.py",
    "E_BUSY": "test_garbage.py",
    "E_DOWNLOAD": "fetching/test_servers.py",
    "E_CHECKSUM": "fetching/test_fetch.py",
    "E_ARCHIVE": "test_archive_hostile.py",
    "E_SPACE": "test_archive.py",
}

ENTRIES = [(code, claim) for code, changes in TABLE.items() for claim in changes]


@pytest.mark.parametrize(("code", "claim"), ENTRIES, ids=[": ".join(entry) for entry in ENTRIES])
def test_build_and_verify_tell_the_bad_case_by_its_code_and_the_other_builds(
    task: Any, tmp_path: Path, code: str, claim: str
) -> None:
    task.add("good")
    task.add("bad")
    TABLE[code][claim](task)
    defects = verify_task(task.folder)
    assert {(defect.case, defect.code) for defect in defects} == {("bad", code)}
    report = build_cache(task.folder, tmp_path / "cache", depth=3, workers=1)
    assert report.built == ("good",)
    assert list(report.failed) == ["bad"]
    for message in (report.failed["bad"], *(defect.message for defect in defects)):
        assert message.endswith(f"[{code}]")
        assert message.isprintable()
    assert str(tmp_path) not in report.failed["bad"]  # a cache tells no paths of its builder
    cache = open_cache(tmp_path / "cache")
    assert cache.cases == ("good",)
    assert cache.failed == report.failed
    with pytest.raises(BadInput, match="quarantined"):
        cache.raw("bad")


def test_every_code_is_in_the_table_or_is_tested_where_it_is_said_to_be() -> None:
    elsewhere = {**INJECTED, **NO_CASE_HAS}
    assert not set(TABLE) & set(elsewhere)
    assert set(TABLE) | set(elsewhere) == set(CODES)
    for code, name in elsewhere.items():
        assert code in (Path(__file__).parent / name).read_text(), f"{name} does not test {code}"
