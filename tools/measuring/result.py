"""What is kept of a race: ratios of medians, and what they rest on."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

Metric = dict[str, float | str]  # {"value": ..., "unit": ...}


def speed_up(times: Mapping[str, Sequence[float]], peer: str, *, of: str = "ours") -> Metric:
    """How many times as long the peer takes; more is better."""
    return {"value": _ratio(times[peer], times[of]), "unit": "times"}


def cost(times: Mapping[str, Sequence[float]], floor: str, *, of: str = "ours") -> Metric:
    """How many times as long ours takes as what it is held against; less is better."""
    return {"value": _ratio(times[of], times[floor]), "unit": "over"}


def duration(times: Mapping[str, Sequence[float]], *, of: str = "ours") -> Metric:
    return {"value": 1e6 * statistics.median(times[of]), "unit": "us"}


def longer_duration(times: Mapping[str, Sequence[float]], *, of: str = "ours") -> Metric:
    return {"value": 1e3 * statistics.median(times[of]), "unit": "ms"}


def memory(extra_bytes: int) -> Metric:
    return {"value": extra_bytes / 2**20, "unit": "MiB"}


def share(part: float, whole: float) -> Metric:
    """What is taken of what would be taken otherwise; less is better."""
    return {"value": part / whole, "unit": "over"}


def summarise(times: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Medians in microseconds and rounds, by contender."""
    return {
        "medians_us": {name: 1e6 * statistics.median(found) for name, found in times.items()},
        "rounds": {name: len(found) for name, found in times.items()},
    }


def bandwidth(
    times: Mapping[str, Sequence[float]], *, moved: int, copied: int, of: str = "ours"
) -> dict[str, float]:
    """The least traffic of ours as a share of what the copy in the same race reached.

    Args:
        times: seconds, of a contender named "copy" among others.
        moved: bytes that ours reads and writes at least.
        copied: bytes that the copy reads and writes.
        of: the contender that is ours.
    """
    reached = copied / statistics.median(times["copy"])
    return {
        "bytes_moved_at_least": moved,
        "copy_gb_per_s": reached / 1e9,
        "share_of_copy_bandwidth": moved / statistics.median(times[of]) / reached,
    }


def _ratio(numerator: Sequence[float], denominator: Sequence[float]) -> float:
    return statistics.median(numerator) / statistics.median(denominator)
