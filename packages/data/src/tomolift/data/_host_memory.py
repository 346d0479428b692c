"""Host memory for batches, in huge pages where the kernel has them."""

from __future__ import annotations

import contextlib
import math
import mmap

import torch
from torch import Tensor

HUGE_PAGE_BYTES = 2**21  # of x86-64 and of aarch64 with pages of 4 KiB


def host_memory(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Return uninitialised memory on the CPU, whatever torch's default device is.

    What is first written costs a page fault every 4 KiB, more than the rescaling of a slice
    does; huge pages make that one every 2 MiB.
    """
    size = math.prod(shape) * dtype.itemsize
    if size < HUGE_PAGE_BYTES:
        return torch.empty(shape, dtype=dtype, device="cpu")
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):  # a kernel without huge pages: small ones are as right
        memory.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(memory, dtype=dtype).view(shape)
