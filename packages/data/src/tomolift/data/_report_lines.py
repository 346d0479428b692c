"""Reports and caches as lines for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ._cache import Cache
from ._format import LABEL_DTYPE, npy_bytes
from ._garbage import GarbageReport
from ._report import BuildReport
from ._verify import Defect
from .errors import one_line

SHARE_IS_DONE = "share done; when all are, the same command without --share finishes the cache"


def defect_lines(defects: Sequence[Defect]) -> list[str]:
    """Return a line a defect and their number."""
    lines = [f"{defect.case or '-'}: {defect.message}" for defect in defects]
    return [*lines, counted(len(defects), "defect") if defects else "no defects"]


def build_lines(report: BuildReport) -> list[str]:
    """Return what a build did: what is worth a look first, the sum last."""
    lines = [f"changed  {case}: {change}" for case, change in report.changed.items()]
    lines += [f"note     {case}: {note}" for case, notes in report.notes.items() for note in notes]
    lines += [f"dropped  {case}: {depth} slices" for case, depth in report.dropped.items()]
    lines += [f"failed   {case}" for case in report.failed]
    counts = (
        f"{len(report.built)} built, {len(report.reused)} reused, "
        f"{len(report.dropped)} dropped, {len(report.failed)} failed"
    )
    end = f"fingerprint {report.fingerprint}" if report.fingerprint else SHARE_IS_DONE
    return [one_line(line) for line in (*lines, counts, end)]


def info_lines(cache: Cache) -> list[str]:
    """Return what a cache holds, a line a case."""
    settings = cache.configuration
    size = 0
    lines = []
    for case in cache.cases:
        info = cache[case]
        size += npy_bytes(info.shape, info.dtype) + npy_bytes(info.shape, LABEL_DTYPE)
        voxels = dict(zip(cache.label_names, info.label_counts.sum(axis=0).tolist(), strict=True))
        shape = " x ".join(map(str, info.shape))
        counts = ", ".join(f"{name} {count}" for name, count in voxels.items())
        lines.append(f"{case}: {shape} {info.dtype}: {counts}")
    lines += [f"dropped {case}: {depth} slices" for case, depth in cache.dropped.items()]
    lines += [f"failed {case}: {message}" for case, message in cache.failed.items()]
    summary = (
        f"{cache.task_name}: {counted(len(cache), 'case')} of depth {cache.depth} "
        f"({settings.short}, {settings.axes}), {len(cache.dropped)} dropped, "
        f"{len(cache.failed)} failed, {size_text(size)}"
    )
    return [one_line(line) for line in (*lines, summary, f"fingerprint {cache.fingerprint}")]


def garbage_lines(report: GarbageReport, cache_dir: Path, *, dry_run: bool) -> list[str]:
    """Return a line a leftover and the sum."""
    word = "would remove" if dry_run else "removed"
    listed = [(word, each) for each in report.removed]
    listed += [("kept".ljust(len(word)), each) for each in report.kept]
    lines = [
        f"{word} {each.path.relative_to(cache_dir)}: {size_text(each.bytes)}, {each.reason}"
        for word, each in listed
    ]
    files = counted(len(report.removed), "file")
    done = f"{files} to remove" if dry_run else f"{files} removed"
    end = f"{done}, {size_text(report.bytes)}" if report.removed else "nothing to remove"
    return [one_line(line) for line in (*lines, end)]


def counted(number: int, noun: str) -> str:
    """Return ``1 case``, ``2 cases``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def size_text(size: int) -> str:
    """Return bytes as people read them, and exactly where that is no longer than a word.

    Example:
        >>> size_text(999), size_text(73404416)
        ('999 bytes', '73.4 MB')
    """
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return counted(size, "byte")
