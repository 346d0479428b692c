"""Label volumes as NIfTI-1 files, streamed plane by plane."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import numpy.typing as npt
from isal import igzip

from ._files import whole_file
from ._headers import HEADER_BYTES
from ._spatial_header import SpatialHeader

_UINT8 = 2, 8  # datatype and bits of a voxel: labels are 0..254
GZIP_LEVEL = 2  # of isal's 0 to 3: labels come out smallest, and 3 takes four times as long


def write_label_planes(
    path: Path,
    planes: Iterable[npt.NDArray[np.uint8]],
    *,
    shape: tuple[int, int, int],
    spatial: SpatialHeader,
) -> None:
    """Put a uint8 NIfTI-1 file at ``path``, gzipped where its name ends in ``.gz``.

    It appears whole or not at all. Equal labels give equal bytes: no time, no name is stored.

    Args:
        path: the file; one that is there is replaced.
        planes: stored planes (Y, X), ``shape[2]`` of them.
        shape: (x, y, z) as stored.
        spatial: where the voxels lie.
    """
    with whole_file(path) as file:
        if not path.name.endswith(".gz"):
            _stream(file, planes, shape, spatial)
            return
        with igzip.GzipFile(
            filename="", mode="wb", compresslevel=GZIP_LEVEL, fileobj=file, mtime=0
        ) as compressed:
            _stream(cast(BinaryIO, compressed), planes, shape, spatial)


def _stream(
    file: BinaryIO,
    planes: Iterable[npt.NDArray[np.uint8]],
    shape: tuple[int, int, int],
    spatial: SpatialHeader,
) -> None:
    file.write(label_header(shape, spatial))
    for plane in planes:
        file.write(np.ascontiguousarray(plane).data)


def label_header(shape: tuple[int, int, int], spatial: SpatialHeader) -> bytes:
    """Return the 352 bytes before the voxels; all that says nothing of the voxels is zero."""
    header = bytearray(HEADER_BYTES)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, *shape, 1, 1, 1, 1)
    struct.pack_into("<hh", header, 70, *_UINT8)
    struct.pack_into("<4f", header, 92, 1.0, 1.0, 1.0, 1.0)  # pixdim of axes that are not there
    struct.pack_into("<3f", header, 108, HEADER_BYTES, 1.0, 0.0)  # vox_offset, slope, intercept
    spatial.pack_into(header)
    header[344:348] = b"n+1\0"
    return bytes(header)
