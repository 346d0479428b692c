"""The newest outcome of every experiment, with where and how it came about, in one JSON file."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from faulting.outcome import Outcome

SCHEMA = 1
ROOT = Path(__file__).parent.parent.parent
TESTED = ("packages/data/src", "tools/faults.py", "tools/faulting")  # what an outcome depends on


@dataclass(frozen=True, kw_only=True)
class Kept:
    """An outcome and its circumstances; `finished` is an ISO time in UTC."""

    outcome: Outcome
    command: str
    seed: int
    finished: str
    commit: str
    uncommitted_changes: bool
    machine: str
    file_system: str

    def to_json(self) -> dict[str, Any]:
        """Return a plain dict."""
        return {**asdict(self), "outcome": self.outcome.to_json()}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Kept:
        """Return what :meth:`to_json` gave."""
        return cls(**{**content, "outcome": Outcome.from_json(content["outcome"])})


def keep(outcome: Outcome, path: Path, *, command: str, seed: int, scratch: Path) -> None:
    """Put an outcome in the place of the experiment's last one; the others stay."""
    kept = {each.outcome.name: each for each in read_kept(path)} if path.exists() else {}
    kept[outcome.name] = Kept(
        outcome=outcome,
        command=command,
        seed=seed,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=ask_git("rev-parse", "--short=7", "HEAD").strip(),
        uncommitted_changes=bool(ask_git("status", "--porcelain", "--", *TESTED).strip()),
        machine=describe_machine(),
        file_system=file_system_of(scratch),
    )
    write_kept(kept.values(), path)


def read_kept(path: Path) -> list[Kept]:
    """Return what was kept, in the order of names."""
    content = json.loads(path.read_text("utf-8"))
    if content["schema"] != SCHEMA:
        raise SystemExit(f"{path}: schema {content['schema']}, expected {SCHEMA}: delete the file")
    return [Kept.from_json(each) for each in content["experiments"]]


def write_kept(kept: Iterable[Kept], path: Path) -> None:
    listed = [each.to_json() for each in sorted(kept, key=lambda each: each.outcome.name)]
    content = {"schema": SCHEMA, "experiments": listed}
    path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def describe_machine() -> str:
    """Return processor, number of cores, kernel and Python in a line."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0))
    kernel = f"Linux {platform.release()}"
    python = f"Python {platform.python_version()}"
    return f"{models[0] if models else platform.machine()}, {cores} cores, {kernel}, {python}"


def file_system_of(folder: Path) -> str:
    """Return the type of the file system that holds `folder`, such as ext4 or tmpfs."""
    real = folder.resolve()
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    holding = [(words[1], words[2]) for words in mounts if real.is_relative_to(words[1])]
    return max(holding, key=lambda mount: len(mount[0]))[1]


def ask_git(*words: str) -> str:
    done = subprocess.run(("git", *words), cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"git {words[0]} failed ({done.stderr.strip()}): run in a clone")
    return done.stdout
