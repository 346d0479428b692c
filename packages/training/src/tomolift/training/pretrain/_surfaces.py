"""What the inside of a procedural object looks like: relief around 0, in about [-1, 1].

A surface gets the object's own coordinates, so that its pattern turns with the object, and the
signed distance to the outline (negative inside), for walls and shells.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from ._shapes import Plane

Surface = Callable[[Plane, Plane, Plane, Generator], Plane]


def smooth(x: Plane, y: Plane, distance: Plane, rng: Generator) -> Plane:
    """Even shading from one side to the other."""
    angle, strength = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(0.0, 0.03)
    return strength * (np.cos(angle) * x + np.sin(angle) * y)


def stripes(x: Plane, y: Plane, distance: Plane, rng: Generator) -> Plane:
    """Stripes across the object, 3.5 to 7 pixels apart."""
    wave_number = 2.0 * np.pi / rng.uniform(3.5, 7.0)
    return np.sin(wave_number * x + rng.uniform(0.0, 2.0 * np.pi))


def checks(x: Plane, y: Plane, distance: Plane, rng: Generator) -> Plane:
    """A chessboard with soft edges, fields of 2.5 to 5 pixels."""
    wave_number = np.pi / rng.uniform(2.5, 5.0)
    phase = rng.uniform(0.0, 2.0 * np.pi, 2)
    board = np.sin(wave_number * x + phase[0]) * np.sin(wave_number * y + phase[1])
    return np.clip(2.0 * board, -1.0, 1.0)


def speckle(x: Plane, y: Plane, distance: Plane, rng: Generator) -> Plane:
    """Grainy tissue: noise correlated over about two pixels."""
    grain = rng.standard_normal(distance.shape, dtype=np.float32)
    grain[1:] += grain[:-1]
    grain[:, 1:] += grain[:, :-1]
    return 0.6 * grain


def shells(x: Plane, y: Plane, distance: Plane, rng: Generator) -> Plane:
    """Bands that follow the outline, like growth rings."""
    wave_number = 2.0 * np.pi / rng.uniform(5.0, 8.0)
    return np.cos(wave_number * distance)


def lumen(x: Plane, y: Plane, distance: Plane, rng: Generator) -> Plane:
    """A wall about 1.3 pixels thick around an inside of the opposite grey."""
    wall = rng.uniform(1.1, 1.5)
    return 1.0 - 2.0 * np.clip(0.5 - distance - wall, 0.0, 1.0)
