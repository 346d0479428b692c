"""The writers of tomolift.data under test: what each starts from and must end in."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Protocol

from faulting.fetch_writer import FetchWriter
from faulting.file_writers import PredictionWriter
from faulting.small_task import SmallTask, write_task
from faulting.starts import NOTHING, NOW, Starts
from faulting.states import NO_CACHE, difference, folder_bytes, seen_by_reader

from tomolift.data import build_cache
from tomolift.data._cli import main as command_line

CASES = 3  # the third is float32: its first, int16 file is thrown away


class Writer(Protocol):
    """Something that writes `root`, which has a folder to itself, from one of `starts`."""

    name: str
    root: Path
    starts: tuple[str, ...]

    def place(self, start: str) -> None:
        """Put what is there beforehand in the place of whatever is there."""

    def act(self) -> int:
        """Write like a user's command: print a line to stderr and return 2 where it fails."""

    def judge(self, start: str) -> str:
        """Return what is wrong with what a reader finds now; empty where nothing is."""

    def is_finished(self) -> bool:
        """Return whether a reader finds the new state, with or without leftovers beside it."""

    def rerun(self) -> str:
        """Write again, undisturbed, and return how the outcome differs from what it must be."""


def every_writer(scratch: Path, *, seed: int) -> Iterator[Writer]:
    """Yield each writer with a folder of its own."""
    task = write_task(scratch / "task", cases=CASES, seed=seed)
    starts = Starts.prepare(task, scratch / "starts")
    yield BuildWriter(task, starts, scratch / "build" / "cache")
    yield SharesWriter(task, starts, scratch / "shares" / "cache")
    yield PredictionWriter(starts.folder / "new", scratch / "prediction" / "labels")
    yield FetchWriter(task.folder, scratch / "fetch" / "out")


class BuildWriter:
    """`tomolift data build`."""

    name = "build"
    _commands: Sequence[Sequence[str]] = ((),)

    def __init__(self, task: SmallTask, starts: Starts, root: Path) -> None:
        root.parent.mkdir(parents=True)
        self.root = root
        self.starts = starts.names
        self._task = task
        self._from = starts

    def place(self, start: str) -> None:
        """Put an older cache there, or nothing."""
        self._from.place(start, self.root)

    def act(self) -> int:
        """Run the command line in this process."""
        options = [f"--{name}={value}" for name, value in {**NOW, "workers": 1}.items()]
        command = ["build", str(self._task.folder), str(self.root), *options]
        with redirect_stdout(io.StringIO()):
            for more in self._commands:
                if status := command_line([*command, *more]):
                    return status
        return 0

    def judge(self, start: str) -> str:
        """Allow the new cache and what was there, an older one or none; no case may be blamed."""
        journal = self.root / "journal.jsonl"
        if journal.exists() and b'"failed"' in journal.read_bytes():
            return "a sound volume was quarantined"
        seen = seen_by_reader(self.root)
        if start == NOTHING and seen.startswith(NO_CACHE):
            return ""
        allowed = (self._from.finished, self._from.readable.get(start))
        return "" if seen in allowed else f"a reader saw {seen}"

    def is_finished(self) -> bool:
        """Return whether a reader gets the new cache."""
        return seen_by_reader(self.root) == self._from.finished

    def rerun(self) -> str:
        """Build again."""
        build_cache(self._task.folder, self.root, **NOW, workers=1)
        return difference(folder_bytes(self.root), self._from.expected)


class SharesWriter(BuildWriter):
    """The same in two shares, and the build that makes a cache of them."""

    name = "shares"
    _commands = (("--share=1/2",), ("--share=2/2",), ())
