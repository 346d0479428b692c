"""What lies behind the procedural objects: shading, texture and unlabelled clutter."""

from __future__ import annotations

import functools

import numpy as np
from numpy.random import Generator

from ._shapes import Plane


def draw_background(size: int, rng: Generator) -> Plane:
    """Draw a grey background.

    Args:
        size: Side of the square in pixels.
        rng: Source of everything that varies.

    Returns:
        Grey values around [0.1, 0.9], shape (size, size).
    """
    rows, columns = pixel_grid(size)
    grey = np.full((size, size), rng.uniform(0.25, 0.75), np.float32)
    grey += _clouds(size, rng)
    if rng.random() < 0.5:
        grey += _split(rows, columns, rng)
    if rng.random() < 0.4:
        grey += _weave(rows, columns, rng)
    for _ in range(int(rng.integers(0, 4))):
        grey += _soft_spot(rows, columns, rng)
    return grey


@functools.cache
def pixel_grid(size: int) -> tuple[Plane, Plane]:
    """Return rows (size, 1) and columns (1, size) in pixels."""
    rows, columns = np.ogrid[:size, :size]
    return rows.astype(np.float32), columns.astype(np.float32)


@functools.cache
def _stretch(size: int, knots: int) -> Plane:
    """Return the (size, knots) matrix of linear interpolation from knots to pixels."""
    at = np.linspace(0.0, knots - 1.0, size)[:, None]
    return np.clip(1.0 - np.abs(at - np.arange(knots)), 0.0, None).astype(np.float32)


def _clouds(size: int, rng: Generator) -> Plane:
    knots = int(rng.integers(2, 9))
    matrix = _stretch(size, knots)
    strength = np.float32(rng.uniform(0.01, 0.12))
    return strength * (matrix @ rng.standard_normal((knots, knots), dtype=np.float32) @ matrix.T)


def _split(rows: Plane, columns: Plane, rng: Generator) -> Plane:
    """Two regions of differing grey with a curved, more or less sharp border."""
    angle, bow = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(-0.01, 0.01)
    step, sharpness = rng.uniform(-0.2, 0.2), rng.uniform(0.15, 1.0)
    size = rows.size
    x, y = columns - rng.uniform(0.2, 0.8) * size, rows - rng.uniform(0.2, 0.8) * size
    across, along = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    return step * np.clip(0.5 + sharpness * (across + bow * along * along), 0.0, 1.0)


def _weave(rows: Plane, columns: Plane, rng: Generator) -> Plane:
    """A faint, wavy, oriented texture."""
    angle, length = rng.uniform(0.0, np.pi), rng.uniform(4.0, 16.0)
    ripple = rng.uniform(0.0, 1.5) * np.sin(rows * rng.uniform(0.1, 0.4))
    phase = (np.cos(angle) * columns + np.sin(angle) * rows) * (2.0 * np.pi / length)
    return rng.uniform(0.02, 0.07) * np.sin(phase + ripple)


def _soft_spot(rows: Plane, columns: Plane, rng: Generator) -> Plane:
    """A blurred smear, bright or dark: clutter without an outline."""
    size = rows.size
    centre, width = rng.uniform(0.0, size, 2), rng.uniform(3.0, 14.0, 2)
    down = np.exp(-(((rows - centre[0]) / width[0]) ** 2))
    across = np.exp(-(((columns - centre[1]) / width[1]) ** 2))
    return rng.uniform(-0.18, 0.18) * (down * across)
