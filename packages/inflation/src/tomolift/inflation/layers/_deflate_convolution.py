"""Convolutions for volumes back to slices: their taps summed, or the middle one."""

from __future__ import annotations

from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .._phases import depth_phases
from ._acs import AcsConv3d
from ._deflation import Deflation, register_deflation
from ._depth_padded import DepthPaddedConv3d
from ._transposed_convolution import DepthPaddedConvTranspose3d
from ._two_plus_one import TwoPlusOneConv3d

# Rounding of the taps to their dtype, of their sums and of a weight_norm, in units of the dtype's
# eps times the taps' absolute sum: one each, and as many again.
_ROUNDING = 8


@register_deflation(nn.Conv3d, DepthPaddedConv3d)
def deflate_convolution(module: nn.Conv3d, deflation: Deflation) -> nn.Conv2d:
    """Exact where a volume is constant along depth: by the sum, whatever the taps have become."""
    weight = cast(nn.Parameter, module.weight)
    return _flat(module, deflation, deflation.without_depth(weight.detach()))


@register_deflation(AcsConv3d)
def deflate_acs(module: AcsConv3d, deflation: Deflation) -> nn.Conv2d:
    """Its parameters are those of the 2D layer already."""
    return _flat(module, deflation, module.weight.detach())


@register_deflation(TwoPlusOneConv3d)
def deflate_two_plus_one(module: TwoPlusOneConv3d, deflation: Deflation) -> nn.Conv2d:
    """The filters in the slice, mixed as those across mix them."""
    groups = module.groups
    mixing = deflation.without_depth(module.depth_weight.detach())[:, :, 0, 0]
    size = len(mixing) // groups
    own = [
        mixing[start : start + size, start : start + size] for start in range(0, len(mixing), size)
    ]
    if groups > 1 and not mixing.is_meta and not torch.equal(torch.block_diag(*own), mixing):
        raise deflation.refuse(
            f"TwoPlusOneConv3d mixes its {groups} groups across slices, which a Conv2d of "
            f"{groups} groups cannot",
            "deflate the network as it was before training, or train it with groups=1",
        )
    filters = module.weight.detach()[:, :, 0]
    precise = torch.promote_types(filters.dtype, torch.float32)
    in_groups = filters.to(precise).unflatten(0, (groups, size)).flatten(2)
    mixed = torch.bmm(torch.stack(own).to(precise), in_groups)
    return _flat(module, deflation, mixed.reshape(filters.shape).to(filters.dtype))


@register_deflation(nn.ConvTranspose3d, DepthPaddedConvTranspose3d)
def deflate_transposed_convolution(
    module: nn.ConvTranspose3d, deflation: Deflation
) -> nn.ConvTranspose2d:
    """The mean over what the taps of each kind of output slice come to (design fact F5)."""
    weight = cast(nn.Parameter, module.weight)
    twin = nn.ConvTranspose2d(
        **_arguments(module), output_padding=cast(Any, module.output_padding[1:])
    )
    twin.weight = deflation.parameter(weight, _of_all_classes(module, deflation))
    if module.bias is not None:
        twin.bias = module.bias
    return twin


def _of_all_classes(
    module: nn.ConvTranspose3d, deflation: Deflation
) -> Float[Tensor, "in out height width"]:
    """The filter that all output slices agree on."""
    phases = depth_phases(module.kernel_size[0], module.stride[0], module.dilation[0])
    if () in phases:
        raise deflation.refuse(
            f"{type(module).__name__} has no depth tap for {phases.count(())} of {len(phases)} "
            "output slices",
            "use a depth kernel of at least the depth stride, which no dilation thins out",
        )
    weight = module.weight.detach()
    classes = torch.stack([deflation.without_depth(weight[:, :, list(taps)]) for taps in phases])
    apart = classes - classes[0]
    if not weight.is_meta:
        largest = apart.abs().max().item()
        eps = torch.finfo(weight.dtype).eps
        if largest > _ROUNDING * eps * weight.abs().sum(2, dtype=torch.float32).max().item():
            raise deflation.refuse(
                f"{type(module).__name__} has {len(phases)} kinds of output slices, whose 2D "
                f"filters by how={deflation.how!r} differ by up to {largest:.3g}",
                "deflate the network as it was before training, or train it with Upsample and "
                "Conv3d in its place",
            )
    # filters that are equal to the bit stay so
    return classes[0] + apart.mean(0)


def _flat(module: nn.Conv3d, deflation: Deflation, values: Tensor) -> nn.Conv2d:
    """The Conv2d with these filters, and everything else that is not about depth."""
    twin = nn.Conv2d(**_arguments(module), padding_mode=module.padding_mode)
    twin.weight = deflation.parameter(cast(nn.Parameter, module.weight), values)
    if module.bias is not None:
        twin.bias = module.bias
    return twin


def _arguments(module: nn.Conv3d | nn.ConvTranspose3d) -> dict[str, Any]:
    """What both kinds of 2D convolution are made with."""
    padding = module.padding
    return {
        "in_channels": module.in_channels,
        "out_channels": module.out_channels,
        "kernel_size": module.kernel_size[1:],
        "stride": module.stride[1:],
        "padding": padding if isinstance(padding, str) else padding[1:],
        "dilation": module.dilation[1:],
        "groups": module.groups,
        "bias": module.bias is not None,
        "device": "meta",  # no storage and no random draw for values that are replaced
    }
