"""Which cases a build can reuse, which it must ingest, and why."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ._format import VERSION, Configuration
from ._jobs import CaseJob
from ._journal import Entry, is_intact, known_entries
from ._msd import Case, Task
from ._sources import sources_of, what_changed

# verdicts that the state of a machine may have caused: the file itself may be sound
MOMENTARY = ("E_MISSING", "E_IO", "E_CHANGED")


@dataclass(frozen=True)
class Plan:
    """Journal entries to reuse, jobs to do, and what changed since an entry was written."""

    reused: dict[str, Entry]
    jobs: dict[str, CaseJob]
    changed: dict[str, str]


def plan_build(
    task: Task, selected: Sequence[Case], configuration: Configuration, cache: Path
) -> Plan:
    """Compare the selected cases with the journals: size, mtime and trailer of their files."""
    known = known_entries(cache)
    plan = Plan({}, {}, {})
    shared_task = replace(task, cases=())  # every job travels to a worker; the list need not
    for case in selected:
        job = CaseJob(shared_task, case, sources_of(task, case), configuration, cache, os.getpid())
        basis = basis_of(job)
        entries = known.get(case.name, [])
        right = (entry for entry in reversed(entries) if entry["key"] == basis["key"])
        if reusable := next((entry for entry in right if _holds_still(cache, entry)), None):
            plan.reused[case.name] = reusable
            continue
        plan.jobs[case.name] = job
        if entries and (change := what_changed(entries[-1], basis) or _loss(entries[-1])):
            plan.changed[case.name] = change
    return plan


def _holds_still(cache: Path, entry: Entry) -> bool:
    """Return whether an entry with the right key need not be made again."""
    if entry["status"] == "failed":
        return entry["code"] not in MOMENTARY
    return is_intact(cache, entry)


def _loss(entry: Entry) -> str:
    return "its files in the cache are gone or others" if entry["status"] == "ok" else ""


def basis_of(job: CaseJob) -> Entry:
    """Return what a case is built from: the part of its journal entry known beforehand."""
    return {
        "version": VERSION,
        "case": job.case.name,
        "key": job.key,
        "sources": job.sources,
        "configuration": job.configuration.to_json(),
        "classes": len(job.task.label_names),
    }
