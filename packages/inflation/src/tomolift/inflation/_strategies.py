"""How a 2D filter becomes the depth taps of a 3D one (paper, "Inflation of a 2D filter").

A strategy is a value: two equal strategies compare equal, and `repr` shows all of one. All but
`Random` are `TapStrategy`: tap t of the 3D filter is `taps[t]` times the 2D filter, and the taps
sum to one, which is what keeps a depth-constant volume's interior exact (design fact F1). More of
them are in `_beyond_paper.py`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from .errors import StrategyError

PAPER_ALPHAS: Mapping[int, Sequence[float]] = {
    3: (0.25, 0.5, 0.25),
    7: (0.05, 0.1, 0.2, 0.3, 0.2, 0.1, 0.05),
}
_SUM_TOLERANCE = 1e-6


class Strategy(ABC):
    """A rule that gives a 2D filter its depth; subclasses are frozen dataclasses.

    `keeps_source` False says that the rule takes nothing over: biases and norms start anew too.
    `one_slice` True says that no layer it decides sees more than a slice, nor strides in depth.
    """

    keeps_source: ClassVar[bool] = True
    one_slice: ClassVar[bool] = False

    @abstractmethod
    def inflate_weight(
        self, weight: Float[Tensor, "out in height width"], depth_kernel: int
    ) -> Float[Tensor, "out in depth height width"]:
        """The 3D filter with `depth_kernel` taps, in the dtype and on the device of `weight`."""


class TapStrategy(Strategy):
    """A strategy whose taps are all multiples of the 2D filter."""

    @abstractmethod
    def taps(self, depth_kernel: int) -> Float[Tensor, " depth"]:
        """The multiples, float64; they sum to one."""

    def inflate_weight(
        self, weight: Float[Tensor, "out in height width"], depth_kernel: int
    ) -> Float[Tensor, "out in depth height width"]:
        """Tap t is `taps[t]` times `weight`, in fp32 or better."""
        precise = torch.promote_types(weight.dtype, torch.float32)
        taps = self.taps(depth_kernel).to(weight.device, precise)
        # one broadcast product: 12 ms for 512 x 512 x 3 x 3, where writing tap by tap takes 28
        return (weight.to(precise).unsqueeze(2) * taps.view(-1, 1, 1)).to(weight.dtype)


@dataclass(frozen=True)
class Average(TapStrategy):
    """Every tap is the 2D filter divided by the number of taps (the paper's averaging).

    Example:
        >>> Average().taps(4).tolist()
        [0.25, 0.25, 0.25, 0.25]
    """

    def taps(self, depth_kernel: int) -> Float[Tensor, " depth"]:
        """Equal shares."""
        return torch.full((depth_kernel,), 1.0 / depth_kernel, dtype=torch.float64)


@dataclass(frozen=True)
class Center(TapStrategy):
    """The 2D filter at the middle tap, zeros elsewhere (the paper's zero-weight initialisation).

    An even kernel has no middle tap: the two middle ones take half each (design fact F4).

    Example:
        >>> Center().taps(3).tolist(), Center().taps(4).tolist()
        ([0.0, 1.0, 0.0], [0.0, 0.5, 0.5, 0.0])
    """

    def taps(self, depth_kernel: int) -> Float[Tensor, " depth"]:
        """One in the middle, or two halves."""
        taps = torch.zeros(depth_kernel, dtype=torch.float64)
        taps[(depth_kernel - 1) // 2] += 0.5
        taps[depth_kernel // 2] += 0.5
        return taps


@dataclass(frozen=True)
class Scaling(TapStrategy):
    """Tap t is alpha_t times the 2D filter, alpha_t > 0 and their sum 1 (the paper's scaling).

    Args:
        alphas: number of taps -> the alphas from the first slice to the last; the paper's for 3
            and 7 taps by default. A kernel of one tap always takes the filter as it is.

    Raises:
        StrategyError: an alpha is not positive, they do not sum to 1 within 1e-6, or their number
            is not the key they stand under; on use, a kernel has a number of taps not listed.

    Example:
        >>> Scaling().taps(3).tolist()
        [0.25, 0.5, 0.25]
        >>> Scaling(alphas={3: (0.1, 0.8, 0.1)}).taps(3).tolist()
        [0.1, 0.8, 0.1]
    """

    alphas: Mapping[int, Sequence[float]] = field(default_factory=lambda: dict(PAPER_ALPHAS))

    def __post_init__(self) -> None:
        for depth_kernel, alphas in self.alphas.items():
            _check_alphas(depth_kernel, alphas)

    def taps(self, depth_kernel: int) -> Float[Tensor, " depth"]:
        """The alphas listed for this number of taps."""
        if depth_kernel == 1:
            return torch.ones(1, dtype=torch.float64)
        if depth_kernel not in self.alphas:
            raise StrategyError(
                f"Scaling has no alphas for {depth_kernel} taps, only for {sorted(self.alphas)}: "
                f"pass Scaling(alphas={{..., {depth_kernel}: (...)}})"
            )
        return torch.tensor(self.alphas[depth_kernel], dtype=torch.float64)


@dataclass(frozen=True)
class Triangular(TapStrategy):
    """Taps rise linearly to the middle and fall again; for three taps equal to the paper's scaling.

    Example:
        >>> Triangular().taps(3).tolist()
        [0.25, 0.5, 0.25]
    """

    def taps(self, depth_kernel: int) -> Float[Tensor, " depth"]:
        """1, 2, ..., 2, 1 divided by their sum."""
        position = torch.arange(1, depth_kernel + 1, dtype=torch.float64)
        rising = torch.minimum(position, position.flip(0))
        return rising / rising.sum()


@dataclass(frozen=True)
class Negative(TapStrategy):
    """-1/k at every tap but the middle, which makes the sum one (Mansimov et al., 2015).

    Example:
        >>> [round(tap, 4) for tap in Negative().taps(3).tolist()]
        [-0.3333, 1.6667, -0.3333]
    """

    def taps(self, depth_kernel: int) -> Float[Tensor, " depth"]:
        """(2k - 1)/k in the middle, or two middle taps of (k - 1)/k in an even kernel."""
        center = Center().taps(depth_kernel)
        outer = torch.full_like(center, -1.0 / depth_kernel).masked_fill(center > 0, 0.0)
        return outer + center * (1.0 - outer.sum())


@dataclass(frozen=True)
class Random(Strategy):
    """Nothing of the 2D filter is kept (the paper's random initialisation).

    Filters are drawn by kaiming_normal, fan_out over all three axes, and Linear weights as 1x1
    filters. `inflate` then also resets the rest: biases to 0, norms to weight 1, bias 0, mean 0,
    variance 1, PReLU to its first slope. `inflate_state_dict` keeps every value of `like` instead
    of drawing.

    Args:
        generator: the CPU generator to draw from; a new one seeded with 0 by default, so that a
            `Random()` draws the same network every time.
    """

    keeps_source: ClassVar[bool] = False
    generator: torch.Generator = field(
        default_factory=lambda: torch.Generator().manual_seed(0), compare=False
    )

    def inflate_weight(
        self, weight: Float[Tensor, "out in height width"], depth_kernel: int
    ) -> Float[Tensor, "out in depth height width"]:
        """A normal draw with variance 2 / (out * depth * height * width)."""
        out_channels, in_channels, height, width = weight.shape
        shape = (out_channels, in_channels, depth_kernel, height, width)
        if weight.is_meta:  # a rehearsal, which must not advance the generator
            return weight.new_empty(shape)
        std = math.sqrt(2.0 / (out_channels * depth_kernel * height * width))
        return (torch.randn(shape, generator=self.generator) * std).to(weight)


_BY_NAME: Mapping[str, type[Strategy]] = {
    "random": Random,
    "zero": Center,
    "center": Center,
    "average": Average,
    "scaling": Scaling,
    "triangular": Triangular,
    "negative": Negative,
}
STRATEGY_NAMES: tuple[str, ...] = tuple(_BY_NAME)


def resolve_strategy(strategy: str | Strategy) -> Strategy:
    """The strategy value meant by a name or by itself.

    Args:
        strategy: a value, or one of "random", "zero" (the paper's word for "center"), "center",
            "average", "scaling", "triangular", "negative".

    Raises:
        StrategyError: the name is not one of these.

    Example:
        >>> resolve_strategy("zero")
        Center()
    """
    if isinstance(strategy, Strategy):
        return strategy
    if strategy not in _BY_NAME:
        raise StrategyError(
            f"strategy={strategy!r} is unknown: use one of {', '.join(STRATEGY_NAMES)} or a "
            "strategy value such as Scaling(alphas=...)"
        )
    return _BY_NAME[strategy]()


def _check_alphas(depth_kernel: int, alphas: Sequence[float]) -> None:
    what = f"Scaling: alphas[{depth_kernel}]={tuple(alphas)}"
    if len(alphas) != depth_kernel:
        raise StrategyError(f"{what} has {len(alphas)} values: give {depth_kernel}, one per tap")
    if not all(alpha > 0 for alpha in alphas):
        raise StrategyError(f"{what} must be positive: use Negative() for negative outer taps")
    if abs(math.fsum(alphas) - 1.0) > _SUM_TOLERANCE:
        raise StrategyError(
            f"{what} sums to {math.fsum(alphas):.6g}: the paper's constraint is a sum of 1 "
            "within 1e-6, divide each by the sum"
        )
