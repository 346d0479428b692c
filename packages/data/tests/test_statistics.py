from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tomolift.data._radix import BLOCK
from tomolift.data._statistics import PERCENTILES, Statistics, StreamingStatistics


def streamed(volume: np.ndarray[Any, Any], **scaling: float) -> Statistics:
    statistics = StreamingStatistics(volume.dtype)
    for plane in volume:
        statistics.add(plane)
    if statistics.needs_second_pass:
        for plane in volume:
            statistics.refine(plane)
    return statistics.result(**scaling)


def volumes() -> list[np.ndarray[Any, Any]]:
    generator = np.random.default_rng(0)
    normal = generator.normal(0, 1e3, (9, 11, 13))
    return [
        generator.integers(-32768, 32768, (4, 5, 6)).astype(np.int16),
        np.full((2, 3, 4), -7, np.int16),
        normal.astype(np.float32),
        np.exp(normal / 50).astype(np.float32),
        np.array([[[-0.0, 0.0, -1e-40, 1e-40, 3e38]]], np.float32),
        np.full((1, 1, 1), -2.5, np.float32),
        generator.integers(-500, 500, (1, BLOCK // 400, 500)).astype(np.int16),  # two blocks
        generator.normal(0, 1e3, (1, BLOCK // 400, 500)).astype(np.float32),
    ]


@pytest.mark.parametrize("volume", volumes(), ids=range(len(volumes())))
@pytest.mark.parametrize("slope", [1.0, -0.5])
def test_streamed_statistics_are_numpys_over_the_whole_volume(
    volume: np.ndarray[Any, Any], slope: float
) -> None:
    real = slope * volume.astype(np.float64) + 3
    ours = streamed(volume, slope=slope, intercept=3.0)
    assert ours.minimum == real.min()
    assert ours.maximum == real.max()
    scale = np.abs(real).max()
    np.testing.assert_allclose(ours.mean, real.mean(), rtol=1e-12, atol=1e-13 * scale)
    np.testing.assert_allclose(ours.std, real.std(), rtol=1e-10, atol=1e-13 * scale)
    expected = np.percentile(real, PERCENTILES)
    found = [ours.percentiles[percent] for percent in PERCENTILES]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14 * scale)


def test_asking_before_the_second_pass_is_an_error() -> None:
    statistics = StreamingStatistics(np.float32)
    statistics.add(np.zeros((2, 2), np.float32))
    with pytest.raises(RuntimeError, match="refine"):
        statistics.result()
