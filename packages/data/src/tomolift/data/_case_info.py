"""What a cache knows of a case without reading a voxel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ._depth import middle_slices
from ._geometry import Geometry
from ._headers import MAX_SIDE
from ._spatial_header import SpatialHeader
from ._statistics import Statistics


@dataclass(frozen=True, eq=False)
class CaseInfo:
    """Geometry, statistics and label counts of a cached volume.

    Attributes:
        case: its name.
        shape: (D, H, W) of the cached volume.
        affine: 4 x 4 float64, (x, y, z) = (w, h, d) of the cached volume to mm.
        source_affine: 4 x 4 float64, (x, y, z) of the source file as stored to mm.
        zooms_mm: voxel size along (D, H, W).
        source_shape: (x, y, z) of the source file as stored.
        source_dtype: the source's type, such as ``int16``.
        permutation: the stored axis behind each of (x, y, z).
        flips: whether each of (x, y, z) runs against its stored axis.
        spatial: the fields of the source's header that say where it lies.
        z0: slice of the whole (canonical) source that cached slice 0 is; negative where padded.
        dtype: ``<i2`` or ``<f4``, of the cached grey values.
        slope: real value = slope * cached value + ``intercept``.
        encoding_error: largest difference between a source value and its cached encoding.
        statistics: of the whole source volume before cropping, in real units.
        pad_value: cached value of the padded slices: the volume's minimum.
        label_counts: (D, classes) int64, voxels of each class in each slice.
        ignored_per_slice: (D,) int64, voxels labelled 255.
        foreground_lost: voxels of classes 1 and above that the crop cut off.
        checksums: CRC32 of the cached image file and of the label file. With ``shape`` and
            ``dtype`` they say what a training saw, whatever the times of the files.
    """

    case: str
    shape: tuple[int, int, int]
    affine: npt.NDArray[np.float64]
    source_affine: npt.NDArray[np.float64]
    zooms_mm: tuple[float, float, float]
    source_shape: tuple[int, int, int]
    source_dtype: str
    permutation: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    spatial: SpatialHeader
    z0: int
    dtype: str
    slope: float
    intercept: float
    encoding_error: float
    statistics: Statistics
    pad_value: float
    label_counts: npt.NDArray[np.int64]
    ignored_per_slice: npt.NDArray[np.int64]
    foreground_lost: int
    checksums: tuple[int, int]

    @property
    def minimum(self) -> float:
        """Smallest grey value of the whole source volume."""
        return self.statistics.minimum

    @property
    def maximum(self) -> float:
        """Largest grey value of the whole source volume."""
        return self.statistics.maximum

    @property
    def percentiles(self) -> Mapping[float, float]:
        """Percent -> grey value of the whole source volume."""
        return self.statistics.percentiles

    @property
    def valid_slices(self) -> tuple[int, int]:
        """The half-open range of cached slices that hold source slices; the others are padding."""
        whole_depth = self.source_shape[self.permutation[2]]
        return middle_slices(whole_depth, depth=self.shape[0]).valid

    @property
    def geometry(self) -> Geometry:
        """The way from the whole source array to (D, H, W), before cropping or padding."""
        whole = self.affine.copy()
        whole[:3, 3] -= self.affine[:3, 2] * self.z0
        return Geometry(
            affine=whole,
            source_affine=self.source_affine,
            source_shape=self.source_shape,
            permutation=self.permutation,
            flips=self.flips,
            spatial=self.spatial,
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain numbers and lists; ``checksums`` stand in the record of each file."""
        content = {key: value for key, value in self.__dict__.items() if key != "checksums"}
        for key in ("affine", "source_affine", "label_counts", "ignored_per_slice"):
            content[key] = content[key].tolist()
        content["spatial"] = self.spatial.to_json()
        content["statistics"] = self.statistics.to_json()
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> CaseInfo:
        """Return what a record holds: :meth:`to_json` and the records of its two files.

        Raises:
            KeyError, TypeError, ValueError: ``content`` has not that form.
        """
        depth, height, width = (int(side) for side in content["shape"])
        x, y, z = (int(side) for side in content["source_shape"])
        zooms = [float(zoom) for zoom in content["zooms_mm"]]
        order = [int(axis) for axis in content["permutation"]]
        flips = [bool(flip) for flip in content["flips"]]
        counts = np.array(content["label_counts"], np.int64)
        ignored = np.array(content["ignored_per_slice"], np.int64)
        if counts.ndim != 2 or len(counts) != depth or ignored.shape != (depth,):
            raise ValueError("label counts do not match the depth")
        if sorted(order) != [0, 1, 2]:
            raise ValueError(f"permutation is {order}")
        whole_depth, *plane = ((x, y, z)[axis] for axis in reversed(order))
        if plane != [height, width] or not 1 <= whole_depth <= MAX_SIDE:
            raise ValueError(f"source shape is {(x, y, z)}")
        if content["z0"] != middle_slices(whole_depth, depth=depth).z0:
            raise ValueError(f"z0 is {content['z0']}")
        return cls(
            case=str(content["case"]),
            shape=(depth, height, width),
            affine=np.array(content["affine"], np.float64).reshape(4, 4),
            source_affine=np.array(content["source_affine"], np.float64).reshape(4, 4),
            zooms_mm=(zooms[0], zooms[1], zooms[2]),
            source_shape=(x, y, z),
            source_dtype=str(content["source_dtype"]),
            permutation=(order[0], order[1], order[2]),
            flips=(flips[0], flips[1], flips[2]),
            spatial=SpatialHeader.from_json(content["spatial"]),
            z0=int(content["z0"]),
            dtype=str(content["dtype"]),
            slope=float(content["slope"]),
            intercept=float(content["intercept"]),
            encoding_error=float(content["encoding_error"]),
            statistics=Statistics.from_json(content["statistics"]),
            pad_value=float(content["pad_value"]),
            label_counts=counts,
            ignored_per_slice=ignored,
            foreground_lost=int(content["foreground_lost"]),
            checksums=(int(content["image"]["crc32"]), int(content["label"]["crc32"])),
        )
