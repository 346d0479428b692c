"""Pools: the largest or the mean value of a box instead of a rectangle (design fact F6)."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .._depth import Layer
from ._registry import register_layer

PerAxis = int | tuple[int, ...]


class DepthExactAvgPool3d(nn.AvgPool3d):
    """An AvgPool3d whose depth mean counts only slices that exist.

    With `count_include_pad=True` the padding's zeros would enter the mean of the end slices (off
    by 1/3 for a kernel of 3). The mean over depth and the mean over the plane follow one another,
    so the plane is pooled exactly as AvgPool2d does it, `divisor_override` included.
    """

    def forward(
        self, input: Float[Tensor, "batch channel depth height width"]
    ) -> Float[Tensor, "batch channel depth_out height_out width_out"]:
        """Pool along depth, then in the plane."""
        kernel, stride, padding = (
            _triple(value) for value in (self.kernel_size, self.stride, self.padding)
        )
        slices = F.avg_pool3d(
            input,
            (kernel[0], 1, 1),
            (stride[0], 1, 1),
            (padding[0], 0, 0),
            self.ceil_mode,
            count_include_pad=False,
        )
        return F.avg_pool3d(
            slices,
            (1, *kernel[1:]),
            (1, *stride[1:]),
            (0, *padding[1:]),
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )


class DepthMeanLPPool3d(nn.LPPool3d):
    """A power-average pool: the mean of the powers along depth, and their sum in the plane.

    The sum along depth would make an answer `kernel ** (1 / norm_type)` times too large.
    """

    def forward(
        self, input: Float[Tensor, "batch channel depth height width"]
    ) -> Float[Tensor, "batch channel depth_out height_out width_out"]:
        """The root of the pooled powers; of a negative sum it is no number, as in torch's own."""
        kernel = _triple(self.kernel_size)
        stride = kernel if self.stride is None else _triple(self.stride)
        if math.isinf(self.norm_type):
            sign = math.copysign(1.0, self.norm_type)  # the limits are the largest and the smallest
            largest = F.max_pool3d(sign * input.abs(), kernel, stride, ceil_mode=self.ceil_mode)
            return sign * largest
        powers = F.avg_pool3d(input.pow(self.norm_type), kernel, stride, 0, self.ceil_mode)
        signed = torch.sign(powers) * F.relu(torch.abs(powers))
        return signed.mul(kernel[1] * kernel[2]).pow(1.0 / self.norm_type)


@register_layer(nn.MaxPool2d)
def inflate_max_pool(module: nn.MaxPool2d, layer: Layer) -> nn.MaxPool3d:
    """Exact at the ends too: the padding is minus infinity."""
    if module.return_indices:
        raise layer.refuse(
            "MaxPool2d(return_indices=True) counts positions in a slice",
            "up-sample by interpolation instead of unpooling",
        )
    kernel, stride, padding, dilation = (
        _pair(value)
        for value in (module.kernel_size, module.stride, module.padding, module.dilation)
    )
    depth = layer.pool(kernel=kernel[0], stride=stride[0], padding=padding[0], dilation=dilation[0])
    return nn.MaxPool3d(
        (depth.kernel, *kernel),
        (depth.stride, *stride),
        (depth.padding[0], *padding),
        (depth.dilation, *dilation),
        ceil_mode=module.ceil_mode,
    )


@register_layer(nn.AvgPool2d)
def inflate_average_pool(module: nn.AvgPool2d, layer: Layer) -> nn.AvgPool3d:
    """Plain where that is exact or zeros in depth are wanted, else by slices that exist."""
    kernel, stride, padding = (
        _pair(value) for value in (module.kernel_size, module.stride, module.padding)
    )
    depth = layer.pool(kernel=kernel[0], stride=stride[0], padding=padding[0])
    arguments: dict[str, Any] = {
        "kernel_size": (depth.kernel, *kernel),
        "stride": (depth.stride, *stride),
        "padding": (depth.padding[0], *padding),
        "ceil_mode": module.ceil_mode,
        "count_include_pad": module.count_include_pad,
    }
    if depth.padding[0] and module.count_include_pad and layer.depth_padding == "zeros":
        override = module.divisor_override
        return nn.AvgPool3d(**arguments, divisor_override=override and override * depth.kernel)
    return DepthExactAvgPool3d(**arguments, divisor_override=module.divisor_override)


@register_layer(nn.LPPool2d)
def inflate_power_average_pool(module: nn.LPPool2d, layer: Layer) -> DepthMeanLPPool3d:
    """Without padding, so that nothing is missing at the ends."""
    kernel = _pair(module.kernel_size)
    stride = kernel if module.stride is None else _pair(module.stride)
    depth = layer.pool(kernel=kernel[0], stride=stride[0], padding=0)
    return DepthMeanLPPool3d(
        module.norm_type,
        (depth.kernel, *kernel),
        (depth.stride, *stride),
        module.ceil_mode,
    )


@register_layer(nn.AdaptiveAvgPool2d)
def inflate_adaptive_average_pool(
    module: nn.AdaptiveAvgPool2d, layer: Layer
) -> nn.AdaptiveAvgPool3d:
    """The mean of each cell; (1, 1) becomes the mean of the volume."""
    return nn.AdaptiveAvgPool3d(_cells(module.output_size, layer))


@register_layer(nn.AdaptiveMaxPool2d)
def inflate_adaptive_max_pool(module: nn.AdaptiveMaxPool2d, layer: Layer) -> nn.AdaptiveMaxPool3d:
    """As the adaptive mean."""
    if module.return_indices:
        raise layer.refuse(
            "AdaptiveMaxPool2d(return_indices=True) counts positions in a slice",
            "leave the indices out",
        )
    return nn.AdaptiveMaxPool3d(_cells(module.output_size, layer))


def _cells(
    size: int | tuple[int | None, ...] | None, layer: Layer
) -> tuple[int | None, int | None, int | None]:
    """As many cells along depth as along the height; without depth stride every slice is one."""
    height, width = size if isinstance(size, tuple) else (size, size)
    depth = None if layer.keeps_slices and height != 1 else height
    return depth, height, width


def _pair(value: PerAxis) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _triple(value: PerAxis) -> tuple[int, int, int]:
    return (value,) * 3 if isinstance(value, int) else (value[0], value[1], value[2])
