"""In which order slices and volumes are fed: a pure function of seed, epoch, rank and batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from .errors import BadInput

Item = TypeVar("Item")


def batches_of(
    items: Sequence[Item],
    *,
    batch: int,
    seed: int = 0,
    epoch: int = 0,
    rank: int = 0,
    world: int = 1,
    shuffle: bool = True,
) -> list[tuple[Item, ...]]:
    """Return the batches that ``rank`` of ``world`` gets, in order.

    All items are permuted by (seed, epoch), cut into batches (the last may be smaller), and the
    batches dealt like cards: rank r gets batches r, r + world, r + 2 world, ... Shuffled, a last
    round that does not serve every rank is left out of that epoch (its items differ from epoch
    to epoch), so that all ranks take equally many steps. Unshuffled, for evaluation, nothing is
    left out and nothing comes twice: ranks may differ by one batch.

    Raises:
        BadInput: E_ARGUMENT.

    Example:
        >>> batches_of("abcdefg", batch=2, shuffle=False, rank=1, world=2)
        [('c', 'd'), ('g',)]
    """
    for name, value, least in (("batch", batch, 1), ("world", world, 1), ("seed", seed, 0)):
        if value < least:
            raise BadInput("E_ARGUMENT", name, f"is {value}, expected >= {least}", "raise it")
    if epoch < 0 or not 0 <= rank < world:
        problem = f"is {rank} of {world} in epoch {epoch}"
        raise BadInput("E_ARGUMENT", "rank", problem, "use 0 <= rank < world and epoch >= 0")
    order = _permutation(len(items), seed=seed, epoch=epoch) if shuffle else range(len(items))
    cut = [
        tuple(items[index] for index in order[start : start + batch])
        for start in range(0, len(items), batch)
    ]
    if shuffle and world > 1:
        if len(cut) < world:
            problem = f"is {world}, more than the {len(cut)} batches of {batch}"
            raise BadInput("E_ARGUMENT", "world", problem, "use fewer ranks or a smaller batch")
        cut = cut[: len(cut) // world * world]
    return cut[rank::world]


def _permutation(count: int, *, seed: int, epoch: int) -> list[int]:
    """Return a permutation that stays the same in every version of numpy.

    The raw stream of a bit generator is guaranteed stable; ``Generator.permutation`` is not.
    """
    stream = np.random.Philox(np.random.SeedSequence([seed, epoch]))
    return [int(index) for index in np.argsort(stream.random_raw(count), kind="stable")]
