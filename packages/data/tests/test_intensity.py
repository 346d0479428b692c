from __future__ import annotations

import numpy as np
import pytest

from tomolift.data import (
    BadInput,
    ClippedZScore,
    Intensity,
    MinMax,
    Percentiles,
    SplitIntensity,
    Statistics,
    Window,
    ZScore,
    parse_intensity,
)
from tomolift.data._intensity import Rescale, stored_rescale
from tomolift.data._intensity_text import intensity_text

STATISTICS = Statistics(-1000.0, 3000.0, 50.0, 400.0, {0.5: -900.0, 99.5: 1100.0})
STORED = np.array([[-1000, -900, 0, 1100, 3000]], np.int16)


def rescaled(policy: Intensity, stored: np.ndarray = STORED, **scaling: float) -> np.ndarray:
    rescale = policy.rescale(STATISTICS)
    if scaling:
        rescale = rescale.in_stored_units(**scaling)
    out = np.empty(stored.shape, np.float32)
    rescale.apply(stored, out)
    return out


@pytest.mark.parametrize(
    ("policy", "low", "high"),
    [(MinMax(), -1000, 3000), (Window(-100, 240), -100, 240), (Percentiles(), -900, 1100)],
)
def test_range_policies_map_their_range_to_0_1_and_clip(
    policy: Intensity, low: float, high: float
) -> None:
    expected = np.clip((STORED.astype(np.float64) - low) / (high - low), 0, 1)
    np.testing.assert_allclose(rescaled(policy), expected, atol=1e-6)


def test_zscore_is_not_clipped() -> None:
    expected = (STORED.astype(np.float64) - 50) / 400
    np.testing.assert_allclose(rescaled(ZScore()), expected, rtol=1e-6)


def test_clipped_zscore_clips_to_its_percentiles_before_it_standardises() -> None:
    expected = (np.clip(STORED.astype(np.float64), -900, 1100) - 50) / 400
    np.testing.assert_allclose(rescaled(ClippedZScore()), expected, rtol=1e-6)


def test_min_max_is_exact_at_both_ends() -> None:
    out = rescaled(MinMax())
    assert out.min() == 0.0
    assert out.max() <= 1.0
    assert out.max() > 1 - 1e-6


@pytest.mark.parametrize("policy", [MinMax(), Window(-100, 240), ZScore(), ClippedZScore()])
@pytest.mark.parametrize("slope", [2.0, -0.25])
def test_slope_and_intercept_commute_with_the_policy(policy: Intensity, slope: float) -> None:
    real = slope * STORED.astype(np.float64) - 24
    expected = np.empty(STORED.shape, np.float32)
    policy.rescale(STATISTICS).apply(real.astype(np.float32), expected)
    out = rescaled(policy, slope=slope, intercept=-24.0)
    np.testing.assert_allclose(out, expected, atol=2e-6)


@pytest.mark.parametrize("policy", [MinMax(), Percentiles(), ZScore(), ClippedZScore()])
def test_a_constant_volume_becomes_zero(policy: Intensity) -> None:
    flat = Statistics(7.0, 7.0, 7.0, 0.0, {0.5: 7.0, 99.5: 7.0})
    out = np.empty((1, 2), np.float32)
    policy.rescale(flat).apply(np.array([[7, 7]], np.int16), out)
    assert (out == 0).all()


@pytest.mark.parametrize(
    ("policy", "slope"),
    [(Window(-100, 240), 1e-44), (Window(0, 240), 1e-44), (Window(0, 1e-45), 1.0),
     (MinMax(), 1e-44), (ZScore(), -1e-44), (Window(-1e38, 1e39), 1.0), (Window(0, 1e-3), 1e38)],
)  # fmt: skip
def test_a_map_of_stored_values_beyond_float32_is_refused(policy: Intensity, slope: float) -> None:
    """The gain of 240 HU over 1e-44 a step is 0 in float32: every image would be constant."""
    with pytest.raises(BadInput, match=r"^a: shift .* do not fit float32; .*E_INTENSITY"):
        stored_rescale(policy, STATISTICS, slope=slope, intercept=0.0, where="a")


