"""Layers of timm's own, by qualified name: inflation never imports timm.

Only what differs from its base class in a way that is written down here; any other subclass stays
refused. Checked against timm 1.0.31 (`nox -s coverage_timm`).
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .._beyond_paper import ACS, TwoPlusOne
from .._depth import DepthPadding, Layer
from ..errors import UnsupportedLayerError
from ._convolution import inflate_convolution
from ._depth_padded import DepthPaddedConv3d
from ._rank_free import keep_channel_weights, keep_layer_norm, keep_linear
from ._registry import register_layer

register_layer("timm.layers.norm_act.GroupNormAct", "timm.layers.norm.GroupNorm1")(
    keep_channel_weights
)
register_layer("timm.layers.norm.LayerNorm")(keep_layer_norm)
register_layer("timm.layers.linear.Linear")(keep_linear)


class NormThenActivation3d(nn.BatchNorm3d):
    """A BatchNorm3d with its activation behind it, as timm's BatchNormAct2d is one in 2D."""

    act: nn.Module
    drop: nn.Module

    def forward(
        self, input: Float[Tensor, "batch channel depth height width"]
    ) -> Float[Tensor, "batch channel depth height width"]:
        """Normalise, drop, activate."""
        x: Tensor = self.act(self.drop(super().forward(input)))
        return x


class ChannelLayerNorm3d(nn.LayerNorm):
    """A LayerNorm over the channels of a volume (N, C, D, H, W)."""

    def forward(
        self, input: Float[Tensor, "batch channel depth height width"]
    ) -> Float[Tensor, "batch channel depth height width"]:
        """Channels last, normalise, channels first."""
        return super().forward(input.movedim(1, -1)).movedim(-1, 1)


