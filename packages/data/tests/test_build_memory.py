"""A build holds a slice at a time: its memory grows neither with the depth nor with the file."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PROGRAM = """
import os, sys
from pathlib import Path
from tomolift.data import build_cache
def peak_kib():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
imports = peak_kib()
report = build_cache(sys.argv[1], sys.argv[2], depth=int(sys.argv[3]), short="pad", workers=1)
assert len(report.built) == 1, report
print(peak_kib() - imports)
"""
LIMIT_MIB = 64  # T8 of the design


LPS = np.diag([-0.8, -0.8, 2.5, 1.0])
TURNED = LPS[:, [1, 0, 2, 3]]  # PLS: planes are slices here too, but lie on their side


def write_deep_case(
    task: Any, save: Callable[..., Path], dtype: str, affine: np.ndarray[Any, Any], depth: int
) -> None:
    """Put a case of 512 x 512 x ``depth`` there, whose rows are all the same noise."""
    noise = np.random.default_rng(0).normal(0, 200, 512)
    noise = np.broadcast_to(noise[:, None, None], (512, 512, 1))
    for path, plane in (
        (task.image("a"), (noise if dtype == "<f4" else np.rint(noise)).astype(dtype)),
        (task.label("a"), (noise > 300).astype(np.uint8)),
    ):
        data = gzip.decompress(save(path, plane, affine=affine).read_bytes())
        head = bytearray(data[:352])
        head[46:48] = depth.to_bytes(2, "little")
        slab = gzip.compress(data[352:], compresslevel=1)
        path.write_bytes(gzip.compress(bytes(head)) + slab * depth)


def peak_above_imports_mib(task: Any, cache: Path, depth: int) -> float:
    command = [sys.executable, "-c", PROGRAM, str(task.folder), str(cache), str(depth)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=100)
    return int(done.stdout) / 1024


@pytest.mark.parametrize(
    ("dtype", "affine", "kept"),
    [("<i2", LPS, 400), ("<i2", TURNED, 400), ("<f4", LPS, 400), ("<f4", LPS, 60)],
    ids=["int16", "turned", "float32", "cropped"],
)
def test_a_build_of_400_slices_takes_no_more_memory_than_one_of_16(
    task: Any,
    tmp_path: Path,
    save_nifti: Callable[..., Path],
    dtype: str,
    affine: np.ndarray[Any, Any],
    kept: int,
) -> None:
    task.list("a")
    write_deep_case(task, save_nifti, dtype, affine, 16)
    shallow = peak_above_imports_mib(task, tmp_path / "shallow", 16)
    write_deep_case(task, save_nifti, dtype, affine, 400)
    deep = peak_above_imports_mib(task, tmp_path / "deep", kept)
    print(f"{dtype}: {shallow:.1f} MiB above imports for 16 slices, {deep:.1f} MiB for 400")
    assert deep < LIMIT_MIB
    assert deep < shallow + 8  # MiB of malloc's freedom: 384 slices more are 192 or 384 MiB
