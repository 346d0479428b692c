"""Pancreas, tumour and bowel: tubes of one calibre and one HU that differ by their course in depth.

In a single slice the pancreas and a bowel loop are the same kind of blob, and the tumour looks like
fluid in a loop. Over slices the pancreas is a bounded, tapering band that rises from the head (the
patient's right, low) to the tail (left, high); a loop winds on through the volume.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ._phantom_fields import smooth_path

Path = NDArray[np.float64]  # [N, 4]: x, y, z and radius, in units

# x, y, z, radius from head to tail; calibre 10 to 16 voxels, about 42 slices in all
PANCREAS = np.array(
    [
        (32.5, 49.0, -12.5, 6.6),
        (37.5, 50.5, -8.5, 7.2),
        (45.0, 46.0, -4.0, 6.0),
        (54.0, 43.5, 0.0, 6.2),
        (63.0, 46.0, 4.5, 5.8),
        (71.0, 50.5, 9.5, 4.8),
    ]
)

# x, y, z of the axes round which the loops wind, foot to head, beyond the longest volume
LOOP_AXES = (
    ((30, 52, -42), (29, 50, -28), (27, 40, -14), (31, 34, 2), (38, 30, 20), (40, 30, 42)),
    ((43, 33, -42), (45, 32, -22), (46, 29, -6), (46, 28, 10), (52, 28, 26), (52, 28, 42)),
    ((50, 50, -42), (54, 49, -28), (60, 42, -15), (62, 32, -2), (60, 29, 12), (66, 32, 42)),
    ((66, 44, -42), (69, 46, -26), (72, 43, -10), (73, 40, 2), (73, 38, 18), (72, 38, 42)),
)


@dataclass(frozen=True)
class Loop:
    """A bowel loop, and the stretch of it that holds fluid."""

    path: Path
    fluid: Path


def pancreas_path(shift: NDArray[np.float64], rng: np.random.Generator) -> Path:
    """A case's pancreas: the shared course, moved by `shift` (x, y, z) and bent a little."""
    controls = PANCREAS.copy()
    controls[:, :3] += shift + rng.normal(0, 1, (len(controls), 3))
    controls[:, 3] *= rng.uniform(0.93, 1.07) * rng.uniform(0.95, 1.05, len(controls))
    return smooth_path(controls, step=0.7)


def stretch(path: Path, rng: np.random.Generator, *, radius: float) -> Path:
    """A few units of a path, as wide as `radius`: a tumour, or fluid that looks like it."""
    count = round(rng.uniform(9, 16))
    start = round(rng.uniform(0.05, 0.95) * (len(path) - count))
    part = path[start : start + count].copy()
    part[:, :3] += rng.normal(0, 0.7, 3)
    part[:, 3] = radius
    return part


def tumour_path(pancreas: Path, rng: np.random.Generator) -> Path:
    """A case's tumour: a stretch of the pancreas, a little wider than the gland is on average."""
    return stretch(pancreas, rng, radius=rng.uniform(5.6, 6.8))


def bowel_loops(pancreas: Path, rng: np.random.Generator) -> list[Loop]:
    """Loops of the pancreas's calibre that wind past it and each other through the whole depth."""
    taken = [pancreas]
    for axis in LOOP_AXES:
        candidates = [_winding(np.array(axis, dtype=np.float64), rng) for _ in range(12)]
        taken.append(min(candidates, key=lambda path: sum(_overlap(path, t) for t in taken)))
    return [Loop(path, stretch(path, rng, radius=rng.uniform(5.6, 6.8))) for path in taken[1:]]


def _winding(axis: NDArray[np.float64], rng: np.random.Generator) -> Path:
    """A tube round `axis` as oblique to the slices as the pancreas (about 2 in plane to 1 in z)."""
    line = smooth_path(axis + rng.normal(0, 1, axis.shape), step=3.0)
    turn = 2 * np.pi * (line[:, 2] / rng.uniform(17, 23) + rng.uniform())
    amplitude = rng.uniform(3.5, 5.0)
    line[:, 0] += amplitude * np.cos(turn)
    line[:, 1] += 0.8 * amplitude * np.sin(turn)
    radii = rng.uniform(4.9, 6.9, len(line) // 3 + 2)
    radius = np.interp(np.arange(len(line)) / 3, np.arange(len(radii)), radii)
    return smooth_path(np.column_stack([line, radius]), step=0.7)


def _overlap(a: Path, b: Path) -> float:
    """How deep two tubes run into each other, summed over every second sample."""
    a, b = a[::2], b[::2]
    gaps = np.sqrt(((a[:, None, :3] - b[None, :, :3]) ** 2).sum(-1)) - a[:, None, 3] - b[None, :, 3]
    return float(np.clip(-gaps, 0, None).sum())
