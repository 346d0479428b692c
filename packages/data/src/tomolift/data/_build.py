"""Build a cache from a task folder: many processes, resumable, one bad volume never kills it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from . import _files
from ._depth import Short
from ._format import (
    CASE_FILES,
    FORMAT,
    JOURNAL,
    MANIFEST,
    VERSION,
    CasePaths,
    Configuration,
    canonical_json,
    signed,
)
from ._geometry import Axes
from ._journal import Entry, append_entry, mend_journal, rewrite_journal
from ._msd import IGNORE_LABEL, Case, Task, read_task
from ._plan import Plan, basis_of, plan_build
from ._workers import ingested, refuse_in_starting_worker
from .errors import BadInput

Progress = Callable[[int, int, str, str], None]


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
        fingerprint: of the whole cache.
    """

    built: tuple[str, ...]
    reused: tuple[str, ...]
    dropped: Mapping[str, int]
    failed: Mapping[str, str]
    changed: Mapping[str, str]
    notes: Mapping[str, tuple[str, ...]]
    fingerprint: str


def build_cache(
    task_dir: str | Path,
    cache_dir: str | Path,
    *,
    depth: int = 70,
    short: Short = "drop",
    workers: int = 2,
    cases: Sequence[str] | None = None,
    axes: Axes = "canonical",
    progress: Progress | None = None,
) -> BuildReport:
    """Turn a task in MSD layout into a memory-mapped cache, or bring a cache up to date.

    Volumes whose sources and configuration are unchanged are reused. A build that was
    interrupted at any moment, even by ``kill -9``, ends in the same bytes when run again.

    Args:
        task_dir: folder with ``dataset.json``, ``imagesTr``, ``labelsTr``; only read.
        cache_dir: the cache; made where absent.
        depth: slices of every cached volume, 1..4096 (70 in the paper, Data).
        short: ``drop`` volumes with fewer slices, or ``pad`` them with ignored ones.
        workers: processes; 1 works in this process. More than one start by ``spawn``: a script
            needs ``if __name__ == "__main__":`` around its call.
        cases: names to include; all of ``dataset.json`` by default. The cache then holds these
            and no others.
        axes: ``canonical`` (nearest RAS; D inferior to superior) or ``stored``.
        progress: called as ``progress(done, total, case, status)`` after each case.

    Returns:
        What was built, reused, dropped and quarantined.

    Raises:
        BadInput: nothing can be built (E_DATASET_JSON, E_DUPLICATE, E_ARGUMENT, E_EMPTY), or
            ``cache_dir`` is some other folder (E_CACHE).

    Example:
        >>> report = build_cache("Task07_Pancreas", "cache")  # doctest: +SKIP
    """
    refuse_in_starting_worker()
    configuration = Configuration(depth=depth, short=short, axes=axes)
    if workers < 1:
        raise BadInput("E_ARGUMENT", "workers", f"is {workers}, expected at least 1", "use 2")
    task = read_task(task_dir)
    selected = _select(task, cases)
    cache = Path(cache_dir)
    _check_folder(cache)
    with _files.locked(cache / "lock"):
        _files.make_folder(cache / "volumes")
        _files.make_folder(cache / "tmp")
        for folder in (cache, cache / "volumes", cache / "tmp"):
            _files.remove_stale(folder)
        mend_journal(cache)
        plan = plan_build(task, selected, configuration, cache)
        entries = _carry_out(plan, cache, workers, progress)
        if not any(entry["status"] == "ok" for entry in entries.values()):
            raise _nothing_built(task, entries, cache)
        rewrite_journal(cache, entries)
        manifest = _manifest(task, configuration, [entries[case.name] for case in selected])
        if not _holds(cache / MANIFEST, canonical_json(manifest)):
            _files.write_durably(cache / MANIFEST, canonical_json(manifest))
        _remove_others(cache, [case for case in entries if entries[case]["status"] == "ok"])
    return _report(plan, manifest)


def _select(task: Task, cases: Sequence[str] | None) -> tuple[Case, ...]:
    if cases is None:
        return task.cases
    unknown = sorted(set(cases) - {case.name for case in task.cases})
    if unknown or not cases:
        problem = f"{unknown[0]!r} is no case of {task.folder}" if unknown else "names no case"
        raise BadInput("E_ARGUMENT", "cases", problem, "use names from dataset.json")
    return tuple(case for case in task.cases if case.name in set(cases))


