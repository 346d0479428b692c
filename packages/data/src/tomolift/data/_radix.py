"""Exact order statistics by radix counting: sixteen bits of a value at a time, in bounded memory.

One pass over int16 values tells all ranks. float32 values need two: the first counts their upper
halves, the second the lower halves of those values whose upper half is that of a wanted rank.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

BLOCK = 2**18  # values at a time: a slice of 512 x 512 in one go, and 2 MiB of scratch
_PATTERNS = 2**16
_SIGN = 2**15  # upper halves from here on are those of negative values
_Counts = npt.NDArray[np.int64]


class RadixCounts:
    """How often each bit pattern comes in a stream of int16 or float32 values.

    Feed all values to :meth:`add`; then, where they are float32, :meth:`want` ranks and feed all
    values again to :meth:`refine`; then ask for :meth:`values_at` those ranks.
    """

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self._dtype = np.dtype(dtype)
        self._upper = np.zeros(_PATTERNS, np.int64)
        self._row = np.full(_PATTERNS, -1)  # where a wanted upper half has its lower counts
        self._is_wanted = self._row >= 0
        self._lower = np.zeros((0, _PATTERNS), np.int64)
        self._scratch = np.empty(BLOCK, np.intp)

    def add(self, values: npt.NDArray[Any]) -> None:
        """Count values (of any shape)."""
        for block in blocks_of(values):
            np.add.at(self._upper, self._upper_halves(block), 1)  # bincount takes 1.3 times as long

    def want(self, ranks: npt.NDArray[np.int64]) -> None:
        """Choose the ranks, from 0 in ascending order, that :meth:`refine` is to resolve."""
        wanted = np.unique(self._find_upper(ranks)[0])
        self._row[wanted] = np.arange(len(wanted))
        self._is_wanted = self._row >= 0
        self._lower = np.zeros((len(wanted), _PATTERNS), np.int64)

    def refine(self, values: npt.NDArray[np.float32]) -> None:
        """Count the lower halves of values among which the wanted ranks lie."""
        for block in blocks_of(values):
            is_chosen = self._is_wanted.take(self._upper_halves(block))
            chosen = block.view(np.uint32)[is_chosen].astype(np.intp)
            places = self._row[chosen >> 16] * _PATTERNS + (chosen & (_PATTERNS - 1))
            np.add.at(self._lower.reshape(-1), places, 1)

    def values_at(self, ranks: npt.NDArray[np.int64]) -> list[float]:
        """Return the values that stand at ``ranks``, from 0 in ascending order.

        Raises:
            RuntimeError: :meth:`refine` has not been asked for them.
        """
        uppers, inside = self._find_upper(ranks)
        if self._dtype == np.int16:
            return uppers.astype(np.uint16).view(np.int16).astype(np.float64).tolist()
        if (self._row[uppers] < 0).any():
            raise RuntimeError("call refine() with every plane before result()")
        values = np.empty(len(ranks))
        for upper in set(uppers.tolist()):
            here = uppers == upper
            values[here] = self._floats_at(upper, inside[here])
        return values.tolist()

    def mean_and_variance(self) -> tuple[float, float]:
        """Return mean and variance of int16 values, which their counts hold exactly."""
        values = np.arange(-_SIGN, _SIGN)
        counts = np.roll(self._upper, _SIGN)
        count = int(counts.sum())
        mean = int((counts * values).sum()) / count
        return mean, float((counts * (values - mean) ** 2).sum()) / count

    def _upper_halves(self, block: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
        """Return the sixteen upper bits of each value as indices, in reused memory."""
        step = block.itemsize // 2
        scratch = self._scratch[: block.size]
        np.copyto(scratch, block.view(np.uint16)[step - 1 :: step])
        return scratch

    def _find_upper(self, ranks: npt.NDArray[np.int64]) -> tuple[_Counts, _Counts]:
        """Return the upper halves at ``ranks``, and the ranks among their equals."""
        positive, negative = np.arange(_SIGN), np.arange(_SIGN, _PATTERNS)
        if self._dtype == np.float32:  # sign and magnitude: the larger pattern is the lesser value
            negative = negative[::-1]
        patterns = np.concatenate([negative, positive])
        places, inside = _find(self._upper[patterns], ranks)
        return patterns[places], inside

    def _floats_at(self, upper: int, inside: _Counts) -> npt.NDArray[np.float32]:
        counts = self._lower[self._row[upper]]
        lower = _find(counts[::-1] if upper >= _SIGN else counts, inside)[0]
        if upper >= _SIGN:
            lower = _PATTERNS - 1 - lower
        bits = (upper << 16 | lower).astype(np.uint32)
        return bits.view(np.float32)


def _find(counts: _Counts, ranks: npt.NDArray[np.int64]) -> tuple[_Counts, _Counts]:
    """Return in which bin each rank lies, and its rank inside of it."""
    ends = np.cumsum(counts)
    places = np.searchsorted(ends, ranks, "right")
    return places, ranks - (ends[places] - counts[places])


def blocks_of(values: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """Yield the values in C order, at most :data:`BLOCK` at a time."""
    flat = np.ascontiguousarray(values).reshape(-1)
    for start in range(0, flat.size, BLOCK):
        yield flat[start : start + BLOCK]
