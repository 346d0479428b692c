"""Feed batches of blocks of slices: a prefetching thread and a ring of reused buffers."""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ._blocks import Blocks, Filled, Filler, HostFiller
from ._blocks_cuda import CudaFiller
from ._intensity import Intensity
from .errors import BadInput

if TYPE_CHECKING:
    from ._cache import Cache


def feed(
    cache: Cache,
    order: Sequence[Blocks],
    *,
    start: int,
    channels: int,
    intensity: Intensity,
    device: str | torch.device,
    ring: int,
    flat: bool = False,
) -> Generator[tuple[Tensor, Tensor], None, None]:
    """Return an iterator over ``order[start:]`` as images (N, C, D, H, W), labels (N, D, H, W).

    ``flat`` takes the depth axis away, where every block is one slice. Arguments are checked
    here, work begins with the first batch.

    Raises:
        BadInput: E_ARGUMENT.
    """
    if start < 0:
        raise BadInput("E_ARGUMENT", "start", f"is {start}", "use the number of batches to skip")
    if channels < 1:
        raise BadInput("E_ARGUMENT", "channels", f"is {channels}", "use 1 or 3")
    if ring < 0 or ring == 1:
        problem = f"is {ring}: a batch would be overwritten while it is used"
        raise BadInput("E_ARGUMENT", "ring", problem, "use 3, or 0 to allocate every batch")
    target = torch.device(device)
    filler: Filler
    if target.type == "cpu":
        filler = HostFiller(cache, order, intensity=intensity, slots=ring)
    elif target.type == "cuda":
        filler = CudaFiller(cache, order, intensity=intensity, slots=ring, device=target)
    else:
        raise BadInput("E_ARGUMENT", "device", f"is {target}", "use cpu or cuda")
    return _iterate(filler, order[start:], channels=channels, ring=ring, flat=flat)


def _iterate(
    filler: Filler, order: Sequence[Blocks], *, channels: int, ring: int, flat: bool
) -> Generator[tuple[Tensor, Tensor], None, None]:
    """Yield batches that a thread prepares; leaving the loop early stops the thread."""
    filled: SimpleQueue[Filled | BaseException] = SimpleQueue()
    permits = threading.Semaphore(ring or 2)
    stopped = threading.Event()
    thread = threading.Thread(
        target=_work, args=(filler, order, filled, permits, stopped), daemon=True
    )
    thread.start()
    try:
        for drawn in range(len(order)):
            batch = filled.get()
            if isinstance(batch, BaseException):
                raise batch
            images, labels = filler.deliver(batch)
            if flat:
                images, labels = images[:, 0], labels[:, 0]
            if drawn >= ring - 1:  # the batch ring - 1 draws ago is now the thread's to overwrite
                permits.release()
            shape = (images.shape[0], channels, *images.shape[1:])
            yield images.unsqueeze(1).expand(shape), labels
    finally:
        stopped.set()
        permits.release()
        thread.join()


def _work(
    filler: Filler,
    order: Sequence[Blocks],
    filled: SimpleQueue[Filled | BaseException],
    permits: threading.Semaphore,
    stopped: threading.Event,
) -> None:
    try:
        for index, blocks in enumerate(order):
            permits.acquire()
            if stopped.is_set():
                return
            filled.put(filler.fill(index, blocks))
    except BaseException as error:  # surfaces in the consumer, who waits for a batch
        filled.put(error)
