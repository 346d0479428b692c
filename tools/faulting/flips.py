"""Bit rot: a single flipped bit anywhere in a cache is found, and crashes no reader."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path

import numpy as np
from faulting.outcome import Outcome
from faulting.small_task import DEPTH, write_task
from faulting.states import NO_CACHE, seen_by_reader

from tomolift.data import BadInput, build_cache, check_cache

PROMISE = "every single flipped bit of a cache is found by `data check`, and no reader crashes"


def run(count: int, *, seed: int, scratch: Path) -> Outcome:
    """Flip `count` bits, one at a time: half drawn over all bits, half over files first."""
    began = time.monotonic()
    cache = scratch / "cache"
    task = write_task(scratch / "task", cases=3, seed=seed)
    build_cache(task.folder, cache, depth=DEPTH, workers=1)
    files = [path for path in sorted(cache.rglob("*")) if path.is_file() and path.stat().st_size]
    sound = seen_by_reader(cache)
    generator = np.random.default_rng(seed)
    struck: Counter[str] = Counter()
    failures = [] if check_cache(cache) == () else ["a sound cache was said to be damaged"]
    for number in range(count):
        path, bit = draw(files, generator, by_file=number % 2 == 0)
        struck[kind_of(path)] += 1
        flip(path, bit)
        problem = judge(cache, sound)
        flip(path, bit)
        if problem:
            failures.append(f"bit {bit} of {path.relative_to(cache)}: {problem}")
    if seen_by_reader(cache) != sound:
        failures.append("the harness did not restore the cache")
    figures = {f"flips in {kind}": struck[kind] for kind in sorted(struck)}
    seconds = time.monotonic() - began
    return Outcome("flips", PROMISE, count, tuple(failures), figures, seconds)


def draw(files: list[Path], generator: np.random.Generator, *, by_file: bool) -> tuple[Path, int]:
    """Draw a file and one of its bits; not by file, the voxels would have nearly all of them."""
    sizes = np.array([path.stat().st_size for path in files])
    chances = None if by_file else sizes / sizes.sum()
    index = int(generator.choice(len(files), p=chances))
    return files[index], int(generator.integers(8 * sizes[index]))


def flip(path: Path, bit: int) -> None:
    """Flip one bit where it stands: the file stays the same file."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        (byte,) = os.pread(descriptor, 1, bit // 8)
        os.pwrite(descriptor, bytes([byte ^ 1 << bit % 8]), bit // 8)
    finally:
        os.close(descriptor)


def judge(cache: Path, sound: str) -> str:
    """Return what is wrong with how a damaged cache was received; empty where nothing is."""
    try:
        found = bool(check_cache(cache))
    except BadInput:
        found = True
    except Exception as error:  # what a crash is: any other one
        return f"check crashed with {type(error).__name__}: {error}"
    try:
        seen = seen_by_reader(cache)
    except Exception as error:
        return f"a reader crashed with {type(error).__name__}: {error}"
    if not found:
        harmless = seen == sound or seen.startswith(NO_CACHE)
        return f"not found by check ({'and not' if harmless else 'but'} seen by a reader)"
    return ""


def kind_of(path: Path) -> str:
    """Return which of the cache's files this is, in a word."""
    for ending, kind in ((".image.npy", "images"), (".label.npy", "labels")):
        if path.name.endswith(ending):
            return kind
    return "records" if path.parent.name == "volumes" else path.name
