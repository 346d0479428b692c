"""A plain U-Net: two convolutions a level, max pools down, interpolation up."""

from __future__ import annotations

import torch
from torch import Tensor, nn

WIDTHS = (32, 64, 128, 256, 320)  # nnU-Net's, for five levels


class UNet(nn.Module):
    """Logits at the input's size, which has to be a multiple of 16."""

    def __init__(self, num_classes: int = 3) -> None:
        super().__init__()
        befores = (3, *WIDTHS[:-1])
        self.down = nn.ModuleList(
            convolutions(before, after) for before, after in zip(befores, WIDTHS, strict=True)
        )
        self.up = nn.ModuleList(
            convolutions(above + below, above)
            for above, below in zip(WIDTHS[-2::-1], WIDTHS[:0:-1], strict=True)
        )
        self.pool = nn.MaxPool2d(2)
        self.enlarge = nn.Upsample(scale_factor=2, mode="bilinear")
        self.head = nn.Conv2d(WIDTHS[0], num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept: list[Tensor] = []
        for level in self.down:
            x = level(self.pool(x) if kept else x)
            kept.append(x)
        kept.pop()
        for level in self.up:
            x = level(torch.cat([kept.pop(), self.enlarge(x)], 1))
        return self.head(x)


def convolutions(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
        nn.Conv2d(after, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )
