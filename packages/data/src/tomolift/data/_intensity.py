"""How stored grey values become network input: policies chosen on reading, never on building.

Every policy is ``(x - shift) * gain``, clipped or not, with statistics of the whole source volume
before any cropping, so that training and prediction agree; ``_split_intensity`` gives it those of
a training split instead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ._statistics import PERCENTILES, Statistics
from .errors import BadInput


@dataclass(frozen=True)
class Rescale:
    """``(x - shift) * gain`` in float32, clipped to ``low`` .. ``high``."""

    shift: float
    gain: float
    low: float = -math.inf
    high: float = math.inf

    @property
    def clip(self) -> bool:
        """Whether there is anything to clip to."""
        return self.low > -math.inf or self.high < math.inf

    def in_stored_units(self, *, slope: float, intercept: float) -> Rescale:
        """Return the same map for values before slope and intercept."""
        shift = (self.shift - intercept) / slope
        return Rescale(shift, self.gain * slope, self.low, self.high)

    def without_needless_clip(self, first: float, last: float) -> Rescale:
        """Return the same map for stored values ``first`` .. ``last``, not clipped where none is.

        Both roundings rise with the value, so that the two ends tell of all between. The clip is a
        pass over every slice less. A falling map keeps it: it may make -0 of 0.
        """
        ends = np.empty(2, np.float32)
        self.apply(np.array([first, last], np.float32), ends)
        unclipped = Rescale(self.shift, self.gain)
        free = np.empty(2, np.float32)
        unclipped.apply(np.array([first, last], np.float32), free)
        return unclipped if self.gain > 0 and np.array_equal(ends, free) else self

    def apply(self, stored: npt.NDArray[Any], out: npt.NDArray[np.float32]) -> None:
        """Write the rescaled ``stored`` (int16 or float32) into ``out`` of the same shape."""
        if stored.dtype != out.dtype:  # an operand is converted in pieces, at 1.4 times the cost
            np.copyto(out, stored)
            stored = out
        with np.errstate(over="ignore" if self.clip else None):  # infinities are clipped like all
            np.subtract(stored, np.float32(self.shift), out=out)
            np.multiply(out, np.float32(self.gain), out=out)
        if self.clip:
            np.clip(out, np.float32(self.low), np.float32(self.high), out=out)


class Intensity(Protocol):
    """An intensity policy."""

    def rescale(self, statistics: Statistics) -> Rescale:
        """Return the map for a volume with these statistics, in real units."""


@dataclass(frozen=True)
class MinMax:
    """The volume's minimum to 0 and its maximum to 1: the paper's rule (Data).

    Example:
        >>> MinMax().rescale(Statistics(-10.0, 30.0, 0.0, 1.0, {})).gain
        0.025
    """

    def rescale(self, statistics: Statistics) -> Rescale:
        """Return the map of [minimum, maximum] to [0, 1]; a constant volume becomes 0."""
        return _between(statistics.minimum, statistics.maximum)


DEFAULT_INTENSITY: Intensity = MinMax()


@dataclass(frozen=True)
class Window:
    """``low_hu`` and everything below to 0, ``high_hu`` and everything above to 1."""

    low_hu: float
    high_hu: float

    def __post_init__(self) -> None:
        if not 0 < self.high_hu - self.low_hu < math.inf:
            problem = f"window is {self.low_hu}, {self.high_hu}, expected low < high, both finite"
            raise BadInput("E_ARGUMENT", "intensity", problem, "give two rising numbers")

    def rescale(self, statistics: Statistics) -> Rescale:
        """Return the map of the window to [0, 1], whatever the volume."""
        return _between(self.low_hu, self.high_hu)


@dataclass(frozen=True)
class Percentiles:
    """The ``low`` percentile of the volume to 0 and the ``high`` one to 1, clipped."""

    low: float = 0.5
    high: float = 99.5

    def __post_init__(self) -> None:
        _check_percentiles(self.low, self.high)

    def rescale(self, statistics: Statistics) -> Rescale:
        """Return the map of the two percentiles to [0, 1]."""
        return _between(statistics.percentiles[self.low], statistics.percentiles[self.high])


@dataclass(frozen=True)
class ZScore:
    """The volume's mean to 0 and its standard deviation to 1; not clipped."""

    def rescale(self, statistics: Statistics) -> Rescale:
        """Return the map; a constant volume becomes 0."""
        return _standardised(statistics)


@dataclass(frozen=True)
class ClippedZScore:
    """The mean to 0 and the standard deviation to 1, clipped to two percentiles.

    With the statistics of a training split's foreground it is nnU-Net's rule for CT (Isensee et
    al. 2021).
    """

    low: float = 0.5
    high: float = 99.5

    def __post_init__(self) -> None:
        _check_percentiles(self.low, self.high)

    def rescale(self, statistics: Statistics) -> Rescale:
        """Return the map; a constant volume becomes 0."""
        whole = _standardised(statistics)
        low, high = (
            (statistics.percentiles[percent] - whole.shift) * whole.gain
            for percent in (self.low, self.high)
        )
        return Rescale(whole.shift, whole.gain, low, high)


def stored_rescale(
    intensity: Intensity, statistics: Statistics, *, slope: float, intercept: float, where: str
) -> Rescale:
    """Return the map from stored values to network input; an error names the volume ``where``.

    Raises:
        BadInput: E_INTENSITY.
    """
    try:
        rescale = intensity.rescale(statistics)
    except BadInput as error:
        raise BadInput(error.code, where, error.problem, error.cure) from error
    stored = rescale.in_stored_units(slope=slope, intercept=intercept)
    if not _fits_float32(stored):
        problem = f"shift {stored.shift} and gain {stored.gain} of stored values do not fit float32"
        raise BadInput("E_INTENSITY", where, problem, "use window:LOW,HIGH or rescale the source")
    return stored


def _between(low: float, high: float) -> Rescale:
    gain = 1 / (high - low) if high > low else 0.0
    return Rescale(low, gain, 0.0, 1.0)


def _standardised(statistics: Statistics) -> Rescale:
    return Rescale(statistics.mean, 1 / statistics.std if statistics.std > 0 else 0.0)


def _check_percentiles(low: float, high: float) -> None:
    if not (low in PERCENTILES and high in PERCENTILES and low < high):
        known = ", ".join(f"{percent:g}" for percent in PERCENTILES)
        problem = f"percentiles are {low:g}, {high:g}, expected two rising of {known}"
        raise BadInput("E_ARGUMENT", "intensity", problem, "choose recorded percentiles")


def _fits_float32(rescale: Rescale) -> bool:
    """Return whether float32 turns the map neither into infinities, and so NaN, nor into 0."""
    limits = np.finfo(np.float32)
    gain = abs(rescale.gain)
    gain_fits = gain == 0 or float(limits.tiny) <= gain < float(limits.max)
    return gain_fits and abs(rescale.shift) < float(limits.max) / 2
