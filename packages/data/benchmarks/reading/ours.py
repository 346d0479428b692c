"""The feeders of tomolift.data in the middle of an epoch, their ring of buffers in use.

What an epoch begins with, three buffers written for the first time, does not count: it is nothing
among the hundreds of batches of a training, and half of what a benchmark's few volumes give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count, islice

from measuring.cpu_clock import wait_for_threads
from torch import Tensor

from reading.batches import Batch
from reading.races import Reader
from reading.volumes import Item, Volumes

BEFORE = 4  # batches drawn before it counts: one more than the ring has buffers
AFTER = 2  # batches left behind those that count, for the thread to prepare

Batches = Iterator[tuple[Tensor, Tensor]]


def slices(volumes: Volumes, batch: int, *, channels: int = 1) -> Reader:
    """Batches of slices, all but the first and the last of an epoch."""
    batches = len(volumes.cache.slice_order(batch)) - 1  # the last may be smaller
    return drawn(
        lambda epoch: volumes.cache.slices(batch, channels=channels, epoch=epoch), batches, batch
    )


def whole_volumes(volumes: Volumes) -> Reader:
    """Batches of one volume, all but the first and the last of an epoch."""
    return drawn(lambda epoch: volumes.cache.volumes(1, epoch=epoch), len(volumes.cache), 1)


def drawn(feeder: Callable[[int], Batches], batches: int, batch: int) -> Reader:
    counted = batches - BEFORE - AFTER
    epochs = count()

    def begin() -> Batches:
        feed = feeder(next(epochs))
        draw(feed, BEFORE)
        return feed

    return Reader(counted * batch, lambda feed: draw(feed, counted), begin)


def draw(feed: Batches, batches: int) -> None:
    """Draw so many, and wait until as many were prepared in advance as before."""
    for _ in islice(feed, batches):
        pass
    wait_for_threads()


def first_slices(volumes: Volumes, items: Sequence[Item]) -> Batch:
    """The batch of items that `Volumes.items` begins with, of the same cases."""
    cases = sorted({case for case, _ in items})
    images, labels = next(iter(volumes.cache.slices(len(items), cases=cases, ring=0)))
    return arrays(images[:, 0], labels)


def one_volume(volumes: Volumes, case: str) -> Batch:
    images, labels = next(iter(volumes.cache.volumes(1, cases=[case], ring=0)))
    return arrays(images[:, 0], labels)


def arrays(images: Tensor, labels: Tensor) -> Batch:
    return images.numpy(), labels.numpy()
