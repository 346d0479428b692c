"""The one exception that bad input raises, and its codes."""

from __future__ import annotations

import reprlib
from pathlib import Path

CODES: dict[str, str] = {
    "E_DATASET_JSON": "dataset.json is missing, unreadable or does not describe a task",
    "E_DUPLICATE": "two entries of dataset.json share a case name or a file",
    "E_PATH": "a path leaves the task folder, or is no regular file",
    "E_MISSING": "a listed file is not there or cannot be opened",
    "E_IO": "a file could not be read to its end: disk, network or limit of open files",
    "E_GZIP": "a file is no gzip stream, or its compressed data are damaged",
    "E_GZIP_TRUNCATED": "a gzip stream ends before its end marker",
    "E_GZIP_CRC": "a gzip stream's checksum or length disagrees with its contents",
    "E_SIZE": "a file holds fewer or more bytes than its header declares",
    "E_HEADER": "a NIfTI header is damaged or declares something unsupported",
    "E_4D": "an image has more than one channel or time point",
    "E_SHAPE": "image and label differ in shape",
    "E_AFFINE": "image and label lie at different places in space",
    "E_LABEL": "a label is no integer, or is not a class of dataset.json",
    "E_NONFINITE": "a voxel is NaN or infinite",
    "E_INTENSITY": "grey values cannot be rescaled by the intensity policy",
    "E_ARGUMENT": "an option has an impossible value",
    "E_EMPTY": "no volume is left to build",
    "E_CACHE": "a folder is no cache, or a file of the cache is damaged",
    "E_CHANGED": "a cache no longer matches its sources",
    "E_BUSY": "a build is at work in the cache",
    "E_DOWNLOAD": "a server cannot be reached, refuses, or sends something else than announced",
    "E_CHECKSUM": "a downloaded archive does not have the digest that was expected",
    "E_ARCHIVE": "an archive is damaged, hostile, over a limit or holds what it should not",
    "E_SPACE": "the disk has too little room",
}


LONGEST_QUOTE = 400  # characters: five lines of a terminal, and most paths
_QUOTING = reprlib.Repr()  # the plain repr of deeply nested lists is a RecursionError
_QUOTING.maxlevel, _QUOTING.maxstring, _QUOTING.maxother, _QUOTING.maxlong = 2, 80, 80, 80


class BadInput(ValueError):  # noqa: N818 - what it is, not what failed
    """Input that cannot be used, told in one line that names the file and the cure.

    Args:
        code: one of :data:`CODES`.
        where: the file, folder or argument at fault.
        problem: what was found and what was expected.
        cure: what the user can do.

    Example:
        >>> str(BadInput("E_LABEL", "a.nii", "label 7 is no class", "fix the label"))
        'a.nii: label 7 is no class; fix the label [E_LABEL]'
    """

    def __init__(self, code: str, where: str | Path, problem: str, cure: str) -> None:
        if code not in CODES:
            raise KeyError(code)
        super().__init__(code, str(where), problem, cure)
        self.code = code
        self.where = str(where)
        self.problem = problem
        self.cure = cure

    def __str__(self) -> str:
        where, problem = shortened(self.where), shortened(self.problem)
        return one_line(f"{where}: {problem}; {self.cure} [{self.code}]")


def shortened(text: str) -> str:
    """Return ``text`` without its middle where it is long: hostile input is quoted in messages."""
    if len(text) <= LONGEST_QUOTE:
        return text
    half = LONGEST_QUOTE // 2
    return f"{text[:half]} ... {text[-half:]}"


def quoted(value: object) -> str:
    """Return a short ``repr`` of what a hostile document holds, however deep it nests."""
    return _QUOTING.repr(value)


def one_line(text: str) -> str:
    """Return ``text`` with every unprintable character escaped (file names are hostile input)."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
