"""The paper's dilated ResNet-18, and a ResNet-50 in its manner, as their users would write them."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

NUM_CLASSES = 21  # Pascal VOC, from which the paper's 2D networks come
# Width, stride and dilation of the four stages: output stride 8, by dilation from the third on.
STAGES = ((64, 1, 1), (128, 2, 1), (256, 1, 2), (512, 1, 4))


class Basic(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    expansion = 1

    def __init__(self, before: int, width: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, dilation, dilation, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut(before, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + self.downsample(x))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut; the last is four times as wide."""

    expansion = 4

    def __init__(self, before: int, width: int, stride: int, dilation: int) -> None:
        super().__init__()
        after = self.expansion * width
        self.conv1 = nn.Conv2d(before, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, after, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(after)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut(before, after, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))
        return self.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class DilatedResNet(nn.Module):
    """Logits at an eighth of the input's size."""

    def __init__(self, block: type[Basic] | type[Bottleneck], depths: tuple[int, ...]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        stages, before = [], 64
        for depth, (width, stride, dilation) in zip(depths, STAGES, strict=True):
            for position in range(depth):
                stages.append(block(before, width, 1 if position else stride, dilation))
                before = block.expansion * width
        self.blocks = nn.Sequential(*stages)
        self.fc = nn.Conv2d(before, NUM_CLASSES, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        return self.fc(self.blocks(x))


def shortcut(before: int, after: int, stride: int) -> nn.Module:
    """The input itself, or a 1x1 convolution of it where its shape changes."""
    if before == after and stride == 1:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))


def resnet18() -> nn.Module:
    return DilatedResNet(Basic, (2, 2, 2, 2))


def resnet50() -> nn.Module:
    return DilatedResNet(Bottleneck, (3, 4, 6, 3))
