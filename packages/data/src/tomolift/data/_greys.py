"""Stream the grey values of one file into a sink, choosing the narrowest exact encoding."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy.typing as npt

from ._encoding import DoesNotFitInt16, float32_plane, int16_plane
from ._nifti import NiftiStream, open_nifti
from ._statistics import Statistics, StreamingStatistics

Planes = Iterable[tuple[int, npt.NDArray[Any]]]
T = TypeVar("T")


@dataclass(frozen=True)
class Kept(Generic[T]):
    """What a sink made of the planes.

    ``again`` yields every grey value once more, in any order and shape; it is None where the sink
    left some out.
    """

    result: T
    again: Iterable[npt.NDArray[Any]] | None


@dataclass(frozen=True)
class Greys:
    """What streaming a file told of its grey values.

    ``pad_value`` is the encoded value whose real value is the volume's minimum.
    """

    statistics: Statistics
    pad_value: float
    encoding_error: float


def stream_greys(path: Path, sink: Callable[[str, Planes], Kept[T]]) -> tuple[T, Greys]:
    """Feed ``sink(dtype, planes)`` with int16 planes, or float32 ones where int16 is not exact.

    A plane lives until the next one is asked for. The sink is called again, from the first plane,
    where an integer of 16 bits turns out not to hold some value; only its last result counts.

    Raises:
        BadInput: as :func:`open_nifti`, and E_NONFINITE.
    """
    try:
        return _attempt(path, "<i2", sink)
    except DoesNotFitInt16:
        return _attempt(path, "<f4", sink)


def _attempt(path: Path, dtype: str, sink: Callable[[str, Planes], Kept[T]]) -> tuple[T, Greys]:
    statistics = StreamingStatistics(dtype)
    errors = [0.0]

    def counted(stream: NiftiStream) -> Planes:
        for index, plane, error in _encoded(stream, dtype):
            errors.append(error)
            statistics.add(plane)
            yield index, plane

    with open_nifti(path) as stream:
        kept = sink(dtype, counted(stream))
        slope, intercept = stream.header.slope, stream.header.intercept
    if statistics.needs_second_pass:
        for plane in _every_plane(path, dtype) if kept.again is None else kept.again:
            statistics.refine(plane)
    stored = statistics.result()
    greys = Greys(
        statistics=stored.scaled(slope, intercept),
        pad_value=stored.minimum if slope > 0 else stored.maximum,
        encoding_error=max(errors),
    )
    return kept.result, greys


def _every_plane(path: Path, dtype: str) -> Iterator[npt.NDArray[Any]]:
    with open_nifti(path) as stream:
        for _, plane, _ in _encoded(stream, dtype):
            yield plane


def _encoded(stream: NiftiStream, dtype: str) -> Iterator[tuple[int, npt.NDArray[Any], float]]:
    for index, plane in stream.planes():
        if dtype == "<i2":
            yield index, int16_plane(plane), 0.0
        else:
            yield index, *float32_plane(plane, plane_index=index, path=stream.path)
