"""Conv2d: a 3D convolution with the strategy's taps, padded in depth as asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from torch import nn

from .._beyond_paper import ACS, TwoPlusOne
from .._depth import DepthGeometry, Layer
from ._acs import AcsConv3d
from ._depth_padded import DepthPaddedConv3d as DepthPaddedConv3d
from ._registry import register_layer
from ._two_plus_one import TwoPlusOneConv3d, identity_across


@register_layer(nn.Conv2d)
def inflate_convolution(module: nn.Conv2d, layer: Layer) -> nn.Conv3d:
    """Groups, dilation, stride and bias as they are; the filter by the layer's strategy."""
    rows = 0 if isinstance(module.padding, str) else module.padding[0]
    depth = layer.convolution(
        kernel=module.kernel_size[0],
        stride=module.stride[0],
        padding=rows,
        dilation=module.dilation[0],
    )
    weight = cast(nn.Parameter, module.weight)
    if depth.kernel > 1 and isinstance(layer.strategy, TwoPlusOne):
        twin: nn.Conv3d = _two_plus_one(module, layer, depth)
        twin.weight = layer.inflate_filter(weight, 1)
    elif depth.kernel > 1 and isinstance(layer.strategy, ACS):
        twin = _acs(module, layer, depth)
    else:
        twin = _tapped(module, layer, depth)
        twin.weight = layer.inflate_filter(weight, depth.kernel)
    if module.bias is not None:
        if not layer.strategy.keeps_source:
            nn.init.zeros_(module.bias)
        twin.bias = module.bias
    return twin


def _tapped(module: nn.Conv2d, layer: Layer, depth: DepthGeometry) -> nn.Conv3d:
    """Taps along depth; the filter is still to be set."""
    keyword = module.padding == "same"
    before, behind = depth.padding
    pads_depth = behind > 0 or (keyword and depth.kernel > 1)
    plain = layer.depth_padding == "zeros" and (keyword or before == behind)
    if module.padding_mode == "zeros" and (plain or not pads_depth):
        return nn.Conv3d(**_arguments(module, depth))
    return DepthPaddedConv3d(
        **_arguments(module, depth),
        depth_padding=layer.depth_padding,
        depth_pads=None if keyword else depth.padding,
    )


def _two_plus_one(module: nn.Conv2d, layer: Layer, depth: DepthGeometry) -> TwoPlusOneConv3d:
    """A filter in the slice and one across; the first is still to be set."""
    across = depth
    if module.padding == "same":
        reach = depth.dilation * (depth.kernel - 1)
        across = replace(depth, padding=(reach // 2, reach - reach // 2))
    twin = TwoPlusOneConv3d(
        **_arguments(module, DepthGeometry(1, 1, (0, 0), 1)),
        depth_padding=layer.depth_padding,
        across=across,
    )
    weight = cast(nn.Parameter, module.weight)
    twin.depth_weight = nn.Parameter(
        identity_across(module.out_channels, depth.kernel).to(weight),
        requires_grad=weight.requires_grad,
    )
    return twin


def _acs(module: nn.Conv2d, layer: Layer, depth: DepthGeometry) -> AcsConv3d:
    """The 2D filter itself, which has to be one that can be turned around."""
    layer.inflated(module.weight.detach().to("meta"), depth.kernel)
    twin = AcsConv3d(
        **_arguments(module, depth),
        depth_padding=layer.depth_padding,
        depth_pads=None if module.padding == "same" else depth.padding,
    )
    twin.weight = cast(nn.Parameter, module.weight)
    return twin


def _arguments(module: nn.Conv2d, depth: DepthGeometry) -> dict[str, Any]:
    """Those of Conv3d."""
    padding: str | tuple[int, ...] = "same"
    if not isinstance(module.padding, str):
        padding = (depth.padding[0], *module.padding)
    elif module.padding == "valid":  # padding 0 by another name
        padding = (depth.padding[0], 0, 0)
    return {
        "in_channels": module.in_channels,
        "out_channels": module.out_channels,
        "kernel_size": (depth.kernel, *module.kernel_size),
        "stride": (depth.stride, *module.stride),
        "padding": padding,
        "dilation": (depth.dilation, *module.dilation),
        "groups": module.groups,
        "bias": module.bias is not None,
        "padding_mode": module.padding_mode,
        "device": "meta",  # no storage and no random draw for values that are replaced
    }
