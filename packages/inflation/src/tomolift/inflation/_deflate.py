"""A 3D network becomes a 2D one: the inverse of `inflate`."""

from __future__ import annotations

from typing import get_args

from jaxtyping import Float
from torch import Tensor, nn

from ._convert import Walk, refusal_of_all
from ._copy import copy_network
from ._dry_run_back import dry_run_back
from .errors import InflationError
from .layers import Deflation, How, deflate_layer


def deflate(
    net3d: nn.Module,
    how: How = "sum",
    *,
    example: Float[Tensor, "batch channel depth height width"] | None = None,
) -> nn.Module:
    """A network for slices (N, C, H, W) from one for volumes (N, C, D, H, W).

    The source is not touched. Parameter names stay, and so do train/eval mode, dtype, device,
    requires_grad and shared modules. Layers are recognised by exact type; what is not known to be
    right in 2D is refused by its dotted name. Calls inside a `forward` have to be written for any
    rank, which a dry run without data checks, as in `inflate`.

    After `inflate` with a strategy whose taps sum to the filter (all but `Random`), "sum" gives
    back the 2D network up to the rounding of the taps. After training it is the network that
    answers a slice as the 3D one answers a volume that repeats this slice, far from its ends.
    A `TwoPlusOneConv3d` becomes the product of its two filters. An `AcsConv3d` holds the 2D filter
    as it is, whatever `how` says; its answers to a volume are none of a 2D network.

    Args:
        net3d: the 3D network.
        how: "sum" of a filter's depth taps, or the "center" one, which gives back the 2D network
            to the bit after `inflate(net2d, "zero")`. Of an even number of taps the two in the
            middle are summed. Transposed convolutions: of the taps that meet in an output slice,
            which have to come to the same filter for every output slice.
        example: a batch of volumes that the 3D network accepts, for the dry run; made up by
            default.

    Returns:
        The 2D network.

    Raises:
        UnsupportedLayerError: layers have no known 2D form; all of them are named.
        UnsupportedFunctionError: a call in a `forward` works for volumes only.
        ShapeMismatchError: the outputs differ in more than the depth.
        InflationError: another `how`, or the 3D network runs on no made-up volume.

    Example:
        >>> import torch
        >>> from tomolift.inflation import deflate, inflate
        >>> net2d = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8))
        >>> back = deflate(inflate(net2d, "zero"), "center")
        >>> torch.equal(back[0].weight, net2d[0].weight)
        True
    """
    if not isinstance(net3d, nn.Module):
        raise InflationError(f"net3d={net3d!r}: pass the 3D network, an nn.Module")
    if how not in get_args(How):
        raise InflationError(f"how={how!r}: use {' or '.join(map(repr, get_args(How)))}")
    deflation = Deflation("", how)
    walk = Walk(lambda module, name: deflate_layer(module, deflation.at(name)))
    net2d = walk.replace(copy_network(net3d), "")
    if walk.refusals:
        raise refusal_of_all(walk.refusals, "2D")
    dry_run_back(net3d, net2d, example)
    return net2d
