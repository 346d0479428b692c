"""A thread that prepares batches ahead of their consumer, and a ring's permits to overwrite."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Sequence
from queue import SimpleQueue
from typing import Protocol, TypeVar

from .errors import BadInput

Plan = TypeVar("Plan", contravariant=True)
Filled = TypeVar("Filled")
Batch = TypeVar("Batch", covariant=True)


class Filler(Protocol[Plan, Filled, Batch]):
    """Prepares batches in a thread and hands them over in the consumer's."""

    def fill(self, index: int, plan: Plan, /) -> Filled:
        """Prepare batch ``index``; called in the prefetching thread."""

    def deliver(self, filled: Filled, /) -> Batch:
        """Return what the consumer gets; called by the consumer."""


def prefetched(
    filler: Filler[Plan, Filled, Batch], plans: Sequence[Plan], *, ring: int
) -> Generator[Batch, None, None]:
    """Yield batches that a thread prepares; leaving the loop early stops the thread.

    The thread may overwrite a batch of the ring once ``ring - 1`` more have been drawn.

    Raises:
        BadInput: E_ARGUMENT, where it is drawn from in a forked process; and what ``fill`` and
            ``deliver`` raise.
    """
    filled: SimpleQueue[Filled | BaseException] = SimpleQueue()
    permits: SimpleQueue[None] = SimpleQueue()  # no Semaphore: its lock deadlocks with a collector
    stopped = threading.Event()
    for _ in range(ring or 2):
        permits.put(None)
    threading.Thread(
        target=_work,
        args=(filler, plans, filled, permits, stopped),
        name="tomolift-feeder",
        daemon=True,
    ).start()
    owner = os.getpid()
    try:
        for drawn in range(len(plans)):
            batch = filled.get()
            if isinstance(batch, BaseException):
                raise batch
            result = filler.deliver(batch)
            if drawn >= ring - 1:  # the batch ring - 1 draws ago is now the thread's to overwrite
                permits.put(None)
            yield result
            if os.getpid() != owner:
                problem = "is drawn from in a forked process, which has no feeding thread"
                raise BadInput("E_ARGUMENT", "batches", problem, "call slices or volumes there")
    finally:
        # the thread is not joined: the collector may close this generator anywhere, in the thread
        # itself, or where a lock is held that the thread waits for
        stopped.set()
        permits.put(None)


def _work(
    filler: Filler[Plan, Filled, Batch],
    plans: Sequence[Plan],
    filled: SimpleQueue[Filled | BaseException],
    permits: SimpleQueue[None],
    stopped: threading.Event,
) -> None:
    try:
        for index, plan in enumerate(plans):
            permits.get()
            if stopped.is_set():
                return
            filled.put(filler.fill(index, plan))
    except BaseException as error:  # surfaces in the consumer, who waits for a batch
        filled.put(error)
