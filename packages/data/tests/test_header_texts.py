"""Texts of headers may name patients: none of them reaches a cache, a message or a terminal."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tomolift.data import build_cache, check_cache, open_cache, verify_task
from tomolift.data._cli import main

Bytes = Callable[[Path], dict[str, bytes]]

FIELDS = {  # offset and length in nifti1.h
    "data_type": (4, 10),
    "db_name": (14, 18),
    "descrip": (148, 80),
    "aux_file": (228, 24),
    "intent_name": (328, 16),
}
EXTENSION = struct.pack("<4B2i", 1, 0, 0, 0, 32, 6) + b"PATIENT extension".ljust(24, b"\0")
NAMED = 8  # the flag of a gzip header that a file name follows

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "sound": lambda data: data,
    "E_HEADER": lambda data: data[:42] + b"\xff\xff" + data[44:],
    "E_SIZE": lambda data: data[:-1],
    "E_NONFINITE": lambda data: data[:-4] + np.float32(np.nan).tobytes(),
    "E_GZIP_CRC": lambda data: data,
}


def with_texts(data: bytes) -> bytes:
    """Put a text into every field that holds one, and into a header extension."""
    changed = bytearray(data)
    for field, (offset, length) in FIELDS.items():
        changed[offset : offset + length] = f"PATIENT {field}".encode()[:length].ljust(
            length, b"\0"
        )
    struct.pack_into("<f", changed, 108, 352 + 32)
    return bytes(changed[:348]) + EXTENSION + bytes(changed[352:])


def with_name(packed: bytes) -> bytes:
    """Put a file name into a gzip header."""
    return packed[:3] + bytes([NAMED]) + packed[4:10] + b"PATIENT.nii\0" + packed[10:]


def add_patients(task: Any, outcome: str) -> None:
    """Add a sound case and one of that outcome, both full of names."""
    for case, damage in (("good", DAMAGES["sound"]), ("other", DAMAGES[outcome])):
        task.add(case, np.ones((7, 6, 5), np.float32))
        for path, change in ((task.image(case), damage), (task.label(case), DAMAGES["sound"])):
            data = change(with_texts(gzip.decompress(path.read_bytes())))
            path.write_bytes(with_name(gzip.compress(data)))
    if outcome == "E_GZIP_CRC":
        packed = task.image("other").read_bytes()
        task.image("other").write_bytes(packed[:-5] + bytes([packed[-5] ^ 1]) + packed[-4:])


@pytest.mark.parametrize("outcome", DAMAGES)
def test_no_text_of_a_header_leaves_the_source(
    task: Any,
    outcome: str,
    tmp_path: Path,
    folder_bytes: Bytes,
    capfd: pytest.CaptureFixture[str],
) -> None:
    add_patients(task, outcome)
    folder, cache = task.folder, tmp_path / "cache"
    assert b"PATIENT descrip" in gzip.decompress(task.image("good").read_bytes())
    told: list[object] = []
    report = build_cache(
        folder, cache, depth=5, workers=1, progress=lambda *step: told.append(step)
    )
    told += [report, verify_task(folder), check_cache(cache), open_cache(cache)["good"]]
    assert report.failed.get("other", "sound").strip("]").endswith(outcome)
    for command in (
        ["verify", str(folder)],
        ["verify", str(folder), "--json"],
        ["build", str(folder), str(cache), "--depth", "4", "--workers", "1"],
        ["info", str(cache)],
        ["check", str(cache), "--json"],
    ):
        main(command)
    captured = capfd.readouterr()
    assert "good" in captured.out
    assert "PATIENT" not in captured.out + captured.err + repr(told)
    assert not any(b"PATIENT" in data for data in folder_bytes(cache).values())
