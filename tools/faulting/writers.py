"""The writers of tomolift.data under test: what each starts from and must end in."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Protocol

import numpy as np
from faulting.small_task import SmallTask, write_task
from faulting.starts import NOTHING, NOW, Starts
from faulting.states import NO_CACHE, difference, folder_bytes, seen_by_reader

from tomolift.data import BadInput, build_cache, open_cache, write_prediction
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
    yield PredictionWriter(starts.folder / "new", scratch / "prediction" / "labels")


class BuildWriter:
    """`tomolift data build`."""

    name = "build"

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
        options = [f"--{name}={value}" for name, value in NOW.items()]
        with redirect_stdout(io.StringIO()):
            return command_line(
                ["build", str(self._task.folder), str(self.root), "--workers=1", *options]
            )

    def judge(self, start: str) -> str:
        """Allow no cache, the new one, and the one that was there; no case may be blamed."""
        journal = self.root / "journal.jsonl"
        if journal.exists() and b'"failed"' in journal.read_bytes():
            return "a sound volume was quarantined"
        seen = seen_by_reader(self.root)
        allowed = {self._from.finished, self._from.readable.get(start)}
        return "" if seen in allowed or seen.startswith(NO_CACHE) else f"a reader saw {seen}"

    def is_finished(self) -> bool:
        """Return whether a reader gets the new cache."""
        return seen_by_reader(self.root) == self._from.finished

    def rerun(self) -> str:
        """Build again."""
        build_cache(self._task.folder, self.root, **NOW, workers=1)
        return difference(folder_bytes(self.root), self._from.expected)


class PredictionWriter:
    """`write_prediction` of a cached volume's own labels."""

    name = "prediction"
    starts = (NOTHING, "another file")
    _other = b"what a user had there"

    def __init__(self, cache_dir: Path, root: Path) -> None:
        root.mkdir(parents=True)
        self.root = root
        self._cache = open_cache(cache_dir)
        self._case = self._cache.cases[0]
        self._labels = np.array(self._cache.labels(self._case))
        self._path = root / "labels.nii.gz"
        self.place(NOTHING)
        self._write()
        self._expected = folder_bytes(root)

    def place(self, start: str) -> None:
        """Put another file there, or nothing."""
        for path in self.root.iterdir():
            path.unlink()
        if start != NOTHING:
            self._path.write_bytes(self._other)

    def act(self) -> int:
        """Write, and tell an error as the command line would."""
        try:
            self._write()
        except (BadInput, OSError) as error:
            print(error, file=sys.stderr)
            return 2
        return 0

    def judge(self, start: str) -> str:
        """Allow what was there and the whole new file."""
        found = self._path.read_bytes() if self._path.exists() else None
        before = None if start == NOTHING else self._other
        allowed = (before, self._expected[self._path.name])
        return "" if found in allowed else f"a reader found {len(found or b'')} other bytes"

    def is_finished(self) -> bool:
        """Return whether the new file is there."""
        name = self._path.name
        return folder_bytes(self.root).get(name) == self._expected[name]

    def rerun(self) -> str:
        """Write again."""
        self._write()
        return difference(folder_bytes(self.root), self._expected)

    def _write(self) -> None:
        write_prediction(self._cache, self._case, self._labels, self._path, overwrite=True)
