"""Building a cache: CPU time beside nibabel's, peak memory at two depths, bytes on disk."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from measuring.result import memory, share, speed_up
from reading.races import Reader, race, run_module
from reading.sizes import Sizes
from reading.unpacked import assert_holds_the_same, unpack
from reading.volumes import Volumes, write_noise

from tomolift.data import build_cache, open_cache

Keep = Callable[..., None]


def test_build_against_get_fdata(volumes: Volumes, scratch: Path, sizes: Sizes, keep: Keep) -> None:
    cases = volumes.cache.cases[: sizes.phantoms]
    built, unpacked = scratch / "built", scratch / "unpacked"

    def build() -> None:
        build_cache(volumes.task, built, depth=sizes.depth, workers=1, cases=cases)

    def nothing_there() -> None:
        for folder in (built, unpacked):
            shutil.rmtree(folder, ignore_errors=True)

    nothing_there()
    build()
    unpack(volumes, cases, unpacked)
    assert_holds_the_same(open_cache(built), unpacked)
    readers = {
        "ours": Reader(len(cases), lambda _: build(), nothing_there),
        "get_fdata": Reader(len(cases), lambda _: unpack(volumes, cases, unpacked), nothing_there),
    }
    times = race(readers, rounds=sizes.rounds)
    nothing_there()
    metrics = {"build, times get_fdata and np.save": speed_up(times, "get_fdata")}
    keep(times, group=volumes.describe(), metrics=metrics, note="a volume, image and labels")


@pytest.mark.parametrize("deep", [False, True], ids=["paper's depth", "five times as deep"])
def test_memory_of_a_build_worker(
    small_task: Path, scratch: Path, sizes: Sizes, keep: Keep, deep: bool
) -> None:
    """In a fresh process: what an earlier build left to the allocator would be taken first."""
    depth = sizes.depths[deep]
    task = write_noise(scratch / f"noise-{depth}", cases=1, side=sizes.side, depth=depth)
    folder = scratch / f"noise-{depth}-cache"
    arguments = (str(small_task), str(task), str(depth), str(folder))
    told = run_module("reading.build_memory", *arguments)
    assert open_cache(folder / "large").depth == depth
    shutil.rmtree(folder)
    metric = f"build worker at {depth} slices, peak memory over imports"
    keep(
        {"ours": [told["seconds"]]},
        group=f"1 of {depth}x{sizes.side}x{sizes.side} int16 + uint8",
        metrics={metric: memory(told["extra_bytes"])},
        note="a fresh process",
    )


def test_bytes_of_a_cache(volumes: Volumes, sizes: Sizes, keep: Keep) -> None:
    """All files of the cache; float32 images and uint8 labels take five bytes a voxel."""
    cache = volumes.cache
    files = sum(path.stat().st_size for path in cache.path.rglob("*") if path.is_file())
    unpacked = 5 * sum(math.prod(cache.raw(case).shape) for case in cache.cases)
    times = race({"ours": Reader(1, lambda _: open_cache(cache.path))}, rounds=sizes.rounds)
    metrics = {"cache, bytes / float32 + uint8": share(files, unpacked)}
    keep(times, group=volumes.describe(), metrics=metrics, note="timed is opening it")
