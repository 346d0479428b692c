"""Tell a file of an open cache from the one that a later build puts in its place."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import BadInput

Stamp = tuple[int, int]  # inode, time of the last change in ns


def stamp_of(status: os.stat_result) -> Stamp:
    """Return what tells a file from the one that a later build puts in its place."""
    return status.st_ino, status.st_mtime_ns


def check_stamp(path: Path, status: os.stat_result, stamp: Stamp) -> None:
    """Refuse a file that is not the one that was there when the cache was opened.

    Raises:
        BadInput: E_CACHE.
    """
    if stamp_of(status) != stamp:
        raise was_rebuilt(path)


def was_rebuilt(path: Path) -> BadInput:
    """Return the error of an open cache whose files are no longer there."""
    return BadInput("E_CACHE", path, "was rebuilt", "open it again")
