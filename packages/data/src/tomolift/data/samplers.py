"""The feeders' order for a ``DataLoader`` over one of ``datasets``.

Importing this module imports torch; ``import tomolift.data`` does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import Sampler

from ._balance import Balance
from .datasets import SliceDataset, VolumeDataset
from .errors import BadInput


class OrderedBatchSampler(Sampler[list[int]]):
    """Batches of indices, for ``DataLoader(batch_sampler=...)``.

    Batches are those that ``Cache.slices`` (or ``volumes``) with the same arguments yields:
    a pure function of seed, epoch and rank, whatever the number of workers.

    Args:
        dataset: whose indices are drawn.
        batch: samples in a batch; the last may be smaller.
        seed: with the epoch it decides the order.
        rank: which share of ``world`` shares.
        world: number of ranks.
        shuffle: False: in the order of the dataset.
        balance: how many of the slices show foreground; not for volumes.

    Raises:
        BadInput: E_ARGUMENT.

    Example:
        >>> sampler = OrderedBatchSampler(dataset, 32, balance=Balance())  # doctest: +SKIP
        >>> loader = DataLoader(dataset, batch_sampler=sampler, num_workers=2)  # doctest: +SKIP
        >>> for epoch in range(3):  # doctest: +SKIP
        ...     sampler.set_epoch(epoch)
        ...     for images, labels in loader: ...
    """

    def __init__(
        self,
        dataset: SliceDataset | VolumeDataset,
        batch: int = 32,
        *,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        shuffle: bool = True,
        balance: Balance | None = None,
    ) -> None:
        if balance is not None and not isinstance(dataset, SliceDataset):
            raise BadInput("E_ARGUMENT", "balance", "is given for volumes", "use a SliceDataset")
        self._dataset, self._batch = dataset, batch
        self._options: dict[str, Any] = {
            "seed": seed,
            "rank": rank,
            "world": world,
            "shuffle": shuffle,
        }
        if balance is not None:
            self._options["balance"] = balance
        self._places = {item: index for index, item in enumerate(dataset.items)}
        self.set_epoch(0)

    def set_epoch(self, epoch: int, *, start: int = 0) -> None:
        """Choose what is drawn next: an epoch, without its first ``start`` batches.

        Raises:
            BadInput: E_ARGUMENT.
        """
        if start < 0:
            problem = f"is {start}"
            raise BadInput("E_ARGUMENT", "start", problem, "use the number of batches to skip")
        order = self._dataset.order(self._batch, epoch=epoch, **self._options)
        self._batches = [[self._places[item] for item in items] for items in order[start:]]

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self._batches)
