"""Where a volume lies in space, and how its stored axes become (D, H, W)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ._headers import NiftiHeader
from ._spatial_header import SpatialHeader

Axes = Literal["canonical", "stored"]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Geometry:
    """The way from a stored NIfTI array to a (D, H, W) volume.

    Attributes:
        affine: 4 x 4, (x, y, z) of the (D, H, W) volume, that is (w, h, d), to mm.
        source_affine: 4 x 4, (x, y, z) of the file as stored to mm.
        source_shape: (x, y, z) as stored.
        permutation: the stored axis behind each of (x, y, z) of the volume.
        flips: whether each of (x, y, z) of the volume runs against its stored axis.
        spatial: the fields of the file's header that say where it lies.
    """

    affine: FloatArray
    source_affine: FloatArray
    source_shape: tuple[int, int, int]
    permutation: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    spatial: SpatialHeader

    @property
    def shape(self) -> tuple[int, int, int]:
        """(D, H, W) of the whole volume."""
        x, y, z = (self.source_shape[axis] for axis in self.permutation)
        return z, y, x

    @property
    def zooms_mm(self) -> tuple[float, float, float]:
        """Voxel size along (D, H, W) in mm."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0).tolist()
        return z, y, x

    @property
    def slices_are_stored_planes(self) -> bool:
        """Whether D is the third stored axis, so that one stored plane is one slice."""
        return self.permutation[2] == 2

    def slice_index(self, plane_index: int) -> int:
        """Return the slice that a stored plane becomes (where planes are slices)."""
        return self.source_shape[2] - 1 - plane_index if self.flips[2] else plane_index

    def plane_to_slice(self, plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a stored plane (Y, X) as a slice (H, W): a view."""
        turned = plane if self.permutation[1] == 1 else plane.T
        return turned[:: -1 if self.flips[1] else 1, :: -1 if self.flips[0] else 1]

    def stored_view(self, volume: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a (D, H, W) volume in the stored order (Z, Y, X): a view, writing goes through."""
        steps = tuple(slice(None, None, -1 if flip else 1) for flip in reversed(self.flips))
        places = [2 - self.permutation.index(2 - place) for place in range(3)]
        return volume[steps].transpose(places)


def geometry_of(header: NiftiHeader, *, axes: Axes) -> Geometry:
    """Return how the stored axes of ``header`` become (D, H, W).

    ``canonical`` takes the nearest RAS orientation (D inferior to superior, H posterior to
    anterior, W left to right); ``stored`` keeps the third stored axis as D, unflipped.
    """
    permutation, flips = (0, 1, 2), (False, False, False)
    if axes == "canonical":
        from nibabel.orientations import io_orientation  # half of a reader's imports: not for it

        targets, signs = io_orientation(header.affine).T
        order = np.argsort(targets)
        permutation = (int(order[0]), int(order[1]), int(order[2]))
        flips = (signs[order[0]] < 0, signs[order[1]] < 0, signs[order[2]] < 0)
    affine = header.affine.copy()
    for axis, (source, flip) in enumerate(zip(permutation, flips, strict=True)):
        column = header.affine[:3, source]
        affine[:3, axis] = -column if flip else column
        if flip:
            affine[:3, 3] += column * (header.shape[source] - 1)
    return Geometry(
        affine=affine,
        source_affine=header.affine,
        source_shape=header.shape,
        permutation=permutation,
        flips=(bool(flips[0]), bool(flips[1]), bool(flips[2])),
        spatial=header.spatial,
    )
