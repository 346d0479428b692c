"""One NIfTI file as network input, with the checks and policies of the cache and without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ._geometry import Axes, Geometry, geometry_of
from ._greys import Kept, Planes, stream_greys
from ._intensity import DEFAULT_INTENSITY, Intensity, stored_rescale
from ._nifti import open_nifti


def read_volume(
    path: str | Path, *, intensity: Intensity = DEFAULT_INTENSITY, axes: Axes = "canonical"
) -> tuple[npt.NDArray[np.float32], Geometry]:
    """Return the whole volume (D, H, W) rescaled by ``intensity``, and where it lies.

    Args:
        path: a ``.nii`` or ``.nii.gz`` file.
        intensity: policy; its statistics are those of this whole volume, as in a cache.
        axes: ``canonical`` (nearest RAS) or ``stored``.

    Raises:
        BadInput: the file is missing, damaged or not a single finite channel.

    Example:
        >>> volume, geometry = read_volume("case.nii.gz")  # doctest: +SKIP
    """
    path = Path(path)
    with open_nifti(path) as stream:
        header = stream.header
    geometry = geometry_of(header, axes=axes)

    def to_memory(dtype: str, planes: Planes) -> Kept[npt.NDArray[Any]]:
        stored = np.empty(geometry.shape, dtype)
        view = geometry.stored_view(stored)
        for index, plane in planes:
            view[index] = plane
        return Kept(stored, again=stored)

    stored, greys = stream_greys(path, to_memory)
    rescale = stored_rescale(
        intensity,
        greys.statistics,
        slope=header.slope,
        intercept=header.intercept,
        where=str(path),
    )
    volume = np.empty(geometry.shape, np.float32)
    for source, target in zip(stored, volume, strict=True):
        rescale.apply(source, target)
    return volume, geometry
