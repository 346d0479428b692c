"""Exact grey-value statistics of a stream of planes, in bounded memory.

Percentiles are interpolated between exact order statistics, which radix counting finds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ._radix import BLOCK, RadixCounts, blocks_of

PERCENTILES = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 98.0, 99.0, 99.5, 99.9)


@dataclass(frozen=True)
class Statistics:
    """Grey-value statistics of a whole source volume, in its real units (HU for CT)."""

    minimum: float
    maximum: float
    mean: float
    std: float
    percentiles: Mapping[float, float]

    def scaled(self, slope: float, intercept: float) -> Statistics:
        """Return the statistics of ``slope * value + intercept``."""
        ends = [self.minimum, self.maximum]
        values = [self.percentiles[percent] for percent in PERCENTILES]
        if slope < 0:  # the order turns round, and the list of percentiles is symmetric
            values.reverse()
            ends.reverse()
        return Statistics(
            minimum=slope * ends[0] + intercept,
            maximum=slope * ends[1] + intercept,
            mean=slope * self.mean + intercept,
            std=abs(slope) * self.std,
            percentiles={
                percent: slope * value + intercept
                for percent, value in zip(PERCENTILES, values, strict=True)
            },
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain numbers; percents as text."""
        percentiles = {f"{percent:g}": value for percent, value in self.percentiles.items()}
        return {**self.__dict__, "percentiles": percentiles}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Statistics:
        """Return what :meth:`to_json` gave; plain data from a stranger is believed no further.

        Raises:
            ValueError: ``content`` has not that form, or no volume can have these statistics.
        """
        try:
            statistics = cls(
                minimum=float(content["minimum"]),
                maximum=float(content["maximum"]),
                mean=float(content["mean"]),
                std=float(content["std"]),
                percentiles={float(p): float(v) for p, v in content["percentiles"].items()},
            )
        except (ArithmeticError, AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"statistics: {type(error).__name__}: {error}") from error
        statistics._check()
        return statistics

    def _check(self) -> None:
        if set(self.percentiles) != set(PERCENTILES):
            raise ValueError(f"statistics: percentiles are {sorted(self.percentiles)}")
        numbers = (self.minimum, self.maximum, self.mean, self.std, *self.percentiles.values())
        if not all(map(math.isfinite, numbers)):
            raise ValueError("statistics: a number is not finite")
        if self.minimum > self.maximum or self.std < 0:
            raise ValueError("statistics: minimum above maximum, or a negative deviation")


class StreamingStatistics:
    """Statistics of planes that are seen once (int16) or twice (float32).

    Feed every plane to :meth:`add`; then, while :attr:`needs_second_pass`, every plane again to
    :meth:`refine`; then call :meth:`result`. Planes may have any shape; all values are finite.
    """

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self._counts = RadixCounts(dtype)
        self._moments = None if np.dtype(dtype) == np.int16 else _Moments()
        self._count = 0
        self._is_refined = False

    @property
    def needs_second_pass(self) -> bool:
        """Whether percentiles still need the planes once more."""
        return self._moments is not None

    def add(self, plane: npt.NDArray[Any]) -> None:
        """Count a plane of the dtype."""
        self._count += plane.size
        self._counts.add(plane)
        if self._moments is not None:
            self._moments.add(plane)

    def refine(self, plane: npt.NDArray[Any]) -> None:
        """Look at a plane again, to tell values apart that the first pass counted together."""
        if not self._is_refined:
            self._counts.want(self._ranks())
            self._is_refined = True
        self._counts.refine(plane)

    def result(self, *, slope: float = 1.0, intercept: float = 0.0) -> Statistics:
        """Return the statistics of ``slope * value + intercept``."""
        source = self._counts if self._moments is None else self._moments
        mean, variance = source.mean_and_variance()
        ranks = self._ranks()
        ordered = dict(zip(ranks.tolist(), self._counts.values_at(ranks), strict=True))
        stored = Statistics(
            minimum=ordered[0],
            maximum=ordered[self._count - 1],
            mean=mean,
            std=math.sqrt(variance),
            percentiles={percent: self._interpolate(ordered, percent) for percent in PERCENTILES},
        )
        return stored.scaled(slope, intercept)

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


class _Moments:
    """Mean and variance of float32 values (Chan et al. 1983: merging blocks loses no digits)."""

    def __init__(self) -> None:
        self._count, self._mean, self._squares = 0, 0.0, 0.0
        self._scratch = np.empty(BLOCK)  # reused: fresh pages cost more than sums

    def add(self, plane: npt.NDArray[Any]) -> None:
        for block in blocks_of(plane):
            deviations = self._scratch[: block.size]
            np.copyto(deviations, block)
            mean = float(deviations.sum()) / block.size
            deviations -= mean
            # not a dot product: BLAS rounds differently for each number of threads
            squares = float(np.square(deviations, out=deviations).sum())
            total = self._count + block.size
            step = mean - self._mean
            self._squares += squares + step * step * self._count * block.size / total
            self._mean += step * block.size / total
            self._count = total

    def mean_and_variance(self) -> tuple[float, float]:
        return self._mean, self._squares / self._count
