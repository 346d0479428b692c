"""What a build did, by case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ._journal import Entry
from ._plan import Plan


@dataclass(frozen=True)
class BuildReport:
    """What a build did, by case.

    Attributes:
        built: cases that were ingested now.
        reused: cases that were there already and still match their sources.
        dropped: cases with too few slices, with their depth.
        failed: quarantined cases, with the reason (it ends in a code).
        changed: cases that were there and had to be built again, with what changed.
        notes: what is worth knowing of a case: reoriented, wider encoding, foreground cropped off.
        fingerprint: of the whole cache; None for a share, which does not make one.
    """

    built: tuple[str, ...]
    reused: tuple[str, ...]
    dropped: Mapping[str, int]
    failed: Mapping[str, str]
    changed: Mapping[str, str]
    notes: Mapping[str, tuple[str, ...]]
    fingerprint: str | None


def report_of(plan: Plan, entries: Mapping[str, Entry], fingerprint: str | None) -> BuildReport:
    """Return the report of a build that ended in ``entries``."""
    by_status: dict[str, list[Entry]] = {"ok": [], "dropped": [], "failed": []}
    for entry in entries.values():
        by_status[entry["status"]].append(entry)
    ok = [entry["case"] for entry in by_status["ok"]]
    return BuildReport(
        built=tuple(case for case in ok if case in plan.jobs),
        reused=tuple(case for case in ok if case in plan.reused),
        dropped={entry["case"]: entry["depth"] for entry in by_status["dropped"]},
        failed={entry["case"]: entry["message"] for entry in by_status["failed"]},
        changed=plan.changed,
        notes={entry["case"]: tuple(entry["notes"]) for entry in by_status["ok"] if entry["notes"]},
        fingerprint=fingerprint,
    )
