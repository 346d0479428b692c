"""The layout of a cache folder: names, canonical JSON, checksums and the ``.npy`` header.

::

    CACHE/CACHE.json                 manifest, written last by rename
    CACHE/journal.jsonl              one line per finished, dropped or failed volume
    CACHE/volumes/<case>.<key>.image.npy   int16 or float32 little-endian (D, H, W), C order
    CACHE/volumes/<case>.<key>.label.npy   uint8 (D, H, W), C order
    CACHE/volumes/<case>.<key>.json        geometry, statistics, label counts, checksums

``key`` is a hash of all that the volume was made from: what is made from something else has other
names, so an old cache is whole until the manifest of the new one takes its place.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from isal import isal_zlib

from ._depth import Short
from ._geometry import Axes
from .errors import BadInput, quoted

FORMAT = "tomolift-cache"
VERSION = 2  # 2: a record keeps the fields of the header that say where the source lies
MANIFEST = "CACHE.json"
JOURNAL = "journal.jsonl"
CASE_FILES = (".image.npy", ".label.npy", ".json")  # behind the name of a case and its key
KEY_DIGITS = 16  # of a case's key in file names: 64 bits tell the few versions of a case apart
NPY_HEADER_BYTES = 4096  # one page, so that voxels start on a page of the map
IMAGE_DTYPES = ("<i2", "<f4")
LABEL_DTYPE = "|u1"


@dataclass(frozen=True)
class Configuration:
    """What a build depends on beside its sources."""

    depth: int = 70
    short: Short = "drop"
    axes: Axes = "canonical"

    def __post_init__(self) -> None:
        if not (isinstance(self.depth, int) and 1 <= self.depth <= 4096):
            problem = f"is {quoted(self.depth)}, expected 1..4096"
            raise BadInput("E_ARGUMENT", "depth", problem, "use 70")
        if self.short not in ("drop", "pad"):
            raise BadInput("E_ARGUMENT", "short", f"is {quoted(self.short)}", "use drop or pad")
        if self.axes not in ("canonical", "stored"):
            problem = f"is {quoted(self.axes)}"
            raise BadInput("E_ARGUMENT", "axes", problem, "use canonical or stored")

    def to_json(self) -> dict[str, Any]:
        """Return a plain dict."""
        return asdict(self)


@dataclass(frozen=True)
class CasePaths:
    """The three files of a case in a cache, made from what ``key`` stands for."""

    image: Path
    label: Path
    record: Path

    @classmethod
    def of(cls, cache_dir: Path, case: str, key: str) -> CasePaths:
        """Return where the files of ``case`` lie; ``key`` as in its journal entry."""
        stem = f"{case}.{key[:KEY_DIGITS]}"
        return cls(*(cache_dir / "volumes" / f"{stem}{ending}" for ending in CASE_FILES))


def canonical_json(content: object) -> bytes:
    """Return the one encoding of ``content``: sorted keys, no spaces, ASCII, never NaN."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii") + b"\n"


def crc32(data: bytes | bytearray | memoryview, start: int = 0) -> int:
    """Return zlib's CRC32 (isal computes it several times faster)."""
    return int(isal_zlib.crc32(data, start))


def signed(content: dict[str, Any]) -> dict[str, Any]:
    """Return ``content`` with a CRC32 over the canonical JSON of all its other keys."""
    rest = {key: value for key, value in content.items() if key != "crc32"}
    return {**rest, "crc32": crc32(canonical_json(rest))}


def is_signed(content: object) -> bool:
    """Return whether ``content`` carries the right CRC32."""
    if not isinstance(content, dict):
        return False
    try:
        return bool(content.get("crc32") == signed(content)["crc32"])
    except (ValueError, RecursionError):  # NaN, infinity, endless nesting: canonical JSON has none
        return False


def npy_header(shape: tuple[int, int, int], dtype: str) -> bytes:
    """Return a version 1.0 ``.npy`` header padded to 4096 bytes, which ``numpy.load`` reads."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode("ascii")
    room = NPY_HEADER_BYTES - 10
    return b"\x93NUMPY\x01\x00" + room.to_bytes(2, "little") + text.ljust(room - 1) + b"\n"


def npy_bytes(shape: tuple[int, int, int], dtype: str) -> int:
    """Return the size of a cached volume file."""
    return NPY_HEADER_BYTES + shape[0] * shape[1] * shape[2] * np.dtype(dtype).itemsize
