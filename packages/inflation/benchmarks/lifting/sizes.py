"""What is lifted, and on which volume the results run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """volume is (batch, channel, depth, height, width) of what the lifted networks are timed on.

    Before that they are checked on check_depth slices of check_side x check_side. rounds is how
    often each conversion is made, forward_rounds how often each network runs.
    """

    name: str
    check_depth: int
    check_side: int
    volume: tuple[int, int, int, int, int]
    rounds: int
    forward_rounds: int


FULL = Sizes(
    name="full",
    check_depth=16,
    check_side=64,
    volume=(1, 3, 64, 64, 64),
    rounds=9,
    forward_rounds=5,
)
# Shows that everything runs; its figures mean nothing and are never kept.
TINY = Sizes(
    name="tiny",
    check_depth=16,  # the U-Net halves it four times
    check_side=16,
    volume=(1, 3, 16, 16, 16),
    rounds=1,
    forward_rounds=1,
)
SIZES = {sizes.name: sizes for sizes in (FULL, TINY)}
