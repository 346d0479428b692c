"""The networks under test: features of a timm model, no parameter left at a telling value."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

FAMILIES = Path(__file__).parent / "families.toml"
# Sides to try: small ones cost least, some networks accept only their own, the last.
_SIDES = (64, 96, 224)


def families() -> dict[str, str]:
    """Family -> the timm model that stands for it."""
    return tomllib.loads(FAMILIES.read_text())["networks"]


class Features(nn.Module):
    """A timm model without its classifier: what `forward_features` returns."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W), or what else the model calls features."""
        return self.net.forward_features(x)  # type: ignore[operator,no-any-return]


def build(timm: ModuleType, name: str, *, seed: int) -> nn.Module:
    """The model's features in eval mode, every parameter and statistic drawn."""
    torch.manual_seed(seed)
    return randomise(Features(timm.create_model(name, pretrained=False)), seed=seed).eval()


def randomise(net: nn.Module, *, seed: int) -> nn.Module:
    """Draw everything that training would move.

    Many networks start with zeros or millionths at the end of a residual branch (last norms,
    layer scales, biases of positions), behind which an error in the branch would not be seen.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if parameter.ndim > 1 and min(parameter.shape[:2]) > 1:
                bound = math.sqrt(2 / parameter[0].numel())
                parameter.normal_(0.0, bound, generator=generator)
            elif name.endswith("bias"):
                parameter.normal_(0.0, 0.1, generator=generator)
            elif parameter.ndim > 1:  # depthwise filters, tokens, gains
                parameter.normal_(0.0, 0.5, generator=generator)
            else:
                parameter.uniform_(0.5, 1.5, generator=generator)
        for name, buffer in net.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(0.0, 0.3, generator=generator)
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 1.5, generator=generator)
    return net


def slices_for(net: nn.Module, *, seed: int) -> Tensor:
    """Two slices (2, 3, side, side) of the smallest side that the network accepts."""
    generator = torch.Generator().manual_seed(seed)
    for side in _SIDES:
        slices = torch.randn(2, 3, side, side, generator=generator)
        try:
            with torch.no_grad():
                net(slices)
        except (AssertionError, RuntimeError, ValueError):
            continue
        return slices
    raise ValueError(f"the network runs on none of the sides {_SIDES}")
