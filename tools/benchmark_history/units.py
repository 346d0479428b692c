"""What a figure counts, which way is better, and how it is written."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Unit:
    """is_ratio: it compares two figures of one run, so that it may be held against other runs'."""

    more_is_better: bool
    is_ratio: bool
    suffix: str


UNITS = {
    "times": Unit(more_is_better=True, is_ratio=True, suffix=" x"),
    "over": Unit(more_is_better=False, is_ratio=True, suffix=""),
    "us": Unit(more_is_better=False, is_ratio=False, suffix=" us"),
    "ms": Unit(more_is_better=False, is_ratio=False, suffix=" ms"),
    "MiB": Unit(more_is_better=False, is_ratio=False, suffix=" MiB"),
}


def goodness(value: float, than: float, unit: str) -> float:
    """How many times as good a value is as another one: above 1 is better."""
    better, worse = (value, than) if UNITS[unit].more_is_better else (than, value)
    return better / worse if worse else math.inf  # no extra memory at all


def write(value: float, unit: str) -> str:
    """Three significant digits and the unit."""
    digits = f"{value:.0f}" if abs(value) >= 100 else f"{value:#.3g}"
    return f"{digits}{UNITS[unit].suffix}"


def write_bound(value: float, unit: str) -> str:
    return f"{'>=' if UNITS[unit].more_is_better else '<='} {value:g}{UNITS[unit].suffix}"
