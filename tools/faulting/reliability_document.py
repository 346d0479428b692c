"""docs/results/reliability.md, from the kept outcomes alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from faulting.kept import Kept, read_kept
from faulting.outcome import shown

HEAD = """# Reliability: what was broken on purpose, and what survived

Generated from docs/results/faults.json by `python tools/faults.py --json docs/results/faults.json
--write-docs`. An attempt is one kill, one failed operation, one malformed input, one flipped bit;
a failure is an attempt after which the promise did not hold.

Kills are real. Failing disks are played by replaced functions of Python's `os`, not by a device;
power cuts are those of a model of what fsync promises (tools/faulting/disk_model.py says what it
leaves out): no machine was switched off. How each experiment is done stands at the top of its
file in tools/faulting. Checkpoints and training are not covered yet.
"""


def write_document(path: Path) -> Path:
    """Write reliability.md beside the file of kept outcomes and return where it is."""
    document = path.parent / "reliability.md"
    document.write_text(compose(read_kept(path)), "utf-8")
    return document


def compose(kept: Sequence[Kept]) -> str:
    parts = [HEAD, "| experiment | promise | attempts | failures |", "|---|---|---:|---:|"]
    for each in kept:
        outcome = each.outcome
        cells = (outcome.name, outcome.promise, f"{outcome.attempts}", f"{len(outcome.failures)}")
        parts.append(f"| {' | '.join(cells)} |")
    for each in kept:
        parts += ["", *section(each)]
    return "\n".join(parts) + "\n"


def section(kept: Kept) -> list[str]:
    """Return how one experiment was run, its figures and its failures."""
    outcome = kept.outcome
    commit = f"commit {kept.commit}{' with uncommitted changes' * kept.uncommitted_changes}"
    lines = [
        f"## {outcome.name}",
        "",
        f"{kept.finished[:10]}, {commit}, `{kept.command}` (seed {kept.seed}), "
        f"{outcome.seconds:.0f} s; {kept.machine}; {kept.file_system}.",
    ]
    if outcome.figures:
        lines += ["", "| figure | value |", "|---|---:|"]
        lines += [f"| {name} | {shown(value)} |" for name, value in outcome.figures.items()]
    if outcome.failures:
        lines += ["", *(f"* failed: {failure}" for failure in outcome.failures)]
    return lines
