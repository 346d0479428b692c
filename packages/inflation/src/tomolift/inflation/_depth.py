"""What a layer does along depth: read off what it does along the height of a slice."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from ._phases import Phases, inflate_phases
from ._strategies import Strategy
from .errors import StrategyError, UnsupportedLayerError

DepthPadding = Literal["zeros", "replicate"]
SameOr = Literal["same"] | int


@dataclass(frozen=True)
class DepthGeometry:
    """Kernel, stride, padding (before, behind) and dilation of one layer along depth, in slices.

    The padding of a transposed convolution is what is cut off its full output, as in torch.
    """

    kernel: int
    stride: int
    padding: tuple[int, int]
    dilation: int


_ONE_SLICE = DepthGeometry(kernel=1, stride=1, padding=(0, 0), dilation=1)


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
    _inflated: dict[int, tuple[nn.Parameter, nn.Parameter, Phases | None]] = field(
        default_factory=dict, repr=False
    )
    _followers: dict[int, tuple[nn.Module, nn.Module]] = field(default_factory=dict, repr=False)

    def at(self, name: str, strategy: Strategy) -> Layer:
        """The same rules at another place, with the same memory of shared filters."""
        return replace(self, name=name, strategy=strategy)

    def refuse(self, reason: str, cure: str) -> UnsupportedLayerError:
        """The error that names this layer."""
        return UnsupportedLayerError(f"{_where(self.name)}: {reason}: {cure}")

    def remember_order(self, sequence: nn.Sequential) -> None:
        """Note which module of a sequence follows which, for `follower`."""
        modules = list(sequence)
        for module, behind in pairwise(modules):
            # the module is kept beside it, lest its id be given to another one
            self._followers[id(module)] = (module, behind)

    def follower(self, module: nn.Module) -> nn.Module | None:
        """What comes behind a module of the 2D network in its nn.Sequential; None if unknown."""
        return self._followers.get(id(module), (module, None))[1]

    @property
    def keeps_slices(self) -> bool:
        """Whether no layer strides in depth."""
        return self.depth_stride == 1 or self.strategy.one_slice

    def stride(self, stride: int) -> int:
        """Depth stride of a layer with this stride along the height; no stride stays none."""
        if self.keeps_slices:
            return 1
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
        if self.strategy.one_slice:
            return _ONE_SLICE
        depth_stride = self.stride(stride)
        if self.depth_kernel == "same" and kernel == stride and padding == 0:
            return DepthGeometry(depth_stride, depth_stride, (0, 0), dilation)
        taps = kernel if kernel == 1 or self.depth_kernel == "same" else self.depth_kernel
        if taps == kernel and (depth_stride > 1 or stride == 1):
            return DepthGeometry(taps, depth_stride, (padding, padding), dilation)
        reach = dilation * (taps - 1)
        return DepthGeometry(taps, depth_stride, (reach // 2, reach - reach // 2), dilation)

    def transposed_convolution(
        self, *, kernel: int, stride: int, padding: int, output_padding: int, dilation: int
    ) -> DepthGeometry:
        """Depth geometry of a transposed convolution with this geometry along the height.

        One that tiles its output (kernel = stride, nothing cut off or added) also tiles the depth;
        one that does not stride in depth, but in the plane, has one tap. Where `depth_kernel` or
        `depth_stride` change something else, what is cut off makes it `depth_stride` times the
        slices, an odd rest behind.
        """
        depth_stride = self.stride(stride)
        if self.strategy.one_slice:
            return _ONE_SLICE
        same = self.depth_kernel == "same"
        if same and kernel == stride and padding == output_padding == 0:
            return DepthGeometry(depth_stride, depth_stride, (0, 0), dilation)
        if same and depth_stride == 1 < stride:
            return _ONE_SLICE
        taps = kernel if kernel == 1 or self.depth_kernel == "same" else self.depth_kernel
        if taps == kernel and depth_stride == stride:
            return DepthGeometry(taps, stride, (padding, padding - output_padding), dilation)
        surplus = dilation * (taps - 1) + 1 - depth_stride
        return DepthGeometry(taps, depth_stride, (surplus // 2, surplus - surplus // 2), dilation)

    def pool(self, *, kernel: int, stride: int, padding: int, dilation: int = 1) -> DepthGeometry:
        """Depth geometry of a pool: one that does not stride in depth sees one slice only."""
        depth_stride = self.stride(stride)
        if depth_stride == 1:
            return _ONE_SLICE
        if kernel == stride and padding == 0:
            return DepthGeometry(depth_stride, depth_stride, (0, 0), dilation)
        return DepthGeometry(kernel, depth_stride, (padding, padding), dilation)

    def inflate_filter(
        self, weight: nn.Parameter, depth_kernel: int, *, phases: Phases | None = None
    ) -> nn.Parameter:
        """The 3D filter; one shared by several layers is inflated once and stays shared.

        That all of them have this layer's strategy has been checked by `inflate`.

        Args:
            weight: the 2D filter.
            depth_kernel: number of taps.
            phases: of a transposed convolution, the taps that meet in an output slice.

        Raises:
            StrategyError: the strategy has no such filter.
            UnsupportedLayerError: the filter is shared by a layer with other taps.
        """
        if id(weight) not in self._inflated:
            inflated = self.inflated(weight.detach(), depth_kernel, phases=phases)
            # the 2D filter is kept beside it, lest its id be given to another one
            self._inflated[id(weight)] = (
                weight,
                nn.Parameter(inflated.contiguous(), requires_grad=weight.requires_grad),
                phases,
            )
        _, inflated, other_phases = self._inflated[id(weight)]
        if inflated.shape[2] != depth_kernel or other_phases != phases:
            raise self.refuse(
                f"its filter is shared by a layer with {inflated.shape[2]} taps"
                f"{_spread(other_phases)} and needs {depth_kernel}{_spread(phases)} here",
                "give both the same kernel, or give each its own filter",
            )
        return inflated

    def inflated(
        self, weight: Tensor, depth_kernel: int, *, phases: Phases | None = None
    ) -> Tensor:
        """The values of `inflate_filter`, whatever is shared.

        Raises:
            StrategyError: the strategy has no such filter.
        """
        try:
            if phases is None:
                return self.strategy.inflate_weight(weight, depth_kernel)
            return inflate_phases(self.strategy, weight, phases)
        except StrategyError as error:
            raise StrategyError(f"{_where(self.name)}: {error}") from error


def _where(name: str) -> str:
    return repr(name) if name else "the network itself"


def _spread(phases: Phases | None) -> str:
    return "" if phases is None else f" transposed with stride {len(phases)}"
