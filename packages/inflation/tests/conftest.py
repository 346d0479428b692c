from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tomolift.inflation import inflate


class Block(nn.Module):
    def __init__(self, before: int, after: int, *, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, dilation, dilation, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(after, after, 3, 1, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.downsample: nn.Module | None = None
        if before != after:
            self.downsample = nn.Sequential(
                nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
            )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)) + shortcut)


class SmallResNet(nn.Module):
    """A dilated residual network in the paper's manner, small enough for hundreds of runs."""

    def __init__(self, num_classes: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(Block(8, 8), Block(8, 8))
        self.layer2 = nn.Sequential(Block(8, 16, stride=2), Block(16, 16))
        self.layer3 = nn.Sequential(Block(16, 24, dilation=2), Block(24, 24, dilation=2))
        self.fc = nn.Conv2d(24, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[2:]
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.fc(self.layer3(self.layer2(self.layer1(x))))
        mode = "bilinear" if x.ndim == 4 else "trilinear"
        return F.interpolate(x, size=size, mode=mode, align_corners=True)


def randomise(net: nn.Module, seed: int = 0) -> nn.Module:
    """Draw every parameter and every running statistic, so that no norm is an identity."""
    generator = torch.Generator().manual_seed(seed)
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, generator=generator)
            if module.bias is not None:
                nn.init.normal_(module.bias, 0.0, 0.1, generator=generator)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(module.bias, 0.0, 0.2, generator=generator)
            module.running_mean.normal_(0.0, 0.3, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    return net


@pytest.fixture
def small_resnet() -> nn.Module:
    """In eval mode, with random BatchNorm statistics."""
    return randomise(SmallResNet()).eval()


@pytest.fixture
def make_slices() -> Callable[..., Tensor]:
    """(N, C, H, W) standard normal values, by seed."""

    def make(
        num_slices: int,
        channels: int = 3,
        side: int = 32,
        seed: int = 1,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(num_slices, channels, side, side, generator=generator, dtype=dtype)

    return make


def noise(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.fixture(scope="session")
def make_noise() -> Callable[..., Tensor]:
    """Standard normal float64 values of any shape, always the same."""
    return noise


@pytest.fixture(scope="session")
def assert_constant_volume() -> Callable[..., None]:
    """Of a layer for 4 channels: every slice, ends included, equals the 2D layer's answer."""

    @torch.no_grad()
    def check(layer: nn.Module, depth: int = 9, **options: object) -> None:
        one = noise(2, 4, 13, 11)
        expected = layer(one)
        volume = one.unsqueeze(2).expand(-1, -1, depth, -1, -1)
        result = inflate(layer, example=one, **options)(volume)  # type: ignore[arg-type]
        assert result.shape[2] >= 1
        torch.testing.assert_close(result, expected.unsqueeze(2).expand_as(result))

    return check


@pytest.fixture(scope="session")
def assert_slicewise() -> Callable[..., None]:
    """Of a layer for 4 channels: on any volume it answers slice by slice as in 2D."""

    @torch.no_grad()
    def check(layer: nn.Module, **options: object) -> None:
        volume = noise(2, 4, 9, 13, 11)
        result = inflate(layer, **{"depth_stride": 1, **options})(volume)  # type: ignore[arg-type]
        expected = torch.stack([layer(each) for each in volume.unbind(2)], dim=2)
        torch.testing.assert_close(result, expected)

    return check
