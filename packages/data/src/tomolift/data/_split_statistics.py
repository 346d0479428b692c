"""Grey-value statistics of a training split, all its voxels pooled: exact, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from ._cache import Cache
from ._case_info import CaseInfo
from ._statistics import Statistics, StreamingStatistics
from .errors import BadInput

Voxels = Literal["all", "foreground"]


@dataclass(frozen=True)
class SplitStatistics:
    """Statistics of the pooled voxels of some cases, and which voxels those were.

    Plain data: :meth:`to_json` is what a training records and a prediction reuses.

    Attributes:
        statistics: in real units (HU for CT).
        voxels: ``all`` or ``foreground``.
        num_voxels: how many there were.
        cases: whose, in the order of the cache.
    """

    statistics: Statistics
    voxels: Voxels
    num_voxels: int
    cases: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain numbers, text and lists."""
        return {
            "statistics": self.statistics.to_json(),
            "voxels": self.voxels,
            "num_voxels": self.num_voxels,
            "cases": list(self.cases),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> SplitStatistics:
        """Return what :meth:`to_json` gave.

        Raises:
            KeyError, TypeError, ValueError: ``content`` has not that form.
        """
        return cls(
            statistics=Statistics.from_json(content["statistics"]),
            voxels=_checked_voxels(content["voxels"]),
            num_voxels=int(content["num_voxels"]),
            cases=tuple(str(case) for case in content["cases"]),
        )


def split_statistics(cache: Cache, cases: Sequence[str], *, voxels: Voxels) -> SplitStatistics:
    """Return the pooled statistics of the cached voxels of ``cases``, and of no others.

    Every voxel counts alike, so large volumes weigh more; padding counts nothing. Percentiles are
    exact order statistics (of float32 values where slope, intercept or encoding differ between
    cases), and the result does not depend on the order of ``cases``. Integer volumes of one slope
    are read once, others twice, a slice at a time.

    Args:
        cache: an open cache.
        cases: the training split; never cases that are evaluated on.
        voxels: ``all`` of the cached slices, or ``foreground``: classes 1 and above.

    Raises:
        BadInput: E_ARGUMENT (no case, an unknown or repeated one, no foreground voxel), E_CACHE,
            or E_INTENSITY (values beyond float32 beside volumes of another slope).

    Example:
        >>> split_statistics(cache, training_cases, voxels="foreground")  # doctest: +SKIP
    """
    _checked_voxels(voxels)
    cache.volume_order(1, cases=cases)  # refuses what is no list of cases
    chosen = set(cases)
    infos = [cache[case] for case in cache.cases if case in chosen]
    num_voxels = sum(_num_voxels(info, voxels) for info in infos)
    if num_voxels == 0:
        problem = f"hold no foreground voxel: {', '.join(info.case for info in infos)}"
        raise BadInput("E_ARGUMENT", "cases", problem, "use all voxels or other cases")
    encodings = {(info.dtype, info.slope, info.intercept) for info in infos}
    if len(encodings) == 1:
        ((dtype, slope, intercept),) = encodings
        streaming = StreamingStatistics(dtype)
        _stream(streaming, cache, infos, voxels, as_stored=True)
        statistics = streaming.result(slope=slope, intercept=intercept)
    else:
        for info in infos:
            _check_float32(info)
        streaming = StreamingStatistics(np.float32)
        _stream(streaming, cache, infos, voxels, as_stored=False)
        statistics = streaming.result()
    return SplitStatistics(statistics, voxels, num_voxels, tuple(info.case for info in infos))


def _stream(
    streaming: StreamingStatistics,
    cache: Cache,
    infos: Sequence[CaseInfo],
    voxels: Voxels,
    *,
    as_stored: bool,
) -> None:
    passes = [streaming.add] + [streaming.refine] * streaming.needs_second_pass
    for look in passes:
        for info in infos:
            for values in _slices(cache, info, voxels):
                look(values if as_stored else _real(values, info))


def _slices(cache: Cache, info: CaseInfo, voxels: Voxels) -> Iterator[npt.NDArray[Any]]:
    """Yield the wanted cached values of each slice that has some; others are not touched."""
    raw, labels = cache.raw(info.case), cache.labels(info.case)
    for z in range(*info.valid_slices):
        if voxels == "all":
            yield raw[z]
        elif info.label_counts[z, 1:].any():
            yield raw[z][labels[z] > 0]  # 255 is in padded slices alone


def _num_voxels(info: CaseInfo, voxels: Voxels) -> int:
    counts = info.label_counts[:, 1:] if voxels == "foreground" else info.label_counts
    return int(counts.sum())


def _real(stored: npt.NDArray[Any], info: CaseInfo) -> npt.NDArray[np.float32]:
    """Return real values, rounded once, to float32."""
    return (stored * np.float64(info.slope) + info.intercept).astype(np.float32)


def _check_float32(info: CaseInfo) -> None:
    largest = max(abs(info.minimum), abs(info.maximum))
    if largest > float(np.finfo(np.float32).max):
        problem = f"has grey values up to {largest:g}, beyond float32"
        raise BadInput("E_INTENSITY", info.case, problem, "rescale the source or leave it out")


def _checked_voxels(voxels: str) -> Voxels:
    for known in get_args(Voxels):
        if voxels == known:
            return known
    raise BadInput("E_ARGUMENT", "voxels", f"is {voxels!r}", "use all or foreground")
