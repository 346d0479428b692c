from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from tomolift.data._host_memory import HUGE_PAGE_BYTES, host_memory

HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage")


@pytest.mark.parametrize("shape", [(3, 5), (3, 512, 1024), (0, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8, torch.int16])
def test_memory_has_the_shape_and_can_be_written(
    shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    memory = host_memory(shape, dtype)
    assert (memory.shape, memory.dtype, memory.device.type) == (shape, dtype, "cpu")
    assert memory.is_contiguous()
    assert (memory.fill_(7) == 7).all()


@pytest.mark.skipif(not HUGE_PAGES.is_dir(), reason="the kernel has no huge pages")
def test_large_memory_asks_the_kernel_for_huge_pages() -> None:
    memory = host_memory((4 * HUGE_PAGE_BYTES,), torch.uint8)
    address = memory.data_ptr()
    flags = ""
    for region in re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text()):
        bounds = re.match(r"([0-9a-f]+)-([0-9a-f]+) ", region)
        if bounds and int(bounds[1], 16) <= address < int(bounds[2], 16):
            (flags,) = re.findall(r"VmFlags: (.*)", region)
    assert "hg" in flags.split()  # advised by MADV_HUGEPAGE


def test_memory_lives_as_long_as_a_view_of_it() -> None:
    view = host_memory((2 * HUGE_PAGE_BYTES,), torch.uint8).fill_(3)[5:]
    others = [host_memory((2 * HUGE_PAGE_BYTES,), torch.uint8).fill_(4) for _ in range(4)]
    assert (view == 3).all()
    assert len(others) == 4


def test_memory_is_on_the_host_whatever_the_default_device_is() -> None:
    with torch.device("meta"):
        assert host_memory((4,), torch.float32).device.type == "cpu"
        assert host_memory((HUGE_PAGE_BYTES,), torch.float32).device.type == "cpu"
