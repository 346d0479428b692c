"""Names inside an archive: what they may consist of, and what may stand under them."""

from __future__ import annotations

import re
from pathlib import Path

from ._archive_limits import ArchiveLimits, refused

# Letters, digits and six marks rule out at once: backslashes, drive letters, NUL and control
# characters, text that is no UTF-8, letters that look alike and letters that can be composed.
_COMPONENT = re.compile(r"[A-Za-z0-9._+ -]{0,119}[A-Za-z0-9_+-]")

# What a task folder consists of, and the texts that go with it; nothing here can be run.
_SUFFIXES = (".nii", ".nii.gz", ".json", ".txt", ".md")
_TEXTS = ("LICENSE", "LICENCE", "README")


def name_parts(name: bytes, limits: ArchiveLimits, archive: Path) -> tuple[str, ...]:
    """Return the folders and the last part of a name; empty for the archive's own root, ``./``.

    Raises:
        BadInput: E_ARCHIVE: the name is absolute, goes up, is too long or too deep, or has another
            character than letters, digits, ``. _ + -`` and spaces.
    """
    shown = repr(name[:80])[1:]
    text = name.decode("latin-1")  # every byte is a character; the pattern takes ASCII only
    if len(text) > limits.path_characters:
        problem = f"name {shown}... has {len(text)} characters, at most {limits.path_characters}"
        raise refused(archive, problem)
    if text.startswith("/"):
        raise refused(archive, f"name {shown} is absolute")
    parts = tuple(part for part in text.removesuffix("/").split("/") if part != ".")
    if ".." in parts:
        raise refused(archive, f"name {shown} leaves its folder")
    if len(parts) > limits.depth:
        raise refused(archive, f"name {shown} is {len(parts)} deep, at most {limits.depth}")
    for part in parts:
        if not _COMPONENT.fullmatch(part):
            allowed = "letters, digits, . _ + - and spaces, at most 120, no dot or space at the end"
            raise refused(archive, f"name {shown} is not made of {allowed}")
    return parts


def is_residue(parts: tuple[str, ...]) -> bool:
    """Return whether a file is what a desktop left behind (``._*``, ``.DS_Store``): left out."""
    return parts[0] == "__MACOSX" or any(part.startswith(".") for part in parts)


def is_wanted(file_name: str) -> bool:
    """Return whether a file of this name belongs to a task folder."""
    return file_name.endswith(_SUFFIXES) or file_name in _TEXTS
