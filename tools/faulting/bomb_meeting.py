"""Meet a bomb in this process: python -m faulting.bomb_meeting NAME MEGABYTES FOLDER."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from faulting.bomb_shapes import BOMBS
from faulting.small_task import DEPTH, write_task
from measuring.resident_memory import forget_the_past, resident

from tomolift.data import (
    BadInput,
    build_cache,
    check_cache,
    open_cache,
    read_volume,
    verify_task,
)

IMAGE = "imagesTr/case_000.nii.gz"


def main(name: str, megabytes: str, folder: str) -> None:
    bomb = BOMBS[name]
    task, cache = Path(folder) / "task", Path(folder) / "cache"
    write_task(task, cases=2)
    build_cache(task, cache, depth=DEPTH, workers=1)
    readers = {"image": (task, read_image), "task": (task, read_task), "cache": (cache, read_cache)}
    place, read = readers[bomb.reader]
    read(place)  # so that what is needed for any file is there
    bomb.place(place / IMAGE if bomb.reader == "image" else place, int(megabytes))
    forget_the_past()
    before = peak_megabytes()
    began = time.monotonic()
    codes = read(place)
    seconds = time.monotonic() - began
    taken = peak_megabytes() - before
    print(json.dumps({"megabytes": taken, "seconds": seconds, "told": " ".join(sorted(codes))}))


def read_image(task: Path) -> set[str]:
    """Return the codes that everything tells which reads the volumes of a task."""
    codes = {defect.code for defect in verify_task(task)}
    report = build_cache(task, task.parent / "another", depth=DEPTH, workers=1)
    codes |= {message.rpartition("[")[2].rstrip("]") for message in report.failed.values()}
    return codes | codes_of(lambda: read_volume(task / IMAGE))


def read_task(task: Path) -> set[str]:
    """Return the codes that everything tells which reads dataset.json."""
    codes = codes_of(lambda: verify_task(task))
    return codes | codes_of(lambda: build_cache(task, task.parent / "another", workers=1, depth=4))


def read_cache(cache: Path) -> set[str]:
    """Return the codes that everything tells which reads a cache, and a build that resumes it."""
    codes = codes_of(lambda: {defect.code for defect in check_cache(cache)})
    codes |= codes_of(lambda: read_all(cache))
    task = cache.parent / "task"
    return codes | codes_of(lambda: build_cache(task, cache, depth=DEPTH, workers=1))


def read_all(cache_dir: Path) -> None:
    """Read every slice of a cache like a user."""
    cache = open_cache(cache_dir)
    for case in cache.cases:
        cache.volume(case)


def codes_of(act: Callable[[], object]) -> set[str]:
    """Return the code of a refusal, or what was returned where that is codes."""
    try:
        result = act()
    except BadInput as error:
        return {error.code}
    return result if isinstance(result, set) else set()


def peak_megabytes() -> float:
    """Return the largest resident set of this process since the past was forgotten."""
    return resident("VmHWM") / 1_000_000


if __name__ == "__main__":
    main(*sys.argv[1:])
