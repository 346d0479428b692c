"""ConvTranspose2d, and the 3D one whose end slices get all their taps (design fact F5)."""

from __future__ import annotations

from typing import Any, cast

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .._depth import DepthPadding, Layer
from .._phases import depth_phases
from ._registry import register_layer


class DepthPaddedConvTranspose3d(nn.ConvTranspose3d):
    """A ConvTranspose3d that continues the volume beyond its ends before it spreads the slices.

    An output slice near an end misses the taps that would carry slices from outside: with kernel
    4, stride 2, padding 1 the first and the last keep half of the answer. The input is padded in
    depth by just the slices that those taps ask for, and the output cropped to its usual length.
    Names and shapes of the parameters are those of `nn.ConvTranspose3d`.

    Args:
        depth_padding: "zeros" or "replicate" (repeat the end slices).
        depth_crop: slices that are cut off before and behind; negative behind: so many more. As
            `padding` and `output_padding` say by default.
        *args, **kwargs: those of `nn.ConvTranspose3d`.

    Example:
        >>> import torch
        >>> up = DepthPaddedConvTranspose3d(1, 1, 4, 2, 1, bias=False, depth_padding="replicate")
        >>> y = up(torch.ones(1, 1, 4, 5, 5))
        >>> y.shape[2], torch.allclose(y[:, :, 0], y[:, :, 2])
        (8, True)
    """

    def __init__(
        self,
        *args: Any,
        depth_padding: DepthPadding,
        depth_crop: tuple[int, int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.depth_padding = depth_padding
        pad, more = _plain(self.padding)[0], _plain(self.output_padding)[0]
        self.depth_crop = depth_crop or (pad, pad - more)

    def forward(
        self,
        input: Float[Tensor, "batch channel depth height width"],
        output_size: list[int] | None = None,
    ) -> Float[Tensor, "batch filter depth_out height_out width_out"]:
        """Continue the depth, spread, crop.

        Args:
            input: the volume.
            output_size: (depth, height, width), or the shape of a tensor of that size, as for
                `nn.ConvTranspose3d`.
        """
        more = self._added(input, output_size)
        front = self.depth_crop[0]
        back = self.depth_crop[1] if output_size is None else front - more[0]
        stride = self.stride[0]
        span = self.dilation[0] * (self.kernel_size[0] - 1)
        before, behind = (max(0, (span - crop) // stride) for crop in (front, back))
        x = input
        if before or behind:
            mode = "replicate" if self.depth_padding == "replicate" else "constant"
            x = F.pad(x, (0, 0, 0, 0, before, behind), mode=mode)
        y = F.conv_transpose3d(
            x,
            self.weight,
            self.bias,
            self.stride,
            (0, *_plain(self.padding)[1:]),
            (0, *more[1:]),
            self.groups,
            self.dilation,
        )
        length = (input.shape[2] - 1) * stride + span + 1 - front - back
        return y.narrow(2, front + before * stride, length)

    def extra_repr(self) -> str:
        """ConvTranspose3d's, with the depth padding."""
        own = f"depth_padding={self.depth_padding}, depth_crop={self.depth_crop}"
        return f"{super().extra_repr()}, {own}"

    def _added(self, input: Tensor, output_size: list[int] | None) -> tuple[int, int, int]:
        """The output padding that is set, or that this output size asks for."""
        if output_size is None:
            return _plain(self.output_padding)
        added = self._output_padding(
            input,
            output_size,
            list(self.stride),
            list(_plain(self.padding)),
            list(self.kernel_size),
            3,
            list(self.dilation),
        )
        return _plain(added)


@register_layer(nn.ConvTranspose2d)
def inflate_transposed_convolution(module: nn.ConvTranspose2d, layer: Layer) -> nn.ConvTranspose3d:
    """Groups, dilation, stride, padding and bias as they are; the filter class by class."""
    rows, columns = cast(tuple[int, int], module.padding)
    more_rows, more_columns = module.output_padding
    depth = layer.transposed_convolution(
        kernel=module.kernel_size[0],
        stride=module.stride[0],
        padding=rows,
        output_padding=more_rows,
        dilation=module.dilation[0],
    )
    phases = depth_phases(depth.kernel, depth.stride, depth.dilation)
    if () in phases:
        raise layer.refuse(
            f"ConvTranspose2d(kernel_size={module.kernel_size}, stride={module.stride}, "
            f"dilation={module.dilation}) has no depth tap for {phases.count(())} of "
            f"{depth.stride} slices",
            "use depth_stride=1, which keeps the slices",
        )
    front, back = depth.padding
    # what nn.ConvTranspose3d can say by its padding and output_padding
    plain = front >= 0 and 0 <= front - back < max(depth.stride, depth.dilation)
    arguments: dict[str, Any] = {
        "in_channels": module.in_channels,
        "out_channels": module.out_channels,
        "kernel_size": (depth.kernel, *module.kernel_size),
        "stride": (depth.stride, *module.stride),
        "padding": (max(front, 0), rows, columns),
        "output_padding": (front - back if plain else 0, more_rows, more_columns),
        "groups": module.groups,
        "bias": module.bias is not None,
        "dilation": (depth.dilation, *module.dilation),
        "device": "meta",  # no storage and no random draw for values that are replaced below
    }
    # no slice misses a tap, not even those that an `output_size` adds: at most stride - 1 behind
    span = depth.dilation * (depth.kernel - 1)
    whole = span <= front and span - back < depth.stride
    if plain and (whole or layer.depth_padding == "zeros"):
        twin = nn.ConvTranspose3d(**arguments)
    else:
        twin = DepthPaddedConvTranspose3d(
            **arguments, depth_padding=layer.depth_padding, depth_crop=depth.padding
        )
    weight = cast(nn.Parameter, module.weight)
    twin.weight = layer.inflate_filter(weight, depth.kernel, phases=phases)
    if module.bias is not None:
        if not layer.strategy.keeps_source:
            nn.init.zeros_(module.bias)
        twin.bias = module.bias
    return twin


def _plain(per_axis: Any) -> tuple[int, int, int]:
    """What torch declares as a string or a tuple of any length."""
    return cast(tuple[int, int, int], tuple(per_axis))
