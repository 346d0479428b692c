"""What is timed at which size."""

from __future__ import annotations

from dataclasses import dataclass

Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Logits are (N, C, D, H, W) or (N, C, H, W); an up-sampled case is low logits and full size.

    rounds is how often each contender runs, slow_rounds how often those that take seconds do.
    """

    name: str
    dense: Shape
    variants: Shape
    image: Shape
    small: Shape
    upsampled: tuple[Shape, Shape]
    upsampled_wide: tuple[Shape, Shape]
    dense_cuda: Shape
    rounds: int
    slow_rounds: int
    calls: int  # of a small input in one round


FULL = Sizes(
    name="full",
    dense=(2, 3, 70, 256, 256),
    variants=(1, 3, 70, 256, 256),
    image=(16, 3, 512, 512),
    small=(1, 3, 4, 4, 4),
    upsampled=((2, 3, 9, 32, 32), (70, 256, 256)),
    upsampled_wide=((2, 3, 9, 64, 64), (70, 512, 512)),
    dense_cuda=(2, 3, 70, 512, 512),
    rounds=15,
    slow_rounds=3,
    calls=200,
)
# Shows that everything runs; its figures mean nothing and are never kept.
TINY = Sizes(
    name="tiny",
    dense=(2, 3, 4, 16, 16),
    variants=(1, 3, 4, 16, 16),
    image=(2, 3, 16, 16),
    small=(1, 3, 2, 2, 2),
    upsampled=((2, 3, 3, 4, 4), (8, 16, 16)),
    upsampled_wide=((2, 3, 3, 8, 8), (8, 32, 32)),
    dense_cuda=(2, 3, 4, 32, 32),
    rounds=3,
    slow_rounds=1,
    calls=3,
)
SIZES = {sizes.name: sizes for sizes in (FULL, TINY)}
