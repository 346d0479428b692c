"""What is read at which size."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """cases volumes of depth x side x side voxels; rounds is how often each contender runs.

    phantoms of the cases are drawn, the others are copies. depths are those of the volumes whose
    builds are held against each other. small_cases volumes of small_side voxels each way are in the
    cache that is opened. calls is how often a view is asked for in one round.
    """

    name: str
    phantoms: int
    cases: int
    side: int
    depth: int
    batch: int
    rounds: int
    depths: tuple[int, int]
    small_cases: int
    small_side: int
    calls: int


FULL = Sizes(
    name="full",
    phantoms=3,  # the fourth has too few slices
    cases=12,
    side=512,
    depth=70,  # as in the paper
    batch=32,
    rounds=7,
    depths=(70, 350),
    small_cases=281,  # as many as Task07_Pancreas has
    small_side=16,
    calls=2000,
)
# Shows that everything runs; its figures mean nothing and are never kept.
TINY = Sizes(
    name="tiny",
    phantoms=1,
    cases=8,
    side=32,
    depth=8,
    batch=4,
    rounds=2,
    depths=(8, 16),
    small_cases=4,
    small_side=8,
    calls=3,
)
SIZES = {sizes.name: sizes for sizes in (FULL, TINY)}
