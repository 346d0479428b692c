"""Procedural pictures with label maps: the picture set that needs no download.

Objects of twenty classes (`_classes.py`) lie on a textured background, vary in size, rotation,
contrast, colour, blur and noise, and hide one another. As in VOC, class 0 is background and a
thin border of 255 around every object is ignored. A picture depends on (seed, part, index) alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ._backgrounds import draw_background, pixel_grid
from ._classes import CLASS_NAMES, OBJECT_CLASSES, ObjectClass
from ._shapes import Plane
from ._source import IGNORED, Part, Picture

_BORDER_PIXELS = 0.9  # on either side of the outline
# Grey weights of red, green and blue (ITU-R BT.601): a tint may not change the grey level.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class ProceduralPictures:
    """An endless set of drawn pictures.

    Attributes:
        seed: Seeds other than this one give other pictures.
        size: Side of the square pictures in pixels, at least 32.

    Example:
        >>> pictures = ProceduralPictures(seed=0, size=48)
        >>> pictures.read("training", 3).image.shape
        (48, 48, 3)
    """

    seed: int = 0
    size: int = 72

    def __post_init__(self) -> None:
        if self.size < 32:
            raise ValueError(f"size={self.size}: objects need pictures of at least 32 pixels")

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the 21 classes, background first."""
        return CLASS_NAMES

    @property
    def identity(self) -> str:
        """What the pictures depend on, for the name of a result."""
        return f"procedural-seed{self.seed}-size{self.size}"

    def count(self, part: Part) -> None:
        """Return None: there is no end to either part."""
        return None

    def read(self, part: Part, index: int) -> Picture:
        """Draw one picture; the two parts share none.

        Raises:
            IndexError: index is negative.
        """
        if index < 0:
            raise IndexError(f"index={index}: pictures are numbered from 0")
        return draw_picture(
            np.random.default_rng((self.seed, part == "validation", index)), size=self.size
        )


def draw_picture(rng: Generator, *, size: int = 72) -> Picture:
    """Draw one picture of three to six objects.

    Args:
        rng: Source of everything that varies.
        size: Side of the square in pixels.

    Returns:
        The picture, with classes 0..20 and 255 in its label map.
    """
    grey = draw_background(size, rng)
    colourful = rng.random() < 0.6
    image = grey[:, :, None] + _tint(rng.uniform(0.0, 2.0 * np.pi), colourful, rng)
    label = np.zeros((size, size), np.uint8)
    centres: list[Plane] = []
    for entry in rng.integers(len(OBJECT_CLASSES), size=int(rng.integers(3, 7))):
        centres.append(_free_place(centres, size, rng))
        _place(image, label, int(entry), centres[-1], colourful, rng)
    return Picture(_photograph(image, rng), label)


def _free_place(taken: list[Plane], size: int, rng: Generator) -> Plane:
    """Return the (row, column) of three tries that is farthest from what is there already."""
    tries = rng.uniform(0.12 * size, 0.88 * size, (3, 2))
    if not taken:
        return tries[0]
    gaps = np.hypot(*(tries[:, None] - np.stack(taken)).transpose(2, 0, 1)).min(axis=1)
    return tries[int(gaps.argmax())]


def _place(
    image: Plane,
    label: NDArray[np.uint8],
    entry: int,
    centre: Plane,
    colourful: bool,
    rng: Generator,
) -> None:
    """Draw one object over image (H, W, 3) and label (H, W), in place."""
    kind, size = OBJECT_CLASSES[entry], label.shape[0]
    radius = kind.reach * rng.uniform(0.15, 0.27) * size
    row, column = float(centre[0]), float(centre[1])
    turn, contrast = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(0.18, 0.45)

    reach = 1.25 * radius + 2.0
    rows = slice(max(0, int(row - reach)), int(row + reach) + 1)
    columns = slice(max(0, int(column - reach)), int(column + reach) + 1)
    all_rows, all_columns = pixel_grid(size)
    down, across = all_rows[rows] - np.float32(row), all_columns[:, columns] - np.float32(column)
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    x, y = cos * across + sin * down, cos * down - sin * across

    distance = kind.shape(x, y, radius, rng).astype(np.float32, copy=False)
    window = image[rows, columns]
    behind = float(window.mean())
    level = behind + contrast * _sign(kind, behind, rng)
    surface = level + kind.relief * kind.surface(x, y, distance, rng).astype(np.float32, copy=False)
    hue = 2.0 * np.pi * (entry / len(OBJECT_CLASSES)) + 0.4 * rng.standard_normal()
    paint = surface[:, :, None] + _tint(hue, colourful, rng)
    window += np.clip(0.5 - distance, 0.0, 1.0)[:, :, None] * (paint - window)
    shown = label[rows, columns]
    shown[distance < _BORDER_PIXELS] = IGNORED
    shown[distance < -_BORDER_PIXELS] = entry + 1


def _sign(kind: ObjectClass, behind: float, rng: Generator) -> int:
    """Return 1 for brighter than what lies behind, -1 for darker."""
    if kind.polarity:
        return kind.polarity
    return 1 if rng.random() < np.clip(1.2 - 1.4 * behind, 0.1, 0.9) else -1


def _tint(hue: float, colourful: bool, rng: Generator) -> Plane:
    """Return a colour offset (3,) of a hue in radians that leaves the grey level as it is."""
    strength = rng.uniform(0.05, 0.25) * colourful
    offset = strength * np.cos(hue - 2.0 * np.pi / 3.0 * np.arange(3))
    return (offset - offset @ _LUMA).astype(np.float32)


def _photograph(image: Plane, rng: Generator) -> NDArray[np.uint8]:
    """Blur, gain, noise and eight bits."""
    weight = np.float32(rng.uniform(0.0, 0.27))  # of either neighbour; 0.25 is a binomial blur
    gain, offset = rng.uniform(0.75, 1.15), rng.uniform(-0.08, 0.08)
    noise = np.float32(rng.uniform(0.0, 0.05))
    for axis in (0, 1):
        wide = np.concatenate(
            (image.take([0], axis), image, image.take([-1], axis)), axis=axis, dtype=np.float32
        )
        length = image.shape[axis]
        before, after = (np.take(wide, range(s, s + length), axis) for s in (0, 2))
        image = image + weight * (before + after - 2.0 * image)
    grain = noise * rng.standard_normal(image.shape[:2], dtype=np.float32)[:, :, None]
    return (np.clip(gain * image + offset + grain, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
