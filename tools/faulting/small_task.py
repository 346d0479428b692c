"""A task folder of tiny volumes in MSD layout, and what its cache must hold."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from isal import igzip

DEPTH = 6  # slices that are cached
OLDER_DEPTH = 5  # of a cache that an earlier configuration made
SHAPE = (12, 10, 7)  # x, y, z of most volumes


@dataclass(frozen=True)
class SmallTask:
    """A folder with `cases` sound volumes, drawn from one seed."""

    folder: Path
    cases: tuple[str, ...]


def write_task(folder: Path, *, cases: int, seed: int = 0) -> SmallTask:
    """Write the task; every third image is float32 and every fourth volume is oblique."""
    generator = np.random.default_rng(seed)
    names = tuple(f"case_{index:03d}" for index in range(cases))
    for role in ("imagesTr", "labelsTr"):
        (folder / role).mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(names):
        dtype = np.dtype("<f4" if index % 3 == 2 else "<i2")
        image = generator.integers(-1000, 1000, SHAPE).astype(dtype)
        if dtype.kind == "f":
            image += np.float32(0.5)
        label = generator.integers(0, 3, SHAPE).astype("u1")
        oblique = index % 4 == 3
        write_nifti(folder / "imagesTr" / f"{name}.nii.gz", image, oblique=oblique)
        write_nifti(folder / "labelsTr" / f"{name}.nii.gz", label, oblique=oblique)
    write_dataset_json(folder, names)
    return SmallTask(folder, names)


def write_dataset_json(folder: Path, names: tuple[str, ...]) -> None:
    listed = [
        {"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"}
        for name in names
    ]
    labels = {"0": "background", "1": "organ", "2": "tumour"}
    content = {"name": "Small", "labels": labels, "training": listed}
    (folder / "dataset.json").write_text(json.dumps(content))


def write_nifti(path: Path, voxels: np.ndarray, *, oblique: bool = False) -> None:
    """Write voxels (x, y, z) in their own dtype as .nii.gz with an sform."""
    data = nifti_header(voxels.shape, voxels.dtype, oblique=oblique) + voxels.tobytes(order="F")
    path.write_bytes(igzip.compress(data))


def nifti_header(shape: tuple[int, ...], dtype: np.dtype, *, oblique: bool = False) -> bytes:
    """Return the 352 bytes before the voxels of a single-file NIfTI-1."""
    codes = {"|u1": (2, 8), "<i2": (4, 16), "<f4": (16, 32)}
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, *shape, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, *codes[dtype.str])
    struct.pack_into("<8f", header, 76, 1, 2, 3, 4, 1, 1, 1, 1)
    struct.pack_into("<3f", header, 108, 352, 1, 0)
    header[123] = 2  # millimetres
    struct.pack_into("<2h", header, 252, 0, 1)
    rows = np.diag([-2.0, -3.0, 4.0, 1.0])[:3]  # stored right to left, so canonical axes turn it
    if oblique:
        rows[0, 1], rows[1, 0] = 0.3, -0.2
    struct.pack_into("<12f", header, 280, *rows.reshape(-1))
    header[344:348] = b"n+1\0"
    return bytes(header)
