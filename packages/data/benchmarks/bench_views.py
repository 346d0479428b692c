"""Views of the map: what asking for one costs, and what reading through it costs beside RAM."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import Any

import numpy as np
from measuring.result import cost, duration, speed_up
from numpy.typing import NDArray
from reading.races import Reader, race
from reading.sizes import Sizes
from reading.volumes import Item, Volumes

from tomolift.data import Cache, open_cache

Keep = Callable[..., None]
Views = Callable[[str], NDArray[Any]]


def test_gather_from_the_map_against_ram(volumes: Volumes, sizes: Sizes, keep: Keep) -> None:
    """int16 slices in a shuffled order into a batch that is used again.

    numpy asks for huge pages where it allocates so much; the map's pages are small, and so are
    those of a second copy in RAM, which tells apart what pages and what the map cost.
    """
    cache = volumes.cache
    items = volumes.items(of=len(cache))
    copies = {case: np.array(cache.raw(case)) for case in cache.cases}
    batch = np.empty((sizes.batch, *volumes.shape[1:]), cache.raw(cache.cases[0]).dtype)
    small_pages = {case: in_small_pages(copy) for case, copy in copies.items()}
    for case in cache.cases:
        np.testing.assert_array_equal(cache.raw(case), copies[case])
        np.testing.assert_array_equal(cache.raw(case), small_pages[case])

    def gather(volume_of: Views, items: list[Item]) -> None:
        for place, (case, z) in enumerate(items):
            batch[place % len(batch)] = volume_of(case)[z]

    readers = {
        "ours": Reader(len(items), lambda _: gather(cache.raw, items)),
        "RAM": Reader(len(items), lambda _: gather(copies.__getitem__, items)),
        "RAM in small pages": Reader(len(items), lambda _: gather(small_pages.__getitem__, items)),
    }
    times = race(readers, rounds=3 * sizes.rounds)  # they are short
    name = "int16 gather from the map, times the same from RAM"
    metrics = {
        name: speed_up(times, "RAM"),
        f"{name} in small pages": speed_up(times, "RAM in small pages"),
    }
    keep(times, group=volumes.describe(), metrics=metrics)


def in_small_pages(voxels: NDArray[Any]) -> NDArray[Any]:
    """A copy in memory that has no huge pages."""
    memory = mmap.mmap(-1, voxels.nbytes)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    copy = np.frombuffer(memory, voxels.dtype).reshape(voxels.shape)
    copy[...] = voxels
    return copy


def test_view_of_a_whole_volume(volumes: Volumes, small: Cache, sizes: Sizes, keep: Keep) -> None:
    """Of one that is mapped already, large and small, and of one that is not."""
    cache, first = volumes.cache, volumes.cache.cases[0]
    assert np.shares_memory(cache.raw(first), cache.raw(first))
    assert not cache.raw(first).flags.owndata

    def view(cache: Cache, case: str) -> None:
        for _ in range(sizes.calls):
            cache.raw(case)

    def view_each(opened: Cache) -> None:
        for case in opened.cases:
            opened.raw(case)

    readers = {
        "ours": Reader(sizes.calls, lambda _: view(cache, first)),
        "small volume": Reader(sizes.calls, lambda _: view(small, small.cases[0])),
        "not mapped yet": Reader(len(cache), view_each, lambda: open_cache(cache.path)),
    }
    times = race(readers, rounds=sizes.rounds)
    metrics = {
        "raw() of an open cache": duration(times),
        "raw(), large volume / small": cost(times, "small volume"),
        "raw() of a volume not mapped yet": duration(times, of="not mapped yet"),
    }
    note = f"small: {small.raw(small.cases[0]).nbytes} bytes"
    keep(times, group=volumes.describe(), metrics=metrics, note=note)
