"""Pools, paddings and up-sampling for volumes back to slices: their depth entry left out."""

from __future__ import annotations

from typing import Any

from torch import nn

from ._deflation import Deflation, register_deflation
from ._padding import PlaneAndDepthPad3d
from ._pool import DepthExactAvgPool3d, DepthMeanLPPool3d

_PADDINGS: dict[str, type[nn.Module]] = {
    "reflect": nn.ReflectionPad2d,
    "replicate": nn.ReplicationPad2d,
    "circular": nn.CircularPad2d,
}
_MODES = {"nearest": "nearest", "nearest-exact": "nearest-exact", "trilinear": "bilinear"}


@register_deflation(nn.MaxPool3d)
def deflate_max_pool(module: nn.MaxPool3d, deflation: Deflation) -> nn.MaxPool2d:
    """The largest value of a rectangle."""
    _refuse_indices(module, deflation)
    return nn.MaxPool2d(
        _plane(module.kernel_size),
        _plane(module.stride),
        _plane(module.padding),
        _plane(module.dilation),
        ceil_mode=module.ceil_mode,
    )


@register_deflation(nn.AvgPool3d, DepthExactAvgPool3d)
def deflate_average_pool(module: nn.AvgPool3d, deflation: Deflation) -> nn.AvgPool2d:
    """The mean of a rectangle; a divisor for boxes is one per slice times their depth."""
    divisor = module.divisor_override
    if divisor is not None and type(module) is nn.AvgPool3d:
        size: Any = module.kernel_size
        depth = size if isinstance(size, int) else size[0]
        if divisor % depth:
            raise deflation.refuse(
                f"AvgPool3d(divisor_override={divisor}) is no multiple of its {depth} slices",
                "use a divisor that is",
            )
        divisor //= depth
    return nn.AvgPool2d(
        _plane(module.kernel_size),
        _plane(module.stride),
        _plane(module.padding),
        module.ceil_mode,
        module.count_include_pad,
        divisor,
    )


@register_deflation(DepthMeanLPPool3d)
def deflate_power_average_pool(module: DepthMeanLPPool3d, deflation: Deflation) -> nn.LPPool2d:
    """The sum of the powers in the plane."""
    stride = None if module.stride is None else _plane(module.stride)
    return nn.LPPool2d(module.norm_type, _plane(module.kernel_size), stride, module.ceil_mode)


@register_deflation(nn.AdaptiveAvgPool3d)
def deflate_adaptive_average_pool(
    module: nn.AdaptiveAvgPool3d, deflation: Deflation
) -> nn.AdaptiveAvgPool2d:
    """The mean of each cell."""
    return nn.AdaptiveAvgPool2d(_plane(module.output_size))


@register_deflation(nn.AdaptiveMaxPool3d)
def deflate_adaptive_max_pool(
    module: nn.AdaptiveMaxPool3d, deflation: Deflation
) -> nn.AdaptiveMaxPool2d:
    """As the adaptive mean."""
    _refuse_indices(module, deflation)
    return nn.AdaptiveMaxPool2d(_plane(module.output_size))


@register_deflation(PlaneAndDepthPad3d)
def deflate_plane_padding(module: PlaneAndDepthPad3d, deflation: Deflation) -> nn.Module:
    """The plane's padding, as it was."""
    if module.mode == "constant":
        return nn.ConstantPad2d(module.plane_padding, module.value)
    return _PADDINGS[module.mode](module.plane_padding)


_TWINS: dict[type[nn.Module], type[nn.Module]] = {
    nn.ZeroPad3d: nn.ZeroPad2d,
    nn.ReflectionPad3d: nn.ReflectionPad2d,
    nn.ReplicationPad3d: nn.ReplicationPad2d,
    nn.CircularPad3d: nn.CircularPad2d,
}


@register_deflation(*_TWINS)
def deflate_padding(module: Any, deflation: Deflation) -> nn.Module:
    """Left, right, top and bottom; front and back are the last two."""
    return _TWINS[type(module)](module.padding[:4])


@register_deflation(nn.ConstantPad3d)
def deflate_constant_padding(module: nn.ConstantPad3d, deflation: Deflation) -> nn.ConstantPad2d:
    """As above, with its value."""
    return nn.ConstantPad2d(module.padding[:4], module.value)


@register_deflation(nn.Upsample)
def deflate_upsample(module: nn.Upsample, deflation: Deflation) -> nn.Upsample:
    """The plane's sizes or scales."""
    if module.mode not in _MODES:
        raise deflation.refuse(
            f"Upsample(mode={module.mode!r}) is none for volumes",
            "use mode='trilinear' or 'nearest'",
        )
    return nn.Upsample(
        _plane(module.size),
        _plane(module.scale_factor),
        _MODES[module.mode],
        module.align_corners,
        module.recompute_scale_factor,
    )


def _refuse_indices(module: nn.MaxPool3d | nn.AdaptiveMaxPool3d, deflation: Deflation) -> None:
    if module.return_indices:
        raise deflation.refuse(
            f"{type(module).__name__}(return_indices=True) counts positions in a volume",
            "up-sample by interpolation instead of unpooling",
        )


def _plane(value: Any) -> Any:
    """Without the depth, which comes first; one value for all axes is that of the plane too."""
    return tuple(value[1:]) if isinstance(value, list | tuple) else value
