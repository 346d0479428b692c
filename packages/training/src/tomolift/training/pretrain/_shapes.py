"""Outlines of the procedural objects as signed distances: negative inside, in pixels.

Every shape takes the object's own coordinates (centred, already rotated), its radius and a
generator for what varies within the class, and stays within 1.2 radii of its centre.
Distances are exact near the outline of the simple shapes and approximate for star and blob,
which is enough for antialiasing and for the ignored border.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Plane = NDArray[np.floating[Any]]
Shape = Callable[[Plane, Plane, float, Generator], Plane]


def disc(x: Plane, y: Plane, radius: float, rng: Generator) -> Plane:
    """An ellipse close to a circle."""
    aspect = rng.uniform(0.75, 1.0)
    return (np.hypot(x, y / aspect) - radius) * aspect


def ring(x: Plane, y: Plane, radius: float, rng: Generator) -> Plane:
    """An annulus; what its hole shows is background."""
    width = rng.uniform(0.16, 0.24) * radius
    return np.abs(np.hypot(x, y) - (radius - width)) - width


def box(x: Plane, y: Plane, radius: float, rng: Generator) -> Plane:
    """A rectangle with sharp corners."""
    half_width = 0.85 * radius
    half_height = half_width * rng.uniform(0.55, 1.0)
    return np.maximum(np.abs(x) - half_width, np.abs(y) - half_height)


def triangle(x: Plane, y: Plane, radius: float, rng: Generator) -> Plane:
    """An isosceles triangle, apex up."""
    slope = rng.uniform(0.45, 0.65)
    sides = (np.abs(x) - slope * (y + radius)) / np.hypot(1.0, slope)
    return np.maximum(sides, y - 0.55 * radius)


def star(x: Plane, y: Plane, radius: float, rng: Generator) -> Plane:
    """A star with five to seven arms."""
    arms = int(rng.integers(5, 8))
    wave = np.cos(arms * np.arctan2(y, x))
    return 0.7 * (np.hypot(x, y) - radius * (0.72 + 0.34 * wave))


def cross(x: Plane, y: Plane, radius: float, rng: Generator) -> Plane:
    """Two bars at a right angle."""
    arm = rng.uniform(0.22, 0.34) * radius
    wide = np.maximum(np.abs(x) - radius, np.abs(y) - arm)
    tall = np.maximum(np.abs(x) - arm, np.abs(y) - radius)
    return np.minimum(wide, tall)


def rod(x: Plane, y: Plane, radius: float, rng: Generator) -> Plane:
    """A straight bar with round ends."""
    thickness = rng.uniform(0.2, 0.32) * radius
    return capsule(x, y, (-0.85 * radius, 0.0), (0.85 * radius, 0.0)) - thickness


def tube(x: Plane, y: Plane, radius: float, rng: Generator) -> Plane:
    """A vessel bent along an arc, of even thickness."""
    thickness = max(2.2, rng.uniform(0.17, 0.27) * radius)
    span = rng.uniform(1.0, 2.2)  # half the opening angle of the arc, in radians
    bend = 1.1 * radius / max(1.0, span)  # an arc opens up as it gets shorter
    middle = 0.5 * bend * (1.0 + np.cos(span))
    angle = np.arctan2(y, x + middle)
    beyond = np.clip(np.abs(angle) - span, 0.0, None)
    along = np.hypot(x + middle, y)
    to_arc = np.abs(along - bend)
    tip_x, tip_y = bend * np.cos(span) - middle, bend * np.sin(span)
    to_tip = np.hypot(x - tip_x, np.abs(y) - tip_y)
    return np.where(beyond > 0.0, to_tip, to_arc) - thickness


def branch(x: Plane, y: Plane, radius: float, rng: Generator) -> Plane:
    """A vessel that forks in two, thinner after the fork."""
    opening = rng.uniform(0.45, 0.85)
    thickness = max(2.2, rng.uniform(0.14, 0.2) * radius)
    fork = (0.0, rng.uniform(-0.15, 0.2) * radius)
    trunk = capsule(x, y, (0.0, radius), fork) - thickness
    tip = (radius * np.sin(opening), -radius * np.cos(opening))
    twigs = capsule(np.abs(x), y, fork, tip) - 0.8 * thickness
    return np.minimum(trunk, twigs)


def blob(x: Plane, y: Plane, radius: float, rng: Generator) -> Plane:
    """An organ-like lump: a circle with three random harmonics."""
    size, phase = rng.uniform(0.05, 0.15, 3), rng.uniform(0.0, 2.0 * np.pi, 3)
    angle = np.arctan2(y, x)
    rim = np.full_like(angle, 0.85)
    for order in (2, 3, 4):
        rim += np.float32(size[order - 2]) * np.cos(order * angle + np.float32(phase[order - 2]))
    return 0.85 * (np.hypot(x, y) - radius * rim)


def crescent(x: Plane, y: Plane, radius: float, rng: Generator) -> Plane:
    """A disc with a bite taken out."""
    shift = rng.uniform(0.5, 0.75) * radius
    bite = np.hypot(x - shift, y) - 0.85 * radius
    return np.maximum(np.hypot(x, y) - radius, -bite)


def cluster(x: Plane, y: Plane, radius: float, rng: Generator) -> Plane:
    """Five to seven small discs around a common centre."""
    count = int(rng.integers(5, 8))
    dot = 0.27 * radius
    turn = 2.0 * np.pi * (np.arange(count - 1) + rng.uniform(-0.15, 0.15, count - 1)) / (count - 1)
    distance = np.hypot(x, y)
    for angle, reach in zip(turn, rng.uniform(0.68, 0.88, count - 1) * radius, strict=True):
        dx, dy = x - reach * np.cos(angle), y - reach * np.sin(angle)
        distance = np.minimum(distance, np.hypot(dx, dy))
    return distance - dot


def capsule(x: Plane, y: Plane, start: tuple[float, float], end: tuple[float, float]) -> Plane:
    """Return the distance to the segment from start to end, both (x, y) in pixels."""
    sx, sy = end[0] - start[0], end[1] - start[1]
    px, py = x - start[0], y - start[1]
    along = np.clip((px * sx + py * sy) / (sx * sx + sy * sy), 0.0, 1.0)
    return np.hypot(px - along * sx, py - along * sy)