@pytest.mark.parametrize("policy", [Window(-100, 240), SplitIntensity(ClippedZScore(), STATISTICS)])
def test_values_that_overflow_float32_are_clipped_like_others(policy: Intensity) -> None:
    """Warnings are errors here: 3e38 + 3e38 is no reason for one where all is clipped."""
    rescale = policy.rescale(STATISTICS)
    out = np.empty(3, np.float32)
    rescale.apply(np.array([-3.4e38, 0.0, 3.4e38], np.float32), out)
    assert (out[0], out[2]) == (np.float32(rescale.low), np.float32(rescale.high))
    assert out[0] < out[1] < out[2]


def test_tiny_real_values_that_are_stored_as_ordinary_ones_are_rescaled() -> None:
    tiny = Statistics(-1000e-41, 3000e-41, 0.0, 1.0, {})
    rescale = stored_rescale(MinMax(), tiny, slope=1e-41, intercept=0.0, where="a")
    out = np.empty(STORED.shape, np.float32)
    rescale.apply(STORED, out)
    np.testing.assert_allclose(out, (STORED + 1000.0) / 4000, atol=1e-6)


@pytest.mark.parametrize(
    "text", ["", "window", "window:1", "window:2,1", "minmax:1", "percentiles:0.3,99", "hu:1,2",
             "window:nan,1", "window:-1e308,1e308", "window:-inf,1", "window:1,inf",
             "window:a,b", "percentiles:99,1", "clipped-zscore:99", "clipped-zscore:0.3,99",
             "split:zscore", "foreground:zscore"],
)  # fmt: skip
def test_an_unknown_policy_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match=r"^intensity: .*; .*\[E_ARGUMENT\]$"):
        parse_intensity(text)


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("minmax", MinMax()),
        ("zscore", ZScore()),
        ("percentiles", Percentiles()),
        ("percentiles:1,99", Percentiles(1.0, 99.0)),
        ("window:-100,240", Window(-100.0, 240.0)),
        ("clipped-zscore", ClippedZScore(0.5, 99.5)),
        ("clipped-zscore:1,99", ClippedZScore(1.0, 99.0)),
    ],
)
def test_policies_are_named_on_the_command_line(text: str, policy: Intensity) -> None:
    assert parse_intensity(text) == policy


@pytest.mark.parametrize(
    "policy",
    [MinMax(), ZScore(), Percentiles(1, 99.9), Window(-1 / 3, 1e300), ClippedZScore(0.1, 50)],
)
def test_the_text_of_a_policy_names_it_exactly(policy: Intensity) -> None:
    assert parse_intensity(intensity_text(policy)) == policy


def test_a_policy_from_elsewhere_has_no_text() -> None:
    class Halved(ZScore):
        pass

    with pytest.raises(BadInput, match=r"^intensity: Halved has no text form; .*E_ARGUMENT"):
        intensity_text(Halved())


def test_a_clip_is_left_out_only_where_it_changes_no_bit() -> None:
    generator = np.random.default_rng()
    left_out = 0
    for _ in range(200):
        first, last = sorted(generator.integers(-32768, 32768, 2).tolist())
        slope, intercept = float(generator.choice([1.0, 0.3, -2.0])), float(generator.normal())
        clipped = MinMax().rescale(
            Statistics(*sorted((slope * first + intercept, slope * last + intercept)), 0.0, 1.0, {})
        )
        clipped = clipped.in_stored_units(slope=slope, intercept=intercept)
        lean = clipped.without_needless_clip(first, last)
        left_out += not lean.clip
        stored = generator.integers(first, last + 1, 999).astype(np.int16)
        stored[:2] = first, last
        results = np.full((2, 999), np.nan, np.float32)
        clipped.apply(stored, results[0])
        lean.apply(stored, results[1])
        assert results[0].tobytes() == results[1].tobytes()
    assert left_out > 50
    assert Rescale(0.0, 0.01, 0.0, 1.0).without_needless_clip(-1, 99).clip
    assert Rescale(0.0, 0.01, 0.0, 1.0).without_needless_clip(0, 101).clip