def _check_folder(cache: Path) -> None:
    if cache.exists() and not cache.is_dir():
        raise BadInput("E_CACHE", cache, "is a file", "name a folder for the cache")
    ours = {MANIFEST, JOURNAL, "lock", "volumes", "tmp"}  # some or all: a killed build's folder
    names: set[str] = set()
    with suppress(FileNotFoundError):  # absent, or another build that came to nothing took it away
        names = {path.name for path in cache.iterdir()}
    if any(name not in ours and not _files.is_temporary(name) for name in names):
        problem = "is neither empty nor a cache"
        raise BadInput("E_CACHE", cache, problem, "name an empty or a new folder")


def _carry_out(
    plan: Plan, cache: Path, workers: int, progress: Progress | None
) -> dict[str, Entry]:
    entries = dict(plan.reused)
    total = len(plan.reused) + len(plan.jobs)
    for job, result in ingested(list(plan.jobs.values()), workers):
        entry = signed({**basis_of(job), "status": result.status, **result.fields})
        append_entry(cache, entry)
        entries[job.case.name] = entry
        if progress is not None:
            progress(len(entries), total, job.case.name, result.status)
    return entries


def _manifest(task: Task, configuration: Configuration, entries: list[Entry]) -> dict[str, Any]:
    content = {
        "format": FORMAT,
        "version": VERSION,
        "task_name": task.name,
        "label_names": list(task.label_names),
        "ignore_label": IGNORE_LABEL,
        "configuration": configuration.to_json(),
        "entries": entries,
    }
    fingerprint = hashlib.sha256(canonical_json(content)).hexdigest()
    return signed({**content, "fingerprint": fingerprint})


def _holds(path: Path, data: bytes) -> bool:
    return path.is_file() and path.read_bytes() == data


def _remove_others(cache: Path, cases: Sequence[str]) -> None:
    """Remove the volumes of cases that an earlier build had and this one has not."""
    named = {path for case in cases for path in astuple(CasePaths.of(cache, case))}
    for path in sorted((cache / "volumes").iterdir()):
        if path not in named and path.name.endswith(CASE_FILES):
            _files.remove(path)


def _nothing_built(task: Task, entries: dict[str, Entry], cache: Path) -> BadInput:
    """Return the error, and take back what the attempt left where there was no cache before."""
    if not (cache / MANIFEST).exists():
        _files.remove(cache / JOURNAL)
        for folder in (cache / "volumes", cache / "tmp"):
            _files.remove_empty(folder)
        _files.remove(cache / "lock")  # whoever waits for it sees that it is gone
        _files.remove_empty(cache)
    dropped = [entry["depth"] for entry in entries.values() if entry["status"] == "dropped"]
    failed = [entry["message"] for entry in entries.values() if entry["status"] == "failed"]
    reasons = [f"{len(failed)} failed (the first: {failed[0]})"] if failed else []
    reasons += [f"{len(dropped)} have fewer slices than asked for"] if dropped else []
    cure = "see `verify`, or use a smaller depth or short=pad"
    return BadInput("E_EMPTY", task.folder, f"no volume is left: {', '.join(reasons)}", cure)


def _report(plan: Plan, manifest: dict[str, Any]) -> BuildReport:
    entries: list[Entry] = manifest["entries"]
    by_status: dict[str, list[Entry]] = {"ok": [], "dropped": [], "failed": []}
    for entry in entries:
        by_status[entry["status"]].append(entry)
    ok = [entry["case"] for entry in by_status["ok"]]
    return BuildReport(
        built=tuple(case for case in ok if case in plan.jobs),
        reused=tuple(case for case in ok if case in plan.reused),
        dropped={entry["case"]: entry["depth"] for entry in by_status["dropped"]},
        failed={entry["case"]: entry["message"] for entry in by_status["failed"]},
        changed=plan.changed,
        notes={entry["case"]: tuple(entry["notes"]) for entry in by_status["ok"] if entry["notes"]},
        fingerprint=manifest["fingerprint"],
    )
