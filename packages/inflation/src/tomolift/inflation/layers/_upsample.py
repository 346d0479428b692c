"""Up-sampling: linear or nearest in depth is exact on a depth-constant volume, ends included."""

from __future__ import annotations

from torch import nn

from .._depth import Layer
from ._registry import register_layer

_MODES = {
    "nearest": "nearest",
    "nearest-exact": "nearest-exact",
    "bilinear": "trilinear",
}


@register_layer(nn.Upsample, nn.UpsamplingBilinear2d, nn.UpsamplingNearest2d)
def inflate_upsample(module: nn.Upsample, layer: Layer) -> nn.Upsample:
    """Depth is scaled as the height is, or not at all where nothing strides in depth."""
    if module.mode not in _MODES:
        raise layer.refuse(
            f"Upsample(mode={module.mode!r}) has no 3D form", "use mode='bilinear' or 'nearest'"
        )
    if module.scale_factor is None:
        raise layer.refuse(
            f"Upsample(size={module.size}) says nothing about the number of slices",
            "use Upsample(scale_factor=...)",
        )
    scale = module.scale_factor
    height, width = scale if isinstance(scale, tuple) else (scale, scale)
    return nn.Upsample(
        scale_factor=(_depth_scale(height, layer), height, width),
        mode=_MODES[module.mode],
        align_corners=module.align_corners,
        recompute_scale_factor=module.recompute_scale_factor,
    )


def _depth_scale(height: float, layer: Layer) -> float:
    if layer.keeps_slices:
        return 1.0
    if layer.depth_stride == "same" or layer.depth_stride == height:
        return height
    raise layer.refuse(
        f"Upsample(scale_factor={height:g}) does not tell how much of depth_stride="
        f"{layer.depth_stride} it undoes",
        "use depth_stride='same' or 1",
    )
