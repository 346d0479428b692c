"""The bombs: how each is made, and what must be told of it."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from faulting.small_task import SHAPE, nifti_header
from isal import isal_zlib

MEGABYTE = 1_000_000
TERABYTE = 10**12


@dataclass(frozen=True)
class Bomb:
    """`place` puts it into a sound task folder or cache; `expected` are the codes told of it.

    `reader` is image, task or cache: what reads it.
    """

    reader: str
    expected: str
    place: Callable[[Path, int], None]


def gzip_of_zeros(path: Path, megabytes: int) -> None:
    """Write the header of a small volume, then zeros, packed a thousand times smaller."""
    write_gzip(path, nifti_header(SHAPE, np.dtype("<i2")), zeros=megabytes * MEGABYTE)


def extensions(path: Path, megabytes: int) -> None:
    """Write header extensions as long as the bomb unpacks to."""
    header = bytearray(nifti_header(SHAPE, np.dtype("<i2")))
    struct.pack_into("<f", header, 108, float(megabytes * MEGABYTE))
    write_gzip(path, bytes(header), zeros=megabytes * MEGABYTE)


def write_gzip(path: Path, first: bytes, *, zeros: int) -> None:
    """Write one gzip member of some bytes and many zeros, without compressing each of them."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    head = packer.compress(first) + packer.flush(zlib.Z_FULL_FLUSH)
    block = bytes(8 * MEGABYTE)  # a full flush lets its packed form stand for every other one
    packed = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    blocks, rest = divmod(zeros, len(block))
    checksum = isal_zlib.crc32(first)
    for _ in range(blocks):
        checksum = isal_zlib.crc32(block, checksum)
    checksum = isal_zlib.crc32(bytes(rest), checksum)
    tail = packer.compress(bytes(rest)) + packer.flush()
    trailer = struct.pack("<II", checksum, (len(first) + zeros) % 2**32)
    start = b"\x1f\x8b\x08\0\0\0\0\0\x02\x03"
    path.write_bytes(start + head + packed * blocks + tail + trailer)


def claiming(*sides: int, dtype: str = "<i2") -> Callable[[Path, int], None]:
    """Return what writes a volume of one kilobyte whose header claims these sides."""

    def place(path: Path, megabytes: int) -> None:
        write_gzip(path, nifti_header(sides, np.dtype(dtype)), zeros=1000)

    return place


def empty_members(path: Path, megabytes: int) -> None:
    """Write a gzip file of 100 000 empty members before the volume's own."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    empty = packer.compress(b"") + packer.flush()
    path.write_bytes(empty * 100_000 + path.read_bytes())


def hole(name: str) -> Callable[[Path, int], None]:
    """Return what makes a file a terabyte long, without a byte of it on the disk."""

    def place(folder: Path, megabytes: int) -> None:
        (path,) = folder.glob(name)
        os.truncate(path, TERABYTE)

    return place


def nested(name: str) -> Callable[[Path, int], None]:
    """Return what writes a million open brackets."""

    def place(folder: Path, megabytes: int) -> None:
        (folder / name).write_bytes(b"[" * 1_000_000)

    return place


BOMBS = {
    "gzip of zeros": Bomb("image", "E_SIZE", gzip_of_zeros),
    "70 TB claimed": Bomb("image", "E_HEADER", claiming(32767, 32767, 32767)),
    "550 GB claimed": Bomb("image", "E_HEADER", claiming(4096, 4096, 4096, dtype="<f4")),
    "4 GB claimed": Bomb("image", "E_SIZE", claiming(1024, 1024, 1024, dtype="<f4")),
    "gzip of header extensions": Bomb("image", "E_HEADER", extensions),
    "gzip of empty members": Bomb("image", "", empty_members),
    "dataset.json of 1 TB": Bomb("task", "E_DATASET_JSON", hole("dataset.json")),
    "dataset.json of brackets": Bomb("task", "E_DATASET_JSON", nested("dataset.json")),
    "CACHE.json of 1 TB": Bomb("cache", "E_CACHE", hole("CACHE.json")),
    "CACHE.json of brackets": Bomb("cache", "E_CACHE", nested("CACHE.json")),
    "journal of 1 TB": Bomb("cache", "E_CACHE", hole("journal.jsonl")),
    "journal of brackets": Bomb("cache", "E_CACHE", nested("journal.jsonl")),
    "record of 1 TB": Bomb("cache", "E_CACHE", hole("volumes/case_000.*.json")),
    "volume of 1 TB": Bomb("cache", "E_CACHE", hole("volumes/case_000.*.image.npy")),
}
