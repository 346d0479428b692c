"""One share of a build: so many machines, each with its part of the cases and its own journal.

A share writes ``journal.I-of-N.jsonl`` and holds ``lock.I-of-N``. Appending to one file from many
machines is not safe on network file systems; a file for each share is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from .errors import BadInput

_Case = TypeVar("_Case")
_JOURNAL = re.compile(r"journal\.[1-9][0-9]*-of-[1-9][0-9]*\.jsonl")
_LOCK = re.compile(r"lock\.[1-9][0-9]*-of-[1-9][0-9]*")


@dataclass(frozen=True)
class Share:
    """Share ``index`` of ``count``; ``index`` from 1."""

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            problem = f"is {self.index}/{self.count}, expected I/N with I in 1..N"
            raise BadInput("E_ARGUMENT", "share", problem, "use 1/N, 2/N, ... N/N")

    def of(self, cases: Sequence[_Case]) -> tuple[_Case, ...]:
        """Return this share of ``cases``, dealt like cards: large neighbours are spread."""
        return tuple(cases[self.index - 1 :: self.count])

    @property
    def journal(self) -> str:
        """Name of its journal."""
        return f"journal.{self.index}-of-{self.count}.jsonl"

    @property
    def lock(self) -> str:
        """Name of its lock file."""
        return f"lock.{self.index}-of-{self.count}"


def share_journals(cache_dir: Path) -> list[Path]:
    """Return the journals of shares in a cache folder, of whatever N, in a fixed order."""
    return _matching(cache_dir, _JOURNAL)


def share_locks(cache_dir: Path) -> list[Path]:
    """Return the lock files of shares in a cache folder."""
    return _matching(cache_dir, _LOCK)


def belongs_to_share(name: str) -> bool:
    """Return whether a file of this name is the journal or the lock of some share."""
    return any(pattern.fullmatch(name) for pattern in (_JOURNAL, _LOCK))


def _matching(cache_dir: Path, pattern: re.Pattern[str]) -> list[Path]:
    return sorted(path for path in cache_dir.iterdir() if pattern.fullmatch(path.name))
