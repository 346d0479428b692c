"""Layers of torch that treat a volume as they treat a slice, and stay what they are."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .._depth import Layer
from ._registry import register_layer


@register_layer(
    nn.CELU,
    nn.ELU,
    nn.GELU,
    nn.Hardshrink,
    nn.Hardsigmoid,
    nn.Hardswish,
    nn.Hardtanh,
    nn.Identity,
    nn.LeakyReLU,
    nn.LogSigmoid,
    nn.Mish,
    nn.RReLU,
    nn.ReLU,
    nn.ReLU6,
    nn.SELU,
    nn.SiLU,
    nn.Sigmoid,
    nn.Softplus,
    nn.Softshrink,
    nn.Softsign,
    nn.Tanh,
    nn.Tanhshrink,
    nn.Threshold,
    nn.ChannelShuffle,
    nn.Dropout,
    nn.Dropout1d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
    nn.LocalResponseNorm,
)
def keep(module: nn.Module, layer: Layer) -> nn.Module:
    """Elementwise, or by channel, without parameters."""
    return module


@register_layer(nn.PReLU, nn.GroupNorm, nn.SyncBatchNorm, nn.BatchNorm1d)
def keep_channel_weights(
    module: nn.PReLU | nn.GroupNorm | nn.SyncBatchNorm | nn.BatchNorm1d, layer: Layer
) -> nn.Module:
    """A weight per channel (GroupNorm then takes its statistics from all slices)."""
    if not layer.strategy.keeps_source:
        module.reset_parameters()
    return module


@register_layer(nn.Linear)
def keep_linear(module: nn.Linear, layer: Layer) -> nn.Module:
    """Over the last axis; a strategy that keeps nothing draws it as a 1x1 filter."""
    if not layer.strategy.keeps_source:
        draw_anew(module.weight, layer)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    return module


@torch.no_grad()
def draw_anew(weight: Tensor, layer: Layer) -> None:
    """Fill a matrix (out, in) as the strategy fills a 1x1 filter."""
    weight.copy_(layer.strategy.inflate_weight(weight[:, :, None, None], 1)[:, :, 0, 0, 0])


@register_layer(nn.Softmax2d)
def inflate_channel_softmax(module: nn.Softmax2d, layer: Layer) -> nn.Module:
    """Over the channels by definition, though torch's own accepts nothing but slices."""
    return nn.Softmax(dim=1)


@register_layer(nn.Softmax, nn.LogSoftmax, nn.Softmin, nn.GLU)
def keep_along_channels(
    module: nn.Softmax | nn.LogSoftmax | nn.Softmin | nn.GLU, layer: Layer
) -> nn.Module:
    """Over the channels only; over positions it would depend on the number of slices."""
    if module.dim != 1:
        raise layer.refuse(
            f"{type(module).__name__}(dim={module.dim}) is not over the channels", "use dim=1"
        )
    return module


@register_layer(nn.Flatten)
def keep_flatten(module: nn.Flatten, layer: Layer) -> nn.Module:
    """From an axis before the spatial ones to the last; the dry run tells if a Linear minds."""
    if module.start_dim not in (1, 2) or module.end_dim != -1:
        raise layer.refuse(
            f"Flatten({module.start_dim}, {module.end_dim}) counts axes of a slice",
            "use Flatten(1) or Flatten(2)",
        )
    return module


@register_layer(nn.LayerNorm, nn.RMSNorm)
def keep_layer_norm(module: nn.LayerNorm | nn.RMSNorm, layer: Layer) -> nn.Module:
    """Over the last axis only, where a network keeps its channels last."""
    if len(module.normalized_shape) != 1:
        raise layer.refuse(
            f"{type(module).__name__}({tuple(module.normalized_shape)}) has a weight per position",
            "use GroupNorm(1, channels)",
        )
    if not layer.strategy.keeps_source:
        module.reset_parameters()
    return module


@register_layer(nn.AdaptiveAvgPool1d, nn.AdaptiveMaxPool1d)
def keep_pool_of_tokens(
    module: nn.AdaptiveAvgPool1d | nn.AdaptiveMaxPool1d, layer: Layer
) -> nn.Module:
    """All positions in a row at once, whatever their number."""
    if module.output_size not in (1, (1,)) or getattr(module, "return_indices", False):
        raise layer.refuse(
            f"{type(module).__name__}({module.output_size}) cuts the row of positions in pieces",
            f"use {type(module).__name__}(1)",
        )
    return module
