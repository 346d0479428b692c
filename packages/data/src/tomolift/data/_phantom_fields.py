"""Smooth random fields, smooth paths and a small blur: the phantom's only mathematics."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]


def smooth_field(
    shape: tuple[int, ...], steps: tuple[float, ...], rng: np.random.Generator
) -> Field:
    """Standard normal values every `steps` voxels of each axis, interpolated linearly between.

    Element-wise arithmetic only: a matrix product could round differently on another machine.
    """
    knots = tuple(int(np.ceil((n - 1) / step)) + 2 for n, step in zip(shape, steps, strict=True))
    field = rng.standard_normal(knots, dtype=np.float32)
    for axis, (n, step) in enumerate(zip(shape, steps, strict=True)):
        position = np.arange(n) / step
        below = position.astype(np.int64)
        weight = (position - below).astype(np.float32)
        weight = weight.reshape([-1 if a == axis else 1 for a in range(len(shape))])
        low, high = field.take(below, axis=axis), field.take(below + 1, axis=axis)
        field = low + weight * (high - low)
    return field


def smooth_path(
    controls: NDArray[np.floating],  # [N, C]
    *,
    step: float,
) -> NDArray[np.float64]:
    """Catmull-Rom spline through the control rows, one sample about every `step` of length.

    The first three columns are a position; further ones (a radius) are carried along.
    """
    ends = 2 * controls[[0, -1]] - controls[[1, -2]]
    padded = np.concatenate([ends[:1], controls, ends[1:]])
    pieces = []
    for p0, p1, p2, p3 in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        count = max(2, round(float(np.linalg.norm((p2 - p1)[:3])) / step))
        t = np.linspace(0, 1, count, endpoint=False)[:, None]
        bend = (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3
        pieces.append(p1 + 0.5 * ((p2 - p0) * t + bend))
    return np.concatenate([*pieces, controls[-1:]])


def blur_in_plane(volume: Field, centre_weight: float) -> Field:
    """A three-tap blur along y and x: `centre_weight` in the middle, the rest shared."""
    side = np.float32((1 - centre_weight) / 2)
    for axis in (1, 2):
        padded = np.pad(volume, [(int(a == axis),) * 2 for a in range(3)], mode="edge")
        n = volume.shape[axis]
        before = padded.take(np.arange(n), axis=axis)
        after = padded.take(np.arange(2, n + 2), axis=axis)
        volume = np.float32(centre_weight) * volume + side * (before + after)
    return volume
