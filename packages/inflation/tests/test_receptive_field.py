"""How far a network sees, against worked examples and against what really reaches the output."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tomolift.inflation import Override, plan_inflation


def field_of(net2d: nn.Module, **options: object) -> tuple[float, ...]:
    field = plan_inflation(net2d, **options).receptive_field  # type: ignore[arg-type]
    assert field is not None
    return field.size


@pytest.mark.parametrize(
    ("net2d", "expected"),
    [
        (nn.Conv2d(1, 1, 3), 3),
        (nn.Conv2d(1, 1, 3, dilation=4), 9),
        # 1 + 2 + 2*1, then the pool's 2 at step 1 and the convolution's 2*2 at step 2
        (nn.Sequential(nn.Conv2d(1, 1, 3), nn.MaxPool2d(3, 2, 1), nn.Conv2d(1, 1, 3)), 9),
        (nn.Sequential(nn.AvgPool2d(2), nn.AvgPool2d(2)), 4),
        # 5 from two convolutions at step 2, then one more cell (2) by the linear mode
        (nn.Sequential(nn.Conv2d(1, 1, 3, 2), nn.Upsample(scale_factor=2, mode="bilinear")), 5),
        (nn.Sequential(nn.Conv2d(1, 1, 3, 2), nn.Upsample(scale_factor=2)), 3),
        # an output cell of a transposed convolution (4, 2) meets two cells, 2 apart in the input
        (nn.Sequential(nn.Conv2d(1, 1, 2, 2), nn.ConvTranspose2d(1, 1, 4, 2, 1)), 4),
        (nn.Sequential(nn.Conv2d(1, 1, 3), nn.AdaptiveAvgPool2d(1)), math.inf),
    ],
)
def test_worked_examples(net2d: nn.Module, expected: float) -> None:
    assert field_of(net2d) == (expected,) * 3


def test_the_widest_branch_counts_and_a_shortcut_s_stride_only_once(
    small_resnet: nn.Module,
) -> None:
    # stem 7 at step 1, pool 2*2, layer1 4 convolutions at 4, layer2 one at 4 and three at 8,
    # layer3 four dilated by 2 at 8, the linear up-sampling one cell of 8
    expected = 7 + 2 * 2 + 4 * 2 * 4 + 2 * 4 + 3 * 2 * 8 + 4 * 4 * 8 + 8
    assert field_of(small_resnet) == (expected,) * 3


def test_slices_that_are_not_mixed_are_not_seen(small_resnet: nn.Module) -> None:
    depth, height, _ = field_of(
        small_resnet, depth_stride=1, overrides={"*": Override(depth_kernel=1)}
    )
    assert (depth, height) == (1, 235)


def test_the_field_is_what_reaches_an_output_cell() -> None:
    net2d = nn.Sequential(
        nn.Conv2d(1, 2, 5, 2, 2), nn.Conv2d(2, 2, 3, 1, 2, dilation=2), nn.AvgPool2d(3, 2, 1)
    ).double()
    for parameter in net2d.parameters():
        nn.init.uniform_(parameter, 0.1, 1.0)  # nothing cancels
    image = torch.zeros(1, 1, 101, 101, dtype=torch.float64, requires_grad=True)
    net2d(image)[0, 0, 12, 12].backward()
    assert image.grad is not None
    rows = image.grad[0, 0].abs().sum(1).nonzero().flatten()
    assert field_of(net2d)[1] == rows.max().item() - rows.min().item() + 1


class GlobalGate(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * x.mean(tuple(range(2, x.ndim)), keepdim=True)


class ChannelMean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.softmax(x - x.mean(1, keepdim=True), dim=1)


def test_a_mean_over_positions_sees_everything_one_over_channels_nothing_more() -> None:
    assert field_of(nn.Sequential(nn.Conv2d(1, 2, 3), GlobalGate())) == (math.inf,) * 3
    assert field_of(nn.Sequential(nn.Conv2d(1, 2, 3), ChannelMean())) == (3.0,) * 3
