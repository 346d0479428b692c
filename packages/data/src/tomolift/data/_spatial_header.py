"""The fields of a NIfTI-1 header that say where its voxels lie, kept number by number.

An affine alone does not tell a file's geometry: sform and qform may differ, have codes of their
own or be absent. Labels that go back into the source's grid need every field as it was.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Triple = tuple[float, float, float]

_PIXDIM, _UNITS, _CODES = 76, 123, 252  # offsets of nifti1.h; quaternion, offset, rows follow
_NUMBERS = 18  # behind the codes: quaternion 3, offset 3, rows 12


@dataclass(frozen=True)
class SpatialHeader:
    """Where voxels lie, as the header says it: exact float32 values, used or not.

    Attributes:
        pixdim: qfac (-1 where the third axis of the qform is turned round) and the voxel size
            along stored (x, y, z).
        qform_code: 0 where the header has no qform; else what its coordinates mean.
        sform_code: likewise for the sform.
        quaternion: b, c, d of the qform's rotation.
        offset_mm: translation of the qform.
        srow: the three rows of the sform, four numbers each.
        xyzt_units: the byte of units, of space and of time.
    """

    pixdim: tuple[float, float, float, float]
    qform_code: int
    sform_code: int
    quaternion: Triple
    offset_mm: Triple
    srow: tuple[float, ...]
    xyzt_units: int

    @classmethod
    def unpack(cls, header: bytes, order: str) -> SpatialHeader:
        """Return the unchecked fields of a NIfTI-1 header in byte order ``<`` or ``>``."""
        qfac, x, y, z = struct.unpack_from(order + "4f", header, _PIXDIM)
        qform_code, sform_code, *rest = struct.unpack_from(f"{order}2h{_NUMBERS}f", header, _CODES)
        return cls(
            pixdim=(qfac, x, y, z),
            qform_code=qform_code,
            sform_code=sform_code,
            quaternion=(rest[0], rest[1], rest[2]),
            offset_mm=(rest[3], rest[4], rest[5]),
            srow=tuple(rest[6:]),
            xyzt_units=header[_UNITS],
        )

    def pack_into(self, header: bytearray) -> None:
        """Put the fields into a little-endian NIfTI-1 header."""
        struct.pack_into("<4f", header, _PIXDIM, *self.pixdim)
        header[_UNITS] = self.xyzt_units
        numbers = (*self.quaternion, *self.offset_mm, *self.srow)
        struct.pack_into(
            f"<2h{_NUMBERS}f", header, _CODES, self.qform_code, self.sform_code, *numbers
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain numbers and lists; text for NaN and infinity, which unused fields may be."""
        return {
            key: [_number(each) for each in value] if isinstance(value, tuple) else value
            for key, value in self.__dict__.items()
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> SpatialHeader:
        """Return what :meth:`to_json` gave.

        Raises:
            KeyError, TypeError, ValueError: ``content`` has not that form.
        """
        qfac, x, y, z = (float(each) for each in content["pixdim"])
        b, c, d = (float(each) for each in content["quaternion"])
        right, front, up = (float(each) for each in content["offset_mm"])
        result = cls(
            pixdim=(qfac, x, y, z),
            qform_code=int(content["qform_code"]),
            sform_code=int(content["sform_code"]),
            quaternion=(b, c, d),
            offset_mm=(right, front, up),
            srow=tuple(float(each) for each in content["srow"]),
            xyzt_units=int(content["xyzt_units"]),
        )
        try:
            result.pack_into(bytearray(348))
        except (struct.error, OverflowError) as error:
            raise ValueError(f"spatial header: {error}") from error
        return result


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)
