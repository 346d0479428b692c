"""Feed batches of blocks of slices: arguments checked, then a thread that prepares them."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ._blocks import Blocks, HostFiller
from ._blocks_cuda import CudaFiller, usable_cuda
from ._intensity import Intensity
from ._prefetch import prefetched
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
    target, rest = _device(device), order[start:]
    if target.type == "cpu":
        host = HostFiller(cache, rest, intensity=intensity, slots=ring)
        batches = prefetched(host, rest, ring=ring)
    else:
        cuda = CudaFiller(cache, rest, intensity=intensity, slots=ring, device=usable_cuda(target))
        batches = prefetched(cuda, rest, ring=ring)
    return _shaped(batches, channels=channels, flat=flat)


def _device(device: str | torch.device) -> torch.device:
    try:
        target = torch.device(device)
    except RuntimeError as error:  # of torch, for a name that it does not know
        raise BadInput("E_ARGUMENT", "device", f"is {device!r}", "use cpu or cuda") from error
    if target.type not in ("cpu", "cuda"):
        raise BadInput("E_ARGUMENT", "device", f"is {target}", "use cpu or cuda")
    return target


def _shaped(
    batches: Generator[tuple[Tensor, Tensor], None, None], *, channels: int, flat: bool
) -> Generator[tuple[Tensor, Tensor], None, None]:
    """Yield the batches with a channel axis of stride 0, and without depth where ``flat``."""
    with contextlib.closing(batches):
        for images, labels in batches:
            if flat:
                images, labels = images[:, 0], labels[:, 0]
            shape = (images.shape[0], channels, *images.shape[1:])
            yield images.unsqueeze(1).expand(shape), labels
