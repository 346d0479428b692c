"""In which order slices and volumes are fed: a pure function of seed, epoch, rank and batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

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
    drawn: Sequence[int] | None = None,
) -> list[tuple[Item, ...]]:
    """Return the batches that ``rank`` of ``world`` gets, in order.

    All items are permuted by (seed, epoch), or those with the indices ``drawn`` taken, cut into
    batches (the last may be smaller), and the batches dealt like cards: rank r gets batches r,
    r + world, r + 2 world, ... Shuffled, a last round that does not serve every rank is left out
    of that epoch (its items differ from epoch to epoch), so that all ranks take equally many
    steps. Unshuffled, for evaluation, nothing is left out and nothing comes twice: ranks may
    differ by one batch.

    Raises:
        BadInput: E_ARGUMENT.

    Example:
        >>> batches_of("abcdefg", batch=2, shuffle=False, rank=1, world=2)
        [('c', 'd'), ('g',)]
    """
    check_epoch(seed=seed, epoch=epoch)
    for name, value in (("batch", batch), ("world", world)):
        if value < 1:
            raise BadInput("E_ARGUMENT", name, f"is {value}, expected >= 1", "raise it")
    if not 0 <= rank < world:
        raise BadInput("E_ARGUMENT", "rank", f"is {rank} of {world}", "use 0 <= rank < world")
    order: Sequence[int] = range(len(items))
    if drawn is not None:
        order = drawn
    elif shuffle:
        order = permutation(len(items), seed, epoch).tolist()
    cut = [
        tuple(items[index] for index in order[start : start + batch])
        for start in range(0, len(order), batch)
    ]
    if shuffle and world > 1:
        if len(cut) < world:
            problem = f"is {world}, more than the {len(cut)} batches of {batch}"
            raise BadInput("E_ARGUMENT", "world", problem, "use fewer ranks or a smaller batch")
        cut = cut[: len(cut) // world * world]
    return cut[rank::world]


def check_epoch(*, seed: int, epoch: int) -> None:
    """Refuse what no order can be made of.

    Raises:
        BadInput: E_ARGUMENT.
    """
    for name, value in (("seed", seed), ("epoch", epoch)):
        if value < 0:
            raise BadInput("E_ARGUMENT", name, f"is {value}, expected >= 0", "raise it")


def permutation(count: int, *entropy: int, kind: int | None = None) -> npt.NDArray[np.int64]:
    """Return a permutation that stays the same in every version of numpy.

    The raw stream of a bit generator is guaranteed stable; ``Generator.permutation`` is not.
    Streams of the same entropy and another ``kind`` are independent.
    """
    spawn_key = () if kind is None else (kind,)
    stream = np.random.Philox(np.random.SeedSequence(entropy, spawn_key=spawn_key))
    return np.argsort(stream.random_raw(count), kind="stable")
