"""What a layer does along depth: read off what it does along the height of a slice."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from torch import nn

from ._strategies import Strategy
from .errors import UnsupportedLayerError

DepthPadding = Literal["zeros", "replicate"]
SameOr = Literal["same"] | int


@dataclass(frozen=True)
class DepthGeometry:
    """Kernel, stride, padding (before, behind) and dilation of one layer along depth, in slices."""

    kernel: int
    stride: int
    padding: tuple[int, int]
    dilation: int


@dataclass(frozen=True)
class Layer:
    """Where a layer stands and how it is to be inflated; what a registered function is given.

    Args:
        name: dotted name in the network, for messages.
        strategy: what becomes of its filters.
        depth_kernel: taps of every filter that is not 1x1: "same" as its height, or a number.
        depth_stride: at every layer that strides: "same" as along the height, or a number.
        depth_padding: what lies beyond the end slices for padded convolutions.
    """

    name: str
    strategy: Strategy
    depth_kernel: SameOr
    depth_stride: SameOr
    depth_padding: DepthPadding
    _inflated: dict[int, tuple[nn.Parameter, nn.Parameter]] = field(
        default_factory=dict, repr=False
    )

    def at(self, name: str, strategy: Strategy) -> Layer:
        """The same rules at another place, with the same memory of shared filters."""
        return replace(self, name=name, strategy=strategy)

    def refuse(self, reason: str, cure: str) -> UnsupportedLayerError:
        """The error that names this layer."""
        where = repr(self.name) if self.name else "the network itself"
        return UnsupportedLayerError(f"{where}: {reason}: {cure}")

    def stride(self, stride: int) -> int:
        """Depth stride of a layer with this stride along the height; no stride stays none."""
        if stride == 1 or self.depth_stride == "same":
            return stride
        return self.depth_stride

    def convolution(
        self, *, kernel: int, stride: int, padding: int, dilation: int
    ) -> DepthGeometry:
        """Depth geometry of a convolution with this geometry along the height.

        A filter that tiles the slice (kernel = stride > 1, no padding) also tiles the depth.
        Where `depth_kernel` changes the number of taps, or a depth stride of 1 replaces another,
        the padding keeps every slice; an even number of taps then has one more behind than before.
        """
        depth_stride = self.stride(stride)
        if self.depth_kernel == "same" and kernel == stride and padding == 0:
            return DepthGeometry(depth_stride, depth_stride, (0, 0), dilation)
        taps = kernel if kernel == 1 or self.depth_kernel == "same" else self.depth_kernel
        if taps == kernel and (depth_stride > 1 or stride == 1):
            return DepthGeometry(taps, depth_stride, (padding, padding), dilation)
        reach = dilation * (taps - 1)
        return DepthGeometry(taps, depth_stride, (reach // 2, reach - reach // 2), dilation)

    def pool(self, *, kernel: int, stride: int, padding: int, dilation: int = 1) -> DepthGeometry:
        """Depth geometry of a pool: one that does not stride in depth sees one slice only."""
        depth_stride = self.stride(stride)
        if depth_stride == 1:
            return DepthGeometry(1, 1, (0, 0), 1)
        if kernel == stride and padding == 0:
            return DepthGeometry(depth_stride, depth_stride, (0, 0), dilation)
        return DepthGeometry(kernel, depth_stride, (padding, padding), dilation)

    def inflate_filter(self, weight: nn.Parameter, depth_kernel: int) -> nn.Parameter:
        """The 3D filter; one shared by several layers is inflated once and stays shared.

        That all of them have this layer's strategy has been checked by `inflate`.
        """
        if id(weight) not in self._inflated:
            inflated = self.strategy.inflate_weight(weight.detach(), depth_kernel).contiguous()
            # the 2D filter is kept beside it, lest its id be given to another one
            self._inflated[id(weight)] = (
                weight,
                nn.Parameter(inflated, requires_grad=weight.requires_grad),
            )
        inflated = self._inflated[id(weight)][1]
        if inflated.shape[2] != depth_kernel:
            raise self.refuse(
                f"its filter is shared by a layer with {inflated.shape[2]} taps and needs "
                f"{depth_kernel} here",
                "give both the same kernel, or give each its own filter",
            )
        return inflated
