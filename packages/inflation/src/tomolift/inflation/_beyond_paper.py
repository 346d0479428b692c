"""Strategies that the paper does not have; values like the others, and as such without names."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ._strategies import Average, Center, Strategy, TapStrategy
from .errors import StrategyError


@dataclass(frozen=True)
class ZeroSumNoise(Strategy):
    """Another strategy's taps plus noise that sums to zero over the taps.

    The noise breaks the symmetry between equal taps and leaves a depth-constant volume's interior
    exact (design fact F1). It is drawn from the seed and the filter itself, so it depends neither
    on the order of the layers nor on the network around them.

    Args:
        scale: standard deviation of the noise, before its mean over the taps is taken off, in
            standard deviations of the 2D filter; 0 or more.
        seed: of the draw.
        base: what the noise is added to.

    Raises:
        StrategyError: `scale` is negative or no number, or `base` keeps nothing of the filter.

    Example:
        >>> filters = ZeroSumNoise(0.1, seed=3).inflate_weight(torch.ones(1, 1, 2, 2), 3)
        >>> torch.allclose(filters.sum(2), torch.ones(1, 1, 2, 2))
        True
    """

    scale: float
    seed: int = 0
    base: TapStrategy = field(default_factory=Average)

    def __post_init__(self) -> None:
        if not self.scale >= 0:
            raise StrategyError(f"ZeroSumNoise: scale={self.scale} is not 0 or more: use 0.1")
        if not isinstance(self.base, TapStrategy):
            raise StrategyError(
                f"ZeroSumNoise: base={self.base} has no taps that sum to one: use Average()"
            )

    def inflate_weight(
        self, weight: Float[Tensor, "out in height width"], depth_kernel: int
    ) -> Float[Tensor, "out in depth height width"]:
        """The base's taps, plus `scale` times the filter's deviation times zero-sum noise."""
        inflated = self.base.inflate_weight(weight, depth_kernel)
        if depth_kernel == 1 or weight.is_meta:
            return inflated
        values = weight.detach().double().cpu()
        mixed = zlib.crc32(values.numpy().tobytes(), self.seed & 0xFFFFFFFF)
        noise = torch.randn(
            inflated.shape,
            generator=torch.Generator().manual_seed(mixed),
            dtype=torch.float64,
        )
        noise -= noise.mean(2, keepdim=True)
        noise *= self.scale * values.std(correction=0)
        return (inflated.double() + noise.to(weight.device)).to(weight.dtype)


@dataclass(frozen=True)
class Slicewise(Strategy):
    """One tap and no depth stride at every layer it decides: each slice goes its own way.

    Only what sees all slices at once still couples them: global pools, and norms that take their
    statistics from the volume (design fact F8).
    """

    one_slice: ClassVar[bool] = True

    def inflate_weight(
        self, weight: Float[Tensor, "out in height width"], depth_kernel: int
    ) -> Float[Tensor, "out in depth height width"]:
        """The 2D filter as its only tap.

        Raises:
            StrategyError: more taps are asked for.
        """
        if depth_kernel != 1:
            raise StrategyError(
                f"Slicewise has filters of one tap, and {depth_kernel} are asked for: use Center()"
            )
        return weight.unsqueeze(2).clone()


@dataclass(frozen=True)
class TwoPlusOne(Strategy):
    """A (1, k, k) convolution with the 2D filter, then a (k, 1, 1) one that starts as the identity.

    The R(2+1)D factorisation (Tran et al., 2018) with as many channels between the two as behind
    them. In the 3D network it is a `TwoPlusOneConv3d`, which has one parameter more than the 2D
    layer, `depth_weight`.
    """

    def inflate_weight(
        self, weight: Float[Tensor, "out in height width"], depth_kernel: int
    ) -> Float[Tensor, "out in depth height width"]:
        """The filter of the (1, k, k) convolution.

        Raises:
            StrategyError: more than one tap is asked for.
        """
        if depth_kernel != 1:
            raise StrategyError(
                f"TwoPlusOne splits convolutions, and a filter of {depth_kernel} taps is asked "
                "for: give this layer another strategy by overrides"
            )
        return weight.unsqueeze(2).clone()


@dataclass(frozen=True)
class ACS(Strategy):
    """A third of the filters lies in the slice, a third in each of the planes across (ACS).

    Yang et al., 2021, "Reinventing 2D convolutions for 3D images". The parameters stay those of
    the 2D network (`AcsConv3d`). Unlike the others it keeps no contract: two thirds of the filters
    look along depth, where a depth-constant volume has nothing to show.
    """

    def inflate_weight(
        self, weight: Float[Tensor, "out in height width"], depth_kernel: int
    ) -> Float[Tensor, "out in depth height width"]:
        """The filters of the first third at the middle depth tap, rows of the others along depth.

        The second third has its columns along the width, the third along the height; the axis that
        is left out takes the middle, or the mean of the two middle places of an even kernel.

        Raises:
            StrategyError: the filter is not as deep as it is high and wide.
        """
        height, width = weight.shape[2:]
        if not depth_kernel == height == width:
            raise StrategyError(
                f"ACS turns filters around, and this one would be {depth_kernel} deep, {height} "
                f"high and {width} wide: use a square filter with depth_kernel='same', or give "
                "this layer another strategy by overrides"
            )
        taps = Center().taps(depth_kernel).to(weight)
        axial, coronal, sagittal = weight.tensor_split(3)
        return torch.cat(
            (
                axial.unsqueeze(2) * taps.view(-1, 1, 1),
                coronal.unsqueeze(3) * taps.view(-1, 1),
                sagittal.unsqueeze(4) * taps,
            )
        )
