"""What must hold after a build was killed, and what did not."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

from faulting.kill_moments import Moment
from faulting.outcome import Figures
from faulting.small_task import SmallTask
from faulting.starts import NOTHING, NOW, Starts
from faulting.states import NO_CACHE, difference, folder_bytes, seen_by_reader

from tomolift.data import build_cache
from tomolift.data._format import Configuration

REBUILT = "was rebuilt; open it again"  # what a reader is told whose cache is being replaced


class Aftermath:
    """Examines what killed builds leave, and remembers what is wrong with it."""

    def __init__(self, task: SmallTask, starts: Starts, aside: Path) -> None:
        self.task = task
        self.starts = starts
        self.aside = aside
        self.failures: list[str] = []
        self.seen: Counter[str] = Counter()
        self.most_redone = 0

    def figures(self) -> Figures:
        """Return how often a reader saw what, and how many volumes were made twice."""
        seen = {f"readers that saw {what}": self.seen[what] for what in sorted(self.seen)}
        return {**seen, "volumes made twice after one kill, at most": self.most_redone}

    def examine(
        self, cache: Path, before: dict[str, bytes], moment: Moment, start: str, what: str
    ) -> None:
        """Read what is left, build again, and compare; `before` is what the killed build found."""
        self.read(cache, start, what)
        finished = finished_cases(cache)
        if not moment.alone:  # else workers are left behind, and with them it must go well
            begun = len(begun_cases(before, folder_bytes(cache)) - finished)
            self.most_redone = max(self.most_redone, begun)
            if begun > moment.workers:
                self.failures.append(f"{what}: {begun} volumes were in flight")
            shutil.rmtree(self.aside, ignore_errors=True)
            cache = Path(shutil.copytree(cache, self.aside)) if cache.exists() else self.aside
        report = build_cache(self.task.folder, cache, **NOW, workers=1)
        if again := finished & set(report.built):
            self.failures.append(f"{what}: {len(again)} finished volumes were made again")
        self.compare(cache, what)

    def read(self, cache: Path, start: str, what: str, *, meanwhile: bool = False) -> None:
        """Read like a user; `meanwhile` a build goes on."""
        seen = seen_by_reader(cache)
        if start == NOTHING and seen.startswith(NO_CACHE):
            self.seen["no cache"] += 1
        elif seen == self.starts.finished:
            self.seen["the new cache"] += 1
        elif seen == self.starts.readable.get(start):
            self.seen["the older cache"] += 1
        elif meanwhile and REBUILT in seen:
            self.seen["that a build replaced what they had opened"] += 1
        else:
            self.failures.append(f"{what}: a reader saw {seen}")

    def compare(self, cache: Path, what: str) -> None:
        """Hold a finished cache against that of an undisturbed build."""
        if differs := difference(folder_bytes(cache), self.starts.expected):
            self.failures.append(f"{what}: {differs}")
        elif (seen := seen_by_reader(cache)) != self.starts.finished:
            self.failures.append(f"{what}: after the restart a reader saw {seen}")


def finished_cases(cache: Path) -> set[str]:
    """Return the cases that the journal has under the new configuration."""
    journal = cache / "journal.jsonl"
    finished = set()
    for line in journal.read_bytes().splitlines() if journal.exists() else []:
        try:
            entry = json.loads(line)
        except ValueError:  # torn: its volume was in flight
            continue
        if entry["configuration"] == Configuration(**NOW).to_json():
            finished.add(entry["case"])
    return finished


def begun_cases(before: dict[str, bytes], after: dict[str, bytes]) -> set[str]:
    """Return the cases of which a file is new, another or gone, temporary ones included."""
    names = before.keys() | after.keys()
    changed = [Path(name) for name in names if before.get(name) != after.get(name)]
    return {
        path.name.partition(".")[0] for path in changed if path.parent.name in ("volumes", "tmp")
    } - {"volumes", "tmp"}
