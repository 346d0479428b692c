"""Put the stored planes of a file where they belong in a cached volume (D, H, W)."""

from __future__ import annotations

import numpy as np

from ._depth import DepthPlan
from ._files import VolumeFile
from ._geometry import Geometry
from ._greys import Planes


def fill(file: VolumeFile, geometry: Geometry, plan: DepthPlan, planes: Planes) -> None:
    """Write ``planes``, in stored order, into ``file``, leaving out what the plan crops."""
    if geometry.slices_are_stored_planes:
        for index, plane in planes:
            source = geometry.slice_index(index)
            if plan.first <= source < plan.stop:
                file.write_slice(source - plan.z0, geometry.plane_to_slice(plane))
        return
    target = geometry.stored_view(file.shared_map()[slice(*plan.valid)])
    first, stop = plan.first, plan.stop
    if geometry.flips[2]:
        first, stop = geometry.shape[0] - stop, geometry.shape[0] - first
    columns = slice(first, stop)
    window = (columns, slice(None)) if geometry.permutation[2] == 1 else (slice(None), columns)
    for index, plane in planes:
        target[index] = plane[window]


def pad(file: VolumeFile, plan: DepthPlan, value: float) -> None:
    """Fill the slices that lie outside the source with one value."""
    padding = np.full(file.shape[1:], value, file.dtype)
    first, stop = plan.valid
    for index in [*range(first), *range(stop, plan.depth)]:
        file.write_slice(index, padding)
