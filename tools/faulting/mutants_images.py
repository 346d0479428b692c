"""NIfTI files shown to our own readers, in memory and as files."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from faulting.mutants_bytes import resized
from faulting.mutants_gzip import gzip_mutant
from faulting.mutants_nifti import HEADER_BYTES, nifti_mutant, nifti_seeds
from faulting.mutants_target import Target, Trial, require
from isal import igzip

from tomolift.data import MinMax, Percentiles, Window, ZScore, read_volume
from tomolift.data._headers import MAX_SIDE, MAX_VOXELS, NiftiHeader, parse_header
from tomolift.data._nifti import open_nifti

ImageMutant = tuple[str, bytes]  # the name of the file tells a reader whether it is compressed
# zlib refuses a set of Huffman codes that is incomplete or has too many, isal only where one of
# them is used; length and CRC32 of what it decodes are right
LENIENT = "unused Huffman codes that zlib refuses, with the right CRC32"
_INTENSITIES = (MinMax(), Percentiles(), Window(-100, 240), ZScore())


def prepare_header(folder: Path) -> Trial:
    """Make the trial of the header's parser: 352 bytes, no file."""
    seeds = nifti_seeds()

    def make(random: Random) -> bytes:
        return nifti_mutant(random, seeds)[:HEADER_BYTES].ljust(HEADER_BYTES, b"\0")

    def look(mutant: bytes) -> None:
        require_sane_header(parse_header(mutant, Path("a.nii")))

    return Trial(make, look)


def prepare_stream(folder: Path) -> Trial:
    """Make the trial of the streaming reader: every plane, against zlib and numpy."""
    write = image_writer(folder)

    def look(mutant: ImageMutant) -> str | None:
        path = write(mutant)
        with open_nifti(path) as stream:
            planes = np.stack([plane.copy() for _, plane in stream.planes()])
        require_sane_header(stream.header)
        header, plain = stream.header, decompressed(mutant[1])
        difference = None
        if not plain:
            difference, plain = LENIENT, igzip.decompress(mutant[1])
        require(len(plain) == header.data_offset + header.data_bytes, "all bytes are declared")
        expected = np.frombuffer(plain, header.dtype, offset=header.data_offset)
        require(planes.tobytes() == expected.astype(planes.dtype).tobytes(), "the file's voxels")
        return difference

    return Trial(image_maker(), look)


def prepare_volume(folder: Path) -> Trial:
    """Make the trial of :func:`read_volume`, under every policy and both axes."""
    write, make = image_writer(folder), image_maker(hostile=0.3)

    def make_with_policy(random: Random) -> Any:
        axes = random.choice(("canonical", "stored"))
        return make(random), random.choice(_INTENSITIES), axes

    def look(mutant: Any) -> None:
        image, intensity, axes = mutant
        volume, geometry = read_volume(write(image), intensity=intensity, axes=axes)
        require(volume.shape == geometry.shape, "the shape of its geometry")
        require(bool(np.isfinite(volume).all()), "finite")
        require(bool(np.isfinite(geometry.affine).all()), "a finite affine")

    return Trial(make_with_policy, look)


def require_sane_header(header: NiftiHeader) -> None:
    """Fail where an accepted header promises what no reader can use."""
    require(all(1 <= side <= MAX_SIDE for side in header.shape), "sides within the limit")
    require(header.data_bytes <= MAX_VOXELS * 8, "bytes within the limit")
    require(header.data_offset >= HEADER_BYTES, "voxels behind the header")
    require(bool(np.isfinite([header.slope, header.intercept]).all()), "finite scaling")
    require(header.slope != 0, "a slope")
    require(bool(np.isfinite(header.affine).all()), "a finite affine")
    require(bool(np.linalg.det(header.affine) != 0), "an affine with an inverse")


def image_maker(*, hostile: float = 0.5) -> Callable[[Random], ImageMutant]:
    """Return what makes a mutant of a whole file, compressed or not."""
    seeds = nifti_seeds()

    def make(random: Random) -> ImageMutant:
        # what damages the header is rarely worth a damaged stream around it
        damages_header = random.random() < 0.5
        data = nifti_mutant(random, seeds, hostile=hostile if damages_header else 0.0)
        outside = 0.1 if damages_header else hostile
        if random.random() < 0.6:
            data = gzip_mutant(random, data, hostile=outside)
        elif random.random() < outside:
            data = resized(random, data)
        is_gzip = data[:2] == b"\x1f\x8b"
        return ("a.nii.gz" if is_gzip != (random.random() < 0.02) else "a.nii"), data

    return make


def image_writer(folder: Path) -> Callable[[ImageMutant], Path]:
    """Return what puts a mutant into a file of ``folder``, each time the same two."""
    files = {
        name: os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        for name in ("a.nii", "a.nii.gz")
    }

    def write(mutant: ImageMutant) -> Path:
        name, data = mutant
        os.pwrite(files[name], data, 0)
        os.ftruncate(files[name], len(data))
        return folder / name

    return write


def decompressed(data: bytes) -> bytes:
    """Return what Python's own gzip makes of a file; nothing where zlib refuses its codes."""
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        return gzip.decompress(data)
    except zlib.error:
        return b""


HEADER = Target("header", 0.55, prepare_header)
STREAM = Target("stream", 0.25, prepare_stream)
VOLUME = Target("volume", 0.005, prepare_volume)
