"""Exact grey-value statistics of a stream of planes, in bounded memory.

Percentiles are exact order statistics found by radix counting: one pass over int16 values, two
over float32 values (first the upper, then the lower 16 bits of an order-preserving key).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

PERCENTILES = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 98.0, 99.0, 99.5, 99.9)
_BINS = 65536


@dataclass(frozen=True)
class Statistics:
    """Grey-value statistics of a whole source volume, in its real units (HU for CT)."""

    minimum: float
    maximum: float
    mean: float
    std: float
    percentiles: Mapping[float, float]

    def to_json(self) -> dict[str, Any]:
        """Return plain numbers; percents as text."""
        percentiles = {f"{percent:g}": value for percent, value in self.percentiles.items()}
        return {**self.__dict__, "percentiles": percentiles}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Statistics:
        """Return what :meth:`to_json` gave.

        Raises:
            KeyError, TypeError, ValueError: ``content`` has not that form.
        """
        return cls(
            minimum=float(content["minimum"]),
            maximum=float(content["maximum"]),
            mean=float(content["mean"]),
            std=float(content["std"]),
            percentiles={float(p): float(v) for p, v in content["percentiles"].items()},
        )


class StreamingStatistics:
    """Statistics of planes that are seen once (int16) or twice (float32).

    Feed every plane to :meth:`add`; then, while :attr:`needs_second_pass`, every plane again to
    :meth:`refine`; then call :meth:`result`.
    """

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self._dtype = np.dtype(dtype)
        self._upper = np.zeros(_BINS, np.int64)
        self._lower: npt.NDArray[np.int64] | None = None
        self._slot_of_bin: npt.NDArray[np.int64] | None = None
        self._count, self._mean, self._squares = 0, 0.0, 0.0
        self._scratch = np.empty((0, 0))

    @property
    def needs_second_pass(self) -> bool:
        """Whether percentiles still need the planes once more."""
        return self._dtype == np.float32

    def add(self, plane: npt.NDArray[Any]) -> None:
        """Count a plane of the stored dtype; all values finite."""
        self._upper += np.bincount(_upper_key(plane).ravel(), minlength=_BINS)
        if self._dtype == np.int16:  # the histogram holds mean and variance too, exactly
            self._count += plane.size
            return
        # Chan et al. 1983: merging (count, mean, squared deviations) loses no digits
        mean = float(plane.mean(dtype=np.float64))
        deviations = self._scratch_like(plane)
        np.subtract(plane, mean, out=deviations, dtype=np.float64)
        # not a dot product: BLAS rounds differently for each number of threads
        squares = float(np.square(deviations, out=deviations).sum())
        total = self._count + plane.size
        step = mean - self._mean
        self._squares += squares + step * step * self._count * plane.size / total
        self._mean += step * plane.size / total
        self._count = total

    def refine(self, plane: npt.NDArray[Any]) -> None:
        """Count the lower key bits of those values whose upper bits hold a wanted rank."""
        if self._slot_of_bin is None or self._lower is None:
            wanted = np.unique(np.searchsorted(np.cumsum(self._upper), self._ranks(), "right"))
            self._slot_of_bin = np.full(_BINS, -1, np.int64)
            self._slot_of_bin[wanted] = np.arange(len(wanted))
            self._lower = np.zeros((len(wanted), _BINS), np.int64)
        key = _float_key(plane)
        slots = self._slot_of_bin[key >> 16]
        chosen = slots >= 0
        np.add.at(self._lower, (slots[chosen], (key & 0xFFFF)[chosen]), 1)

    def result(self, *, slope: float = 1.0, intercept: float = 0.0) -> Statistics:
        """Return the statistics of ``slope * value + intercept``."""
        mean, variance = self._moments()
        ordered = {int(rank): self._value_at(int(rank)) for rank in self._ranks()}
        values = [self._interpolate(ordered, percent) for percent in PERCENTILES]
        ends = [ordered[0], ordered[self._count - 1]]
        if slope < 0:  # the order turns round, and the list of percentiles is symmetric
            values.reverse()
            ends.reverse()
        return Statistics(
            minimum=slope * ends[0] + intercept,
            maximum=slope * ends[1] + intercept,
            mean=slope * mean + intercept,
            std=abs(slope) * math.sqrt(variance),
            percentiles={
                percent: slope * value + intercept
                for percent, value in zip(PERCENTILES, values, strict=True)
            },
        )

    def _scratch_like(self, plane: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return a float64 buffer, the same for every plane: fresh pages cost more than sums."""
        if self._scratch.shape != plane.shape:
            self._scratch = np.empty(plane.shape)
        return self._scratch

    def _moments(self) -> tuple[float, float]:
        if self._dtype != np.int16:
            return self._mean, self._squares / self._count
        values = np.arange(-32768, 32768)
        mean = int((self._upper * values).sum()) / self._count
        return mean, float((self._upper * (values - mean) ** 2).sum()) / self._count

    def _ranks(self) -> npt.NDArray[np.int64]:
        positions = [percent / 100 * (self._count - 1) for percent in PERCENTILES]
        ranks = {0, self._count - 1}
        for position in positions:
            ranks |= {math.floor(position), math.ceil(position)}
        return np.array(sorted(ranks), np.int64)

    def _interpolate(self, ordered: Mapping[int, float], percent: float) -> float:
        position = percent / 100 * (self._count - 1)
        low, high = ordered[math.floor(position)], ordered[math.ceil(position)]
        return low + (high - low) * (position - math.floor(position))

    def _value_at(self, rank: int) -> float:
        cumulative = np.cumsum(self._upper)
        upper = int(np.searchsorted(cumulative, rank, "right"))
        if self._dtype == np.int16:
            return float(upper - 32768)
        if self._slot_of_bin is None or self._lower is None:
            raise RuntimeError("call refine() with every plane before result()")
        inside = rank - int(cumulative[upper] - self._upper[upper])
        lower = np.searchsorted(np.cumsum(self._lower[self._slot_of_bin[upper]]), inside, "right")
        return _value_of_key((upper << 16) | int(lower))


def _upper_key(plane: npt.NDArray[Any]) -> npt.NDArray[np.unsignedinteger]:
    if plane.dtype == np.int16:
        return plane.view(np.uint16) ^ np.uint16(0x8000)
    return _float_key(plane) >> np.uint32(16)


def _float_key(plane: npt.NDArray[np.float32]) -> npt.NDArray[np.uint32]:
    """Return unsigned integers in the order of the floats (adding 0 turns -0.0 into 0.0)."""
    bits = (plane + np.float32(0)).view(np.uint32)
    sign = (bits.view(np.int32) >> 31).view(np.uint32)  # all ones where negative
    return bits ^ (sign | np.uint32(0x80000000))


def _value_of_key(key: int) -> float:
    bits = key ^ 0x80000000 if key >> 31 else key ^ 0xFFFFFFFF
    return float(np.uint32(bits).view(np.float32))
