"""The writers of single files and of downloaded tasks; see faulting.writers.Writer."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from faulting.starts import NOTHING
from faulting.states import difference, folder_bytes

from tomolift.data import BadInput, open_cache, write_prediction


class PredictionWriter:
    """Writes with `write_prediction` a cached volume's own labels."""

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
