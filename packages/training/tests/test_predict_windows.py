"""Windows over a deep volume: every slice kept once, as central as can be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tomolift.training import ConfigError
from tomolift.training.predict._windows import plan_windows

SIZES = {"num_slices": st.integers(1, 300), "depth": st.integers(1, 80)}


@given(**SIZES, overlap=st.floats(0, 0.9))
def test_every_slice_is_kept_exactly_once_in_order(
    num_slices: int, depth: int, overlap: float
) -> None:
    windows = plan_windows(num_slices, depth=depth, overlap=overlap)
    kept = [index for window in windows for index in range(window.first, window.stop)]
    assert kept == list(range(num_slices))


@given(**SIZES, overlap=st.floats(0, 0.9))
def test_a_window_shows_what_it_keeps_and_lies_inside_a_volume_that_can_hold_it(
    num_slices: int, depth: int, overlap: float
) -> None:
    for window in plan_windows(num_slices, depth=depth, overlap=overlap):
        assert window.start <= window.first < window.stop <= window.start + depth
        if num_slices >= depth:
            assert 0 <= window.start <= num_slices - depth


@given(**SIZES, overlap=st.floats(0, 0.9))
def test_a_kept_slice_has_its_share_of_context_on_both_sides(
    num_slices: int, depth: int, overlap: float
) -> None:
    """Half the overlap, but for what the volume itself has not."""
    step = max(1, round(depth * (1 - overlap)))
    for window in plan_windows(num_slices, depth=depth, overlap=overlap):
        before = window.first - window.start
        after = window.start + depth - window.stop
        assert before >= min((depth - step) // 2, window.first)
        assert after >= min((depth - step) // 2, num_slices - window.stop)


@given(num_slices=st.integers(1, 300), depth=st.integers(1, 80))
def test_without_overlap_the_middle_window_keeps_all_that_training_would_cut_out(
    num_slices: int, depth: int
) -> None:
    middle = (num_slices - depth) // 2
    windows = plan_windows(num_slices, depth=depth, overlap=0)
    (window,) = [window for window in windows if window.start == middle]
    assert (window.first, window.stop) == (max(middle, 0), min(middle + depth, num_slices))


@pytest.mark.parametrize("overlap", [-0.1, 0.95, float("nan")])
def test_an_overlap_outside_its_range_is_refused(overlap: float) -> None:
    with pytest.raises(ConfigError, match=r"overlap = .*: expected 0 to 0.9"):
        plan_windows(10, depth=5, overlap=overlap)
