"""Every experiment by name, and the option of tools/faults.py that says how often it is tried."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from faulting import bombs, builders, disk, flips, kills, mutants, nothing_executes, power_cut
from faulting.outcome import Outcome


class Run(Protocol):
    """How an experiment is run."""

    def __call__(self, count: int, *, seed: int, scratch: Path) -> Outcome:
        """Try `count` times with what `seed` draws, in the empty folder `scratch`."""


@dataclass(frozen=True)
class Experiment:
    """`count` is the attribute of the parsed options that is handed to `run`."""

    name: str
    count: str
    run: Run


EXPERIMENTS = (
    Experiment("kills", "kills", kills.run),
    Experiment("disk", "operations", disk.run),
    Experiment("power-cut", "cuts", power_cut.run),
    Experiment("builders", "rounds", builders.run),
    Experiment("flips", "flips", flips.run),
    Experiment("bombs", "megabytes", bombs.run),
    Experiment("nothing-executes", "payloads", nothing_executes.run),
    Experiment("mutants", "mutants", mutants.run),
    Experiment("library-mutants", "library_mutants", mutants.run_against_nibabel),
)
