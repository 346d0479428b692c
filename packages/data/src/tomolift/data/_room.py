"""Room on the disk, asked for before it is needed."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import BadInput


def check_room(folder: Path, needed_bytes: int) -> None:
    """Refuse to begin what the disk of ``folder``, which exists, cannot hold.

    Raises:
        BadInput: E_SPACE.

    Example:
        >>> check_room(Path("/"), 2**80)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        tomolift.data.errors.BadInput: /: has ... on another disk [E_SPACE]
    """
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    if needed_bytes > free:
        problem = f"has {free} bytes free, {needed_bytes} are needed"
        raise BadInput("E_SPACE", folder, problem, "free some, or name a folder on another disk")
