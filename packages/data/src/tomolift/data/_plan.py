"""Which cases a build can reuse, which it must ingest, and why."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ._format import VERSION, Configuration
from ._jobs import CaseJob
from ._journal import Entry, is_intact, read_journal
from ._msd import Case, Task
from ._sources import case_key, sources_of, what_changed

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
    """Compare the selected cases with the journal: size, mtime and trailer of their files."""
    known = read_journal(cache)
    plan = Plan({}, {}, {})
    shared_task = replace(task, cases=())  # every job travels to a worker; the list need not
    for case in selected:
        job = CaseJob(shared_task, case, sources_of(task, case), configuration, cache, os.getpid())
        old = known.get(case.name)
        basis = basis_of(job)
        if old is not None and old["key"] == basis["key"] and _holds_still(cache, old):
            plan.reused[case.name] = old
            continue
        plan.jobs[case.name] = job
        if old is None:
            continue
        if change := what_changed(old, basis) or _loss(old):
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
    classes = len(job.task.label_names)
    key = case_key(job.case, job.sources, configuration=job.configuration, classes=classes)
    return {
        "version": VERSION,
        "case": job.case.name,
        "key": key,
        "sources": job.sources,
        "configuration": job.configuration.to_json(),
        "classes": classes,
    }
