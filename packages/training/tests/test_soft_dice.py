"""The soft-Dice loss against its formula."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tomolift.training._device import Compute
from tomolift.training._loss import loss_and_confusion
from tomolift.training._soft_dice import soft_dice_loss


def drawn(spatial: tuple[int, ...], *, classes: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    low = torch.randn(2, classes, *(side // 4 for side in spatial), generator=generator)
    labels = torch.randint(0, classes, (2, *spatial), generator=generator).to(torch.uint8)
    labels[:, : spatial[0] // 4] = 255
    return low.double().requires_grad_(), labels


def by_the_formula(low: Tensor, labels: Tensor) -> Tensor:
    mode = "bilinear" if low.ndim == 4 else "trilinear"
    p = F.interpolate(low, labels.shape[1:], mode=mode, align_corners=True).softmax(1)
    dice = []
    for index in range(1, low.shape[1]):
        truth, inside = labels == index, labels != 255
        if truth.any():
            predicted = p[:, index][inside].sum()
            dice.append(2 * p[:, index][truth].sum() / (predicted + truth.sum()))
    return 1 - torch.stack(dice).mean()


@pytest.mark.parametrize("spatial", [(16, 16), (8, 12, 16)])
def test_value_and_gradient_are_the_formulas(spatial: tuple[int, ...]) -> None:
    low, labels = drawn(spatial)
    loss = soft_dice_loss(low, labels, stride=None, ignore_label=255)
    (gradient,) = torch.autograd.grad(loss, low)
    expected = by_the_formula(low, labels)
    (expected_gradient,) = torch.autograd.grad(expected, low)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradient, expected_gradient)


def test_a_class_absent_from_the_batch_is_left_out() -> None:
    low, labels = drawn((16, 16))
    labels[labels == 2] = 0
    loss = soft_dice_loss(low, labels, stride=None, ignore_label=255)
    torch.testing.assert_close(loss, by_the_formula(low, labels))


def test_a_batch_without_foreground_has_no_dice_loss_and_no_gradient() -> None:
    low, labels = drawn((16, 16))
    labels[labels != 255] = 0
    loss = soft_dice_loss(low, labels, stride=None, ignore_label=255)
    (gradient,) = torch.autograd.grad(loss, low)
    assert loss.item() == 0
    assert not gradient.any()


def test_a_certain_and_right_prediction_has_loss_zero() -> None:
    labels = torch.arange(16).remainder(3).reshape(1, 4, 4).to(torch.uint8)
    low = 50.0 * F.one_hot(labels.long(), 3).movedim(-1, 1)
    loss = soft_dice_loss(low, labels, stride=(1, 1), ignore_label=255)
    assert loss.item() == pytest.approx(0, abs=1e-6)


def test_the_mean_loss_is_cross_entropy_plus_the_weighted_dice_loss() -> None:
    low, labels = drawn((16, 16))

    class Fixed(nn.Module):
        """Says the same of every picture."""

        def forward(self, x: Tensor, *, full_resolution: bool) -> Tensor:
            return low.detach().float()

    def mean(dice: float) -> float:
        loss, confusion = loss_and_confusion(
            Fixed(),
            torch.zeros(2, 1, 16, 16),
            labels,
            zoom=1,
            compute=Compute(torch.device("cpu"), "fp32"),
            ignore_label=255,
            dice=dice,
        )
        return float(loss / confusion.sum())

    expected = 0.5 * by_the_formula(low, labels).item()
    assert math.isclose(mean(0.5) - mean(0.0), expected, rel_tol=1e-4)