class SameConv3d(nn.Conv3d):
    """A convolution padded by TensorFlow's rule: ceil(size / stride) cells come out of each axis.

    The plane is padded with zeros, the depth by `depth_padding`; an odd cell is added behind.
    """

    depth_padding: DepthPadding = "replicate"

    def forward(
        self, input: Float[Tensor, "batch channel depth height width"]
    ) -> Float[Tensor, "batch filter depth_out height_out width_out"]:
        """Pad depth, pad the plane, convolve."""
        depth, rows, columns = (self._pads(input.shape[2 + axis], axis) for axis in range(3))
        mode = "replicate" if self.depth_padding == "replicate" else "constant"
        x = F.pad(input, (0, 0, 0, 0, *depth), mode=mode)
        return super().forward(F.pad(x, (*columns, *rows, 0, 0)))

    def _pads(self, size: int, axis: int) -> tuple[int, int]:
        """Cells before and behind, of which there is one more if their number is odd."""
        stride, reach = self.stride[axis], self.dilation[axis] * (self.kernel_size[axis] - 1)
        missing = max((-(-size // stride) - 1) * stride + reach + 1 - size, 0)
        return missing // 2, missing - missing // 2


class GainConv3d(DepthPaddedConv3d):
    """A convolution whose filters are scaled by a gain of their own, (filter, 1, 1, 1, 1)."""

    gain: nn.Parameter

    def forward(
        self, input: Float[Tensor, "batch channel depth height width"]
    ) -> Float[Tensor, "batch filter depth_out height_out width_out"]:
        """Convolve with the scaled filters."""
        return self._conv_forward(input, self.weight * self.gain, self.bias)


@register_layer("timm.layers.norm_act.BatchNormAct2d")
def inflate_norm_then_activation(module: Any, layer: Layer) -> nn.Module:
    """Everything of BatchNorm2d's is copied; the activation has no parameters or is refused."""
    if any(True for child in (module.drop, module.act) for _ in child.parameters()):
        raise layer.refuse(
            f"{type(module.act).__name__} behind a norm has parameters", "use ReLU or SiLU"
        )
    if not layer.strategy.keeps_source:
        module.reset_parameters()
    return _under_type(module, NormThenActivation3d)


@register_layer("timm.layers.norm.LayerNorm2d")
def inflate_channel_layer_norm(module: nn.LayerNorm, layer: Layer) -> nn.Module:
    """The same numbers, per position of the volume."""
    return _under_type(keep_layer_norm(module, layer), ChannelLayerNorm3d)


@register_layer("timm.layers.conv2d_same.Conv2dSame")
def inflate_same_convolution(module: nn.Conv2d, layer: Layer) -> nn.Module:
    """Depth is padded by the same rule as the height, with what `depth_padding` says."""
    if isinstance(layer.strategy, ACS | TwoPlusOne):
        raise _refuse_taps(layer)
    height, width = module.kernel_size
    stride, dilation = module.stride[0], module.dilation[0]
    # 1 stands for whatever the rule adds: it is no filter that tiles
    depth = layer.convolution(kernel=height, stride=stride, padding=1, dilation=dilation)
    twin = SameConv3d(
        module.in_channels,
        module.out_channels,
        (depth.kernel, height, width),
        (depth.stride, *cast(tuple[int, int], module.stride)),
        0,
        (depth.dilation, *cast(tuple[int, int], module.dilation)),
        module.groups,
        module.bias is not None,
        device="meta",  # replaced below
    )
    twin.depth_padding = layer.depth_padding
    twin.weight = layer.inflate_filter(cast(nn.Parameter, module.weight), depth.kernel)
    if module.bias is not None:
        if not layer.strategy.keeps_source:
            nn.init.zeros_(module.bias)
        twin.bias = module.bias
    return twin


@register_layer("timm.layers.std_conv.StdConv2d")
def inflate_standardised(module: Any, layer: Layer) -> nn.Module:
    """The standardised filter is inflated (design fact F10) and is a plain one from then on."""
    return inflate_convolution(_standardised(module, 1.0), layer)


@register_layer("timm.layers.std_conv.ScaledStdConv2d")
def inflate_scaled_standardised(module: Any, layer: Layer) -> nn.Module:
    """As above; the gain stays a parameter."""
    plain = cast(nn.Conv3d, inflate_convolution(_standardised(module, module.scale), layer))
    if type(plain) not in (nn.Conv3d, DepthPaddedConv3d):
        raise _refuse_taps(layer)
    twin = _under_type(plain, GainConv3d)
    if not isinstance(plain, DepthPaddedConv3d):
        twin.depth_padding, twin.depth_pads = "zeros", (plain.padding[0],) * 2
    gain = module.gain.detach()[..., None]
    twin.gain = nn.Parameter(gain, requires_grad=module.gain.requires_grad)
    return twin


def _standardised(module: Any, scale: float) -> nn.Conv2d:
    """A plain Conv2d whose filters have mean 0 and variance `scale`² over their fan-in.

    Source: Qiao et al. 2019, equation 7 ("Micro-Batch Training with Batch-Channel Normalization
    and Weight Standardization"); with the scale, Brock et al. 2021, equation 2.
    """
    weight = module.weight.detach()
    axes = (1, 2, 3)
    variance = weight.var(axes, correction=0, keepdim=True)
    centred = weight - weight.mean(axes, keepdim=True)
    filters = centred * torch.rsqrt(variance + module.eps) * scale
    plain = nn.Conv2d.__new__(nn.Conv2d)
    plain.__dict__.update(module.__dict__)
    plain._parameters = {
        "weight": nn.Parameter(filters, requires_grad=module.weight.requires_grad),
        "bias": module.bias,
    }
    return plain


def _refuse_taps(layer: Layer) -> UnsupportedLayerError:
    return layer.refuse(
        f"{type(layer.strategy).__name__} has no form for this convolution of timm's",
        "give the layer a strategy of depth taps, such as overrides={name: 'average'}",
    )


def _under_type(module: nn.Module, kind: type[nn.Module]) -> Any:
    """The private copy's parameters, buffers, children and options under another type."""
    twin = kind.__new__(kind)
    twin.__dict__.update(module.__dict__)
    return twin
