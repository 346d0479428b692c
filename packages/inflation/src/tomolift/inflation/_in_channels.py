"""A stem filter for another number of input channels."""

from __future__ import annotations

from typing import Literal

from jaxtyping import Shaped
from torch import Tensor

from .errors import ShapeMismatchError, StrategyError

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
