"""The files of a cache, mutated, and signed anew or not, shown to everything that opens them."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from faulting.mutants_bytes import damage, resized
from faulting.mutants_json import json_mutant, signed, written
from faulting.mutants_target import Target, Trial, require
from faulting.mutants_tasks import write_task

from tomolift.data import (
    BadInput,
    Cache,
    MinMax,
    Percentiles,
    ZScore,
    build_cache,
    check_cache,
    open_cache,
)
from tomolift.data._format import Configuration
from tomolift.data._journal import damaged_lines, read_journal
from tomolift.data._msd import read_task
from tomolift.data._plan import plan_build

_DEPTH = 4
_SHAPES = ([4, 3, 4], [4, 10**6, 10**6], [2**62, 4, 4], [4, 3], [4, 3, 4, 1], ["4", "3", "4"])
_CASES = ("a", "b", "../a", "a/b", ".", "", "x" * 200, "a\n", ["a"], {"a": 1})
_HOSTILE = (*_SHAPES, *_CASES, "<i2", "<f4", "<f8", "|O", "ok", "dropped", "failed", {"depth": 4})


def prepare_manifest(folder: Path) -> Trial:
    """Make the trial of CACHE.json: opened, and every case of it looked at."""
    cache = _cache(folder)
    path = cache / "CACHE.json"
    content = json.loads(path.read_bytes())

    def make(random: Random) -> bytes:
        return _document(random, content)

    def look(mutant: bytes) -> None:
        path.write_bytes(mutant)
        _look_around(open_cache(cache))

    return Trial(make, look)


def prepare_record(folder: Path) -> Trial:
    """Make the trial of a volume's record, which the manifest vouches for."""
    cache = _cache(folder)
    manifest = json.loads((cache / "CACHE.json").read_bytes())
    (entry,) = (entry for entry in manifest["entries"] if entry["case"] == "a")
    path = open_cache(cache)._paths["a"].record
    content = json.loads(path.read_bytes())

    def make(random: Random) -> bytes:
        return _document(random, content)

    def look(mutant: bytes) -> None:
        path.write_bytes(mutant)
        entry["record_bytes"], entry["record_crc32"] = len(mutant), zlib.crc32(mutant)
        (cache / "CACHE.json").write_bytes(signed(manifest))
        check_cache(cache)
        _look_around(open_cache(cache))

    return Trial(make, look)


def prepare_journal(folder: Path) -> Trial:
    """Make the trial of the journal: what a resumed build makes of its lines."""
    cache = _cache(folder)
    task = read_task(folder / "task")
    path = cache / "journal.jsonl"
    entries = [json.loads(line) for line in path.read_bytes().splitlines()]

    def make(random: Random) -> bytes:
        lines = [_document(random, entry, rate=0.6) for entry in entries]
        data = b"".join(line.rstrip(b"\n") + b"\n" for line in lines)
        return resized(random, data) if random.random() < 0.05 else data

    def look(mutant: bytes) -> None:
        path.write_bytes(mutant)
        require(
            set(damaged_lines(cache)) <= set(range(1, len(mutant.splitlines()) + 1)), "its lines"
        )
        read_journal(cache)
        configuration = Configuration(depth=_DEPTH)
        plan = plan_build(task, task.cases, configuration, cache)
        known = {case.name for case in task.cases}
        require(plan.reused.keys() | plan.jobs.keys() == known, "every case reused or built")
        if plan.jobs:  # a line that is no sound entry is refused by building its case again
            raise BadInput("E_CHANGED", "journal", "", "")

    return Trial(make, look)


def prepare_npy(folder: Path) -> Trial:
    """Make the trial of the volumes: mapped or refused, and `check` sees every change."""
    cache = _cache(folder)
    opened = open_cache(cache)
    files = {
        path: path.read_bytes()
        for case in opened.cases
        for path in (opened._paths[case].image, opened._paths[case].label)
    }

    def make(random: Random) -> tuple[Path, bytes]:
        path, data = random.choice(tuple(files.items()))
        kind = random.random()
        if kind < 0.3:
            return path, resized(random, data)
        return path, damage(random, data, stop=None if kind < 0.5 else 128)

    def look(mutant: tuple[Path, bytes]) -> None:
        path, data = mutant
        path.write_bytes(data)
        try:
            same = data == files[path]
            require(bool(check_cache(cache)) != same, "check finds every change")
            for case in open_cache(cache).cases:
                opened = open_cache(cache)
                require(opened.raw(case).size > 0 and opened.labels(case).max() >= 0, "voxels")
        finally:
            path.write_bytes(files[path])

    return Trial(make, look)


def _document(random: Random, content: dict[str, Any], *, rate: float = 1.0) -> bytes:
    """Return a mutant of a signed document: with the right checksum mostly, to get past it."""
    if random.random() >= rate:
        return signed(content)
    mutant = json_mutant(random, content, hostile=_HOSTILE)
    may_be_signed = isinstance(mutant, dict) and random.random() < 0.85
    return signed(mutant) if may_be_signed else written(random, mutant)


def _look_around(cache: Cache) -> None:
    """Use everything that an open cache tells; refusals of single cases count as refusals."""
    require(1 <= cache.num_classes <= 255, "1 to 255 classes")
    for case in cache.cases:
        info = cache[case]
        depth, height, width = info.shape
        raw, labels = cache.raw(case), cache.labels(case)
        require(raw.shape == labels.shape == info.shape, "one shape")
        require(bool(np.isfinite(info.affine).all()), "a finite affine")
        require(bool(np.isfinite(info.source_affine).all()), "a finite source affine")
        require(bool((info.label_counts >= 0).all()), "counts")
        counted = info.label_counts.sum(axis=1) + info.ignored_per_slice
        require(bool((counted == height * width).all()), "counts of every voxel")
        require(info.geometry.shape[1:] == (height, width), "planes of its geometry")
        for intensity in (MinMax(), Percentiles(), ZScore()):
            volume = cache.volume(case, intensity=intensity)
            require(bool(np.isfinite(volume).all()), "finite")
        require(len(cache.slice_order(2, cases=[case])) <= depth, "an order")


def _cache(folder: Path) -> Path:
    """Build a small cache: int16 and float32 volumes, one dropped, one quarantined."""
    write_task(folder / "task", depths=(4, 3, 5, 6))
    damaged = folder / "task" / "imagesTr" / "d.nii.gz"
    damaged.write_bytes(b"no gzip")
    os.utime(damaged, ns=(0, 0))  # a cache keeps the times of its sources
    build_cache(folder / "task", folder / "cache", depth=_DEPTH, workers=1)
    return folder / "cache"


MANIFEST = Target("manifest", 0.04, prepare_manifest)
RECORD = Target("record", 0.02, prepare_record)
JOURNAL = Target("journal", 0.02, prepare_journal)
NPY = Target("npy", 0.003, prepare_npy)
