"""Opening a cache again, building it again where nothing is to be done, one more reader of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from measuring.result import longer_duration, memory
from reading.races import Reader, race, run_module
from reading.sizes import Sizes
from reading.volumes import Volumes

from tomolift.data import Cache, build_cache, open_cache

Keep = Callable[..., None]


def test_open_and_build_again(small: Cache, small_task: Path, sizes: Sizes, keep: Keep) -> None:
    """All volumes are there, and none is built."""
    assert open_cache(small.path).cases == small.cases
    assert len(small) == sizes.small_cases
    again = build_cache(small_task, small.path, depth=small.depth, workers=1)
    assert again.reused == small.cases
    readers = {
        "ours": Reader(1, lambda _: open_cache(small.path)),
        "compared with sources": Reader(1, lambda _: open_cache(small.path, task_dir=small_task)),
        "build": Reader(
            1, lambda _: build_cache(small_task, small.path, depth=small.depth, workers=1)
        ),
    }
    times = race(readers, rounds=sizes.rounds)
    count = len(small)
    metrics = {
        f"open {count} volumes": longer_duration(times),
        f"open {count} volumes, sources compared": longer_duration(
            times, of="compared with sources"
        ),
        f"build of {count} volumes with nothing to do": longer_duration(times, of="build"),
    }
    keep(times, group=f"{count} small volumes", metrics=metrics)


def test_one_more_reader_process(volumes: Volumes, keep: Keep) -> None:
    """Four at once that read every slice of the cache."""
    told = run_module("reading.reader_memory", str(volumes.cache.path))
    metrics = {
        "one more reader process, private memory": memory(told["forked"]),
        "one more reader process, spawned, private memory": memory(told["spawned"]),
        "one more reader process, spawned, over imports": memory(told["spawned"] - told["imports"]),
    }
    keep(
        {"ours": told["seconds"]},
        group=volumes.describe(),
        metrics=metrics,
        note="timed is a slice",
    )
