"""Mutants of NIfTI-1 files: plausible ones, hostile fields, and damaged bytes."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import nibabel as nib
import numpy as np
from faulting.mutants_bytes import damage

HEADER_BYTES = 352
_MOST_FITTED_BYTES = 2**14  # a larger declared volume stays larger than its file
_TYPES = {2: 8, 4: 16, 8: 32, 16: 32, 64: 64, 256: 8, 512: 16, 768: 32, 1024: 64, 1280: 64}
_REALS = (16, 64)
# nifti1.h: offset and format of the fields that a reader may look at
_FIELDS = (
    (0, "i"), *((40 + 2 * k, "h") for k in range(8)), (70, "h"), (72, "h"),
    *((76 + 4 * k, "f") for k in range(8)), (108, "f"), (112, "f"), (116, "f"), (123, "b"),
    (252, "h"), (254, "h"), *((256 + 4 * k, "f") for k in range(18)), (344, "i"), (348, "i"),
)  # fmt: skip
_INTEGERS = (0, 1, -1, 2, 3, 4, 5, 7, 8, 9, 16, 64, 127, 128, 255, 256, 348, 540, 4096, 4097, 32767)
_REAL_VALUES = (
    0.0, -0.0, 1.0, -1.0, 2.5, math.nan, math.inf, -math.inf, 1e-45, 1e-5, 1e-4, 1e4, 1e5, 3e38,
    -3e38, 351.0, 352.0, 353.5, 368.0, 2.0**24, 2.0**25, 2.0**31, -352.0,
)  # fmt: skip


@dataclass
class NiftiBytes:
    """A file in the making: header with four bytes of extension flag, extension, voxels."""

    header: bytearray
    extension: bytes
    voxels: bytes

    @property
    def order(self) -> str:
        """Byte order for :mod:`struct`."""
        return "<" if self.header[0] == 0x5C else ">"  # 348 is 0x15C

    def joined(self) -> bytes:
        """Return the file."""
        return bytes(self.header) + self.extension + self.voxels


def nifti_seeds() -> tuple[bytes, ...]:
    """Return sound files: every type, both byte orders, all ways of saying where they lie."""
    random = np.random.default_rng(0)
    seeds = []
    for number, datatype in enumerate(_TYPES):
        header = nib.Nifti1Header(endianness="<>"[number % 2])
        header.set_data_dtype(datatype)
        shape = (4, 3, 2) if number % 3 else (2, 5, 3, 1)
        image = nib.Nifti1Image(random.integers(0, 3, shape).astype(np.uint8), None, header)
        affine = np.diag([2.0, -3.0 if number % 4 else 3.0, 4.0, 1.0])
        affine[:3, 3] = -10, 20, 5
        image.set_sform(affine, code=number % 3)
        image.set_qform(affine, code=number % 5 % 2)
        image.header.set_data_dtype(datatype)
        seeds.append(image.to_bytes())
    return tuple(seeds)


def nifti_mutant(
    random: Random, seeds: Sequence[bytes], *, hostile: float = 0.5, redrawn: float = 0.8
) -> bytes:
    """Return a mutant of one of ``seeds``.

    With chance ``redrawn`` some fields get other plausible values; with chance ``hostile`` a field
    is impossible or bytes are damaged.
    """
    data = random.choice(seeds)
    file = NiftiBytes(bytearray(data[:HEADER_BYTES]), b"", data[HEADER_BYTES:])
    if random.random() < redrawn:
        for _ in range(random.choice((1, 1, 2, 3))):
            random.choice(_REDRAWN)(random, file)
    is_hostile = random.random() < hostile
    if is_hostile and random.random() < 0.6:
        for _ in range(random.choice((1, 1, 1, 2))):
            _spoil_field(random, file)
    if random.random() < 0.9:
        _fit_voxels(random, file)
    data = file.joined()
    if is_hostile and random.random() < 0.4:
        data = damage(random, data, stop=HEADER_BYTES if random.random() < 0.7 else None)
    return data


def _put(file: NiftiBytes, offset: int, form: str, *values: float) -> None:
    struct.pack_into(file.order + form, file.header, offset, *values)


def _spoil_field(random: Random, file: NiftiBytes) -> None:
    offset, form = random.choice(_FIELDS)
    if form == "f":
        _put(file, offset, form, random.choice(_REAL_VALUES))
        return
    bits = {"b": 7, "h": 15, "i": 31}[form]
    value = random.choice(_INTEGERS) if random.random() < 0.7 else random.getrandbits(bits)
    _put(file, offset, form, min(value, 2**bits - 1) * random.choice((1, 1, 1, -1)))


def _fit_voxels(random: Random, file: NiftiBytes) -> None:
    """Give the file as many voxels as its header declares, where those are few."""
    dim = struct.unpack_from(file.order + "8h", file.header, 40)
    (datatype,) = struct.unpack_from(file.order + "h", file.header, 70)
    if not 1 <= dim[0] <= 7 or any(side < 1 for side in dim[1 : dim[0] + 1]):
        return
    count, bits = math.prod(dim[1 : dim[0] + 1]), _TYPES.get(datatype, 8)
    if count * bits // 8 > _MOST_FITTED_BYTES:
        return
    kind = "f" if datatype in _REALS else "i"
    if kind == "f" and random.random() < 0.8:  # random bits are soon NaN
        values = [random.choice((0.0, 1.0, 2.0, -5.0, 0.5, 1e6)) for _ in range(count)]
        file.voxels = struct.pack(f"{file.order}{count}{'f' if bits == 32 else 'd'}", *values)
    elif random.random() < 0.5:  # small integers, which a label is made of
        small = random.choice((2, 3, 300))
        size, big = bits // 8, "little" if file.order == "<" else "big"
        file.voxels = b"".join(
            (random.randrange(small) % 2**bits).to_bytes(size, big) for _ in range(count)
        )
    else:
        file.voxels = random.randbytes(count * bits // 8)


def _redraw_shape(random: Random, file: NiftiBytes) -> None:
    largest = (4096,) * (random.random() < 0.05)
    sides = [random.choice(largest or (1, 1, 2, 3, 4, 5, 9)) for _ in range(3)]
    dims = random.choice((3, 3, 3, 4, 5, 7))
    _put(file, 40, "8h", dims, *sides, 1, 1, 1, 1)


def _redraw_type(random: Random, file: NiftiBytes) -> None:
    datatype = random.choice(tuple(_TYPES))
    _put(file, 70, "hh", datatype, _TYPES[datatype])


def _redraw_scaling(random: Random, file: NiftiBytes) -> None:
    slope = random.choice((0.0, 1.0, 2.0, -1.0, 0.001, 1e-30, 1e30, random.gauss(0, 10)))
    _put(file, 112, "ff", slope, random.choice((0.0, -1024.0, 1e30, random.gauss(0, 1000))))


def _redraw_sform(random: Random, file: NiftiBytes) -> None:
    _put(file, 254, "h", random.choice((0, 1, 2, 4, 5)))
    scale = random.choice((1.0, 1.0, 1e-3, 300.0))
    rows = [random.gauss(0, scale) for _ in range(12)]
    if random.random() < 0.05:  # squeezed into a plane
        rows[4:8] = rows[:4]
    _put(file, 280, "12f", *rows)


def _redraw_qform(random: Random, file: NiftiBytes) -> None:
    _put(file, 252, "hh", random.choice((0, 1, 1, 2)), random.choice((0, 0, 0, 1)))
    turn = [random.gauss(0, 1) for _ in range(4)]
    length = math.hypot(*turn) / random.choice((1.0, 1.0, 1.0, 1.0 + 1e-7, 1.01))
    _put(file, 256, "6f", *(part / length for part in turn[1:]), *(random.gauss(0, 90),) * 3)


def _redraw_pixdim(random: Random, file: NiftiBytes) -> None:
    _put(file, 76, "f", random.choice((1.0, -1.0, 0.0, 1.0)))
    _put(file, 80, "3f", *(random.uniform(0.1, 9) for _ in range(3)))


def _redraw_units(random: Random, file: NiftiBytes) -> None:
    file.header[123] = random.choice((0, 2, 8, 10, 18, 26, 1, 3))


def _redraw_extension(random: Random, file: NiftiBytes) -> None:
    """Put voxels behind an extension whose size is right, or wrong in a way worth a look."""
    size = random.choice((16, 32, 64, 512))
    declared = random.choice((size, size, size, 0, -16, 8, size + 16, 2**30, 2**31 - 16))
    content = struct.pack(file.order + "ii", declared, 6) + random.randbytes(size - 8)
    file.extension = content
    file.header[348] = 1
    offset = random.choice((HEADER_BYTES + size,) * 4 + (HEADER_BYTES, 0))
    _put(file, 108, "f", offset)


_REDRAWN: tuple[Callable[[Random, NiftiBytes], None], ...] = (
    _redraw_shape, _redraw_type, _redraw_scaling, _redraw_sform, _redraw_qform, _redraw_pixdim,
    _redraw_units, _redraw_extension,
)  # fmt: skip
