"""NIfTI-1 headers, checked field by field before anything is allocated.

nibabel lets negative dimensions, NaN affines and infinite slopes through silently; here each
is refused. Field offsets are those of ``nifti1.h``.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ._spatial_header import SpatialHeader, Triple
from .errors import BadInput

HEADER_BYTES = 352  # 348 and the four bytes that announce extensions
MAX_SIDE = 4096
MAX_VOXELS = 2**31  # twice 512 x 512 x 4096: more than any public CT
MOST_FORM_CODE = 5  # other readers take a larger one for 0, and so another affine
MAX_DATA_OFFSET = 2**24  # header extensions beyond 16 MiB are an attack, not a header

# nibabel's: what float32 numbers leave of a half turn is no rotation of its own
QUATERNION_ROUNDING = 3 * 2.0**-23

_DTYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8",
    256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
RE_EXPORT = "re-export the file with a NIfTI writer"


@dataclass(frozen=True, eq=False)
class NiftiHeader:
    """What the reader needs of a NIfTI-1 header; ``shape`` is (x, y, z) as stored."""

    shape: tuple[int, int, int]
    dtype: np.dtype[np.generic]
    data_offset: int
    slope: float
    intercept: float
    affine: npt.NDArray[np.float64]
    spatial: SpatialHeader

    @property
    def scaled(self) -> bool:
        """Whether grey values are ``slope * stored + intercept`` and not the stored ones."""
        return (self.slope, self.intercept) != (1.0, 0.0)

    @property
    def data_bytes(self) -> int:
        """Bytes of all voxels."""
        return math.prod(self.shape) * self.dtype.itemsize


def parse_header(data: bytes, path: Path) -> NiftiHeader:
    """Return the checked header in the first 352 bytes of a single-file NIfTI-1.

    Raises:
        BadInput: E_HEADER, or E_4D for more than one channel or time point.
    """
    order = byte_order(data, path)
    shape = _shape(struct.unpack_from(order + "8h", data, 40), path)
    dtype = _dtype(*struct.unpack_from(order + "hh", data, 70), order=order, path=path)
    offset, slope, intercept = struct.unpack_from(order + "3f", data, 108)
    if slope == 0:  # nifti1.h: a slope of zero means that values are not scaled
        slope, intercept = 1.0, 0.0
    if not (math.isfinite(slope) and math.isfinite(intercept)):
        raise _bad(path, f"scl_slope {slope} and scl_inter {intercept} are not both finite")
    if data[123] & 7 in (1, 3):
        raise _bad(path, "xyzt_units says metres or micrometres, expected millimetres")
    spatial = SpatialHeader.unpack(data, order)
    for name, code in (("qform", spatial.qform_code), ("sform", spatial.sform_code)):
        if code > MOST_FORM_CODE:
            raise _bad(path, f"{name}_code is {code}, expected 0..{MOST_FORM_CODE}")
    return NiftiHeader(
        shape=shape,
        dtype=dtype,
        data_offset=_data_offset(offset, path),
        slope=slope,
        intercept=intercept,
        affine=_affine(spatial, shape, path),
        spatial=spatial,
    )


def byte_order(data: bytes, path: Path) -> str:
    """Return ``<`` or ``>``.

    Raises:
        BadInput: E_HEADER: neither makes it the header of a single-file NIfTI-1.
    """
    sizes = {order: struct.unpack_from(order + "i", data)[0] for order in "<>"}
    if 540 in sizes.values():
        raise _bad(path, "is NIfTI-2, expected NIfTI-1")
    for order, size in sizes.items():
        if size == 348:
            if data[344:348] != b"n+1\0":
                raise _bad(path, f"magic is {data[344:348]!r}, expected b'n+1\\x00'")
            return order
    raise _bad(path, f"sizeof_hdr is {sizes['<']}, expected 348")


def _shape(dim: tuple[int, ...], path: Path) -> tuple[int, int, int]:
    if not 3 <= dim[0] <= 7:
        raise _bad(path, f"dim[0] is {dim[0]}, expected 3 (or up to 7 with ones after the third)")
    sides = dim[1 : dim[0] + 1]
    if not all(1 <= side <= MAX_SIDE for side in sides):
        raise _bad(path, f"dimensions are {sides}, expected each in 1..{MAX_SIDE}")
    if math.prod(sides[:3]) > MAX_VOXELS:
        raise _bad(path, f"dimensions are {sides}, more than {MAX_VOXELS} voxels")
    if any(side != 1 for side in sides[3:]):
        cure = "split it into one 3D file per channel and list one of them in dataset.json"
        raise BadInput("E_4D", path, f"dimensions are {sides}, expected three", cure)
    return sides[0], sides[1], sides[2]


def _dtype(datatype: int, bitpix: int, *, order: str, path: Path) -> np.dtype[np.generic]:
    if datatype not in _DTYPES:
        raise _bad(path, f"datatype {datatype} is no integer or real type of up to 64 bits")
    dtype = np.dtype(order + _DTYPES[datatype])
    if bitpix != 8 * dtype.itemsize:
        raise _bad(path, f"bitpix is {bitpix}, expected {8 * dtype.itemsize} for {dtype.name}")
    return dtype


def _data_offset(offset: float, path: Path) -> int:
    if offset == 0:  # written by some tools for "directly after the header"
        return HEADER_BYTES
    if not (HEADER_BYTES <= offset <= MAX_DATA_OFFSET and offset == int(offset)):
        raise _bad(path, f"vox_offset is {offset}, expected {HEADER_BYTES}..{MAX_DATA_OFFSET}")
    return int(offset)


def _affine(
    spatial: SpatialHeader, shape: tuple[int, int, int], path: Path
) -> npt.NDArray[np.float64]:
    """Return (x, y, z) -> mm: the sform, else the qform, else nibabel's centred base affine."""
    _check_pixdim(spatial, path)
    qfac, x, y, z = spatial.pixdim
    affine = np.eye(4)
    with np.errstate(invalid="ignore"):  # what comes of NaN and infinity is refused below
        if spatial.sform_code > 0:
            affine[:3] = np.reshape(spatial.srow, (3, 4))
        elif spatial.qform_code > 0:
            affine[:3, :3] = _rotation(spatial.quaternion, path)
            affine[:3, :3] *= [x, y, -z if qfac < 0 else z]
            affine[:3, 3] = spatial.offset_mm
        else:
            affine[:3, :3] = np.diag([-x, y, z])
            affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    if not np.isfinite(affine).all():
        raise _bad(path, "the affine has NaN or infinite entries")
    zooms = np.linalg.norm(affine[:3, :3], axis=0)
    if not ((zooms > 1e-4) & (zooms < 1e4)).all():
        raise _bad(path, f"voxel sizes are {zooms.tolist()}, expected 1e-4..1e4 mm")
    if abs(np.linalg.det(affine[:3, :3] / zooms)) < 1e-3:
        raise _bad(path, "the affine squeezes the volume into a plane")
    return affine


def _check_pixdim(spatial: SpatialHeader, path: Path) -> None:
    """Refuse numbers that readers take differently, where they decide where the volume lies."""
    qfac, *sides = spatial.pixdim
    if spatial.sform_code > 0:
        return
    if not min(sides) >= 0:  # nibabel takes them without their sign, others as they are
        raise _bad(path, f"pixdim is {sides}, expected positive voxel sizes")
    if spatial.qform_code > 0 and qfac < 0 and qfac != -1:  # nibabel: 1; others: -1
        raise _bad(path, f"pixdim[0] is {qfac}, expected 1, or -1 for a turned third axis")


def _rotation(quaternion: Triple, path: Path) -> npt.NDArray[np.float64]:
    b, c, d = quaternion
    rest = 1.0 - (b * b + c * c + d * d)
    if not rest > -QUATERNION_ROUNDING:  # NaN fails here too
        raise _bad(path, f"quaternion {quaternion} is longer than 1")
    a = math.sqrt(rest) if rest >= QUATERNION_ROUNDING else 0.0
    return np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )


def _bad(path: Path, problem: str) -> BadInput:
    return BadInput("E_HEADER", path, problem, RE_EXPORT)
