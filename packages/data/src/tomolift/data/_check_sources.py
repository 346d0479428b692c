"""Whether a cache still holds what its source files hold: read to their end and decoded again."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import astuple, replace
from pathlib import Path

from . import _files
from ._disk import disk_failures_told
from ._format import CasePaths
from ._jobs import CaseJob, Ingested
from ._journal import Entry
from ._manifest import Manifest, read_signed
from ._msd import Task, read_task
from ._sources import sources_of, what_changed
from ._verify import Defect
from ._workers import ingested
from .errors import BadInput

_AGAIN = "build again"


def source_defects(
    cache_dir: Path, manifest: Manifest, task_dir: Path, *, workers: int
) -> list[Defect]:
    """Return by case how the sources differ from what the cache holds of them.

    Every case is ingested once more, into a folder of the system's temporary place (``TMPDIR``;
    one case for each worker at a time), and its record is compared: the checksum of each slice,
    geometry, statistics, label counts. A file that was edited without a change of size, time and
    trailer is found.

    Raises:
        BadInput: what :func:`read_task` raises.
        DiskFailure: the temporary place cannot be written.
    """
    task = read_task(task_dir)
    defects = _listed_otherwise(task, manifest)
    with _files.scratch_folder() as scratch, disk_failures_told(scratch):
        for folder in ("volumes", "tmp"):
            _files.make_folder(scratch / folder)
        for job, result in ingested(_jobs(task, manifest, scratch), workers):
            entry = manifest.entries[job.case.name]
            changes = _changes(cache_dir, job, entry, result)
            defects += [_defect(task.folder / job.case.image, job.case.name, *c) for c in changes]
            for path in astuple(CasePaths.of(scratch, job.case.name, job.key)):
                _files.remove(path)
    return _in_order(defects, [case.name for case in task.cases])


def _listed_otherwise(task: Task, manifest: Manifest) -> list[Defect]:
    """Return the cases that only the cache knows, and those it should know and does not."""
    listed = {case.name for case in task.cases}
    where = task.folder / "dataset.json"
    gone = [case for case in manifest.entries if case not in listed]
    new = sorted(listed - manifest.entries.keys()) if manifest.whole_task else []
    names = list(manifest.label_names), list(task.label_names)
    renamed = [f"classes were {names[0]} and are {names[1]}"] if names[0] != names[1] else []
    return [
        *(_defect(where, "", "E_CHANGED", change) for change in renamed),
        *(_defect(where, case, "E_CHANGED", f"does not list case {case}") for case in gone),
        *(_defect(where, case, "E_CHANGED", f"lists case {case} now") for case in new),
    ]


def _jobs(task: Task, manifest: Manifest, scratch: Path) -> list[CaseJob]:
    shared_task = replace(task, cases=())
    return [
        CaseJob(
            shared_task, case, sources_of(task, case), manifest.configuration, scratch, os.getpid()
        )
        for case in task.cases
        if case.name in manifest.entries
    ]


def _changes(
    cache_dir: Path, job: CaseJob, entry: Entry, result: Ingested
) -> Iterator[tuple[str, str]]:
    """Yield (code, what changed): of the files' identity first, then of their contents."""
    now = {**entry, "sources": job.sources, "classes": len(job.task.label_names)}
    identity = what_changed(entry, now)
    contents = list(_contents(cache_dir, job, entry, result))
    if identity:
        yield "E_CHANGED", identity if contents else f"{identity}; its contents are the same"
    yield from contents


def _contents(
    cache_dir: Path, job: CaseJob, entry: Entry, result: Ingested
) -> Iterator[tuple[str, str]]:
    if result.status != entry["status"]:
        reason = result.fields.get("message", f"{result.fields.get('depth')} slices")
        told = reason if result.status != "ok" else "it can be built now"
        code = result.fields.get("code", "E_CHANGED")
        yield code, f"was {entry['status']} and is {result.status} ({told})"
    elif any(entry[name] != value for name, value in result.fields.items() if name != "notes"):
        if result.status == "ok":
            yield "E_CHANGED", _record_changes(cache_dir, job, entry, result)
        else:
            yield "E_CHANGED", f"is {result.status} for another reason ({result.fields})"


def _record_changes(cache_dir: Path, job: CaseJob, entry: Entry, result: Ingested) -> str:
    """Return in words how the record of a case differs from the one just made."""
    new_bytes, old_bytes = result.fields["record_bytes"], entry["record_bytes"]
    new = read_signed(CasePaths.of(job.cache_dir, job.case.name, job.key).record, limit=new_bytes)
    try:
        path = CasePaths.of(cache_dir, job.case.name, entry["key"]).record
        old = read_signed(path, limit=old_bytes)
    except BadInput as error:  # listed as a defect of the cache, too
        return f"cannot be compared: {error.problem}"
    told = [
        _slice_changes(kind, old[kind]["slice_crc32"], new[kind]["slice_crc32"])
        for kind in ("image", "label")
    ]
    names = [key for key in new if key not in ("image", "label", "crc32")]
    others = [name for name in names if old.get(name) != new[name]]
    told += [f"{', '.join(others)} differ"] if others else []
    return f"contents changed: {', '.join(part for part in told if part)}"


def _slice_changes(kind: str, old: Sequence[int], new: Sequence[int]) -> str:
    if len(old) != len(new):
        return f"{kind} has {len(new)} slices, not {len(old)}"
    changed = [z for z, (before, now) in enumerate(zip(old, new, strict=True)) if before != now]
    first = f" (the first: {changed[0]})" if changed else ""
    return f"{len(changed)} of {len(new)} {kind} slices{first}" if changed else ""


def _defect(where: Path, case: str, code: str, change: str) -> Defect:
    return Defect(case, code, str(BadInput(code, where, change, _AGAIN)))


def _in_order(defects: list[Defect], names: Sequence[str]) -> list[Defect]:
    places = {name: place for place, name in enumerate(names)}
    return sorted(defects, key=lambda defect: places.get(defect.case, len(names)))
