"""16-bit logits are read exactly, 16-bit gradients rounded once, bit by bit as torch rounds."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tomolift.ops import upsampled_argmax, voxel_cross_entropy

HALVES = [torch.bfloat16, torch.float16]


def every_value(dtype: torch.dtype) -> Tensor:
    """Each of the 65536 bit patterns."""
    return torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)


def ascending(dtype: torch.dtype) -> Tensor:
    """Each finite number once, subnormal ones too; of the two zeros only +0."""
    values = every_value(dtype)
    finite = values[values.isfinite()].double()
    return finite.unique().to(dtype)  # sorted


def straddling(dtype: torch.dtype) -> Tensor:
    """float32 numbers at, half-way between and one float32 step beside the numbers of dtype.

    What lies half-way above the largest finite one rounds to infinity, everything beyond as well.
    """
    values = ascending(dtype).float()
    beyond = values[-1] + (values[-1] - values[-2]) / 2
    middles = (values[:-1].double() + values[1:].double()).div(2).float()
    exact = torch.cat([values, middles, torch.stack([beyond, -beyond])])
    infinity = torch.tensor(float("inf"))
    around = [torch.nextafter(exact, infinity), torch.nextafter(exact, -infinity)]
    special = torch.tensor([0.0, -0.0, float("inf"), float("-inf"), float("nan"), 3.4e38, 1e-45])
    return torch.cat([exact, *around, special])


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", HALVES)
def test_neighbouring_numbers_are_told_apart(dtype: torch.dtype, last: bool) -> None:
    values = ascending(dtype)
    # of (a, b) with a < b class 1 is predicted, of (b, a) and of (b, b) class 0
    rows = [
        torch.stack([values[:-1], values[1:]]), torch.stack([values[1:], values[:-1]]),
        torch.stack([values[1:], values[1:]]),
    ]  # fmt: skip
    logits = torch.stack(rows).unsqueeze(2)  # (3, 2, 1, values)
    if last:
        logits = logits.contiguous(memory_format=torch.channels_last)
    labels = torch.tensor([0, 1, 1]).reshape(3, 1, 1).expand(3, 1, len(values) - 1)
    _, confusion = voxel_cross_entropy(logits, labels)
    assert confusion.tolist() == [[0, len(values) - 1], [2 * len(values) - 2, 0]]


@pytest.mark.parametrize("dtype", HALVES)
def test_neighbouring_numbers_are_told_apart_without_up_sampling(dtype: torch.dtype) -> None:
    values = ascending(dtype)
    low = torch.stack([values[:-1], values[1:]]).reshape(1, 2, -1, 1)
    assert bool(upsampled_argmax(low, tuple(low.shape[2:])).all())
    assert not upsampled_argmax(low.flip(1), tuple(low.shape[2:])).any()


@pytest.mark.parametrize("dtype", HALVES)
def test_losses_of_every_bit_pattern_are_those_of_float32(dtype: torch.dtype) -> None:
    values = every_value(dtype)
    logits = torch.stack([values, torch.zeros_like(values), values.flip(0)]).reshape(1, 3, 256, 256)
    labels = torch.arange(65536).reshape(1, 256, 256) % 3
    ours, confusion = voxel_cross_entropy(logits, labels, reduction="none")
    theirs, confusion_32 = voxel_cross_entropy(logits.float(), labels, reduction="none")
    torch.testing.assert_close(ours, theirs, rtol=2e-7, atol=0, equal_nan=True)
    assert torch.equal(confusion, confusion_32)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", HALVES)
def test_gradients_are_the_float32_ones_rounded_to_nearest_even(
    evaluate: Any, dtype: torch.dtype, last: bool
) -> None:
    # a hopeless truth of probability 0: the gradient is grad_output itself and its negative
    grad_output = straddling(dtype).reshape(1, 1, -1)
    logits = (
        torch.tensor([0.0, float("-inf")]).reshape(1, 2, 1, 1).repeat(1, 1, *grad_output.shape[1:])
    )
    if last:
        logits = logits.contiguous(memory_format=torch.channels_last)
    labels = torch.ones(grad_output.shape, dtype=torch.uint8)
    options = {"reduction": "none", "grad_output": grad_output}
    single = evaluate(voxel_cross_entropy, logits, labels, **options).gradient
    half = evaluate(voxel_cross_entropy, logits.to(dtype), labels, **options).gradient
    torch.testing.assert_close(single[:, 0], grad_output, rtol=2e-7, atol=0, equal_nan=True)
    expected = single.to(dtype)
    assert torch.equal(half.isnan(), expected.isnan())
    numbers = ~expected.isnan()
    assert torch.equal(half[numbers].view(torch.int16), expected[numbers].view(torch.int16))


def test_the_drawn_numbers_are_enough_to_see_a_wrong_rounding() -> None:
    for dtype in HALVES:
        numbers = straddling(dtype)
        truncated = (numbers.view(torch.int32) & ~0xFFFF).view(torch.float32).to(dtype)
        ties_away = torch.nextafter(numbers, numbers * 2).to(dtype)
        for wrong in (truncated, ties_away):
            assert int((wrong != numbers.to(dtype)).sum()) > 10_000
