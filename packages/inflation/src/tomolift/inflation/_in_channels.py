"""A stem filter for another number of input channels."""

from __future__ import annotations

import copy
from typing import Literal

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from ._dry_run import without_storage
from .errors import InflationError, ShapeMismatchError, StrategyError, UnsupportedLayerError

HowToAdapt = Literal["sum", "mean", "tile", "first"]


def adapt_in_channels(
    weight: Shaped[Tensor, "out in *kernel"], n: int, *, how: HowToAdapt = "sum"
) -> Shaped[Tensor, "out new_in *kernel"]:
    """A filter that reads `n` channels instead of its own number.

    Args:
        weight: (out, in, height, width) or (out, in, depth, height, width).
        n: the new number of input channels, at least 1.
        how: "sum": the sum over the input channels, shared equally by the new ones; on equal
            channels the output stays exactly the same (grey images through an RGB stem).
            "mean": their mean in each new channel. "tile": the channels in turn, times in / n.
            "first": the first n as they are.

    Raises:
        StrategyError: `how` is none of these.
        ShapeMismatchError: `n` is below 1, or above the filter's channels with how="first".

    Example:
        >>> import torch
        >>> adapt_in_channels(torch.ones(8, 3, 7, 7), 1)[0, 0, 0, 0].item()
        3.0
    """
    in_channels = weight.shape[1]
    if n < 1:
        raise ShapeMismatchError(f"n={n} input channels: give 1 or more")
    expand = (-1, n, *weight.shape[2:])
    if how == "sum":
        return (weight.sum(1, keepdim=True) / n).expand(expand).clone()
    if how == "mean":
        return weight.mean(1, keepdim=True).expand(expand).clone()
    if how == "tile":
        return weight[:, [channel % in_channels for channel in range(n)]] * (in_channels / n)
    if how == "first":
        if n > in_channels:
            raise ShapeMismatchError(
                f"n={n} is more than the filter's {in_channels} channels: use how='tile'"
            )
        return weight[:, :n].clone()
    raise StrategyError(f"how={how!r} is unknown: use 'sum', 'mean', 'tile' or 'first'")


def adapt_stem(net2d: nn.Module, in_channels: int | None, slices: Tensor) -> nn.Module:
    """A copy of a 2D network whose first convolution reads another number of channels.

    The filter is adapted by its sum over channels, which answers equal channels exactly as before.

    Args:
        net2d: the 2D network; returned as it is where there is nothing to change.
        in_channels: the number of channels; None: as it is.
        slices: a batch that it accepts, with its own number of channels.

    Raises:
        InflationError: the number is below 1, or nothing in the network is a convolution.
        UnsupportedLayerError: the first convolution is no plain Conv2d, or has groups.
    """
    if in_channels is None or in_channels == slices.shape[1]:
        return net2d
    if in_channels < 1:
        raise InflationError(f"in_channels={in_channels}: give 1 or more")
    name = _first_convolution(net2d, slices)
    adapted = copy.deepcopy(net2d)
    stem = adapted.get_submodule(name)
    if type(stem) is not nn.Conv2d or stem.groups != 1:
        raise UnsupportedLayerError(
            f"{name!r}: in_channels={in_channels} would change the filter of a "
            f"{type(stem).__name__}, and only a plain Conv2d without groups is known to stay "
            "exact: adapt it yourself (adapt_in_channels) and leave in_channels out"
        )
    weight = adapt_in_channels(stem.weight.detach(), in_channels, how="sum")
    stem.weight = nn.Parameter(weight, requires_grad=stem.weight.requires_grad)
    stem.in_channels = in_channels
    return adapted


def with_channels(slices: Tensor, in_channels: int | None) -> Tensor:
    """A batch like this one with another number of channels; None: as it is."""
    return slices[:, :1].expand(-1, in_channels or slices.shape[1], -1, -1)


def _first_convolution(net2d: nn.Module, slices: Tensor) -> str:
    """The convolution that runs first."""
    found: list[str] = []
    bare = without_storage(net2d)
    for name, module in bare.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(lambda *_, name=name: found.append(name))
    with torch.device("meta"), torch.no_grad():
        bare(torch.empty_like(slices, device="meta"))
    if not found:
        raise InflationError("in_channels: no Conv2d runs in the network: leave in_channels out")
    return found[0]
