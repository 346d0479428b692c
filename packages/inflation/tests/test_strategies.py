from __future__ import annotations

import math

import pytest
import torch

from tomolift.inflation import (
    PAPER_ALPHAS,
    STRATEGY_NAMES,
    Average,
    Center,
    Negative,
    Random,
    Scaling,
    StrategyError,
    TapStrategy,
    Triangular,
    resolve_strategy,
)

TAP_STRATEGIES = [Average(), Center(), Triangular(), Negative()]


@pytest.mark.parametrize("depth_kernel", range(1, 12))
@pytest.mark.parametrize("strategy", TAP_STRATEGIES, ids=repr)
def test_taps_sum_to_one_for_every_kernel(strategy: TapStrategy, depth_kernel: int) -> None:
    taps = strategy.taps(depth_kernel)
    assert taps.shape == (depth_kernel,)
    assert math.fsum(taps.tolist()) == pytest.approx(1.0, abs=1e-15)


@pytest.mark.parametrize("depth_kernel", range(1, 12))
@pytest.mark.parametrize("strategy", TAP_STRATEGIES, ids=repr)
def test_taps_are_symmetric_so_that_no_layer_shifts_the_volume(
    strategy: TapStrategy, depth_kernel: int
) -> None:
    taps = strategy.taps(depth_kernel)
    assert torch.equal(taps, taps.flip(0))


def test_paper_alphas_are_the_printed_ones_and_sum_to_one() -> None:
    assert Scaling().taps(3).tolist() == [0.25, 0.5, 0.25]
    assert Scaling().taps(7).tolist() == [0.05, 0.1, 0.2, 0.3, 0.2, 0.1, 0.05]
    assert all(math.fsum(alphas) == pytest.approx(1.0) for alphas in PAPER_ALPHAS.values())


def test_negative_taps_are_those_of_mansimov() -> None:
    assert Negative().taps(5).tolist() == pytest.approx([-0.2, -0.2, 9 / 5, -0.2, -0.2])


@pytest.mark.parametrize("strategy", [*TAP_STRATEGIES, Scaling()], ids=repr)
def test_a_kernel_of_one_tap_keeps_the_filter_bit_for_bit(strategy: TapStrategy) -> None:
    weight = torch.randn(4, 3, 1, 1, generator=torch.Generator().manual_seed(1))
    assert torch.equal(strategy.inflate_weight(weight, 1)[:, :, 0], weight)


def test_center_keeps_the_filter_bit_for_bit_in_the_middle_and_zeros_elsewhere() -> None:
    weight = torch.randn(4, 3, 7, 7, generator=torch.Generator().manual_seed(1))
    inflated = Center().inflate_weight(weight, 7)
    assert torch.equal(inflated[:, :, 3], weight)
    assert inflated[:, :, [0, 1, 2, 4, 5, 6]].count_nonzero() == 0


def test_f4_even_kernels_put_half_on_each_of_the_two_middle_taps() -> None:
    assert Center().taps(2).tolist() == [0.5, 0.5]
    assert Center().taps(6).tolist() == [0, 0, 0.5, 0.5, 0, 0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_inflated_filters_keep_the_dtype(dtype: torch.dtype) -> None:
    weight = torch.ones(2, 2, 3, 3, dtype=dtype)
    for strategy in [*TAP_STRATEGIES, Scaling(), Random()]:
        assert strategy.inflate_weight(weight, 3).dtype == dtype


def test_random_draws_kaiming_normal_fan_out_over_three_axes() -> None:
    weight = Random().inflate_weight(torch.zeros(64, 32, 3, 3), 3)
    assert weight.std().item() == pytest.approx(math.sqrt(2 / (64 * 27)), rel=0.01)
    assert abs(weight.mean().item()) < 1e-3


def test_random_with_equal_generators_draws_equal_filters() -> None:
    like = torch.zeros(4, 4, 3, 3)
    draws = [
        Random(torch.Generator().manual_seed(seed)).inflate_weight(like, 3) for seed in (5, 5, 6)
    ]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_random_leaves_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    Random().inflate_weight(torch.zeros(4, 4, 3, 3), 3)
    assert torch.equal(before, torch.random.get_rng_state())


def test_random_applies_one_generator_to_layer_after_layer() -> None:
    strategy = Random()
    like = torch.zeros(4, 4, 3, 3)
    assert not torch.equal(strategy.inflate_weight(like, 3), strategy.inflate_weight(like, 3))


@pytest.mark.parametrize("name", STRATEGY_NAMES)
def test_every_listed_name_gives_a_strategy(name: str) -> None:
    assert resolve_strategy(name).inflate_weight(torch.ones(2, 2, 3, 3), 3).shape[2] == 3


def test_zero_is_the_papers_word_for_center() -> None:
    assert resolve_strategy("zero") == resolve_strategy("center") == Center()


@pytest.mark.parametrize(
    ("alphas", "message"),
    [
        ({3: (0.3, 0.5, 0.3)}, r"sums to 1\.1.*divide each by the sum"),
        ({3: (-0.5, 2.0, -0.5)}, r"must be positive: use Negative\(\)"),
        ({3: (0.0, 1.0, 0.0)}, "must be positive"),
        ({3: (float("nan"), 0.5, 0.5)}, "must be positive"),
        ({3: (0.5, 0.5)}, "has 2 values: give 3"),
    ],
)
def test_alphas_that_break_the_papers_constraint_are_refused(
    alphas: dict[int, tuple[float, ...]], message: str
) -> None:
    with pytest.raises(StrategyError, match=message) as caught:
        Scaling(alphas=alphas)
    assert "\n" not in str(caught.value)


def test_alphas_within_1e_6_of_one_are_accepted() -> None:
    assert Scaling(alphas={3: (0.3333333, 0.3333333, 0.3333333)}).taps(3).shape == (3,)


def test_scaling_without_alphas_for_a_kernel_says_which_it_has() -> None:
    with pytest.raises(StrategyError, match=r"no alphas for 5 taps, only for \[3, 7\]"):
        Scaling().taps(5)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(StrategyError, match="strategy='averaging' is unknown: use one of random"):
        resolve_strategy("averaging")
