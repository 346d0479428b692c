"""All of Task04 with 24 of its cases spoilt in 24 ways: each is told by its code, 236 are built."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from tomolift.data import BadInput, build_cache, open_cache, verify_task

Corruption = Callable[[Path, Path], object]  # of the image and the label of a case


def packed(change: Callable[[bytes], bytes]) -> Corruption:
    """Change the bytes of the image as they lie on the disk."""
    return lambda image, label: image.write_bytes(change(image.read_bytes()))


def unpacked(change: Callable[[bytearray], object], *, of_label: bool = False) -> Corruption:
    """Change the decompressed bytes of the image (or of the label)."""

    def corrupt(*pair: Path) -> None:
        path = pair[of_label]
        data = bytearray(gzip.decompress(path.read_bytes()))
        change(data)
        path.write_bytes(gzip.compress(bytes(data), 1))

    return corrupt


def header(offset: int, form: str, *values: float, of_label: bool = False) -> Corruption:
    """Put other values into the header."""
    change = lambda data: struct.pack_into("<" + form, data, offset, *values)  # noqa: E731
    return unpacked(change, of_label=of_label)


def saved(change: Callable[[Any], Any], *, of_label: bool = False) -> Corruption:
    """Have nibabel write the voxels anew, as float32, after a change."""

    def corrupt(*pair: Path) -> None:
        path = pair[of_label]
        volume = nib.load(path)
        voxels = change(np.asarray(volume.dataobj, np.float32).copy())
        nib.save(nib.Nifti1Image(voxels, volume.affine, dtype=np.float32), path)

    return corrupt


def flipped(data: bytes, place: int) -> bytes:
    """Flip one bit."""
    place %= len(data)
    return data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]


def with_voxel(value: float) -> Callable[[Any], Any]:
    """Change the voxel in the middle."""

    def change(voxels: Any) -> Any:
        voxels[tuple(side // 2 for side in voxels.shape)] = value
        return voxels

    return change


def make_fifo(image: Path, label: Path) -> None:
    image.unlink()
    os.mkfifo(image)


def exchange(image: Path, label: Path) -> None:
    grey, classes = image.read_bytes(), label.read_bytes()
    image.write_bytes(classes)
    label.write_bytes(grey)


CORRUPTIONS: list[tuple[str, str, Corruption]] = [
    ("E_GZIP", "an error page", packed(lambda data: b"<html>503 Service Unavailable</html>")),
    ("E_GZIP", "an empty file", packed(lambda data: b"")),
    ("E_GZIP", "rubbish behind the stream", packed(lambda data: data + b"no member of gzip")),
    ("E_GZIP", "stored without compression", packed(gzip.decompress)),
    ("E_GZIP", "a bit of a deflate table", packed(lambda data: flipped(data, 25))),
    ("E_GZIP_CRC", "a bit of the deflate stream", packed(lambda data: flipped(data, -1000))),
    ("E_GZIP_CRC", "a bit of the checksum", packed(lambda data: flipped(data, -6))),
    ("E_GZIP_CRC", "a bit of the length", packed(lambda data: flipped(data, -3))),
    ("E_GZIP_TRUNCATED", "the first half", packed(lambda data: data[: len(data) // 2])),
    ("E_GZIP_TRUNCATED", "no trailer", packed(lambda data: data[:-8])),
    ("E_SIZE", "a slice more", unpacked(lambda data: data.extend(bytes(5000)))),
    ("E_SIZE", "a voxel less", unpacked(lambda data: data.__delitem__(slice(-1, None)))),
    ("E_HEADER", "a negative side", header(42, "h", -35)),
    ("E_HEADER", "a NaN in the affine", header(280, "f", np.nan)),
    ("E_HEADER", "an infinite slope", header(112, "f", np.inf)),
    ("E_HEADER", "another type", header(70, "h", 32)),
    ("E_4D", "two time points", header(40, "5h", 4, 35, 51, 18, 2)),
    ("E_SHAPE", "a slice less", saved(lambda voxels: voxels[:, :, 1:])),
    ("E_AFFINE", "the label a voxel aside", header(292, "f", 17.0, of_label=True)),
    ("E_LABEL", "a label of no class", saved(with_voxel(3.0), of_label=True)),
    ("E_LABEL", "image and label exchanged", exchange),
    ("E_NONFINITE", "a voxel that is NaN", saved(with_voxel(np.nan))),
    ("E_MISSING", "no label", lambda image, label: label.unlink()),
    ("E_PATH", "a fifo", make_fifo),
]


@pytest.mark.slow
def test_24_spoilt_cases_of_260_are_told_by_their_codes_and_236_are_built(
    task04: Path, tmp_path: Path
) -> None:
    task = tmp_path / "task"
    shutil.copytree(task04, task)
    entries = json.loads((task / "dataset.json").read_text())["training"]
    expected = {}
    for entry, (code, claim, corrupt) in zip(entries[::10], CORRUPTIONS, strict=False):
        corrupt(task / entry["image"], task / entry["label"])
        expected[Path(entry["image"]).name.removesuffix(".nii.gz")] = (code, claim)
    assert len(entries) == 260
    assert len({claim for _, claim in expected.values()}) == 24
    report = build_cache(task, tmp_path / "cache", depth=48, short="pad", workers=1)
    built = {case: message.rpartition("[")[2].strip("]") for case, message in report.failed.items()}
    verified = {defect.case: defect.code for defect in verify_task(task)}
    for case, (code, claim) in expected.items():
        line = f"{case}: {claim}: expected {code}, build {built.get(case)}, "
        print(line + f"verify {verified.get(case)}")
    codes = {case: code for case, (code, _) in expected.items()}
    assert built == verified == codes
    assert len(report.built) == 236
    cache = open_cache(tmp_path / "cache")
    assert len(cache) == 236
    with pytest.raises(BadInput, match="quarantined"):
        cache.raw(next(iter(expected)))
