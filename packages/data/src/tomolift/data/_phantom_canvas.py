"""A grid of HU on which the phantom's organs are painted with soft edges (partial volume).

Everything is placed in *units* of 3.5 mm: x to the patient's left and y to the back with the image
centre at (48, 48), z to the head from the middle of the slices that the depth policy keeps; the
patient's position moves all of it. By default a voxel is 0.9 units wide, a slice 0.8 units thick.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ._phantom_fields import smooth_field

Volume = NDArray[np.float32]  # (depth, height, width)
Box = tuple[slice, slice, slice]

UNIT_MM = 3.5
SLICE_UNITS = 0.8
WIDTH_UNITS = 86.4
CENTRE_UNITS = 48.0
EDGE_UNITS = 4.0  # how far beyond a solid its distances are known: the room for fat around it


@dataclass(frozen=True)
class Solid:
    """A shape as signed distances (units, negative inside) over the box that it needs."""

    box: Box
    distance: Volume


class Canvas:
    """HU, labels and coordinates of one volume while it is being painted."""

    def __init__(
        self,
        *,
        size: int,
        num_slices: int,
        middle: float,
        depth: int,
        position: tuple[float, float, float],
        rng: np.random.Generator,
    ) -> None:
        """Lay out an empty (air) volume.

        Args:
            size: voxels along x and y.
            num_slices: slices of this volume.
            middle: the slice index, halves included, at which z is zero.
            depth: slices that a reader keeps; they span 70 default slices whatever their number.
            position: where the patient lies off the centre, (x, y, z) in units.
            rng: draws the irregularity of the organs' surfaces.
        """
        self.voxels_per_unit = size / WIDTH_UNITS
        slices_per_unit = depth / 70 / SLICE_UNITS
        from_centre = (np.arange(size) - (size - 1) / 2) / self.voxels_per_unit
        x, y, z = position
        self.x = (CENTRE_UNITS + from_centre - x).astype(np.float32)
        self.y = (CENTRE_UNITS + from_centre - y).astype(np.float32)
        self.z = ((np.arange(num_slices) - middle) / slices_per_unit - z).astype(np.float32)
        shape = (num_slices, size, size)
        self.hu: Volume = np.full(shape, -1000, dtype=np.float32)
        self.labels: NDArray[np.uint8] = np.zeros(shape, dtype=np.uint8)
        steps = (5 * slices_per_unit, 6 * self.voxels_per_unit, 6 * self.voxels_per_unit)
        self.wobble: Volume = smooth_field(shape, steps, rng)

    def box(self, low: NDArray[np.floating], high: NDArray[np.floating]) -> Box:
        """The index box of the corner points (x, y, z) `low` and `high`, in units."""
        axes = (self.z, self.y, self.x)
        bounds = zip(axes, low[::-1], high[::-1], strict=True)
        z, y, x = (slice(*np.searchsorted(axis, (a, b)).tolist()) for axis, a, b in bounds)
        return z, y, x

    def offsets(self, box: Box, centre: NDArray[np.floating]) -> tuple[Volume, Volume, Volume]:
        """Coordinates x, y, z of a box's voxels relative to `centre`, broadcastable, in units."""
        x, y, z = np.asarray(centre, dtype=np.float32)
        return (
            (self.x[box[2]] - x)[None, None, :],
            (self.y[box[1]] - y)[None, :, None],
            (self.z[box[0]] - z)[:, None, None],
        )

    def paint(
        self, solid: Solid, hu: float, *, grow: float = 0.0, label: int | None = None
    ) -> None:
        """Blend `hu` into the solid, grown by `grow` units; `label` is set where it covers half."""
        cover = np.clip(0.5 - (solid.distance - grow) * self.voxels_per_unit, 0, 1)
        here = self.hu[solid.box]
        here += cover * (np.float32(hu) - here)
        if label is not None:
            self.labels[solid.box][cover >= 0.5] = label


def ellipsoid(
    canvas: Canvas,
    centre: tuple[float, float, float],
    radii: tuple[float, float, float],
    *,
    wobble: float = 0.0,
) -> Solid:
    """An ellipsoid (x, y, z in units); an infinite z radius makes an elliptic cylinder."""
    middle, extent = np.asarray(centre), np.asarray(radii)
    box = canvas.box(middle - extent - EDGE_UNITS, middle + extent + EDGE_UNITS)
    ratios = [o / np.float32(r) for o, r in zip(canvas.offsets(box, middle), radii, strict=True)]
    reach = np.sqrt(ratios[0] ** 2 + ratios[1] ** 2 + ratios[2] ** 2)
    slope = np.sqrt(sum((q / np.float32(r)) ** 2 for q, r in zip(ratios, radii, strict=True)))
    # first-order distance: (f - 1) / |grad f| for f = |p / r|; exact on the surface
    distance = (reach - 1) * reach / np.maximum(slope, np.float32(1e-3))
    return Solid(box, distance + np.float32(wobble) * canvas.wobble[box])


def tube(
    canvas: Canvas,
    points: NDArray[np.floating],  # [N, 3] x, y, z
    radii: NDArray[np.floating],  # [N]
    *,
    wobble: float = 0.0,
) -> Solid:
    """The union of balls along a densely sampled path, in units."""
    reach = (radii + EDGE_UNITS)[:, None]
    box = canvas.box((points - reach).min(axis=0), (points + reach).max(axis=0))
    start = [s.start for s in box]
    shape = tuple(s.stop - s.start for s in box)
    distance = np.full(shape, EDGE_UNITS, dtype=np.float32)
    for point, radius in zip(points, radii, strict=True):
        ball = canvas.box(point - radius - EDGE_UNITS, point + radius + EDGE_UNITS)
        x, y, z = canvas.offsets(ball, point)
        local = tuple(slice(s.start - a, s.stop - a) for s, a in zip(ball, start, strict=True))
        here = distance[local]
        np.minimum(here, np.sqrt(x * x + y * y + z * z) - np.float32(radius), out=here)
    return Solid(box, distance + np.float32(wobble) * canvas.wobble[box])
