"""Where a build may begin: with nothing, or on a finished cache of an older configuration."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faulting.small_task import DEPTH, OLDER_DEPTH, SmallTask
from faulting.states import folder_bytes, seen_by_reader

from tomolift.data import build_cache

NOW: dict[str, Any] = {"depth": DEPTH}
# the second differs in contents only: every file of its cache is as large as the new one's
OLDER: dict[str, dict[str, Any]] = {
    "older depth": {"depth": OLDER_DEPTH},
    "older axes": {"depth": DEPTH, "axes": "stored"},
}
NOTHING = "nothing"


@dataclass(frozen=True)
class Starts:
    """Finished caches to copy from, what readers see of them, and what every build must end in."""

    folder: Path
    readable: dict[str, str]
    expected: dict[str, bytes]
    finished: str

    @classmethod
    def prepare(cls, task: SmallTask, folder: Path) -> Starts:
        """Build the older caches and, undisturbed, the new one."""
        readable = {}
        for name, configuration in OLDER.items():
            build_cache(task.folder, folder / name, **configuration, workers=1)
            readable[name] = seen_by_reader(folder / name)
        build_cache(task.folder, folder / "new", **NOW, workers=1)
        finished = seen_by_reader(folder / "new")
        expected = folder_bytes(folder / "new")
        for name in OLDER:
            alike = expected.items() & folder_bytes(folder / name).items()
            if any(path.startswith("volumes/case") for path, _ in alike):
                raise RuntimeError(f"{name}: the older cache has the same volumes as the new one")
        return cls(folder, readable, expected, finished)

    @property
    def names(self) -> tuple[str, ...]:
        """Every start."""
        return (NOTHING, *self.readable)

    def place(self, name: str, cache: Path) -> None:
        """Put a start in the place of whatever is at `cache`."""
        shutil.rmtree(cache, ignore_errors=True)
        if name != NOTHING:
            shutil.copytree(self.folder / name, cache)
