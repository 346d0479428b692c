"""The writers of single files and of downloaded tasks; see faulting.writers.Writer."""

from __future__ import annotations

import hashlib
import io
import shutil
import sys
import tarfile
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
from faulting.starts import NOTHING
from faulting.states import difference, folder_bytes

from tomolift.data import BadInput, open_cache, write_prediction
from tomolift.data._cli import main as command_line


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


class FetchWriter:
    """Runs `tomolift data fetch` where the archive is there: checks it, unpacks it, removes it."""

    name = "fetch"
    starts = ("an archive",)
    _task_name = "Small"

    def __init__(self, task_dir: Path, root: Path) -> None:
        root.mkdir(parents=True)
        self.root = root
        self._archive = root.parent.with_suffix(".tar")
        with tarfile.open(self._archive, "w") as archive:
            archive.add(task_dir, arcname=self._task_name)
        self._sha256 = hashlib.sha256(self._archive.read_bytes()).hexdigest()
        self._whole = folder_bytes(task_dir)
        names = {f"{self._task_name}/{name}": data for name, data in self._whole.items()}
        self._expected = {f"{self._task_name}/": b"", **names}

    def place(self, start: str) -> None:
        """Put the archive there alone."""
        shutil.rmtree(self.root)
        self.root.mkdir()
        shutil.copy(self._archive, self.root / f"{self._task_name}.tar")

    def act(self) -> int:
        """Run the command line in this process."""
        source = ["--url", f"https://example.org/{self._task_name}.tar", "--sha256", self._sha256]
        with redirect_stdout(io.StringIO()):
            return command_line(["fetch", self._task_name, str(self.root), *source])

    def judge(self, start: str) -> str:
        """Allow no folder and the whole one."""
        folder = self.root / self._task_name
        return difference(folder_bytes(folder), self._whole) if folder.exists() else ""

    def is_finished(self) -> bool:
        """Return whether the folder is there."""
        return (self.root / self._task_name).exists()

    def rerun(self) -> str:
        """Fetch again."""
        if status := self.act():
            return f"fetched again, it ended with {status}"
        return difference(folder_bytes(self.root), self._expected)
